"""Guards that are active: code that does what it says, which need not be the definition of the loss."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from losscheck.oracle.extended import UndecidedError
from losscheck.tracing.naming import CLAMPS, GUARD, constants_of
from losscheck.tracing.ops.losses import BCE_FLOOR
from losscheck.tracing.replay import ExactRun
from losscheck.tracing.report import Deviation, DeviationKind
from losscheck.tracing.tape import Operation

__all__ = ["deviations_of"]


def deviations_of(run: ExactRun) -> Iterator[Deviation]:
    """Every forward op whose guard, floor or eps changes the exact value by more than it would have to."""
    for op in run.recording.operations[: run.recording.forward]:
        if op.plan is not None and (kind := _active(run, op)) is not None:
            yield Deviation(kind, op.index)


def _active(run: ExactRun, op: Operation) -> DeviationKind | None:
    constants = [run.m.number(value) for value in constants_of(run, op)]
    if op.name in CLAMPS and any(_replaced(run, op, bound) for bound in constants if bound != 0):
        return DeviationKind.CLAMP
    if op.name in ("add", "sub", "rsub") and any(0 < abs(value) <= GUARD and _hides(run, op, value) for value in constants):
        return DeviationKind.EPSILON
    if op.name == "binary_cross_entropy" and _floored(run, op):
        return DeviationKind.FLOOR
    if op.name == "nan_to_num" and any(isinstance(run.values[element], float) for element in op.taken):
        return DeviationKind.HIDDEN_NAN
    return None


def _others(run: ExactRun, op: Operation) -> list[Any]:
    constants = run.recording.tape.elements.constants
    return [run.values[element] for element in op.taken if element not in constants]


def _replaced(run: ExactRun, op: Operation, bound: Any) -> bool:
    """Is the bound what came out, of something else that went in?"""
    values = run.values
    return any(
        _equal(run, values[element], bound) and not any(_equal(run, other, bound) for other in _others(run, op)) for element in op.made
    )


def _hides(run: ExactRun, op: Operation, constant: Any) -> bool:
    """Is what the constant is added to smaller than it?"""
    others = [value for value in _others(run, op) if not isinstance(value, float | bool)]
    return any(bool(abs(value) < abs(constant)) and not bool(value == 0) for value in others)


def _floored(run: ExactRun, op: Operation) -> bool:
    """Does a probability lie below e^-100 or above 1 - e^-100?"""
    m, values = run.m, run.values
    least = m.exp(m.number(BCE_FLOOR))
    sides = [(values[taken[0]], m.sub(m.number(1), values[taken[0]])) for _, taken in op.plan.calls]  # type: ignore[union-attr]
    try:
        return any(m.less(side, least) for both in sides for side in both)
    except UndecidedError:
        return False


def _equal(run: ExactRun, a: Any, b: Any) -> bool:
    try:
        return bool(run.m.equal(a, b))
    except UndecidedError:
        return False
