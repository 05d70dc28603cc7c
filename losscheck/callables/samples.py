"""What a callable returns at a few logits, in float64 where it runs there: the evidence for a convention."""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from losscheck.callables.adapt import Adapted
from losscheck.callables.loading import OwnCallError, silence

__all__ = ["Sample", "Samples", "sample"]

# Well-conditioned logits, some of them also probabilities; and logits where guards show.
ORDINARY = (-4.0, -2.5, -1.25, -0.5, 0.125, 0.375, 0.75, 1.5, 3.0, 5.0)
FAR_FROM = 9.0
FAR = (-90.0, -40.0, -24.0, -13.0, -9.0, 9.0, 13.0, 24.0, 40.0, 90.0)
# The points a statement was found with; and those held back, at which it must hold before it is said.
TARGETS, HELD_TARGETS = (0.0, 0.25, 0.75, 1.0), (0.0, 0.4, 0.9, 1.0)
HELD_ORDINARY = (-4.75, -3.25, -1.75, -0.875, 0.25, 0.5625, 0.875, 2.25, 4.25)
HELD_FAR = (-95.0, -50.0, -20.0, -11.0, 11.0, 20.0, 50.0, 95.0)


@dataclass(frozen=True)
class Precision:
    """What naive code keeps: relative errors at ordinary and at far logits, where 1 - p has lost its digits, and an absolute one."""

    ordinary: float
    far: float
    absolute: float


PRECISION = {"float64": Precision(1e-9, 1e-5, 1e-15), "float32": Precision(1e-4, 1e-2, 1e-6)}


@dataclass(frozen=True)
class Sample:
    """A point and the value there."""

    logit: float
    target: float
    value: float


@dataclass(frozen=True)
class Samples:
    """Finite values at ordinary and at far logits, those held back, and how precise they are."""

    ordinary: tuple[Sample, ...]
    far: tuple[Sample, ...]
    held_ordinary: tuple[Sample, ...]
    held_far: tuple[Sample, ...]
    precision: Precision

    def hard(self) -> Samples:
        """The points with the targets 0 and 1 alone."""

        def hard(points: tuple[Sample, ...]) -> tuple[Sample, ...]:
            return tuple(point for point in points if point.target in (0.0, 1.0))

        return Samples(hard(self.ordinary), hard(self.far), hard(self.held_ordinary), hard(self.held_far), self.precision)

    def close(self, point: Sample, right: float) -> bool:
        """Is the value there what it should be, but for rounding? NaN is not."""
        relative = self.precision.ordinary if abs(point.logit) < FAR_FROM else self.precision.far
        return abs(point.value - right) <= relative * abs(right) + self.precision.absolute


def sample(adapted: Adapted, backend: str) -> Samples:
    """Values at the points above, soft targets among them, in the first of float64 and float32 in which there are any."""
    xp = importlib.import_module(backend)
    with silence():
        for dtype, precision in PRECISION.items():
            if ordinary := _finite(adapted, xp, dtype, ORDINARY, TARGETS):
                far = _finite(adapted, xp, dtype, FAR, TARGETS)
                held_ordinary = _finite(adapted, xp, dtype, HELD_ORDINARY, HELD_TARGETS)
                return Samples(ordinary, far, held_ordinary, _finite(adapted, xp, dtype, HELD_FAR, HELD_TARGETS), precision)
    return Samples((), (), (), (), PRECISION["float32"])


def _finite(adapted: Adapted, xp: Any, dtype: str, logits: Sequence[float], targets: Sequence[float]) -> tuple[Sample, ...]:
    values = [Sample(x, z, _value(adapted, xp, dtype, x, z)) for x in logits for z in targets]
    return tuple(point for point in values if math.isfinite(point.value))


def _value(adapted: Adapted, xp: Any, dtype: str, x: float, z: float) -> float:
    """One value, or NaN when it raises: each point by itself, so that one that it refuses does not take the others along."""
    make = xp.tensor if xp.__name__ == "torch" else xp.array
    arrays = [make([value] * 8, dtype=getattr(xp, dtype)) for value in (x, z)]
    try:
        if xp.__name__ == "torch":
            with xp.no_grad():
                return float(adapted(xp, *arrays)[0])
        with xp.errstate(all="ignore"):
            return float(adapted(xp, *arrays)[0])
    except OwnCallError:
        return math.nan
