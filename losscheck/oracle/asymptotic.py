"""On which side of a rounding tie a value lies when exp(-|x|) is too small to be seen at any precision.

0.75 softplus(1e38) is 0.75e38 + 0.75 exp(-1e38). Where 0.75e38 is half-way between two floats, no ball decides which one is
nearer; the sign of the second term does. So a number here is a + b e + c e^2, with e = exp(-|x|) > 0 the perturbation:
softplus(x) is x + log1p(e) or log1p(e), sigmoid(x) is 1 / (1 + e) or e / (1 + e). The second order counts where the first cancels,
as in softplus(x) + sigmoid(x) = x + 1 + e^2 / 2 - ... For |x| >= LARGE e is below 2^-8000, and no factor of a formula over
floats makes a power of e as large as the one before it.

The two orders are dual numbers over dual numbers: e is e0 + e1 with e0^2 = e1^2 = 0, so that the coefficient of e0 e1 is
twice that of e^2.
"""

from __future__ import annotations

import math
from typing import Any

from losscheck.core.exact import Dyadic
from losscheck.oracle import Arithmetic
from losscheck.oracle.dual import Dual, DualArithmetic

__all__ = ["LARGE", "AsymptoticArithmetic", "NoExpansionError"]

LARGE = 6000.0  # e = exp(-6000) = 2^-8656


class NoExpansionError(ArithmeticError):
    """The formula is not a + b e + c e^2 to second order."""


class _Inner(DualArithmetic):
    level = -1


class AsymptoticArithmetic(DualArithmetic):
    """Second-order expansions in e = exp(-|logit|) over an enclosing arithmetic."""

    level = 0

    def __init__(self, base: Arithmetic, logit: Any) -> None:
        self.inner = _Inner(base)
        super().__init__(self.inner)
        self.size = logit if logit > 0 else -logit
        self.e = self._expansion(base.number(0), base.number(1), base.number(0))

    def detach(self, x: Any) -> Any:
        return x  # its own slopes are those of an expansion

    def softplus(self, x: Any) -> Any:
        return x + self.log1p(self.e) if self._positive(x) else self.log1p(self.e)

    def sigmoid(self, x: Any) -> Any:
        return (1 if self._positive(x) else self.e) / (1 + self.e)

    def exp(self, x: Any) -> Any:
        if self._positive(x):
            raise NoExpansionError("exp of a large number")
        return self.e

    def tanh_half(self, x: Any) -> Any:
        return (1 if self._positive(x) else -1) * (1 - self.e) / (1 + self.e)

    def power(self, base: Any, exponent: Any) -> Any:
        vanishes = self._mine(base) and self._coefficients(base)[0] == 0
        if not vanishes or exponent == 0:
            return super().power(base, exponent)
        if exponent == 1:
            return base
        if exponent == 2:
            return base * base
        if exponent > 1:
            # e^g is nothing beside e; beside e^2 it is nothing where g > 2, and more than it can be told below.
            nothing = self.base.number(0)
            return self._expansion(nothing, nothing, nothing if exponent > 2 else self.base.number(math.nan))
        raise NoExpansionError("a root of e")

    def maximum(self, a: Any, b: Any) -> Any:
        for of_a, of_b in zip(self._coefficients(a), self._coefficients(b), strict=True):
            if of_a == of_b:
                continue
            if of_a > of_b:
                return a
            if of_b > of_a:
                return b
            break
        raise NoExpansionError("a tie between two terms")

    def side(self, x: Any) -> tuple[Dyadic, int] | None:
        """The exact a and the sign of what is added to it, or None where one of them is not known."""
        value, *perturbations = self._coefficients(x)
        ends = self.base.enclosure(value)
        if ends is None or ends[0] != ends[1] or ends[0][0] == 0:
            return None
        for coefficient in perturbations:
            if coefficient == 0:
                continue
            return (ends[0], 1 if coefficient > 0 else -1) if coefficient > 0 or coefficient < 0 else None
        return None

    def _expansion(self, value: Any, first: Any, second: Any) -> Dual:
        """value + first e + second / 2 e^2."""
        return self._dual(Dual(value, first, _Inner.level), Dual(first, second, _Inner.level))

    def _coefficients(self, x: Any) -> tuple[Any, Any, Any]:
        """a, b and 2 c."""
        value, slope = self._value(x), self.slope(x)
        return self.inner._value(value), self.inner.slope(value), self.inner.slope(slope)

    def _positive(self, x: Any) -> bool:
        if x == self.size:
            return True
        if -x == self.size:
            return False
        raise NoExpansionError("an argument other than +-x")
