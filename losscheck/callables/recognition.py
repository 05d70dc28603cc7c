"""A loss that a callable may be, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from losscheck.callables.diagnose import NOTHING, Diagnosis
from losscheck.core.call_spec import CallSpec
from losscheck.core.loss import Loss

__all__ = ["HARD", "Confidence", "Recognition"]

HARD = Diagnosis("for targets 0 and 1 it is the definition; with a soft target it is something else.", changes=1)
REDUCED = {
    "mean": "the mean of its elements",
    "sum": "the sum of its elements",
    "normalised": "their sum divided by the number of positives",
}


class Confidence(Enum):
    """How sure it is that a callable is a loss; the surest first."""

    AGREES = "agrees everywhere"
    DEVIATES = "agrees but for a named deviation"
    OWN = "a loss of its own"
    NONE = "does not agree"


@dataclass(frozen=True)
class Recognition:
    """A loss that a callable may be.

    Attributes:
        params: the loss's parameters that explain it best.
        call_spec: how it wants to be called: logits or probabilities, the order of its arguments, its axes.
        backend: torch or numpy.
        reduction: how it reduces a batch: none, mean, sum, normalised, or "" for one that is none of these.
        deviation: how it differs from the definition with these parameters; nothing where it agrees.
        distance: the median relative distance from that definition.
        asked: was it asked to be judged by its own lines, so that no loss was tried?
    """

    loss: Loss
    params: Mapping[str, float]
    call_spec: CallSpec
    backend: str
    reduction: str
    confidence: Confidence
    deviation: Diagnosis = NOTHING
    distance: float = 0.0
    asked: bool = False

    @property
    def words(self) -> str:
        """'weighted-focal with alpha=0.25, gamma=2, on probabilities, the mean of its elements'"""
        if self.confidence is Confidence.OWN:
            on = ", on probabilities" if self.call_spec.input == "probabilities" else ""
            by = "judged by what its own lines say in exact arithmetic"
            return f"{by}{on}" if self.asked else f"no loss that is known here{on}: {by}"
        params = ", ".join(f"{parameter.name}={parameter.text(self.params[parameter.name])}" for parameter in self.loss.parameters)
        parts = [f"{self.loss.name}{f' with {params}' if params else ''}"]
        parts += ["on probabilities"] * (self.call_spec.input == "probabilities")
        slots = [argument for argument in self.call_spec.arguments() if argument.slot]
        parts += ["targets first"] * (slots[0].slot == "targets")
        parts += [f"{argument.slot} as {argument.form}" for argument in slots if argument.form]
        parts += ["a gradient and a hessian without a loss"] * self.call_spec.objective
        parts += [REDUCED[self.reduction]] if self.reduction in REDUCED else []
        return ", ".join(parts)
