"""One self-contained page: no network, no script but a few lines that sort its tables."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from html import escape

from losscheck.core.errors import UserError
from losscheck.core.report import Report
from losscheck.renderers import Style
from losscheck.renderers.sweep_words import (
    by_table,
    coverage,
    failing_text,
    region_lines,
    row_name,
    several,
    strip,
    target_text,
    worst_text,
)
from losscheck.renderers.words import meaning, ulp_text

__all__ = ["render"]

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 75em; margin: 2em auto; padding: 0 1em; color: #1a1a1a; background: #fff }
table { border-collapse: collapse; margin: .6em 0 1.6em } th, td { padding: .2em .7em; text-align: left; border-bottom: 1px solid #ddd }
th { cursor: pointer; background: #f4f4f4 } td.n { text-align: right; font-variant-numeric: tabular-nums }
tr.failed td:first-child { border-left: 4px solid #b00020 } code, .strip { font-family: ui-monospace, monospace; white-space: pre }
.strip { letter-spacing: 0; font-size: 12px } pre { background: #f4f4f4; padding: .6em; overflow-x: auto }
svg { max-width: 100%; height: auto }
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


def render(report: Report, style: Style) -> str:
    if not report.sweeps:
        raise UserError("--format html shows sweeps", "use --format markdown or json for compare")
    parts = [f"<h1>losscheck {escape(report.command)}</h1>", f"<pre>{escape(report.reproduce)}</pre>", _plot(report)]
    device, layout = several(report, "device"), several(report, "layout")
    for (loss, dtype, params, quantity), rows in by_table(report):
        parts.append(f"<h2>{escape(loss)}, {'gradient' if quantity == 'grad' else 'loss'}, {dtype} <small>{escape(params)}</small></h2>")
        lines = []
        for row in rows:
            shown = escape(row.reason) if row.reason else f'<span class="strip">{escape(strip(row, 80, True))}</span>'
            ulp = "-" if row.reason else ulp_text(row.max_ulp).lstrip("+")
            share = row.failures / row.points if row.points else 0.0
            lines.append(
                f"<tr{' class=failed' if row.failures else ''}><td>{escape(row_name(row, device=device, layout=layout))}</td>"
                f'<td class=n>{target_text(row)}</td><td class=n data-key="{row.max_ulp}">{ulp}</td>'
                f'<td class=n data-key="{share}">{escape(failing_text(row))}</td><td>{shown}</td></tr>'
            )
        parts.append(_table(("implementation", "target", "max ulp", "failing", f"{rows[0].low:g} to {rows[0].high:g}"), lines))
    parts += ["<h2>Failures</h2>", _list(region_lines(report, 400)), "<h2>Worst cases</h2>"]
    lines = []
    for row in report.sweeps:
        for point in row.worst[:3]:
            cells = (row.loss, row_name(row, device=True, layout=layout), row.dtype, target_text(row), row.quantity, worst_text(point))
            lines.append("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
    parts.append(_table(("loss", "implementation", "dtype", "target", "quantity", "worst logits"), lines))
    parts += ["<h2>How far this reaches</h2>", _list([*coverage(report), *(meaning(report) if report.rows else [])])]
    environment = "".join(f"<tr><td>{escape(str(k))}</td><td>{escape(str(v))}</td></tr>" for k, v in report.environment.items())
    parts.append(_table(("environment", ""), [environment]))
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>losscheck</title><style>{_STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>{"".join(parts)}<script>{_SCRIPT}</script></body></html>\n'


def _plot(report: Report) -> str:
    if importlib.util.find_spec("matplotlib") is None:
        return "<p>The plot is left out: <code>pip install 'losscheck[plot]'</code> draws it.</p>"
    from losscheck.renderers.plot import svg

    return svg(report)


def _table(headings: Sequence[str], lines: list[str]) -> str:
    head = "".join(f"<th>{escape(each)}</th>" for each in headings)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _list(lines: list[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(each)}</li>" for each in lines) + "</ul>"
