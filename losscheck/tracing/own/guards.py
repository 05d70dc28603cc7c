"""Which ops of a program are guards: a clamp, an eps, a floor, without each of which the program would compute something else."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from losscheck.tracing.naming import CLAMPS, GUARD
from losscheck.tracing.own.expressions import ZERO, number
from losscheck.tracing.own.reading import Program, tree_without
from losscheck.tracing.own.sampling import sample_sign, sample_value
from losscheck.tracing.own.symbols import NoExpressionError
from losscheck.tracing.own.trees import Choice, Tree
from losscheck.tracing.replay import needed_for
from losscheck.tracing.report import DeviationKind
from losscheck.tracing.tape import Operation

__all__ = ["GuardOp", "ceiling", "flat_beyond", "guards_of", "without"]

FARTHEST = 120.0  # a logit that people meet
HALVINGS = 40


@dataclass(frozen=True)
class GuardOp:
    """An op that is one, and what it is; that the loss would be another without it has been tried."""

    kind: DeviationKind
    op: Operation
    constants: tuple[float, ...]


def guards_of(program: Program, target: float) -> Iterator[GuardOp]:
    """The guards of a program at a target, in the order of the program."""
    recording = program.recording
    for op in needed_for(recording, recording.loss):
        if op.plan is None:
            continue
        elements = recording.tape.elements
        constants = tuple(float(elements.computed[element]) for element in sorted(op.taken) if element in elements.constants)
        if (kind := _kind(op, constants)) is None:
            continue
        if kind is DeviationKind.EPSILON:
            constants = tuple(value for value in constants if 0 < abs(value) <= GUARD)
        try:
            if without(program, [op.index], target) is not program.loss:
                yield GuardOp(kind, op, constants)
        except NoExpressionError:
            continue


def without(program: Program, ops: Collection[int], target: float) -> Tree:
    """The loss of a program with some ops left out.

    Raises:
        NoExpressionError: when there is no one thing that an op could hand on.
    """
    return tree_without(program.recording, number(Fraction(target)), ops)


def flat_beyond(program: Program, target: float) -> tuple[float | None, float | None]:
    """The logits below and above which the gradient is exactly 0, as far as people go; None where it is not."""

    def flat(logit: float) -> bool:
        tree = program.gradient
        while isinstance(tree, Choice):
            sign = sample_sign(tree.about, logit, target)
            tree = tree.above if sign > 0 else tree.below if sign < 0 else tree.at
        return tree is ZERO

    ends: list[float | None] = []
    for side in (-1.0, 1.0):
        inside, outside = 0.0, side * FARTHEST
        if not flat(outside) or flat(inside):
            ends.append(None)
            continue
        for _ in range(HALVINGS):
            middle = (inside + outside) / 2
            inside, outside = (inside, middle) if flat(middle) else (middle, outside)
        ends.append(outside)
    return ends[0], ends[1]


def ceiling(program: Program, target: float) -> float | None:
    """The largest loss, where it is reached at both ends or at one and stays; None where the loss grows."""
    ends = []
    for side in (-1.0, 1.0):
        near, far = (sample_value(program.loss, side * logit, target) for logit in (FARTHEST / 2, FARTHEST))
        if not abs(far - near) <= 1e-9 * abs(far):
            return None
        ends.append(far)
    return max(ends)


def _kind(op: Operation, constants: Sequence[float]) -> DeviationKind | None:
    if op.name in CLAMPS and any(bound != 0 for bound in constants):
        return DeviationKind.CLAMP
    if op.name in ("add", "sub", "rsub") and any(0 < abs(value) <= GUARD for value in constants):
        return DeviationKind.EPSILON
    if op.name == "binary_cross_entropy":
        return DeviationKind.FLOOR
    return None
