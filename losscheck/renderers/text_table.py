"""A table in lines of a screen's width. Figures are never cut: optional columns go, names fold, strips shrink; and where
even that does not fit, each row becomes a small paragraph of its own."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

from rich.text import Text

from losscheck.renderers import Style
from losscheck.renderers.document import Cell, Column, Holds, Strip, Table
from losscheck.renderers.figures import printable
from losscheck.renderers.severity import Severity
from losscheck.renderers.strips import axis, painted

__all__ = ["table_lines"]

_INDENT = 2
_GAP = 1
_LEAST = {Holds.NAME: 12, Holds.WORDS: 16, Holds.STRIP: 16}  # what a column shrinks to; the others never do
_GOOD_STRIP = 32  # optional columns make room for this much
_MOST_STRIP = 100


def table_lines(table: Table, style: Style) -> list[Text]:
    """The table, indented by two columns."""
    room = style.width - _INDENT
    kept = list(range(len(table.columns)))
    while sum(_wanted(table, kept, style)) + _GAP * (len(kept) - 1) > room:
        optional = [place for place in kept if table.columns[place].optional]
        if not optional:
            break
        kept.remove(optional[-1])
    widths = _widths(table, kept, style, room)
    lines = _stacked(table, style, room) if widths is None else _in_columns(table, kept, widths, style)
    return [Text(" " * _INDENT) + line for line in lines]


# Widths -----------------------------------------------------------------------------------------------------------


def _natural(table: Table, place: int, style: Style) -> int:
    """The width of a column whose cells stand in one line each; of a strip, what it likes to have."""
    column = table.columns[place]
    cells = [line.cells[place] for line in table.lines]
    widths = [_cell_text(cell, style).cell_len for cell in cells if isinstance(cell, Cell)]
    if column.kind is Holds.STRIP:
        return max(_LEAST[Holds.STRIP], sum(map(len, column.ends)) + 1)
    return max([len(column.heading) if table.headed else 0, *widths])


def _wanted(table: Table, kept: Sequence[int], style: Style) -> list[int]:
    return [_GOOD_STRIP if table.columns[place].kind is Holds.STRIP else _natural(table, place, style) for place in kept]


def _widths(table: Table, kept: Sequence[int], style: Style, room: int) -> list[int] | None:
    """Widths that fit: everything at its least, then names, words and strips share what is left; None where nothing fits."""
    natural = [_natural(table, place, style) for place in kept]
    kinds = [table.columns[place].kind for place in kept]
    headings = [len(table.columns[place].heading) if table.headed else 0 for place in kept]
    widths = [min(width, max(_LEAST.get(kind, width), heading)) for kind, width, heading in zip(kinds, natural, headings, strict=True)]
    spare = room - sum(widths) - _GAP * (len(kept) - 1)
    if spare < 0:
        return None
    for kind in (Holds.NAME, Holds.WORDS, Holds.STRIP):
        for place, width in enumerate(widths):
            if kinds[place] is kind:
                more = min(spare, (_MOST_STRIP if kind is Holds.STRIP else natural[place]) - width)
                widths[place], spare = width + more, spare - more
    return widths


# Lines ------------------------------------------------------------------------------------------------------------


def _in_columns(table: Table, kept: Sequence[int], widths: Sequence[int], style: Style) -> list[Text]:
    columns = [table.columns[place] for place in kept]
    lines = []
    if table.headed:
        strips = [cell for line in table.lines for cell in line.cells if isinstance(cell, Strip)]
        headings = [
            [Text(_heading(column, width, strips), style="dim")] if column.heading else [Text("")]
            for column, width in zip(columns, widths, strict=True)
        ]
        lines += _joined(headings, columns, widths)
    for line in table.lines:
        cells = [_fitted(line.cells[place], column, width, style) for place, column, width in zip(kept, columns, widths, strict=True)]
        lines += _joined(cells, columns, widths)
    return lines


def _heading(column: Column, width: int, strips: Sequence[Strip]) -> str:
    if column.kind is not Holds.STRIP:
        return column.heading
    return axis(strips[0] if strips else Strip(()), column.ends, width)


def _joined(cells: Sequence[Sequence[Text]], columns: Sequence[Column], widths: Sequence[int]) -> list[Text]:
    """One row of a table: as many lines as its highest cell."""
    lines = []
    for height in range(max(map(len, cells))):
        line = Text("")
        for cell, column, width in zip(cells, columns, widths, strict=True):
            text = cell[height] if height < len(cell) else Text("")
            blank = " " * max(0, width - text.cell_len)
            line += Text.assemble(blank, text, " ") if column.kind is Holds.FIGURE else Text.assemble(text, blank, " ")
        lines.append(line)
    return lines


def _fitted(cell: Cell | Strip, column: Column, width: int, style: Style) -> list[Text]:
    if isinstance(cell, Strip):
        return [_colored(cell, width, style)]
    text = _cell_text(cell, style)
    if text.cell_len <= width:
        return [text]
    hanging = "  " if cell.signed else ""
    pieces = folded(text.plain, width) if column.kind is Holds.NAME else textwrap.wrap(text.plain, width, subsequent_indent=hanging)
    return [Text(piece, style=text.style) for piece in pieces]


def _stacked(table: Table, style: Style, room: int) -> list[Text]:
    """Each row as a paragraph: its first cell, and below it every other with its heading."""
    lines: list[Text] = []
    for line in table.lines:
        for number, (cell, column) in enumerate(zip(line.cells, table.columns, strict=True)):
            indent = "" if number == 0 else "  "
            heading = f"{column.heading} " if number and column.heading and table.headed else ""
            if isinstance(cell, Strip):
                width = min(room - len(indent), _MOST_STRIP)
                strip = _colored(cell, width, style)
                lines += [Text(indent + axis(cell, column.ends, width), style="dim"), Text.assemble(indent, strip)]
                continue
            text = _cell_text(cell, style)
            if not text.plain.strip():
                continue
            width = max(room - len(indent), 1)
            whole = heading + text.plain.strip()
            pieces = [whole] if column.kind is Holds.FIGURE else folded(whole, width)
            lines += [Text(indent + piece, style=text.style) for piece in pieces]
    return lines


def folded(name: str, width: int) -> list[str]:
    """A name in lines: broken at blanks, a path that is too long for one after its slashes, dots and colons, else anywhere."""
    parts: list[str] = []
    for word in re.findall(r"\S+\s*", name):
        parts += [word] if len(word.rstrip()) <= width else re.findall(r"[^/.:]*(?:[/.:]+|$)", word)
    lines = [""]
    for part in parts:
        if lines[-1] and len((lines[-1] + part).rstrip()) > width:
            lines.append("")
        lines[-1] += part
    return [piece for line in lines for piece in textwrap.wrap(line, width)]


def _cell_text(cell: Cell, style: Style) -> Text:
    """Signs stand before the word, so that failures stand out without colour too."""
    text = printable(cell.text, style.unicode)
    shown = f"{cell.severity.sign(style.unicode)} {text}" if cell.signed else text
    bold = " bold" if cell.signed and cell.severity.fails else ""
    return Text(shown, style=cell.severity.color + bold)


def _colored(strip: Strip, width: int, style: Style) -> Text:
    """One colour a severity; what is right is green."""
    parts = painted(strip, width, style.unicode)
    return Text.assemble(
        *((character, "green" if severity is Severity.FINE else f"{severity.color} bold") for character, severity in parts)
    )
