"""The picture of a sweep as a file: the error over the logit in ulp and in words, failures as bands below."""

from __future__ import annotations

import io
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from losscheck.core.dtypes import FORMATS
from losscheck.core.errors import UserError
from losscheck.core.outcome import Outcome
from losscheck.core.report import Report
from losscheck.core.results import SweepRow
from losscheck.renderers.axes import LogitAxis, ulp_ticks
from losscheck.renderers.figures import quantity_name
from losscheck.renderers.standings import standings
from losscheck.renderers.strips import LETTERS

__all__ = ["MOST_CURVES", "draw", "figure", "panels"]

MOST_CURVES = 6  # of a panel: more cannot be told apart
_COLUMNS = 3
# Okabe and Ito's colours, ordered so that they also differ in lightness; the line style tells them apart in grey.
_COLORS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9")
_STYLES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))


def draw(report: Report, path: Path) -> None:
    """Write the picture as .png or .svg, whole or not at all.

    Raises:
        UserError: when the file cannot be written.
    """
    drawn = figure(report)
    temporary: Path | None = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.absolute().parent, suffix=path.suffix, delete=False) as file:
            temporary = Path(file.name)
        drawn.savefig(temporary, dpi=120)
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise UserError(f"cannot write {path}: {error.strerror or error}", "choose another --plot file") from None


def figure(report: Report) -> Any:
    """The picture as a figure of matplotlib."""
    from matplotlib.figure import Figure

    class Shown(Figure):
        """Notebooks show a figure that no pyplot knows by this method alone."""

        def _repr_png_(self) -> bytes:
            out = io.BytesIO()
            self.savefig(out, format="png", dpi=100)
            return out.getvalue()

    drawn = panels(report)
    columns = min(_COLUMNS, len(drawn)) or 1
    lines = -(-len(drawn) // columns) or 1
    made = Shown(figsize=(6.4 * columns, 3.9 * lines), layout="constrained")
    axes = made.subplots(lines, columns, squeeze=False)
    for axis in axes.flat[len(drawn) :]:
        axis.set_visible(False)
    for axis, panel in zip(axes.flat, drawn, strict=False):
        _panel(axis, panel, report.max_ulp)
    return made


def panels(report: Report) -> list[list[tuple[str, SweepRow]]]:
    """The rows of each panel with their names: one loss, dtype, quantity and target, at most MOST_CURVES, worst effect first.

    What has more is split over several panels. In three columns the targets of a loss stand side by side. Of backends that
    stand alike the one with the largest error is drawn.
    """
    groups: dict[tuple[object, ...], dict[str, list[SweepRow]]] = {}
    for standing in standings(report):
        for row in standing.drawable:
            group = groups.setdefault((standing.heading, row.quantity, row.low, row.high), {})
            group.setdefault(standing.name, []).append(row)
    return [panel for group in groups.values() for panel in _split(group)]


def _split(group: Mapping[str, Sequence[SweepRow]]) -> Iterator[list[tuple[str, SweepRow]]]:
    """In parts of MOST_CURVES implementations, each a panel a target."""
    names = list(group)
    targets = list(dict.fromkeys(row.target for rows in group.values() for row in rows))
    for start in range(0, len(names), MOST_CURVES):
        for target in targets:
            candidates = {name: [row for row in group[name] if row.target == target] for name in names[start : start + MOST_CURVES]}
            yield [(name, max(rows, key=lambda row: row.max_ulp)) for name, rows in candidates.items() if rows]


def _panel(axis: Any, panel: Sequence[tuple[str, SweepRow]], limit: float) -> None:
    """One loss, dtype, target and quantity: what an error means at the left, its ulp at the right."""
    first = panel[0][1]
    logits = LogitAxis(first.low, first.high, first.given_dtype)
    precision = FORMATS[first.dtype].precision
    title = f"{first.loss} {quantity_name(first)}, {first.dtype}, target {FORMATS[first.given_dtype].shortest(first.target)}"
    axis.set_title(title, fontsize=9, loc="left")
    top = precision + 5.0  # what is no number lies above what is only far off
    for lane, (name, row) in enumerate(panel):
        color, style = _COLORS[lane], _STYLES[lane]
        measured = [(logits.place(logit), ulp) for logit, ulp, _ in row.profile if ulp >= 0]
        heights = [min(math.log2(max(ulp, 0.5)), top - 1) if math.isfinite(ulp) else top for _, ulp in measured]
        axis.plot([place for place, _ in measured], heights, color=color, linestyle=style, linewidth=1.2, label=name)
        _bands(axis, row, logits, color, -2.2 - 0.9 * lane)
    ticks = ulp_ticks(precision, limit)
    heights = [*(math.log2(tick.ulp) for tick in ticks), top]
    axis.set_yticks(heights, labels=[*(tick.words for tick in ticks), "NaN, inf"])
    figures = axis.secondary_yaxis("right")
    figures.set_yticks(heights[:-1], labels=[tick.figures for tick in ticks])
    figures.tick_params(labelsize=7)
    axis.set_ylim(-2.8 - 0.9 * len(panel), top + 0.5)
    axis.set_xticks([logits.place(logit) for logit, _ in logits.ticks()], labels=[text for _, text in logits.ticks()])
    axis.set_xlim(logits.place(first.low), logits.place(first.high))
    axis.set_xlabel(logits.title, fontsize=8)
    axis.tick_params(labelsize=7)
    axis.grid(visible=True, color="#dddddd", linewidth=0.5)
    axis.legend(fontsize=7, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.16), frameon=False)


def _bands(axis: Any, row: SweepRow, logits: LogitAxis, color: str, height: float) -> None:
    """Failing stretches as bars in a lane of their own, each named by its letter."""
    width = logits.place(row.high) - logits.place(row.low)
    for outcome, first, last in _stretches(row):
        low, high = logits.place(first), logits.place(last)
        hatch = "////" if outcome in (Outcome.NAN, Outcome.INF) else "" if outcome is Outcome.LOST else "...."
        bar = {"left": low, "height": 0.7, "color": "white", "edgecolor": color, "hatch": hatch, "linewidth": 0.8, "zorder": 3}
        axis.barh(height, max(high - low, 0.002 * width), **bar)
        if high - low > 0.03 * width:
            letter = {"ha": "center", "va": "center", "fontsize": 6, "color": "black", "zorder": 4}
            axis.text((low + high) / 2, height, LETTERS[outcome], **letter, bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.4})


def _stretches(row: SweepRow) -> Iterator[tuple[Outcome, float, float]]:
    """Neighbouring cells of one failing outcome: the outcome, the first and the last logit."""
    start = 0
    for n in range(1, len(row.profile) + 1):
        outcome = row.profile[start][2]
        if n < len(row.profile) and row.profile[n][2] is outcome:
            continue
        if outcome is not None and outcome.failed:
            yield outcome, row.profile[start][0], row.profile[n - 1][0]
        start = n
