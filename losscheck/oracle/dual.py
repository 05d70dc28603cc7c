"""Differentiation of any formula, over any arithmetic: numbers that carry their slope along."""

from __future__ import annotations

import math
from typing import Any

from losscheck.dtypes import Format
from losscheck.exact import Dyadic
from losscheck.oracle import Arithmetic

__all__ = ["DualArithmetic"]


class Dual:
    """value + slope * dx. Mixes with plain numbers of the arithmetic below, whose slope is 0."""

    __slots__ = ("slope", "value")

    def __init__(self, value: Any, slope: Any) -> None:
        self.value = value
        self.slope = slope

    def __neg__(self) -> Dual:
        return Dual(-self.value, -self.slope)

    def __add__(self, other: Any) -> Dual:
        if isinstance(other, Dual):
            return Dual(self.value + other.value, self.slope + other.slope)
        return Dual(self.value + other, self.slope)

    def __sub__(self, other: Any) -> Dual:
        return self + -other

    def __rsub__(self, other: Any) -> Dual:
        return -self + other

    def __mul__(self, other: Any) -> Dual:
        if isinstance(other, Dual):
            return Dual(self.value * other.value, self.value * other.slope + self.slope * other.value)
        return Dual(self.value * other, self.slope * other)

    def __truediv__(self, other: Any) -> Dual:
        if isinstance(other, Dual):
            ratio = self.value / other.value
            return Dual(ratio, (self.slope - ratio * other.slope) / other.value)
        return Dual(self.value / other, self.slope / other)

    def __rtruediv__(self, other: Any) -> Dual:
        ratio = other / self.value
        return Dual(ratio, -ratio * self.slope / self.value)

    def __gt__(self, other: Any) -> bool:
        return bool(self.value > _value(other))

    def __lt__(self, other: Any) -> bool:
        return bool(self.value < _value(other))

    __radd__ = __add__
    __rmul__ = __mul__


class DualArithmetic:
    """Forward differentiation over the arithmetic ``base``; :meth:`variable` makes the number d is taken for."""

    def __init__(self, base: Arithmetic) -> None:
        self.base = base
        self.dtype: Format = base.dtype

    def variable(self, x: Any) -> Dual:
        return Dual(x, self.base.number(1))

    def slope(self, x: Any) -> Any:
        return x.slope if isinstance(x, Dual) else self.base.number(0)

    def number(self, value: float) -> Any:
        return self.base.number(value)

    def rounded(self, value: float, dtype: Format | None = None) -> Any:
        return self.base.rounded(value, dtype)

    def as_float(self, x: Any) -> float:
        return self.base.as_float(x)

    def exp(self, x: Any) -> Any:
        e = self.base.exp(_value(x))
        return self._chain(x, e, lambda: e)

    def log(self, x: Any) -> Any:
        return self._chain(x, self.base.log(_value(x)), lambda: 1 / x.value)

    def log1p(self, x: Any) -> Any:
        return self._chain(x, self.base.log1p(_value(x)), lambda: 1 / (1 + x.value))

    def softplus(self, x: Any) -> Any:
        return self._chain(x, self.base.softplus(_value(x)), lambda: self.base.sigmoid(x.value))

    def sigmoid(self, x: Any) -> Any:
        s = self.base.sigmoid(_value(x))
        return self._chain(x, s, lambda: s * self.base.sigmoid(-x.value))

    def power(self, base: Any, exponent: Any) -> Any:
        value = self.base.power(_value(base), exponent)
        if exponent == 0:
            return value
        return self._chain(base, value, lambda: exponent * self.base.power(base.value, exponent - 1))

    def minimum(self, a: Any, b: Any) -> Any:
        return -self.maximum(-a, -b)

    def maximum(self, a: Any, b: Any) -> Any:
        """The slope of the larger; at a tie that of the one that depends on the variable, as PyTorch's clamp has it."""
        value = self.base.maximum(_value(a), _value(b))
        if not isinstance(a, Dual) and not isinstance(b, Dual):
            return value
        if _value(a) > _value(b):
            return Dual(value, self.slope(a))
        if _value(b) > _value(a):
            return Dual(value, self.slope(b))
        slopes = [self.slope(each) for each in (a, b)]
        if _value(a) == _value(b):
            return Dual(value, slopes[0] if isinstance(a, Dual) else slopes[1])
        # Which is larger is not decided at this precision. NaN is enclosed by nothing, so the precision is raised.
        return Dual(value, self.base.number(math.nan))

    def enclosure(self, x: Any) -> tuple[Dyadic, Dyadic] | None:
        return self.base.enclosure(_value(x))

    def _chain(self, x: Any, value: Any, outer: Any) -> Any:
        return Dual(value, outer() * x.slope) if isinstance(x, Dual) else value


def _value(x: Any) -> Any:
    return x.value if isinstance(x, Dual) else x
