"""Limits at an infinite logit: an infinity that mixes with the numbers of any arithmetic, with 0 * inf = 0.

The convention is the right limit for every formula of the one-sign style: there a factor is exactly 0 only as a
weight, or as the limit of an exponential, which beats the softplus it multiplies.
"""

from __future__ import annotations

import math
from typing import Any

from losscheck.core.dtypes import Format
from losscheck.core.exact import Dyadic
from losscheck.oracle import Arithmetic

__all__ = ["IndeterminateLimitError", "Infinity", "LimitArithmetic"]


class IndeterminateLimitError(ArithmeticError):
    """inf - inf or inf / inf: this formula has to be rewritten before its limit can be read off."""


class Infinity:
    """+inf or -inf, by ``sign``."""

    __slots__ = ("sign",)

    def __init__(self, sign: int) -> None:
        self.sign = sign

    def __neg__(self) -> Infinity:
        return Infinity(-self.sign)

    def __add__(self, other: Any) -> Infinity:
        if isinstance(other, Infinity) and other.sign != self.sign:
            raise IndeterminateLimitError("inf - inf")
        return self

    def __sub__(self, other: Any) -> Infinity:
        return self + -other

    def __rsub__(self, other: Any) -> Infinity:
        return -self + other

    def __mul__(self, other: Any) -> Any:
        if isinstance(other, Infinity):
            return Infinity(self.sign * other.sign)
        if other == 0:
            return other
        return self._signed_like(other)

    def __truediv__(self, other: Any) -> Any:
        if isinstance(other, Infinity):
            raise IndeterminateLimitError("inf / inf")
        return self._signed_like(other)

    def _signed_like(self, other: Any) -> Any:
        if other > 0:
            return self
        # A ball around 0: NaN is enclosed by nothing, so the precision is raised.
        return -self if other < 0 else other * math.nan

    def __rtruediv__(self, other: Any) -> Any:
        return 0 * other

    def __gt__(self, other: Any) -> bool:
        return self.sign > 0 and not (isinstance(other, Infinity) and other.sign > 0)

    def __lt__(self, other: Any) -> bool:
        return self.sign < 0 and not (isinstance(other, Infinity) and other.sign < 0)

    __radd__ = __add__
    __rmul__ = __mul__


class LimitArithmetic:
    """The arithmetic ``base`` extended by the two infinities."""

    def __init__(self, base: Arithmetic) -> None:
        self.base = base
        self.dtype: Format = base.dtype

    def number(self, value: float) -> Any:
        return self.base.number(value)

    def rounded(self, value: float, dtype: Format | None = None) -> Any:
        return self.base.rounded(value, dtype)

    def as_float(self, x: Any) -> float:
        return self.base.as_float(x)

    def exp(self, x: Any) -> Any:
        return self._limit(x, self.base.exp, self.number(0), Infinity(1))

    def log(self, x: Any) -> Any:
        if not isinstance(x, Infinity) and x == 0:
            return Infinity(-1)
        return self._limit(x, self.base.log, None, Infinity(1))

    def log1p(self, x: Any) -> Any:
        return self._limit(x, self.base.log1p, None, Infinity(1))

    def softplus(self, x: Any) -> Any:
        return self._limit(x, self.base.softplus, self.number(0), Infinity(1))

    def sigmoid(self, x: Any) -> Any:
        return self._limit(x, self.base.sigmoid, self.number(0), self.number(1))

    def tanh_half(self, x: Any) -> Any:
        return self._limit(x, self.base.tanh_half, self.number(-1), self.number(1))

    def power(self, base: Any, exponent: Any) -> Any:
        if not isinstance(base, Infinity):
            if base == 0 and exponent < 0:
                return Infinity(1)
            return self.base.power(base, exponent)
        if exponent == 0:
            return self.number(1)
        return Infinity(1) if exponent > 0 else self.number(0)

    def minimum(self, a: Any, b: Any) -> Any:
        if isinstance(a, Infinity) or isinstance(b, Infinity):
            return a if (b > a if isinstance(b, Infinity) else a < b) else b
        return self.base.minimum(a, b)

    def detach(self, x: Any) -> Any:
        return x

    def maximum(self, a: Any, b: Any) -> Any:
        if isinstance(a, Infinity) or isinstance(b, Infinity):
            return b if (b > a if isinstance(b, Infinity) else a < b) else a
        return self.base.maximum(a, b)

    def enclosure(self, x: Any) -> tuple[Dyadic, Dyadic] | None:
        return None if isinstance(x, Infinity) else self.base.enclosure(x)

    def _limit(self, x: Any, function: Any, at_minus: Any, at_plus: Any) -> Any:
        if not isinstance(x, Infinity):
            return function(x)
        limit = at_plus if x.sign > 0 else at_minus
        if limit is None:
            raise IndeterminateLimitError("a logarithm of -inf")
        return limit
