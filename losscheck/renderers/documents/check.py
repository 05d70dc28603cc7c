"""check: a ranking with a line each, then why and what to write for what is not sound."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from losscheck.core.dtypes import FORMATS
from losscheck.core.effect import Effect, Truth
from losscheck.core.ranking import Advice, RankedRow
from losscheck.core.report import Report
from losscheck.renderers.document import Block, Cell, Column, Document, Heading, Kind, Line, Listing, Paragraph, Sentence, Table
from losscheck.renderers.effects import effect_sentence, rough, where_text
from losscheck.renderers.severity import Severity, severity_of

__all__ = ["document"]

COLUMNS = (Column("", Kind.FIGURE), Column("implementation", Kind.NAME), Column("effect", Kind.WORD), Column("in words", Kind.WORDS))
# Not to be recommended: the textbook is the control, and the definition by mpmath no code to train with.
NOT_ADVISED = ("naive", "mpmath")


def document(report: Report) -> Document:
    blocks: list[Block] = []
    for loss in dict.fromkeys(row.loss for row in report.ranking):
        blocks += _loss(report, [row for row in report.ranking if row.loss == loss])
    remarks = tuple(Sentence(sentence) for sentence in report.remarks) if report.verbose else ()
    blocks += [Listing(remarks)] if remarks else []
    blocks.append(Paragraph(_footer(report), quiet=True))
    return Document("losscheck check", tuple(blocks), reproduce=report.reproduce)


def _loss(report: Report, rows: Sequence[RankedRow]) -> Iterator[Block]:
    main = rows[0].given_dtype
    shown = [row for row in rows if row.given_dtype == main]
    first = shown[0]
    targets = " ".join(FORMATS[main].shortest(target) for target in first.targets)
    yield Heading(f"{first.loss}  {main}", f"logits {rough(first.low)} to {rough(first.high)}, targets {targets}")
    if report.verbose:
        yield Paragraph(report.definitions.get(first.loss, ""), quiet=True)
    for row in shown:
        if row.recognised:
            yield Paragraph(f"{row.implementation} is {row.recognised}{'' if row.sure else f': {row.note}' if row.note else ', nearly'}")
    names = _short_names([row.implementation for row in shown])
    lines: list[Line] = []
    for place, row in enumerate(shown, start=1):
        lines.append(_line(str(place) if len(shown) > 1 else "", row, names[row.implementation]))
        elsewhere = (other for other in rows if _same_subject(row, other) and other.given_dtype != main)
        lines += [_line("", other, f"  in {other.given_dtype}") for other in elsewhere if report.verbose or _worse(other, row)]
    yield Table(COLUMNS, tuple(lines), headed=False)
    for row in shown:
        if row.advice is not None:
            yield from _advice(row, row.advice)
    if report.verbose:
        yield Listing(tuple(_every_target(rows)), title="At every target")
    if advised := _advised(shown):
        yield Paragraph(advised)


def _short_names(names: Sequence[str]) -> dict[str, str]:
    """A callable by its own name, where no other has it: its file stands above the ranking."""
    short = {name: name.rpartition(":")[2] for name in names}
    return {name: own if list(short.values()).count(own) == 1 else name for name, own in short.items()}


def _line(place: str, row: RankedRow, name: str) -> Line:
    backends = f" ({row.backend})" if _needs_backend(row) else ""
    if row.effect is None:
        cells = (Cell(place), Cell(name + backends, Severity.UNKNOWN, signed=True), Cell("not judged"), Cell(row.reason))
        return Line(cells, Severity.UNKNOWN, (row,))
    severity = severity_of(row.effect.effect)
    cells = (Cell(place), Cell(name + backends, severity, signed=True), Cell(row.effect.effect.value, severity), Cell(_words(row)))
    return Line(cells, severity, (row,))


def _words(row: RankedRow) -> str:
    """The worst effect, and where another target shows harm of another kind, that too."""
    sentences: dict[Effect, str] = {}
    for finding in row.findings:
        if finding.effect.harmful or finding is row.effect:
            spans = row.spans if finding is row.effect else ()
            sentences.setdefault(finding.effect, effect_sentence(finding, row.low, row.high, row.given_dtype, row.max_ulp, spans))
    first, *others = sentences.items()
    return "; ".join([first[1], *(f"{effect.value}: {words}" for effect, words in others[:1])])


def _needs_backend(row: RankedRow) -> bool:
    return len(row.backends) == 1 and row.backends[0] in ("numpy", "jax") and row.implementation != "mpmath"


def _same_subject(a: RankedRow, b: RankedRow) -> bool:
    return (a.implementation, a.device, a.mode) == (b.implementation, b.device, b.mode) and bool(set(a.backends) & set(b.backends))


def _worse(other: RankedRow, row: RankedRow) -> bool:
    """Does another dtype say more than the first: harm of another kind, or harm where there was none?"""
    if other.effect is None or row.effect is None:
        return other.effect is None
    return other.effect.effect.harmful and other.effect.effect is not row.effect.effect


def _advice(row: RankedRow, advice: Advice) -> Iterator[Block]:
    place = f"  ({advice.place})" if advice.place else ""
    if advice.why:
        severity = severity_of(row.effect.effect) if row.effect else Severity.UNKNOWN
        yield Listing((Sentence(f"{advice.why}{place}", severity),), title=f"why {row.implementation}")
    if advice.write:
        ulp = f", judged: {_ulp(advice.after)} instead of {_ulp(advice.before)}" if advice.after and advice.before else ""
        deviates = row.effect is not None and row.effect.truth is Truth.DEVIATION and row.note
        meaning = "; it changes the meaning: a guard is left out" if advice.changes_meaning else ""
        meaning = "; what deviates from the definition stays" if deviates and not advice.changes_meaning else meaning
        yield Listing(tuple(Sentence(line) for line in advice.write), title=f"write{ulp}{meaning}")


def _ulp(worst: tuple[float, float]) -> str:
    return f"{rough(worst[0])} ulp in the loss, {rough(worst[1])} in the gradient"


def _every_target(rows: Sequence[RankedRow]) -> Iterator[Sentence]:
    for row in rows:
        for finding in row.findings:
            words = effect_sentence(finding, row.low, row.high, row.given_dtype, row.max_ulp)
            where = "" if finding.effect.harmful else f" ({where_text(finding, row.low, row.high, row.given_dtype)})"
            target = FORMATS[row.given_dtype].shortest(finding.target) if finding.target is not None else "?"
            share = f", {100 * finding.share:.3g} % of the logits" if finding.share else ""
            name = f"{row.implementation} {'+'.join(row.backends)} {row.given_dtype} target {target}"
            yield Sentence(f"{name}: {finding.effect.value}: {words}{where if where != ' ()' else ''}{share}", severity_of(finding.effect))


def _advised(shown: Sequence[RankedRow]) -> str:
    """Which to use, where there is a choice."""
    # What harms on any backend is not to be recommended for another.
    harmful = {row.implementation for row in shown if row.harmful}
    judged = [row for row in shown if row.effect is not None and row.implementation not in (*NOT_ADVISED, *harmful)]
    if len(shown) < 2 or not judged:
        return ""
    best = judged[0]
    ours = [row for row in judged if row.implementation != "stable"]
    published = f", or {ours[0].implementation}, which people have" if ours and best.implementation == "stable" else ""
    return f"use {best.implementation}{published}"


def _footer(report: Report) -> str:
    worst = min((row.effect.effect for row in report.ranking if row.effect), key=lambda effect: effect.severity, default=Effect.SOUND)
    names = next((row.implementation for row in report.ranking if row.effect and row.effect.effect is worst), "NAME")
    loss = next((row.loss for row in report.ranking if row.effect and row.effect.effect is worst), "")
    more = f"every region: losscheck sweep --loss {loss} --impl '{names}' -v" if loss else ""
    return f"what it means: losscheck explain {worst.value}    {more}    all targets and dtypes: -v"
