"""A dumped batch for a terminal: what is in it, outcomes by implementation, the elements that fail, the reduced losses."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from typing import Any

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from losscheck.core.batch_rows import TensorRow
from losscheck.core.outcome import Outcome
from losscheck.core.report import Report
from losscheck.renderers import Style
from losscheck.renderers.console import console_of, hanging
from losscheck.renderers.tensor_words import (
    batch_lines,
    by_loss,
    element_lines,
    failing_count,
    full_name,
    reach_lines,
    row_ulp,
    whole_cells,
    whole_lines,
)

__all__ = ["render"]

MOST_ELEMENTS = 10
MOST_WHOLES = 6
LEAST_NAME = 16


def render(report: Report, style: Style) -> str:
    out = io.StringIO()
    console = console_of(out, style, style.width)
    for batch in report.batches:
        for line in batch_lines(batch):
            console.print(hanging(line, ""))
        console.print()
    for (loss, dtype, params), rows in by_loss(report):
        console.print(Text.assemble((f"{loss}  {dtype}", "bold"), f"  {params}"))
        _print_outcomes(out, report, rows, style)
        _print_wholes(out, report, rows, style)
        console.print()
    failures = element_lines(report, MOST_ELEMENTS)
    console.print(Text("Failing elements, severest first" if failures else "No element fails.", style="bold"))
    for line in failures:
        console.print(hanging(line))
    if wholes := whole_lines(report, MOST_WHOLES):
        console.print()
        console.print(Text("Reduced losses", style="bold"))
        for line in wholes:
            console.print(hanging(line))
    console.print()
    for line in reach_lines(report):
        console.print(hanging(line))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def _print_outcomes(out: Any, report: Report, rows: Sequence[TensorRow], style: Style) -> None:
    """A line for each implementation and quantity."""
    lines = []
    for row in rows:
        outcome = Text("unavailable") if not row.counts else _outcome(row.outcome, style)
        counts = [f"{n} {each.value}" for each, n in sorted(row.counts.items(), key=lambda one: one[0].severity) if each is not row.outcome]
        more = ", ".join(each for each in counts if not each.endswith(" ok"))
        quantity = "gradient" if row.quantity == "grad" else "loss"
        lines.append(([full_name(row, report), quantity, failing_count(row), row_ulp(row)], outcome, more, bool(row.failures)))
    _print(out, ("implementation", "of", "failing", "max ulp"), "severest", "also", lines, style)


def _print_wholes(out: Any, report: Report, rows: Sequence[TensorRow], style: Style) -> None:
    found = [(row, row.whole) for row in rows if row.whole is not None]
    if not found:
        return
    lines = [
        ([full_name(row, report), *whole_cells(row, whole)], _outcome(whole.outcome, style), "", whole.outcome.failed)
        for row, whole in found
    ]
    console_of(out, style, style.width).print(f"\nreduction: {report.reduction}")
    _print(out, ("reduced", "value", "exact", "ulp", "elements", "reduction"), "outcome", "", lines, style)


def _print(out: Any, headings: Sequence[str], last: str, extra: str, lines: Sequence[Any], style: Style) -> None:
    """Numbers are never cut: names fold first, and a screen too narrow even so is overrun."""
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim", show_edge=False)
    widths = [max(len(heading), *(len(cells[n]) for cells, *_ in lines)) for n, heading in enumerate(headings)]
    outcome = max(len(last), *(each.cell_len for _, each, *_ in lines))
    room = max(LEAST_NAME, style.width - 2 - sum(widths[1:]) - len(widths) - outcome)
    show_extra = bool(extra) and any(more for *_, more, _ in lines)
    for n, heading in enumerate(headings):
        table.add_column(heading, justify="left" if n == 0 or heading == "of" else "right", no_wrap=True)
    table.add_column(last, no_wrap=True)
    left = style.width - 2 - min(widths[0], room) - sum(widths[1:]) - len(widths) - outcome - 2
    if show_extra:
        table.add_column(extra)
    for cells, shown, more, failed in lines:
        color = "red" if failed else "none"
        name = "\n".join(textwrap.wrap(cells[0], room)) or cells[0]
        row = [Text(name, style=color), *(Text(cell, style=color) for cell in cells[1:]), shown]
        table.add_row(*row, *([Text("\n".join(textwrap.wrap(more, max(left, LEAST_NAME))), style=color)] if show_extra else []))
    needed = 2 + min(widths[0], room) + sum(widths[1:]) + len(widths) + outcome + 2 + (max(left, LEAST_NAME) if show_extra else 0)
    console_of(out, style, max(style.width, needed)).print(Padding(table, (0, 0, 0, 2)))


def _outcome(outcome: Outcome, style: Style) -> Text:
    """Failures carry a mark before the word, so that they stand out without colour too."""
    mark = ("✗ " if style.unicode else "x ") if outcome.failed else "  "
    return Text(mark + outcome.value, style="bold red" if outcome.failed else "yellow" if outcome is not Outcome.OK else "none")
