"""Differentiation of any formula, over any arithmetic: numbers that carry their slope along."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from losscheck.core.dtypes import Format
from losscheck.core.exact import Dyadic
from losscheck.oracle import Arithmetic

__all__ = ["Dual", "DualArithmetic", "derivative"]


class Dual:
    """value + slope * dx. Mixes with numbers of the arithmetic below, whose slope is 0.

    Duals of different levels nest: to one of a higher level a number of a lower one is a plain number.
    """

    __slots__ = ("level", "slope", "value")

    def __init__(self, value: Any, slope: Any, level: int = 1) -> None:
        self.value = value
        self.slope = slope
        self.level = level

    def __neg__(self) -> Dual:
        return Dual(-self.value, -self.slope, self.level)

    def __add__(self, other: Any) -> Dual:
        if not isinstance(other, Dual) or other.level < self.level:
            return Dual(self.value + other, self.slope, self.level)
        if other.level > self.level:
            return NotImplemented
        return Dual(self.value + other.value, self.slope + other.slope, self.level)

    def __sub__(self, other: Any) -> Dual:
        return NotImplemented if isinstance(other, Dual) and other.level > self.level else self + -other

    def __rsub__(self, other: Any) -> Dual:
        return -self + other

    def __mul__(self, other: Any) -> Dual:
        if not isinstance(other, Dual) or other.level < self.level:
            return Dual(self.value * other, self.slope * other, self.level)
        if other.level > self.level:
            return NotImplemented
        return Dual(self.value * other.value, self.value * other.slope + self.slope * other.value, self.level)

    def __truediv__(self, other: Any) -> Dual:
        if not isinstance(other, Dual) or other.level < self.level:
            return Dual(self.value / other, self.slope / other, self.level)
        if other.level > self.level:
            return NotImplemented
        ratio = self.value / other.value
        return Dual(ratio, (self.slope - ratio * other.slope) / other.value, self.level)

    def __rtruediv__(self, other: Any) -> Dual:
        ratio = other / self.value
        return Dual(ratio, -ratio * self.slope / self.value, self.level)

    def __gt__(self, other: Any) -> bool:
        return bool(self.value > self._lifted(other))

    def __lt__(self, other: Any) -> bool:
        return bool(self.value < self._lifted(other))

    def _lifted(self, other: Any) -> Any:
        """What a number of any level is compared as."""
        return other.value if isinstance(other, Dual) and other.level == self.level else other

    __radd__ = __add__
    __rmul__ = __mul__


class DualArithmetic:
    """Forward differentiation over the arithmetic ``base``; :meth:`variable` makes the number d is taken for."""

    level = 1

    def __init__(self, base: Arithmetic) -> None:
        self.base = base
        self.dtype: Format = base.dtype

    def variable(self, x: Any) -> Dual:
        return Dual(x, self.base.number(1), self.level)

    def slope(self, x: Any) -> Any:
        return x.slope if self._mine(x) else self.base.number(0)

    def number(self, value: float) -> Any:
        return self.base.number(value)

    def rounded(self, value: float, dtype: Format | None = None) -> Any:
        return self.base.rounded(value, dtype)

    def as_float(self, x: Any) -> float:
        return self.base.as_float(x)

    def exp(self, x: Any) -> Any:
        e = self.base.exp(self._value(x))
        return self._chain(x, e, lambda: e)

    def log(self, x: Any) -> Any:
        return self._chain(x, self.base.log(self._value(x)), lambda: 1 / x.value)

    def log1p(self, x: Any) -> Any:
        return self._chain(x, self.base.log1p(self._value(x)), lambda: 1 / (1 + x.value))

    def softplus(self, x: Any) -> Any:
        return self._chain(x, self.base.softplus(self._value(x)), lambda: self.base.sigmoid(x.value))

    def sigmoid(self, x: Any) -> Any:
        s = self.base.sigmoid(self._value(x))
        return self._chain(x, s, lambda: s * self.base.sigmoid(-x.value))

    def tanh_half(self, x: Any) -> Any:
        value = self.base.tanh_half(self._value(x))
        return self._chain(x, value, lambda: 2 * self.base.sigmoid(x.value) * self.base.sigmoid(-x.value))

    def power(self, base: Any, exponent: Any) -> Any:
        value = self.base.power(self._value(base), exponent)
        if exponent == 0:
            return value
        return self._chain(base, value, lambda: exponent * self.base.power(base.value, exponent - 1))

    def detach(self, x: Any) -> Any:
        """The number without its slope, as PyTorch's ``detach``."""
        value = self.base.detach(self._value(x))
        # Operators find the higher of two levels on the left alone.
        return self._dual(value, self.base.number(0)) if isinstance(value, Dual) else value

    def minimum(self, a: Any, b: Any) -> Any:
        return -self.maximum(-a, -b)

    def maximum(self, a: Any, b: Any) -> Any:
        """The slope of the larger; at a tie that of the one that depends on the variable, as PyTorch's clamp has it."""
        value = self.base.maximum(self._value(a), self._value(b))
        if not self._mine(a) and not self._mine(b):
            return value
        if select := getattr(self.base, "select", None):
            return self._dual(value, select(self._value(a), self._value(b), self.slope(a), self.slope(b)))
        if self._value(a) > self._value(b):
            return self._dual(value, self.slope(a))
        if self._value(b) > self._value(a):
            return self._dual(value, self.slope(b))
        slopes = [self.slope(operand) for operand in (a, b)]
        if self._value(a) == self._value(b):
            return self._dual(value, slopes[0] if self._mine(a) else slopes[1])
        # Which is larger is not decided at this precision. NaN is enclosed by nothing, so the precision is raised.
        return self._dual(value, self.base.number(math.nan))

    def enclosure(self, x: Any) -> tuple[Dyadic, Dyadic] | None:
        return self.base.enclosure(self._value(x))

    def _chain(self, x: Any, value: Any, outer: Any) -> Any:
        return self._dual(value, outer() * x.slope) if self._mine(x) else value

    def _mine(self, x: Any) -> bool:
        return isinstance(x, Dual) and x.level == self.level

    def _value(self, x: Any) -> Any:
        return x.value if self._mine(x) else x

    def _dual(self, value: Any, slope: Any) -> Dual:
        return Dual(value, slope, self.level)


def derivative(formula: Callable[..., Any]) -> Callable[..., Any]:
    """``d formula / d logit`` of a ``formula(m, logit, target, **params)``, over the same arithmetics."""

    def slope(m: Any, logit: Any, target: Any, **params: Any) -> Any:
        dual = DualArithmetic(m)
        return dual.slope(formula(dual, dual.variable(logit), target, **params))

    return slope
