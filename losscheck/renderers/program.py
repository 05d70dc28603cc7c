"""A traced program as a picture: an op a row, and on its left the lines along which values, and their errors, flow from row to row.

No script is needed. The lines are drawn for the eye alone: what a row takes stands in its text as well, for a screen reader, and the
keyboard goes from row to row.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from losscheck.renderers.curves import escape
from losscheck.renderers.figures import plain_exact, plain_value, ulp_size
from losscheck.renderers.severity import Severity

__all__ = ["program"]

ROW = 52  # pixels; the style sheet gives every row this height
GUTTER = 92  # for the lines
RADIUS = 6
WRONG = 8.0  # ulp above which a line carries an error

GraphNode = Mapping[str, Any]
# What matters is drawn over what does not.
_SEVERITIES = (Severity.FINE, Severity.WRONG, Severity.BROKEN)


def program(graph: Mapping[str, Any]) -> str:
    """The graph as a <figure> element."""
    nodes: Sequence[GraphNode] = graph["nodes"]
    height = ROW * len(nodes)
    lines = "".join(_line(nodes, a, b) for a, b in sorted(graph["edges"], key=lambda edge: _SEVERITIES.index(_severity(nodes[edge[0]]))))
    dots = "".join(_dot(node, row) for row, node in enumerate(nodes))
    rows = "".join(_row(nodes, row, [a for a, b in graph["edges"] if b == row]) for row in range(len(nodes)))
    left_out = f" {graph['left_out']} ops that are right are left out." if graph["left_out"] else ""
    caption = f"Values flow down; a red line carries NaN or infinity, an amber one an error above {WRONG:g} ulp.{left_out}"
    return (
        '<figure class="program"><h2>the program <small>and how its errors flow</small></h2>'
        f"<figcaption>{escape(caption)}</figcaption><div>"
        f'<svg viewBox="0 0 {GUTTER} {height}" width="{GUTTER}" height="{height}" aria-hidden="true">{lines}{dots}</svg>'
        f"<ol>{rows}</ol></div></figure>"
    )


def _severity(node: GraphNode) -> Severity:
    total = float(node["total"])
    if total == math.inf and not math.isfinite(float(node["value"])):
        return Severity.BROKEN
    return Severity.WRONG if total > WRONG else Severity.FINE


def _css(node: GraphNode) -> str:
    return _severity(node).name.lower()


def _y(row: int) -> float:
    return ROW * row + ROW / 2


def _line(nodes: Sequence[GraphNode], a: int, b: int) -> str:
    """From row to row, the further the wider to the left, in the colour of the error that it carries."""
    right, start, end = GUTTER - 2 * RADIUS, _y(a), _y(b)
    if b == a + 1:
        return f'<path class="{_css(nodes[a])}" d="M{right} {start:g}V{end:g}"/>'
    # A cubic reaches three quarters of the way to its handles.
    left = right - min(GUTTER - 3 * RADIUS, 14 * math.log2(1 + b - a)) * 4 / 3
    return f'<path class="{_css(nodes[a])}" d="M{right} {start:g}C{left:.0f} {start:g} {left:.0f} {end:g} {right} {end:g}"/>'


def _dot(node: GraphNode, row: int) -> str:
    return f'<circle class="{_css(node)}" cx="{GUTTER - 2 * RADIUS}" cy="{_y(row):g}" r="{RADIUS}"/>'


def _row(nodes: Sequence[GraphNode], row: int, taken: Sequence[int]) -> str:
    """The sub-expression, what came out and what is right, and for who hears it where it comes from."""
    node, severity = nodes[row], _severity(nodes[row])
    line = f"<small>line {node['line']}</small> " if node["line"] else ""
    begins = "<small>backward</small> " if node["pass"] == "backward" and nodes[row - 1]["pass"] == "forward" else ""
    roles = "".join(f" <mark>{escape(role)}</mark>" for role in node["roles"])
    sources = ", ".join(str(source + 1) for source in taken)
    heard = f'<span class="heard">takes {sources}</span>' if taken else ""
    sign = f'<span class="word {severity.name.lower()}">{severity.sign()}</span> ' if severity is not Severity.FINE else ""
    text = escape(node["text"])
    return (
        f'<li tabindex="0"><div>{begins}{line}<code title="{text}">{text}</code></div>'
        f"<div>{sign}{escape(_figures(node))}{roles}</div>{heard}</li>"
    )


def _figures(node: GraphNode) -> str:
    value = plain_value(node["value"], node["dtype"])
    if _severity(node) is Severity.FINE:
        return value
    total = float(node["total"])
    ulp = f", {ulp_size(total)} ulp" if math.isfinite(total) else ""
    return f"{value} where {plain_exact(node['exact'], node['dtype'])} is right{ulp}"
