"""Proved enclosures on the reals extended by IEEE 754's specials: what a recorded program is run in.

A number is a ball (`flint.arb`), an exact special (the Python floats inf, -inf and nan) or a truth value. A ball that is not finite
means: undecided at this precision. Unlike the arithmetic of a formula this one goes on where floating point goes on: log 0 is -inf,
0 * inf is nan, and both are exact answers.
"""

from __future__ import annotations

import math
from typing import Any

from flint import arb, ctx

__all__ = ["UNKNOWN", "Extended", "UndecidedError", "special"]

INF, NAN = math.inf, math.nan
UNKNOWN = arb.nan()
# Powers up to this exponent are products, which keeps a power of an exact number exact.
LARGEST_PRODUCT = 64
# sum over k of (x + k)^-s, in terms of which the derivatives of digamma are.
HURWITZ = {"trigamma": 2, "hurwitz 3": 3}


class UndecidedError(ArithmeticError):
    """Two numbers cannot be told apart at this precision."""


def special(x: Any) -> bool:
    return type(x) is float


def sign_of(x: Any) -> int | None:
    """-1, 0 or 1 of a ball; None while it straddles 0."""
    if x > 0:
        return 1
    if x < 0:
        return -1
    return 0 if x == 0 else None


class Extended:
    """The arithmetic at ``bits`` of working precision. The precision is flint's, so one arithmetic works at a time."""

    def __init__(self, bits: int) -> None:
        ctx.prec = self.bits = bits

    def number(self, value: Any) -> Any:
        """A Python number as one of this arithmetic; truth values count as 0 and 1."""
        if type(value) is arb:
            return value
        if isinstance(value, bool | int):
            return arb(int(value))
        return arb(value) if math.isfinite(value) else float(value)

    def truth(self, value: Any) -> Any:
        """A truth value as it is, anything else as whether it is not 0."""
        return value if isinstance(value, bool) else not self.equal(value, arb(0))

    # The four operations ----------------------------------------------------------------------------------------

    def add(self, a: Any, b: Any) -> Any:
        if type(a) is arb and type(b) is arb:
            return a + b
        a, b = self._lifted(a), self._lifted(b)
        if special(a) and special(b):
            return a + b
        if special(a):
            return a
        return b if special(b) else a + b

    def neg(self, a: Any) -> Any:
        return -a if type(a) is arb else -self._lifted(a)

    def sub(self, a: Any, b: Any) -> Any:
        if type(a) is arb and type(b) is arb:
            return a - b
        return self.add(a, self.neg(b))

    def mul(self, a: Any, b: Any) -> Any:
        if type(a) is arb and type(b) is arb:
            return a * b
        a, b = self._lifted(a), self._lifted(b)
        if not (special(a) or special(b)):
            return a * b
        if (special(a) and a != a) or (special(b) and b != b):
            return NAN
        signs = [x if special(x) else sign_of(x) for x in (a, b)]
        return UNKNOWN if None in signs else float(signs[0]) * float(signs[1])  # type: ignore[arg-type]

    def div(self, a: Any, b: Any) -> Any:
        a, b = self._lifted(a), self._lifted(b)
        if special(b):
            return NAN if b != b or special(a) else arb(0)
        sign = sign_of(b)
        if sign is None:
            return UNKNOWN
        if special(a):
            return a if sign == 0 else a * sign
        if sign:
            return a / b
        above = sign_of(a)
        return UNKNOWN if above is None else above * INF if above else NAN

    # Functions --------------------------------------------------------------------------------------------------

    def exp(self, x: Any) -> Any:
        if special(x):
            return arb(0) if x == -INF else x
        return x.exp()

    def expm1(self, x: Any) -> Any:
        if special(x):
            return arb(-1) if x == -INF else x
        return x.expm1()

    def log(self, x: Any) -> Any:
        return self._logarithm(x, x, "log")

    def log1p(self, x: Any) -> Any:
        return self._logarithm(x, x if special(x) else x + 1, "log1p")

    def _logarithm(self, x: Any, argument: Any, name: str) -> Any:
        if special(x):
            return NAN if x == -INF else x
        sign = sign_of(argument)
        if sign == 1:
            return getattr(x, name)()
        return UNKNOWN if sign is None else -INF if sign == 0 else NAN

    def sqrt(self, x: Any) -> Any:
        if special(x):
            return NAN if x == -INF else x
        sign = sign_of(x)
        return UNKNOWN if sign is None else NAN if sign == -1 else x.sqrt()

    def sigmoid(self, x: Any) -> Any:
        if special(x):
            return x if x != x else arb(1) if x > 0 else arb(0)
        if x > 0:
            return 1 / (1 + (-x).exp())
        e = x.exp()
        return e / (1 + e)

    def softplus(self, x: Any) -> Any:
        """Either branch is right for every x; the sign of x decides which one loses no precision."""
        if special(x):
            return arb(0) if x == -INF else x
        return x + (-x).exp().log1p() if x > 0 else x.exp().log1p()

    def tanh(self, x: Any) -> Any:
        if special(x):
            return x if x != x else arb(1) if x > 0 else arb(-1)
        return x.tanh()

    def power(self, base: Any, exponent: Any) -> Any:
        if special(base) or special(exponent):
            return self._power_of_special(base, exponent)
        if exponent == 0:
            return arb(1)
        sign = sign_of(base)
        if sign == 0:
            below = sign_of(exponent)
            return UNKNOWN if below is None else arb(0) if below > 0 else INF
        if exponent.is_exact() and exponent.is_integer():
            if abs(exponent) <= LARGEST_PRODUCT:
                return base ** int(float(exponent))
            if sign is None:
                return UNKNOWN
            size = abs(base) ** exponent
            return -size if sign < 0 and float(exponent) % 2 else size
        return UNKNOWN if sign is None else NAN if sign < 0 else base**exponent

    def _power_of_special(self, base: Any, exponent: Any) -> Any:
        if type(exponent) is arb:
            try:
                return self.number(base ** float(exponent))
            except ZeroDivisionError:
                return INF
        if exponent != exponent or special(base):
            return self.number(base**exponent) if special(base) else (arb(1) if base == 1 else NAN)
        if base == 1 or base == -1:
            return arb(1)
        grows = self.less(arb(1), abs(base)) == (exponent > 0)
        return INF if grows else arb(0)

    def function(self, name: str, x: Any) -> Any:
        """Any other function that flint and Python's math know by one name: erf, lgamma, cosh, atanh, ..."""
        if special(x):
            return _at_special(name, x)
        if name in ("atanh", "acos", "asin") and not self.less(abs(x), arb(1)):
            return _beyond_one(name, x)
        if name in ("lgamma", "digamma") and x.is_exact() and x.is_integer() and x <= 0:
            return INF if name == "lgamma" else NAN
        if name in HURWITZ:
            return arb(HURWITZ[name]).zeta(x)
        if name == "lgamma" and x < 0:
            # log |gamma|: flint's own is undefined where gamma is negative.
            return abs(x.gamma()).log()
        return getattr(x, name)()

    def floor(self, x: Any) -> Any:
        return x if special(x) else x.floor()

    def detach(self, x: Any) -> Any:
        """The same number; where slopes are carried, without its slope."""
        return x

    # Decisions --------------------------------------------------------------------------------------------------

    def less(self, a: Any, b: Any) -> bool:
        """a < b, False with NaN.

        Raises:
            UndecidedError: when the balls overlap.
        """
        a, b = self._lifted(a), self._lifted(b)
        if type(a) is arb and type(b) is arb:
            if a < b:
                return True
            if a >= b:
                return False
            raise UndecidedError
        if special(a) and special(b):
            return bool(a < b)
        return bool(a == -INF) if special(a) else bool(b == INF)

    def equal(self, a: Any, b: Any) -> bool:
        """a == b, False with NaN.

        Raises:
            UndecidedError: when the balls overlap.
        """
        a, b = self._lifted(a), self._lifted(b)
        if type(a) is arb and type(b) is arb:
            if a == b:
                return True
            if a != b:
                return False
            raise UndecidedError
        return special(a) and special(b) and bool(a == b)

    def is_nan(self, x: Any) -> bool:
        return special(x) and x != x

    def maximum(self, a: Any, b: Any) -> Any:
        """The larger; NaN if either is. Two balls that overlap enclose it together."""
        a, b = self._lifted(a), self._lifted(b)
        if self.is_nan(a) or self.is_nan(b):
            return NAN
        if type(a) is arb and type(b) is arb:
            return a.max(b)
        return b if self.less(a, b) else a

    def minimum(self, a: Any, b: Any) -> Any:
        return self.neg(self.maximum(self.neg(a), self.neg(b)))

    def _lifted(self, x: Any) -> Any:
        return arb(int(x)) if isinstance(x, bool | int) else x


def _at_special(name: str, x: float) -> Any:
    if name in ("gamma", "digamma") and x == -INF:
        return NAN
    try:
        value = float(INF if name == "digamma" and x == INF else getattr(math, name)(x))
    except (ValueError, OverflowError, AttributeError):
        return NAN
    return arb(value) if math.isfinite(value) else value


def _beyond_one(name: str, x: Any) -> Any:
    if abs(x) > 1:
        return NAN
    return x * INF if name != "atanh" and not x.is_exact() else getattr(x, name)() if name != "atanh" else INF if x > 0 else -INF
