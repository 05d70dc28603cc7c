"""How kernels are compiled: with the widest vectors that pay, and kept on disk. Imported only when millions of points are asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import llvmlite.ir as ir
import numba
from numba import njit, types
from numba.extending import intrinsic

__all__ = ["bits_of_float32", "float32_of_bits", "kept"]


def use_wide_vectors() -> None:
    """Vectors of 512 bits where LLVM would take 256: on what has VBMI2 (Ice Lake, Zen 4 and later) they slow nothing else down, and a
    polynomial takes two thirds of the time. Not where the user has set NUMBA_CPU_FEATURES, or where something is compiled already."""
    features = llvm.get_host_cpu_features()
    if numba.config.CPU_FEATURES is None and features.get("avx512vbmi2"):
        numba.config.CPU_FEATURES = f"{features.flatten()},-prefer-256-bit"


use_wide_vectors()


def kept(function: Callable[..., Any]) -> Callable[..., Any]:
    """Kept on disk where a folder can be written; products and sums may be rounded as one, which the bounds cover."""
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # no folder for it
        return njit(**options)(function)


@intrinsic
def bits_of_float32(typing_context: Any, value: Any) -> Any:
    """The bits of a float32."""
    return types.int32(types.float32), lambda context, builder, signature, args: builder.bitcast(args[0], ir.IntType(32))


@intrinsic
def float32_of_bits(typing_context: Any, bits: Any) -> Any:
    """The float32 with these bits."""
    return types.float32(types.int32), lambda context, builder, signature, args: builder.bitcast(args[0], ir.FloatType())
