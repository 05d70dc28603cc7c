"""A formula beside one logit: its Taylor series with proved coefficients, and its size on a disc of the complex plane.

Every number is carried twice: as a power series of balls about the middle of a stretch of logits, and as one ball that encloses
all its values on a disc about that middle. Where the formula is analytic on the disc, Cauchy's estimate bounds what the series
leaves out: |c_k| <= M / R^k. Analytic it is, because comparisons, minima and maxima have one answer on the whole stretch, logarithms
and broken powers stay in the right half-plane, and nothing is divided by a ball that holds 0; anything else is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from flint import acb, arb, arb_series, ctx

from losscheck.core.dtypes import Format
from losscheck.core.loss import Formula
from losscheck.oracle.dual import DualArithmetic

__all__ = ["REACH", "TERMS", "Local", "LocalArithmetic", "NotAnalyticError", "Series", "series_of"]

TERMS = 16
REACH = 16  # the disc's radius in half widths of the stretch: what TERMS terms leave out is 16^-16 of the size on the disc
BITS = 128
LARGEST_PRODUCT = 64  # whole exponents up to this are products, analytic everywhere


class NotAnalyticError(ArithmeticError):
    """The formula is not known to be one analytic function on the disc."""


class Series(NamedTuple):
    """Coefficients c_k of s^k for s in [-1, 1] as floats, what each may be off by, and a bound of all that follow."""

    coefficients: list[float]
    errors: list[float]
    rest: float


def series_of(
    formula: Formula,
    middle: float,
    half: float,
    target: float,
    params: Mapping[str, float],
    dtype: Format,
    differentiate: bool = False,
    *,
    terms: int = TERMS,
) -> Series:
    """The first terms of the series of a formula, or of its derivative, at the logits middle + half s, in the variable s.

    Raises:
        NotAnalyticError: where the disc of REACH half widths holds a kink, a pole or a branch cut.
        TypeError, ArithmeticError, ValueError: what a formula raises that does something else.
    """
    m = LocalArithmetic(middle, half, dtype, terms)
    numbers = {name: m.number(value) for name, value in params.items()}
    if differentiate:
        dual = DualArithmetic(m)  # type: ignore[arg-type]
        result = m.lift(dual.slope(formula(dual, dual.variable(m.variable()), m.number(target), **numbers)))
    else:
        result = m.lift(formula(m, m.variable(), m.number(target), **numbers))
    balls = list(result.series) if isinstance(result.series, arb_series) else [result.series]
    size = float(abs(result.disc).upper())
    if not all(ball.is_finite() for ball in balls) or not size < float("inf"):
        raise NotAnalyticError("unbounded")
    constant = not isinstance(result.series, arb_series)
    rest = 0.0 if constant else size * float(REACH) ** -terms * REACH / (REACH - 1) * (1 + 2.0**-40)
    # The float nearest to the middle of a ball is off by half an ulp of it; the radius is kept to 30 bits.
    coefficients = [float(ball) for ball in balls]
    errors = [float(ball.rad()) * (1 + 2.0**-20) + abs(c) * 2.0**-52 + 2.0**-1074 for ball, c in zip(balls, coefficients, strict=True)]
    return Series(coefficients, errors, rest)


class Local:
    """One number: an arb (a constant) or a series, what it is on the disc, and its sign on the stretch where that is known."""

    __slots__ = ("disc", "m", "series", "sign")

    def __init__(self, m: LocalArithmetic, series: Any, disc: Any, sign: int = 0) -> None:
        self.m, self.series, self.disc = m, series, disc
        self.sign = sign if not isinstance(series, arb) else (series > 0) - (series < 0)

    @property
    def constant(self) -> bool:
        return isinstance(self.series, arb)

    @property
    def zero(self) -> bool:
        return self.constant and bool(self.series.is_zero())

    def __neg__(self) -> Local:
        return Local(self.m, -self.series, -self.disc, -self.sign)

    def __add__(self, other: Any) -> Any:
        b = self.m.operand(other)
        if b is None:
            return NotImplemented
        sign = self.sign if self.sign == b.sign or b.zero else (b.sign if self.zero else 0)
        return Local(self.m, self.series + b.series, self.disc + b.disc, sign)

    def __sub__(self, other: Any) -> Any:
        b = self.m.operand(other)
        return NotImplemented if b is None else self + -b

    def __rsub__(self, other: Any) -> Any:
        return -self + other

    def __mul__(self, other: Any) -> Any:
        b = self.m.operand(other)
        if b is None:
            return NotImplemented
        for factor in (self, b):
            if factor.zero:
                return factor
        return Local(self.m, self.series * b.series, self.disc * b.disc, self.sign * b.sign)

    def __truediv__(self, other: Any) -> Any:
        b = self.m.operand(other)
        if b is None:
            return NotImplemented
        if b.disc.contains(0):
            raise NotAnalyticError("a pole")
        return Local(self.m, self.series / b.series, self.disc / b.disc, self.sign * b.sign)

    def __rtruediv__(self, other: Any) -> Any:
        return self.m.lift(other) / self

    def __eq__(self, other: object) -> bool:
        b = self.m.lift(other)
        return bool(self.series == b.series) if self.constant and b.constant else not self.m.apart(self, b)

    __hash__ = None  # type: ignore[assignment]

    def __lt__(self, other: Any) -> bool:
        return self.m.below(self, self.m.lift(other))

    def __gt__(self, other: Any) -> bool:
        return self.m.below(self.m.lift(other), self)

    __radd__ = __add__
    __rmul__ = __mul__


class LocalArithmetic:
    """The arithmetic of formulas at the logits middle + half s."""

    def __init__(self, middle: float, half: float, dtype: Format, terms: int = TERMS) -> None:
        ctx.prec, ctx.cap = BITS, terms
        self.dtype, self.middle, self.half = dtype, middle, half

    def variable(self) -> Local:
        around = arb(0, REACH * self.half)
        disc = acb(arb(self.middle) + around, around)
        sign = 0 if abs(self.middle) <= self.half else (1 if self.middle > 0 else -1)
        return Local(self, arb_series([self.middle, self.half]), disc, sign)

    def number(self, value: float) -> Local:
        exact = arb(value)
        return Local(self, exact, acb(exact))

    def rounded(self, value: float, dtype: Format | None = None) -> Local:
        return self.number((dtype or self.dtype).round(value))

    def as_float(self, x: Any) -> float:
        return float(x.series)

    def operand(self, x: Any) -> Local | None:
        if isinstance(x, Local):
            return x
        return self.number(x) if isinstance(x, int | float) else None

    def lift(self, x: Any) -> Local:
        if (number := self.operand(x)) is not None:
            return number
        raise NotAnalyticError(f"a formula mixes in a {type(x).__name__}")

    # A question has one answer on the whole stretch, or none; what it chooses is analytic on the disc by itself. --------

    def below(self, a: Local, b: Local) -> bool:
        difference = a - b
        if a.constant and b.constant:
            return bool(difference.series < 0)
        if difference.sign:
            return bool(difference.sign < 0)
        if difference.disc.real < 0:
            return True
        if difference.disc.real > 0:
            return False
        raise NotAnalyticError("a kink")

    def apart(self, a: Local, b: Local) -> bool:
        if not (a.disc - b.disc).contains(0):
            return True
        raise NotAnalyticError("a comparison that changes its answer")

    def select(self, a: Any, b: Any, x: Any, y: Any) -> Local:
        """x where a > b, y where a < b."""
        a, b = self.lift(a), self.lift(b)
        return self.lift(x) if self.below(b, a) else self.lift(y)

    def minimum(self, a: Any, b: Any) -> Local:
        a, b = self.lift(a), self.lift(b)
        return b if self.below(b, a) else a

    def detach(self, x: Any) -> Any:
        return x

    def maximum(self, a: Any, b: Any) -> Local:
        a, b = self.lift(a), self.lift(b)
        return b if self.below(a, b) else a

    # Functions -------------------------------------------------------------------------------------------------------

    def exp(self, x: Any) -> Local:
        x = self.lift(x)
        return Local(self, x.series.exp(), x.disc.exp(), +1)

    def log(self, x: Any) -> Local:
        x = self._in_right_half_plane(self.lift(x))
        return Local(self, x.series.log(), x.disc.log())

    def log1p(self, x: Any) -> Local:
        x = self.lift(x)
        self._in_right_half_plane(x + 1)
        if x.constant:
            return Local(self, x.series.log1p(), x.disc.log1p())
        # Term by term, so that nothing is lost where x is small.
        series = (x.series.derivative() / (1 + x.series)).integral() + x.series[0].log1p()
        return Local(self, series, x.disc.log1p(), x.sign)

    def softplus(self, x: Any) -> Local:
        """Either branch is right for every x; which one loses no precision is decided in the middle."""
        x = self.lift(x)
        value = x + self.log1p(self.exp(-x)) if self._positive_in_the_middle(x) else self.log1p(self.exp(x))
        return Local(self, value.series, value.disc, +1)

    def sigmoid(self, x: Any) -> Local:
        """On the disc as 1 / (1 + exp(-x)), where the argument appears once, unless that seems to hold a pole."""
        x = self.lift(x)
        positive = self._positive_in_the_middle(x)
        e, below = (-x.series if positive else x.series).exp(), 1 + (-x.disc).exp()
        series = (1 if positive else e) / (1 + e)
        if not below.contains(0):
            return Local(self, series, 1 / below, +1)
        above = x.disc.exp()
        if (1 + above).contains(0):
            raise NotAnalyticError("a pole")
        return Local(self, series, above / (1 + above), +1)

    def tanh_half(self, x: Any) -> Local:
        x = self.lift(x)
        half = x * 0.5
        if x.constant:
            return Local(self, half.series.tanh(), half.disc.tanh())
        slope = 2 * self.sigmoid(x) * self.sigmoid(-x)
        series = (slope.series * x.series.derivative()).integral() + half.series[0].tanh()
        return Local(self, series, half.disc.tanh(), x.sign)

    def power(self, base: Any, exponent: Any) -> Local:
        base, exponent = self.lift(base), self.lift(exponent)
        if not exponent.constant:
            raise NotAnalyticError("a variable power")
        g = float(exponent.series)
        if g == int(g) and 0 <= g <= LARGEST_PRODUCT:
            return self._product(base, int(g))
        if base.constant:
            return Local(self, base.series**exponent.series, base.disc**exponent.disc)
        base = self._in_right_half_plane(base)
        return Local(self, (base.series.log() * exponent.series).exp(), base.disc**exponent.disc, +1)

    def _product(self, base: Local, times: int) -> Local:
        result = self.number(1)
        for _ in range(times):
            result = result * base
        return result

    def _in_right_half_plane(self, x: Local) -> Local:
        if x.disc.real > 0:
            return x
        raise NotAnalyticError("a branch cut may be near")

    @staticmethod
    def _positive_in_the_middle(x: Local) -> bool:
        return bool((x.series if x.constant else x.series[0]) > 0)
