"""numpy's arrays. They carry no gradient."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from losscheck.backends.arrays import Arrays
from losscheck.backends.numpy import array_dtype
from losscheck.core.dtypes import Format
from losscheck.core.functional import sigmoid

__all__ = ["ARRAYS"]


class NumpyArrays(Arrays):
    backend = "numpy"
    one, many = "an array", "numpy arrays"

    def module(self) -> Any:
        import numpy as np

        return np

    def within(self, dtype: Format, device: str) -> contextlib.AbstractContextManager[Any]:
        quiet: contextlib.AbstractContextManager[Any] = self.module().errstate(all="ignore")
        return quiet

    def make(self, values: Sequence[float], dtype: Format, device: str = "cpu") -> Any:
        return self.module().array(list(values)).astype(array_dtype(dtype))

    def is_array(self, value: Any) -> bool:
        np = self.module()
        return isinstance(value, np.ndarray | np.generic)

    def as_array(self, value: Any) -> Any:
        return self.module().asarray(value)

    def copy(self, x: Any) -> Any:
        return x.copy()

    def reshape(self, x: Any, shape: tuple[int, ...]) -> Any:
        return x.reshape(shape)

    def cast(self, x: Any, dtype: str) -> Any:
        return x.astype(dtype)

    def sigmoid(self, x: Any) -> Any:
        return sigmoid(self.module(), x)

    def singles(self, x: Any) -> list[Any]:
        return [x[n : n + 1] for n in range(len(x))]

    def numbers(self, x: Any) -> Any:
        return x.astype("float64").reshape(-1)

    def gradient(self, function: Callable[[Any], Any], x: Any) -> Any:
        return None


ARRAYS = NumpyArrays()
