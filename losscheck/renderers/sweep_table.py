"""A sweep for a terminal: a row an implementation and target, with a strip over the range; then the regions."""

from __future__ import annotations

import io
from typing import Any

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from losscheck.core.report import Report
from losscheck.core.results import SweepRow
from losscheck.renderers import Style
from losscheck.renderers.console import console_of, folded, hanging
from losscheck.renderers.sweep_words import (
    LETTERS,
    by_table,
    coverage,
    failing_text,
    legend,
    region_lines,
    row_name,
    several,
    strip,
    target_text,
)
from losscheck.renderers.words import ulp_text

__all__ = ["render"]

MOST_REGIONS = 16
LEAST_STRIP = 16
LEAST_NAME = 24  # columns a name folds to at the least


def render(report: Report, style: Style) -> str:
    out = io.StringIO()
    console = console_of(out, style, style.width)
    device, layout = several(report, "device"), several(report, "layout")
    definitions = dict(report.definitions)  # each is told once, before its first number
    for (loss, dtype, params, quantity), rows in by_table(report):
        name = "gradient" if quantity == "grad" else "loss"
        console.print(Text.assemble((f"{loss}  {name}  {dtype}", "bold"), f"  {params}"))
        if definition := definitions.pop(loss, ""):
            console.print(Text(definition, style="dim"))
        _print_rows(out, rows, style, [row_name(row, device=device, layout=layout) for row in rows])
        console.print()
    console.print(hanging(legend(style.unicode), ""))
    console.print()
    failures = region_lines(report, MOST_REGIONS)
    console.print(Text("Failures, severest and largest first" if failures else "No failure was found.", style="bold"))
    for line in failures:
        console.print(hanging(line))
    console.print()
    for line in coverage(report):
        console.print(hanging(line))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def _print_rows(out: Any, rows: list[SweepRow], style: Style, names: list[str]) -> None:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim", show_edge=False)
    columns = [("target", [target_text(row) for row in rows], "right")]
    columns += [("max ulp", [ulp_text(row.max_ulp).lstrip("+") if not row.reason else "-" for row in rows], "right")]
    columns += [("failing", [failing_text(row) for row in rows], "right")]
    used = 2 + sum(max(len(heading), *map(len, cells)) + 1 for heading, cells, _ in columns)
    room = max(LEAST_NAME, style.width - used - 1 - LEAST_STRIP)
    columns.insert(0, ("implementation", ["\n".join(folded(name, room)) for name in names], "left"))
    used += 1 + max(len(line) for _, cells, _ in columns[:1] for cell in ["implementation", *cells] for line in cell.split("\n"))
    width = max(LEAST_STRIP, min(style.width - used, 100))
    for heading, _, justify in columns:
        table.add_column(heading, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    low, high = f"{rows[0].low:g}", f"{rows[0].high:g}"
    table.add_column(low + " " * max(1, width - len(low) - len(high)) + high, no_wrap=True)
    for n, row in enumerate(rows):
        cells = [cells[n] for _, cells, _ in columns]
        color = "red" if row.failures else "none"
        shown = Text(row.reason) if row.reason else _colored(strip(row, width, style.unicode))
        table.add_row(*(Text(cell, style=color) for cell in cells), shown)
    console_of(out, style, max(style.width, used + width)).print(Padding(table, (0, 0, 0, 2)))


def _colored(text: str) -> Text:
    letters = set(LETTERS.values())
    return Text.assemble(*((each, "bold red" if each in letters else "green") for each in text))
