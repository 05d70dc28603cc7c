"""trace: the answer in three lines (cause, place, cure), then the ops that matter, what to write instead, and what was not followed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from losscheck.core.dtypes import FORMATS
from losscheck.core.report import Inventory
from losscheck.core.results import IN_WORDS
from losscheck.renderers.document import (
    Block,
    Cell,
    Code,
    Column,
    Document,
    Heading,
    Holds,
    Line,
    Listing,
    Paragraph,
    ProgramGraph,
    Sentence,
    Table,
)
from losscheck.renderers.documents.trace_batch import batch_blocks, element_of
from losscheck.renderers.figures import counted, plain_exact, plain_value, ulp_size
from losscheck.renderers.severity import Severity

__all__ = ["document"]

Facts = Mapping[str, Any]
_COLUMNS = (
    Column("line", Holds.WORD),
    Column("sub-expression", Holds.WORDS),
    Column("value"),
    Column("exact"),
    Column("total ulp"),
    Column("own", optional=True),
    Column("local", optional=True),
    Column("event", Holds.WORD),
    Column("inputs", optional=True),
)
LIMIT = 8.0  # ulp, as the trace judges
_LISTED = 6  # wrong results that are listed
_SHOWN = 3  # logits and inputs that are listed


def document(inventory: Inventory) -> Document:
    facts = inventory.facts
    swept = f", the worst of {counted(facts['swept'], 'point')} tried" if facts["swept"] else ""
    of_batch = f", {element_of(facts['batch'])}" if facts["batch"] else ""
    blocks: list[Block] = [Heading(f"{facts['what'] or 'callable'}  {facts['dtype']}", f"at {_point(facts)}{swept}{of_batch}")]
    blocks += [Paragraph(line, answer=number == 0) for number, line in enumerate(_answer(facts))]
    blocks += [Listing(tuple(_findings(facts)))]
    blocks += batch_blocks(facts["batch"]) if facts["batch"] else ()
    if facts["ops"]:
        shown = f"{len(facts['ops'])} of {counted(facts['ops_recorded'], 'op')}, beside exact arithmetic"
        blocks += [Heading("ops", shown), *_passes(facts["ops"])]
    if facts["graph"]["nodes"]:
        blocks.append(ProgramGraph(facts["graph"]))
    for remedy, here in ((facts["cure"], facts["cured_here"]), (facts["meaning_cure"], None)):
        blocks += _remedy(remedy, here) if remedy else []
    blocks.append(Listing(tuple(_notes(facts)), title="what was not followed, or met on the way" if facts["notes"] else ""))
    return Document("losscheck trace", tuple(blocks), reproduce=facts.get("reproduce", ""), environment=facts.get("environment", {}))


def _point(facts: Facts) -> str:
    dtype = FORMATS[facts["dtype"]]
    several = [(name, [dtype.shortest(float(value)) for value in facts[f"{name}s"]]) for name in ("logit", "target")]
    return ", ".join(
        f"{name}{'s' * (len(texts) > 1)} {' '.join(texts[:_SHOWN])}{' ...' * (len(texts) > _SHOWN)}" for name, texts in several
    )


# The answer ---------------------------------------------------------------------------------------------------------


def _answer(facts: Facts) -> Iterator[str]:
    """Three lines that stand alone."""
    kinds = [note["kind"] for note in facts["notes"]]
    raised = next((note for note in facts["notes"] if note["kind"] in ("raised", "backward_raised")), None)
    ended = next((note for note in facts["notes"] if note["kind"] == "unsupported"), None)
    mistaken = next((deviation for deviation in facts["deviations"] if deviation["kind"] == "double_sigmoid"), None)
    if mistaken:
        yield "cause: a sigmoid is applied twice"
        yield f"place: {_where(mistaken['place'])}"
    elif facts["causes"]:
        yield f"cause: {_explained(facts['causes'][0])}"
        yield f"place: {_pair(facts['causes'][0])}"
    elif ended:
        yield f"cause: not found, as the trace ended: {ended['detail']}"
        yield f"place: {_where(ended['place'])}"
    elif raised:
        yield f"cause: it raised {raised['detail']}"
        yield f"place: {_where(raised['place'])}"
    elif facts["deviations"]:
        yield f"cause: {_word(facts['deviations'][0])}, as it is written; nothing is lost by rounding"
        yield f"place: {_where(facts['deviations'][0]['place'])}"
    elif "no_gradient" in kinds:
        yield "cause: no gradient reaches the logits"
        yield f"place: {_where(facts['ops'][-1]['place'] if facts['ops'] else None)}"
    elif "unknown_op" in kinds:
        yield "cause: none was found, but not every op is known exactly: see below"
        yield "place: -"
    else:
        yield "cause: none, nothing fails here"
        yield "place: -"
    yield f"cure:  {_cure(facts)}"


def _word(kind: Facts) -> str:
    word: str = kind["kind"]
    return word.replace("-", " ").replace("_", " ")


def _explained(kind: Facts) -> str:
    """The word, and what it means where that says more."""
    word, means = _word(kind), kind["means"]
    if means in (word, "0 * inf", "inf - inf", "division by 0"):
        return word
    if means.startswith(word):
        return f"{word} ({means.removeprefix(word).lstrip(': ')})"
    return f"{word} ({means})"


def _pair(cause: Facts) -> str:
    places = cause["places"]
    blamed = places.get("blamed")
    others = [
        f"{role} at {_near(places[role], blamed)}"
        for role in ("lost", "needed")
        if role in places and _where(places[role]) != _where(blamed)
    ]
    return "; ".join([_where(blamed), *others])


def _where(place: Facts | None) -> str:
    if not place or not place["file"]:
        return "an op that no line of the source makes"
    return f"{place['file']}:{place['line']} {place['text']}".rstrip()


def _near(place: Facts, named: Facts | None) -> str:
    """Beside a place in the same file its line tells enough."""
    if not place["file"] or named is None or named["file"] != place["file"]:
        return _where(place)
    return f"line {place['line']} {place['text']}".rstrip()


def _cure(facts: Facts) -> str:
    cure, meaning = facts["cure"], facts["meaning_cure"]
    if any(deviation["kind"] == "double_sigmoid" for deviation in facts["deviations"]):
        return "leave that one out: what is left was proved to be binary cross entropy"
    if any(cause["kind"] == "logits-as-probabilities" for cause in facts["causes"]):
        return "hand it torch.sigmoid(logits), or take the loss that takes logits: losscheck explain logits-as-probabilities"
    if cure:
        return f"{_here(facts)}{_figures(cure)}{_to_write(cure)}"
    if meaning:
        return f"by leaving a guard out: {_figures(meaning)}{_to_write(meaning)}"
    if not facts["quantities"]:
        return "none, as nothing came out that could be judged"
    if any(note["kind"] == "long" for note in facts["notes"]):
        return "none was looked for in a program so long"
    failing = any(quantity["outcome"] != "ok" for quantity in facts["quantities"])
    return "none was found that measures better" if failing else "none is needed"


def _here(facts: Facts) -> str:
    """What the patched function leaves at this very point, where that is not cured: its terms are, and what is made of them is not."""
    here = facts["cured_here"]
    if here is None:
        return ""
    left = {name: float(here[key]) for name, key in (("loss", "loss_ulp"), ("grad", "gradient_ulp"))}
    before = {name: max((_off(known) for known in facts["quantities"] if known["quantity"] == name), default=0.0) for name in left}
    failing = {name for name in left if before[name] > LIMIT}
    if not any(left[name] > LIMIT for name in failing):
        return ""
    better = [name for name in failing if left[name] < before[name] / 2]
    return "a part of it: " if better else "none for this point; for others: "


def _off(quantity: Facts) -> float:
    ulp = float(quantity["ulp"])
    return abs(ulp) if ulp == ulp else math.inf if quantity["outcome"] != "ok" else 0.0


def _figures(remedy: Facts) -> str:
    pairs = [f"{name} {_change(remedy[key])}" for name, key in (("loss", "loss_ulp"), ("gradient", "gradient_ulp"))]
    return f"{', '.join(pairs)} ulp at worst of {remedy['points']}"


def _change(ulp: Facts) -> str:
    before, after = _size(ulp["before"]), _size(ulp["after"])
    return f"{before} -> {after}" if before != after or math.isfinite(float(ulp["after"])) else f"{after} at fewer points"


def _to_write(remedy: Facts) -> str:
    hard = "; targets 0 and 1 alone" if remedy["hard_targets_only"] else ""
    if not remedy["diff"] and not any(expression["after"] for expression in remedy["expressions"]):
        return f"{hard}; it needs a value that has no name in the source"
    return f"{hard}; {'diff' if remedy['diff'] else 'expression'} below"


def _size(figure: float | str) -> str:
    return ulp_size(float(figure))


def _findings(facts: Facts) -> Iterator[Sentence]:
    """The wrong results, what the causes mean, and the guards that are active."""
    several = len(facts["logits"]) > 1
    failing = [quantity for quantity in facts["quantities"] if quantity["outcome"] != "ok"]
    for quantity in failing[:_LISTED]:
        name = IN_WORDS[quantity["quantity"]] + f" {quantity['index']}" * several
        value, exact, right = (
            plain_value(quantity["value"], quantity["dtype"]),
            *(plain_exact(quantity[key], quantity["dtype"]) for key in ("exact", "judged_by")),
        )
        written = "" if right == exact else f" by its backward pass as it is written; the derivative is {exact}"
        yield Sentence(f"{name}: {value} where {right} is right{written} ({quantity['outcome']})", Severity.BROKEN)
    if len(failing) > _LISTED:
        yield Sentence(f"and {len(failing) - _LISTED} more are wrong", Severity.BROKEN)
    further = Counter(f"{_word(cause)}: {_pair(cause)}" for cause in facts["causes"][1:])
    for text, times in further.items():
        yield Sentence(f"further cause, {text}{f' ({times} times)' * (times > 1)}", Severity.WRONG)
    for deviation in facts["deviations"]:
        yield Sentence(f"{deviation['means']}: {_where(deviation['place'])}", Severity.SLIGHT)


def _notes(facts: Facts) -> Iterator[Sentence]:
    """What a loop meets again and again is said once."""
    for text, times in Counter(map(_note, facts["notes"])).items():
        yield Sentence(f"{text}{f' ({times} times)' * (times > 1)}", Severity.UNKNOWN)


def _note(note: Facts) -> str:
    place = f": {_where(note['place'])}" if note["place"]["file"] else ""
    detail = f" ({note['detail']})" if note["detail"] else ""
    return f"{note['means']}{detail}{place}"


# The ops ------------------------------------------------------------------------------------------------------------


def _passes(ops: Sequence[Facts]) -> Iterator[Block]:
    for name in ("forward", "backward"):
        rows = [op for op in ops if op["pass"] == name]
        if rows:
            yield Heading(name, level=2)
            yield Table(_COLUMNS, tuple(map(_op, rows)))


def _op(op: Facts) -> Line:
    severity = Severity.BROKEN if op["event"] in ("nan", "inf") else Severity.WRONG if op["event"] else Severity.FINE
    place, dtype = op["place"], op["dtype"]
    text = place["text"] or op["name"]
    inputs = [plain_value(value, dtype) for value in op["inputs"]]
    texts = (
        str(place["line"] or "-"),
        f"{text} [{op['name']}]" if op["pass"] == "backward" else text,
        plain_value(op["value"], dtype),
        plain_exact(op["exact"], dtype),
        *(_error(op[name]) for name in ("total", "own", "local")),
    )
    event = Cell(op["event"] or "", severity, signed=True)
    shown = ", ".join(inputs[:_SHOWN]) + ", ..." * (len(inputs) > _SHOWN)
    return Line((*map(Cell, texts), event, Cell(shown)), severity)


def _error(ulp: float | str) -> str:
    return "?" if ulp == "nan" else _size(ulp)


# What to write instead ------------------------------------------------------------------------------------------------


def _remedy(remedy: Facts, here: Facts | None) -> Iterator[Block]:
    if remedy["changes_meaning"]:
        yield Heading("write instead, if the guard is not meant", "it changes what is computed: a clamp or a small constant is left out")
    else:
        yield Heading("write instead", "equal wherever the original is defined; it ran and was measured")
    if here:
        yield Paragraph(
            f"At this point it leaves {_size(here['loss_ulp'])} ulp in the loss and {_size(here['gradient_ulp'])} in the gradient."
        )
    if remedy["hard_targets_only"]:
        yield Paragraph("It is equal for targets 0 and 1 alone: not for soft targets.")
    if remedy["diff"]:
        yield from (
            Paragraph(f"{name} takes logits from now on: whoever else calls it has to hand them over.") for name in remedy["takes_logits"]
        )
        yield Code(remedy["diff"].removesuffix("\n"))
        return
    if not any(expression["after"] for expression in remedy["expressions"]):
        yield Paragraph("There is nothing to print: it needs a value that has no name in the source.")
        return
    yield Paragraph("In words of the logit x and the target z; no patch, as the source has no name for what it would need there:")
    for expression in remedy["expressions"]:
        if expression["after"]:
            yield Code(f"{_where(expression['place'])}\n    {expression['after']}")
