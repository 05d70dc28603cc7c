"""TensorFlow's tensors, which nothing changes in place."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from losscheck.backends.arrays import Arrays
from losscheck.backends.numpy import array_dtype
from losscheck.backends.tensorflow import load, using
from losscheck.core.dtypes import Format

__all__ = ["ARRAYS"]


class TensorflowArrays(Arrays):
    backend = "tensorflow"
    one, many = "a tensor of TensorFlow", "TensorFlow tensors"

    def module(self) -> Any:
        return load()

    def within(self, dtype: Format, device: str) -> contextlib.AbstractContextManager[Any]:
        return using(device)

    def make(self, values: Sequence[float], dtype: Format, device: str = "cpu") -> Any:
        import numpy as np

        return load().constant(np.array(list(values)).astype(array_dtype(dtype)))

    def is_array(self, value: Any) -> bool:
        tf = load()
        return bool(tf.is_tensor(value)) and hasattr(value, "shape") and isinstance(value, tf.Tensor)

    def copy(self, x: Any) -> Any:
        return x

    def reshape(self, x: Any, shape: tuple[int, ...]) -> Any:
        return load().reshape(x, shape)

    def cast(self, x: Any, dtype: str) -> Any:
        return load().cast(x, dtype)

    def sigmoid(self, x: Any) -> Any:
        return load().sigmoid(x)

    def singles(self, x: Any) -> list[Any]:
        return list(load().split(x, x.shape[0]))

    def numbers(self, x: Any) -> Any:
        import numpy as np

        return x.numpy().astype(np.float64).reshape(-1)

    def gradient(self, function: Callable[[Any], Any], x: Any) -> Any:
        with load().GradientTape() as tape:
            tape.watch(x)
            loss = function(x)
        return tape.gradient(loss, x)


ARRAYS = TensorflowArrays()
