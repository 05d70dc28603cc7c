"""Stretches of neighbouring floats on which a claim is one polynomial in float64, with a proved bound.

A stretch is 2^n floats of one binade of the logit, the first a multiple of 2^n: which ones there are depends on the claim alone,
not on where a scan begins. It is halved until the bound allows the degree. Within a stretch the polynomial is cut into pieces
where what :mod:`losscheck.filter.classify` asks has one answer: which binade the exact value lies in (its ulp), whether it rounds
to 0, to a subnormal, to a normal number or to infinity.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from losscheck.core.dtypes import Format
from losscheck.core.errors import UserError
from losscheck.core.loss import Formula
from losscheck.core.outcome import Outcome
from losscheck.filter.classify import CODE, Limits

__all__ = ["LEAST", "MOST", "Stretch", "Stretches", "Table"]

MOST_DEGREE = 10
MOST, LEAST = 23, 13  # log2 of the floats of a stretch
REMEMBERED = 4096
ENOUGH = 2.0**-24  # ulp of what a polynomial may be off by; a float32 keeps as much of 1/2 ulp
TOLERATED = 2.0**-18  # ulp, where the value is smaller than beside it
U = 2.0**-53
SAMPLES = 65
LOST, FLUSHED = CODE[Outcome.LOST], CODE[Outcome.FLUSHED]
NEVER = -1.0  # the limit of what is looked at float by float


class Table(NamedTuple):
    """The pieces of a stretch, a row each, as arrays for the kernels.

    Attributes:
        step: of s in [-1, 1] from one float to the next.
        starts: where each piece begins, counted in floats, and one past the end.
        coefficients: of powers of s, in ulp; degrees: how many of them count.
        inverses: 1 / ulp; slacks: what the polynomial may be off by, in ulp.
        limits: the |ulp| below which all floats of a piece are ``ok``; spreads: how many times smaller the ulp of some may be.
        lowest, highest: the exact range.
        zeros: the code of a 0 that came out; -1 where that, or anything else, is not the same for the whole piece.
    """

    step: float
    starts: Any
    coefficients: Any
    degrees: Any
    inverses: Any
    slacks: Any
    limits: Any
    spreads: Any
    lowest: Any
    highest: Any
    zeros: Any


@dataclass(frozen=True)
class Stretch:
    """Floats from ordinal ``first`` on; ``table`` is None where no polynomial is known."""

    first: int
    count: int
    table: Table | None = None


class Stretches:
    """The stretches of one claim at one target.

    Args:
        differentiate: the claim is the derivative of the formula.
    """

    def __init__(
        self, formula: Formula, differentiate: bool, target: float, params: Mapping[str, float], dtype: Format, limits: Limits
    ) -> None:
        self.claim = (formula, differentiate)
        self.target, self.params, self.dtype, self.limits = target, params, dtype, limits
        self.never = False  # the formula does something that has no series
        self._known: dict[tuple[bool, int, int], Stretch | None] = {}
        self._last = Stretch(0, 0)

    def over(self, first: int, count: int) -> Iterator[Stretch]:
        """The stretches that hold the floats from an ordinal on, in order."""
        at = first
        while at < first + count:
            stretch = self.at(at)
            yield stretch
            at = stretch.first + stretch.count

    def at(self, ordinal: int) -> Stretch:
        """The stretch that a float lies in."""
        if not self._last.first <= ordinal < self._last.first + self._last.count:
            self._last = self._found(ordinal)
        return self._last

    def _found(self, ordinal: int) -> Stretch:
        negative = ordinal < 0
        bits = -1 - ordinal if negative else ordinal
        if bits >= self.dtype.infinity_ordinal:
            return Stretch(ordinal, 1)
        for level in range(MOST, LEAST - 1, -1):
            key = negative, level, bits >> level
            if key not in self._known:
                if len(self._known) > REMEMBERED:
                    self._known.clear()
                self._known[key] = self._made(*key)
                if level == MOST and self._known[key] is None and self._is_hopeless(*key):
                    first = key[2] << MOST
                    self._known[key] = Stretch(-first - (1 << MOST) if negative else first, 1 << MOST)
            if (stretch := self._known[key]) is not None:
                return stretch
        raise AssertionError("the least stretch is never refused")

    def _is_hopeless(self, negative: bool, level: int, number: int) -> bool:
        """Is there no polynomial even on the least stretches at both ends and in the middle? Asking everywhere would take long."""
        last = (1 << level - LEAST) - 1
        least = [(number << level - LEAST) + at for at in (0, last // 2, last)]
        return all((stretch := self._made(negative, LEAST, at)) is not None and stretch.table is None for at in least)

    def _made(self, negative: bool, level: int, number: int) -> Stretch | None:
        """The stretch; None where it has to be halved."""
        dtype, length = self.dtype, 1 << level
        bits = number << level
        first = -bits - length if negative else bits
        least = level == LEAST
        if self.never:
            return Stretch(first, length)
        low, spacing = dtype.from_ordinal(bits), dtype.from_ordinal(bits + 1) - dtype.from_ordinal(bits)
        middle = low + spacing * (length - 1) / 2
        table = self._table(-middle if negative else middle, spacing * length / 2, length, least)
        if table is None:
            return Stretch(first, length) if least or self.never else None
        return Stretch(first, length, table)

    def _table(self, middle: float, half: float, length: int, least: bool) -> Table | None:
        from losscheck.oracle.local import series_of

        formula, differentiate = self.claim
        try:
            series = series_of(formula, middle, half, self.target, self.params, self.dtype, differentiate)
        except ArithmeticError:
            return None
        except (UserError, TypeError, ValueError, AttributeError):
            self.never = True
            return None
        fitted = _fitted(series, self._ulp(series.coefficients[0]) * ENOUGH)
        if fitted is None:
            return None
        c, margin = fitted
        return _cut(c, margin, length, self.limits, least)

    def _ulp(self, size: float) -> float:
        return _ulp(abs(size), self.limits)


def _ulp(size: float, limits: Limits) -> float:
    exponent = math.frexp(size)[1] - 1 if size else limits.emin
    return math.ldexp(1.0, max(exponent, limits.emin) - limits.precision + 1)


def _fitted(series: Any, wanted: float) -> tuple[Any, float] | None:
    """Coefficients (MOST_DEGREE + 1 of them) of a polynomial and what it may be off by in [-1, 1], its evaluation by Horner's
    scheme included: the least degree that serves, or None.

    A term that goes leaves its Chebyshev polynomial, 2^(k-1) times smaller, as the error, and the rest to the terms below.
    """
    import numpy as np

    full = len(series.coefficients)
    c = np.zeros(max(full, MOST_DEGREE + 1))
    c[:full] = series.coefficients
    margin = series.rest + sum(series.errors)
    if not margin <= wanted:
        return None
    moved = np.zeros_like(c)
    for k in range(len(c) - 1, 0, -1):
        term = c[k] + moved[k]
        dropped = abs(term) * 2.0 ** (1 - k) * (1 + 2.0**-40) + 2.0**-1074
        if margin + dropped > wanted:
            break
        margin += dropped
        c[k] = 0.0
        moved[k] = 0.0
        moved[:k] += term * _below(k)
    else:
        k = 0
    if k > MOST_DEGREE:
        return None
    # The moved parts are small beside what they are added to; adding them rounds each coefficient once.
    c = (c + moved)[: MOST_DEGREE + 1]
    sizes = np.abs(c)
    margin += float(np.abs(moved).sum()) * 64 * U + float(sizes.sum()) * U
    tails = np.append(np.cumsum(sizes[::-1])[::-1], 0.0)  # |c_k| + |c_(k+1)| + ...
    margin += float((tails[:-1] + tails[1:])[:k].sum()) * U + 2.0**-1060
    return c, margin * (1 + 2.0**-40)


_BELOW: dict[int, Any] = {}


def _below(k: int) -> Any:
    """The coefficients of s^k - 2^(1-k) T_k(s), of degree k - 2."""
    import numpy as np

    if k not in _BELOW:
        chebyshev = np.polynomial.chebyshev.cheb2poly([0] * k + [1])
        _BELOW[k] = -chebyshev[:k] * 2.0 ** (1 - k)
    return _BELOW[k]


def _cut(c: Any, margin: float, length: int, limits: Limits, least: bool) -> Table | None:
    """The table of a stretch, whose polynomial is within ``margin`` of the claim; None where it has to be halved."""
    import numpy as np

    from losscheck.filter import polynomial_kernels as kernels

    low, high, monotone = _range(c, margin)
    degree = int(np.flatnonzero(c)[-1]) if c.any() else 0
    thresholds = _thresholds(low, high, margin, limits)
    if thresholds and not monotone:
        return None
    rising = c[1] > 0
    smallest = 0.0 if low <= 0 <= high else min(abs(low), abs(high))
    if not least and margin > TOLERATED * _ulp(smallest, limits):
        return None
    if not high < 2.0**900 or not low > -(2.0**900):
        return None
    starts, sure = [0], []
    for threshold in thresholds if rising else reversed(thresholds):
        begin, end = kernels.crossing(c, length, rising, threshold, max(margin, abs(threshold) * 4 * U))
        for at, clear in ((begin, True), (end, False)):
            if at > starts[-1]:
                starts.append(at)
                sure.append(clear)
    if length > starts[-1]:
        starts.append(length)
        sure.append(True)
    ends = _values_at(c, starts, length, bool(thresholds), low, high, margin)
    return _rows(c, degree, starts, sure, ends, margin, limits)


@functools.cache
def _samples() -> tuple[Any, Any]:
    """SAMPLES points of [-1, 1], ends included, as powers: for polynomials and for their slopes."""
    import numpy as np

    s = np.linspace(-1.0, 1.0, SAMPLES)[:, np.newaxis]
    powers = np.arange(MOST_DEGREE + 1)
    values = s**powers
    return values, np.hstack([0 * s, values[:, :-1] * powers[1:]])


def _range(c: Any, margin: float) -> tuple[float, float, bool]:
    """The exact range on [-1, 1], and whether the polynomial is known to be monotone: from samples, and how far it gets in between."""
    import numpy as np

    values, slopes = (samples @ c for samples in _samples())
    sizes, powers = np.abs(c) * (1 + 2.0**-40), np.arange(MOST_DEGREE + 1)
    between, rounding = float(sizes @ powers) / (SAMPLES - 1), float(sizes.sum()) * 2.0**-48
    turning = float(sizes @ (powers * (powers - 1))) / (SAMPLES - 1) + float(sizes[1:] @ powers[1:]) * 2.0**-48
    monotone = bool((slopes > turning).all() or (slopes < -turning).all()) or not c[1:].any()
    # A monotone one is greatest at an end, and the float64 of a constant is the constant.
    wide = margin + (0.0 if monotone else between) + (rounding if c[1:].any() else 0.0)
    return float(values.min()) - wide, float(values.max()) + wide, monotone


def _thresholds(low: float, high: float, margin: float, limits: Limits) -> list[float]:
    """Where an answer may change within [low, high]: powers of two and the edges of the dtype's range, of either sign."""
    largest = max(abs(low), abs(high))
    least = max(limits.half_least, 4 * margin)
    if largest < least:
        return []
    powers = range(limits.emin + 1, math.frexp(largest)[1] + 1)
    sizes = {limits.half_least, limits.normal, limits.overflow, least, *(2.0**power for power in powers)}
    return sorted(sign * size for size in sizes if size >= least for sign in (-1, 1) if low <= sign * size <= high)


