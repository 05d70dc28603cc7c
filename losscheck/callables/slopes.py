"""A gradient that is not that of the value: a weight that was detached, a sign, a factor."""

from __future__ import annotations

import math
from collections.abc import Callable

from losscheck.callables.conventions import AS_IT_IS, Convention, times
from losscheck.callables.fit import Fit
from losscheck.callables.samples import Sample

__all__ = ["slope_words"]


def slope_words(fit: Fit, convention: Convention) -> str:
    """What is said of gradients that differ from the derivative of the values; "" where they do not, or there are none."""
    if fit.slopes(convention) is not False:
        return ""
    points = [
        point
        for point in (*fit.samples.ordinary, *fit.samples.held_ordinary)
        if math.isfinite(point.slope) and convention.where(point.logit, point.target)
    ]

    def all_are(slope_at: Callable[[Sample], float]) -> bool:
        return all(fit.is_slope(point, slope_at(point)) for point in points)

    start = "its value is that of the definition, its gradient another:" if convention is AS_IT_IS else "Its gradient is another:"
    if all_are(lambda point: fit.of(convention, point) / _cross_entropy(point) * _its_slope(point)):
        return f"{start} the factor before the cross entropy is detached, and counts as a constant."
    first = points[0]
    factor = first.slope / right if (right := fit.slope(convention, first)) else 0.0
    if factor and all_are(lambda point: factor * fit.slope(convention, point)):
        return f"{start} {times(factor)} the derivative."
    worst = max(points, key=lambda point: fit.slope_error(point, fit.slope(convention, point)))
    return (
        f"{start} {worst.slope:.6g} at logit {worst.logit:g}, target {worst.target:g}, where its derivative is "
        f"{fit.slope(convention, worst):.6g}."
    )


def _cross_entropy(point: Sample) -> float:
    x, z = point.logit, point.target
    return max(x, 0.0) - x * z + math.log1p(math.exp(-abs(x)))


def _its_slope(point: Sample) -> float:
    return 1 / (1 + math.exp(-point.logit)) - point.target
