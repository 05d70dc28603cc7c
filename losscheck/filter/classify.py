"""Outcomes of many values against the filter's: what :mod:`losscheck.core.error` says of one value, in bulk.

Every test is made at both ends of the filter's interval. Where they disagree the outcome is UNDECIDED, and the exact
oracle is asked. The rules are written once, for the operations of an engine: numpy and torch run them on whole arrays,
:mod:`losscheck.filter.codegen` makes the compiled loop of them. Exponents are read off the bits of float64, so that all
agree to the bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from losscheck.core.dtypes import FLOAT64, Format
from losscheck.core.outcome import FAILURES, Outcome
from losscheck.filter.operations import ArrayOperations
from losscheck.filter.running_error import Operations

__all__ = [
    "BUCKETS",
    "CODE",
    "CODES",
    "FAILING",
    "NOT_FINITE",
    "UNDECIDED",
    "Limits",
    "bucket_name",
    "buckets",
    "decide",
    "decide_arrays",
    "either",
    "narrow",
]

# Outcomes by code: the order of severity.
CODES = tuple(Outcome)
CODE = {outcome: code for code, outcome in enumerate(CODES)}
FAILING = frozenset(CODE[outcome] for outcome in FAILURES)
UNDECIDED = CODE[Outcome.UNDECIDED]

# Buckets of |ulp|: below 1/2, [1/2, 1), [1, 2), ... and at the end what is infinite or NaN.
BUCKETS = 64
NOT_FINITE = BUCKETS - 1
WORTHWHILE = 2**10  # values for which it pays to look for the plain ones first
CACHED = 2**14  # values whose temporaries stay in the second-level cache
UNKNOWN = 2.0**1000  # what the filter says of numbers beyond is not used
MANTISSA, EXPONENT = 2**52 - 1, 0x7FF << 52  # the bits of a float64
FARTHEST = 2.0**40  # ulp beyond which an error is looked at alone


def bucket_name(bucket: int) -> str:
    """'<0.5', '0.5-1', '1-2', ..., 'inf or nan'."""
    if bucket == 0:
        return "<0.5"
    if bucket == NOT_FINITE:
        return "inf or nan"
    return f"{2.0 ** (bucket - 2):g}-{2.0 ** (bucket - 1):g}"


@dataclass(frozen=True)
class Limits:
    """The thresholds of a dtype, as float64, and the ulp limit in force.

    Attributes:
        half_least: the largest magnitude that rounds to 0 (half the least subnormal, ties to even).
        normal: the least magnitude that rounds to a normal number.
        overflow: the least magnitude that rounds to infinity.
    """

    precision: int
    emin: int
    half_least: float
    normal: float
    overflow: float
    max_ulp: float

    @classmethod
    def of(cls, dtype: Format, max_ulp: float) -> Limits:
        least = dtype.least_exponent
        return cls(
            precision=dtype.precision,
            emin=dtype.emin,
            half_least=2.0 ** (least - 1),
            normal=2.0**dtype.emin - 2.0 ** (least - 1),
            overflow=2.0**dtype.emax * (2.0 - 2.0**-dtype.precision),
            max_ulp=max_ulp,
        )


def decide(operations: Operations, value: Any, exact: Any, bound: Any, limits: Limits) -> tuple[Any, Any]:
    """Codes and signed ulp of float64 values returned, against exact (1 +- bound)."""
    where, absolute = operations.where, operations.absolute
    size = absolute(exact)
    low, high = size * (1 - bound), size * (1 + bound)
    unit_low, unit_high = _per_ulp(operations, low, limits), _per_ulp(operations, high, limits)
    difference = value - exact
    error = absolute(difference)
    slack = size * bound + error * 2.0**-52
    most, least = (error + slack) * unit_low, operations.maximum(error - slack, 0.0) * unit_high
    (not_zero, normal, right_inf), at_most = _range(low, limits), _range(high, limits)

    is_inf, zero = absolute(value) == float("inf"), value == 0.0
    opposite = (value < 0.0) ^ (exact < 0.0)
    right = right_inf & is_inf & ~opposite
    ok = most <= limits.max_ulp
    code = where(ok, CODE[Outcome.OK], CODE[Outcome.INACCURATE])
    code = where(zero & not_zero, CODE[Outcome.FLUSHED], code)
    code = where(zero & normal, CODE[Outcome.LOST], code)
    code = where(right_inf, CODE[Outcome.MISSED_INF], code)
    code = where(is_inf, CODE[Outcome.INF], code)
    code = where(right, CODE[Outcome.OK], code)
    code = where(opposite & ~zero & at_most[0], CODE[Outcome.WRONG_SIGN], code)
    ulp = where(right, 0.0, difference * unit_high)

    unclear = (not_zero ^ at_most[0]) | (normal ^ at_most[1]) | (right_inf ^ at_most[2]) | ~(high < UNKNOWN)
    graded = ~(is_inf | right_inf)
    unclear = unclear | graded & ((ok ^ (least <= limits.max_ulp)) | (_graded(operations, most) != _graded(operations, least)))
    code = where(unclear, UNDECIDED, code)
    # Whatever the exact number is, NaN is not it; where the filter has none, there may be none.
    return where((value != value) & (size < UNKNOWN), CODE[Outcome.NAN], code), ulp


def decide_arrays(xp: Any, value: Any, exact: Any, bound: Any, limits: Limits) -> tuple[Any, Any]:
    """:func:`decide` by the module ``xp``, numpy or torch: codes (one byte each) and signed ulp (float64).

    Nearly all values are near the exact one or plainly ``inaccurate``; for those a fifth of the operations says the same, and the
    others get the whole.
    """
    if len(value) < WORTHWHILE or limits.precision == FLOAT64.precision:  # whose intervals tell next to nothing plainly
        codes, ulps = decide(ArrayOperations(xp), value, exact, bound, limits)
        return narrow(xp, codes), ulps
    if xp.__name__ != "numpy" or len(value) <= CACHED:
        plain, codes, ulps = _plain(xp, value, exact, bound, limits)
    else:
        plain, codes, ulps = xp.empty(len(value), bool), xp.empty(len(value), xp.int8), xp.empty(len(value))
        for start in range(0, len(value), CACHED):
            here = slice(start, start + CACHED)
            plain[here], codes[here], ulps[here] = _plain(xp, value[here], exact[here], bound[here], limits)
    if not bool(plain.all()):
        others = xp.where(~plain)[0]
        some, ulps[others] = decide(ArrayOperations(xp), value[others], exact[others], bound[others], limits)
        codes[others] = narrow(xp, some)
    return codes, ulps


def either(xp: Any, condition: Any, yes: int, no: int) -> Any:
    """Two codes by a condition, in one byte each: they are read again and again."""
    codes = narrow(xp, condition)
    codes *= yes - no
    codes += no
    return codes


def narrow(xp: Any, codes: Any) -> Any:
    """Codes in one byte each; torch puts nothing else in their place."""
    return codes.to(xp.int8) if xp.__name__ == "torch" else codes.astype(xp.int8)


def _plain(xp: Any, value: Any, exact: Any, bound: Any, limits: Limits) -> tuple[Any, Any, Any]:
    """Where :func:`decide` says ``ok`` or ``inaccurate`` whatever the rest of its rules are; the code of which; and the ulp that it gives.

    The widest bound and the greatest error serve for all values: their intervals contain those of :func:`decide`, and what is sure of
    an interval is sure of its parts. A value whose bound or error is out of the ordinary is not plain.
    """
    integers, precision, size = xp.int64, limits.precision, abs(exact)
    bits, plain = size.view(integers), True
    widest, least, greatest = float(bound.max()), float(size.min()), float(size.max())
    if not widest <= (ordinary := 2.0 ** (-precision - 11)):
        widest, plain = ordinary, bound <= ordinary
    if not least >= (normal := 2.0**limits.emin * (1 + 2 * widest)):
        plain &= size >= normal
    if not greatest < (finite := limits.overflow * (1 - 2 * widest)):
        plain &= size < finite
    # Both ends of the exact value in one binade: one ulp. So many units of a float64 mantissa they may be away.
    away = math.ceil(widest * 2.0**53) + 2 if widest else 0
    inner = bits - away
    inner &= MANTISSA
    plain &= inner < MANTISSA + 1 - 2 * away
    ulp = value - exact
    # The exponent's own bits are subtracted in place; what is beyond 64 bits falls off.
    ulp *= (((precision - 1 + 2 * 1023 - 2**12) << 52) - (bits & EXPONENT)).view(xp.float64)
    error = abs(ulp)
    farthest = float(error.max())
    if not farthest <= FARTHEST:
        farthest = FARTHEST
        plain &= error <= FARTHEST
    spread = 2.0**precision * 1.01 * widest + farthest * 2.0**-50
    # Both ends of the error in one bucket: in one binade, or below half an ulp. The spread is far less than the 0.05 in between.
    held = ArrayOperations(xp).maximum(error, 0.3)
    inner = (held + spread).view(integers)
    held -= spread
    inner ^= held.view(integers)
    plain &= inner <= MANTISSA
    ok = error <= limits.max_ulp * (1 - 2.0**-50) - spread
    plain &= ok | (error >= limits.max_ulp * (1 + 2.0**-50) + spread)
    plain &= value * exact > 0.0
    return plain, either(xp, ok, CODE[Outcome.OK], CODE[Outcome.INACCURATE]), ulp


def buckets(xp: Any, ulp: Any) -> Any:
    """The bucket of each |ulp| of an array."""
    operations = ArrayOperations(xp)
    return operations.where(abs(ulp) < UNKNOWN, _graded(operations, abs(ulp)), NOT_FINITE)


def _graded(operations: Operations, ulp: Any) -> Any:
    """The bucket of finite |ulp|."""
    return operations.minimum(operations.maximum(operations.exponent(ulp) + 2, 0), NOT_FINITE - 1)


def _per_ulp(operations: Operations, size: Any, limits: Limits) -> Any:
    """1 / ulp of magnitudes, a power of two."""
    return operations.power_of_two(limits.precision - 1 - operations.maximum(operations.exponent(size), limits.emin))


def _range(size: Any, limits: Limits) -> tuple[Any, Any, Any]:
    """Does it not round to zero, does it round to a normal number or beyond, does it round to infinity?"""
    return size > limits.half_least, size >= limits.normal, size >= limits.overflow
