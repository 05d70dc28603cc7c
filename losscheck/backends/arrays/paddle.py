"""PaddlePaddle's tensors."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from losscheck.backends.arrays import Arrays
from losscheck.backends.numpy import array_dtype
from losscheck.backends.paddle import load, tensor
from losscheck.core.dtypes import Format

__all__ = ["ARRAYS"]


class PaddleArrays(Arrays):
    backend = "paddle"
    one, many = "a tensor of paddle", "paddle tensors"

    def module(self) -> Any:
        return load()

    def within(self, dtype: Format, device: str) -> contextlib.AbstractContextManager[Any]:
        enabled: contextlib.AbstractContextManager[Any] = load().enable_grad()
        return enabled

    def make(self, values: Sequence[float], dtype: Format, device: str = "cpu") -> Any:
        import numpy as np

        return tensor(np.array(list(values)).astype(array_dtype(dtype)), dtype)

    def is_array(self, value: Any) -> bool:
        return isinstance(value, load().Tensor)

    def copy(self, x: Any) -> Any:
        return x.clone()

    def reshape(self, x: Any, shape: tuple[int, ...]) -> Any:
        return x.reshape(list(shape))

    def cast(self, x: Any, dtype: str) -> Any:
        return x.astype(dtype)

    def sigmoid(self, x: Any) -> Any:
        return load().nn.functional.sigmoid(x)

    def singles(self, x: Any) -> list[Any]:
        return list(load().split(x, x.shape[0]))

    def numbers(self, x: Any) -> Any:
        return x.detach().astype("float64").numpy().reshape(-1)

    def gradient(self, function: Callable[[Any], Any], x: Any) -> Any:
        x = x.detach()
        x.stop_gradient = False
        loss = function(x)
        return None if loss.stop_gradient else load().grad(loss.sum(), x, allow_unused=True)[0]

    def placed(self, built: Any, x: Any) -> Any:
        paddle = load()
        return built.astype(x.dtype) if isinstance(built, paddle.nn.Layer) else built


ARRAYS = PaddleArrays()
