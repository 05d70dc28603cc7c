"""numpy's arrays. They carry no gradient."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from losscheck.backends.numpy import array_dtype
from losscheck.core.dtypes import Format
from losscheck.core.functional import sigmoid

__all__ = ["ARRAYS"]


class NumpyArrays:
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

    def stack(self, parts: Sequence[Any], axis: int = 0) -> Any:
        return self.module().stack(list(parts), axis=axis)

    def singles(self, x: Any) -> list[Any]:
        return [x[n : n + 1] for n in range(len(x))]

    def vmap(self, function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any] | None:
        return None

    def numbers(self, x: Any) -> Any:
        return x.astype("float64").reshape(-1)

    def gradient(self, function: Callable[[Any], Any], x: Any) -> Any:
        return None

    def placed(self, built: Any, x: Any) -> Any:
        return built


ARRAYS = NumpyArrays()
