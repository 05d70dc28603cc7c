"""The pieces of a stretch on which a claim is one polynomial.

In each what :mod:`losscheck.filter.classify` asks has one answer: which binade the exact value lies in (its ulp), whether it rounds to 0,
to a subnormal, to a normal number or to infinity.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

from losscheck.core.outcome import Outcome
from losscheck.filter.classify import CODE, Limits
from losscheck.filter.polynomials import MOST_DEGREE, U

__all__ = ["PieceTable", "cut", "ulp_of"]

TOLERATED = 2.0**-18  # ulp, where the value is smaller than beside it
SAMPLES = 65
LOST, FLUSHED = CODE[Outcome.LOST], CODE[Outcome.FLUSHED]
NEVER = -1.0  # the limit of what is looked at float by float


class PieceTable(NamedTuple):
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


def cut(c: Any, margin: float, length: int, limits: Limits, least: bool) -> PieceTable | None:
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
    if not least and margin > TOLERATED * ulp_of(smallest, limits):
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
) -> PieceTable:
    """The pieces as arrays, one row each."""
    import numpy as np

    rows = []
    for clear, (low, high) in zip(sure, ranges, strict=True):
        largest, smallest = max(abs(low), abs(high)), 0.0 if low <= 0 <= high else min(abs(low), abs(high))
        # Of a piece at a threshold the ulp is the larger one, and the distance is up to twice as many of the smaller.
        inverse = 1.0 / ulp_of(max(abs(low + high) / 2, smallest) if clear else largest, limits)
        spread = 1.0 if clear else 1.0 / (ulp_of(smallest, limits) * inverse)
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
    return PieceTable(step, at, scaled, degrees, inverses, slack, limit_of, spread_of, lowest, highest, zeros)


def ulp_of(size: float, limits: Limits) -> float:
    exponent = math.frexp(size)[1] - 1 if size else limits.emin
    return math.ldexp(1.0, max(exponent, limits.emin) - limits.precision + 1)
