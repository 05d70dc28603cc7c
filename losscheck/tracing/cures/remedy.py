"""What to write instead, for a whole callable: a cure for each of its terms, one patch of its source, and both tried."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from losscheck.core.errors import UserError
from losscheck.tracing.cures.evaluate import supported
from losscheck.tracing.cures.extract import Extracted, Root, extracted
from losscheck.tracing.cures.measured import Grid, Measured, Truth, measure, truth_on
from losscheck.tracing.cures.patch import Patch, patches
from losscheck.tracing.cures.patterns import negated
from losscheck.tracing.cures.printing import Names, NoNameError, expression
from losscheck.tracing.cures.row_search import find_row_cure
from losscheck.tracing.cures.search import Cure, Step, apply, find_cure, without_guards
from losscheck.tracing.cures.terms import LOGIT, TARGET, Term
from losscheck.tracing.cures.trial import CannotTryError, alike, patched, results_of
from losscheck.tracing.judging import MOST_OPS
from losscheck.tracing.places import Place
from losscheck.tracing.recording import as_tensor, record

__all__ = ["Remedies", "Remedy", "Rewritten", "remedies", "terms_of"]

CLASSES = (0.0, 1.0)
# Logits of both classes at which no branch is taken that others would not take.
LOGITS = (2.0, -3.0, 0.5, 1.0)
RECORDED = (1.0, 0.0, 0.0, 1.0)
# A patched source may be this much worse than its term: what it sums and scales rounds as well.
AS_PROMISED = 1.1


@dataclass(frozen=True)
class Rewritten:
    """One elementwise term in words of the logit x and the target z, and where it is written."""

    place: Place
    before: str
    after: str


@dataclass(frozen=True)
class Remedy:
    """A cure of all the terms of a callable.

    Attributes:
        rewritten: the terms that change.
        patches: of the source, each tried: the patched functions ran, and measured as the terms did. Empty where there is none to offer.
        before, after: the worst |ulp| of loss and gradient over the grid; infinite where a number came out as none.
        points: how many (logit, target) pairs the grid has.
        hard: equal for targets 0 and 1 alone.
        meaning: what it computes is something else (a clamp or a small constant is left out), and ``before`` is measured against that.
    """

    rewritten: tuple[Rewritten, ...]
    patches: tuple[Patch, ...]
    before: tuple[float, float]
    after: tuple[float, float]
    points: int
    hard: bool
    meaning: bool


@dataclass(frozen=True)
class Remedies:
    """The cure, and apart from it the one that changes the meaning; None where none was found that measures better."""

    cure: Remedy | None = None
    meaning: Remedy | None = None


def remedies(function: Callable[[Any, Any], Any], dtype: str, *, soft: bool | None = None, call: tuple[Any, Any] | None = None) -> Remedies:
    """Search for both.

    Args:
        function: f(logits, targets) on torch tensors of one axis.
        soft: do targets between 0 and 1 occur? None when that is not known: an identity for 0 and 1 alone is then the second choice.
        call: logits and targets that it takes, numbers or tensors of any shape: what is computed along rows is rewritten at these.
    """
    search = _Search(function, dtype)
    choices = (True, False) if soft is None else (soft,)
    found = Remedies()
    if search.roots:
        found = Remedies(search.best(find_cure, choices, False), search.best(without_guards, choices, True))
    return found if found.cure is not None else replace(found, cure=_along_rows(function, dtype, call))


def _along_rows(function: Callable[[Any, Any], Any], dtype: str, call: tuple[Any, Any] | None) -> Remedy | None:
    """The cure of what a callable computes along an axis, such as a softmax."""
    import torch

    kind = getattr(torch, dtype)
    logits, targets = (as_tensor(values, kind) for values in call or (LOGITS, RECORDED))
    cure = find_row_cure(function, logits, targets)
    if cure is None:
        return None
    changed = tuple(Rewritten(place, "", "") for place in cure.places)
    return Remedy(changed, cure.patches, cure.before, cure.after, cure.points, hard=False, meaning=False)


def terms_of(
    function: Callable[[Any, Any], Any], dtype: str, shape: Sequence[int] = (len(LOGITS),), logits: Sequence[float] = LOGITS
) -> Extracted | None:
    """The elementwise terms of a callable, of one call at logits of both classes; None when that fails.

    Args:
        shape: of the call; ``logits`` are repeated, a little larger each time, until it is full.
    """
    import torch

    kind, count = getattr(torch, dtype), math.prod(shape)
    x = [logits[place % len(logits)] + place // len(logits) / 64 for place in range(count)]
    targets = [RECORDED[place % len(RECORDED)] for place in range(count)]
    try:
        recording = record(function, *(as_tensor(values, kind).reshape(tuple(shape)) for values in (x, targets)), backward=False)
    except UserError:
        return None
    return extracted(recording, targets) if recording.error is None and recording.forward <= MOST_OPS else None


class _Search:
    def __init__(self, function: Callable[[Any, Any], Any], dtype: str) -> None:
        self.function, self.dtype = function, dtype
        self.grid = Grid.of(dtype, CLASSES)
        self.extracted = self._extracted()
        self.roots = self._known(self.extracted)

    def _extracted(self) -> Extracted | None:
        """The terms of the callable as it is now."""
        return terms_of(self.function, self.dtype)

    def _known(self, extracted: Extracted | None) -> list[Root]:
        """The roots that can be measured."""
        return [root for root in extracted.roots if supported(root.term)] if extracted else []

    def best(self, find: Callable[..., Cure | None], choices: Sequence[bool], meaning: bool) -> Remedy | None:
        """The first that leaves no NaN and no infinity; where none does, the first of all."""
        found = []
        for soft in choices:
            remedy = self.remedy(find, soft, meaning)
            if remedy is not None:
                found.append(remedy)
                if all(map(math.isfinite, remedy.after)):
                    return remedy
        return found[0] if found else None

    def remedy(self, find: Callable[..., Cure | None], soft: bool, meaning: bool) -> Remedy | None:
        """The cures of all terms together, where they are worth a change."""
        cures = [find(root.term, self.dtype, CLASSES, soft=soft) for root in self.roots]
        worthwhile = [cure for cure in cures if cure is not None and (meaning or cure.worthwhile)]
        steps = tuple(dict.fromkeys(step for cure in worthwhile for step in cure.steps))
        if not steps:
            return None
        truths = [self._truth(root.term, cure) for root, cure in zip(self.roots, cures, strict=True)]
        before = self._measured([root.term for root in self.roots], truths)
        after = self._measured([apply(steps, root.term) for root in self.roots], truths)
        if before is None or after is None or _score(after) >= _score(before):
            return None
        assert self.extracted is not None
        worst = _worst(after)
        made = tuple(patches(self.extracted, steps))
        return Remedy(
            rewritten=tuple(self._rewritten(root, steps) for root in self.roots if apply(steps, root.term) is not root.term),
            patches=made if made and self._holds(made, truths, worst, meaning) else (),
            before=_worst(before),
            after=worst,
            points=len(self.grid.logits),
            hard=any(cure.hard for cure in worthwhile),
            meaning=meaning,
        )

    def _truth(self, whole: Term, cure: Cure | None) -> tuple[Truth, Truth]:
        """What a term is measured against: itself in exact arithmetic, or what is meant where that changes."""
        return truth_on(self.grid, cure.after if cure is not None and cure.meaning else whole)

    def _measured(self, terms: Sequence[Term], truths: Sequence[tuple[Truth, Truth]]) -> list[Measured] | None:
        """None where PyTorch cannot run one of them."""
        measured = [measure(self.grid, whole, truth) for whole, truth in zip(terms, truths, strict=True)]
        return [errors for errors in measured if errors is not None] if None not in measured else None

    def _holds(self, made: Sequence[Patch], truths: Sequence[tuple[Truth, Truth]], promised: tuple[float, float], meaning: bool) -> bool:
        """Does the patched source run, and measure as promised? Whatever the shape of the logits is, it returns what it did."""
        try:
            with patched(made):
                now, results = self._extracted(), list(results_of(self.function))
        except CannotTryError:
            return False
        if not all(alike(*pair, values=not meaning) for pair in zip(results_of(self.function), results, strict=True)):
            return False
        roots = self._known(now)
        if len(roots) != len(truths):
            return False
        measured = [self._either(root.term, truth) for root, truth in zip(roots, truths, strict=True)]
        kept = [errors for errors in measured if errors is not None]
        return len(kept) == len(truths) and all(error <= AS_PROMISED * limit for error, limit in zip(_worst(kept), promised, strict=True))

    def _either(self, whole: Term, truth: tuple[Truth, Truth]) -> Measured | None:
        """Of a term or its negative, whichever is meant: -(...).mean() sums the negative of (-...).mean()."""
        signs = [measure(self.grid, signed, truth) for signed in (whole, negated(whole))]
        return min((errors for errors in signs if errors is not None), key=lambda errors: errors.score, default=None)

    def _rewritten(self, root: Root, steps: Sequence[Step]) -> Rewritten:
        return Rewritten(root.place, _text(root.term), _text(apply(steps, root.term)))


def _text(whole: Term) -> str:
    """In words of x and z; "" where a value from outside has no name."""
    try:
        return expression(whole, Names({LOGIT: "x", TARGET: "z"}, functional="F"))
    except NoNameError:
        return ""


def _score(measured: Sequence[Measured]) -> float:
    return math.fsum(errors.score for errors in measured)


def _worst(measured: Sequence[Measured]) -> tuple[float, float]:
    worst = [errors.worst() for errors in measured]
    return max(loss for loss, _ in worst), max(gradient for _, gradient in worst)
