"""gate: a line for each file (each row with -v), then in full what does not hold, worst first, then the verdict."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

from losscheck.core.report import Report
from losscheck.core.verdict import CaseRow, Verdict, exit_code
from losscheck.renderers.document import Block, Cell, Column, Document, Entry, Heading, Holds, Line, Listing, Sentence, Table
from losscheck.renderers.figures import quantity_name, ulp_size
from losscheck.renderers.severity import Severity, severity_of
from losscheck.renderers.verdicts import asides, holds, limit_text, not_holding, totals, worst_point_text

__all__ = ["document"]

_MOST = 20  # rows told in full without -v


def document(report: Report) -> Document:
    blocks: list[Block] = list(_every_row(report)) if report.verbose else [_files(report)]
    bad = _told_together(not_holding(report))
    shown = bad if report.verbose else bad[:_MOST]
    blocks += map(_in_full, shown)
    left_out = [Sentence(f"... and {len(bad) - len(shown)} more; -v tells all of them")] if len(bad) > len(shown) else []
    blocks.append(Listing((*left_out, *map(Sentence, asides(report)))))
    severity = (Severity.FINE, Severity.BROKEN, Severity.UNKNOWN)[exit_code(report.cases, report.strict)]
    conclusion = Sentence(f"gate {holds(report)}: {totals(report)}", severity)
    return Document("losscheck gate", tuple(blocks), conclusion, report.reproduce, report.environment)


def _files(report: Report) -> Table:
    columns = [Column("file", Holds.NAME), *map(Column, ("cases", "rows", "hold", "known", "other")), Column("verdict", Holds.WORD)]
    lines = []
    for file in dict.fromkeys(row.file for row in report.cases):
        rows = [row for row in report.cases if row.file == file]
        counts = Counter(row.verdict for row in rows)
        hold, known = counts[Verdict.PASS], counts[Verdict.KNOWN_FAILURE]
        worst = _worst(rows, report.strict)
        figures = (len({row.case for row in rows}), len(rows), hold, known, len(rows) - hold - known)
        severity = severity_of(worst)
        lines.append(Line((Cell(file), *(Cell(str(count)) for count in figures), Cell(worst.value, severity, signed=True)), severity))
    return Table(tuple(columns), tuple(lines))


def _worst(rows: list[CaseRow], strict: bool) -> Verdict:
    """The verdict on a file: what breaks it; else pass, unless nothing was compared: what was skipped has not passed."""
    bad = [row.verdict for row in rows if row.verdict.exit_code(strict)]
    if not bad and any(row.verdict in (Verdict.PASS, Verdict.KNOWN_FAILURE) for row in rows):
        return Verdict.PASS
    return min(bad or [row.verdict for row in rows], key=lambda verdict: verdict.severity)


def _every_row(report: Report) -> Iterator[Block]:
    """A block for each case; the figures of each row in columns."""
    columns = (Column("", Holds.NAME), Column("points"), Column("max ulp"), Column("effect", Holds.WORD), Column("verdict", Holds.WORD))
    for file, case in dict.fromkeys((row.file, row.case) for row in report.cases):
        rows = [row for row in report.cases if (row.file, row.case) == (file, case)]
        yield Heading(f"{file}:{rows[0].line}: {case}", level=2)
        lines = []
        for row in rows:
            severity = severity_of(row.verdict)
            effect = Cell(row.effect.effect.value, severity_of(row.effect.effect)) if row.effect else Cell("")
            cells = (Cell(row.subject), *map(Cell, _figures(row)), effect, Cell(row.verdict.value, severity, signed=True))
            lines.append(Line(cells, severity))
        yield Table(columns, tuple(lines), headed=False)


def _figures(row: CaseRow) -> tuple[str, str]:
    """Points and ulp; nothing was measured where nothing ran."""
    if not row.points:
        return "", ""
    limit = f" of {limit_text(row)}" if math.isfinite(row.limit) else ""
    return f"{'all ' if row.exhaustive else ''}{row.points}", f"{ulp_size(row.max_ulp)}{limit} ulp"


def _told_together(rows: Sequence[CaseRow]) -> list[list[CaseRow]]:
    """Loss and gradient of one subject that do not hold for one reason: an effect is one of both."""
    groups: list[list[CaseRow]] = []
    for row in rows:
        same = (group for group in groups if _reason(group[0]) == _reason(row) and row.quantity not in [other.quantity for other in group])
        group = next(same, None)
        if group is None:
            groups.append([row])
        else:
            group.append(row)
    return groups


def _reason(row: CaseRow) -> tuple[object, ...]:
    return row.file, row.line, row.case, row.of_both, row.verdict, row.reason, row.reproduce


def _in_full(rows: Sequence[CaseRow]) -> Entry:
    first = rows[0]
    failing = [
        f"{quantity_name(row)}, {row.failing} of {row.points} points" if row.failing and row.points else quantity_name(row) for row in rows
    ]
    worst = [f"{f'{quantity_name(row)} at ' if len(rows) > 1 else ''}{told}" for row in rows if (told := worst_point_text(row))]
    lines = (f"{first.of_both} {'; '.join(failing)}", *filter(None, [first.reason]), *worst)
    place, severity = f"{first.file}:{first.line}", severity_of(first.verdict)
    return Entry(
        first.verdict.value, place, first.case, lines, first.reproduce, severity, trace=next((row.trace for row in rows if row.trace), "")
    )
