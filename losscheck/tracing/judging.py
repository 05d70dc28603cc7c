"""A recorded call judged: what is wrong with its losses and gradients, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from losscheck.core.dtypes import format_named
from losscheck.core.error import classify, ulp_error
from losscheck.core.errors import UserError
from losscheck.core.exact import Exact, Kind
from losscheck.core.one_thread import one_thread
from losscheck.tracing.deviations import deviations_of
from losscheck.tracing.errors import LIMIT, element_error
from losscheck.tracing.notes import Note, NoteKind
from losscheck.tracing.outside import outside_notes
from losscheck.tracing.recording import Recording, as_tensor, record
from losscheck.tracing.replay import ExactRun, needed_for
from losscheck.tracing.report import Deviation, DeviationKind, Quantity, Trace
from losscheck.tracing.rows import flipped, op_rows
from losscheck.tracing.verdicts import causes_found

__all__ = ["MOST_OPS", "judge", "outcomes_of", "trace"]

# Elements of a batch that is run exactly, op by op.
MOST_ELEMENTS = 4096
MOST_OPS = 2000  # of the forward pass; the terms of a longer one are nobody's to rewrite


def trace(function: Callable[[Any, Any], Any], logits: Any, targets: Any, *, dtype: str | None = None) -> Trace:
    """Call ``function(logits, targets)``, forward and backward, and judge every op of it by exact arithmetic.

    It is called a second time, forward only, at other logits: what changes then and was not computed on the way came from outside.

    Args:
        function: any callable on torch tensors that returns a loss; a module, a compiled function, a user's own.
        logits, targets: numbers, sequences or tensors of one shape; they are copied.
        dtype: float64, float32, float16 or bfloat16; that of the logits where they are a tensor, else float32.

    Raises:
        UserError: when the arguments are no numbers, or the callable returns no tensor of floats. What the callable itself raises
            ends up in the notes, with the ops until there.
    """
    import torch

    if dtype is None:
        floats = isinstance(logits, torch.Tensor) and logits.is_floating_point()
        dtype = str(logits.dtype).removeprefix("torch.") if floats else "float32"
    torch_dtype = getattr(torch, format_named(dtype).name)
    x, z = as_tensor(logits, torch_dtype), as_tensor(targets, torch_dtype)
    if x.numel() > MOST_ELEMENTS:
        raise UserError(f"{x.numel()} logits are too many to follow one by one", f"trace the elements that matter, at most {MOST_ELEMENTS}")
    if not callable(function):
        raise UserError(f"{type(function).__name__} is no callable", "trace a PyTorch loss: f(logits, targets) -> tensor")
    inputs = (x.clone(), z.clone())
    # Handing a few elements to other threads costs more than the op, and a loaded machine makes it milliseconds.
    with one_thread():
        recording = record(function, x, z)
        recording.notes += outside_notes(function, recording, *inputs)
        return judge(recording, dtype)


def outcomes_of(function: Callable[[Any, Any], Any], logits: Any, targets: Any, *, raising: bool = True) -> list[Quantity]:
    """The losses and slopes of one call on tensors, judged by exact arithmetic; no causes are looked for.

    Raises:
        UserError: as :func:`trace`, and what the callable itself raises; without ``raising`` that has no outcomes.
    """
    with one_thread():
        recording = record(function, logits, targets)
        if recording.error is not None and raising:
            raise recording.error
        return _quantities(ExactRun(recording))[0]


def judge(recording: Recording, dtype: str) -> Trace:
    """The verdict on a recording."""
    run = ExactRun(recording)
    quantities, truths = _quantities(run)
    causes, examined = causes_found(run, quantities, truths)
    deviations = list(deviations_of(run))
    deviations += [Deviation(DeviationKind.BACKWARD, _deviating_op(run, element)) for element in _other_backward(run)][:1]
    computed = recording.tape.elements.computed
    return Trace(
        dtype=dtype,
        logits=tuple(computed[element] for element in recording.logits),
        targets=tuple(float(computed[element]) for element in recording.targets),
        ops=tuple(op_rows(run)),
        forward_ops=recording.forward,
        quantities=tuple(quantities),
        causes=causes,
        deviations=tuple(deviations),
        notes=(*_notes(recording), *flipped(run)),
        examined=examined,
        bits=run.bits,
    )


def _notes(recording: Recording) -> Iterator[Note]:
    """What was not followed: by the recording, by the exact run of it, and where the source is not to be had."""
    yield from (note for note in recording.notes if note not in recording.tape.notes)
    yield from recording.tape.notes
    if recording.forward > MOST_OPS:
        yield Note(NoteKind.LONG, detail=f"{recording.forward} ops forward")
    places = [op.place for op in recording.operations if op.place.file]
    if unread := next((place for place in places if not place.source), None):
        yield Note(NoteKind.NO_SOURCE, place=unread)
    if bare := next((place for place in places if place.source and place.column < 0), None):
        yield Note(NoteKind.NO_COLUMNS, place=bare)


def _quantities(run: ExactRun) -> tuple[list[Quantity], list[tuple[int, Exact]]]:
    """Each loss and slope, and by position its element and the truth that its rounding is judged by."""
    recording, quantities, truths = run.recording, [], []
    names = [("loss", recording.loss), ("grad", recording.gradient)]
    for name, position, element in ((name, *pair) for name, elements in names for pair in enumerate(elements)):
        value, dtype = recording.tape.elements.computed[element], recording.tape.elements.formats[element]
        assert dtype is not None
        written = run.exact(element)
        exact = run.exact(element, run.slopes[element]) if name == "grad" else written
        truth = _truth(exact, written, dtype)
        ulp = ulp_error(value, truth, dtype)
        outcome = classify(value, truth, ulp, dtype, LIMIT)
        quantities.append(Quantity(name, position, value, exact, written, truth, ulp, outcome, dtype.name))
        truths.append((element, truth))
    return quantities, truths


def _truth(exact: Exact, written: Exact, dtype: Any) -> Exact:
    """A backward pass that is finite and not the derivative deviates, and its rounding is judged by what it says."""
    if written.kind is not Kind.FINITE or exact.kind is Kind.UNDECIDED:
        return exact
    return written if element_error(written.rounded, exact, dtype) > LIMIT else exact


def _other_backward(run: ExactRun) -> Iterator[int]:
    """The slopes whose backward pass, run exactly, is finite and not the derivative."""
    for element, slope in run.slopes.items():
        exact, written = run.exact(element, slope), run.exact(element)
        dtype: Any = run.recording.tape.elements.formats[element]
        if exact.kind is not Kind.UNDECIDED and written.kind is Kind.FINITE and element_error(written.rounded, exact, dtype) > LIMIT:
            yield element


def _deviating_op(run: ExactRun, element: int) -> int | None:
    """The backward op of another rule than the chain rule, where it can be named."""
    backward = [op for op in needed_for(run.recording, [element]) if op.backward]
    guarded = [op.index for op in backward if op.name == "binary_cross_entropy_backward"]
    own = [op.index for op in backward if op.place.function == "backward"]
    return (guarded or own or [None])[0]  # type: ignore[list-item]
