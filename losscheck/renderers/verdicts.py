"""Verdicts of the gate in words: what the document, JUnit and the annotations for GitHub share."""

from __future__ import annotations

import math
from collections import Counter

from losscheck.core.dtypes import FORMATS
from losscheck.core.report import Report
from losscheck.core.verdict import CaseRow, Verdict, exit_code
from losscheck.renderers.figures import counted, exact_figure, point_text, ulp_text, value_figure

__all__ = ["asides", "holds", "limit_text", "message", "not_holding", "places", "totals", "why", "worst_point_text"]

_NAMES = {
    Verdict.PASS: "hold",
    Verdict.KNOWN_FAILURE: "fail as known",
    Verdict.SKIPPED: "skipped",
    Verdict.BETTER: "better than recorded",
    Verdict.NOT_COMPARABLE: "not comparable",
    Verdict.UNDECIDED: "could not be judged",
    Verdict.FAIL: "fail",
}


def not_holding(report: Report) -> list[CaseRow]:
    """The rows that decide the exit code when it is not 0, worst first."""
    bad = [row for row in report.cases if row.verdict.exit_code(report.strict)]
    return sorted(bad, key=lambda row: row.badness)


def holds(report: Report) -> str:
    """In one word: holds, broken, or could not judge."""
    return ("holds", "broken", "could not judge")[exit_code(report.cases, report.strict)]


def totals(report: Report) -> str:
    """'172 rows of 31 cases in 5 files: 150 hold, 20 fail as known, 2 skipped.'"""
    counts = Counter(row.verdict for row in report.cases)
    cases, files = {(row.file, row.case) for row in report.cases}, {row.file for row in report.cases}
    parts = ", ".join(f"{counts[verdict]} {_NAMES[verdict]}" for verdict in reversed(Verdict) if counts[verdict])
    return f"{counted(len(report.cases), 'row')} of {counted(len(cases), 'case')} in {counted(len(files), 'file')}: {parts or 'nothing'}."


def asides(report: Report) -> list[str]:
    """What explains callables of the user's; why rows were skipped, not compared, or are better than recorded."""
    told = list(report.remarks)
    for verdict in (Verdict.SKIPPED, Verdict.NOT_COMPARABLE, Verdict.BETTER):
        if verdict.exit_code(report.strict):
            continue
        reasons = Counter(row.reason for row in report.cases if row.verdict is verdict)
        told += [f"{count} {_NAMES[verdict]}: {reason}" for reason, count in reasons.most_common(3)]
    return told


def why(row: CaseRow) -> list[str]:
    """Why a row does not hold, a sentence a line: its reason and the worst point."""
    return [line for line in (row.reason, worst_point_text(row)) if line]


def message(row: CaseRow) -> list[str]:
    """Everything about a row that does not hold, a sentence a line: why, the worst point, the commands."""
    return [*why(row), f"reproduce: {row.reproduce}", *([f"which line: {row.trace}"] if row.trace else [])]


def worst_point_text(row: CaseRow) -> str:
    """'logit -15 (-0x1.ep+3), target 0: got 0, exact 3.06e-07, -1.1e+07 ulp (lost), limit 8 ulp'"""
    worst = row.worst
    if worst is None:
        return ""
    figures = (
        f"got {value_figure(worst)}, exact {exact_figure(worst.exact, worst.dtype)}, {ulp_text(worst.ulp)} ulp ({worst.outcome.value})"
    )
    limit = f", limit {limit_text(row)} ulp" if math.isfinite(row.limit) else ""
    return f"{point_text(worst, hexadecimal=True)}: {figures}{limit}"


def limit_text(row: CaseRow) -> str:
    """The limit in ulp; 'inf' where the record alone judges."""
    return FORMATS["float64"].shortest(row.limit)


def places(row: CaseRow) -> tuple[tuple[str, int], str]:
    """The file and line where a reader mends it: the callable of theirs, else the case; and where the case is, when that is elsewhere."""
    return (row.source, f"case: {row.file}:{row.line}") if row.source[0] else ((row.file, row.line), "")
