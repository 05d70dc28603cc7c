"""The gate on a terminal: a line for each file, then in full what does not hold, worst first."""

from __future__ import annotations

import io
import math
from collections import Counter

from rich.console import Console
from rich.table import Table
from rich.text import Text

from losscheck.core.report import Report
from losscheck.core.verdict import CaseRow, Verdict
from losscheck.renderers import Style, gate_words
from losscheck.renderers.console import console_of, hanging
from losscheck.renderers.words import ulp_text

__all__ = ["render"]

MOST = 20  # rows told in full without -v
_COLORS = {Verdict.FAIL: "red", Verdict.UNDECIDED: "red", Verdict.PASS: "none"}


def render(report: Report, style: Style) -> str:
    out = io.StringIO()
    console = console_of(out, style, style.width)
    if report.verbose:
        _every_row(console, report, style)
    else:
        _files(console, report)
    bad = gate_words.not_holding(report)
    shown = bad if report.verbose else bad[:MOST]
    for row in shown:
        _in_full(console, row)
    if len(bad) > len(shown):
        console.print(f"... and {len(bad) - len(shown)} more; -v tells all of them")
    console.print()
    for line in gate_words.asides(report):
        console.print(hanging(line))
    verdict = (f"gate {gate_words.in_one_word(report)}", "red bold" if bad else "green")
    console.print(Text.assemble(verdict, f": {gate_words.totals(report)}"))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def _files(console: Console, report: Report) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("file", overflow="fold")
    for heading in ("cases", "rows", "hold", "known", "other"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for file in dict.fromkeys(row.file for row in report.cases):
        rows = [row for row in report.cases if row.file == file]
        counts = Counter(row.verdict for row in rows)
        hold, known = counts[Verdict.PASS], counts[Verdict.KNOWN_FAILURE]
        # What was skipped or not compared has not passed.
        calm = Verdict.PASS if hold or known else min(counts, key=lambda each: each.severity)
        bad = [row.verdict for row in rows if row.verdict.exit_code(report.strict)]
        worst = min(bad, key=lambda each: each.severity, default=calm)
        cells = [str(n) for n in (len({row.case for row in rows}), len(rows), hold, known, len(rows) - hold - known)]
        table.add_row(Text(file), *cells, Text(worst.value, style=_COLORS.get(worst, "yellow")))
    console.print(table)


def _every_row(console: Console, report: Report, style: Style) -> None:
    """A block for each case; the figures of each row in columns."""
    for file, case in dict.fromkeys((row.file, row.case) for row in report.cases):
        rows = [row for row in report.cases if (row.file, row.case) == (file, case)]
        console.print(hanging(f"{file}:{rows[0].line}: {case}", mark=""))
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
        table.add_column(overflow="fold")
        for _ in range(2):
            table.add_column(justify="right", no_wrap=True)
        table.add_column(no_wrap=True)
        for row in rows:
            color = _COLORS.get(row.verdict, "yellow")
            table.add_row(Text(f"  {row.subject}"), *_figures(row), Text(row.verdict.value, style=color))
        console.print(table)


def _figures(row: CaseRow) -> tuple[str, str]:
    """Points and ulp; nothing was measured where nothing ran."""
    if not row.points:
        return "", ""
    ulp = ulp_text(row.max_ulp).lstrip("+")
    return f"{'all ' if row.exhaustive else ''}{row.points}", f"{ulp} of {gate_words.limit_text(row)} ulp" if math.isfinite(
        row.limit
    ) else f"{ulp} ulp"


def _in_full(console: Console, row: CaseRow) -> None:
    console.print()
    where = Text.assemble((row.verdict.value.upper(), "red bold"), f"  {row.file}:{row.line}: ", (row.case, "bold"))
    console.print(where, overflow="fold")
    failing = f", {row.failing} of {row.points} points" if row.failing and row.points else ""
    console.print(hanging(f"{row.subject}{failing}", mark="   "))
    for line in gate_words.message(row):
        if line.startswith("reproduce: "):
            # Not wrapped: it is there to be copied.
            console.print(Text(f"    {line}"), soft_wrap=True)
        else:
            console.print(hanging(line, mark="   "))
