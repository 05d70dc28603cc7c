"""The independent second oracle: mpmath with a radius carried along by hand.

It shares nothing with flint but the formula. mpmath's elementary functions are taken to be within 2 units in the last
place of the working precision (they aim at half a unit, without proof), so these balls are careful, not proved.
"""

from __future__ import annotations

from typing import Any

from mpmath.ctx_mp import MPContext

from losscheck.core.dtypes import Format

__all__ = ["MpmathArithmetic"]

# A context of our own: the precision of the user's mpmath.mp is left alone.
_mp = MPContext()
_MARGIN = 4  # units of the last place granted to each operation, twice what is assumed of mpmath


class Ball:
    """The reals within ``radius`` of ``middle``; both are mpmath numbers."""

    __slots__ = ("middle", "radius")

    def __init__(self, middle: Any, radius: Any) -> None:
        self.middle = middle
        self.radius = radius

    def __neg__(self) -> Ball:
        return Ball(-self.middle, self.radius)

    def __add__(self, other: Any) -> Any:
        if (b := _ball(other)) is None:
            return NotImplemented
        return _rounded(self.middle + b.middle, self.radius + b.radius, _mp.fadd, self, b)

    def __sub__(self, other: Any) -> Any:
        return NotImplemented if (b := _ball(other)) is None else self + -b

    def __rsub__(self, other: Any) -> Any:
        return -self + other

    def __mul__(self, other: Any) -> Any:
        if (b := _ball(other)) is None:
            return NotImplemented
        radius = abs(self.middle) * b.radius + abs(b.middle) * self.radius + self.radius * b.radius
        return _rounded(self.middle * b.middle, radius, _mp.fmul, self, b)

    def __truediv__(self, other: Any) -> Any:
        if (b := _ball(other)) is None:
            return NotImplemented
        if abs(b.middle) <= b.radius:
            return Ball(_mp.zero, _mp.inf)
        quotient = self.middle / b.middle
        if self.radius == 0 and b.radius == 0 and _mp.fmul(quotient, b.middle, exact=True) == self.middle:
            # 1 / (1 + 1) is exactly 1/2: an inexact one would leave a tie that the formula meets undecided for ever.
            return Ball(quotient, _mp.zero)
        low = abs(b.middle) - b.radius
        return _rounded(quotient, (self.radius + abs(quotient) * b.radius) / low)

    def __rtruediv__(self, other: Any) -> Any:
        return NotImplemented if (a := _ball(other)) is None else a / self

    def __eq__(self, other: object) -> bool:
        """Certainly equal: the same exact number."""
        b = _ball(other)
        return b is not None and self.radius == 0 and b.radius == 0 and bool(self.middle == b.middle)

    __hash__ = None  # type: ignore[assignment]

    def __gt__(self, other: Any) -> bool:
        if (b := _ball(other)) is None:
            return NotImplemented
        return bool(self.middle - self.radius > b.middle + b.radius)

    def __lt__(self, other: Any) -> bool:
        if (b := _ball(other)) is None:
            return NotImplemented
        return bool(self.middle + self.radius < b.middle - b.radius)

    __radd__ = __add__
    __rmul__ = __mul__


