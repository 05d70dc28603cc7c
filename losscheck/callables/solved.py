"""Candidates whose constants are read off a few samples: factors, weights of the classes, temperatures, shifts, smoothed targets.

They are as little believed as the others: fit.py confirms them at all points, those held back too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from losscheck.callables.conventions import AS_IT_IS, Adjustment, Convention, Definition, number_of, times, weight_of
from losscheck.callables.fit import Fit
from losscheck.callables.samples import Sample
from losscheck.core.loss import Loss

__all__ = ["scaled", "solved"]

RATE = "training takes such a factor for another learning rate"
FACTORS = {
    2.0: f"twice the definition, everywhere: {RATE}",
    0.5: f"half the definition, everywhere: {RATE}",
    -1.0: "the definition with its sign flipped: training would climb",
    1 / math.log(2.0): f"the definition with logarithms to base 2: {RATE}",
}
NICE = 1e-6  # a constant so close to a short decimal is that


def solved(fit: Fit, loss: Loss) -> Iterator[Convention]:
    """Each candidate with the constants that the samples give it."""
    yield from _smoothed(fit, loss)
    yield from _stretched(fit)
    if loss.soft_minimum:
        yield _offset(loss)


def scaled(fit: Fit, base: Convention, loss: Loss, takes: Mapping[str, Any]) -> Iterator[Convention]:
    """A convention times a constant, or times one for each class."""
    start = f"{base.says}, and " if base is not AS_IT_IS else ""
    if (factor := _ratio(fit, base, lambda point: True)) and abs(factor - 1) > 10 * fit.samples.precision.ordinary:
        told = next((text for value, text in FACTORS.items() if math.isclose(value, factor, rel_tol=1e-6)), "")
        told = told or f"{times(factor)} the definition, everywhere: {RATE}"
        yield replace(base, says=start + told, change=_times(base, factor, factor), changes=base.changes + 1)
    # Soft targets go with the negatives, as in CenterNet; where they do not, no factor for each class explains them.
    positive, negative = _ratio(fit, base, lambda point: point.target == 1), _ratio(fit, base, lambda point: point.target != 1)
    if positive and negative and not math.isclose(positive, negative, rel_tol=1e-6):
        told, cures = _weights(fit, loss, takes, positive, negative)
        yield replace(base, says=start + told, change=_times(base, positive, negative), changes=base.changes + 1, cures=cures)


def _ratio(fit: Fit, base: Convention, of_class: Callable[[Sample], bool]) -> float:
    """The factor at the first sample of a class; 0 for none."""
    for point in fit.samples.ordinary:
        if base.where(point.logit, point.target) and of_class(point):
            right = fit.of(base, point)
            return point.value / right if right and math.isfinite(right) else 0.0
    return 0.0


def _times(base: Convention, positive: float, negative: float) -> Callable[[Definition, float, float], float]:
    return lambda d, x, z: (positive if z == 1 else negative) * base.change(d, x, z)


def _weights(fit: Fit, loss: Loss, takes: Mapping[str, Any], positive: float, negative: float) -> tuple[str, tuple[Adjustment, ...]]:
    """Words for factors of the classes: what became of a weight alpha of class 1 beside 1 - alpha of class 0."""
    told = f"{times(positive)} the definition for target 1, {times(negative)} for target 0"
    name = weight_of(loss)
    now = fit.params.get(name, math.nan)
    if not 0 < now < 1:
        return f"the classes have other weights: {told}", ()

    def is_near(a: float, b: float) -> bool:
        return math.isclose(a, b, rel_tol=1e-6)

    of_one, of_zero = positive * now, negative * (1 - now)
    what = "the classes have other weights"
    if is_near(of_one, of_zero):
        what = f"both classes have the weight {of_one:.4g}"
        theirs = number_of(takes.get(name))
        if theirs == 1:
            pass  # an alpha of 1 may be left out or weigh both classes
        elif is_near(of_one, 1):
            what = f"{name} is left out"
        elif is_near(of_one, now if theirs is None else theirs):
            what = f"{name} weighs both classes"
    elif is_near(of_one, now) and is_near(of_zero, 1):
        what = f"{name} weighs class 1 alone and class 0 has the weight 1"
    return f"{what}: {told} ({name}={now:g})", ()


def _smoothed(fit: Fit, loss: Loss) -> Iterator[Convention]:
    """Targets a z + b, for a loss that is linear in the target: what labels 0 and 1 have become."""
    if loss.hard_targets:
        return
    negative, positive = _first(fit, lambda point: point.target == 0), _first(fit, lambda point: point.target == 1)
    if negative is None or positive is None:
        return
    zero, one = (_nice(_target_of(fit, point)) for point in (negative, positive))
    if not (-0.5 < zero < one < 1.5):
        return
    if (zero, one) == (0.0, 1.0):
        return
    amount = one - zero
    told = f"targets are smoothed by {1 - amount:g}: z becomes {amount:g} z + {zero:g}" if zero else f"target 1 is lowered to {one:g}"
    advice = "it is the definition of smoothed targets" if zero else ""
    yield Convention(told, lambda d, x, z: d(x, zero + amount * z), advice=advice)


def _target_of(fit: Fit, point: Sample) -> float:
    """The target at which the definition, linear in it, has the value of a sample."""
    low, high = (fit.of(AS_IT_IS, replace(point, target=target)) for target in (0.0, 1.0))
    return (point.value - low) / (high - low) if high != low else math.nan


def _stretched(fit: Fit) -> Iterator[Convention]:
    """The logit times a constant, or plus one: at target 1 a loss falls with the logit, so that one value tells which."""
    if point := _first(fit, lambda p: p.target == 1 and p.logit == -2.5):
        stretch = _root(lambda k: fit.of(AS_IT_IS, replace(point, logit=math.exp(k) * point.logit)) - point.value, -5.0, 5.0)
        if math.isfinite(stretch):
            factor = _nice(math.exp(stretch))
            told = f"divided by {_nice(1 / factor):g}" if factor < 1 else f"multiplied by {factor:g}"
            yield Convention(f"the logit is {told}, as by a temperature", lambda d, x, z: d(factor * x, z), changes=2)
        shift = _root(lambda b: fit.of(AS_IT_IS, replace(point, logit=point.logit + b)) - point.value, -20.0, 20.0)
        if math.isfinite(shift):
            moved = _nice(shift)
            yield Convention(f"{moved:g} is added to the logit", lambda d, x, z: d(x + moved, z), changes=2)


def _offset(loss: Loss) -> Convention:
    """The definition minus the least it can be at a target: a divergence, with the same gradient."""
    return Convention(
        "the least it can be at a soft target is taken off (the Kullback-Leibler divergence): the gradient is the same",
        lambda d, x, z: d(x, z) - (_least(lambda logit: d(logit, z)) if 0 < z < 1 else 0.0),
    )


def _least(function: Callable[[float], float]) -> float:
    """The minimum of a function that falls and then rises, by trisection."""
    low, high = -40.0, 40.0
    for _ in range(120):
        left, right = low + (high - low) / 3, high - (high - low) / 3
        low, high = (low, right) if function(left) < function(right) else (left, high)
    return function((low + high) / 2)


def _first(fit: Fit, of: Callable[[Sample], bool]) -> Sample | None:
    return next((point for point in fit.samples.ordinary if of(point)), None)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a monotonic function is 0; NaN where it has one sign."""
    below, above = function(low), function(high)
    if not below * above < 0:
        return math.nan
    for _ in range(80):
        middle = (low + high) / 2
        value = function(middle)
        low, high = (middle, high) if (value < 0) == (below < 0) else (low, middle)
    return (low + high) / 2


def _nice(value: float) -> float:
    """A short decimal that is as good."""
    short = round(float(f"{value:.4g}"), 6)
    return short if math.isclose(value, short, rel_tol=NICE, abs_tol=1e-9) else value
