"""On which side of a rounding tie a value lies when exp(-|x|) is too small to be seen at any precision.

0.75 softplus(1e38) is 0.75e38 + 0.75 exp(-1e38). Where 0.75e38 is half-way between two floats, no ball decides which one is
nearer; the sign of the second term does. So a number here is a + b e, with e = exp(-|x|) > 0 the perturbation: softplus(x)
is x + e or e, sigmoid(x) is 1 - e or e, up to terms of the order of e^2. For |x| >= LARGE e is below 2^-8000, and no factor
of a formula over floats makes e^2 as large as e.
"""

from __future__ import annotations

from typing import Any

from losscheck.core.exact import Dyadic
from losscheck.oracle import Arithmetic
from losscheck.oracle.dual import DualArithmetic

__all__ = ["LARGE", "AsymptoticArithmetic", "NoExpansionError"]

LARGE = 6000.0  # e = exp(-6000) = 2^-8656


class NoExpansionError(ArithmeticError):
    """The formula is not a + b e to first order."""


class AsymptoticArithmetic(DualArithmetic):
    """First-order expansions in e = exp(-|logit|) over an enclosing arithmetic."""

    level = 0

    def __init__(self, base: Arithmetic, logit: Any) -> None:
        super().__init__(base)
        self.size = logit if logit > 0 else -logit

    def softplus(self, x: Any) -> Any:
        return self._dual(x if self._positive(x) else self.base.number(0), self.base.number(1))

    def sigmoid(self, x: Any) -> Any:
        if self._positive(x):
            return self._dual(self.base.number(1), self.base.number(-1))
        return self._dual(self.base.number(0), self.base.number(1))

    def exp(self, x: Any) -> Any:
        if self._positive(x):
            raise NoExpansionError("exp of a large number")
        return self._dual(self.base.number(0), self.base.number(1))

    def tanh_half(self, x: Any) -> Any:
        sign = 1 if self._positive(x) else -1
        return self._dual(self.base.number(sign), self.base.number(-2 * sign))

    def power(self, base: Any, exponent: Any) -> Any:
        if not (self._mine(base) and base.value == 0) or exponent == 0:
            return super().power(base, exponent)
        if exponent == 1:
            return base
        if exponent > 1:
            # e^g is nothing beside e.
            return self._dual(self.base.number(0), self.base.number(0))
        raise NoExpansionError("a root of e")

    def maximum(self, a: Any, b: Any) -> Any:
        if self._value(a) > self._value(b):
            return a
        if self._value(b) > self._value(a):
            return b
        if self._value(a) == self._value(b):
            # e is positive: the one with the greater slope is the greater.
            return a if self.slope(a) > self.slope(b) else b
        raise NoExpansionError("a tie between two terms")

    def side(self, x: Any) -> tuple[Dyadic, int] | None:
        """The exact a and the sign of b, or None where one of them is not known."""
        ends, slope = self.base.enclosure(self._value(x)), self.slope(x)
        if ends is None or ends[0] != ends[1] or ends[0][0] == 0 or not (slope > 0 or slope < 0):
            return None
        return ends[0], 1 if slope > 0 else -1

    def _positive(self, x: Any) -> bool:
        if x == self.size:
            return True
        if -x == self.size:
            return False
        raise NoExpansionError("an argument other than +-x")
