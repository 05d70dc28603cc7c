"""A document as one self-contained page: no network and no script. The verdict first, then what to choose, curves, evidence."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from importlib.resources import files

from losscheck.core.effect import Effect
from losscheck.core.ranking import RankedRow
from losscheck.core.report import Inventory, Report
from losscheck.renderers import Style
from losscheck.renderers.blocks import block_html, sentence_html
from losscheck.renderers.cards import cards, signed
from losscheck.renderers.curves import escape
from losscheck.renderers.document import Document, Picture, Table
from losscheck.renderers.documents import document_of
from losscheck.renderers.filters import ROOT, Filters
from losscheck.renderers.severity import Severity, severity_of
from losscheck.renderers.standings import Standing, answer, standings

__all__ = ["fragment", "render"]

_ANCHOR = "card-"  # begins the ids of a page
_OUTPUTS = itertools.count(1)  # several outputs share the page of one notebook: each has ids of its own


def render(report: Report | Inventory, style: Style) -> str:
    """The page."""
    document = document_of(report)
    found = standings(report) if isinstance(report, Report) else []
    filters = Filters(found)
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(document.title)}</title><style>\n{_style(filters)}</style>"
    )
    body = "\n".join((*_header(document, report, found), *_main(document, report, found, filters), *_footer(document)))
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body class="{ROOT}">\n{body}\n</body></html>\n'


def fragment(report: Report) -> str:
    """The verdict and the curves alone, for the output of a notebook: an element with its own style."""
    found = standings(report)
    filters = Filters(found)
    anchor = f"{_ANCHOR}{next(_OUTPUTS)}-"
    pieces = [f"<style>{_style(filters)}</style>", *_verdict(found, filters, anchor), filters.html()]
    pieces += cards(found, filters, report.max_ulp, anchor)
    if report.ranking or not found:
        pieces += [block_html(block, filters) for block in document_of(report).blocks]
    return f'<div class="{ROOT}">{"".join(pieces)}</div>'


def _style(filters: Filters) -> str:
    """The style sheet, the colours of severities in both schemes, and the rules of this report's filters."""
    named = [severity for severity in Severity if severity is not Severity.FINE]
    light = " ".join(f"--{severity.name.lower()}: {severity.page_color};" for severity in named)
    dark = " ".join(f"--{severity.name.lower()}: {severity.dark_color};" for severity in named)
    rules = "\n".join(f".{ROOT} .{severity.name.lower()} {{ color: var(--{severity.name.lower()}) }}" for severity in named)
    colors = f".{ROOT} {{ {light} }}\n@media screen and (prefers-color-scheme: dark) {{ .{ROOT} {{ {dark} }} }}\n{rules}\n"
    sheet = files("losscheck.renderers").joinpath("page.css").read_text(encoding="utf-8")
    return f"{sheet}{colors}{filters.rules()}\n"


def _header(document: Document, report: Report | Inventory, found: list[Standing]) -> Iterator[str]:
    """The name, and in a line what was asked."""
    yield f"<header><h1>{escape(document.title)}</h1>"
    asked = list(dict.fromkeys(standing.heading for standing in found))
    if isinstance(report, Report):
        asked += dict.fromkeys(f"logits {row.low:g} to {row.high:g}" for row in report.sweeps)
    if asked:
        yield f'<p class="quiet">{escape("; ".join(asked))}</p>'
    yield "</header>"


def _main(document: Document, report: Report | Inventory, found: list[Standing], filters: Filters) -> Iterator[str]:
    ranked = isinstance(report, Report) and bool(report.ranking)
    choices = [_legend(found), filters.html()]
    yield "<main>"
    if document.conclusion:
        yield f'<p class="answer">{sentence_html(document.conclusion)}</p>'
    yield from _verdict(found, filters, _ANCHOR)
    yield from () if ranked else choices
    for block in document.blocks:
        if isinstance(block, Picture):
            # The blocks of a ranking are its verdict, which nothing may push off the first screen.
            yield from choices if ranked else ()
            yield from _curves(block.report, found, filters)
        elif not (isinstance(block, Table) and block.ranking):  # which the verdict is
            yield block_html(block, filters)
    yield "</main>"


def _verdict(found: list[Standing], filters: Filters, anchor: str) -> Iterator[str]:
    """The answer in a sentence, then a line for each implementation, worst first."""
    if not found:
        return
    yield '<section aria-label="Verdict">'
    if text := answer(found):
        yield f'<p class="answer">{escape(text)}</p>'
    told = [standing for standing in found if not any(isinstance(row, RankedRow) for row in standing.rows)]  # check ranks by itself
    headings = list(dict.fromkeys(standing.heading for standing in told))
    for heading in headings:
        if len(headings) > 1:
            yield f"<h2>{escape(heading)}</h2>"
        lines = [_standing(f"{anchor}{number}", standing, filters) for number, standing in enumerate(found) if standing.heading == heading]
        yield f'<ol class="ranking">{"".join(lines)}</ol>'
    yield "</section>"


def _standing(anchor: str, standing: Standing, filters: Filters) -> str:
    name = escape(standing.name)
    told = f'<a href="#{anchor}">{name}</a>' if standing.drawable else f"<strong>{name}</strong>"
    return f'<li class="{filters.css(standing.rows)}">{signed(standing)}{told}<span>{escape(standing.words)}</span></li>'


def _legend(found: list[Standing]) -> str:
    """What the words mean: the effects that occur."""
    present = {standing.effect for standing in found}
    words = "".join(map(_explained, (effect for effect in Effect if effect in present)))
    return f"<details><summary>What the words mean</summary><dl>{words}</dl></details>" if words else ""


def _explained(effect: Effect) -> str:
    severity = severity_of(effect)
    return f'<dt class="word {severity.name.lower()}">{severity.sign()} {effect.value}</dt><dd>{escape(effect.words)}</dd>'


def _curves(report: Report, found: list[Standing], filters: Filters) -> Iterator[str]:
    pieces = list(cards(found, filters, report.max_ulp, _ANCHOR))
    if not pieces:
        return
    yield '<section aria-labelledby="curves"><h2 id="curves">Error over the logit</h2>'
    yield (
        '<p class="quiet">Each line is the largest error in units of the last place (ulp) near a logit, for one target; at the top lies '
        "what is no number. A filled mark is a failure: point at it, or go to it with the tab key, and its numbers appear below.</p>"
    )
    yield from pieces
    yield "</section>"


def _footer(document: Document) -> Iterator[str]:
    yield "<footer>"
    if document.reproduce:
        yield f"<h2>Reproduce</h2><pre><code>{escape(document.reproduce)}</code></pre>"
    if document.environment:
        rows = "".join(f"<dt>{escape(str(name))}</dt><dd>{escape(_value(value))}</dd>" for name, value in document.environment.items())
        yield f"<details><summary>Environment</summary><dl>{rows}</dl></details>"
    yield "</footer>"


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
