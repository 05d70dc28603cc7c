"""The compiled part of the bulk engine. Imported only when millions of points are asked for: numba takes a second.

One call does a block: first a loop that vectorises (filter, ulp, outcome), then loops over what it left in the cache
(counts, histogram, runs). It says of one value what array_judge.py says of arrays; tests hold the two together.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import llvmlite.ir as ir
import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from losscheck.core.outcome import Outcome
from losscheck.filter.classify import CODE, NOT_FINITE

__all__ = ["SCOPE", "Block", "judged"]

NAN, INF, WRONG, LOST = (CODE[each] for each in (Outcome.NAN, Outcome.INF, Outcome.WRONG_SIGN, Outcome.LOST))
MISSED, FLUSHED, INACCURATE = (CODE[each] for each in (Outcome.MISSED_INF, Outcome.FLUSHED, Outcome.INACCURATE))
UNDECIDED, OK = CODE[Outcome.UNDECIDED], CODE[Outcome.OK]


@intrinsic
def float_of(typing_context: Any, bits: Any) -> Any:
    """The float64 with these bits."""
    return types.float64(types.int64), lambda context, builder, signature, args: builder.bitcast(args[0], ir.DoubleType())


@intrinsic
def bits_of(typing_context: Any, value: Any) -> Any:
    """The bits of a float64."""
    return types.int64(types.float64), lambda context, builder, signature, args: builder.bitcast(args[0], ir.IntType(64))


LOG2_E = 1.4426950408889634
LN2_HIGH, LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10  # fdlibm's split: n * LN2_HIGH is exact
ROUND = 6755399441055744.0  # 1.5 * 2^52: adding it leaves the nearest integer in the low bits


@njit(inline="always")
def reduced(x):
    """x in [-700, 0] as n ln 2 + r: 2^n, and expm1(r) by Taylor's series to r^12, truncated at 2e-16 of its value."""
    shifted = x * LOG2_E + ROUND
    n = shifted - ROUND
    r = (x - n * LN2_HIGH) - n * LN2_LOW
    p = 1 / 479001600.0
    p = p * r + 1 / 39916800.0
    p = p * r + 1 / 3628800.0
    p = p * r + 1 / 362880.0
    p = p * r + 1 / 40320.0
    p = p * r + 1 / 5040.0
    p = p * r + 1 / 720.0
    p = p * r + 1 / 120.0
    p = p * r + 1 / 24.0
    p = p * r + 1 / 6.0
    p = p * r + 0.5
    return float_of((bits_of(shifted) + 1023) << 52), r + r * (r * p)


@njit(inline="always")
def exp_clamped(x):
    scale, q = reduced(x)
    return scale * (1.0 + q)


@njit(inline="always")
def expm1_clamped(x):
    """Exact to a few ulp also beside 0, where scale is 1 and q is all there is."""
    scale, q = reduced(x)
    return scale * q + (scale - 1.0)


@njit(inline="always")
def log1p_unit(x):
    """log1p(x) for x in [0, 1]: 2 atanh(s), s = x / (2 + x) <= 1/3, to s^29, truncated at 2e-16 of the value."""
    s = x / (2.0 + x)
    q = s * s
    p = 1 / 29.0
    p = p * q + 1 / 27.0
    p = p * q + 1 / 25.0
    p = p * q + 1 / 23.0
    p = p * q + 1 / 21.0
    p = p * q + 1 / 19.0
    p = p * q + 1 / 17.0
    p = p * q + 1 / 15.0
    p = p * q + 1 / 13.0
    p = p * q + 1 / 11.0
    p = p * q + 1 / 9.0
    p = p * q + 1 / 7.0
    p = p * q + 1 / 5.0
    p = p * q + 1 / 3.0
    return 2.0 * (s + s * (q * p))


SCOPE = {
    "exp_clamped": exp_clamped,
    "expm1_clamped": expm1_clamped,
    "log1p_unit": log1p_unit,
    "exp": math.exp,
    "log": math.log,
    "log1p": math.log1p,
    "pow": math.pow,
    "INF": math.inf,
}


@njit(inline="always")
def exponent(x):
    return (bits_of(x) >> 52) - 1023


@njit(inline="always")
def unit(e, precision, emin):
    return float_of((precision - 1 - (e if e > emin else emin) + 1023) << 52)


@njit(inline="always")
def zone(size, half_least, normal, overflow):
    return (1 if size > half_least else 0) + (1 if size >= normal else 0) + (1 if size >= overflow else 0)


@njit(inline="always")
def bucket(ulp):
    b = exponent(ulp) + 2
    b = b if b > 0 else 0
    return b if b < NOT_FINITE - 1 else NOT_FINITE - 1


