"""Which ops of a recorded program set it apart from a definition: those that, changed alone, make it the definition.

A change is tried and never guessed: the program runs exactly, at logits and targets that nobody chose it by, with one op (or two) that
hands on what it takes, makes something simpler, or has another constant; what then comes out is the definition at all of them, or the op is
not named.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from losscheck.core.dtypes import FLOAT64
from losscheck.oracle.extended import Extended, UndecidedError
from losscheck.oracle.extended_rounding import exact_of
from losscheck.oracle.reverse import Reverse
from losscheck.tracing.memory import LEAF
from losscheck.tracing.recording import Recording
from losscheck.tracing.replay import needed_for
from losscheck.tracing.tape import Operation, OpKind

__all__ = ["Question", "detaching_op", "differing_ops"]

BITS = 128
CLOSE = 1e-9  # relative: `1 - 0.1` of a program is not the 0.9 of a definition
MOST_OPS = 60
MOST_PAIRS = 400
# How likely a change is to be the one: a parameter of the definition, a part left out, a factor of any size.
CONSTANT, PART, FACTOR = range(3)
# Ops whose numbers stand in the source; those of F.softplus mostly do not.
WITH_NUMBERS = frozenset({"add", "sub", "rsub", "mul", "div", "pow", "where", "lerp"})
# value(logit) of the definition; NaN where it has none.
Right = Callable[[float], float]


@dataclass(frozen=True)
class Question:
    """What of a recording of one element is to be what.

    Attributes:
        target: at which it is run, whatever it was recorded at.  logits: as well.
        right: of the definition.
        gradient: its slope is asked of and not its loss: then only what a backward pass of the user's own does may be otherwise.
        left_out: ops that hand on what they take in any case, such as a guard.
    """

    recording: Recording
    target: float
    logits: Sequence[float]
    right: Right
    gradient: bool = False
    left_out: Collection[int] = ()


@dataclass(frozen=True)
class _Change:
    """One op made otherwise: ``run(m, operands)`` is what it then makes; ``likely`` is one of the three above."""

    op: Operation
    run: Callable[[Any, list[Any]], Sequence[Any]]
    likely: int


def differing_ops(question: Question, constants: Sequence[float], *, parts: bool = True) -> list[tuple[Operation, ...]]:
    """The ops by which a recording of one element is not the definition: each tuple by itself explains all of it, the likeliest first.

    One empty tuple where nothing differs, nothing at all where no op is found.

    Args:
        constants: what a number of the program may have to be: the definition's parameters.
        parts: two parts may have to go together; at few targets that explains too much.
    """
    search = _Search(question)
    if len(search.needed) > MOST_OPS:
        return []
    if search.holds(()):
        return [()]
    changes = sorted(search.changes(constants), key=lambda change: change.likely)
    holding = [change for change in changes if change.likely < FACTOR and search.holds((change,))]
    if not holding:
        factors = [change for change in changes if change.likely == FACTOR and search.holds((change,))]
        # Where several would do, any factor could be another one.
        holding = factors if len(factors) == 1 else []
    if holding:
        return [(op,) for op in dict.fromkeys(change.op for change in holding)]
    telling = [change for change in changes if change.likely <= (PART if parts else CONSTANT)]
    pairs = sorted(itertools.combinations(telling, 2), key=lambda pair: pair[0].likely + pair[1].likely)
    apart = itertools.islice((pair for pair in pairs if pair[0].op is not pair[1].op), MOST_PAIRS)
    return [(a.op, b.op) for a, b in itertools.islice((pair for pair in apart if search.holds(pair)), 1)]


def detaching_op(recording: Recording, target: float, slope: Right, logits: Sequence[float]) -> Operation | None:
    """The op that takes a factor from the gradient, where with its slope the gradient is ``slope``; None where none does."""
    needed = [op for op in needed_for(recording, recording.loss) if op.plan is not None]
    cut = [op for op in needed if op.name == "detach"]
    if not cut or not all(_close(_slope(recording, target, needed, logit), slope(logit)) for logit in logits):
        return None
    written = [op for op in recording.operations[: cut[0].index] if op.name == "detach" and op.func is not None and op.place.file]
    return written[-1] if written else cut[0]


def _slope(recording: Recording, target: float, needed: Sequence[Operation], logit: float) -> float:
    """The derivative by the logit, what was detached included."""
    m = Extended(BITS)
    reverse = Reverse(m)
    variable = reverse.variable(m.number(logit))
    values = _Values(recording, m)
    values |= {recording.logits[0]: variable, recording.targets[0]: m.number(target)}
    try:
        for op in needed:
            assert op.plan is not None
            for made, taken in op.plan.calls:
                operands = [values[element] for element in taken]
                results = operands if op.name == "detach" else op.plan.function(reverse, operands)
                values.update(zip(made, results, strict=True))
        reverse.sweep([(values[recording.loss[0]], m.number(1))])
    except (ArithmeticError, TypeError, ValueError):
        return math.nan
    return math.nan if variable.adjoint is None else _float(variable.adjoint)


class _Values(dict[int, Any]):
    """Elements in an arithmetic, those that no op made as they were computed."""

    def __init__(self, recording: Recording, m: Any, *args: Any) -> None:
        super().__init__(*args)
        self.recording, self.m = recording, m

    def __missing__(self, element: int) -> Any:
        computed = self.recording.tape.elements.computed[element]
        self[element] = value = computed if isinstance(computed, bool) else self.m.number(computed)
        return value


class _Search:
    def __init__(self, question: Question) -> None:
        self.question, self.recording = question, question.recording
        recording = self.recording
        (self.wanted,) = recording.gradient if question.gradient else recording.loss
        self.needed = [op for op in needed_for(recording, [self.wanted]) if op.plan is not None]
        self.right = {logit: value for logit in question.logits if math.isfinite(value := question.right(logit))}
        self.of_logit = self._depending(recording.logits)
        self.of_target = self._depending(recording.targets)

    def _depending(self, elements: Sequence[int]) -> set[int]:
        reached = set(elements)
        for op in self.needed:
            assert op.plan is not None
            for made, taken in op.plan.calls:
                if not reached.isdisjoint(taken):
                    reached.update(made)
        return reached

    def holds(self, changes: Sequence[_Change]) -> bool:
        """Is the program, changed so, the definition at all the logits?"""
        return len(self.right) > 1 and all(_close(self._value(logit, changes), right) for logit, right in self.right.items())

    def _value(self, logit: float, changes: Sequence[_Change]) -> float:
        m = Extended(BITS)
        values = _Values(
            self.recording, m, {self.recording.logits[0]: m.number(logit), self.recording.targets[0]: m.number(self.question.target)}
        )
        otherwise = {change.op.index: change.run for change in changes}
        try:
            for op in self.needed:
                assert op.plan is not None
                run = otherwise.get(op.index) or (self._handing_on(op)[0] if op.index in self.question.left_out else op.plan.function)
                for made, taken in op.plan.calls:
                    values.update(zip(made, run(m, [values[element] for element in taken]), strict=True))
            return _float(values[self.wanted])
        except (ArithmeticError, TypeError, ValueError, IndexError, UndecidedError):
            return math.nan

    # What may be otherwise ----------------------------------------------------------------------------------------

    def changes(self, constants: Sequence[float]) -> Iterator[_Change]:
        """The likelier ones first, by op in the order of the program."""
        for op in self.needed:
            assert op.plan is not None
            if op.index in self.question.left_out or len(op.plan.calls) != 1 or len(op.plan.calls[0][0]) != 1:
                continue
            if self.question.gradient and not (op.backward and op.place.function == "backward"):
                continue
            yield from self._other_constants(op, constants)
            yield from (_Change(op, run, PART) for run in (*self._handing_on(op), *self._simpler(op)))
            yield from self._scaled(op)

    def _numbers(self, op: Operation) -> Iterator[int]:
        """The positions of the operands that are numbers of the program."""
        assert op.plan is not None
        if op.name not in WITH_NUMBERS:
            return
        elements = self.recording.tape.elements
        for position, element in enumerate(op.plan.calls[0][1]):
            fixed = element not in self.of_logit and element not in self.of_target
            number = isinstance(elements.computed[element], int | float) and not isinstance(elements.computed[element], bool)
            made = elements.producer[element]
            written = made == LEAF or self.recording.operations[made].kind == OpKind.CONSTANT
            # The third operand of a + b is a factor that nobody wrote.
            if fixed and number and written and not (op.name in ("add", "sub", "rsub") and position > 1):
                yield position

    def _other_constants(self, op: Operation, constants: Sequence[float]) -> Iterator[_Change]:
        assert op.plan is not None
        for position in self._numbers(op):
            now = float(self.recording.tape.elements.computed[op.plan.calls[0][1][position]])
            # alpha of one class is 1 - alpha of the other, and a sign may have gone into it.
            shares = [1 - value for value in constants if 0 <= value <= 1]
            for value in dict.fromkeys([*constants, *shares, *(-share for share in (*constants, *shares))]):
                if value != now:
                    yield _Change(op, _with(op, position, value), CONSTANT)

    def _handing_on(self, op: Operation) -> list[Callable[[Any, list[Any]], Sequence[Any]]]:
        """An operand that depends on the logit, or if none does on the target, as it is."""
        assert op.plan is not None
        taken = op.plan.calls[0][1]
        kinds = (self.of_logit, self.of_target)
        positions = next((found for kind in kinds if (found := [at for at, element in enumerate(taken) if element in kind])), [])
        return [_operand(position) for position in positions]

    def _simpler(self, op: Operation) -> Iterator[Callable[[Any, list[Any]], Sequence[Any]]]:
        """The logit, the target, and what is left of 1."""
        assert op.plan is not None
        (made,) = op.plan.calls[0][0]
        if made in self.of_logit:
            function = op.plan.function
            yield lambda m, operands: [m.sub(1, m.number(function(m, operands)[0]))]
            yield from self._of_the_logit(op)
        elif made in self.of_target:
            yield lambda m, operands: [m.number(self.question.target)]
            yield lambda m, operands: [m.sub(1, m.number(self.question.target))]

    def _of_the_logit(self, op: Operation) -> Iterator[Callable[[Any, list[Any]], Sequence[Any]]]:
        """Of a product with the target, the other factor with the sign of the class: labels -1 and 1."""
        assert op.plan is not None
        taken = op.plan.calls[0][1]
        at = [position for position, element in enumerate(taken) if element in self.of_logit]
        if op.name == "mul" and len(at) == 1 and any(element in self.of_target for element in taken):
            yield lambda m, operands: [m.neg(operands[at[0]])]

    def _scaled(self, op: Operation) -> Iterator[_Change]:
        """A factor that makes up for the ratio, whatever it is."""
        if op.name not in ("mul", "div") or not self.right:
            return
        assert op.plan is not None
        logit, right = next(iter(self.right.items()))
        now = self._value(logit, ())
        for position in self._numbers(op):
            held = float(self.recording.tape.elements.computed[op.plan.calls[0][1][position]])
            ratio = right / now if now else math.nan
            if math.isfinite(ratio) and held not in (0.0, 1.0):
                yield _Change(op, _with(op, position, held * ratio if op.name == "mul" else held / ratio), FACTOR)


def _with(op: Operation, position: int, value: float) -> Callable[[Any, list[Any]], Sequence[Any]]:
    assert op.plan is not None
    function = op.plan.function
    return lambda m, operands: function(m, [*operands[:position], m.number(value), *operands[position + 1 :]])


def _operand(position: int) -> Callable[[Any, list[Any]], Sequence[Any]]:
    return lambda m, operands: [operands[position]]


def _close(value: float, right: float) -> bool:
    return abs(value - right) <= CLOSE * abs(right)


def _float(value: Any) -> float:
    if isinstance(value, float):
        return value
    rounded = exact_of(value, FLOAT64, BITS).rounded
    return float(rounded)
