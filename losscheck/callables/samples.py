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
    """Finite values at ordinary and at far logits, and how precise they are."""

    ordinary: tuple[Sample, ...]
    far: tuple[Sample, ...]
    precision: Precision

    def close(self, point: Sample, right: float) -> bool:
        """Is the value there what it should be, but for rounding? NaN is not."""
        relative = self.precision.ordinary if abs(point.logit) < FAR_FROM else self.precision.far
        return abs(point.value - right) <= relative * abs(right) + self.precision.absolute


def sample(adapted: Adapted, backend: str, targets: Sequence[float]) -> Samples:
    """Values at the points above, in the first of float64 and float32 in which there are any."""
    xp = importlib.import_module(backend)
    with silence():
        return _sampled(adapted, xp, targets)


def _sampled(adapted: Adapted, xp: Any, targets: Sequence[float]) -> Samples:
    for dtype, precision in PRECISION.items():
        ordinary, far = (
            tuple(each for x in logits for z in targets if math.isfinite((each := Sample(x, z, _value(adapted, xp, dtype, x, z))).value))
            for logits in (ORDINARY, FAR)
        )
        if ordinary:
            return Samples(ordinary, far, precision)
    return Samples((), (), PRECISION["float32"])


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
