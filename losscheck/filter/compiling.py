"""How kernels are compiled: with the widest vectors that pay, and kept on disk. Imported only when millions of points are asked for."""

from __future__ import annotations

import contextlib
import functools
import pickle
from collections.abc import Callable
from pathlib import Path
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
        kernel = njit(cache=True, **options)(function)
    except RuntimeError:  # no folder for it
        return njit(**options)(function)
    forget_unreadable(kernel.stats.cache_path)
    return kernel


@functools.cache
def forget_unreadable(folder: str) -> None:
    """Delete the indexes of kept kernels that name what is no longer there, such as a class that an update has renamed: numba reads an
    index before it asks whether the source has changed since, and ends with what its pickle raises."""
    for index in Path(folder).glob("*_kernels.*.nbi"):
        try:
            with index.open("rb") as file:
                if pickle.load(file) == numba.__version__:
                    pickle.load(file)
        except Exception:
            with contextlib.suppress(OSError):
                index.unlink()


@intrinsic
def bits_of_float32(typing_context: Any, value: Any) -> Any:
    """The bits of a float32."""
    return types.int32(types.float32), lambda context, builder, signature, args: builder.bitcast(args[0], ir.IntType(32))


@intrinsic
def float32_of_bits(typing_context: Any, bits: Any) -> Any:
    """The float32 with these bits."""
    return types.float32(types.int32), lambda context, builder, signature, args: builder.bitcast(args[0], ir.FloatType())
