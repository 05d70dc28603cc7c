"""Running a formula through the filter's arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from losscheck.core.dtypes import Format
from losscheck.core.loss import Formula
from losscheck.filter.operations import ArrayOperations
from losscheck.filter.running_error import Bounded, RunningErrorArithmetic
from losscheck.oracle.dual import DualArithmetic

__all__ = ["apply", "filter_arrays", "run"]


def apply(m: RunningErrorArithmetic, formula: Formula, x: Any, target: Any, params: Mapping[str, float], differentiate: bool) -> Bounded:
    """The formula, or its derivative, at the values ``x`` of the arithmetic's engine and one target, or as many.

    Raises:
        NoFilterError: when the formula does something that the filter has no rule for.
    """
    target = m.number(target) if isinstance(target, int | float) else Bounded(m, target, 0.0, +1)  # in [0, 1]
    return run(m, formula, m.variable(x), target, params, differentiate)


def run(
    m: RunningErrorArithmetic, formula: Formula, logit: Bounded, target: Bounded, params: Mapping[str, float], differentiate: bool
) -> Bounded:
    """The same of numbers of the arithmetic."""
    numbers = {name: m.number(value) for name, value in params.items()}
    if not differentiate:
        return m.lift(formula(m, logit, target, **numbers))
    dual = DualArithmetic(m)  # type: ignore[arg-type]
    return m.lift(dual.slope(formula(dual, dual.variable(logit), target, **numbers)))


def filter_arrays(
    xp: Any, formula: Formula, x: Any, target: float, params: Mapping[str, float], dtype: Format, differentiate: bool = False
) -> tuple[Any, Any]:
    """Values and relative error bounds, float64 arrays like ``x``, by the module ``xp`` (numpy or torch)."""
    m = RunningErrorArithmetic(ArrayOperations(xp), dtype)
    result = apply(m, formula, x, target, params, differentiate)
    zero = x * 0.0
    # Constants fill the array; NaN and infinite logits make the zero NaN, and the point undecided.
    value = result.value + zero if isinstance(result.value, float) else result.value
    bound = result.bound + zero if isinstance(result.bound, float) else result.bound
    return value, bound
