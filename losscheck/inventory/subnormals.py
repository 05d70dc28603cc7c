"""How a backend treats subnormals, found by trying: as inputs, as products and as results of exp."""

from __future__ import annotations

import math
from typing import Any

from losscheck.backends import LANES, Invocation, backend_named
from losscheck.core.dtypes import FORMATS, Format
from losscheck.core.loss import Implementation

__all__ = ["KINDS", "flushed_in", "treatment_text"]

KINDS = ("inputs", "products", "exp")


def flushed_in(backend: str, mode: str, dtype: Format) -> tuple[str, ...]:
    """The kinds of subnormals that come out as 0: half the smallest normal times 4, a normal times 1/2, exp below the normals.

    Raises:
        RuntimeError, TypeError, ValueError: what the framework raises where it has no such dtype or no compiler.
    """
    small = dtype.smallest_normal
    # The factor is the target: no compiler can fold what it is told only when it runs.
    trials = ((small / 2, 4.0), (small, 0.5), (dtype.round(math.log(small) - 1), 1.0))
    implementation = Implementation("bce", "subnormals", _product_or_exp, "losscheck", (backend,))
    call = backend_named(backend).prepare(Invocation(_loss(), implementation, {}, dtype, gradient=False, mode=mode))
    losses = call([x for x, _ in trials for _ in range(LANES)], [z for _, z in trials for _ in range(LANES)]).loss
    return tuple(kind for n, kind in enumerate(KINDS) if 0 in losses[n * LANES : (n + 1) * LANES])


def _product_or_exp(xp: Any, x: Any, z: Any) -> Any:
    return xp.where(x < -1, xp.exp(x), x * z)


def _loss() -> Any:
    from losscheck.core.registry import loss_named

    return loss_named("bce")


def treatment_text(backend: str) -> str:
    """'eager: kept in float16; FLUSHED in float32', modes that agree together."""
    by_text: dict[str, list[str]] = {}
    for mode in backend_named(backend).modes:
        # autocast and vmap run the kernels of eager.
        if mode == "eager" or mode.startswith("compile"):
            by_text.setdefault(_mode_text(backend, mode), []).append(mode)
    if len(by_text) == 1 and len(next(iter(by_text.values()))) == 1:
        return next(iter(by_text))
    return ". ".join(f"{', '.join(modes)}: {text}" for text, modes in by_text.items())


def _mode_text(backend: str, mode: str) -> str:
    if reason := backend_named(backend).why_unavailable("cpu", mode):
        return f"not here, {reason}"
    flushed = {name: flushed_in(backend, mode, dtype) for name, dtype in FORMATS.items()}
    kept = [name for name, kinds in flushed.items() if not kinds]
    by_kinds: dict[tuple[str, ...], list[str]] = {}
    for name, kinds in flushed.items():
        if kinds:
            by_kinds.setdefault(kinds, []).append(name)
    lacking = [f"{', '.join(names)}" + (f" ({', '.join(kinds)})" if kinds != KINDS else "") for kinds, names in by_kinds.items()]
    return "; ".join([f"kept in {', '.join(kept) or 'none'}", *(f"FLUSHED in {text}" for text in lacking)])
