"""The error of one value against an exact one: ulp, outcome, deviation. Total over NaN, inf and zero."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from losscheck.core.dtypes import FLOAT64, Format
from losscheck.core.exact import Dyadic, Exact, Kind
from losscheck.core.outcome import Outcome

__all__ = ["absolute_error", "as_float64", "classify", "deviation", "judged", "judged_values", "relative_error", "ulp_error"]

# Further below or above than this a number cannot show in a result.
_FAR = 4096
# Exponents further apart than this are not brought together as integers.
_GIANT = 2**14


def ulp_error(value: float, exact: Exact, dtype: Format) -> float:
    """(value - exact) / ulp(exact), signed; ulp(r) = 2^(max(floor(log2 |r|), emin) - (p - 1)).

    The ulp is that of the binade in which the exact value lies: of 1 - e^-x the one below 1, however near it comes.

    0 when both are the same infinity or both NaN, +-inf when one is infinite, NaN when one is NaN or undecided. An
    exact value that overflows the dtype and was returned as that infinity is right, hence 0.
    """
    if exact.kind is Kind.UNDECIDED or math.isnan(value) != (exact.kind is Kind.NAN):
        return math.nan
    if exact.kind is Kind.NAN or (math.isinf(value) and value == exact.rounded):
        return 0.0
    if math.isinf(value):
        return value
    if exact.kind is Kind.INFINITE:
        return -exact.rounded
    return _difference(_dyadic(value), exact.middle, dtype.ulp_exponent(exact.magnitude))


def classify(value: float, exact: Exact, ulp: float, dtype: Format, max_ulp: float) -> Outcome:
    """The outcome of a value. Every comparison asks whether it passes, so that NaN fails."""
    if exact.kind is Kind.UNDECIDED:
        return Outcome.UNDECIDED
    right = exact.rounded
    if math.isnan(right):
        return Outcome.OK if math.isnan(value) else Outcome.INACCURATE
    if math.isnan(value):
        return Outcome.NAN
    if value != 0 and right != 0 and (value > 0) != (right > 0):
        return Outcome.WRONG_SIGN
    if math.isinf(value):
        return Outcome.OK if value == right else Outcome.INF
    if math.isinf(right):
        return Outcome.MISSED_INF
    if value == 0 and right != 0:
        return Outcome.LOST if abs(right) >= dtype.smallest_normal else Outcome.FLUSHED
    return Outcome.OK if abs(ulp) <= max_ulp else Outcome.INACCURATE


def judged(value: float, exact: Exact, dtype: Format, max_ulp: float) -> tuple[Outcome, float]:
    """The outcome and the signed ulp of a value."""
    ulp = ulp_error(value, exact, dtype)
    return classify(value, exact, ulp, dtype, max_ulp), ulp


def judged_values(values: Sequence[float], exacts: Sequence[Exact], dtype: Format, max_ulp: float) -> list[tuple[Outcome, float]]:
    """The same of many values, each against its own; what is ordinary takes fewer steps."""
    least, below = dtype.emin, dtype.precision - 1
    found = []
    for value, exact in zip(values, exacts, strict=True):
        if not 0.0 < value * exact.rounded < math.inf:
            found.append(judged(value, exact, dtype, max_ulp))
            continue
        # Both are finite, of one sign and not 0: nothing but their distance counts.
        mantissa, exponent = exact.middle
        magnitude = mantissa.bit_length() - 1 + exponent
        unit = (magnitude if magnitude > least else least) - below
        ulp = _difference(_dyadic(value), exact.middle, unit)
        found.append((Outcome.OK if abs(ulp) <= max_ulp else Outcome.INACCURATE, ulp))
    return found


def as_float64(exact: Exact) -> float:
    """An exact value as a float64, whatever dtype it was asked for in."""
    return FLOAT64.round_dyadic(*exact.middle) if exact.kind is Kind.FINITE else exact.rounded


def absolute_error(value: float, exact: Exact) -> float:
    """value - exact, rounded to float64; NaN or infinite where :func:`ulp_error` is."""
    if exact.kind is Kind.UNDECIDED or math.isnan(value) != (exact.kind is Kind.NAN):
        return math.nan
    if exact.kind is not Kind.FINITE:
        return 0.0 if math.isnan(value) or value == exact.rounded else -exact.rounded
    return value if math.isinf(value) else _difference(_dyadic(value), exact.middle, 0)


def relative_error(value: float, exact: Exact) -> float:
    """(value - exact) / |exact|; 0 for 0 against 0, infinite for anything else against 0."""
    if exact.kind is not Kind.FINITE or not math.isfinite(value):
        error = absolute_error(value, exact)
        return error if not math.isfinite(error) else 0.0
    return _ratio(_dyadic(value), exact.middle)


def deviation(own: Exact, definition: Exact) -> float:
    """own / definition - 1, both exact; 0 where the two enclosures overlap, NaN where one is unknown.

    Unlike the errors it keeps no sign of its own: +2 is three times as much, also of a negative gradient.
    """
    if own is definition:
        return 0.0
    if own.kind is not Kind.FINITE or definition.kind is not Kind.FINITE:
        if Kind.UNDECIDED in (own.kind, definition.kind):
            return math.nan
        same = own.kind is definition.kind and (own.kind is Kind.NAN or own.rounded == definition.rounded)
        return 0.0 if same else (math.nan if Kind.NAN in (own.kind, definition.kind) else _infinite_deviation(own, definition))
    if _overlap(own, definition):
        return 0.0
    ratio = _ratio(own.middle, definition.middle)
    return -ratio if definition.middle[0] < 0 else ratio


def _infinite_deviation(own: Exact, definition: Exact) -> float:
    if own.kind is Kind.FINITE:
        return -1.0
    if definition.kind is Kind.FINITE:
        return -own.rounded if definition.middle[0] < 0 else own.rounded
    return -math.inf


def _overlap(a: Exact, b: Exact) -> bool:
    scale = -max(a.magnitude, b.magnitude)
    distance = abs(_scaled(a.middle, scale) - _scaled(b.middle, scale))
    return distance <= _scaled(a.radius, scale) + _scaled(b.radius, scale)


def _difference(a: Dyadic, b: Dyadic, unit: int) -> float:
    """(a - b) / 2^unit, rounded once."""
    (m0, e0), (m1, e1) = a, b
    if m0 == 0 or m1 == 0:
        return FLOAT64.round_dyadic(m0 - m1, (e0 if m0 else e1) - unit)
    if abs(e0 - e1) > _GIANT:
        return _to_float(_scaled(a, -unit) - _scaled(b, -unit))
    difference, low = _subtracted(a, b)
    if difference.bit_length() < 1000 and -900 < difference.bit_length() + low - unit < 1000:
        return math.ldexp(difference, low - unit)  # the integer is rounded to the nearest, once; the power of two is exact
    return FLOAT64.round_dyadic(difference, low - unit)


def _ratio(a: Dyadic, b: Dyadic) -> float:
    """(a - b) / |b| as a float."""
    if a == b:
        return 0.0
    if b[0] == 0:
        if a[0] == 0:
            return 0.0
        return math.inf if a[0] > 0 else -math.inf
    if abs(a[1] - b[1]) < 1000:
        difference, low = _subtracted(a, b)
        magnitude = difference.bit_length() + low - b[0].bit_length() - b[1]
        if difference.bit_length() < 1000 and b[0].bit_length() < 1000 and abs(magnitude) < 900:
            return math.ldexp(difference / abs(b[0]), low - b[1])  # Python rounds the quotient of integers once
    scale = 1 - b[0].bit_length() - b[1]
    reference = _scaled(b, scale)
    return _to_float((_scaled(a, scale) - reference) / abs(reference))


def _subtracted(a: Dyadic, b: Dyadic) -> Dyadic:
    """a - b, exactly."""
    (m0, e0), (m1, e1) = a, b
    low = min(e0, e1)
    return (m0 << (e0 - low)) - (m1 << (e1 - low)), low


def _scaled(number: Dyadic, shift: int) -> Fraction:
    """number * 2^shift as a fraction, with vanishing numbers taken as 0 and giants held, so that no giant is built."""
    mantissa, exponent = number
    exponent += shift
    if mantissa == 0 or mantissa.bit_length() + exponent < -_FAR:
        return Fraction(0)
    exponent = min(exponent, _FAR)
    return Fraction(mantissa << exponent) if exponent >= 0 else Fraction(mantissa, 1 << -exponent)


def _dyadic(value: float) -> Dyadic:
    mantissa, denominator = value.as_integer_ratio()
    return mantissa, 1 - denominator.bit_length()


def _to_float(value: Fraction) -> float:
    return FLOAT64.round_fraction(value)
