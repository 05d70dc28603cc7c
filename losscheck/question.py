"""What is asked: the selection that every command turns its options into."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from losscheck.loss import Implementation, Loss
from losscheck.own.wiring import UNWIRED, Wiring

__all__ = ["DEFAULT_MAX_ULP", "Question", "Subject"]

# What a careful implementation reaches in float32 and float64 (the stable ones here; see tests/test_stable.py).
DEFAULT_MAX_ULP = 8.0


@dataclass(frozen=True)
class Question:
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
        wiring: how callables of the user's are called.
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
    wiring: Wiring = UNWIRED
    modes: Sequence[str] = ("eager",)


@dataclass(frozen=True)
class Subject:
    """What is under test: an implementation on a backend and a device, and the mode it is run in."""

    implementation: Implementation
    backend: str
    device: str
    mode: str = "eager"
