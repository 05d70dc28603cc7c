"""Why each failing quantity fails: its causes, named, and one cause of several quantities told once."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from losscheck.core.exact import Exact, Kind
from losscheck.core.outcome import Outcome
from losscheck.tracing.cause import Pair, causes_of, explains
from losscheck.tracing.naming import named
from losscheck.tracing.replay import ExactRun, needed_for
from losscheck.tracing.report import Cause, CauseKind, Quantity

__all__ = ["causes_found"]

# Failing quantities of a name that are taken apart in any case, the worst first: elements of a batch mostly fail alike.
EXAMINED = 4
# Of the next ones each is asked whether it fails by a cause that is known, and taken apart where it does not.
ASKED = 28


def causes_found(run: ExactRun, quantities: list[Quantity], truths: list[tuple[int, Exact]]) -> tuple[tuple[Cause, ...], int]:
    """The causes of what fails or is undefined, and how many quantities were looked into: of a large batch the worst of each name.

    Args:
        truths: by position of a quantity, its element and the truth that its rounding is judged by.
    """
    found = _Found(run)
    for name in ("loss", "grad"):
        failing = [
            (quantity, *truth)
            for quantity, truth in zip(quantities, truths, strict=True)
            if quantity.name == name and (quantity.outcome.failed or truth[1].kind is not Kind.FINITE)
        ]
        failing.sort(key=lambda row: (row[0].outcome.severity, -abs(row[0].ulp) if row[0].ulp == row[0].ulp else 0.0))
        for count, (quantity, element, truth) in enumerate(failing[: EXAMINED + ASKED]):
            found.look_into(quantity, element, truth, fresh=count < EXAMINED)
    return tuple(found.causes), found.examined


class _Found:
    """The causes so far, and the proved pairs behind them."""

    def __init__(self, run: ExactRun) -> None:
        self.run = run
        self.causes: list[Cause] = []
        self.pairs: dict[int, Pair] = {}
        self.examined = 0

    def look_into(self, quantity: Quantity, element: int, truth: Exact, fresh: bool) -> None:
        """Take one quantity apart; or, unless it is to be looked at afresh, put it to a cause that explains it."""
        self.examined += 1
        which = (quantity.name, quantity.index)
        special = truth.kind is not Kind.FINITE or isinstance(self.run.values[element], float)
        known = None if fresh or special else self._known(element, truth, quantity.name)
        if known is not None:
            cause = self.causes[known]
            self.causes[known] = dataclasses.replace(cause, quantities=tuple(dict.fromkeys([*cause.quantities, which])))
        else:
            numberless = quantity.outcome in (Outcome.NAN, Outcome.INF)
            # What makes no number comes before what loses digits on the way there.
            for cause, pair in sorted(self._causes_of(which, element, truth), key=lambda found: numberless and found[0].kind.loses_digits):
                self._merge(cause, pair)

    def _known(self, element: int, truth: Exact, name: str) -> int | None:
        pairs = ((place, pair) for place, pair in self.pairs.items() if name in dict(self.causes[place].quantities))
        return next((place for place, pair in pairs if explains(self.run, element, truth, pair)), None)

    def _merge(self, cause: Cause, pair: Pair | None) -> None:
        """One cause of several quantities is one cause."""
        for place, other in enumerate(self.causes):
            if (other.kind, other.lost, other.needed, other.blamed) == (cause.kind, cause.lost, cause.needed, cause.blamed):
                self.causes[place] = dataclasses.replace(
                    other,
                    quantities=tuple(dict.fromkeys([*other.quantities, *cause.quantities])),
                    infinite=cause.infinite if other.infinite is None else other.infinite,
                    undefined=cause.undefined if other.undefined is None else other.undefined,
                )
                return
        if pair is not None:
            self.pairs[len(self.causes)] = pair
        self.causes.append(cause)

    def _causes_of(self, which: tuple[str, int], element: int, truth: Exact) -> Iterator[tuple[Cause, Pair | None]]:
        run, quantities = self.run, (which,)
        infinite, undefined = _first_specials(run, element)
        if truth.kind is Kind.UNDECIDED:
            yield Cause(CauseKind.UNDECIDED, None, None, None, quantities), None
        elif truth.kind is not Kind.FINITE:
            yield Cause(CauseKind.UNDEFINED, None, None, _undefined_at(run, element), quantities, infinite, undefined), None
        elif isinstance(run.values[element], float):
            # The slope is finite; the backward ops, run exactly, are not: something masked has no finite slope.
            masked = _masked_at(run, element)
            left_out = _has_mask(run) and _arrives_as_zero(run, masked)
            kind = CauseKind.MASKED_GRADIENT if left_out else CauseKind.ZERO_TIMES_INFINITY
            yield Cause(kind, None, None, masked, quantities, infinite, undefined if masked is None else masked), None
        else:
            pairs = causes_of(run, element, truth)
            for pair in pairs:
                kind, blamed = named(run, pair)
                needed = None if pair.needed is None else pair.needed.index
                yield Cause(kind, pair.lost.index, needed, blamed.index, quantities, infinite, undefined), pair
            if not pairs:
                yield Cause(CauseKind.UNDECIDED, None, None, None, quantities), None


def _first_specials(run: ExactRun, element: int) -> tuple[int | None, int | None]:
    """The first ops that made an infinity, and a NaN, of what is finite exactly."""
    computed = run.recording.tape.elements.computed
    first: dict[bool, int] = {}
    for op in needed_for(run.recording, [element]):
        for made in op.made:
            value = computed[made]
            if isinstance(value, float) and value - value != 0 and not isinstance(run.values[made], float):
                first.setdefault(value != value, op.index)
    return first.get(False), first.get(True)


def _special(run: ExactRun, element: int) -> list[int]:
    """The ops that an element depends on whose exact values are NaN or infinite."""
    ops = needed_for(run.recording, [element])
    return [op.index for op in ops if any(isinstance(run.values[made], float) for made in op.made)]


def _undefined_at(run: ExactRun, element: int) -> int | None:
    """The first op whose exact value is NaN or infinite; of a slope the first of the backward pass, if there is one."""
    special = _special(run, element)
    backward = [index for index in special if run.recording.operations[index].backward]
    return next(iter(backward or special), None)


def _masked_at(run: ExactRun, element: int) -> int | None:
    """Where a slope that is masked has no finite value: at the first forward op that is infinite or NaN itself, if its slope is;
    else at the first op of the backward pass that is."""
    special = _special(run, element)
    operations = run.recording.operations
    backward = [index for index in special if operations[index].backward]
    origins = [index for index in backward if operations[index].forward in special]
    return min(origins, key=lambda index: operations[index].forward or 0) if origins else next(iter(backward), None)


def _arrives_as_zero(run: ExactRun, masked: int | None) -> bool:
    """Is the slope that arrives at the op 0, as a mask makes it? Where nothing is known of it, it may be."""
    if masked is None or run.recording.operations[masked].forward is None:
        return True
    operations, recorded = run.recording.operations, run.recording.tape.elements
    forward = operations[masked].forward
    own = {op.index for op in operations if op.backward and op.forward == forward}
    taken = {element for index in own for element in operations[index].taken}
    makers = {element: recorded.producer[element] for element in taken}
    arriving = [element for element, maker in makers.items() if maker >= 0 and operations[maker].backward and maker not in own]
    return not arriving or any(not isinstance(run.values[element], float) and bool(run.values[element] == 0) for element in arriving)


# What leaves elements out.
MASKS = frozenset(
    {"where", "masked_fill", "masked_select", "index", "index_put", "gather", "index_select", "clamp", "clamp_min", "clamp_max"}
)


def _has_mask(run: ExactRun) -> bool:
    """Is anything left out of the loss: by a choice, or by a factor of 0 that does not depend on the logits?"""
    recording = run.recording
    of_logits = set(recording.logits)
    for op in needed_for(recording, recording.loss):
        calls = op.plan.calls if op.plan is not None else ()
        if op.name in MASKS:
            return True
        for made, taken in calls:
            if op.name == "mul" and any(element not in of_logits and _is_zero(run, element) for element in taken):
                return True
            if not of_logits.isdisjoint(taken):
                of_logits.update(made)
    return False


def _is_zero(run: ExactRun, element: int) -> bool:
    return bool(run.recording.tape.elements.computed[element] == 0)
