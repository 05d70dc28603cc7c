"""The picture of a sweep: log2 of the ulp error over the logit, failures as bands below, loss above and gradient below."""

from __future__ import annotations

import io
import math
import tempfile
from pathlib import Path
from typing import Any

from losscheck.core.dtypes import FORMATS
from losscheck.core.errors import UserError
from losscheck.core.outcome import Outcome
from losscheck.core.report import Report
from losscheck.core.results import SweepRow
from losscheck.renderers.figures import quantity_name
from losscheck.renderers.names import Names
from losscheck.renderers.strips import LETTERS

__all__ = ["draw", "svg"]

# Okabe and Ito's colours, ordered so that they also differ in lightness; the line style tells them apart in grey.
_COLORS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#7F7F7F")
_STYLES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
_FLOOR = 2.0**-4


def draw(report: Report, path: Path) -> None:
    """Write the picture as .png or .svg, whole or not at all.

    Raises:
        UserError: when the file cannot be written.
    """
    figure = _figure(report)
    temporary: Path | None = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.absolute().parent, suffix=path.suffix, delete=False) as file:
            temporary = Path(file.name)
        figure.savefig(temporary, dpi=120)
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise UserError(f"cannot write {path}: {error.strerror or error}", "choose another --plot file") from None


def svg(report: Report) -> str:
    """The picture as an <svg> element for a page."""
    out = io.StringIO()
    _figure(report).savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    return text[text.index("<svg") :]


def _figure(report: Report) -> Any:
    from matplotlib.figure import Figure

    drawn = [row for row in report.sweeps if not row.reason]
    keys = list(dict.fromkeys((row.loss, row.dtype, row.target) for row in drawn))
    quantities = list(dict.fromkeys(row.quantity for row in report.sweeps))
    columns = min(len(keys), 3) or 1
    blocks = -(-len(keys) // columns) or 1
    rows = blocks * len(quantities)
    figure = Figure(figsize=(6.2 * columns, 3.6 * rows + 1.0), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_visible(False)
    name = Names(report.sweeps)
    names = list(dict.fromkeys(map(name, report.sweeps)))
    for n, key in enumerate(keys):
        for q, quantity in enumerate(quantities):
            axis = axes[(n // columns) * len(quantities) + q][n % columns]
            chosen = [row for row in drawn if (row.loss, row.dtype, row.target, row.quantity) == (*key, quantity)]
            _panel(axis, chosen, names, name, report.max_ulp)
    handles: dict[str, Any] = {}
    for axis in axes.flat:
        for handle, text in zip(*axis.get_legend_handles_labels(), strict=True):
            handles.setdefault(text, handle)
    if handles:
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=min(4, len(handles)), fontsize=8, handlelength=4)
    return figure


def _panel(axis: Any, rows: list[SweepRow], names: list[str], name: Names, max_ulp: float) -> None:
    """One loss, dtype, target and quantity."""
    if not rows:
        return
    axis.set_visible(True)
    first = rows[0]
    title = f"{first.loss} {quantity_name(first)}, {first.dtype}, target {FORMATS[first.dtype].shortest(first.target)}"
    axis.set_title(title, fontsize=9, loc="left")
    top = FORMATS[first.dtype].precision + 2
    for lane, row in enumerate(rows):
        index = names.index(name(row))
        color, style = _COLORS[index % len(_COLORS)], _STYLES[index % len(_STYLES)]
        middles = [_place(row, logit) for logit, ulp, _ in row.profile if ulp >= 0]
        heights = [math.log2(max(min(ulp, 2.0**top), _FLOOR)) for _, ulp, _ in row.profile if ulp >= 0]
        axis.plot(middles, heights, color=color, linestyle=style, linewidth=1.2, label=names[index])
        _bands(axis, row, color, -5.2 - 0.9 * lane)
    axis.axhline(math.log2(max(max_ulp, _FLOOR)), color="#999999", linewidth=0.8, linestyle=(0, (1, 2)))
    axis.set_ylim(-5.8 - 0.9 * len(rows), top + 0.5)
    axis.set_xlim(_place(rows[0], rows[0].low), _place(rows[0], rows[0].high))
    axis.set_yticks(range(-4, top + 1, 4))
    axis.set_ylabel("log2 ulp", fontsize=8)
    axis.set_xlabel("logit" if math.isfinite(rows[0].high - rows[0].low) else "position among the floats, in binades from 0", fontsize=8)
    axis.tick_params(labelsize=8)
    axis.grid(visible=True, color="#dddddd", linewidth=0.5)


def _bands(axis: Any, row: SweepRow, color: str, height: float) -> None:
    """Failing stretches as bars in a lane of their own, each named by its letter."""
    start = 0
    outcomes = [outcome for _, _, outcome in row.profile]
    for n in range(1, len(outcomes) + 1):
        if n < len(outcomes) and outcomes[n] is outcomes[start]:
            continue
        outcome = outcomes[start]
        if outcome is not None and outcome.failed:
            low, high = _place(row, row.profile[start][0]), _place(row, row.profile[n - 1][0])
            hatch = "////" if outcome in (Outcome.NAN, Outcome.INF) else "" if outcome is Outcome.LOST else "...."
            axis.barh(
                height, max(high - low, 0.3), left=low, height=0.7, color="white", edgecolor=color, hatch=hatch, linewidth=0.8, zorder=3
            )
            if high - low > 0.03 * (_place(row, row.high) - _place(row, row.low)):
                axis.text(
                    (low + high) / 2,
                    height,
                    LETTERS[outcome],
                    ha="center",
                    va="center",
                    fontsize=6,
                    color="black",
                    zorder=4,
                    bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.4},
                )
        start = n


def _place(row: SweepRow, logit: float) -> float:
    """The logit itself; over an infinite range its signed position among the floats, in binades."""
    if math.isfinite(row.high - row.low):
        return logit
    dtype = FORMATS[row.dtype]
    return math.copysign(abs(dtype.ordinal(abs(logit))) / 2.0 ** (dtype.precision - 1), logit)
