"""One call of a callable under the recorder: the logits, the loss it returned and the gradient that came back, as elements of a tape."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from losscheck.core.errors import UserError
from losscheck.tracing.notes import Note, NoteKind
from losscheck.tracing.places import NOWHERE, raised_at
from losscheck.tracing.tape import Operation, Tape, skipped_folders

__all__ = ["Recording", "as_tensor", "eager", "loss_in", "record"]


@dataclass
class Recording:
    """What one call did.

    Attributes:
        logits, targets, loss, gradient: the elements of each, in logical order; ``gradient`` is empty where none came back.
        forward: how many ops the forward pass has.
        notes: what was not followed, the tape's own included.
        error: what the callable or its backward pass raised.
    """

    tape: Tape
    logits: list[int]
    targets: list[int]
    loss: list[int] = field(default_factory=list)
    gradient: list[int] = field(default_factory=list)
    forward: int = 0
    notes: list[Note] = field(default_factory=list)
    error: Exception | None = None

    @property
    def operations(self) -> list[Operation]:
        return self.tape.operations


def as_tensor(values: Any, dtype: Any) -> Any:
    """A tensor of its own with these values: a number (as one element), a sequence, an array or a tensor.

    Raises:
        UserError: when they are no numbers.
    """
    import torch

    try:
        tensor = values.detach() if isinstance(values, torch.Tensor) else torch.as_tensor(values, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"logits and targets must be numbers ({error})", "give a number, a list of numbers or a tensor") from None
    keep = isinstance(values, torch.Tensor) and not values.is_floating_point()
    return torch.atleast_1d(tensor.clone() if keep else tensor.to(dtype, copy=True))


def record(function: Callable[[Any, Any], Any], logits: Any, targets: Any, *, backward: bool = True) -> Recording:
    """Record ``function(logits, targets)`` and its backward pass. Parameters of a module get no gradient.

    Whatever the callable raises is kept in the recording, with the ops until there.

    Raises:
        UserError: when what it returns is no tensor of floats.
    """
    import torch

    leaf = logits.detach().requires_grad_()
    with torch.enable_grad():
        # No leaf itself, as the output of a network is none: x.sigmoid_() is allowed.
        logits = leaf.clone()
    tape = Tape(stop=_call.__code__)
    recording = Recording(tape, *(tape.memory.ids(tensor).reshape(-1).tolist() for tensor in (logits, targets)))
    with eager(function, recording.notes), torch.enable_grad():
        loss = _call(recording, NoteKind.RAISED, lambda: function(logits, targets))
        recording.forward = len(tape.operations)
        if recording.error is None:
            loss = loss_in(loss, recording.notes)
            recording.loss = tape.memory.ids(loss).reshape(-1).tolist()
            if backward:
                _backward(recording, loss, leaf)
    recording.notes = [*tape.notes, *recording.notes]
    return recording


def _call(recording: Recording, raised: NoteKind, thunk: Callable[[], Any]) -> Any:
    """Run under the tape; the walk for the place of an op ends at this frame."""
    try:
        with recording.tape.recording():
            return thunk()
    except (Exception, SystemExit) as error:
        recording.error = error if isinstance(error, Exception) else RuntimeError(f"SystemExit: {error}")
        last = recording.operations[-1] if recording.operations else None
        place = raised_at(error, skipped_folders()) or (last.place if last else NOWHERE)
        ours = isinstance(error, UserError)
        detail = str(error) if ours else f"{type(error).__name__}: {error}".rstrip(": ")
        recording.notes.append(Note(NoteKind.UNSUPPORTED if ours else raised, last.index if last else None, place, detail))
        return None


def loss_in(loss: Any, notes: list[Note]) -> Any:
    """The tensor of floats in what a callable returned; a note where there was more.

    Raises:
        UserError: when there is none.
    """
    import torch

    if isinstance(loss, list | tuple | dict):
        parts = list(loss.values()) if isinstance(loss, dict) else list(loss)
        tensors = [part for part in parts if isinstance(part, torch.Tensor)]
        if tensors:
            notes.append(Note(NoteKind.FIRST_RESULT, detail=type(loss).__name__))
            loss = tensors[0]
    if not isinstance(loss, torch.Tensor):
        raise UserError(f"the callable returned {type(loss).__name__} and no tensor", "trace a PyTorch loss: f(logits, targets) -> tensor")
    if not loss.is_floating_point():
        raise UserError(f"the callable returned {str(loss.dtype).removeprefix('torch.')} values", "return the loss as a tensor of floats")
    return loss


def _backward(recording: Recording, loss: Any, leaf: Any) -> None:
    import torch

    if not loss.requires_grad:
        recording.notes.append(Note(NoteKind.NO_GRADIENT))
        return

    def slopes() -> Any:
        # A gradient of the loss given by hand would import sympy: elements are summed instead.
        return torch.autograd.grad(loss if loss.dim() == 0 else loss.sum(), [leaf], allow_unused=True)

    (gradient,) = _call(recording, NoteKind.BACKWARD_RAISED, slopes) or (None,)
    if gradient is not None:
        recording.gradient = recording.tape.memory.ids(gradient).reshape(-1).tolist()
    elif recording.error is None:
        recording.notes.append(Note(NoteKind.NO_GRADIENT))


@contextmanager
def eager(function: Any, notes: list[Note]) -> Iterator[None]:
    """The context to call it in; notes on what it is.

    Compiled functions run their eager ops, which is what a dispatch mode sees; where dynamo was never loaded there are none.
    """
    dynamo = sys.modules.get("torch._dynamo")
    if dynamo is not None:
        import torch

    layers = list(_layers(function))
    if any(hasattr(layer, "_torchdynamo_orig_callable") or hasattr(layer, "_orig_mod") for layer in layers):
        notes.append(Note(NoteKind.COMPILED))
    scripted = [layer for layer in layers if type(layer).__name__ in ("ScriptFunction", "RecursiveScriptModule")]
    if scripted:
        notes.append(Note(NoteKind.SCRIPTED))
    with ExitStack() as modes:
        if dynamo is not None:
            modes.enter_context(torch.compiler.set_stance("force_eager"))
        if scripted:
            # Optimised, it detaches its variables and differentiates by a graph of its own, which nobody sees.
            modes.enter_context(sys.modules["torch.jit"].optimized_execution(False))
        for layer in scripted:
            # A plan of earlier calls would be run as it is.
            getattr(layer, "_debug_flush_compilation_cache", lambda: None)()
        yield


def _layers(function: Any) -> Iterator[Any]:
    """The callable, and what it says that it wraps."""
    seen: set[int] = set()
    while function is not None and id(function) not in seen:
        seen.add(id(function))
        yield function
        function = getattr(function, "__wrapped__", None)
