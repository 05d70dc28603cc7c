"""What a trace says of the batch around the element that it follows: how many fail, which, and every op that is off from float64."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from losscheck.core.outcome import Outcome
from losscheck.core.results import IN_WORDS
from losscheck.renderers.document import Block, Cell, Column, Heading, Holds, Line, Listing, Sentence, Table
from losscheck.renderers.figures import counted, ulp_size
from losscheck.renderers.severity import Severity, severity_of

__all__ = ["batch_blocks", "element_of"]

Facts = Mapping[str, Any]
_COLUMNS = (
    Column("line", Holds.WORD),
    Column("sub-expression", Holds.WORDS),
    Column("off"),
    Column("nan, inf"),
    Column("worst ulp"),
    Column("at", Holds.WORD),
)


def element_of(batch: Facts) -> str:
    """'element [0, 17, 63, 5] of batch.pt'"""
    if batch["followed_together"]:
        return f"all {counted(batch['elements'], 'element')} of {' and '.join(batch['files']) or 'the batch'} in one call"
    chosen = "" if batch["given"] else ", the worst"
    return f"element {batch['index']} of {' and '.join(batch['files']) or 'the batch'}{chosen}"


def batch_blocks(batch: Facts) -> Iterator[Block]:
    """Nothing where one element was asked for: the others were not looked at then."""
    if batch["given"]:
        return
    yield Heading("the batch", f"{counted(batch['elements'], 'element')} {batch['shape']}")
    yield Listing(tuple(_findings(batch)))
    if batch["ops"]:
        yield Heading("op by op, over every element:", "beside float64, which may lose what is lost; off by more than 8 ulp", level=2)
        yield Table(_COLUMNS, tuple(map(_op, batch["ops"])))


def _findings(batch: Facts) -> Iterator[Sentence]:
    if batch["raised"]:
        yield Sentence(f"on the whole batch it raised {batch['raised']}: the ops until there are shown", Severity.UNKNOWN)
    if not batch["screened"]:
        yield Sentence(
            "no format wider than the batch stands beside its ops: they are judged at the element traced alone", Severity.UNKNOWN
        )
    if not batch["independent"]:
        text = "it is no sum of terms that are known, so its elements may depend on each other: "
        if not batch["judged_together"]:
            yield Sentence(f"{text}none is judged, and the trace is of one element by itself", Severity.UNKNOWN)
            return
        followed = ", and are traced so" if batch["followed_together"] else "; the trace is of one of them by itself"
        yield Sentence(f"{text}all were run exactly in one call{followed}", Severity.UNKNOWN)
    if not batch["failing"]:
        yield Sentence(f"no element fails, of {batch['elements']}")
    for name, counts in batch["outcomes"].items():
        failing = {word: count for word, count in counts.items() if Outcome(word).failed}
        told = ", ".join(f"{count} {word}" for word, count in failing.items())
        if told:
            worst = min((Outcome(word) for word in failing), key=lambda outcome: outcome.severity)
            yield Sentence(f"{IN_WORDS[name]}: {told}", severity_of(worst))
        if undecided := counts.get(Outcome.UNDECIDED.value, 0):
            yield Sentence(f"{IN_WORDS[name]}: {undecided} undecided", Severity.UNKNOWN)
    if batch["failing"]:
        more = batch["failing"] - len(batch["first"])
        rest = f" and {more} more" if more else ""
        yield Sentence(f"failing, severest first: {' '.join(map(str, batch['first']))}{rest}")


def _op(op: Facts) -> Line:
    severity = Severity.BROKEN if op["bad"] else Severity.WRONG if op["off"] else Severity.FINE
    place = op["place"]
    text = place["text"] or op["name"]
    texts = (
        str(place["line"] or "-"),
        f"{text} [{op['name']}]" if op["pass"] == "backward" else text,
        f"{op['off']} of {op['elements']}",
        str(op["bad"] or ""),
        ulp_size(float(op["worst_ulp"])) if op["off"] else "-",
        str(op["index"]) if op["index"] is not None else "-",
    )
    return Line(tuple(map(Cell, texts)), severity)
