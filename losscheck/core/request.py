"""What is asked: the selection that every command turns its options into."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from losscheck.core.call_spec import PLAIN_CALL, CallSpec
from losscheck.core.loss import Implementation, Loss

__all__ = ["DEFAULT_MAX_ULP", "Request", "Subject", "SweepQuestion"]

# What a careful implementation reaches in float32 and float64 (the stable ones here; see tests/test_stable.py).
DEFAULT_MAX_ULP = 8.0


@dataclass(frozen=True)
class Request:
    """What is asked of which implementations.

    Attributes:
        losses: the losses asked about.
        logits, targets: as the user wrote them (text is rounded once, straight to each dtype).
        impl: globs, and specs of callables; empty for every implementation.
        backends: empty for every backend.
        params: given parameters; those that a loss does not have are for the others.
        quantities: ``loss``, ``grad`` or both.
        reduction: none, mean, sum, normalised or published.
        shape: the shape the points have for a published whole; empty for one axis.
        oracle: flint or mpmath.
        digits: decimal digits of the mpmath implementations.
        modes: how they are run (backends.MODES); a backend that has no such mode is left out.
        max_ulp: above this a result is ``inaccurate``.
        call_spec: how callables of the user's are called.
    """

    losses: Sequence[Loss]
    logits: Sequence[str | float]
    targets: Sequence[str | float] = (1.0,)
    impl: Sequence[str] = ()
    backends: Sequence[str] = ()
    dtypes: Sequence[str] = ("float32",)
    devices: Sequence[str] = ("cpu",)
    quantities: Sequence[str] = ("loss", "grad")
    params: Mapping[str, float] = field(default_factory=dict)
    reduction: str = "none"
    shape: tuple[int, ...] = ()
    oracle: str = "flint"
    digits: int = 50
    max_ulp: float = DEFAULT_MAX_ULP
    call_spec: CallSpec = PLAIN_CALL
    modes: Sequence[str] = ("eager",)


@dataclass(frozen=True)
class Subject:
    """What is under test: an implementation on a backend and a device, and the mode it is run in."""

    implementation: Implementation
    backend: str
    device: str
    mode: str = "eager"


@dataclass(frozen=True)
class SweepQuestion:
    """What a sweep is asked, as plain names and numbers: it travels to other processes and into state files.

    Attributes:
        targets: as the user wrote them; empty for each loss's own.
        low, high: the ends of the range, as written.
        points, spacing: of a sample; every float with ``exhaustive``, and always of the 16-bit dtypes.
        layout: body (long tensors), tail (tensors of TAIL elements) or both.
        landmarks: include the losses' landmarks and their neighbours in a sample.
        modes: how implementations are run (backends.MODES).
    """

    losses: tuple[str, ...]
    low: str
    high: str
    impl: tuple[str, ...] = ()
    backends: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ("float32",)
    devices: tuple[str, ...] = ("cpu",)
    quantities: tuple[str, ...] = ("loss", "grad")
    params: dict[str, float] = field(default_factory=dict)
    points: int = 1000
    spacing: str = "both"
    exhaustive: bool = False
    layout: str = "body"
    oracle: str = "flint"
    digits: int = 50
    max_ulp: float = 8.0
    call_spec: CallSpec = PLAIN_CALL
    modes: tuple[str, ...] = ("eager",)
