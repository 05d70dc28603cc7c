"""The numbers of the bulk filter: a float64 value with a bound of its relative error, and what + - * / make of the bounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["Bounded", "NoFilterError", "U", "both", "is_zero"]

U = 2.0**-52  # twice the unit roundoff, which also covers the rounding of the bounds themselves


class NoFilterError(TypeError):
    """The formula branches on a value or needs a function that the filter does not have; the oracle has to do it."""


class Bounded:
    """v (1 +- r), with the sign of v where it is known (+1 or -1, otherwise 0).

    Attributes:
        m: the arithmetic that it is a number of.
        kept: functions of it that were found, which another formula of the same number takes up again; even: those that -v has too;
        opposite: -v, once asked for (which does not know v: arrays that know each other stay in memory).
    """

    __slots__ = ("bound", "even", "kept", "m", "opposite", "sign", "value")

    def __init__(self, m: Any, value: Any, bound: Any, sign: int = 0) -> None:
        self.m, self.value, self.bound = m, value, bound
        self.kept: dict[Any, Any] = {}
        self.even: dict[str, Any] = {}
        self.opposite: Bounded | None = None
        self.sign = sign if not isinstance(value, float) else (value > 0) - (value < 0)

    @property
    def constant(self) -> bool:
        return isinstance(self.value, float)

    def __neg__(self) -> Bounded:
        if self.opposite is None:
            self.opposite = Bounded(self.m, -self.value, self.bound, -self.sign)
            self.opposite.even = self.even
        return self.opposite

    def once(self, name: Any, make: Callable[[], Any]) -> Any:
        """What ``make`` finds, found once."""
        if name not in self.kept:
            self.kept[name] = make()
        return self.kept[name]

    def once_even(self, name: str, make: Callable[[], Any]) -> Any:
        """The same of what -v has too."""
        if name not in self.even:
            self.even[name] = make()
        return self.even[name]

    def __add__(self, other: Any) -> Any:
        if (b := self.m.operand(other)) is None:
            return NotImplemented
        if self.constant and self.value == 0:
            return b
        if b.constant and b.value == 0:
            return self
        value = self.value + b.value
        same = self.sign * b.sign > 0
        if same and isinstance(self.bound, float) and isinstance(b.bound, float):
            return Bounded(self.m, value, max(self.bound, b.bound) + U, self.sign)
        if is_zero(self.bound) and is_zero(b.bound):
            return Bounded(self.m, value, U, self.sign if same else 0)
        error = self.m.absolute(self.value) * self.bound + self.m.absolute(b.value) * b.bound
        bound = self.m.ratio(error, self.m.absolute(value))
        if same and not isinstance(bound, float):
            # Beside a large term the bound of a small one hardly counts; where both vanish the larger bound holds.
            bound = self.m.operations.minimum(bound, self.m.larger(self.bound, b.bound))
        return Bounded(self.m, value, bound + U, self.sign if same else 0)

    def __sub__(self, other: Any) -> Any:
        return NotImplemented if (b := self.m.operand(other)) is None else self + -b

    def __rsub__(self, other: Any) -> Any:
        return -self + other

    def __mul__(self, other: Any) -> Any:
        if (b := self.m.operand(other)) is None:
            return NotImplemented
        for factor in (self, b):
            if factor.constant and factor.value == 0:
                return factor  # also for an infinite factor: 0 * inf = 0 where the weight is exactly 0
        for factor, rest in ((self, b), (b, self)):
            if factor.constant and abs(factor.value) == 1 and is_zero(factor.bound):
                return rest if factor.value > 0 else -rest
        return Bounded(self.m, self.value * b.value, both(self.bound, b.bound) + U, self.sign * b.sign)

    def __truediv__(self, other: Any) -> Any:
        if (b := self.m.operand(other)) is None:
            return NotImplemented
        # 1 / (1 - rb) <= 1 + 2 rb while rb <= 1/2; beyond that nothing is known.
        spread = self.m.where_bound(b.bound, 0.5, b.bound + b.bound)
        return Bounded(self.m, self.value / b.value, both(self.bound, spread) + U, self.sign * b.sign)

    def __rtruediv__(self, other: Any) -> Any:
        return self.m.lift(other) / self

    def __eq__(self, other: object) -> bool:
        b = self.m.lift(other)
        return bool(self.value == b.value) if self.constant and b.constant else self.m.compared(self, b, "==")

    __hash__ = None  # type: ignore[assignment]

    def __lt__(self, other: Any) -> bool:
        b = self.m.lift(other)
        return bool(self.value < b.value) if self.constant and b.constant else self.m.compared(self, b, "<")

    def __gt__(self, other: Any) -> bool:
        return bool(self.m.lift(other) < self)

    __radd__ = __add__
    __rmul__ = __mul__


def both(a: Any, b: Any) -> Any:
    """(1 + a) (1 + b) - 1"""
    if is_zero(a):
        return b
    return a if is_zero(b) else a + b + a * b


def is_zero(bound: Any) -> bool:
    return isinstance(bound, float) and bound == 0
