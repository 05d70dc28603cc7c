"""JAX on the CPU and on CUDA devices: gradients by reverse mode; eager, jit-compiled or vmapped."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

from losscheck.backends import Batch, Call, Prepared, Result
from losscheck.backends.blocks import in_blocks
from losscheck.backends.extras import why_missing
from losscheck.backends.numpy import array_dtype
from losscheck.core.dtypes import Format
from losscheck.core.loss import Implementation
from losscheck.core.reductions import REDUCTIONS


class JaxBackend:
    name = "jax"
    modes = ("eager", "compile", "vmap")

    def devices(self) -> list[str]:
        return ["cpu", *(f"cuda:{n}" for n in range(len(_gpus())))]

    def why_unavailable(self, device: str, mode: str = "eager") -> str:
        if reason := why_missing("jax"):
            return reason
        try:
            load()
        except ImportError as error:
            return f"JAX cannot be imported ({error}); pip install 'losscheck[jax]'"
        if device == "cpu":
            return ""
        count, index = len(_gpus()), int(device.partition(":")[2] or "0")
        if not count:
            return "JAX finds no CUDA device; install a CUDA build (pip install 'jax[cuda12]') and check nvidia-smi"
        return "" if index < count else f"there are {count} CUDA devices here, cuda:0 to cuda:{count - 1}"

    def run(self, batch: Batch) -> Result:
        one = batch.implementation
        whole = one.published if batch.published else None
        if whole is not None and batch.mode == "vmap":
            raise NotImplementedError("vmap maps elements, and a published whole is none")
        function = whole.function if whole is not None else elementwise(one, batch.dtype)
        shape = batch.shape or (len(batch.logits),)
        with using(batch.dtype, batch.device) as (jax, jnp):
            x, z = (_array(jnp, each, batch.dtype, shape) for each in (batch.logits, batch.targets))
            bound = _bound(one, function, batch.params)
            if whole is not None or batch.array_reduction == "none":
                found = _moded(jax, _both(jax, bound, batch.gradient), batch.mode)(x, z)
            else:
                reduce, elements = REDUCTIONS[batch.array_reduction].function, _moded(jax, bound, batch.mode)
                found = _both(jax, lambda x, z: reduce(elements(x, z), z), batch.gradient)(x, z)
            loss, grad = (*map(_floats, found), [])[:2]
        return Result(loss, grad)

    def prepare(self, subject: Prepared) -> Call:
        import numpy as np

        one, dtype = subject.implementation, subject.dtype
        wide = np.float64 if dtype.bits == 64 else np.float32

        # Made once, so that it is compiled once for each length.
        both = _moded(load(), _both(load(), _bound(one, elementwise(one, dtype), subject.params), subject.gradient), subject.mode)

        def call(logits: Any) -> tuple[Any, Any]:
            with using(dtype, subject.device) as (_, jnp):
                with np.errstate(invalid="ignore"):  # a cast of NaN counts as invalid
                    x = jnp.asarray(logits.astype(array_dtype(dtype)))
                loss, *grad = (np.asarray(each).astype(wide) for each in both(x, jnp.full_like(x, subject.target)))
            return loss, grad[0] if grad else None

        return in_blocks(call)


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


def elementwise(one: Implementation, dtype: Format) -> Callable[..., Any]:
    """The function of an implementation, refusing a result of another dtype."""

    def function(xp: Any, x: Any, z: Any, **params: Any) -> Any:
        loss = one.function(xp, x, z, **params)
        if loss.dtype != array_dtype(dtype):
            raise TypeError(f"{one.name} returned {loss.dtype} for {dtype.name} logits")
        return loss

    return function


def _bound(one: Implementation, function: Callable[..., Any], params: dict[str, float]) -> Callable[[Any, Any], Any]:
    xp = importlib.import_module(one.library or "jax.numpy")
    return lambda x, z: function(xp, x, z, **params)


def _both(jax: Any, function: Callable[[Any, Any], Any], gradient: bool) -> Callable[[Any, Any], tuple[Any, ...]]:
    """The loss alone, or with the gradient of its sum."""

    def both(x: Any, z: Any) -> tuple[Any, ...]:
        if not gradient:
            return (function(x, z),)
        loss, pull = jax.vjp(lambda each: function(each, z), x)
        return loss, pull(jax.numpy.ones_like(loss))[0]

    return both


def _moded(jax: Any, function: Callable[..., Any], mode: str) -> Callable[..., Any]:
    moded: Callable[..., Any] = {"eager": lambda each: each, "compile": jax.jit, "vmap": jax.vmap}[mode](function)
    return moded


def _array(jnp: Any, values: Any, dtype: Format, shape: tuple[int, ...]) -> Any:
    import numpy as np

    # Rounded by numpy: a conversion in the framework would flush subnormals before the implementation sees them.
    return jnp.asarray(np.array(values, dtype=np.float64).astype(array_dtype(dtype)).reshape(shape))


def _floats(array: Any) -> list[float]:
    import numpy as np

    values: list[float] = np.asarray(array).astype(np.float64).reshape(-1).tolist()
    return values


def _gpus() -> list[Any]:
    try:
        return list(load().devices("cuda"))
    except RuntimeError:  # no such platform
        return []


BACKEND = JaxBackend()
