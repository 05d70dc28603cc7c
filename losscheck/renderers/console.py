"""The rich console that the tables print to: a buffer of the reader's width."""

from __future__ import annotations

import re
import textwrap
from typing import IO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from losscheck.renderers import Style

__all__ = ["console_of", "folded", "hanging"]


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


def folded(name: str, width: int) -> list[str]:
    """A name in lines: broken at spaces, and a path after its slashes, dots and colons before anywhere else."""
    lines = [""]
    for part in re.findall(r"[^\s/.:]*(?:[/.:]+|\s+|$)", name):
        if lines[-1] and len((lines[-1] + part).rstrip()) > width:
            lines.append("")
        lines[-1] += part
    return [piece for line in lines for piece in textwrap.wrap(line, width)]
