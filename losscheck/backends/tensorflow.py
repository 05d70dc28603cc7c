"""TensorFlow on the CPU and on CUDA devices: gradients by GradientTape; eager, as a graph, or compiled by XLA."""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

from losscheck.backends import LANES, Call, Invocation, Output, came_out
from losscheck.backends.extras import why_missing
from losscheck.backends.numpy import rounded, widened
from losscheck.core.dtypes import Format

# Logged as errors, and none: no kernel of oneDNN's for float16, another is taken; a CUDA build finds no driver, and goes on
# without (who asks for --device cuda is told so by why_unavailable).
_REMARKS = (b"oneDNN supports DT_HALF only", b"failed call to cuInit")


class TensorflowBackend:
    name = "tensorflow"
    modes = ("eager", "compile", "compile:xla")
    lanes = LANES
    compiled_by_shape = modes

    def devices(self) -> list[str]:
        return ["cpu", *(f"cuda:{n}" for n in range(len(load().config.list_physical_devices("GPU"))))]

    def why_unavailable(self, device: str, mode: str = "eager") -> str:
        if reason := why_missing("tensorflow"):
            return reason
        try:
            tf = load()
        except ImportError as error:
            return f"TensorFlow cannot be imported ({error}); pip install tensorflow"
        if device == "cpu":
            return ""
        if not tf.test.is_built_with_cuda():
            return f"this TensorFlow ({tf.__version__}) is built without CUDA; pip install 'tensorflow[and-cuda]'"
        count, index = len(self.devices()) - 1, int(device.partition(":")[2] or "0")
        if not count:
            return "TensorFlow finds no CUDA device; check the driver with nvidia-smi"
        return "" if index < count else f"there are {count} CUDA devices here, cuda:0 to cuda:{count - 1}"

    def prepare(self, invocation: Invocation) -> Call:
        return _on_arrays(invocation, _elements)

    def prepare_whole(self, invocation: Invocation, reduction: str, shape: tuple[int, ...] = ()) -> Call:
        return _on_arrays(invocation, functools.partial(_whole, reduction=reduction), shape)


def _on_arrays(invocation: Invocation, make: Callable[..., Callable[[Any, Any], Any]], shape: tuple[int, ...] = ()) -> Call:
    moded: dict[int, Any] = {}  # by length, each made once

    def result(values: Any) -> tuple[Any, Format]:
        dtype = came_out(values.dtype.name, invocation.implementation, invocation.dtype)
        return widened(values.numpy(), dtype), dtype

    def call(logits: Any, targets: Any) -> Output:
        with using(invocation.device) as tf:
            x, z = (tf.constant(array.reshape(shape or -1)) for array in rounded(logits, targets, invocation.dtype))
            if len(logits) not in moded:
                moded[len(logits)] = _moded(tf, _both(tf, make(tf, invocation), invocation.gradient), invocation.mode, x)
            loss, *grad = moded[len(logits)](x, z)
            losses, loss_dtype = result(loss)
            grads, grad_dtype = result(grad[0]) if grad else (None, invocation.dtype)
        return Output(losses, grads, loss_dtype, grad_dtype)

    return call


def load() -> Any:
    """The tensorflow module, its greetings kept from standard error and GPU memory taken as it is needed.

    What it says about its build (I and W lines) is dropped, also that which no TF_CPP_MIN_LOG_LEVEL keeps quiet;
    errors are passed on. Who wants to see it all sets that variable to 0.
    """
    if "tensorflow" in sys.modules or os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "0":
        return importlib.import_module("tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    with _without_greetings():
        tf = importlib.import_module("tensorflow")
        # The first operation looks for GPUs, and the first in float16 for a kernel of oneDNN's.
        tf.exp(tf.zeros(1, tf.float16))
        return tf


@contextlib.contextmanager
def _without_greetings() -> Iterator[None]:
    """Standard error, file descriptor and all, less what C++ logs as information or warning, and less _REMARKS."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            said.seek(0)
            for line in said.read().splitlines(keepends=True):
                greeting = line.startswith((b"I0000 ", b"W0000 ", b"WARNING: All log messages before absl"))
                if not greeting and not any(remark in line for remark in _REMARKS):
                    os.write(2, line)


@contextlib.contextmanager
def using(device: str) -> Iterator[Any]:
    """``tensorflow`` on a device; its own errors, which are no RuntimeError, become one."""
    tf = load()
    where = "/CPU:0" if device == "cpu" else f"/GPU:{device.partition(':')[2] or '0'}"
    try:
        with tf.device(where):
            yield tf
    except tf.errors.OpError as error:
        raise RuntimeError(f"{type(error).__name__}: {error.message}") from error


def _elements(tf: Any, invocation: Invocation) -> Callable[[Any, Any], Any]:
    return lambda x, z: invocation.implementation.function(tf, x, z, **invocation.params)


def _whole(tf: Any, invocation: Invocation, reduction: str) -> Callable[[Any, Any], Any]:
    """The published whole, or the elements under a reduction."""
    if published := invocation.whole(reduction):
        return lambda x, z: published.function(tf, x, z, **invocation.params)
    elements = _elements(tf, invocation)

    def normalised(x: Any, z: Any) -> Any:
        total, positives = tf.reduce_sum(elements(x, z)), tf.reduce_sum(tf.cast(z == 1, tf.int32))
        return total / tf.cast(tf.maximum(positives, 1), total.dtype)

    reductions: dict[str, Callable[[Any, Any], Any]] = {
        "mean": lambda x, z: tf.reduce_mean(elements(x, z)),
        "sum": lambda x, z: tf.reduce_sum(elements(x, z)),
        "normalised": normalised,
    }
    return reductions[invocation.array_reduction(reduction)]


def _both(tf: Any, function: Callable[[Any, Any], Any], gradient: bool) -> Callable[[Any, Any], tuple[Any, ...]]:
    """The loss alone, or with the gradient of its sum."""

    def both(x: Any, z: Any) -> tuple[Any, ...]:
        if not gradient:
            return (function(x, z),)
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = function(x, z)
        return loss, tape.gradient(loss, x, unconnected_gradients="zero")

    return both


def _moded(tf: Any, function: Callable[..., Any], mode: str, like: Any) -> Callable[..., Any]:
    if mode == "eager":
        return function
    spec = tf.TensorSpec(like.shape, like.dtype)
    # The traced function itself: tf.function counts its traces over all functions of one place, and warns after five.
    traced: Callable[..., Any] = tf.function(function, jit_compile=mode == "compile:xla").get_concrete_function(spec, spec)
    return traced


BACKEND = TensorflowBackend()
