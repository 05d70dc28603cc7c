"""The bulk filter where every logit has a target of its own.

Targets that many elements share (0 and 1, smoothed labels) are constants of the formula, as in a sweep. The others are an
array beside the logits. Where a formula then asks a question (is the target 1?) whose answer differs among them, the
elements are parted by the answer and each part goes on with its own; those whose answer the bounds leave open are not
decided here, and the exact oracle gets them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from losscheck.core.dtypes import Format
from losscheck.core.loss import Formula
from losscheck.filter.arrays import run
from losscheck.filter.operations import ArrayOperations
from losscheck.filter.running_error import Bounded, NoFilterError, RunningErrorArithmetic

__all__ = ["Pairs", "Parted", "filter_pairs", "part"]

SHARED = 512  # elements of a block with one target that are worth a run of their own
MOST_QUESTIONS = 16  # answers along one path; a formula that asks more is left to the oracle

# The targets of a block: (the target, or None for those of few elements, the positions; None for all).
Parted = list[tuple[float | None, Any]]


def part(targets: Any) -> Parted:
    """A block's elements by target, all of them in [0, 1]."""
    import numpy as np

    if targets.min() == targets.max():
        return [(float(targets[0]), None)]
    # Labels are 0 and 1 nearly everywhere: they need not be sorted to be found.
    parts: Parted = []
    left = np.ones(len(targets), bool)

    def take(target: float) -> None:
        alike = targets == target
        if (where := np.flatnonzero(alike)).size >= SHARED:
            parts.append((target, where))
            np.logical_xor(left, alike, out=left)

    for label in (0.0, 1.0):
        take(label)
    # In order, what is shared by so many reaches from a place to the one so many further.
    values = np.sort(targets[left])
    reaching = values[SHARED - 1 :]
    for target in np.unique(reaching[reaching == values[: len(reaching)]]).tolist():
        take(target)
    rest = np.flatnonzero(left)
    return [*parts, (None, rest)] if len(rest) else parts


def filter_pairs(
    formula: Formula, logits: Any, targets: Any, parted: Parted, params: Mapping[str, float], dtype: Format, differentiate: bool
) -> tuple[Any, Any]:
    """Values and relative error bounds of a formula at pairs of float64 numbers; the bound is infinite where it knows nothing."""
    return Pairs(logits, targets, parted, params, dtype).filtered(formula, differentiate)


class Pairs:
    """Logits with their targets, in parts. What formulas of the same part have in common, as exp(-|x|), is computed once."""

    def __init__(self, logits: Any, targets: Any, parted: Parted, params: Mapping[str, float], dtype: Format) -> None:
        self.count, self.params = len(logits), params
        self.parts = [
            (where, _Part(dtype, *((logits, targets) if where is None else (logits[where], targets[where])), target))
            for target, where in parted
        ]

    def filtered(self, formula: Formula, differentiate: bool) -> tuple[Any, Any]:
        """As :func:`filter_pairs`."""
        import numpy as np

        value, bound = np.empty(self.count), np.empty(self.count)
        with np.errstate(all="ignore"):
            for where, part_ in self.parts:
                chosen = slice(None) if where is None else where
                try:
                    value[chosen], bound[chosen] = part_.filtered(formula, self.params, differentiate)
                except NoFilterError:
                    value[chosen], bound[chosen] = np.nan, np.inf
        if not (np.isfinite(value.min()) and np.isfinite(value.max()) and float(bound.max()) >= 0):
            bound[~np.isfinite(value) | np.isnan(bound)] = np.inf
        return value, bound


class _ForkError(Exception):
    """A question with more than one answer."""

    def __init__(self, yes: Any, no: Any) -> None:
        super().__init__("the answers differ")
        self.yes, self.no = yes, no


class _Answering(RunningErrorArithmetic):
    """Answers questions about arrays: those before ``asked`` as they were answered, a new one if all elements agree."""

    def __init__(self, dtype: Format) -> None:
        import numpy as np

        super().__init__(ArrayOperations(np), dtype)
        self.answers: tuple[bool, ...] = ()
        self.asked = 0

    def compared(self, a: Bounded, b: Bounded, sign: str) -> bool:
        if self.asked >= MOST_QUESTIONS:
            raise NoFilterError("a formula asks too many questions")
        if self.asked < len(self.answers):
            self.asked += 1
            return self.answers[self.asked - 1]
        difference = b.value - a.value
        margin = self.absolute(a.value) * a.bound + self.absolute(b.value) * b.bound
        apart = abs(difference) > margin
        if sign == "==":
            yes, no = (difference == 0) & (margin == 0), apart
        else:
            yes, no = apart & (difference > 0), apart & (difference < 0) | (difference == 0) & (margin == 0)
        raise _ForkError(yes, no)


class _Part:
    """Elements that are filtered together: of one ``target``, or each of its own."""

    def __init__(self, dtype: Format, logits: Any, targets: Any, target: float | None = None) -> None:
        self.logits, self.targets = logits, targets
        self.finite = len(logits) > 0 and float(logits.min()) > -math.inf and float(logits.max()) < math.inf
        self.m = _Answering(dtype)
        self.logit = self.m.variable(logits)
        self.target = Bounded(self.m, targets, 0.0, +1) if target is None else self.m.number(target)  # in [0, 1]
        self.parts: list[tuple[Any, Any, _Part]] = []  # which a question parted off: a mask, the positions, the elements

    def filtered(
        self, formula: Formula, params: Mapping[str, float], differentiate: bool, answers: tuple[bool, ...] = ()
    ) -> tuple[Any, Any]:
        """Values and bounds (maybe one for all); ``answers`` are those of the questions that the formula asks first.

        Raises:
            NoFilterError: when the formula does something that the filter has no rule for.
        """
        import numpy as np

        self.m.answers, self.m.asked = answers, 0
        try:
            result = run(self.m, formula, self.logit, self.target, params, differentiate)
            if self.finite and not isinstance(result.value, float):
                return result.value, result.bound
            # Constants fill the array; NaN and infinite logits make the zero NaN, and the point undecided.
            zero = self.logits * 0.0
            return result.value + zero, result.bound + zero
        except _ForkError as fork:
            forks = (True, fork.yes), (False, fork.no)
        for answer, chosen in forks:
            if chosen.all():
                return self.filtered(formula, params, differentiate, (*answers, answer))
        value, bound = np.full(len(self.logits), np.nan), np.full(len(self.logits), np.inf)
        for answer, chosen in forks:
            where, part_ = self._parted_off(chosen)
            if len(where):
                value[where], bound[where] = part_.filtered(formula, params, differentiate, (*answers, answer))
        return value, bound

    def _parted_off(self, chosen: Any) -> tuple[Any, _Part]:
        """The elements of a mask. Loss and gradient ask the same, and have more in common than that."""
        import numpy as np

        for mask, where, part_ in self.parts:
            if (mask == chosen).all():
                return where, part_
        where = np.flatnonzero(chosen)
        part_ = _Part(self.m.dtype, self.logits[where], self.targets[where])
        self.parts.append((chosen, where, part_))
        return where, part_
