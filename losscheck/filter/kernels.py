"""The compiled part of the bulk engine. Imported only when millions of points are asked for: numba takes a second.

A traced loop vectorises (filter, ulp, outcome; see codegen.py); what it left in the cache is counted here (histogram, runs).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import llvmlite.ir as ir
import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from losscheck.filter.disk_cache import compiled_once

__all__ = ["SCOPE", "aligned", "compiled"]


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


@njit(inline="always")
def exponent(x):
    return (bits_of(x) >> 52) - 1023


@njit(inline="always")
def power_of_two(e):
    return float_of((e + 1023) << 52)


@njit(inline="always")
def narrowed(ulp):
    """|ulp| as a float32 of the same bucket: cut off, not rounded; NaN and what classify.py calls unknown as infinity."""
    finite = ulp if ulp < 3.4028234663852886e38 else (3.4028234663852886e38 if ulp < 1.0715086071862673e301 else math.inf)
    return float_of(bits_of(finite) & -536870912)


SCOPE = {
    "__name__": __name__,
    "exp_clamped": exp_clamped,
    "expm1_clamped": expm1_clamped,
    "log1p_unit": log1p_unit,
    "exponent": exponent,
    "power_of_two": power_of_two,
    "narrowed": narrowed,
    "exp": math.exp,
    "log": math.log,
    "log1p": math.log1p,
    "pow": math.pow,
    "float64": np.float64,
    "INF": math.inf,
}


def compiled(source: str, contract: bool) -> Callable[..., None]:
    """A traced loop, compiled, or as it was compiled before; with ``contract`` a product and a sum may be rounded as one."""
    options = {"error_model": "numpy", "fastmath": {"contract"} if contract else False, "nogil": True}
    return compiled_once(source, SCOPE, options)


def aligned(count: int, dtype: Any) -> Any:
    """An empty array that begins where a cache line does: vectors that straddle two lines slow a loop down."""
    size = np.dtype(dtype).itemsize
    whole = np.empty(count * size + 64, np.uint8)
    begin = -whole.ctypes.data % 64
    return whole[begin : begin + count * size].view(dtype)
