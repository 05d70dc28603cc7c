"""Outcomes of whole arrays against the filter's values: what :mod:`losscheck.core.error` says of one value, in bulk.

Every test is made at both ends of the filter's interval. Where they disagree the outcome is UNDECIDED, and the exact
oracle is asked. Exponents are read off the bits of float64, so that numpy, torch and compiled code agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from losscheck.core.dtypes import Format
from losscheck.core.outcome import Outcome

__all__ = ["BUCKETS", "CODES", "Limits", "bucket_name", "judge_arrays"]

# Outcomes by code: the order of severity.
CODES = tuple(Outcome)
CODE = {outcome: n for n, outcome in enumerate(CODES)}

# Buckets of |ulp|: below 1/2, [1/2, 1), [1, 2), ... and at the end what is infinite or NaN.
BUCKETS = 64
NOT_FINITE = BUCKETS - 1


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


def judge_arrays(xp: Any, value: Any, exact: Any, bound: Any, limits: Limits) -> tuple[Any, Any]:
    """Codes (int8) and signed ulp (float64) of float64 arrays: the values returned against exact (1 +- bound)."""
    size = abs(exact)
    low, high = size * (1 - bound), size * (1 + bound)
    exponent_low, exponent_high = _exponent(xp, low), _exponent(xp, high)
    unit_low = _power_of_two(xp, limits.precision - 1 - xp.clip(exponent_low, limits.emin, None))
    unit_high = _power_of_two(xp, limits.precision - 1 - xp.clip(exponent_high, limits.emin, None))
    error = abs(value - exact)
    slack = size * bound + error * 2.0**-52
    most, least = (error + slack) * unit_low, xp.clip(error - slack, 0.0, None) * unit_high
    zone_low, zone_high = _zone(low, limits), _zone(high, limits)

    right_inf, right_zero = zone_low == 3, zone_high == 0
    is_nan, is_inf = xp.isnan(value), xp.isinf(value)
    opposite = (value < 0) != (exact < 0)
    ok = most <= limits.max_ulp
    code = xp.where(ok, CODE[Outcome.OK], CODE[Outcome.INACCURATE])
    code = xp.where((value == 0) & (zone_low == 1), CODE[Outcome.FLUSHED], code)
    code = xp.where((value == 0) & (zone_low == 2), CODE[Outcome.LOST], code)
    code = xp.where(right_inf, CODE[Outcome.MISSED_INF], code)
    code = xp.where(is_inf, xp.where(right_inf & ~opposite, CODE[Outcome.OK], CODE[Outcome.INF]), code)
    code = xp.where(opposite & (value != 0) & ~right_zero, CODE[Outcome.WRONG_SIGN], code)
    ulp = (value - exact) * unit_high
    ulp = xp.where(right_inf & is_inf & ~opposite, 0.0 * size, ulp)

    unclear = (zone_low != zone_high) | ~(high < 2.0**1000)
    graded = ~is_inf & ~right_inf
    unclear = unclear | graded & ((ok != (least <= limits.max_ulp)) | (_bucket(xp, most) != _bucket(xp, least)))
    code = xp.where(unclear, CODE[Outcome.UNDECIDED], code)
    # Whatever the exact number is, NaN is not it; where the filter has none, there may be none.
    return xp.where(is_nan & (size < 2.0**1000), CODE[Outcome.NAN], code), ulp


def buckets(xp: Any, ulp: Any) -> Any:
    """The bucket of each |ulp|."""
    return xp.where(abs(ulp) < 2.0**1000, _bucket(xp, abs(ulp)), NOT_FINITE)


def _bucket(xp: Any, ulp: Any) -> Any:
    return xp.clip(_exponent(xp, ulp) + 2, 0, NOT_FINITE - 1)


def _zone(size: Any, limits: Limits) -> Any:
    """0 rounds to zero, 1 to a subnormal, 2 to a normal number, 3 to infinity."""
    return (size > limits.half_least) * 1 + (size >= limits.normal) * 1 + (size >= limits.overflow) * 1


def _exponent(xp: Any, x: Any) -> Any:
    """floor(log2 x) of positive float64, -1023 for zero and subnormals."""
    return (x.view(xp.int64) >> 52) - 1023


def _power_of_two(xp: Any, exponent: Any) -> Any:
    return ((exponent + 1023) << 52).view(xp.float64)
