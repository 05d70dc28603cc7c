"""Float64 with a running bound of its relative error: the arithmetic of the bulk filter.

A number is a float64 value v with a bound r: the true value lies in v (1 +- r). Values and bounds are numpy arrays, torch
tensors, plain floats (constants), or expressions that become compiled code (codegen.py): the rules below are written once.

Rules (U = 2^-53, rounded up throughout): a product has r = ra + rb + ra rb + U; a sum of one sign the larger of the two
bounds + U; any other sum (|a| ra + |b| rb) / |a + b| + U. Elementary functions are granted ELEMENTARY, which
tests/test_running_error.py checks against the exact oracle. Exponentials are held at exp(-CLAMP) with r = 1, so that nothing
underflows to a wrong zero: the true value is then between 0 and twice what is held.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

from losscheck.core.dtypes import Format
from losscheck.filter.bounded import Bounded, NoFilterError, U, both, is_zero

__all__ = ["CLAMP", "ELEMENTARY", "Bounded", "NoFilterError", "Operations", "RunningErrorArithmetic"]

ELEMENTARY = 2.0**-48
CLAMP = 700.0


class Operations(Protocol):
    """What the values of an engine can do beyond + - * /."""

    def where(self, condition: Any, a: Any, b: Any) -> Any: ...
    def absolute(self, x: Any) -> Any: ...
    def within(self, x: Any, limit: float) -> bool:
        """Is it known that |x| <= limit everywhere?"""
        ...

    def minimum(self, a: Any, b: Any) -> Any: ...
    def maximum(self, a: Any, b: Any) -> Any: ...
    def exp(self, x: Any) -> Any: ...
    def log(self, x: Any) -> Any: ...
    def log1p(self, x: Any) -> Any: ...
    def exp_clamped(self, x: Any) -> Any:
        """exp(x) for x in [-CLAMP, 0]"""
        ...

    def expm1_clamped(self, x: Any) -> Any:
        """expm1(x) for x in [-CLAMP, 0]"""
        ...

    def log1p_unit(self, x: Any) -> Any:
        """log1p(x) for x in [0, 1]"""
        ...

    def power(self, x: Any, exponent: float) -> Any: ...
    def exponent(self, x: Any) -> Any:
        """floor(log2 x) of positive float64, -1023 for zero and subnormals; 1024 for infinity and NaN"""
        ...

    def power_of_two(self, exponent: Any) -> Any: ...


class RunningErrorArithmetic:
    """The arithmetic ``m`` of DESIGN's formulas over the values of one engine."""

    def __init__(self, operations: Operations, dtype: Format) -> None:
        self.operations = operations
        self.dtype = dtype

    def variable(self, x: Any) -> Bounded:
        """The logits, exactly as they are."""
        return Bounded(self, x, 0.0)

    def number(self, value: float) -> Bounded:
        return Bounded(self, float(value), 0.0)

    def rounded(self, value: float, dtype: Format | None = None) -> Bounded:
        return self.number((dtype or self.dtype).round(value))

    def as_float(self, x: Any) -> float:
        return float(x.value)

    def operand(self, x: Any) -> Bounded | None:
        """A number of this arithmetic, or None: a dual number, say, knows itself what to do with one."""
        if isinstance(x, Bounded):
            return x
        return self.number(x) if isinstance(x, int | float) else None

    def compared(self, a: Bounded, b: Bounded, sign: str) -> bool:
        """What a formula does next depends on values: one answer for a whole array is refused here."""
        raise NoFilterError("a formula compares a logit")

    def lift(self, x: Any) -> Bounded:
        if (number := self.operand(x)) is not None:
            return number
        raise NoFilterError(f"a formula mixes in a {type(x).__name__}")

    def exp(self, x: Any) -> Bounded:
        x = self.lift(x)
        held = self.operations.maximum(x.value, -CLAMP) if not x.constant else max(x.value, -CLAMP)
        bound = self._held(x, _amplified(self, x) + ELEMENTARY)
        return Bounded(self, self._call(math.exp, self.operations.exp, held), bound, +1)

    def log(self, x: Any) -> Bounded:
        x = self.lift(x)
        value = self._call(math.log, self.operations.log, x.value)
        if x.constant and value == 0:
            return self.number(0)
        error = self.where_bound(x.bound, 0.5, x.bound + x.bound)
        return Bounded(self, value, self.ratio(error, self.absolute(value)) + ELEMENTARY)

    def log1p(self, x: Any) -> Bounded:
        """For x > -1/2. With an error of at most half of x the slope of the logarithm on the way is at most 2 / (1 + max(x, 0))."""
        x = self.lift(x)
        value = self._call(math.log1p, self.operations.log1p, x.value)
        error = self.where_bound(x.bound, 0.5, 2 * self.absolute(x.value) * x.bound / (1.0 + self._max0(x.value)))
        return Bounded(self, value, self.ratio(error, self.absolute(value)) + ELEMENTARY, x.sign)

    def softplus(self, x: Any) -> Bounded:
        x = self.lift(x)
        return x.once("softplus", lambda: self._softplus(x))

    def _softplus(self, x: Bounded) -> Bounded:
        value = self._max0(x.value) + self._call(math.log1p, self.operations.log1p_unit, self._decay(x))
        # Above -CLAMP the relative slope of softplus is at most max(1, |x|).
        return Bounded(self, value, self._held(x, _amplified(self, x) + ELEMENTARY), +1)

    def sigmoid(self, x: Any) -> Bounded:
        x = self.lift(x)
        return x.once("sigmoid", lambda: self._sigmoid(x))

    def _sigmoid(self, x: Bounded) -> Bounded:
        e = self._decay(x)
        top = (1.0 if x.value > 0 else e) if x.constant else self.operations.where(x.value > 0, 1.0, e)
        value = top / x.once_even("1 + decay", lambda: 1 + e)
        return Bounded(self, value, self._held(x, _amplified(self, x) + ELEMENTARY), +1)

    def tanh_half(self, x: Any) -> Bounded:
        """-+expm1(-|x|) / (1 + exp(-|x|)); its relative slope is at most 1."""
        x = self.lift(x)
        if x.constant:
            return Bounded(self, math.tanh(x.value / 2), x.bound + ELEMENTARY)
        minus = self.operations.maximum(-self.operations.absolute(x.value), -CLAMP)
        size = -self.operations.expm1_clamped(minus) / (1 + self.operations.exp_clamped(minus))
        value = self.operations.where(x.value > 0, size, -size)
        return Bounded(self, value, x.bound + ELEMENTARY, x.sign)

    def power(self, base: Any, exponent: Any) -> Bounded:
        base, exponent = self.lift(base), self.lift(exponent)
        if not exponent.constant:
            raise NoFilterError("a formula raises to a variable power")
        g = exponent.value
        if g == 0:
            return self.number(1)
        if base.constant:
            return Bounded(self, math.pow(base.value, g), 2 * abs(g) * base.bound + ELEMENTARY if base.value else 0.0)
        return base.once(("power", g), lambda: self._power(base, g))

    def _power(self, base: Bounded, g: float) -> Bounded:
        # (1 + r)^g - 1 <= (1 + r)^ceil(g) - 1 for r >= 0, which products bound without a power.
        # 1 / (1 - r) <= 1 + 2 r for r <= 1/2 serves the negative powers.
        single = base.bound if g > 0 else base.bound + base.bound
        bound = single
        for _ in range(math.ceil(abs(g)) - 1):
            bound = both(bound, single)
        return Bounded(self, self.operations.power(base.value, g), bound + ELEMENTARY, +1)

    def minimum(self, a: Any, b: Any) -> Bounded:
        return -self.maximum(-self.lift(a), -self.lift(b))

    def detach(self, x: Any) -> Any:
        return x

    def maximum(self, a: Any, b: Any) -> Bounded:
        a, b = self.lift(a), self.lift(b)
        if a.constant and b.constant:
            return a if a.value >= b.value else b
        value = self.operations.maximum(a.value, b.value)
        of_a, of_b, apart = self.absolute(a.value) * a.bound, self.absolute(b.value) * b.bound, a.value - b.value
        # Where one is surely the larger, only its own error counts: what is held at 0 is exactly 0.
        where, margin = self.operations.where, of_a + of_b
        error = where(apart > margin, of_a, where(-apart > margin, of_b, self.larger(of_a, of_b)))
        return Bounded(self, value, self.ratio(error, self.absolute(value)) + U, a.sign if a.sign == b.sign else 0)

    def select(self, a: Any, b: Any, x: Any, y: Any) -> Bounded:
        """x where a > b, y where a < b, unknown where the bounds do not tell."""
        a, b, x, y = map(self.lift, (a, b, x, y))
        if a.constant and b.constant:
            return x if a.value > b.value else y
        above = a.value > b.value
        margin = self.absolute(a.value) * a.bound + self.absolute(b.value) * b.bound
        # An unknown bound makes the margin NaN: asked this way round it is not clear.
        clear = self.absolute(a.value - b.value) > margin
        bound = self.operations.where(above, x.bound, y.bound)
        return Bounded(self, self.operations.where(above, x.value, y.value), self.operations.where(clear, bound, math.inf))

    # The bounds are floats where they can be, so that compiled code folds them away. -------------------------------

    def absolute(self, x: Any) -> Any:
        return abs(x) if isinstance(x, float) else self.operations.absolute(x)

    def larger(self, a: Any, b: Any) -> Any:
        return max(a, b) if isinstance(a, float) and isinstance(b, float) else self.operations.maximum(a, b)

    def ratio(self, error: Any, value: Any) -> Any:
        """error / value, and 0 for 0 / 0; infinite (undecided) for anything else over 0."""
        if isinstance(error, float) and error == 0:
            return 0.0
        if isinstance(value, float):
            return error / value if value else math.inf
        # A value that cancelled to nothing has no relative error: it is undecided, unless nothing was uncertain in it.
        relative = error / self.operations.maximum(value, 2.0**-1020)
        return self.operations.where(value > 2.0**-1020, relative, self.operations.where(error <= 0.0, 0.0, math.inf))

    def where_bound(self, bound: Any, limit: float, then: Any) -> Any:
        """``then`` while the bound is at most the limit, else infinite."""
        if isinstance(bound, float):
            return then if bound <= limit else math.inf
        return self.operations.where(bound <= limit, then, math.inf)

    def _held(self, x: Bounded, bound: Any) -> Any:
        """A bound where x >= -CLAMP, and 1 below, where a function of it is held."""
        if x.constant:
            return bound if x.value >= -CLAMP else 1.0
        if isinstance(bound, float) and self._ordinary(x):
            return bound  # one number instead of an array of it, and so in all that follows
        return self.operations.where(-x.value > CLAMP, 1.0, bound)

    def _ordinary(self, x: Bounded) -> bool:
        """Is it known that nothing of x or -x is held?"""
        return bool(x.once_even("ordinary", lambda: self.operations.within(x.value, CLAMP)))

    def _decay(self, x: Bounded) -> Any:
        """exp(-min(|x|, CLAMP)), which -x has too."""
        if x.constant:
            return math.exp(max(-abs(x.value), -CLAMP))
        return x.once_even("decay", lambda: self._found_decay(x.value, self._ordinary(x)))

    def _found_decay(self, x: Any, ordinary: bool) -> Any:
        minus = -self.operations.absolute(x)
        return self.operations.exp_clamped(minus if ordinary else self.operations.maximum(minus, -CLAMP))

    def _max0(self, x: Any) -> Any:
        return self.larger(x, 0.0)

    @staticmethod
    def _call(scalar: Callable[[float], float], array: Callable[[Any], Any], x: Any) -> Any:
        return scalar(x) if isinstance(x, float) else array(x)


def _amplified(m: RunningErrorArithmetic, x: Bounded) -> Any:
    """What an error of the argument becomes in exp, softplus and sigmoid: at most 2 max(1, |x|) r while that is small."""
    if is_zero(x.bound):
        return 0.0
    error = 2 * m.larger(m.absolute(x.value), 1.0) * x.bound
    return m.where_bound(error, 0.5, error)
