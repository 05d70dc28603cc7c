"""Does a changed definition explain what a callable returns? The one confirmation: at the samples it was found with, and at those
held back, values and, where there are any, gradients."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from losscheck.callables.conventions import AS_IT_IS, GUARDS, Convention, Definition
from losscheck.callables.plain import NO_GUARD, Reach
from losscheck.callables.samples import FAR_FROM, Sample, Samples
from losscheck.core.loss import Formula

__all__ = ["Fit"]

LEAST = 6  # points that a convention has to explain
SHOWN = 2  # points at which a guard has to make a difference, among those found with and among those held back
STEP = 1e-4  # of the central difference that stands for a slope: its error is some 1e-12, of rounding
UNMISTAKABLY = 0.999  # of the logit from which a guard shows, below which rounding does not make it show
SLOPES = 1e-5  # so close a gradient has to be, in float64


class Fit:
    """Values beside a definition, and how close to it they have to be."""

    def __init__(self, formula: Formula, params: Mapping[str, float], samples: Samples) -> None:
        self.formula, self.params, self.samples = formula, params, samples
        self.found = samples.ordinary + samples.far
        self.held = samples.held_ordinary + samples.held_far

    def of(self, convention: Convention, point: Sample, *, naive: bool = False) -> float:
        """The changed definition at a point; NaN where it has none. ``naive``: by logarithms of rounded probabilities."""
        rounding = self.samples.precision.dtype if naive else None
        return self._at(convention, point.logit, point.target, Definition(self.formula, self.params, convention.guard, rounding))

    def _at(self, convention: Convention, logit: float, target: float, definition: Definition) -> float:
        try:
            return convention.change(definition, logit, target)
        except (ArithmeticError, ValueError):
            return math.nan

    def agrees(self, convention: Convention, points: Sequence[Sample]) -> bool:
        """Does it explain all points? NaN explains nothing, and neither do a few points."""
        explains = 0
        for point in points:
            if convention.where(point.logit, point.target):
                if not self._explains(convention, point):
                    return False
                explains += 1
        return explains >= LEAST

    def _explains(self, convention: Convention, point: Sample) -> bool:
        """A guard shows in the rounded probabilities that it guards: where 1 - p is 0, or has lost its digits, and so only far out."""
        if self.samples.close(point, self.of(convention, point)):
            return True
        return convention.guard != NO_GUARD and abs(point.logit) >= FAR_FROM and self._close_to_naive(convention, point)

    def _close_to_naive(self, convention: Convention, point: Sample) -> bool:
        return math.isclose(point.value, self.of(convention, point, naive=True), rel_tol=self.samples.precision.ordinary)

    def holds(self, convention: Convention) -> bool:
        """Does it explain the samples, and those held back too? One with a guard explains the far ones as well, and shows there."""
        samples = self.samples
        if convention.change is AS_IT_IS.change and self._needed_at < convention.guard.shows_from * UNMISTAKABLY < math.inf:
            return False
        if convention.guard == NO_GUARD:
            return self.agrees(convention, samples.ordinary) and self.agrees(convention, samples.held_ordinary)
        return all(self.agrees(convention, points) and self._shows(convention, points) for points in (self.found, self.held))

    @functools.cached_property
    def _needed_at(self) -> float:
        """Where a guard has to show to be what explains the values: how far from 0 the probabilities are at the first ordinary point
        at which the bare definition does not; inf where it explains them all. Most guards show further out, and need no trying."""
        wrong = next((point for point in self.samples.ordinary if not self.samples.close(point, self.of(AS_IT_IS, point))), None)
        if wrong is None:
            return math.inf
        reach = Reach(wrong.logit)
        with contextlib.suppress(ArithmeticError, ValueError):
            self.formula(reach, wrong.logit, wrong.target, **self.params)
        return reach.furthest

    def _shows(self, convention: Convention, points: Sequence[Sample]) -> bool:
        """Does the guard make a difference, and is that what came out? Where 1 - p has few digits, nothing can be told."""
        bare, precision = replace(convention, guard=NO_GUARD), self.samples.precision
        shown = 0
        for point in points:
            if not convention.where(point.logit, point.target) or self.samples.close(point, self.of(bare, point)):
                continue
            if precision.murky < abs(point.logit) < precision.saturated:
                continue
            if not (self._close_to_naive(convention, point) or self._close_exactly(convention, point)):
                return False
            shown += 1
        return shown >= SHOWN

    def _close_exactly(self, convention: Convention, point: Sample) -> bool:
        tolerance = self.samples.precision.ordinary * math.exp(min(abs(point.logit), 9.0)) / 10
        right = self.of(convention, point)
        return abs(point.value - right) <= min(tolerance, 1e-3) * abs(right) + self.samples.precision.absolute

    def far_is_explained(self, convention: Convention) -> bool:
        """Do far values follow it without a guard, where there are any?"""
        samples = self.samples
        far = [point for point in samples.far + samples.held_far if convention.where(point.logit, point.target)]
        return all(self.samples.close(point, self.of(convention, point)) for point in far)

    def with_guard(self, convention: Convention) -> Convention:
        """It, and the guard that explains far values where it alone does not; unchanged where none does."""
        if self.far_is_explained(convention):
            return convention
        guarded = (replace(convention, guard=guard) for guard in GUARDS)
        return next((candidate for candidate in guarded if self.holds(candidate)), convention)

    def slope(self, convention: Convention, point: Sample) -> float:
        """The derivative of the changed definition to the logit, as a central difference of the fourth order."""
        definition = Definition(self.formula, self.params, convention.guard)
        beside = {step: self._at(convention, point.logit + step * STEP, point.target, definition) for step in (-2, -1, 1, 2)}
        return (8 * (beside[1] - beside[-1]) - (beside[2] - beside[-2])) / (12 * STEP)

    def slopes(self, convention: Convention) -> bool | None:
        """Are the gradients at ordinary points those of a convention? None where there are none."""
        points = [
            p for p in self.samples.ordinary + self.samples.held_ordinary if not math.isnan(p.slope) and convention.where(p.logit, p.target)
        ]
        if len(points) < LEAST:
            return None
        return all(self.is_slope(point, self.slope(convention, point)) for point in points)

    def is_slope(self, point: Sample, right: float) -> bool:
        """Is a gradient what it should be, but for rounding and the central difference?"""
        return self.slope_error(point, right) <= max(SLOPES, 10 * self.samples.precision.ordinary)

    def slope_error(self, point: Sample, right: float) -> float:
        """How far a gradient is from what it should be, as a part of that and of the loss."""
        error, size = abs(point.slope - right), abs(right) + abs(self.of(AS_IT_IS, point))
        return error / size if size else (math.inf if error else 0.0)
