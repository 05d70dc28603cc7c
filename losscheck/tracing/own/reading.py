"""A callable recorded at several logits, and its program, if it is one and the same, as expressions of loss and gradient."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from typing import Any

from losscheck.core.dtypes import FLOAT32, Format
from losscheck.core.errors import UserError
from losscheck.tracing.memory import LEAF
from losscheck.tracing.notes import NoteKind
from losscheck.tracing.own.choices import tree_of
from losscheck.tracing.own.evaluating import check_constants
from losscheck.tracing.own.expressions import Sum, X, Z, number
from losscheck.tracing.own.symbols import NoExpressionError, Symbols
from losscheck.tracing.own.trees import Tree
from losscheck.tracing.places import NOWHERE, Place
from losscheck.tracing.recording import Recording, record
from losscheck.tracing.replay import needed_for
from losscheck.tracing.tape import Operation, OpKind

__all__ = ["Hindrance", "NoProgramError", "Program", "read", "tree_without"]

# Logits at which a program that branches in Python takes its branches: of both signs, ordinary and saturated ones.
LOGITS = (0.40625, -0.6875, 8.25, -60.5, 60.25)
# PyTorch keeps a number beside 16-bit tensors in float32 in these ops, and in the tensor's dtype in all others.
WIDE = frozenset({"mul", "div", "lerp", "softplus", "softplus_backward", "leaky_relu", "leaky_relu_backward", "addcmul", "addcdiv"})


class Hindrance(Enum):
    """Why a program is no formula."""

    RAISED = "it raises"
    NO_ELEMENT = "it returns no loss of one element"
    NO_GRADIENT = "no gradient comes back"
    UNKNOWN_OP = "an op has no exact definition"
    NO_EXPRESSION = "what it computes has no expression"
    RANDOM = "it draws random numbers"
    LEFT_TRACE = "a value leaves the program and comes back as a number"
    BRANCHES = "it takes another branch at other logits"
    CHANGES = "its program is another one at other logits"
    NOT_CONFIRMED = "its values are not those of its program"


class NoProgramError(ArithmeticError):
    """A callable has no formula of its own: why, in which op or word, and where."""

    def __init__(self, hindrance: Hindrance, detail: str = "", place: Place = NOWHERE) -> None:
        super().__init__(f"{hindrance.value}: {detail}" if detail else hindrance.value)
        self.hindrance, self.detail, self.place = hindrance, detail, place


@dataclass(frozen=True)
class Program:
    """What a callable computes at a target, as trees: its loss, and the slope that its backward pass computes; one recording of it.

    ``no_gradient`` says why there is no slope: none came back, or it has no exact expression.
    """

    loss: Tree
    gradient: Tree
    recording: Recording
    no_gradient: NoProgramError | None = None

    def at(self, target: float) -> Program:
        """The same program, which was read for any target, at one."""
        return _program(self.recording, number(Fraction(target)))


def read(function: Callable[[Any, Any], Any], dtype: Format, targets: Sequence[float], *, symbolic: bool = False) -> Program:
    """The program of ``function(logits, targets)`` on tensors of one element, recorded at each target and several logits.

    Args:
        targets: at which it is recorded; with ``symbolic`` the program is one for all of them, in terms of the target.

    Raises:
        NoProgramError: when it is not the same program everywhere, or none that has an exact expression.
    """
    first: Program | None = None
    seen: list[Any] = []
    for target in targets:
        of_target = Z if symbolic else number(Fraction(target))
        for logit in LOGITS:
            recording = _recorded(function, dtype.round(logit), target, dtype)
            if (steps := _steps(recording)) in seen:
                continue
            seen.append(steps)
            program = _program(recording, of_target)
            first = first or program
            if (program.loss, program.gradient) != (first.loss, first.gradient):
                raise _changed(recording)
    assert first is not None
    return first


def _steps(recording: Recording) -> list[Any]:
    """What decides the expressions of a recording: its ops, which elements they take and make, and the numbers among those."""
    elements, given = recording.tape.elements, {*recording.logits, *recording.targets}
    steps: list[Any] = [recording.loss, recording.gradient]
    for op in needed_for(recording, [*recording.loss, *recording.gradient]):
        calls = op.plan.calls if op.plan is not None else ()
        planned = op.kind in (OpKind.EXACT, OpKind.MOVE, OpKind.VIEW)
        steps.append((op.name, repr(op.args), repr(op.kwargs), calls, () if planned else [elements.computed[made] for made in op.made]))
        steps.append(
            [elements.computed[element] for element in sorted(op.taken) if elements.producer[element] == LEAF and element not in given]
        )
    return steps


def _recorded(function: Callable[[Any, Any], Any], logit: float, target: float, dtype: Format) -> Recording:
    import torch

    kind = getattr(torch, dtype.name)
    try:
        recording = record(function, torch.tensor([logit], dtype=kind), torch.tensor([target], dtype=kind))
    except UserError as error:
        raise NoProgramError(Hindrance.RAISED, error.problem) from error
    if recording.error is not None and not recording.loss:
        last = recording.operations[-1].place if recording.operations else NOWHERE
        raise NoProgramError(Hindrance.RAISED, f"{type(recording.error).__name__}: {recording.error}", last)
    if len(recording.loss) != 1:
        raise NoProgramError(Hindrance.NO_ELEMENT)
    return recording


def _changed(recording: Recording) -> NoProgramError:
    """Why it may be another program at other logits: by what was noticed on the way."""
    kinds = {
        NoteKind.RANDOM: Hindrance.RANDOM,
        NoteKind.LEFT_TRACE: Hindrance.LEFT_TRACE,
        NoteKind.BRANCH: Hindrance.BRANCHES,
    }
    for kind, hindrance in kinds.items():
        for note in recording.notes:
            if note.kind is kind:
                return NoProgramError(hindrance, note.detail, note.place)
    return NoProgramError(Hindrance.CHANGES)


def _program(recording: Recording, target: Sum) -> Program:
    loss = _tree(recording, target, recording.loss[0])
    try:
        if len(recording.gradient) != 1:
            raise NoProgramError(Hindrance.NO_GRADIENT)
        return Program(loss, _tree(recording, target, recording.gradient[0]), recording)
    except NoProgramError as error:
        return Program(loss, None, recording, error)


def tree_without(recording: Recording, target: Sum, left_out: Collection[int]) -> Tree:
    """The loss of a recording, some ops of which hand on what they take.

    Raises:
        NoExpressionError: when there is no one thing that an op could hand on.
    """
    wanted = recording.loss[0]
    return tree_of(_Run(recording, needed_for(recording, [wanted]), target, wanted, left_out))


def _tree(recording: Recording, target: Sum, wanted: int) -> Tree:
    needed = needed_for(recording, [wanted])
    for op in needed:
        if op.kind == OpKind.TAKEN and op.format is not None:
            raise NoProgramError(Hindrance.UNKNOWN_OP, op.name, op.place)
    run = _Run(recording, needed, target, wanted)
    try:
        tree = tree_of(run)
        check_constants(tree)
    except NoExpressionError as error:
        raise NoProgramError(Hindrance.NO_EXPRESSION, str(error), run.place) from error
    return tree


class _Run:
    """A recording run in an arithmetic, as far as one element needs it."""

    def __init__(self, recording: Recording, needed: Sequence[Operation], target: Sum, wanted: int, left_out: Collection[int] = ()) -> None:
        self.recording, self.wanted, self.left_out = recording, wanted, left_out
        self.needed = [op for op in needed if op.plan is not None]
        self.given = {recording.logits[0]: X, recording.targets[0]: target}
        self.place = NOWHERE  # of the op at hand

    def __call__(self, m: Symbols) -> Sum | None:
        values: dict[int, Any] = dict(self.given)

        def value(element: int) -> Any:
            if element not in values:
                computed = self.recording.tape.elements.computed[element]
                values[element] = computed if isinstance(computed, bool) else m.number(_held(self.recording, element, float(computed)))
            return values[element]

        for op in self.needed:
            assert op.plan is not None
            self.place = op.place
            for made, taken in op.plan.calls:
                operands = [value(element) for element in taken]
                results = _handed_on(op, m, operands) if op.index in self.left_out else op.plan.function(m, operands)
                values |= dict(zip(made, results, strict=True))
        return m.number(value(self.wanted))  # type: ignore[no-any-return]


def _handed_on(op: Operation, m: Symbols, operands: list[Any]) -> Sequence[Any]:
    """Instead of what an op makes, the one operand that depends on the logit; of BCELoss, the loss without its floors."""
    assert op.plan is not None
    if op.name == "binary_cross_entropy":
        return op.plan.function(_Unbounded(m.signs), operands)
    of_logit = [operand for operand in operands if isinstance(operand, Sum) and operand.has_x]
    if len(of_logit) != 1:
        raise NoExpressionError(op.name)
    return of_logit


class _Unbounded(Symbols):
    """A maximum with a constant is what is bounded by it."""

    def maximum(self, a: Any, b: Any) -> Sum | None:
        return self.number(a)  # type: ignore[no-any-return]


def _held(recording: Recording, element: int, value: float) -> float:
    """A constant as the kernel holds it; anything else as it is."""
    op_index = recording.tape.elements.constants.get(element)
    if op_index is None or not math.isfinite(value):
        return value
    op = recording.operations[op_index]
    dtype = op.format or _format_taken(recording, op)
    if dtype is None:
        return value
    return (FLOAT32 if dtype.bits == 16 and op.name in WIDE else dtype).round(value)


def _format_taken(recording: Recording, op: Operation) -> Format | None:
    formats = recording.tape.elements.formats
    return next((formats[element] for element in sorted(op.taken) if formats[element] is not None), None)
