"""A document for a terminal. The only format that knows a width and draws with rich."""

from __future__ import annotations

import io

from rich.console import Console
from rich.text import Text

from losscheck.core.report import Inventory, Report
from losscheck.renderers import Style
from losscheck.renderers.document import (
    Appendix,
    Block,
    Code,
    Commands,
    Document,
    Entry,
    Heading,
    Legend,
    Listing,
    Paragraph,
    Picture,
    ProgramGraph,
    Sentence,
    Table,
)
from losscheck.renderers.documents import document_of
from losscheck.renderers.figures import printable
from losscheck.renderers.severity import Severity
from losscheck.renderers.strips import legend
from losscheck.renderers.text_table import table_lines

__all__ = ["render"]

_INDENT = "    "  # of what is to be copied


def render(report: Report | Inventory, style: Style) -> str:
    return _Screen(style).show(document_of(report))


class _Screen:
    """Lines that never exceed the width, but for what cannot be broken: a figure, and a command that is to be copied."""

    def __init__(self, style: Style) -> None:
        self.style = style
        self.indent = ""  # of paragraphs below a heading of the second level
        self.out = io.StringIO()
        self.console = Console(
            file=self.out,
            width=style.width,
            color_system="standard" if style.color else None,
            force_terminal=style.color,
            highlight=False,
            emoji=False,
            legacy_windows=False,
        )

    def show(self, document: Document) -> str:
        before: Block | None = None
        for block in document.blocks:
            if isinstance(block, Appendix | Picture | ProgramGraph) or (isinstance(block, Listing) and not (block.items or block.title)):
                continue
            if before is not None and not _joined(before, block):
                self.console.print()
            self._block(block)
            before = block
        if document.conclusion:
            self.console.print()
            self._sentence(document.conclusion, bullet=document.conclusion.severity is not Severity.FINE)
        return "\n".join(line.rstrip() for line in self.out.getvalue().splitlines())

    def _block(self, block: Block) -> None:
        match block:
            case Heading(text=text, aside=aside, level=level):
                self.indent = "  " * (level - 1)
                more = f"{'  ' if level == 1 else ' '}{self._plain(aside)}" if aside else ""
                self._wrapped(Text.assemble((self._plain(text), "bold"), more))
            case Paragraph(text=text, quiet=quiet):
                self._wrapped(Text(self._plain(text), style="dim" if quiet else ""), self.indent, self.indent)
            case Legend():
                self._wrapped(Text(legend(self.style.unicode, block.effects)))
            case Table():
                for line in table_lines(block, self.style):
                    self.console.print(line, soft_wrap=True)
            case Listing():
                if block.title:
                    self._wrapped(Text(block.title, style="bold"))
                for sentence in block.shown():
                    self._sentence(sentence)
            case Entry():
                self._entry(block)
            case Code():
                indent = "" if block.language == "diff" else _INDENT
                for verbatim in block.lines(self._plain):
                    self.console.print(Text(indent + verbatim, tab_size=1), soft_wrap=True)
            case Commands():
                self._commands(block)

    def _entry(self, entry: Entry) -> None:
        word = f"{entry.severity.sign(self.style.unicode)} {entry.word.upper()}"
        self._wrapped(
            Text.assemble((word, f"{entry.severity.color} bold"), f"  {self._plain(entry.place)}: ", (self._plain(entry.name), "bold"))
        )
        for line in entry.lines:
            self._wrapped(Text(self._plain(line)), first="    ", further="    ")
        # Not wrapped: it is there to be copied. A single line stands beside what it is.
        alone = len(entry.code) == 1
        for line in [f"{entry.label}:"] if entry.code and not alone else []:
            self._wrapped(Text(self._plain(line)), first="    ", further="    ")
        for code in entry.code:
            self.console.print(Text(f"    {entry.label if alone else ' ' * 3} {self._plain(code)}"), soft_wrap=True)
        for line in entry.after:
            self._wrapped(Text(self._plain(line)), first="    ", further="    ")
        for told, command in (("reproduce", entry.command), ("which line", entry.trace)):
            if command:
                # Not wrapped: it is there to be copied.
                self.console.print(Text(f"    {told}: {self._plain(command)}"), soft_wrap=True)

    def _commands(self, block: Commands) -> None:
        """Beside what it shows where it fits so, else below it; a command that fits in no line is not broken either."""
        width = max((len(what) for what, _ in block.items), default=0) + 2
        for what, command in block.items:
            beside = width + len(command) <= self.style.width
            self.console.print(Text.assemble((what.ljust(width) if beside else what, "dim"), self._plain(command) * beside), soft_wrap=True)
            if not beside:
                self.console.print(Text(f"  {self._plain(command)}"), soft_wrap=True)

    def _sentence(self, sentence: Sentence, bullet: bool = True) -> None:
        """A hanging sentence, below the sign of its severity; its text is never read as markup."""
        sign = sentence.severity.sign(self.style.unicode).strip() or "-"
        color = sentence.severity.color if not bullet or sign != "-" else ""
        self._wrapped(Text(self._plain(sentence.text)), Text(f"{sign} " if bullet else "", style=color), "  " if bullet else "")

    def _plain(self, text: str) -> str:
        return printable(text, self.style.unicode)

    def _wrapped(self, text: Text, first: Text | str = "", further: str = "") -> None:
        """Wrapped at blanks, longer words anywhere; ``first`` before its first line, ``further`` before the others."""
        for number, line in enumerate(text.wrap(self.console, max(1, self.style.width - len(further)))):
            line.rstrip()
            self.console.print(Text.assemble(first if number == 0 else further, line), soft_wrap=True)


def _joined(before: Block, block: Block) -> bool:
    """Do they stand together, without a blank line? Headings with what they head, and text with what it explains."""
    if isinstance(before, Heading):
        return not isinstance(block, Heading)
    if isinstance(before, Legend) or isinstance(block, Legend):
        return isinstance(before, Legend | Table) and isinstance(block, Legend | Listing)
    if isinstance(block, Code) or isinstance(before, Code):
        return isinstance(before, Table) or isinstance(block, Table)
    return isinstance(before, Paragraph) and isinstance(block, Paragraph | Table | Listing)
