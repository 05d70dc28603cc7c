"""What a trace could not follow, and what it met on the way: facts, of which the edge makes sentences."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from losscheck.tracing.places import NOWHERE, Place

__all__ = ["Note", "NoteKind"]


class NoteKind(Enum):
    """Kinds of notes, with what they mean."""

    UNKNOWN_OP = "an op without an exact definition: its computed value is taken as exact from there on"
    LEFT_TRACE = "a value left the trace (.item(), float(), int()): what comes of it is a constant here"
    BRANCH = "the program branched on a value: the branch that was taken is what is judged"
    FLIPPED_BRANCH = "exact arithmetic would take the other branch"
    FLIPPED_CHOICE = "a comparison comes out otherwise in exact arithmetic"
    OUTSIDE_VALUE = "a number that changes with the input came from outside the trace (numpy, Python)"
    RANDOM = "drawn at random: taken as drawn"
    COMPILED = "a compiled function: its eager ops are traced"
    SCRIPTED = "torch.jit: its ops are traced, without lines of source"
    RAISED = "the callable raised: the ops until there are kept"
    UNSUPPORTED = "the trace ended here, at something that it does not follow: the ops until there are kept"
    BACKWARD_RAISED = "the backward pass raised: the ops until there are kept"
    NO_GRADIENT = "the result does not depend on the logits by a differentiable path: no gradient is judged"
    FIRST_RESULT = "the callable returned more than one thing: the first tensor is judged"
    LONG = "a long program: its cause was searched for by bisection, and nothing was looked for to write instead"
    NO_SOURCE = "the source of some ops cannot be read: generated code, or a file that is gone"
    NO_COLUMNS = "Python runs without column positions (-X no_debug_ranges): lines stand for sub-expressions"


@dataclass(frozen=True)
class Note:
    """One fact: its kind, the op and place it is about, and the word that names it (an op, an exception)."""

    kind: NoteKind
    op: int | None = None
    place: Place = NOWHERE
    detail: str = ""
