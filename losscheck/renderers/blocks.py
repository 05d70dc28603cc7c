"""The blocks of a document as HTML."""

from __future__ import annotations

from losscheck.renderers.curves import escape
from losscheck.renderers.document import (
    Appendix,
    Block,
    Cell,
    Code,
    Column,
    Commands,
    Entry,
    Heading,
    Legend,
    Line,
    Listing,
    Paragraph,
    Picture,
    ProgramGraph,
    Sentence,
    Strip,
    Table,
)
from losscheck.renderers.filters import Filters
from losscheck.renderers.program import program
from losscheck.renderers.severity import Severity
from losscheck.renderers.strips import draw_strip, legend

__all__ = ["block_html", "sentence_html"]

_STRIP = 80  # characters
_MORE = 25  # times as many findings as on a screen


def block_html(block: Block, filters: Filters) -> str:
    """One element or several; a picture is the page's own business."""
    match block:
        case Heading(text=text, aside=aside, level=level):
            small = f" <small>{escape(aside)}</small>" if aside else ""
            return f"<h{level + 1}>{escape(text)}{small}</h{level + 1}>"
        case Paragraph(text=text, quiet=quiet, answer=answer):
            css = " class=answer" if answer else " class=quiet" if quiet else ""
            return f"<p{css}>{escape(text)}</p>"
        case Legend():
            return f"<p class=quiet>{escape(legend(unicode=True, effects=block.effects))}</p>"
        case Table():
            return _table(block, filters)
        case Listing():
            title = f"<h2>{escape(block.title)}</h2>" if block.title else ""
            items = "".join(f"<li{_tags(sentence, filters)}>{sentence_html(sentence)}</li>" for sentence in block.shown(_MORE))
            return title + (f"<ul>{items}</ul>" if items else "")
        case Entry():
            return _entry(block)
        case Code():
            return "<pre><code>" + "\n".join(block.lines(escape)) + "</code></pre>"
        case Commands(items=items):
            told = "".join(f"<dt>{escape(what)}</dt><dd><code>{escape(command)}</code></dd>" for what, command in items)
            return f'<dl class="commands">{told}</dl>'
        case Appendix(title=title, table=table):
            return f"<details><summary>{escape(title)}</summary>{_table(table, filters)}</details>" if table.lines else ""
        case ProgramGraph(graph=graph, folded=folded):
            return f"<details><summary>{escape(folded)}</summary>{program(graph)}</details>" if folded else program(graph)
        case Picture():
            return ""


def sentence_html(sentence: Sentence) -> str:
    """The sign of its severity, which is no colour alone, and the text."""
    severity = sentence.severity
    sign = f'<span class="word {severity.name.lower()}">{severity.sign()}</span> ' if severity is not Severity.FINE else ""
    return sign + escape(sentence.text)


def _entry(entry: Entry) -> str:
    word = Sentence(entry.word, entry.severity)
    told, after = ("".join(f"<li>{escape(line)}</li>" for line in lines) for lines in (entry.lines, entry.after))
    commands = "".join(f"<pre><code>{escape(text)}</code></pre>" for text in (entry.command, entry.trace) if text)
    code = "\n".join(map(escape, entry.code))
    code = f"<p>{escape(entry.label)}</p><pre><code>{code}</code></pre>" if code else ""
    after = f"<ul>{after}</ul>" if after else ""
    return f"<h3>{sentence_html(word)} {escape(f'{entry.place}: {entry.name}')}</h3><ul>{told}</ul>{code}{after}{commands}"


def _table(table: Table, filters: Filters) -> str:
    """A table scrolls inside its own box, which the keyboard reaches: the page itself never scrolls sideways."""
    head = "".join(f'<th scope="col"{_class(column)}>{escape(_heading(column))}</th>' for column in table.columns)
    rows = []
    for line in table.lines:
        cells = "".join(_cell(cell, column) for cell, column in zip(line.cells, table.columns, strict=True))
        rows.append(f"<tr{_tags(line, filters)}>{cells}</tr>")
    shown = f"<thead><tr>{head}</tr></thead>" if table.headed else ""
    body = "\n".join(rows)
    return f'<div class="scroll" tabindex="0" role="region" aria-label="Table"><table>{shown}<tbody>\n{body}\n</tbody></table></div>'


def _tags(told: Line | Sentence, filters: Filters) -> str:
    """The class of its severity, and what the filters choose it by."""
    severity = "" if isinstance(told, Sentence) else told.severity.name.lower()
    classes = f"{severity} {filters.css(told.rows)}".strip()
    return f' class="{classes}"' if classes else ""


def _heading(column: Column) -> str:
    return " to ".join(column.ends) if any(column.ends) else column.heading


def _class(column: Column) -> str:
    return " class=n" if column.kind.right else ""


def _cell(cell: Cell | Strip, column: Column) -> str:
    if isinstance(cell, Strip):
        return f'<td><span class="strip">{escape(draw_strip(cell, _STRIP))}</span></td>'
    text = sentence_html(Sentence(cell.text, cell.severity)) if cell.signed else escape(cell.text)
    return f"<td{_class(column)}>{text}</td>"
