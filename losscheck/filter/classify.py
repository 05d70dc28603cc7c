"""Outcomes of many values against the filter's: what :mod:`losscheck.core.error` says of one value, in bulk.

Every test is made at both ends of the filter's interval. Where they disagree the outcome is UNDECIDED, and the exact
oracle is asked. The rules are written once, for the operations of an engine: numpy and torch run them on whole arrays,
:mod:`losscheck.filter.codegen` makes the compiled loop of them. Exponents are read off the bits of float64, so that all
agree to the bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from losscheck.core.dtypes import Format
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
CACHED = 2**13  # values whose temporaries stay in the second-level cache
UNKNOWN = 2.0**1000  # what the filter says of numbers beyond is not used


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
    range_low, range_high = _range(low, limits), _range(high, limits)

    right_inf = range_low == 3
    is_inf = absolute(value) == float("inf")
    opposite = (value < 0.0) ^ (exact < 0.0)
    ok = most <= limits.max_ulp
    code = where(ok, CODE[Outcome.OK], CODE[Outcome.INACCURATE])
    code = where((value == 0.0) & (range_low == 1), CODE[Outcome.FLUSHED], code)
    code = where((value == 0.0) & (range_low == 2), CODE[Outcome.LOST], code)
    code = where(right_inf, CODE[Outcome.MISSED_INF], code)
    code = where(is_inf, where(right_inf & ~opposite, CODE[Outcome.OK], CODE[Outcome.INF]), code)
    code = where(opposite & (value != 0.0) & (range_high != 0), CODE[Outcome.WRONG_SIGN], code)
    ulp = where(right_inf & is_inf & ~opposite, 0.0, difference * unit_high)

    unclear = (range_low != range_high) | ~(high < UNKNOWN)
    graded = ~(is_inf | right_inf)
    unclear = unclear | graded & ((ok ^ (least <= limits.max_ulp)) | (_graded(operations, most) != _graded(operations, least)))
    code = where(unclear, UNDECIDED, code)
    # Whatever the exact number is, NaN is not it; where the filter has none, there may be none.
    return where((value != value) & (size < UNKNOWN), CODE[Outcome.NAN], code), ulp


def decide_arrays(xp: Any, value: Any, exact: Any, bound: Any, limits: Limits) -> tuple[Any, Any]:
    """:func:`decide` by the module ``xp``, numpy or torch: codes (integers) and signed ulp (float64).

    Nearly all values are near the exact one or plainly ``inaccurate``; for those a third of the operations says the same, and the
    others get the whole.
    """
    if len(value) < WORTHWHILE:
        return decide(ArrayOperations(xp), value, exact, bound, limits)
    if xp.__name__ != "numpy" or len(value) <= CACHED:
        return _decided(xp, value, exact, bound, limits)
    codes, ulps = xp.empty(len(value), xp.int64), xp.empty(len(value))
    for start in range(0, len(value), CACHED):
        here = slice(start, start + CACHED)
        codes[here], ulps[here] = _decided(xp, value[here], exact[here], bound[here], limits)
    return codes, ulps


def _decided(xp: Any, value: Any, exact: Any, bound: Any, limits: Limits) -> tuple[Any, Any]:
    plain, ok, ulp = _plain(xp, value, exact, bound, limits)
    codes = xp.where(ok, CODE[Outcome.OK], CODE[Outcome.INACCURATE])
    if not bool(plain.all()):
        others = xp.where(~plain)[0]
        codes[others], ulp[others] = decide(ArrayOperations(xp), value[others], exact[others], bound[others], limits)
    return codes, ulp


def _plain(xp: Any, value: Any, exact: Any, bound: Any, limits: Limits) -> tuple[Any, Any, Any]:
    """Where :func:`decide` says ``ok`` or ``inaccurate`` whatever the rest of its rules are; which of both; and the ulp that it gives."""
    integers = xp.int64
    size = abs(exact)
    low, high = 1 - bound, 1 + bound
    low *= size
    high *= size
    exponent = high.view(integers) >> 52
    plain = (low.view(integers) >> 52) == exponent  # both ends in one binade: one ulp
    plain &= low >= 2.0**limits.emin
    plain &= high < limits.overflow
    unit = ((limits.precision - 1 + 2 * 1023 - exponent) << 52).view(xp.float64)
    ulp = value - exact
    error = abs(ulp)
    slack = size
    slack *= bound
    slack += error * 2.0**-52
    most, least = error + slack, error - slack
    most *= unit
    least *= unit
    # The ends of the error in one bucket: below half an ulp, or in one binade.
    plain &= (most < 0.5) | ((least.view(integers) >> 52) == (most.view(integers) >> 52))
    ok = most <= limits.max_ulp
    plain &= ok | (least > limits.max_ulp)
    plain &= value * exact > 0.0
    plain &= error < float("inf")
    ulp *= unit
    return plain, ok, ulp


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


def _range(size: Any, limits: Limits) -> Any:
    """0 rounds to zero, 1 to a subnormal, 2 to a normal number, 3 to infinity."""
    return (size > limits.half_least) * 1 + (size >= limits.normal) * 1 + (size >= limits.overflow) * 1
