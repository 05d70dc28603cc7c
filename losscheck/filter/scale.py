"""The two constants of a loss that say what counts: its steepest exact gradient, and its largest exact loss at logit 0."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from itertools import product

from losscheck.core.dtypes import FLOAT64, Format
from losscheck.core.effect import Scale
from losscheck.core.loss import Formula, Loss
from losscheck.filter.operations import ArrayOperations
from losscheck.filter.running_error import RunningErrorArithmetic
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
    def size(formula: Formula, logit: float, target: float) -> float:
        return abs(_value(formula, logit, target, dict(params), oracle))

    loss_at_zero = max(size(loss.formula, 0.0, target) for target in loss.targets)
    grid = [step * STEP for step in range(-round(RANGE / STEP), round(RANGE / STEP) + 1)]
    steepest, logit, target = max((size(loss.gradient, logit, target), logit, target) for logit, target in product(grid, loss.targets))
    step = STEP
    for _ in range(ROUNDS):
        near = [max(-RANGE, min(RANGE, logit + step * quarter / 4)) for quarter in range(-4, 5)]
        steepest, logit = max((size(loss.gradient, candidate, target), candidate) for candidate in near)
        step /= 4
    return steepest, loss_at_zero


def _value(formula: Formula, logit: float, target: float, params: Mapping[str, float], oracle: str) -> float:
    """The formula in float64 with a proved bound, by the oracle where that is not enough; 0 where nobody knows."""
    m = RunningErrorArithmetic(ArrayOperations(None), FLOAT64)  # every number is a constant: no array is made
    numbers = {name: m.number(value) for name, value in params.items()}
    try:
        found = m.lift(formula(m, m.number(logit), m.number(target), **numbers))
        if found.bound <= ENOUGH and math.isfinite(found.value):
            return float(found.value)
    except (TypeError, ArithmeticError, ValueError):  # no rule for it, or none for these numbers
        pass
    exact = exact_value(formula, [Term(logit, target)], params, FLOAT64, oracle=oracle, printable=False)
    return exact.rounded if math.isfinite(exact.rounded) else 0.0
