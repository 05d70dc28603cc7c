"""A proved pair in the field's words, and which of its two ops to blame."""

from __future__ import annotations

import math
from typing import Any

from losscheck.core.exact import Kind
from losscheck.tracing.cause import Pair, joins
from losscheck.tracing.errors import own_error
from losscheck.tracing.replay import ExactRun
from losscheck.tracing.report import CauseKind
from losscheck.tracing.tape import Operation

__all__ = ["CLAMPS", "constants_of", "named"]

INNER = 64.0  # own |ulp| above which the op itself is wrong
CLAMPS = frozenset({"clamp", "clamp_min", "clamp_max", "clip", "hardtanh", "maximum", "minimum"})
COMPARISONS = frozenset({"lt", "le", "gt", "ge", "eq", "ne"})
LOGARITHMS = frozenset({"log", "log2", "log10", "log1p", "xlogy", "special_xlog1py", "special_entr", "logit"})
DIFFERENCES = frozenset({"add", "sub", "rsub", "sum", "mean", "lerp"})
# Slopes by what came out, which take it from 1 in the kernel.
COMPLEMENTS = frozenset({"sigmoid_backward", "tanh_backward"})
# What makes small numbers of numbers that are not: where they underflow the op is to blame, not the one that needed the result.
SHRINKS = frozenset({"mul", "prod", "pow", "exp", "square", "cumprod", "special_entr"})
SUMS = frozenset({"sum", "mean", "cumsum", "dot", "mm", "bmm", "mv", "addmm", "linalg_vector_norm", "norm"})


def named(run: ExactRun, pair: Pair) -> tuple[CauseKind, Operation]:
    """What happened, and the op to blame: the needed one, but the lost one for overflow, underflow, guards and inner errors."""
    lost, needed = pair.lost, pair.needed
    kind = _own_fault(run, pair)
    if kind is not None:
        return kind, lost
    if needed is None:
        return CauseKind.ACCUMULATED, lost
    # Where more than one later op needs what was lost, what they have in common is where it was lost.
    return _at(run, pair, needed), lost if joins(run, pair) else needed


def _own_fault(run: ExactRun, pair: Pair) -> CauseKind | None:
    """Where the lost op is to blame whatever needed it."""
    lost = pair.lost
    recorded = run.recording.tape.elements
    if _guard_rounded_away(run, pair):
        return CauseKind.GUARD_ROUNDED_AWAY
    for element in pair.made:
        if recorded.formats[element] is None:
            continue
        exact, computed = run.exact(element), recorded.computed[element]
        if exact.kind is not Kind.FINITE:
            continue
        if math.isinf(exact.rounded) or (math.isinf(computed) and _all_finite(run, lost)):
            half = lost.name in SUMS and recorded.formats[element].bits == 16  # type: ignore[union-attr]
            return CauseKind.HALF_SUM_OVERFLOW if half else CauseKind.OVERFLOW
        if _underflows(run, element) and (lost.name in SHRINKS or pair.needed is None):
            return CauseKind.UNDERFLOW
        if computed == 0 and 0 < abs(exact.rounded) < recorded.formats[element].smallest_normal:  # type: ignore[union-attr]
            # A subnormal that the kernel does not reach, such as sigmoid's, by way of an exponential that is infinite.
            return CauseKind.UNDERFLOW
    if max((error for error in _own_errors(run, pair) if error == error), default=0.0) > INNER:
        return CauseKind.INNER_CANCELLATION
    return None


def _underflows(run: ExactRun, element: int) -> bool:
    """Is a number too small for its format, and 0 there?"""
    exact = run.exact(element)
    return exact.kind is Kind.FINITE and exact.rounded == 0 and exact.middle[0] != 0 and run.recording.tape.elements.computed[element] == 0


def _is_subnormal(run: ExactRun, element: int) -> bool:
    """Did a number come out so small that the format has few digits of it?"""
    dtype, value = run.recording.tape.elements.formats[element], run.recording.tape.elements.computed[element]
    return dtype is not None and 0 < abs(value) < dtype.smallest_normal


