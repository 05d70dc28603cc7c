"""The cause of a wrong result, as a pair proved by two counterfactuals.

*Lost at A*: with every op up to A as computed and every later op exact, the result is wrong for the first time. *Needed at B*: with B's
result correctly rounded and every later op exact, it is right again. B is then repaired with PyTorch's kernels running on, and what
is still wrong has a further cause. Where B joins operands that are wrong themselves, each is asked for its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from losscheck.core.exact import Exact, Kind
from losscheck.oracle.extended_rounding import exact_of
from losscheck.tracing.errors import LIMIT, element_error
from losscheck.tracing.plan import Plan
from losscheck.tracing.replay import ExactRun, lifted, needed_for, rerun
from losscheck.tracing.tape import Operation

__all__ = ["Pair", "causes_of", "explains", "joins"]

MOST = 5  # causes one after the other
DEPTH = 3  # joins taken apart inside joins
MANY = 300  # ops of which each is tried


@dataclass(frozen=True)
class Pair:
    """Lost at one op, needed at another; ``needed`` is None where no single op mends it.

    Attributes:
        made, taken: of all that the two ops made and took, the elements that the wrong result depends on.
    """

    lost: Operation
    needed: Operation | None
    made: tuple[int, ...] = field(compare=False)
    taken: tuple[int, ...] = field(compare=False)


@dataclass(frozen=True)
class _Step:
    """The part of an op that a result depends on."""

    op: Operation
    plan: Plan

    @property
    def made(self) -> tuple[int, ...]:
        return tuple(element for made, _ in self.plan.calls for element in made)

    @property
    def taken(self) -> tuple[int, ...]:
        return tuple(dict.fromkeys(element for _, taken in self.plan.calls for element in taken))


def causes_of(run: ExactRun, element: int, truth: Exact, depth: int = DEPTH) -> list[Pair]:
    """The causes of one wrong element, in the order of the program; joins are taken apart."""
    pairs: list[Pair] = []
    for pair in _Search(run, element, truth).pairs():
        parts = _operands(run, pair, depth) if depth else []
        pairs += [part for part in parts or [pair] if part not in pairs]
    return pairs


def explains(run: ExactRun, element: int, truth: Exact, pair: Pair) -> bool:
    """Is a wrong element proved to be lost and needed where another one was?"""
    search = _Search(run, element, truth)
    steps = {step.op.index: step for step in search.steps}
    lost, needed = steps.get(pair.lost.index), steps.get(-1 if pair.needed is None else pair.needed.index)
    if lost is None or needed is None:
        return False
    return search.loses(lost, run.computed) and search.mends(needed, run.computed)


def _operands(run: ExactRun, pair: Pair, depth: int) -> list[Pair]:
    """The causes of the wrong operands of a join, where it is one."""
    if pair.needed is None or not joins(run, pair):
        return []
    elements = run.recording.tape.elements
    pairs: list[Pair] = []
    for element in sorted(pair.taken):
        dtype = elements.formats[element]
        if dtype is None or elements.producer[element] < 0:
            continue
        truth = run.exact(element)
        if element_error(elements.computed[element], truth, dtype) > LIMIT:
            pairs += [part for part in causes_of(run, element, truth, depth - 1) if part not in pairs]
    return pairs


def joins(run: ExactRun, pair: Pair) -> bool:
    """Does what was lost reach one call of the needed op by more than one operand?"""
    lost, needed = pair.lost, pair.needed
    if needed is None or lost is needed or needed.plan is None:
        return False
    reached = set(pair.made)
    for op in run.recording.operations[lost.index + 1 : needed.index]:
        if op.plan is not None:
            for made, taken in op.plan.calls:
                if not reached.isdisjoint(taken):
                    reached.update(made)
    calls = [set(taken) for _, taken in needed.plan.calls if len(taken) <= SMALL_CALL]
    return any(len(reached & taken) > 1 for taken in calls if not taken.isdisjoint(pair.taken))


# A sum of many terms joins them all, and no term is to blame for that.
SMALL_CALL = 4


class _Search:
    """The pairs of one element, joins not yet taken apart."""

    def __init__(self, run: ExactRun, element: int, truth: Exact) -> None:
        self.run = run
        self.element = element
        self.truth = truth
        self.dtype: Any = run.recording.tape.elements.formats[element]
        self.steps = list(_steps(run, element))

    def pairs(self) -> Iterator[Pair]:
        """One after the other, each with the ones before it repaired."""
        base, start = self.run.computed, -1
        repairs: dict[int, Sequence[Any]] = {}
        for _ in range(MOST):
            lost = self._first_loss([step for step in self.steps if step.op.index > start], base)
            if lost is None:
                return
            later = [step for step in self._reached(lost) if step.op.index not in repairs]
            needed = self._first_mending(later, base)
            yield Pair(lost.op, needed.op if needed else None, lost.made, needed.taken if needed else ())
            if needed is None:
                return
            repairs[needed.op.index] = [self.run.rounded(element) for element in needed.op.made]
            computed = rerun(self.run.recording, repairs)
            base = [lifted(self.run.m, value) for value in computed]
            start = needed.op.index
            if element_error(computed[self.element], self.truth, self.dtype) <= LIMIT:
                return

    def _first_loss(self, steps: list[_Step], base: list[Any]) -> _Step | None:
        """The first op that loses; among many it is bisected for, as what is lost mostly stays lost."""
        if len(steps) <= MANY:
            return next((step for step in steps if self.loses(step, base)), None)
        low, high = 0, len(steps) - 1
        if not self._error(steps[high].op.index, base) > LIMIT:
            return None
        while low < high:
            middle = (low + high) // 2
            if self._error(steps[middle].op.index, base) > LIMIT:
                high = middle
            else:
                low = middle + 1
        return steps[low]

    def _first_mending(self, steps: list[_Step], base: list[Any]) -> _Step | None:
        """The first op that mends; among many it is bisected for, as a result that is right mostly stays right, and tried itself."""
        if len(steps) <= MANY:
            return next((step for step in steps if self.mends(step, base)), None)
        low, high = 0, len(steps) - 1
        while low < high:
            middle = (low + high) // 2
            if self.mends(steps[middle], base):
                high = middle
            else:
                low = middle + 1
        return steps[low] if self.mends(steps[low], base) else None

    def _reached(self, lost: _Step) -> Iterator[_Step]:
        """The op and those that depend on it: no other can need what it lost."""
        made = set(lost.made)
        yield lost
        for step in self.steps:
            if step.op.index > lost.op.index and any(not made.isdisjoint(taken) for _, taken in step.plan.calls):
                made.update(step.made)
                yield step

    def loses(self, step: _Step, base: list[Any]) -> bool:
        """Is the result proved wrong when everything after this op is exact?"""
        return not _exactly_done(self.run.m, step, base) and self._error(step.op.index, base) > LIMIT

    def mends(self, step: _Step, base: list[Any]) -> bool:
        """Is the result proved right when this op is correctly rounded and everything after it exact?"""
        values = list(base)
        for element in step.made:
            values[element] = lifted(self.run.m, self.run.rounded(element))
        return self._error(step.op.index, values) <= LIMIT

    def _error(self, last: int, base: list[Any]) -> float:
        """The error of the result with the ops up to ``last`` as they stand in ``base`` and all later ones exact."""
        values = list(base)
        for step in self.steps:
            if step.op.index > last:
                step.plan.evaluate(self.run.m, values)
        result = exact_of(values[self.element], self.dtype, self.run.bits)
        if result.kind is Kind.UNDECIDED:
            return float("nan")
        return element_error(result.rounded, self.truth, self.dtype)


def _steps(run: ExactRun, element: int) -> Iterator[_Step]:
    """The ops that an element depends on, each cut down to the calls that matter, in order."""
    wanted, steps = {element}, []
    for op in reversed(needed_for(run.recording, [element])):
        plan = op.plan.restricted(wanted) if op.plan else None
        if plan is not None:
            steps.append(_Step(op, plan))
            wanted.update(steps[-1].taken)
    return reversed(steps)


def _exactly_done(m: Any, step: _Step, base: list[Any]) -> bool:
    """Did the op, on what it was given, lose nothing at all?"""
    values = {element: base[element] for element in step.taken}
    step.plan.evaluate(m, values)  # type: ignore[arg-type]
    return all(_same(values[element], base[element]) for element in step.made)


def _same(a: Any, b: Any) -> bool:
    return bool(a == b) or (isinstance(a, float) and isinstance(b, float) and a != a and b != b)
