"""PyTorch's ways to run one function: compiled, under autocast, mapped over elements."""

from __future__ import annotations

import os
import shutil
import types
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["moded", "why_not_compiled", "within"]


def moded(function: Callable[..., Any], mode: str, params: Mapping[str, float]) -> Callable[[Any, Any], Any]:
    """``call(logits, targets)`` of ``function(torch, logits, targets, **params)`` in a mode; see also :func:`within`."""
    import torch

    def call(x: Any, z: Any) -> Any:
        return function(torch, x, z, **params)

    if mode == "compile":
        # Compiled code is kept per code object, and after a few others of one object PyTorch falls back to eager, which
        # would be judged as compiled: each function gets its own, and what cannot be compiled whole raises.
        own = types.FunctionType(call.__code__.replace(), globals(), "call", None, call.__closure__)
        compiled: Callable[[Any, Any], Any] = torch.compile(own, dynamic=False, fullgraph=True)
        return compiled
    if mode == "vmap":
        # Over rows of one: a function may hold parameters in tensors of one element, against which a scalar gains an axis.
        mapped = torch.func.vmap(call, in_dims=0, randomness="error")
        return lambda x, z: mapped(x.reshape(-1, 1), z.reshape(-1, 1)).reshape(x.shape)
    return call


def within(function: Callable[[Any, Any], Any], mode: str, device: str) -> Callable[[Any, Any], Any]:
    """The forward pass in the context of its mode: torch.autocast, or nothing."""
    kind, _, dtype = mode.partition(":")
    if kind != "autocast":
        return function
    import torch

    def cast(x: Any, z: Any) -> Any:
        # A cast kept from one call to the next would tie their graphs together.
        with torch.autocast(device.partition(":")[0], dtype=getattr(torch, dtype), cache_enabled=False):
            return function(x, z)

    return cast


def why_not_compiled(device: str) -> str:
    """Why torch.compile cannot work here, with the cure; empty when it can. On the cpu it calls a C++ compiler."""
    compiler = os.environ.get("CXX") or "g++"
    if device == "cpu" and shutil.which(compiler) is None:
        return f"torch.compile needs a C++ compiler and finds no {compiler}; install g++, or name one in CXX"
    return ""
