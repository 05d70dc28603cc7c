"""JAX's arrays, which nothing changes in place."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from losscheck.backends.arrays import Arrays
from losscheck.backends.jax import load, using
from losscheck.backends.numpy import array_dtype
from losscheck.core.dtypes import Format

__all__ = ["ARRAYS"]


class JaxArrays(Arrays):
    backend = "jax"
    one, many = "an array of JAX", "JAX arrays"

    def module(self) -> Any:
        return load().numpy

    def within(self, dtype: Format, device: str) -> contextlib.AbstractContextManager[Any]:
        return using(dtype, device)

    def make(self, values: Sequence[float], dtype: Format, device: str = "cpu") -> Any:
        import numpy as np

        return self.module().asarray(np.array(list(values)).astype(array_dtype(dtype)))

    def is_array(self, value: Any) -> bool:
        return isinstance(value, load().Array)

    def copy(self, x: Any) -> Any:
        return x

    def reshape(self, x: Any, shape: tuple[int, ...]) -> Any:
        return x.reshape(shape)

    def cast(self, x: Any, dtype: str) -> Any:
        return x.astype("int32" if dtype == "int64" else dtype)  # 64-bit types are off as a rule

    def sigmoid(self, x: Any) -> Any:
        return load().nn.sigmoid(x)

    def singles(self, x: Any) -> list[Any]:
        return list(self.module().split(x, x.shape[0]))

    def vmap(self, function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any] | None:
        mapped: Callable[[Any, Any], Any] = load().vmap(function)
        return mapped

    def numbers(self, x: Any) -> Any:
        import numpy as np

        return np.asarray(x).astype(np.float64).reshape(-1)

    def gradient(self, function: Callable[[Any], Any], x: Any) -> Any:
        grad = load().grad(lambda logits: function(logits).sum())(x)
        # What is not reached is a gradient of zeros here.
        return grad if bool((grad != 0).any()) else None


ARRAYS = JaxArrays()
