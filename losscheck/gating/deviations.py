"""How far an own formula may be from the definition: as a case says, or, where nobody says so, as the case has it for values."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from losscheck.core.error import classify, deviation, ulp_error
from losscheck.core.exact import Exact, Kind
from losscheck.core.outcome import Outcome
from losscheck.gating.measured import Measured, selected
from losscheck.gating.properties import Breach
from losscheck.measure.reference import definition_of, formula_of
from losscheck.oracle.refine import Term, exact_value

__all__ = ["Deviating", "broken_deviation", "deviating_points", "largest_deviation", "unstated"]

SAMPLE = 500  # logits at which the deviation of a range is found: it varies slowly, and each needs two exact values


class Deviating(NamedTuple):
    """Own formula and definition at a point, both exact."""

    logit: float
    target: float
    own: Exact
    definition: Exact

    @property
    def size(self) -> float:
        return deviation(self.own, self.definition)


def broken_deviation(measured: Measured) -> tuple[list[Breach], float | None]:
    """What is broken, and the largest deviation where the case limits it.

    A formula that was read off a program has not been stated by anybody. Without a ``max_deviation`` its exact values have to pass as
    values of the definition would: a loss of another kind does not pass because it is computed well.
    """
    expect = measured.case.expect
    if expect.max_deviation is not None:
        largest, where = largest_deviation(measured)
        if not abs(largest) <= expect.max_deviation:
            return [Breach(f"a deviation of {largest:+.6g} from the definition at {where}, allowed {expect.max_deviation:g}")], largest
        return [], largest
    if expect.limits_floats and unstated(measured):
        return _by_definition(measured), None
    return [], None


def unstated(measured: Measured) -> bool:
    """Was the own formula read off the program, and stated by nobody?"""
    return selected(measured.asked, measured.implementation).derive is not None


def deviating_points(measured: Measured, sample: int = SAMPLE) -> Iterator[Deviating]:
    """At the points of a case; of a range at as many of its logits as ``sample``."""
    if not measured.tasks:
        for row in measured.rows:
            if row.exact is not None and row.definition is not None:
                yield Deviating(row.logits[0], row.targets[0], row.exact, row.definition)
    for task in measured.tasks:
        own = formula_of(task.loss, task.subject.implementation, measured.quantity, task.grid.dtype)
        definition = definition_of(task.loss, measured.quantity)
        logits = [] if own == definition else task.grid.some_logits(sample).tolist()
        for logit in dict.fromkeys([*logits[:: max(1, -(-len(logits) // sample))], *logits[-1:]]):
            pair = [
                exact_value(formula, [Term(logit, task.target)], task.params, measured.dtype, differentiate=differentiate)
                for formula, differentiate in (own, definition)
            ]
            yield Deviating(logit, task.target, *pair)


def largest_deviation(measured: Measured, sample: int = SAMPLE) -> tuple[float, str]:
    """The largest in size, NaN above all, and where it is."""
    largest, where = 0.0, "no point"
    for at in deviating_points(measured, sample):
        # Not `size > largest`, which NaN would pass by.
        if not abs(at.size) <= abs(largest):
            largest, where = at.size, _place(measured, at)
            if math.isnan(largest):
                break
    return largest, where


def _by_definition(measured: Measured) -> list[Breach]:
    broken = []
    for at in deviating_points(measured):
        outcome = _outcome(measured, at)
        if outcome.failed and not measured.case.expect.allows(outcome.value):
            broken.append((abs(at.size), at, outcome))
    if not broken:
        return []
    _, worst, outcome = max(broken, key=lambda deviating: deviating[0])
    what = f"its own formula, read off its program, is `{outcome.value}` by the definition: a deviation of {worst.size:+.6g}"
    return [Breach(f"{what} at {_place(measured, worst)}; max_deviation allows one", len(broken))]


def _outcome(measured: Measured, at: Deviating) -> Outcome:
    """What the own formula, rounded once, is by the definition. Undecided points are counted elsewhere."""
    if at.own.kind is Kind.UNDECIDED or not at.size:
        return Outcome.OK
    value, limit = at.own.rounded, measured.case.expect.limit(measured.dtype.name, measured.quantity)
    return classify(value, at.definition, ulp_error(value, at.definition, measured.dtype), measured.dtype, limit)


def _place(measured: Measured, at: Deviating) -> str:
    return f"logit {measured.dtype.shortest(at.logit)}, target {measured.dtype.shortest(at.target)}"
