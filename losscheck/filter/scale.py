"""The two constants of a loss that say what counts: its steepest exact gradient, and its largest exact loss at logit 0."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping

from losscheck.core.dtypes import FLOAT64, Format
from losscheck.core.effect import Scale
from losscheck.core.loss import Formula, Loss
from losscheck.filter.arrays import filter_arrays
from losscheck.oracle.refine import Term, exact_value

__all__ = ["RANGE", "scale_of"]

# Where the steepest gradient is looked for: logits of the size that people meet.
RANGE = 100.0
STEP = 0.5  # of the first grid; sigmoids and their powers change over a logit or more
ROUNDS = 9  # of refinement, each to a quarter of the step: G is then known to 1e-9 of itself
# A float with this error bound serves: the thresholds made of it are conventions, not truths.
ENOUGH = 2.0**-30


def scale_of(loss: Loss, params: Mapping[str, float], dtype: Format, grad_dtype: Format | None = None, *, oracle: str = "flint") -> Scale:
    """The scale of a loss: G to a relative 1e-9 and L0 to 1e-9, both found once for a loss and its parameters.

    Args:
        params: all parameters, as :meth:`losscheck.core.loss.Loss.resolve` gives them.
        dtype, grad_dtype: of the loss and of the gradient that came out; the same where one is given.
        oracle: which is asked where float64 does not decide.
    """
    steepest, loss_at_zero = _constants(loss, tuple(sorted(params.items())), oracle)
    return Scale(steepest, loss_at_zero, dtype, grad_dtype or dtype)


@functools.cache
def _constants(loss: Loss, params: tuple[tuple[str, float], ...], oracle: str) -> tuple[float, float]:
    def sizes(formula: Formula, logits: list[float], target: float) -> list[float]:
        return [abs(value) for value in _values(formula, logits, target, dict(params), oracle)]

    loss_at_zero = max(sizes(loss.formula, [0.0], target)[0] for target in loss.targets)
    grid = [step * STEP for step in range(-round(RANGE / STEP), round(RANGE / STEP) + 1)]
    steepest, logit, target = max(
        (size, logit, target) for target in loss.targets for size, logit in zip(sizes(loss.gradient, grid, target), grid, strict=True)
    )
    step = STEP
    for _ in range(ROUNDS):
        near = [max(-RANGE, min(RANGE, logit + step * quarter / 4)) for quarter in range(-4, 5)]
        steepest, logit = max(zip(sizes(loss.gradient, near, target), near, strict=True))
        step /= 4
    return steepest, loss_at_zero


def _values(formula: Formula, logits: list[float], target: float, params: Mapping[str, float], oracle: str) -> list[float]:
    """The formula in float64 with a proved bound, by the oracle where that is not enough; 0 where nobody knows."""
    import numpy as np

    try:
        with np.errstate(all="ignore"):
            values, bounds = filter_arrays(np, formula, np.array(logits), target, params, FLOAT64)
        known = np.isfinite(values) & (bounds <= ENOUGH)
    except (TypeError, ArithmeticError, ValueError):  # no rule for it, or none for these numbers
        values, known = np.zeros(len(logits)), np.zeros(len(logits), bool)
    for n in np.flatnonzero(~known):
        exact = exact_value(formula, [Term(logits[n], target)], params, FLOAT64, oracle=oracle, printable=False)
        values[n] = exact.rounded if math.isfinite(exact.rounded) else 0.0
    return [float(value) for value in values]
