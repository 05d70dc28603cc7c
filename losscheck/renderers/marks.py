"""Which points of a sweep a picture marks, and what is said of each: worst points, where failures begin and end, a few others."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from losscheck.core.dtypes import FORMATS
from losscheck.core.outcome import Outcome
from losscheck.core.results import PointRow, SweepRow
from losscheck.renderers.curves import Curve, Mark
from losscheck.renderers.figures import end_text, exact_figure, point_text, ulp_text, value_figure
from losscheck.renderers.trends import Trend, trends

__all__ = ["curve"]

_WORST = 2  # points of a row
_TRENDS = 3  # failing stretches of a row: two ends each
_CELLS = 5  # of the rest, evenly over the range
_NEAR = 1 / 100  # of the range: nearer than this a mark would hide another


def curve(rows: Sequence[SweepRow], css: str, phase: float) -> Curve:
    """One target on the backends that stand alike: the larger error of each cell, and the marks of them all.

    ``phase``, from 0 to 1, is where in its part of the range an ordinary mark stands, so that those of several targets do
    not lie on one another.
    """
    first = rows[0]
    cells = [max(same, key=lambda cell: math.inf if math.isnan(cell[1]) else cell[1]) for same in zip(*_profiles(rows), strict=True)]
    span = first.high - first.low
    chosen: list[Mark] = []
    candidates = [mark for marks_of in (_points, _ends, _between) for row in rows for mark in marks_of(row)]
    for mark in (*candidates, *_others(first, phase)):
        gap = _NEAR * span if math.isfinite(span) else 0.0
        if all(abs(mark.logit - other.logit) > gap for other in chosen):
            chosen.append(mark)
    # Between two logits of a sample a cell may be empty: that is no gap.
    line = [(logit, ulp) for logit, ulp, _ in cells if first.exhaustive or not ulp < 0]
    return Curve(css, line, sorted(chosen, key=lambda mark: mark.logit))


def _profiles(rows: Sequence[SweepRow]) -> list[tuple[tuple[float, float, Outcome | None], ...]]:
    longest = max(len(row.profile) for row in rows)
    return [row.profile for row in rows if len(row.profile) == longest]


def _points(row: SweepRow) -> Iterator[Mark]:
    """The worst ones, with all that is known."""
    for point in row.worst[:_WORST]:
        yield _whole(row, point, stop=True)


def _between(row: SweepRow) -> Iterator[Mark]:
    """A few over the range, with all that is known."""
    ends = {logit for region in row.regions for logit in (region.first, region.last)}
    yield from (_whole(row, point) for point in row.shown if point.logits[0] not in ends)


def _whole(row: SweepRow, point: PointRow, word: str = "", *, stop: bool = False) -> Mark:
    got = f"{point_text(point)}: got {value_figure(point)}, exact {exact_figure(point.exact, point.dtype)}"
    mark = _mark(row, point.logits[0], _size(point), point.outcome, got, f"{ulp_text(point.ulp)} ulp", stop=stop)
    return replace(mark, lines=(mark.lines[0], f"{mark.lines[1]}; {word}")) if word else mark


def _ends(row: SweepRow) -> Iterator[Mark]:
    """Where failing stretches begin and end: floats found exactly, by bisection or because every float was tried."""
    severest: Sequence[Trend] = sorted(trends(row.regions), key=lambda trend: (trend.outcome.severity, trend.first - trend.last))
    for trend in severest[:_TRENDS]:
        for logit, what in {trend.first: "the first", trend.last: "the last"}.items():
            inside = row.low < logit < row.high
            place = f"logit {end_text(logit, row.given_dtype)}, target {_target(row)}"
            word = f"{what} {trend.outcome.value} float" if inside else f"{trend.outcome.value} up to this end of the range"
            known = next((point for point in row.shown if point.logits[0] == logit), None)
            if known is not None:
                yield _whole(row, known, word, stop=inside)
            else:
                yield _mark(row, logit, _ulp_at(row, logit), trend.outcome, place, word, stop=inside)


def _others(row: SweepRow, phase: float) -> Iterator[Mark]:
    """Cells, where no points of a picture could be had: the largest error near a logit."""
    if row.shown:
        return
    measured = [cell for cell in row.profile if cell[1] >= 0 and cell[2] is not None]
    step = max(len(measured) / _CELLS, 1.0)
    for n in range(min(_CELLS, len(measured))):
        logit, ulp, outcome = measured[int((n + phase) * step) if step > 1 else n]
        assert outcome is not None
        place = f"near logit {logit:.5g}, target {_target(row)}"
        yield _mark(row, logit, ulp, outcome, place, f"at most {ulp_text(ulp).lstrip('+')} ulp")


def _mark(row: SweepRow, logit: float, ulp: float, outcome: Outcome, place: str, error: str, stop: bool = False) -> Mark:
    told = error if outcome.value in error else f"{error}, {outcome.value}"
    effect = f"; effect of target {_target(row)}: {row.effect.effect.value}" if row.effect else ""
    return Mark(logit, ulp, outcome.failed, (place, told + effect), stop)


def _size(point: PointRow) -> float:
    return math.nan if point.ulp is None else abs(point.ulp)


def _ulp_at(row: SweepRow, logit: float) -> float:
    """The largest error of the cell that a logit is in, so that its mark stands on the line."""
    measured = [cell for cell in row.profile if cell[1] >= 0 and cell[2] is not None and cell[2].failed]
    return min(measured, key=lambda cell: abs(cell[0] - logit), default=(0.0, 0.0, None))[1]


def _target(row: SweepRow) -> str:
    return FORMATS[row.given_dtype].shortest(row.target)
