"""What a callable returns at a few logits, loss and gradient, in a dtype: the evidence for a convention."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from losscheck.backends import Call, Invocation, backend_named
from losscheck.callables.adapt import Adapted
from losscheck.callables.calling import prepare
from losscheck.callables.printed import silence
from losscheck.core.dtypes import FLOAT32, FLOAT64, Format
from losscheck.core.loss import EVERY_LOSS, Implementation

__all__ = ["FAR_FROM", "Precision", "Sample", "Samples", "sample", "sample_in"]

# Well-conditioned logits, some of them also probabilities; and logits where guards show.
ORDINARY = (-4.0, -2.5, -1.25, -0.5, 0.125, 0.375, 0.75, 1.5, 3.0, 5.0)
FAR_FROM = 9.0
FAR = (-120.0, -90.0, -40.0, -24.0, -13.0, -9.0, 9.0, 13.0, 24.0, 40.0, 90.0, 120.0)
# The points a statement was found with; and those held back, at which it must hold before it is said.
TARGETS, HELD_TARGETS = (0.0, 0.25, 0.75, 0.995, 1.0), (0.0, 0.4, 0.9, 0.9975, 1.0)
HELD_ORDINARY = (-4.75, -3.25, -1.75, -0.875, 0.25, 0.5625, 0.875, 2.25, 4.25)
HELD_FAR = (-130.0, -95.0, -50.0, -20.0, -11.0, 11.0, 20.0, 50.0, 95.0, 130.0)


@dataclass(frozen=True)
class Precision:
    """What naive code keeps: relative errors at ordinary and at far logits, where 1 - p has lost its digits, and an absolute one."""

    dtype: Format
    ordinary: float
    far: float
    absolute: float

    @property
    def saturated(self) -> float:
        """The logit beyond which 1 - p is 0, whatever the last bits of p are."""
        return (self.dtype.precision + 1) * math.log(2)

    @property
    def murky(self) -> float:
        """The logit beyond which, up to there, 1 - p has too few digits to tell one guard from another."""
        return (self.dtype.precision - 5) * math.log(2)


PRECISIONS = (Precision(FLOAT64, 1e-9, 1e-5, 1e-15), Precision(FLOAT32, 1e-4, 1e-2, 1e-6))


@dataclass(frozen=True)
class Sample:
    """A point and the loss there, and the gradient; NaN where it has none."""

    logit: float
    target: float
    value: float
    slope: float = math.nan


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
        return self.at(0.0, 1.0)

    def at(self, *targets: float) -> Samples:
        """The points with these targets alone."""

        def kept(points: tuple[Sample, ...]) -> tuple[Sample, ...]:
            return tuple(point for point in points if point.target in targets)

        return Samples(kept(self.ordinary), kept(self.far), kept(self.held_ordinary), kept(self.held_far), self.precision)

    def close(self, point: Sample, right: float) -> bool:
        """Is the value there what it should be, but for rounding? NaN is not."""
        relative = self.precision.ordinary if abs(point.logit) < FAR_FROM else self.precision.far
        return abs(point.value - right) <= relative * abs(right) + self.precision.absolute


def sample(adapted: Adapted, backend: str) -> Samples:
    """Values at the points above, soft targets among them, in the first of float64 and float32 in which there are any. Code that
    casts its logits to float32 has the digits of float32, whatever it is given, also where it casts the losses back."""
    for precision in PRECISIONS:
        call, came_out = _call(adapted, backend, precision.dtype), set[Format]()
        if ordinary := _finite(call, ORDINARY, TARGETS, came_out):
            far = _finite(call, FAR, TARGETS)
            kept = precision if came_out <= {precision.dtype} and not _of_float32(ordinary) else PRECISIONS[-1]
            return Samples(ordinary, far, _finite(call, HELD_ORDINARY, HELD_TARGETS), _finite(call, HELD_FAR, HELD_TARGETS), kept)
    return Samples((), (), (), (), PRECISIONS[-1])


def _of_float32(points: Sequence[Sample]) -> bool:
    return all(FLOAT32.round(point.value) == point.value for point in points)


def sample_in(adapted: Adapted, backend: str, dtype: Format) -> tuple[Sample, ...]:
    """Values of one dtype at hard targets, at ordinary logits and far ones, infinities and NaN among them."""
    return _values(_call(adapted, backend, dtype), (*ORDINARY, *FAR, *HELD_ORDINARY, *HELD_FAR), (0.0, 1.0))


def _finite(call: Call, logits: Sequence[float], targets: Sequence[float], came_out: set[Format] | None = None) -> tuple[Sample, ...]:
    return tuple(point for point in _values(call, logits, targets, came_out) if math.isfinite(point.value))


def _call(adapted: Adapted, backend: str, dtype: Format) -> Call:
    """How everything that measures calls it too, with its gradient where the backend finds one."""
    gradient_of_it = adapted if adapted.call_spec.objective else None
    implementation = Implementation(EVERY_LOSS, adapted.own.spec, adapted, adapted.own.place, (backend,), gradient=gradient_of_it, own=True)
    nameless: Any = None  # no reduction is asked for, and only that would look at the loss
    with_gradient, without = (
        prepare(Invocation(nameless, implementation, {}, dtype, gradient=gradient), backend_named(backend)) for gradient in (True, False)
    )

    def call(logits: Any, targets: Any) -> Any:
        with silence():
            try:
                return with_gradient(logits, targets)
            except Exception:  # whatever a gradient of theirs raises; a loss that raises too is told of by its caller
                return without(logits, targets)

    return call


def _values(call: Call, logits: Sequence[float], targets: Sequence[float], came_out: set[Format] | None = None) -> tuple[Sample, ...]:
    """All values of a target in one call; where that raises, each point by itself, so that one refused does not take the others along.
    ``came_out`` collects the dtypes of the losses."""
    found: list[Sample] = []
    for target in targets:
        try:
            output = call(list(logits), [target] * len(logits))
            if came_out is not None:
                came_out.add(output.loss_dtype)
            slopes = [math.nan] * len(logits) if output.grad is None else output.grad
            found += [Sample(x, target, float(v), float(slope)) for x, v, slope in zip(logits, output.loss, slopes, strict=True)]
        except Exception:
            found += [_single(call, logit, target) for logit in logits]
    return tuple(found)


def _single(call: Call, logit: float, target: float) -> Sample:
    """One value, or NaN when it raises."""
    try:
        output = call([logit] * 8, [target] * 8)
    except Exception:
        return Sample(logit, target, math.nan)
    return Sample(logit, target, float(output.loss[0]), math.nan if output.grad is None else float(output.grad[0]))
