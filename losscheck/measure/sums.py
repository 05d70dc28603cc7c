"""Sums of arrays with a proved bound of what they miss, and a batch's exact sum as an enclosure that rounds once."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

from losscheck.core.dtypes import Format
from losscheck.core.exact import Dyadic, Exact, Kind

__all__ = ["Total", "sum_exactly"]

HUGE = 2.0**900
DOWN = 200  # binary places by which huge terms are scaled before they are added
ENCLOSED = 200  # bits of an enclosure's ends
PINNED = 10  # an enclosure this many bits narrower than an ulp pins the ulp distance shown


def sum_exactly(terms: Any) -> tuple[Fraction, float]:
    """The sum of finite float64 numbers, and a bound of its error: some 2^-90 of the sum of their magnitudes.

    A tree of additions in pairs, each with its rounding error made exact (Knuth's TwoSum); the errors are added up as well.
    """
    import numpy as np

    sizes = abs(terms)
    size = float(sizes.max(initial=0.0))
    if size > HUGE:
        # What falls below the least subnormal on the way is nothing beside 2^900.
        total, error = sum_exactly(np.ldexp(terms, -DOWN))
        return total * 2**DOWN, error * 2.0**DOWN + 1.0
    # Each level's errors are at most 2^-53 of the magnitudes, their own sum errs by less than 2^-40 of that.
    error = float(sizes.sum()) * 2.0**-90 if len(terms) > 1 else 0.0
    rest = []
    while len(terms) > 1:
        half = len(terms) // 2
        a, b = terms[:half], terms[half : 2 * half]
        s = a + b
        t = s - a
        rest.append(float(((a - (s - t)) + (b - t)).sum()))
        terms = np.append(s, terms[-1]) if len(terms) % 2 else s
    # Rounded once, at 2^-53 of what is itself below 2^-47 of the magnitudes.
    return (Fraction(float(terms[0])) if len(terms) else Fraction(0)) + Fraction(math.fsum(rest)), error


def _upper_sum(sizes: Any, bounds: Any) -> Fraction:
    """No less than the exact sum of products of numbers that are not negative."""
    import numpy as np

    plain = float(np.einsum("i,i->", sizes, bounds))
    if math.isfinite(plain) and len(sizes) < 2**30:
        return Fraction(plain) * Fraction(2**20 + 1, 2**20)  # added up in any order it errs by less than 2^-23
    spread, slack = sum_exactly(sizes * bounds)
    return (spread + Fraction(slack)) * Fraction(2**50 + 1, 2**50)


class Total:
    """A running sum of weighted elements, each enclosed by value and radius.

    Attributes:
        nan, plus, minus: terms that are no numbers.
        unknown: terms that nothing encloses; asked: terms that the oracle gave.
    """

    def __init__(self) -> None:
        self.middle = Fraction(0)
        self.radius = Fraction(0)
        self.nan = self.plus = self.minus = self.unknown = self.asked = 0

    def add(self, values: Any, bounds: Any = None) -> None:
        """Float64 arrays: terms values (1 +- bounds), exact without bounds."""
        import numpy as np

        sizes = abs(values)
        if not sizes.max(initial=0.0) < math.inf:
            finite = np.isfinite(values)
            self.nan += int(np.isnan(values).sum())
            self.plus += int((values == np.inf).sum())
            self.minus += int((values == -np.inf).sum())
            values, sizes, bounds = values[finite], sizes[finite], None if bounds is None else bounds[finite]
        total, error = sum_exactly(values)
        self.middle += total
        self.radius += Fraction(error)
        if bounds is not None:
            self.radius += _upper_sum(sizes, bounds) + Fraction(len(values), 2**1074)

    def add_exact(self, exact: Exact, weight: Fraction) -> None:
        """One term as the oracle found it."""
        if weight == 0:
            return
        if exact.kind is Kind.INFINITE:
            self.plus += exact.rounded * weight > 0
            self.minus += exact.rounded * weight < 0
        elif exact.kind is Kind.NAN:
            self.nan += 1
        elif exact.kind is Kind.UNDECIDED or abs(exact.middle[1]) > 2**14:
            # An exponent beyond any float: too small to count, but no fraction is built to prove it.
            self.unknown += exact.kind is Kind.UNDECIDED
            self.radius += Fraction(1, 2**2000)
        else:
            self.middle += weight * _fraction(exact.middle)
            self.radius += abs(weight) * _fraction(exact.radius)

    def times(self, weight: Fraction) -> Total:
        """Every term weighted."""
        scaled = Total()
        scaled.middle, scaled.radius = self.middle * weight, self.radius * abs(weight)
        scaled.nan, scaled.unknown = self.nan, self.unknown
        scaled.plus, scaled.minus = (self.plus, self.minus) if weight > 0 else (self.minus, self.plus)
        return scaled

    @property
    def value(self) -> float | Fraction:
        """NaN or an infinity when terms are, else the middle."""
        if self.nan or (self.plus and self.minus):
            return math.nan
        if self.plus or self.minus:
            return math.inf if self.plus else -math.inf
        return self.middle

    def exact(self, dtype: Format) -> tuple[Exact, bool]:
        """The sum as an exact value, and whether its enclosure rounds to one float and pins the ulp distance."""
        value = self.value
        if isinstance(value, float):
            return Exact(Kind.NAN if math.isnan(value) else Kind.INFINITE, value), True
        if self.unknown:
            return Exact(Kind.UNDECIDED, math.nan), False
        middle = _dyadic(self.middle)
        radius = _dyadic(self.radius + abs(self.middle) / 2 ** (ENCLOSED - 2), up=True)
        exact = Exact(Kind.FINITE, dtype.round_fraction(self.middle), middle, radius, 53)
        ends = {dtype.round_fraction(self.middle - self.radius), dtype.round_fraction(self.middle + self.radius)}
        width = radius[0].bit_length() + radius[1] + 1
        narrow = radius[0] == 0 or width <= dtype.ulp_exponent(exact.magnitude) - PINNED
        return exact, len(ends) == 1 and narrow


def _fraction(number: Dyadic) -> Fraction:
    mantissa, exponent = number
    return Fraction(mantissa << exponent) if exponent >= 0 else Fraction(mantissa, 1 << -exponent)


def _dyadic(value: Fraction, up: bool = False) -> Dyadic:
    """The nearest number of ENCLOSED bits, or one above."""
    if value == 0:
        return 0, 0
    shift = ENCLOSED - (abs(value.numerator).bit_length() - value.denominator.bit_length())
    scaled = value * Fraction(2) ** shift
    return (math.ceil(scaled) if up else round(scaled)), -shift
