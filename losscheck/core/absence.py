"""Why there is no value: the kind for code, which never reads sentences; the sentence for people."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = ["Absence", "Unavailable"]


class Absence(Enum):
    """What keeps a value from being there."""

    NOT_HERE = "not-here"  # the framework, the device or the mode cannot be used on this machine
    PARAMETER = "parameter"  # the implementation has no way to take a parameter that was given
    NO_GRADIENT = "no-gradient"  # the backend cannot differentiate it, and it brings no gradient of its own
    NO_LOSS = "no-loss"  # an objective, which returns a gradient and a hessian
    REFUSED = "refused"  # it was called and raised, or returned no losses


@dataclass(frozen=True)
class Unavailable:
    """The kind, and the sentence with its cure."""

    absence: Absence
    reason: str
