"""PaddlePaddle on the CPU: gradients by its autograd; eager, or compiled by ``paddle.jit.to_static``.

It runs callables of the user's alone, in a process of their own (losscheck/callables/apart.py): it ends the process where others
raise an exception.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from losscheck.backends import LANES, Call, Invocation, Output, came_out
from losscheck.backends.extras import why_missing
from losscheck.backends.numpy import rounded, widened
from losscheck.core.dtypes import Format

__all__ = ["BACKEND", "compiled", "load", "tensor"]


class PaddleBackend:
    name = "paddle"
    modes = ("eager", "compile")
    lanes = LANES
    compiled_by_shape = ()

    def devices(self) -> list[str]:
        return ["cpu"]

    def why_unavailable(self, device: str, mode: str = "eager") -> str:
        # It is not imported here: it lives in another process.
        return why_missing("paddle") or ("" if device == "cpu" else "paddle runs on the cpu alone here")

    def prepare(self, invocation: Invocation) -> Call:
        return _on_arrays(invocation, invocation.implementation.function)

    def prepare_whole(self, invocation: Invocation, reduction: str, shape: tuple[int, ...] = ()) -> Call:
        if published := invocation.whole(reduction):
            return _on_arrays(invocation, published.function, shape)
        elements, name = invocation.implementation.function, invocation.array_reduction(reduction)

        def reduced(xp: Any, x: Any, z: Any, **params: Any) -> Any:
            losses = elements(xp, x, z, **params)
            if name == "mean":
                return losses.mean()
            positives = int((z == 1).sum()) if name == "normalised" else 1
            return losses.sum() / max(positives, 1)

        return _on_arrays(invocation, reduced, shape)


def _on_arrays(invocation: Invocation, function: Callable[..., Any], shape: tuple[int, ...] = ()) -> Call:
    def result(values: Any) -> tuple[Any, Format]:
        dtype = came_out(str(values.dtype).rpartition(".")[2], invocation.implementation, invocation.dtype)
        wide = values.detach().astype("float64" if dtype.bits == 64 else "float32")
        return widened(wide.numpy(), dtype), dtype

    def call(logits: Any, targets: Any) -> Output:
        paddle = load()
        x, z = (tensor(array.reshape(shape or -1), invocation.dtype) for array in rounded(logits, targets, invocation.dtype))
        x.stop_gradient = not invocation.gradient
        with paddle.set_grad_enabled(invocation.gradient):
            loss = function(paddle, x, z, **invocation.params)
            losses, loss_dtype = result(loss)
            if not invocation.gradient:
                return Output(losses, None, loss_dtype, invocation.dtype)
            grads, grad_dtype = result(paddle.grad(loss.sum(), x)[0])
        return Output(losses, grads, loss_dtype, grad_dtype)

    return call


def load() -> Any:
    """The paddle module, its remarks on build tools left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import paddle
    return paddle


def tensor(array: Any, dtype: Format) -> Any:
    """A tensor of a numpy array. bfloat16 goes through float32, which holds every number of it: paddle takes no ml_dtypes."""
    paddle = load()
    if dtype.name != "bfloat16":
        return paddle.to_tensor(array)
    return paddle.to_tensor(array.astype("float32")).astype("bfloat16")


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The mode ``compile``, of the callable alone: its compiler does not see through what calls it."""
    static: Callable[..., Any] = load().jit.to_static(function)
    return static


BACKEND = PaddleBackend()
