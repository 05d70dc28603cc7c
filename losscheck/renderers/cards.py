"""A card for each implementation of a sweep: its verdict, and the curves of its loss and of its gradient."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from losscheck.core.dtypes import FORMATS
from losscheck.core.results import SweepRow
from losscheck.renderers.axes import LogitAxis
from losscheck.renderers.curves import escape, picture
from losscheck.renderers.figures import quantity_name
from losscheck.renderers.filters import PALETTE, Filters
from losscheck.renderers.marks import curve
from losscheck.renderers.standings import Standing

__all__ = ["cards", "signed"]


def cards(found: Sequence[Standing], filters: Filters, limit: float, anchor: str) -> Iterator[str]:
    """HTML, a section a piece, in the order of the standings; nothing for those that have no curve.

    ``anchor`` begins every id, so that several reports of one notebook keep theirs apart.
    """
    heading = ""
    for number, standing in enumerate(found):
        rows = standing.drawable
        if not rows:
            continue
        if standing.heading != heading:
            heading = standing.heading
            yield f"<h3>{escape(heading)}</h3>"
        pictures = "".join(_panel(standing.name, panel, filters, limit) for panel in _panels(rows))
        skip = f'<a class="skip" href="#{anchor}{number}-end">Skip the points of {escape(standing.name)}</a>'
        yield (
            f'<article class="card {filters.css(standing.rows)}" id="{anchor}{number}"><h4>{escape(standing.name)} {signed(standing)}</h4>'
            f'<p>{escape(standing.words)}</p>{skip}<div class="panels">{pictures}</div><span id="{anchor}{number}-end"></span></article>'
        )


def signed(standing: Standing) -> str:
    """The word of its effect with its sign, which is no colour alone."""
    severity = standing.severity
    return f'<span class="word {severity.name.lower()}">{severity.sign().strip()} {escape(standing.word)}</span>'


def _panels(rows: Sequence[SweepRow]) -> list[list[SweepRow]]:
    """The rows of each quantity, and of each range where there are several."""
    panels: dict[tuple[object, ...], list[SweepRow]] = {}
    for row in rows:
        panels.setdefault((row.quantity, row.dtype, row.low, row.high), []).append(row)
    return list(panels.values())


def _panel(name: str, rows: Sequence[SweepRow], filters: Filters, limit: float) -> str:
    targets: dict[float, list[SweepRow]] = {}
    for row in rows:
        targets.setdefault(row.target, []).append(row)
    curves = [
        curve(same, f"{filters.target_css(target)} c{filters.target_number(target) % PALETTE}", (n + 0.5) / len(targets))
        for n, (target, same) in enumerate(targets.items())
    ]
    first = rows[0]
    quantity = quantity_name(first)
    axis = LogitAxis(first.low, first.high, first.given_dtype)
    drawn = picture(f"{name}: error of the {quantity} over the logit", curves, axis, FORMATS[first.dtype].precision, limit)
    return f"<figure><figcaption>{quantity}</figcaption>{drawn}</figure>"
