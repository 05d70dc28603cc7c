"""One implementation that check judged, in full: what it does to training, why, what to write instead, and what was judged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from losscheck.core.dtypes import FORMATS
from losscheck.core.effect import Effect
from losscheck.core.files import near
from losscheck.core.ranking import Advice, RankedRow
from losscheck.renderers.document import Block, Cell, Code, Column, Heading, Holds, Line, ProgramGraph, Table
from losscheck.renderers.effects import effect_sentence, judged, left_by, refused_text, rough
from losscheck.renderers.severity import Severity, severity_of

__all__ = ["advice_blocks", "card", "effect_words", "extent", "told_elsewhere"]

_COLUMNS = (Column("", Holds.WORD), Column("", Holds.WORDS))


def card(rows: Sequence[RankedRow]) -> Iterator[Block]:
    """One implementation, its dtypes in their order: the first line says which loss it is, the next what it does, then why."""
    first = rows[0]
    is_what = f"is {first.recognised}" if first.recognised else f"for {first.loss}"
    yield Heading(near(first.implementation), is_what)
    lines = [_effect_line(row, "" if row is first else f" in {row.given_dtype}") for row in told_elsewhere(first, rows)]
    lines += [_refused_line(words) for words in dict.fromkeys(refused_text(row.curves, row.low, row.high) for row in rows) if words][:1]
    yield from _table(lines, first, [_plain("judged", extent(rows))])
    yield from _program(first)


def advice_blocks(row: RankedRow) -> Iterator[Block]:
    """Why and what to write, below the ranking that says what it does; nothing where there is nothing to say."""
    if row.advice or _recognised_with_a_deviation(row):
        yield Heading(near(row.implementation))
        yield from _table([], row, [])
        yield from _program(row)


def _program(row: RankedRow) -> Iterator[Block]:
    """For a page: the call at the worst point as a graph, on demand."""
    if row.advice and row.advice.graph:
        yield ProgramGraph(row.advice.graph, f"{near(row.implementation)}, op by op: how its errors flow")


def told_elsewhere(row: RankedRow, rows: Sequence[RankedRow]) -> list[RankedRow]:
    """The row, and those of other dtypes of the same subject that say more: harm of another kind, or harm where there was none."""
    return [row, *(other for other in rows if other is not row and _worse(other, row))]


def _worse(other: RankedRow, row: RankedRow) -> bool:
    if other.effect is None or row.effect is None:
        return other.effect is None
    return other.effect.effect.harmful and other.effect.effect is not row.effect.effect


def effect_words(row: RankedRow) -> str:
    """The worst effect, and where another target shows harm of another kind, that too."""
    sentences: dict[Effect, str] = {}
    for finding in row.findings:
        if finding.effect.harmful or finding is row.effect:
            spans = row.spans if finding is row.effect else ()
            sentences.setdefault(finding.effect, effect_sentence(finding, row.low, row.high, row.given_dtype, row.max_ulp, spans))
    first, *others = sentences.items()
    return "; ".join([first[1], *(f"{effect.value}: {words}" for effect, words in others[:1])])


def extent(rows: Sequence[RankedRow]) -> str:
    """'float32 at 354 logits, bfloat16 and float16 at every float, from -100 to 100, targets 0 0.5 1'"""
    first = rows[0]
    dtypes: dict[str, dict[str, None]] = {}
    for row in rows:
        dtypes.setdefault("every float" if row.exhaustive else f"{row.points} logits", {})[row.given_dtype] = None
    judged = [f"{' and '.join(names)} at {extent}" for extent, names in dtypes.items()]
    targets = " ".join(FORMATS[first.given_dtype].shortest(target) for target in first.targets)
    return f"{', '.join(judged)}, from {rough(first.low)} to {rough(first.high)}, targets {targets}"


def _table(lines: Sequence[Line], row: RankedRow, after: Sequence[Line]) -> Iterator[Block]:
    """The lines, then why and what to write; the code in lines of their own, to be copied."""
    advice = row.advice or Advice()
    told = [*lines]
    if why := _why(row, advice):
        told.append(_plain("why", why))
    if advice.write:
        told.append(_plain("besides" if left_by(advice, row.effect) else "write", judged(row.effect, advice)))
    if not advice.write:
        yield Table(_COLUMNS, (*told, *after), headed=False)
        return
    yield Table(_COLUMNS, tuple(told), headed=False)
    yield Code("\n".join(advice.write), "python")
    if after:
        yield Table(_COLUMNS, tuple(after), headed=False)


def _effect_line(row: RankedRow, where: str) -> Line:
    if row.effect is None:
        return Line((Cell(f"not judged{where}", Severity.UNKNOWN, signed=True), Cell(row.reason)), Severity.UNKNOWN, (row,))
    severity = severity_of(row.effect.effect)
    return Line((Cell(f"{row.effect.effect.value}{where}", severity, signed=True), Cell(effect_words(row))), severity, (row,))


def _refused_line(words: str) -> Line:
    return Line((Cell("refused", Severity.UNKNOWN, signed=True), Cell(words)), Severity.UNKNOWN)


def _plain(word: str, text: str) -> Line:
    return Line((Cell(f"  {word}"), Cell(text)))


def _recognised_with_a_deviation(row: RankedRow) -> bool:
    return bool(row.recognised and not row.sure and row.note)


def _why(row: RankedRow, advice: Advice) -> str:
    """How it differs from the loss, where it does; and the op that lost what was needed, where one call told it."""
    deviation = row.note if _recognised_with_a_deviation(row) else ""
    cause = f"{advice.place}: {advice.why}" if advice.place else advice.why
    return " ".join(part for part in (deviation, f"{cause}." if deviation and cause else cause) if part)
