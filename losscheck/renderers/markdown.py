"""A document as markdown, for an issue, a pull request or the summary of a CI step."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from losscheck.core.report import Inventory, Report
from losscheck.renderers import Style
from losscheck.renderers.document import (
    Block,
    Cell,
    Code,
    Column,
    Commands,
    Document,
    Entry,
    Heading,
    Legend,
    Listing,
    Paragraph,
    Sentence,
    Strip,
    Table,
)
from losscheck.renderers.documents import document_of
from losscheck.renderers.figures import printable
from losscheck.renderers.severity import Severity
from losscheck.renderers.strips import draw_strip, legend

__all__ = ["render"]

_STRIP = 32  # characters
_MORE = 2  # times as many findings as on a screen


def render(report: Report | Inventory, style: Style) -> str:
    return re.sub("\n{3,}", "\n\n", "\n".join(_lines(document_of(report)))).strip("\n")


def _lines(document: Document) -> Iterator[str]:
    if document.conclusion:
        yield f"### {_sentence(document.conclusion)}"
    before: Block | None = None
    for block in document.blocks:
        # Entries follow each other as one list.
        yield from [] if isinstance(block, Entry) and isinstance(before, Entry) else [""]
        yield from _block(block)
        before = block
    if document.reproduce:
        yield from ("", f"Reproduce: {_code(document.reproduce)}")


def _block(block: Block) -> Iterator[str]:
    match block:
        case Heading(text=text, aside=aside, level=level):
            yield f"{'###' if level == 1 else '####'} {_escape(text.replace('  ', ', '))}{_aside(aside, level)}"
        case Paragraph(text=text):
            yield _escape(text)
            yield ""
        case Legend():
            yield _escape(legend(unicode=True, effects=block.effects))
        case Table():
            yield from _table(block)
        case Listing():
            yield from [f"**{_escape(block.title)}**", ""] if block.title else []
            yield from (f"- {_sentence(sentence)}" for sentence in block.shown(_MORE))
        case Code():
            yield from (f"```{block.language}", *block.lines(printable), "```")
        case Commands(items=items):
            yield from (f"- {_escape(what)}: {_code(command)}" for what, command in items)
        case Entry():
            before, after = ([_escape(line).removesuffix(".") for line in lines] for lines in (block.lines, block.after))
            code = [f"{_escape(block.label)} {' '.join(map(_code, block.code))}"] if block.code else []
            told = ". ".join([*before, *code, *after])
            word = f"{block.severity.sign().strip()} {block.word}".strip()
            trace = f". Which line: {_code(block.trace)}" if block.trace else ""
            yield f"- **{word}** {_escape(f'{block.place} {block.name}')}: {told}. Reproduce: {_code(block.command)}{trace}"


def _aside(aside: str, level: int) -> str:
    if not aside:
        return ""
    return f" ({_escape(aside.replace('  ', ', '))})" if level == 1 else f" {_escape(aside)}"


def _table(table: Table) -> Iterator[str]:
    if not table.lines:
        return
    yield _row([_escape(_heading(column)) or " " for column in table.columns])
    yield _row(["---:" if column.kind.right else "---" for column in table.columns])
    for line in table.lines:
        yield _row([_cell(cell) for cell in line.cells])


def _heading(column: Column) -> str:
    return " to ".join(column.ends) if any(column.ends) else column.heading


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(cell: Cell | Strip) -> str:
    if isinstance(cell, Strip):
        return f"`{draw_strip(cell, _STRIP)}`"
    if not cell.signed:
        return _escape(cell.text)
    text = f"{cell.severity.sign()} {_escape(cell.text)}".strip()
    return f"**{text}**" if cell.severity.fails else text


def _sentence(sentence: Sentence) -> str:
    sign = f"{sentence.severity.sign()} " if sentence.severity is not Severity.FINE else ""
    return sign + _escape(sentence.text)


def _code(text: str) -> str:
    """In one line, between as many backticks as it needs."""
    text = printable(text)
    ticks = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    blank = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{ticks}{blank}{text}{blank}{ticks}"


def _escape(text: str) -> str:
    """In one line, because a line break would end the table; without tags."""
    return re.sub(r"[|*_<`]", r"\\\g<0>", printable(text))
