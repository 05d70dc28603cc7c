"""The table for a terminal. Numbers are never cut: names fold first, and a screen too narrow even so is overrun."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from losscheck.core.dtypes import FORMATS
from losscheck.core.outcome import Outcome
from losscheck.core.report import Report
from losscheck.core.results import PointRow
from losscheck.renderers import Style
from losscheck.renderers.console import console_of, folded, hanging
from losscheck.renderers.words import deviation_text, exact_text, meaning, merged, point_text, ulp_text, value_text

__all__ = ["render"]

LEAST_NAME = 16  # columns a name folds to at the least


def render(report: Report, style: Style) -> str:
    if report.command == "gate":
        from losscheck.renderers import gate_table

        return gate_table.render(report, style)
    if report.sweeps:
        from losscheck.renderers import sweep_table

        return sweep_table.render(report, style)
    if report.tensors:
        from losscheck.renderers import tensor_table

        return tensor_table.render(report, style)
    out = io.StringIO()
    console = console_of(out, style, style.width)
    for (name, dtype, given, params), rows in _grouped(
        report.rows, lambda row: (row.loss, row.dtype, row.logit_dtype, tuple(row.params.items()))
    ):
        values = "  ".join(f"{key}={FORMATS[given or dtype].shortest(value)}" for key, value in params)
        shown = f"{dtype} from {given} logits" if given else dtype
        console.print(Text(f"{name}  {shown}  {values}", style="bold"))
        if definition := report.definitions.get(name):
            console.print(Text(definition, style="dim"))
        if report.reduction != "none":
            console.print(Text(f"reduction: {report.reduction}"))
        for _, block in _grouped(rows, lambda row: (row.logits, row.targets, row.quantity)):
            _print_block(console, block, style)
        console.print()
    for sentence in meaning(report):
        console.print(hanging(sentence))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def _grouped(rows: Sequence[PointRow], key: Callable[[PointRow], Any]) -> Iterator[tuple[Any, list[PointRow]]]:
    """Rows by key, keys in order of first appearance; -0 and +0 are different points."""
    groups: dict[str, tuple[Any, list[PointRow]]] = {}
    for row in rows:
        found = key(row)
        groups.setdefault(repr(found), (found, []))[1].append(row)
    yield from groups.values()


def _print_block(console: Console, rows: list[PointRow], style: Style) -> None:
    quantity = "gradient" if rows[0].quantity == "grad" else "loss"
    console.print()
    console.print(Text.assemble((quantity, "bold"), f" at {point_text(rows[0], hexadecimal=True)}"))
    deviates = any(row.deviation for row in rows)
    headings = ("value", "exact", "ulp", *(["deviation"] if deviates else []))
    lines = [(name, row, _cells(row, deviates), _outcome(row, style)) for name, row in merged(rows)]
    widths = [max(len(heading), *(len(cells[n]) for _, _, cells, _ in lines)) for n, heading in enumerate(headings)]
    room = style.width - 2 - sum(widths) - len(widths) - 2 - max(len("outcome"), *(outcome.cell_len for *_, outcome in lines))
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim", show_edge=False)
    table.add_column("implementation", no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("outcome", no_wrap=True)
    for name, row, cells, outcome in lines:
        color = _color(row)
        lines_of_name = "\n".join(folded(name, max(room, LEAST_NAME)))
        table.add_row(Text(lines_of_name, style=color), *(Text(cell, style=color) for cell in cells), outcome)
    # Numbers are never cut: a screen too narrow even for folded names is overrun.
    needed = style.width - room + LEAST_NAME
    console_of(console.file, style, max(style.width, needed)).print(Padding(table, (0, 0, 0, 2)))


def _cells(row: PointRow, deviates: bool) -> list[str]:
    cells = [value_text(row), exact_text(row.exact, row.dtype), ulp_text(row.ulp)]
    return [*cells, deviation_text(row.deviation)] if deviates else cells


def _outcome(row: PointRow, style: Style) -> Text:
    """Failures carry a mark before the word, so that they stand out without colour too."""
    mark = ("✗ " if style.unicode else "x ") if row.outcome.failed else "  "
    return Text(mark + row.outcome.value, style=_color(row) + (" bold" if row.outcome.failed else ""))


def _color(row: PointRow) -> str:
    if row.outcome.failed:
        return "red"
    if row.outcome is not Outcome.OK:
        return "yellow"
    return "yellow" if row.deviation else "none"
