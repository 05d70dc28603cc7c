"""JAX on the CPU and on CUDA devices: gradients by reverse mode; eager, jit-compiled or vmapped."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

from losscheck.backends import LANES, Call, Invocation, Output, came_out
from losscheck.backends.extras import why_missing
from losscheck.backends.numpy import rounded, widened
from losscheck.core.dtypes import Format
from losscheck.core.reductions import REDUCTIONS


class JaxBackend:
    name = "jax"
    modes = ("eager", "compile", "vmap")
    lanes = LANES
    compiled_by_shape = ("eager", "compile", "vmap")  # each operation of eager is compiled for its shape, too

    def devices(self) -> list[str]:
        return ["cpu", *(f"cuda:{n}" for n in range(len(_gpus())))]

    def why_unavailable(self, device: str, mode: str = "eager") -> str:
        if reason := why_missing("jax"):
            return reason
        try:
            load()
        except ImportError as error:
            return f"JAX cannot be imported ({error}); pip install jax optax"
        if device == "cpu":
            return ""
        count, index = len(_gpus()), int(device.partition(":")[2] or "0")
        if not count:
            return "JAX finds no CUDA device; install a CUDA build (pip install 'jax[cuda12]') and check nvidia-smi"
        return "" if index < count else f"there are {count} CUDA devices here, cuda:0 to cuda:{count - 1}"

    def prepare(self, invocation: Invocation) -> Call:
        jax = load()
        # Made once, so that it is compiled once for each length.
        return _on_arrays(invocation, _moded(jax, _both(jax, _elements(invocation), invocation.gradient), invocation.mode))

    def prepare_whole(self, invocation: Invocation, reduction: str, shape: tuple[int, ...] = ()) -> Call:
        jax, published = load(), invocation.whole(reduction)
        if published:
            if invocation.mode == "vmap":
                raise NotImplementedError("vmap maps elements, and a published whole is none")
            function = _moded(jax, _both(jax, _bound(invocation, published.function), invocation.gradient), invocation.mode)
        else:
            reduce = REDUCTIONS[invocation.array_reduction(reduction)].function
            elements = _moded(jax, _elements(invocation), invocation.mode)
            function = _both(jax, lambda x, z: reduce(elements(x, z), z), invocation.gradient)
        return _on_arrays(invocation, function, shape)


def _on_arrays(invocation: Invocation, both: Callable[..., tuple[Any, ...]], shape: tuple[int, ...] = ()) -> Call:
    import numpy as np

    def result(values: Any) -> tuple[Any, Format]:
        dtype = came_out(str(values.dtype), invocation.implementation, invocation.dtype)
        return widened(np.asarray(values), dtype), dtype

    def call(logits: Any, targets: Any) -> Output:
        with using(invocation.dtype, invocation.device) as (_, jnp):
            x, z = (jnp.asarray(array.reshape(shape or -1)) for array in rounded(logits, targets, invocation.dtype))
            loss, *grad = both(x, z)
            losses, loss_dtype = result(loss)
            grads, grad_dtype = result(grad[0]) if grad else (None, invocation.dtype)
        return Output(losses, grads, loss_dtype, grad_dtype)

    return call


def load() -> Any:
    """The jax module. It must not take all of a GPU's memory, which other frameworks share: that is its default."""
    if "jax" not in sys.modules:
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    import jax

    return jax


@contextlib.contextmanager
def using(dtype: Format, device: str) -> Iterator[tuple[Any, Any]]:
    """``jax`` and ``jax.numpy`` on a device, with 64-bit types for float64 alone, whatever the process has set.

    With them on, a constant of an implementation may come out as float64, which is not what its users run.
    """
    jax = load()
    # Before 0.8 it was experimental.
    enable_x64 = jax.enable_x64 if hasattr(jax, "enable_x64") else importlib.import_module("jax.experimental").enable_x64
    where = jax.devices("cpu")[0] if device == "cpu" else _gpus()[int(device.partition(":")[2] or "0")]
    with enable_x64(dtype.bits == 64), jax.default_device(where):
        yield jax, jax.numpy


def _elements(invocation: Invocation) -> Callable[[Any, Any], Any]:
    return _bound(invocation, invocation.implementation.function)


def _bound(invocation: Invocation, function: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    xp = importlib.import_module(invocation.implementation.library or "jax.numpy")
    return lambda x, z: function(xp, x, z, **invocation.params)


def _both(jax: Any, function: Callable[[Any, Any], Any], gradient: bool) -> Callable[[Any, Any], tuple[Any, ...]]:
    """The loss alone, or with the gradient of its sum."""

    def both(x: Any, z: Any) -> tuple[Any, ...]:
        if not gradient:
            return (function(x, z),)
        loss, pull = jax.vjp(lambda logits: function(logits, z), x)
        return loss, pull(jax.numpy.ones_like(loss))[0]

    return both


def _moded(jax: Any, function: Callable[..., Any], mode: str) -> Callable[..., Any]:
    moded: Callable[..., Any] = {"eager": lambda unchanged: unchanged, "compile": jax.jit, "vmap": jax.vmap}[mode](function)
    return moded


def _gpus() -> list[Any]:
    try:
        return list(load().devices("cuda"))
    except RuntimeError:  # no such platform
        return []


BACKEND = JaxBackend()