def _own_errors(run: ExactRun, pair: Pair) -> list[float]:
    errors = own_error(run, pair.lost)
    return [errors[element] for element in pair.made if element in errors]


def _all_finite(run: ExactRun, op: Operation) -> bool:
    computed = run.recording.tape.elements.computed
    return all(math.isfinite(computed[element]) for element in op.taken)


def _at(run: ExactRun, pair: Pair, needed: Operation) -> CauseKind:
    """By the op that needed it, and what it was given."""
    computed = run.recording.tape.elements.computed
    saturated = any(computed[element] in (1.0, -1.0) and run.values[element] != computed[element] for element in pair.made)
    if needed.name in LOGARITHMS:
        argument = 1.0 if needed.name in ("log1p", "special_xlog1py") else 0.0
        zero = any(computed[element] == -argument for element in pair.taken)
        tiny = any(_is_subnormal(run, element) for element in pair.made)
        return CauseKind.LOG_OF_ZERO if zero else CauseKind.UNDERFLOW if tiny else CauseKind.LOG_NEAR_ONE
    values = [computed[element] for element in pair.taken]
    infinite, zero = any(map(_is_infinite, values)), any(value == 0 for value in values)
    if needed.name in DIFFERENCES:
        both = sum(map(_is_infinite, values)) > 1
        return CauseKind.INFINITY_MINUS_INFINITY if both else CauseKind.SATURATION if saturated else CauseKind.CANCELLATION
    if needed.name == "pow" and zero:
        return CauseKind.POWER_AT_ZERO
    if needed.name in ("div", "reciprocal") and zero:
        return CauseKind.DIVISION_BY_ZERO
    if needed.name == "mul" and infinite:
        return CauseKind.ZERO_TIMES_INFINITY
    if saturated:
        return CauseKind.SATURATION
    if any(_underflows(run, element) for element in pair.made):
        return CauseKind.UNDERFLOW
    subtracts = needed.name.startswith("binary_cross_entropy") or needed.name in COMPLEMENTS
    return CauseKind.CANCELLATION if subtracts else CauseKind.SENSITIVITY


def _is_infinite(value: Any) -> bool:
    return isinstance(value, float) and math.isinf(value)


def constants_of(run: ExactRun, op: Operation) -> list[float]:
    """The numbers of the user's that an op was given."""
    constants = run.recording.tape.elements.constants
    return [run.recording.tape.elements.computed[element] for element in sorted(op.taken) if constants.get(element) == op.index]


def _guard_rounded_away(run: ExactRun, pair: Pair) -> bool:
    """A bound or an added constant that the format cannot hold beside what it guards."""
    op, recorded = pair.lost, run.recording.tape.elements
    if op.name in COMPARISONS and op.forward is not None:
        # The backward pass of a clamp asks the same question of the same constant.
        return run.recording.operations[op.forward].name in CLAMPS and any(
            _held(run, op, value) != value for value in constants_of(run, op)
        )
    if op.format is None or op.name not in CLAMPS | {"add", "sub", "rsub"}:
        return False
    constants = [value for value in constants_of(run, op) if value not in (0, 1)]
    if op.name in CLAMPS:
        held = {op.format.round(float(value)) for value in constants if op.format.round(float(value)) != value}
        return any(recorded.computed[element] in held & {0.0, 1.0, -1.0} for element in pair.made)
    others = {abs(recorded.computed[element]) for element in op.taken if element not in recorded.constants}
    return any(abs(value) <= GUARD for value in constants) and any(abs(recorded.computed[element]) in others for element in pair.made)


def _held(run: ExactRun, op: Operation, value: float) -> float:
    """A constant in the format that the op compares in."""
    formats = run.recording.tape.elements.formats
    dtype = next((formats[element] for element in op.taken if formats[element] is not None), None)
    return value if dtype is None else dtype.round(float(value))


GUARD = 1e-3  # constants up to here are taken for guards: 1e-4, 1e-7, eps
