"""check: one implementation in full, or a ranking with a line each, then why and what to write for what is not sound."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from losscheck.core.dtypes import FORMATS
from losscheck.core.files import near
from losscheck.core.ranking import RankedRow
from losscheck.core.report import Report
from losscheck.renderers.document import (
    Block,
    Cell,
    Column,
    Commands,
    Document,
    Heading,
    Holds,
    Line,
    Listing,
    Paragraph,
    Picture,
    Sentence,
    Table,
)
from losscheck.renderers.documents.check_card import advice_blocks, card, effect_words, extent, told_elsewhere
from losscheck.renderers.effects import effect_sentence, refused_text, rough, where_text
from losscheck.renderers.onsets import begins_text
from losscheck.renderers.severity import Severity, severity_of

__all__ = ["document"]

COLUMNS = (Column("", Holds.FIGURE), Column("implementation", Holds.NAME), Column("effect", Holds.WORD), Column("in words", Holds.WORDS))
# Not to be recommended: the textbook is the control, and the definition by mpmath no code to train with.
NOT_ADVISED = ("naive", "mpmath")


def document(report: Report) -> Document:
    blocks: list[Block] = []
    for loss in dict.fromkeys(row.loss for row in report.ranking):
        blocks += _loss(report, [row for row in report.ranking if row.loss == loss])
    if report.verbose and report.remarks:
        blocks.append(Listing(tuple(map(Sentence, report.remarks))))
    blocks.append(Commands(tuple(_next(report))))
    blocks.append(Picture(report))
    return Document("losscheck check", tuple(blocks), reproduce=report.reproduce)


def _loss(report: Report, rows: Sequence[RankedRow]) -> Iterator[Block]:
    shown = [row for row in rows if row.given_dtype == rows[0].given_dtype]
    if len(shown) == 1:
        yield from card(rows)
    else:
        yield from _ranking(shown, rows)
        for row in shown:
            yield from advice_blocks(row)
    if report.verbose:
        yield Paragraph(report.definitions.get(rows[0].loss, ""), quiet=True)
        yield Listing(tuple(_every_target(rows)), title="At every target")
    if advised := _advised(shown):
        yield Paragraph(advised)


def _ranking(shown: Sequence[RankedRow], rows: Sequence[RankedRow]) -> Iterator[Block]:
    """A line each, the best first, and below it what another dtype says more."""
    first = shown[0]
    targets = " ".join(FORMATS[first.given_dtype].shortest(target) for target in first.targets)
    yield Heading(f"{first.loss}  {first.given_dtype}", f"logits {rough(first.low)} to {rough(first.high)}, targets {targets}")
    for row in shown:
        if row.recognised:
            yield Paragraph(f"{near(row.implementation)} is {row.recognised}")
    names = _short_names([row.implementation for row in shown])
    lines: list[Line] = []
    for place, row in enumerate(shown, start=1):
        lines.append(_line(str(place), row, names[row.implementation]))
        subject = [other for other in rows if _same_subject(row, other)]
        lines += [_line("", other, f"  in {other.given_dtype}") for other in told_elsewhere(row, subject)[1:]]
    yield Table(COLUMNS, tuple(lines), headed=False)
    if sampled := [row for row in rows if not row.exhaustive and row.given_dtype in ("bfloat16", "float16")]:
        looped = dict.fromkeys(near(row.implementation) for row in sampled)
        yield Paragraph(f"{', '.join(looped)}: every logit took a call of its own: {extent(sampled)}.", quiet=True)


def _short_names(names: Sequence[str]) -> dict[str, str]:
    """A callable by its own name, where no other has it: its file stands above the ranking."""
    short = {name: name.rpartition(":")[2] for name in names}
    return {name: own if list(short.values()).count(own) == 1 else near(name) for name, own in short.items()}


def _line(place: str, row: RankedRow, name: str) -> Line:
    backends = f" ({row.backend})" if _needs_backend(row) else ""
    if row.effect is None:
        cells = (Cell(place), Cell(name + backends, Severity.UNKNOWN, signed=True), Cell("not judged"), Cell(row.reason))
        return Line(cells, Severity.UNKNOWN, (row,))
    severity = severity_of(row.effect.effect)
    cells = (Cell(place), Cell(name + backends, severity, signed=True), Cell(row.effect.effect.value, severity), Cell(_words(row)))
    return Line(cells, severity, (row,))


def _words(row: RankedRow) -> str:
    """What it does, and of what nothing is known because it raised there."""
    refused = refused_text(row.curves, row.low, row.high)
    return effect_words(row) + (f"; refused {refused}" if refused else "")


def _needs_backend(row: RankedRow) -> bool:
    return len(row.backends) == 1 and row.backends[0] in ("numpy", "jax") and row.implementation != "mpmath"


def _same_subject(a: RankedRow, b: RankedRow) -> bool:
    return (a.implementation, a.device, a.mode) == (b.implementation, b.device, b.mode) and bool(set(a.backends) & set(b.backends))


def _every_target(rows: Sequence[RankedRow]) -> Iterator[Sentence]:
    for row in rows:
        for finding in row.findings:
            words = effect_sentence(finding, row.low, row.high, row.given_dtype, row.max_ulp)
            where = "" if finding.effect.harmful else where_text(finding, row.low, row.high, row.given_dtype)
            if where:  # where tails begin is not searched for
                where = f" ({where})" if row.exhaustive else f" (in a sample: {where})"
            target = FORMATS[row.given_dtype].shortest(finding.target) if finding.target is not None else "?"
            share = f", {100 * finding.share:.3g} % of the logits" if finding.share else ""
            begins = f", {begun}" if finding.effect.harmful and (begun := begins_text(finding.onsets, row.given_dtype)) else ""
            name = f"{near(row.implementation)} {'+'.join(row.backends)} {row.given_dtype} target {target}"
            yield Sentence(f"{name}: {finding.effect.value}: {words}{where}{share}{begins}", severity_of(finding.effect))


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
    return f"use {near(best.implementation)}{published}"


def _next(report: Report) -> Iterator[tuple[str, str]]:
    """What the worst word means, what to ask about the worst implementation, and this report in full."""
    firsts = {row.loss: row.given_dtype for row in reversed(report.ranking)}
    judged = [row for row in report.ranking if row.effect and row.given_dtype == firsts[row.loss]]
    if judged:
        worst = min(judged, key=lambda row: row.effect.effect.severity if row.effect else 0)
        assert worst.effect is not None
        yield "what it means", f"losscheck explain {worst.effect.effect.value}"
        yield from worst.commands
    if not report.verbose and report.reproduce:
        yield "every target", f"{report.reproduce} -v"
