"""Where implementations run. Each backend imports its framework when it is first asked for something."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from losscheck.core.dtypes import Format
from losscheck.core.errors import UserError, nearest
from losscheck.core.loss import Implementation, Loss

__all__ = ["BACKENDS", "MODES", "ON_CUDA", "Backend", "Batch", "Call", "Prepared", "Result", "backend_named", "parse_device", "parse_mode"]

# Known by name without importing anything; each is the module of this package with the same name.
BACKENDS = ("numpy", "torch", "tensorflow", "jax", "mpmath")

ON_CUDA = ("torch", "tensorflow", "jax")

# How an implementation is run. Each backend names those it has; all have eager.
MODES = ("eager", "compile", "compile:xla", "autocast:bfloat16", "autocast:float16", "vmap")


@dataclass(frozen=True)
class Batch:
    """What one implementation is asked: its logits and targets, all of one dtype, on one device.

    Attributes:
        params: every parameter of the loss, as floats of the dtype.
        shape: the shape the points are given in; one axis unless the user said otherwise.
        reduction: none, mean, sum, normalised or published.
        digits: decimal digits of the mpmath backend.
        gradient: is d loss / d logit wanted too.
        mode: one of MODES.
    """

    loss: Loss
    implementation: Implementation
    logits: Sequence[float]
    targets: Sequence[float]
    params: dict[str, float]
    dtype: Format
    device: str
    shape: tuple[int, ...] = ()
    reduction: str = "none"
    digits: int = 50
    gradient: bool = True
    mode: str = "eager"

    @property
    def published(self) -> bool:
        return self.reduction == "published" and self.implementation.published is not None

    @property
    def array_reduction(self) -> str:
        """The reduction to apply to elements: the loss's own stands in for `published` where there is no whole."""
        return self.loss.reduction if self.reduction == "published" else self.reduction


@dataclass(frozen=True)
class Result:
    """Values as Python floats: one loss per point (one in all when reduced), one gradient per point, or why there is none.

    ``dtypes`` names, by quantity, a dtype that came out where it is not the one of the logits: autocast does that.
    """

    loss: list[float]
    grad: list[float] = field(default_factory=list)
    why_no_grad: str = ""
    dtypes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Prepared:
    """An implementation with everything fixed but its logits; all of them have one target."""

    loss: Loss
    implementation: Implementation
    params: dict[str, float]
    dtype: Format
    device: str
    target: float
    gradient: bool
    digits: int = 50
    mode: str = "eager"


# Logits in, losses and gradients out (None without): numpy arrays, float64 for float64 and float32 for the narrower.
Call = Callable[[Any], tuple[Any, Any]]


class Backend(Protocol):
    name: str
    modes: tuple[str, ...]

    def devices(self) -> list[str]:
        """The devices that can be used here."""
        ...

    def why_unavailable(self, device: str, mode: str = "eager") -> str:
        """Why the device cannot be used in this mode, with the cure; empty when it can."""
        ...

    def prepare(self, subject: Prepared) -> Call:
        """An elementwise call on arrays of logits, for many of them; what the implementation raises passes through."""
        ...

    def run(self, batch: Batch) -> Result:
        """Evaluate; what the implementation raises passes through."""
        ...


def backend_named(name: str) -> Backend:
    """The backend of that name; its framework is not imported yet.

    Raises:
        UserError: when there is none, with the nearest known names.
    """
    if name not in BACKENDS:
        raise UserError(f"unknown backend {name!r}", nearest(name, BACKENDS))
    backend: Backend = importlib.import_module(f"losscheck.backends.{name}").BACKEND
    return backend


def parse_device(text: str) -> str:
    """``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        UserError: for anything else.
    """
    kind, colon, index = text.partition(":")
    if text == "cpu" or (kind == "cuda" and (not colon or (index.isascii() and index.isdigit()))):
        return text
    raise UserError(f"unknown device {text!r}", nearest(text, ["cpu", "cuda", "cuda:0", "cuda:1"]))


def parse_mode(text: str) -> str:
    """One of MODES.

    Raises:
        UserError: for anything else, with the nearest known modes.
    """
    if text in MODES:
        return text
    raise UserError(f"unknown mode {text!r}", nearest(text, MODES))