@njit(inline="always")
def narrowed(ulp):
    """|ulp| as a float32 of the same bucket: cut off, not rounded; NaN and what array_judge calls infinite as infinity."""
    finite = ulp if ulp < 3.4028234663852886e38 else (3.4028234663852886e38 if ulp < 1.0715086071862673e301 else math.inf)
    return float_of(bits_of(finite) & -536870912)


@njit(inline="always")
def outcome(value, exact, bound, precision, emin, half_least, normal, overflow, max_ulp):
    """The code and the signed ulp of one value; the same decisions as array_judge.judge_arrays."""
    size = abs(exact)
    low, high = size * (1 - bound), size * (1 + bound)
    unit_low, unit_high = unit(exponent(low), precision, emin), unit(exponent(high), precision, emin)
    difference = value - exact
    error = abs(difference)
    slack = size * bound + error * 2.220446049250313e-16
    most = (error + slack) * unit_low
    rest = error - slack
    least = (rest if rest > 0 else 0.0) * unit_high
    zone_low, zone_high = zone(low, half_least, normal, overflow), zone(high, half_least, normal, overflow)
    opposite = (value < 0) != (exact < 0)
    is_inf = abs(value) == math.inf
    right_inf = zone_low == 3
    ok = most <= max_ulp
    code = OK if ok else INACCURATE
    code = FLUSHED if (value == 0) & (zone_low == 1) else code
    code = LOST if (value == 0) & (zone_low == 2) else code
    code = MISSED if right_inf else code
    infinite = OK if right_inf & (not opposite) else INF
    code = infinite if is_inf else code
    code = WRONG if opposite & (value != 0) & (zone_high != 0) else code
    graded = (not is_inf) & (not right_inf)
    unclear = (zone_low != zone_high) | (not high < 1.0715086071862673e301)
    unclear = unclear | (graded & ((ok != (least <= max_ulp)) | (bucket(most) != bucket(least))))
    code = UNDECIDED if unclear else code
    code = NAN if (value != value) & (size < 1.0715086071862673e301) else code
    ulp = 0.0 if right_inf & is_inf & (not opposite) else difference * unit_high
    return code, ulp


class Block:
    """The buffers of one block and what a call leaves in them."""

    def __init__(self, size: int, buckets: int, codes: int) -> None:
        self.code = np.empty(size, np.int8)
        self.size = np.empty(size, np.int32)  # the bits of |ulp| as float32: they compare as integers
        self.counts = np.zeros(codes, np.int64)
        self.histogram = np.zeros((4, buckets), np.int64)  # four in turn: one would wait for its own last store
        self.run_start = np.empty(size + 1, np.int64)
        self.run_code = np.empty(size + 1, np.int8)


def judged(filter_values: Callable[..., Any]) -> Callable[..., Any]:
    """The compiled ``judge(x, value, code, size, limits...)`` with the traced formula inlined."""
    inlined = njit(inline="always", error_model="numpy", fastmath={"contract"})(filter_values)

    @njit(error_model="numpy", fastmath={"contract"}, nogil=True)
    def judge(x, value, code, size, precision, emin, half_least, normal, overflow, max_ulp):
        narrow = size.view(np.float32)
        for i in range(x.size):
            exact, bound = inlined(np.float64(x[i]))
            code[i], ulp = outcome(np.float64(value[i]), exact, bound, precision, emin, half_least, normal, overflow, max_ulp)
            narrow[i] = narrowed(abs(ulp))

    return judge


@njit(nogil=True)
def extremes(code, size):
    """The least and the greatest code, and the greatest |ulp|, of a block."""
    least, greatest, top = 127, -1, -1
    for i in range(code.size):
        c = code[i]
        least = c if c < least else least
        greatest = c if c > greatest else greatest
    for i in range(size.size):
        s = size[i]
        top = s if s > top else top
    return least, greatest, top


@njit(nogil=True)
def histogram_of(size, histogram):
    last = histogram.shape[1] - 1
    for i in range(size.size):
        e = (size[i] >> 23) - 125
        e = e if e > 0 else 0
        e = last if size[i] >= 0x7F800000 else (e if e < last else last - 1)
        histogram[i & 3, e] += 1


@njit(nogil=True)
def runs_of(code, counts, run_start, run_code):
    """Where the code changes; returns the number of runs."""
    n, before = 0, -1
    for i in range(code.size):
        c = code[i]
        counts[c] += 1
        if c != before:
            run_start[n], run_code[n] = i, c
            n, before = n + 1, c
    return n


@njit(nogil=True)
def decode(ordinal, x):
    """The float32 numbers from an ordinal on."""
    bits = x.view(np.int32)
    for i in range(bits.size):
        o = ordinal + i
        bits[i] = np.int32(o) if o >= 0 else np.int32((-1 - o) | -2147483648)
