"""A document as one self-contained page: no network, no script but a few lines that sort its tables."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from html import escape as escape_tags

from losscheck.core.report import Inventory, Report
from losscheck.renderers import Style
from losscheck.renderers.document import (
    Appendix,
    Block,
    Cell,
    Code,
    Column,
    Document,
    Entry,
    Heading,
    Legend,
    Listing,
    Paragraph,
    Picture,
    Sentence,
    Strip,
    Table,
)
from losscheck.renderers.documents import document_of
from losscheck.renderers.figures import printable
from losscheck.renderers.severity import Severity
from losscheck.renderers.strips import draw, legend

__all__ = ["render"]

_STRIP = 80  # characters
_MORE = 25  # times as many findings as on a screen
_COLORS = "\n".join(f".{severity.name.lower()} {{ color: {severity.page_color} }}" for severity in Severity)
_STYLE = f"""
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 75em; margin: 2em auto; padding: 0 1em; color: #1a1a1a; background: #fff }}
table {{ border-collapse: collapse; margin: .6em 0 1.6em; display: block; overflow-x: auto }}
th, td {{ padding: .2em .7em; text-align: left; border-bottom: 1px solid #ddd }}
th {{ cursor: pointer; background: #f4f4f4 }} .n {{ text-align: right; font-variant-numeric: tabular-nums }}
code, .strip {{ font-family: ui-monospace, monospace; white-space: pre }} .strip {{ font-size: 12px }}
pre {{ background: #f4f4f4; padding: .6em; overflow-x: auto }} svg {{ max-width: 100%; height: auto }}
.quiet {{ color: #555 }} .sign {{ font-weight: bold }} li {{ overflow-wrap: anywhere }}
{_COLORS}
"""
_SCRIPT = """
document.querySelectorAll('th').forEach(function (th) { th.onclick = function () {
  var table = th.closest('table'), n = [].indexOf.call(th.parentNode.children, th), up = th.dataset.up !== '1';
  th.dataset.up = up ? '1' : '0';
  var rows = [].slice.call(table.tBodies[0].rows), key = function (r) { var c = r.cells[n]; return c.dataset.key || c.textContent; };
  rows.sort(function (a, b) { var x = key(a), y = key(b), d = parseFloat(x) - parseFloat(y);
    return (isNaN(d) ? x.localeCompare(y) : d) * (up ? 1 : -1); });
  rows.forEach(function (r) { table.tBodies[0].appendChild(r); }); }; });
"""


def render(report: Report | Inventory, style: Style) -> str:
    document = document_of(report)
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(document.title)}</title><style>{_STYLE}</style>"
    )
    body = "\n".join(_body(document))
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n{body}\n<script>{_SCRIPT}</script></body></html>\n'


def _body(document: Document) -> Iterator[str]:
    yield f"<h1>{escape(document.title)}</h1>"
    if document.conclusion:
        yield f"<p>{_sentence(document.conclusion)}</p>"
    if document.reproduce:
        yield f"<pre>{escape(document.reproduce)}</pre>"
    yield from map(_block, document.blocks)
    if document.environment:
        rows = "".join(
            f"<tr><td>{escape(str(name))}</td><td>{escape(str(value))}</td></tr>" for name, value in document.environment.items()
        )
        yield f"<h2>Environment</h2><table><tbody>{rows}</tbody></table>"


def _block(block: Block) -> str:
    match block:
        case Heading(text=text, aside=aside, level=level):
            small = f" <small>{escape(aside)}</small>" if aside else ""
            return f"<h{level + 1}>{escape(text)}{small}</h{level + 1}>"
        case Paragraph(text=text, quiet=quiet):
            return f"<p{' class=quiet' if quiet else ''}>{escape(text)}</p>"
        case Legend():
            return f"<p class=quiet>{escape(legend(unicode=True))}</p>"
        case Table():
            return _table(block)
        case Listing():
            title = f"<h2>{escape(block.title)}</h2>" if block.title else ""
            items = "".join(f"<li>{_sentence(sentence)}</li>" for sentence in block.shown(_MORE))
            return title + (f"<ul>{items}</ul>" if items else "")
        case Entry():
            word = Sentence(block.word, block.severity)
            told = "".join(f"<li>{escape(line)}</li>" for line in block.lines)
            return f"<h3>{_sentence(word)} {escape(f'{block.place}: {block.name}')}</h3><ul>{told}</ul><pre>{escape(block.command)}</pre>"
        case Code():
            return "<pre>" + "\n".join(block.lines(escape)) + "</pre>"
        case Appendix(title=title, table=table):
            return f"<h2>{escape(title)}</h2>{_table(table)}" if table.lines else ""
        case Picture(report=report):
            return _picture(report)


def _picture(report: Report) -> str:
    if importlib.util.find_spec("matplotlib") is None:
        return "<p>The plot is left out: <code>pip install matplotlib</code> draws it.</p>"
    from losscheck.renderers import plot

    return plot.svg(report)


def _table(table: Table) -> str:
    head = "".join(f"<th{_class(column)}>{escape(_heading(column))}</th>" for column in table.columns)
    rows = []
    for line in table.lines:
        cells = "".join(_cell(cell, column) for cell, column in zip(line.cells, table.columns, strict=True))
        rows.append(f"<tr class={line.severity.name.lower()}>{cells}</tr>")
    shown = f"<thead><tr>{head}</tr></thead>" if table.headed else ""
    return f"<table>{shown}<tbody>\n" + "\n".join(rows) + "\n</tbody></table>"


def _heading(column: Column) -> str:
    return " to ".join(column.ends) if any(column.ends) else column.heading


def _class(column: Column) -> str:
    return " class=n" if column.kind.right else ""


def _cell(cell: Cell | Strip, column: Column) -> str:
    if isinstance(cell, Strip):
        return f'<td><span class="strip">{escape(draw(cell, _STRIP))}</span></td>'
    key = "" if cell.key is None else f' data-key="{cell.key}"'
    text = _sentence(Sentence(cell.text, cell.severity)) if cell.signed else escape(cell.text)
    return f"<td{_class(column)}{key}>{text}</td>"


def _sentence(sentence: Sentence) -> str:
    """The sign of its severity, which is no colour alone, and the text."""
    severity = sentence.severity
    sign = f'<span class="sign {severity.name.lower()}">{severity.sign()}</span> ' if severity is not Severity.FINE else ""
    return sign + escape(sentence.text)


def escape(text: str) -> str:
    return escape_tags(printable(text))
