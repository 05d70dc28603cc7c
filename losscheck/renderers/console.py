"""The rich console that the tables print to: a buffer of the reader's width."""

from __future__ import annotations

from typing import IO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from losscheck.renderers import Style

__all__ = ["console_of", "hanging"]


def console_of(out: IO[str], style: Style, width: int) -> Console:
    return Console(
        file=out,
        width=width,
        color_system="standard" if style.color else None,
        force_terminal=style.color,
        highlight=False,
        emoji=False,
        legacy_windows=False,
    )


def hanging(sentence: str, mark: str = "-") -> Table:
    """A sentence whose further lines are indented below its first; its text is never read as markup."""
    table = Table.grid(padding=(0, 1, 0, 0))
    if mark:
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row(*([mark] if mark else []), Text(sentence))
    return table