def _values_at(c: Any, starts: list[int], length: int, monotone: bool, low: float, high: float, margin: float) -> list[tuple[float, float]]:
    """The exact range of each piece, from its ends where the polynomial is monotone."""
    import numpy as np

    if not monotone:
        return [(low, high)]
    at = np.array(starts)
    sides = [np.polynomial.polynomial.polyval((2.0 * index + 1.0) / length - 1.0, c) for index in (at[:-1], at[1:] - 1)]
    wide = margin + 2.0**-50 * float(np.abs(c).sum())
    return [(min(a, b) - wide, max(a, b) + wide) for a, b in zip(*(side.tolist() for side in sides), strict=True)]


def _rows(
    c: Any, degree: int, starts: list[int], sure: list[bool], ranges: list[tuple[float, float]], margin: float, limits: Limits
) -> Table:
    """The pieces as arrays, one row each."""
    import numpy as np

    rows = []
    for clear, (low, high) in zip(sure, ranges, strict=True):
        largest, smallest = max(abs(low), abs(high)), 0.0 if low <= 0 <= high else min(abs(low), abs(high))
        # Of a piece at a threshold the ulp is the larger one, and the distance is up to twice as many of the smaller.
        inverse = 1.0 / _ulp(max(abs(low + high) / 2, smallest) if clear else largest, limits)
        spread = 1.0 if clear else 1.0 / (_ulp(smallest, limits) * inverse)
        if largest <= limits.half_least:
            limit = limits.max_ulp  # 0, or anything within the limit of it
        elif largest < limits.overflow:
            # Nearer to the exact value than 0 is: of its sign, and neither lost nor flushed.
            limit = max(0.0, min(limits.max_ulp, smallest * inverse - margin * inverse))
        else:
            limit = NEVER
        zero = -1
        if clear and smallest > limits.half_least and largest < limits.overflow:
            zero = LOST if smallest > limits.normal else (FLUSHED if largest < limits.normal else -1)
        rows.append((inverse, margin * inverse, limit, spread, low, high, zero))
    inverses, slack, limit_of, spread_of, lowest, highest, zeros = (np.array(column) for column in zip(*rows, strict=True))
    scaled = np.ascontiguousarray(c[np.newaxis, :] * inverses[:, np.newaxis])
    degrees = np.full(len(rows), degree)
    at, step = np.array(starts, np.int64), 2.0 / starts[-1]
    return Table(step, at, scaled, degrees, inverses, slack, limit_of, spread_of, lowest, highest, zeros)
