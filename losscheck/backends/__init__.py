"""Where implementations run. Each backend imports its framework when it is first asked for something."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from losscheck.core.dtypes import FORMATS, Format
from losscheck.core.errors import UserError, nearest
from losscheck.core.loss import Implementation, Loss, Published

__all__ = [
    "BACKENDS",
    "LANES",
    "MODES",
    "ON_CUDA",
    "Backend",
    "Call",
    "Invocation",
    "Output",
    "backend_named",
    "came_out",
    "parse_device",
    "parse_mode",
]

# Known by name without importing anything; each is the module of this package with the same name.
BACKENDS = ("numpy", "torch", "tensorflow", "jax", "paddle", "mpmath")

ON_CUDA = ("torch", "tensorflow", "jax")

# How an implementation is run. Each backend names those it has; all have eager.
MODES = ("eager", "compile", "compile:xla", "autocast:bfloat16", "autocast:float16", "vmap")


# Elementwise points are evaluated inside an array padded to a multiple of this, so that a point alone and the same point
# among many go through the same vector code: PyTorch's scalar tail returns other bits.
LANES = 64


@dataclass(frozen=True)
class Invocation:
    """An implementation with everything fixed but its logits and targets.

    Attributes:
        params: every parameter of the loss, as floats of the dtype.
        dtype: that of the logits.
        gradient: is d loss / d logit wanted too.
        digits: decimal digits of the mpmath backend.
        mode: one of MODES.
    """

    loss: Loss
    implementation: Implementation
    params: Mapping[str, float]
    dtype: Format
    device: str = "cpu"
    gradient: bool = True
    digits: int = 50
    mode: str = "eager"

    def whole(self, reduction: str) -> Published | None:
        """The published whole that the reduction asks for, if it has one."""
        return self.implementation.published if reduction == "published" else None

    def array_reduction(self, reduction: str) -> str:
        """The reduction to apply to elements: the loss's own stands in for `published` where there is no whole."""
        return self.loss.reduction if reduction == "published" else reduction


class Output(NamedTuple):
    """What came out, flattened: numpy arrays (float64 for float64, float32 for the narrower), or lists of floats from mpmath.

    ``grad`` is None where none was wanted or there is none; the dtypes are those that came out.
    """

    loss: Any
    grad: Any
    loss_dtype: Format
    grad_dtype: Format


# Logits and targets in: sequences of floats or numpy arrays of one length; one target may stand for all.
Call = Callable[[Any, Any], Output]


class Backend(Protocol):
    """A framework.

    Attributes:
        modes: those of MODES that it has.
        lanes: how many elements a point needs around it to meet the code of long arrays.
        compiled_by_shape: the modes in which code is made for each shape it meets.
    """

    name: str
    modes: tuple[str, ...]
    lanes: int
    compiled_by_shape: tuple[str, ...]

    def devices(self) -> list[str]:
        """The devices that can be used here."""
        ...

    def why_unavailable(self, device: str, mode: str = "eager") -> str:
        """Why the device cannot be used in this mode, with the cure; empty when it can."""
        ...

    def prepare(self, invocation: Invocation) -> Call:
        """An elementwise call: a loss and a gradient for each logit. What the implementation raises passes through."""
        ...

    def prepare_whole(self, invocation: Invocation, reduction: str, shape: tuple[int, ...] = ()) -> Call:
        """The same for a batch in its shape (empty for one axis): its loss under a reduction, `published` for its own whole, and
        the gradient of that to each logit."""
        ...


def came_out(name: str, implementation: Implementation, dtype: Format) -> Format:
    """The format of a dtype, by its name, that an implementation returned for logits of a dtype.

    Raises:
        TypeError: when it is none that can be judged, such as int64 or bool.
    """
    if name not in FORMATS:
        raise TypeError(f"{implementation.name} returned {name} for {dtype.name} logits")
    return FORMATS[name]


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
