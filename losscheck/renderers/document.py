"""A report for people as plain data: headings, tables, findings. Built once in `documents/`, written by each format.

Text is plain: no markup, no escapes, no colour. What is wrong carries a severity; the writer chooses how to show it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from losscheck.core.effect import Effect
from losscheck.core.outcome import Outcome
from losscheck.core.report import Report
from losscheck.core.results import Row
from losscheck.renderers.severity import Severity

__all__ = [
    "Appendix",
    "Block",
    "Cell",
    "Code",
    "Column",
    "Commands",
    "Document",
    "Entry",
    "Heading",
    "Holds",
    "Legend",
    "Line",
    "Listing",
    "Paragraph",
    "Picture",
    "ProgramGraph",
    "Sentence",
    "Strip",
    "Table",
    "which_line",
]


class Holds(Enum):
    """What a column holds, and with it what may happen to it where room is short."""

    NAME = "name"  # folds at blanks, slashes, dots and colons
    FIGURE = "figure"  # never cut
    WORD = "word"  # never cut, to the left
    WORDS = "words"  # wraps
    STRIP = "strip"  # takes the room there is

    @property
    def right(self) -> bool:
        """Does it stand at the right of its column?"""
        return self is Holds.FIGURE


@dataclass(frozen=True)
class Column:
    """A column. ``ends``: what a strip's ends stand for. ``optional``: left out where there is no room for it."""

    heading: str
    kind: Holds = Holds.FIGURE
    optional: bool = False
    ends: tuple[str, str] = ("", "")


@dataclass(frozen=True)
class Cell:
    """Text with what it means. ``signed``: the severity's sign stands before it. ``key``: sorts, where the text does not."""

    text: str
    severity: Severity = Severity.FINE
    signed: bool = False
    key: float | None = None


@dataclass(frozen=True)
class Strip:
    """A range, from low to high logits: the largest |ulp| (-1 without a point) and the severest outcome of each cell.

    ``zero``: which part of the range lies below logit 0; None when 0 is not inside it. ``effects``: the severest effect of
    each cell; empty where the strip tells outcomes.
    """

    cells: tuple[tuple[float, Outcome | None], ...]
    zero: float | None = None
    effects: tuple[Effect | None, ...] = ()


@dataclass(frozen=True)
class Line:
    """A row of a table. ``rows``: what it tells of, for formats that can choose."""

    cells: tuple[Cell | Strip, ...]
    severity: Severity = Severity.FINE
    rows: tuple[Row, ...] = ()


@dataclass(frozen=True)
class Table:
    """``ranking``: a line for each implementation with its effect, which formats that begin with one need not repeat."""

    columns: tuple[Column, ...]
    lines: Sequence[Line]
    headed: bool = True
    ranking: bool = False


@dataclass(frozen=True)
class Heading:
    """``level`` 1 begins a part, 2 a piece of it; ``aside`` belongs to it but is not the name."""

    text: str
    aside: str = ""
    level: int = 1


@dataclass(frozen=True)
class Paragraph:
    """``quiet``: there to be looked up; ``answer``: what a reader came for."""

    text: str
    quiet: bool = False
    answer: bool = False


@dataclass(frozen=True)
class Sentence:
    """A finding. ``rows``: what it tells of, for formats that can choose."""

    text: str
    severity: Severity = Severity.FINE
    rows: tuple[Row, ...] = ()


@dataclass(frozen=True)
class Listing:
    """Findings, worst first. A short format shows ``limit`` of them, None for all; ``total`` there are, called ``what``."""

    items: tuple[Sentence, ...]
    title: str = ""
    limit: int | None = None
    total: int = 0
    what: str = ""

    def shown(self, factor: int = 1) -> tuple[Sentence, ...]:
        """The first ones, ``factor`` times the limit, and how many are left out."""
        limit = len(self.items) if self.limit is None else self.limit * factor
        left_out = max(self.total, len(self.items)) - limit
        return self.items[:limit] if left_out <= 0 else (*self.items[:limit], Sentence(f"... and {left_out} more {self.what}"))


@dataclass(frozen=True)
class Entry:
    """One finding in full: a headline, its lines, code to be copied below what it is (``label``), what is to be said of it after that,
    the command that shows it again, and the one that shows its line."""

    word: str
    place: str
    name: str
    lines: tuple[str, ...]
    command: str = ""
    severity: Severity = Severity.BROKEN
    code: tuple[str, ...] = ()
    label: str = ""
    after: tuple[str, ...] = ()
    trace: str = ""


@dataclass(frozen=True)
class Code:
    """Lines to be copied as they are, such as a diff: nothing is wrapped, and tabs stay. A screen indents what is no diff."""

    text: str
    language: str = "diff"

    def lines(self, plain: Callable[[str], str]) -> list[str]:
        """Each made harmless by ``plain``."""
        return ["\t".join(map(plain, line.split("\t"))) for line in self.text.split("\n")]


@dataclass(frozen=True)
class Commands:
    """What to ask next: (what it shows, the command). Each command stands in one line, to be copied."""

    items: tuple[tuple[str, str], ...]


def which_line(trace: str) -> tuple[Commands, ...]:
    """How a report of failures ends: with the command that shows which line did the worst of them, where there is one."""
    return (Commands((("which line, and what to write", trace),)),) if trace else ()


@dataclass(frozen=True)
class Picture:
    """The curves of a sweep, for formats that can show them."""

    report: Report


@dataclass(frozen=True)
class ProgramGraph:
    """A traced program as a graph (``losscheck.tracing.graph``), for formats that can show it. ``folded``: shown on demand, under this."""

    graph: Mapping[str, Any]
    folded: str = ""


@dataclass(frozen=True)
class Legend:
    """What the characters of strips mean; they depend on what a screen can show. ``effects``: of strips that tell effects."""

    effects: bool = False


@dataclass(frozen=True)
class Appendix:
    """Evidence that only a page has room for; the lines of its table may be made when a page asks for them."""

    title: str
    table: Table


Block = Appendix | Code | Commands | Heading | Paragraph | Table | Listing | Entry | Picture | ProgramGraph | Legend


@dataclass(frozen=True)
class Document:
    """Blocks in the order they are read. A screen ends in the ``conclusion``, every other format begins with it."""

    title: str
    blocks: tuple[Block, ...]
    conclusion: Sentence | None = None
    reproduce: str = ""
    environment: Mapping[str, Any] = field(default_factory=dict)
