"""A trace as plain, frozen data: ops beside exact arithmetic, causes, deviations, notes. Sentences are made of it elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from losscheck.core.exact import Exact
from losscheck.core.outcome import Outcome
from losscheck.tracing.notes import Note
from losscheck.tracing.places import NOWHERE, Place

__all__ = ["Cause", "CauseKind", "Deviation", "DeviationKind", "Event", "Op", "Quantity", "Trace"]


class CauseKind(Enum):
    """What went wrong, in the field's words."""

    SATURATION = "saturation: the value rounded to its limit, and the distance from it was needed"
    CANCELLATION = "cancellation: a difference of nearly equal numbers"
    LOG_OF_ZERO = "log of 0"
    LOG_NEAR_ONE = "log of a number near 1, whose distance from 1 was rounded away"
    OVERFLOW = "overflow"
    UNDERFLOW = "underflow"
    ZERO_TIMES_INFINITY = "0 * inf"
    INFINITY_MINUS_INFINITY = "inf - inf"
    DIVISION_BY_ZERO = "division by 0"
    POWER_AT_ZERO = "power at 0 with an exponent below 1"
    MASKED_GRADIENT = "masked gradient: the branch that `where` (or a mask of 0) leaves out has no finite slope"
    GUARD_ROUNDED_AWAY = "a guard constant that rounds away in this dtype"
    HALF_SUM_OVERFLOW = "a 16-bit sum that overflows"
    INNER_CANCELLATION = "cancellation inside one op"
    SENSITIVITY = "an op that magnifies the rounding of what it takes"
    ACCUMULATED = "rounding of several ops: no single one, done right, would mend it"
    UNDEFINED = "undefined or infinite in exact arithmetic too"
    LOGITS_AS_PROBABILITIES = "logits are taken for probabilities: it has a value between 0 and 1 and none beyond"
    UNDECIDED = "undecided: no precision tells the exact value"

    @property
    def loses_digits(self) -> bool:
        """Is a number still a number after it?"""
        return self in (
            CauseKind.CANCELLATION,
            CauseKind.INNER_CANCELLATION,
            CauseKind.LOG_NEAR_ONE,
            CauseKind.UNDERFLOW,
            CauseKind.SENSITIVITY,
            CauseKind.ACCUMULATED,
        )


class DeviationKind(Enum):
    """Code that does what it says, which need not be the definition of the loss."""

    CLAMP = "a clamp is active: the value is replaced, and its gradient is 0"
    FLOOR = "BCELoss floors its logarithms at -100"
    EPSILON = "an added constant is larger than what it is added to: it hides a tail"
    HIDDEN_NAN = "nan_to_num replaces a NaN or an infinity"
    DOUBLE_SIGMOID = "a sigmoid of a sigmoid: with the first left out it is binary cross entropy"
    BACKWARD = "the backward pass is not the derivative of the forward pass"


class Event(Enum):
    """What happened to the worst element of an op."""

    NAN = "nan"
    INF = "inf"
    OVERFLOW = "overflow"
    UNDERFLOW = "underflow"
    SATURATED = "saturated"
    LOST = "lost"
    FLIPPED = "flipped"


@dataclass(frozen=True)
class Op:
    """One op beside exact arithmetic; of several elements the one with the largest total error.

    Attributes:
        index, name, place: as on the tape; of a backward op the place of the forward sub-expression it differentiates.
        backward, forward: it ran in the backward pass; the index of the op that it differentiates.
        kind: exact, move, constant, taken, random or leaves (``losscheck.tracing.tape.OpKind``).
        dtype: the name of its format, "" when its results are no floats.
        elements, element: how many it made, and which of them is shown.
        inputs, value, exact: what that element was computed from, what came out, what is right.
        total, own, local: |ulp| against exact arithmetic from the start; of the op on its computed inputs; of the correctly rounded op
            on correctly rounded exact inputs (Herbie's local error). NaN where undecided.
        event: the word for it, None when nothing happened.
        takes: the ops whose results it takes, and of ``losscheck.tracing.rows`` LOGIT and TARGET.
    """

    index: int
    name: str
    place: Place
    backward: bool
    forward: int | None
    kind: str
    dtype: str
    elements: int
    element: int
    inputs: tuple[float, ...]
    value: float
    exact: Exact
    total: float
    own: float
    local: float
    event: Event | None
    takes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Quantity:
    """One loss, or the slope by one logit.

    Attributes:
        name, index: "loss" or "grad", and which element.
        exact: its truth; of a gradient the derivative of the exact forward pass.
        as_written: of a gradient, the backward ops run exactly; else the same as ``exact``.
        judged_by: the one of the two that its rounding is judged by: a backward pass that is finite and not the derivative deviates.
        ulp, outcome: of the value against that.
    """

    name: str
    index: int
    value: float
    exact: Exact
    as_written: Exact
    judged_by: Exact
    ulp: float
    outcome: Outcome
    dtype: str


@dataclass(frozen=True)
class Cause:
    """Why quantities fail: what was lost at one op was needed at another.

    Attributes:
        kind: in the field's words.
        lost: the first op after whose rounding even exact arithmetic cannot recover the result; None when nothing is lost by rounding.
        needed: the first op at or after it that, rounded correctly and all later ops exact, would have given the right result; None
            when there is no such op.
        blamed: the one of them to look at first.
        quantities: the (name, index) that fail by it.
        infinite, undefined: the first ops after it where inf and NaN came out of finite exact values.
        place: of what raised, where no op was made that could be blamed.
    """

    kind: CauseKind
    lost: int | None
    needed: int | None
    blamed: int | None
    quantities: tuple[tuple[str, int], ...]
    infinite: int | None = None
    undefined: int | None = None
    place: Place = NOWHERE


@dataclass(frozen=True)
class Deviation:
    """An op whose guard or floor is active here."""

    kind: DeviationKind
    op: int | None


@dataclass(frozen=True)
class Trace:
    """One call of a callable, judged.

    Attributes:
        dtype: of the logits.  logits, targets: as called, flat.
        ops: in the order they ran, forward and backward; ``forward_ops`` of them forward.
        quantities: the losses returned, then the slopes by each logit.
        causes: of what fails, in the order found; empty when all is well.
        deviations, notes: guards that are active; what was not followed.
        examined: how many failing quantities were taken apart; of many alike only the worst are.
        bits: the working precision that decided.
    """

    dtype: str
    logits: tuple[float, ...]
    targets: tuple[float, ...]
    ops: tuple[Op, ...]
    forward_ops: int
    quantities: tuple[Quantity, ...]
    causes: tuple[Cause, ...]
    deviations: tuple[Deviation, ...]
    notes: tuple[Note, ...]
    examined: int
    bits: int

    @property
    def failing(self) -> tuple[Quantity, ...]:
        """The quantities that came out wrong."""
        return tuple(quantity for quantity in self.quantities if quantity.outcome.failed)

    def op(self, index: int | None) -> Op | None:
        """The op of that index, None for None."""
        return None if index is None else self.ops[index]
