"""Rules asked of a whole stretch at once: numbers are ranges, an answer is what it can be.

The namespace :data:`RANGES` serves :func:`losscheck.core.effect.effect_rules` as numpy and plain floats do. Where a comparison
passes for some numbers of a range and fails for others, both branches are taken: what comes out is certain where it is one number.
"""

from __future__ import annotations

from typing import Any

__all__ = ["RANGES", "Beside", "Interval"]


class Interval:
    """All numbers from ``low`` to ``high``."""

    __slots__ = ("high", "low")

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    @property
    def certain(self) -> bool:
        return self.low == self.high

    def __sub__(self, other: Any) -> Interval:
        b = lift(other)
        return Interval(self.low - b.high, self.high - b.low)

    def __mul__(self, factor: float) -> Interval:
        """By a number that is not negative."""
        return Interval(self.low * factor, self.high * factor)

    __rmul__ = __mul__

    # True, False, or None for both.

    def __le__(self, other: Any) -> Any:
        return _answer(self.high <= lift(other).low, self.low <= lift(other).high)

    def __lt__(self, other: Any) -> Any:
        return _answer(self.high < lift(other).low, self.low < lift(other).high)

    def __ge__(self, other: Any) -> Any:
        return _answer(self.low >= lift(other).high, self.high >= lift(other).low)

    def __gt__(self, other: Any) -> Any:
        return _answer(self.low > lift(other).high, self.high > lift(other).low)


class Beside(Interval):
    """Numbers each of which is at most ``error`` away from its own number of the range ``exact``."""

    __slots__ = ("error", "exact")

    def __init__(self, exact: Interval, error: float) -> None:
        super().__init__(exact.low - error, exact.high + error)
        self.exact, self.error = exact, error

    def __sub__(self, other: Any) -> Interval:
        return Interval(-self.error, self.error) if other is self.exact else super().__sub__(other)


def _answer(all_do: bool, some_do: bool) -> bool | None:
    return True if all_do else (None if some_do else False)


def lift(x: Any) -> Interval:
    return x if isinstance(x, Interval) else Interval(x, x)


class _Ranges:
    @staticmethod
    def where(condition: Any, a: Any, b: Any) -> Any:
        if condition is None:
            a, b = lift(a), lift(b)
            return Interval(min(a.low, b.low), max(a.high, b.high))
        return a if condition else b

    @staticmethod
    def absolute(x: Interval) -> Interval:
        sizes = abs(x.low), abs(x.high)
        return Interval(0.0 if x.low <= 0 <= x.high else min(sizes), max(sizes))


RANGES = _Ranges()
