"""Values that come from outside the trace: what a loss computes with numpy or plain Python is a constant to the recorder.

They are found by a second call at other logits: a constant that changes with the input is none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from losscheck.core.errors import UserError
from losscheck.tracing.memory import LEAF
from losscheck.tracing.notes import Note, NoteKind
from losscheck.tracing.recording import Recording, record
from losscheck.tracing.tape import Operation

__all__ = ["outside_notes"]


def outside_notes(function: Callable[[Any, Any], Any], recording: Recording, logits: Any, targets: Any) -> list[Note]:
    """One note for each op that takes a number which changes with the logits and was not computed on the tape."""
    if recording.error is not None or any(note.kind is NoteKind.RANDOM for note in recording.notes):
        return []
    try:
        other = record(function, logits * 0.75 + 0.25, targets, backward=False)
    except UserError:
        return []
    first, second = (run.operations[: run.forward] for run in (recording, other))
    if other.error is not None or [op.name for op in first] != [op.name for op in second]:
        # Another branch: its constants may well differ.
        return []
    pairs = zip(first, second, strict=True)
    return [Note(NoteKind.OUTSIDE_VALUE, a.index, a.place, a.name) for a, b in pairs if _outside(recording, a) != _outside(other, b)]


def _outside(recording: Recording, op: Operation) -> list[Any]:
    """What an op takes that no op made and that is no input."""
    elements, inputs = recording.tape.elements, {*recording.logits, *recording.targets}
    taken = [element for _, taken in op.plan.calls for element in taken] if op.plan else []
    return [elements.computed[element] for element in taken if elements.producer[element] == LEAF and element not in inputs]