class MpmathArithmetic:
    """Mid-radius arithmetic at ``bits`` of working precision."""

    def __init__(self, bits: int, dtype: Format) -> None:
        _mp.prec = bits
        self.dtype = dtype

    def number(self, value: float) -> Ball:
        return Ball(_mp.mpf(value), _mp.zero)

    def rounded(self, value: float, dtype: Format | None = None) -> Ball:
        return self.number((dtype or self.dtype).round(value))

    def as_float(self, x: Any) -> float:
        return float(_known(x).middle)

    def exp(self, x: Any) -> Ball:
        x = _known(x)
        if x == 0:
            return self.number(1)
        value = _mp.exp(x.middle)
        return _rounded(value, value * _mp.expm1(x.radius) if x.radius else _mp.zero)

    def log(self, x: Any) -> Ball:
        x = _known(x)
        if x.middle <= x.radius:
            return Ball(_mp.zero, _mp.inf)
        return _rounded(_mp.log(x.middle), x.radius / (x.middle - x.radius))

    def log1p(self, x: Any) -> Ball:
        x = _known(x)
        if 1 + x.middle <= x.radius:
            return Ball(_mp.zero, _mp.inf)
        return _rounded(_mp.log1p(x.middle), x.radius / (1 + x.middle - x.radius))

    def softplus(self, x: Any) -> Ball:
        return x + self.log1p(self.exp(-x)) if x > 0 else self.log1p(self.exp(x))

    def sigmoid(self, x: Any) -> Ball:
        if x > 0:
            return 1 / (1 + self.exp(-x))
        e = self.exp(x)
        return e / (1 + e)

    def tanh_half(self, x: Any) -> Ball:
        x = _known(x)
        return _rounded(_mp.tanh(x.middle / 2), x.radius)

    def power(self, base: Any, exponent: Any) -> Ball:
        base, exponent = _known(base), _known(exponent)
        if exponent == 0:
            return self.number(1)
        if base == 0:
            return self.number(0)
        if exponent.radius == 0 and 0 < exponent.middle <= 64 and exponent.middle == int(exponent.middle):
            # By multiplication, which keeps a power of an exact number exact.
            product = base
            for _ in range(int(exponent.middle) - 1):
                product = product * base
            return product
        return self.exp(exponent * self.log(base))

    def minimum(self, a: Any, b: Any) -> Ball:
        return -self.maximum(-_known(a), -_known(b))

    def detach(self, x: Any) -> Any:
        return x

    def maximum(self, a: Any, b: Any) -> Ball:
        a, b = _known(a), _known(b)
        if a > b or b < a:
            return a
        if b > a:
            return b
        radius = a.radius + b.radius
        return Ball(max(a.middle, b.middle), max(a.radius, b.radius) if _mp.isfinite(radius) else _mp.inf)

    def enclosure(self, x: Any) -> tuple[tuple[int, int], tuple[int, int]] | None:
        x = _known(x)
        if not (_mp.isfinite(x.middle) and _mp.isfinite(x.radius)):
            return None
        (m, e), (r, f) = _dyadic(x.middle), _dyadic(x.radius)
        if r == 0:
            return (m, e), (m, e)
        if m == 0 or e + m.bit_length() < f - 64:
            # The middle is lost in the radius: only the radius counts, doubled to cover both.
            return (-2 * r, f), (2 * r, f)
        # Only the leading 64 bits of the radius are kept, rounded up.
        low = min(e, max(f, f + r.bit_length() - 64))
        m <<= e - low
        r = (r >> (low - f)) + 1 if low > f else r << (f - low)
        return (m - r, low), (m + r, low)


def _rounded(middle: Any, radius: Any, operation: Any = None, a: Any = None, b: Any = None) -> Ball:
    """A result with its own rounding error added, and the radius's own errors covered by another 2^-10 of it.

    A sum or product of exact numbers that needed no rounding stays exact.
    """
    if operation is not None and radius == 0 and _comparable(a.middle, b.middle) and operation(a.middle, b.middle, exact=True) == middle:
        return Ball(middle, radius)
    return Ball(middle, radius * 1.0009765625 + abs(middle) * _mp.ldexp(_MARGIN, -_mp.prec))


def _comparable(a: Any, b: Any) -> bool:
    """Can the two be added exactly without building a giant integer?"""
    return not (a and b) or abs(_dyadic(a)[1] - _dyadic(b)[1]) < 4 * _mp.prec


def _ball(x: Any) -> Ball | None:
    if isinstance(x, Ball):
        return x
    return Ball(_mp.mpf(x), _mp.zero) if isinstance(x, int | float) else None


def _known(x: Any) -> Ball:
    ball = _ball(x)
    assert ball is not None, x
    return ball


def _dyadic(x: Any) -> tuple[int, int]:
    sign, mantissa, exponent, _ = x._mpf_
    return (-int(mantissa) if sign else int(mantissa)), int(exponent)
