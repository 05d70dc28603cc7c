"""PyTorch's tensors."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Sequence
from typing import Any

from losscheck.backends.arrays import Arrays
from losscheck.core.dtypes import Format

__all__ = ["ARRAYS"]


class TorchArrays(Arrays):
    backend = "torch"
    one, many = "a tensor", "torch tensors"

    def module(self) -> Any:
        import torch

        return torch

    def within(self, dtype: Format, device: str) -> contextlib.AbstractContextManager[Any]:
        enabled: contextlib.AbstractContextManager[Any] = self.module().enable_grad()
        return enabled

    def make(self, values: Sequence[float], dtype: Format, device: str = "cpu") -> Any:
        torch = self.module()
        return torch.tensor(list(values), dtype=getattr(torch, dtype.name), device=device)

    def is_array(self, value: Any) -> bool:
        return isinstance(value, self.module().Tensor)

    def copy(self, x: Any) -> Any:
        return x.clone()

    def reshape(self, x: Any, shape: tuple[int, ...]) -> Any:
        return x.reshape(shape)

    def cast(self, x: Any, dtype: str) -> Any:
        return x.to(getattr(self.module(), dtype))

    def sigmoid(self, x: Any) -> Any:
        return x.sigmoid()

    def stack(self, parts: Sequence[Any], axis: int = 0) -> Any:
        return self.module().stack(list(parts), dim=axis)

    def singles(self, x: Any) -> list[Any]:
        return list(x.split(1))

    def vmap(self, function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any] | None:
        mapped: Callable[[Any, Any], Any] = self.module().func.vmap(function)
        return mapped

    def numbers(self, x: Any) -> Any:
        return x.detach().to(self.module().float64).cpu().numpy().reshape(-1)

    def gradient(self, function: Callable[[Any], Any], x: Any) -> Any:
        x = x.detach().requires_grad_()
        loss = function(x)
        return self.module().autograd.grad(loss.sum(), x, allow_unused=True)[0] if loss.requires_grad else None

    def placed(self, built: Any, x: Any) -> Any:
        if not isinstance(built, self.module().nn.Module):
            return built
        return copy.deepcopy(built).to(device=x.device, dtype=x.dtype)


ARRAYS = TorchArrays()
