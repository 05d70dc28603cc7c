"""The ops of a tape beside exact arithmetic, as plain rows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from losscheck.core.exact import Exact, Kind
from losscheck.tracing.errors import local_error, own_error, total_error
from losscheck.tracing.notes import Note, NoteKind
from losscheck.tracing.replay import ExactRun
from losscheck.tracing.report import Event, Op
from losscheck.tracing.tape import Operation, OpKind

__all__ = ["LOGIT", "TARGET", "flipped", "op_rows"]

# In place of an op: what the program was given.
LOGIT, TARGET = -1, -2

# Elements of one op whose own and local errors are looked at: those of a large reduction cost as much as the whole run.
MOST_INPUTS = 100_000
SCALED = ("add", "sub", "rsub")


def op_rows(run: ExactRun) -> Iterator[Op]:
    """One row an op."""
    recording = run.recording
    leaves = {**dict.fromkeys(recording.targets, TARGET), **dict.fromkeys(recording.logits, LOGIT)}
    return (_row(run, op, leaves) for op in recording.operations)


def _row(run: ExactRun, op: Operation, leaves: dict[int, int]) -> Op:
    recorded = run.recording.tape.elements
    made = op.made if op.kind != OpKind.LEAVES else op.made[:1]
    totals = {element: total_error(run, element) for element in made}
    element = max(totals, key=lambda key: (_size(totals[key]), -key), default=None)
    own, local = ({}, {}) if op.plan is None or len(op.taken) > MOST_INPUTS else (own_error(run, op), local_error(run, op))
    computed = recorded.computed
    inputs = next((taken for made_here, taken in op.plan.calls if element in made_here), ()) if op.plan else ()
    inputs = inputs[:2] if op.name in SCALED else inputs  # the third is alpha, mostly the 1 that nobody wrote
    value = math.nan if element is None else float(computed[element])
    return Op(
        index=op.index,
        name=op.name,
        place=op.place,
        backward=op.backward,
        forward=op.forward,
        kind=op.kind,
        dtype=op.format.name if op.format else "",
        elements=len(made),
        element=0 if element is None else made.index(element),
        inputs=tuple(float(computed[taken]) for taken in inputs),
        value=value,
        exact=Exact(Kind.UNDECIDED, math.nan) if element is None else run.exact(element),
        total=totals.get(element, 0.0),  # type: ignore[arg-type]
        own=max(own.values(), key=_size, default=0.0),
        local=max(local.values(), key=_size, default=0.0),
        event=None if element is None else _event(run, op, element),
        takes=_takes(run, op, leaves),
    )


def _takes(run: ExactRun, op: Operation, leaves: dict[int, int]) -> tuple[int, ...]:
    """What made the elements that an op takes; constants were made by nothing."""
    producer = run.recording.tape.elements.producer
    taken = {producer[element] if producer[element] >= 0 else leaves.get(element) for element in op.taken}
    return tuple(sorted(index for index in taken if index is not None))


def _size(error: float) -> float:
    return -1.0 if math.isnan(error) else error


def _event(run: ExactRun, op: Operation, element: int) -> Event | None:
    """What happened to one element, if anything did."""
    recorded = run.recording.tape.elements
    value, dtype = recorded.computed[element], recorded.formats[element]
    if dtype is None:
        return Event.FLIPPED if isinstance(value, bool) and _flips(value, run.values[element]) else None
    exact = run.exact(element)
    if exact.kind is not Kind.FINITE:
        return None
    if math.isnan(value):
        return Event.NAN
    if math.isinf(value):
        fits = not math.isinf(exact.rounded)
        return (
            Event.INF
            if fits and (_at_pole(recorded, op, element) or not all(map(math.isfinite, _floats(recorded, op))))
            else Event.OVERFLOW
        )
    if value == 0 and exact.middle[0]:
        return Event.UNDERFLOW if exact.rounded == 0 else Event.LOST
    return Event.SATURATED if abs(value) == 1 and run.values[element] != value else None


# Where a function of its first operand is infinite, and a quotient in its second: no number of any size would come out.
POLES = {"log": 0.0, "log2": 0.0, "log10": 0.0, "log1p": -1.0, "reciprocal": 0.0, "rsqrt": 0.0, "pow": 0.0, "div": 0.0}


def _at_pole(recorded: Any, op: Operation, element: int) -> bool:
    taken = next((taken for made, taken in op.plan.calls if element in made), ()) if op.plan is not None else ()
    place = 1 if op.name == "div" else 0
    return op.name in POLES and len(taken) > place and bool(recorded.computed[taken[place]] == POLES[op.name])


def _floats(recorded: Any, op: Operation) -> list[float]:
    return [float(recorded.computed[element]) for element in op.taken]


def _flips(computed: bool, exact: Any) -> bool:
    return isinstance(exact, bool) and exact != computed


def flipped(run: ExactRun) -> Iterator[Note]:
    """Branches and choices that exact arithmetic takes otherwise."""
    computed = run.recording.tape.elements.computed
    for op in run.recording.operations:
        if any(isinstance(computed[element], bool) and _flips(computed[element], run.values[element]) for element in op.made):
            yield Note(NoteKind.FLIPPED_BRANCH if op.kind == OpKind.LEAVES else NoteKind.FLIPPED_CHOICE, op.index, op.place, op.name)
