"""Why a subject has nothing to measure, known before anything is measured."""

from __future__ import annotations

from collections.abc import Mapping

from losscheck.backends import backend_named
from losscheck.backends.extras import missing
from losscheck.core.absence import Absence, Unavailable
from losscheck.core.loss import Loss
from losscheck.core.request import Subject

__all__ = ["lacks", "lacks_gradient", "no_gradient", "not_here", "why_unavailable"]


def why_unavailable(loss: Loss, subject: Subject, params: Mapping[str, float]) -> Unavailable | None:
    """Why a subject cannot answer at all; None when it can."""
    implementation = subject.implementation
    for parameter in loss.parameters:
        if parameter.name in implementation.ignores and params[parameter.name] != parameter.default:
            return Unavailable(Absence.PARAMETER, f"{implementation.name} takes no {parameter.name}")
        if parameter.name in implementation.always and params[parameter.name] == parameter.none:
            return Unavailable(Absence.PARAMETER, f"{implementation.name} cannot leave {parameter.name} out")
    return not_here(subject)


def not_here(subject: Subject) -> Unavailable | None:
    """Why the framework, the device or the mode of a subject is not here; None when all are."""
    reason = missing(subject.implementation, subject.backend) or backend_named(subject.backend).why_unavailable(
        subject.device, subject.mode
    )
    return Unavailable(Absence.NOT_HERE, reason) if reason else None


def lacks(subject: Subject, quantity: str) -> Unavailable | None:
    """Why there is nothing to measure of a quantity, known before anything is measured; None where there may be."""
    if quantity == "grad":
        return lacks_gradient(subject)
    if not subject.implementation.own:
        return None
    from losscheck.callables.calling import without_loss

    reason = without_loss(subject.implementation.function)
    return Unavailable(Absence.NO_LOSS, reason) if reason else None


def lacks_gradient(subject: Subject) -> Unavailable | None:
    """Why there is no gradient to measure, known before anything is measured; None where there may be one."""
    implementation = subject.implementation
    if subject.backend == "numpy" and implementation.gradient is None:
        return no_gradient(subject)
    if not implementation.own:
        return None
    from losscheck.callables.calling import detached

    reason = detached(implementation.function, subject.backend)
    return Unavailable(Absence.NO_GRADIENT, reason) if reason else None


def no_gradient(subject: Subject) -> Unavailable:
    """What stands for a gradient that a backend cannot find."""
    return Unavailable(Absence.NO_GRADIENT, f"{subject.implementation.name} has no gradient on {subject.backend}; use --quantity loss")
