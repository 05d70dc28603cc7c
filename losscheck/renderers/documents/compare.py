"""compare: a table for each point and quantity, then what the worst rows mean, in sentences."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from losscheck.core.outcome import Outcome
from losscheck.core.report import Report
from losscheck.core.results import PointRow
from losscheck.renderers.document import Block, Cell, Column, Document, Heading, Kind, Line, Listing, Paragraph, Sentence, Table
from losscheck.renderers.figures import (
    deviation_text,
    exact_text,
    params_text,
    point_text,
    quantity_name,
    relative_text,
    ulp_text,
    value_text,
)
from losscheck.renderers.names import Names, label
from losscheck.renderers.severity import Severity, severity_of

__all__ = ["document", "findings"]

_AT_MOST = 4  # sentences of each kind


def document(report: Report) -> Document:
    blocks: list[Block] = []
    for (loss, dtype, given, params), rows in _grouped(
        report.rows, lambda row: (row.loss, row.dtype, row.logit_dtype, tuple(row.params.items()))
    ):
        shown = f"{dtype} from {given} logits" if given else dtype
        blocks.append(Heading(f"{loss}  {shown}", params_text(dict(params), given or dtype)))
        if definition := report.definitions.get(loss):
            blocks.append(Paragraph(definition, quiet=True))
        if report.reduction != "none":
            blocks.append(Paragraph(f"reduction: {report.reduction}"))
        for _, point in _grouped(rows, lambda row: (row.logits, row.targets, row.quantity)):
            blocks += _block(point)
    blocks.append(Listing(tuple(findings(report))))
    return Document("losscheck compare", tuple(blocks), reproduce=report.reproduce, environment=report.environment)


def _grouped(rows: Sequence[PointRow], key: Callable[[PointRow], Any]) -> Iterator[tuple[Any, list[PointRow]]]:
    """Rows by key, keys in order of first appearance; -0 and +0 are different points."""
    groups: dict[str, tuple[Any, list[PointRow]]] = {}
    for row in rows:
        value = key(row)
        groups.setdefault(repr(value), (value, []))[1].append(row)
    yield from groups.values()


def _block(rows: list[PointRow]) -> list[Block]:
    """One quantity at one point."""
    deviates = any(row.deviation for row in rows)
    columns = [Column("implementation", Kind.NAME), Column("value"), Column("exact"), Column("ulp")]
    columns += [Column("deviation")] if deviates else []
    lines = []
    for name, row in _merged(rows):
        severity = _severity(row)
        cells = [name, value_text(row), exact_text(row.exact, row.dtype), ulp_text(row.ulp)]
        cells += [deviation_text(row.deviation)] if deviates else []
        outcome = Cell(row.outcome.value, severity_of(row.outcome), signed=True)
        lines.append(Line((*(Cell(text, severity) for text in cells), outcome), severity, (row,)))
    heading = Heading(quantity_name(rows[0]), f"at {point_text(rows[0], hexadecimal=True)}", level=2)
    return [heading, Table((*columns, Column("outcome", Kind.WORD)), tuple(lines))]


def _severity(row: PointRow) -> Severity:
    """Of the whole line: a deviating formula is no rounding error, and no failure of the row."""
    if row.outcome is Outcome.OK and row.deviation:
        return Severity.SLIGHT
    return severity_of(row.outcome)


def _merged(rows: Sequence[PointRow]) -> list[tuple[str, PointRow]]:
    """Rows of one point and quantity with their names; backends whose results agree to the bit share a line."""
    name = Names(rows)
    lines: list[tuple[str, PointRow]] = []
    groups: dict[tuple[str, str, str], list[PointRow]] = {}
    for row in rows:
        groups.setdefault((row.implementation, row.device, row.mode), []).append(row)
    for group in groups.values():
        alike = len({(repr(row.value), row.outcome) for row in group}) == 1
        lines += [(name(row, backend=not alike), row) for row in (group[:1] if alike else group)]
    return lines


# Sentences --------------------------------------------------------------------------------------------------------


def findings(report: Report) -> list[Sentence]:
    """What the worst rows mean: failures, then deviations, then what could not run or be decided."""
    failed = sorted((row for row in report.rows if row.failed), key=lambda row: row.badness)
    deviating = _first_of_each(row for row in report.rows if row.deviation)
    deviating.sort(key=lambda row: -abs(row.deviation or 0.0))
    missing = _first_of_each(row for row in report.rows if row.outcome in (Outcome.UNAVAILABLE, Outcome.UNDECIDED))
    sentences = _limited([Sentence(_failure(row), severity_of(row.outcome), (row,)) for row in _first_of_each(failed)], "kinds of failure")
    sentences += _limited([Sentence(_deviation(row), Severity.SLIGHT, (row,)) for row in deviating], "deviating implementations")
    sentences += _limited([Sentence(_missing(row), Severity.UNKNOWN, (row,)) for row in missing], "that could not be judged")
    if not failed:
        judged = sum(row.outcome is Outcome.OK for row in report.rows)
        sentences.insert(0, Sentence(f"All {judged} judged results are within {report.max_ulp:g} ulp of their own formula."))
    sentences += [
        Sentence(f"{difference.differ} of {difference.rows} rows differ in bits between {difference.device} and {difference.other}.")
        for difference in report.differences
    ]
    return [*sentences, *map(Sentence, report.remarks)]


def _failure(row: PointRow) -> str:
    right = exact_text(row.exact, row.dtype)
    got = value_text(row)
    what = {
        Outcome.NAN: f"NaN where {right} is right",
        Outcome.INF: f"{got} where {right} is right",
        Outcome.WRONG_SIGN: f"{got} where {right} is right: the wrong sign",
        Outcome.LOST: f"exactly 0 where {right} is right: it is silently lost",
        Outcome.MISSED_INF: f"{got} where {right} is beyond the largest {row.dtype}",
        Outcome.FLUSHED: f"exactly 0 where the subnormal {right} is right",
        Outcome.INACCURATE: f"{got} where {right} is right, off by {abs(row.ulp or 0.0):.3g} ulp ({relative_text(row.relative_error)})",
    }[row.outcome]
    return f"{label(row)}: the {quantity_name(row)} at {point_text(row)} is {what}."


def _deviation(row: PointRow) -> str:
    own, definition = exact_text(row.exact, row.dtype), exact_text(row.definition, row.dtype)
    why = f" ({row.note})" if row.note else ""
    return (
        f"{row.implementation}: its own formula gives {own} for the {quantity_name(row)} at {point_text(row)}, "
        f"the definition {definition}: a deviation of {deviation_text(row.deviation)}{why}."
    )


def _missing(row: PointRow) -> str:
    if row.outcome is Outcome.UNDECIDED:
        return f"{label(row)}: the {row.quantity} at {point_text(row)} is undecided {row.reason or 'at the precision cap'}."
    return f"{label(row)}: unavailable, {row.reason}."


def _first_of_each(rows: Iterable[PointRow]) -> list[PointRow]:
    """One row for each implementation and outcome: the first, which is the worst when they come sorted."""
    seen: dict[tuple[str, str, str, str, Outcome], PointRow] = {}
    for row in rows:
        seen.setdefault((row.loss, row.implementation, row.device, row.mode, row.outcome), row)
    return list(seen.values())


def _limited(sentences: list[Sentence], what: str) -> list[Sentence]:
    if len(sentences) <= _AT_MOST:
        return sentences
    return [*sentences[:_AT_MOST], Sentence(f"... and {len(sentences) - _AT_MOST} more {what}: see the table.")]
