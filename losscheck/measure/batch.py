"""The pipeline of a dumped batch: every implementation on every element, block by block, and rows of what was found."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from losscheck.callables.selection import Selection
from losscheck.core.batch_rows import Element, TensorBatch, TensorRow
from losscheck.core.dtypes import FORMATS, format_named
from losscheck.core.loss import Implementation, Loss
from losscheck.core.outcome import Outcome
from losscheck.core.request import Request, Subject
from losscheck.core.which_points import Dumped
from losscheck.filter.classify import CODE, CODES, UNDECIDED
from losscheck.filter.pairs import Pairs, part
from losscheck.measure.absent import no_gradient
from losscheck.measure.batch_call import BLOCK, BatchCaller, RefusedError
from losscheck.measure.batch_deviations import Deviations
from losscheck.measure.batch_effects import BatchEffects
from losscheck.measure.compare import subjects
from losscheck.measure.point_rows import PointRows
from losscheck.measure.reduced import Wholes
from losscheck.measure.reference import Budget, Claim, Judged, Reference, definition_of, formula_of
from losscheck.measure.summary import KeptPoint, Summary, summarise
from losscheck.points.batch import Elements, elements_of, index_of
from losscheck.points.listed import RoundedPoints
from losscheck.points.load import Dump

__all__ = ["amount_of_work", "judge_dump"]

CHECKED = 128  # elements of a row that are checked against the oracle, spread evenly over the batch
SHOWN = 5  # worst elements of a row that become rows of the report
MOST_CALLS = 2**13  # elements of a row that each take a call of their own: seconds


def judge_dump(
    question: Request, selection: Selection, dump: Dump, progress: Callable[[int], None] = lambda elements: None, block: int = BLOCK
) -> tuple[list[TensorBatch], list[TensorRow]]:
    """The batch in every dtype asked, and a row for each implementation and quantity. ``progress`` is told of elements done.

    Raises:
        UserError: for a selection that matches nothing, and parameters outside a loss's domain.
    """
    assert isinstance(question.points, Dumped)
    batches, rows = [], []
    for dtype in map(format_named, question.dtypes):
        elements = elements_of(dump, dtype, question.points.files)
        batches.append(elements.summary)
        for loss in selection.losses:
            run = _Run(question.at(shape=elements.shape), selection, loss, elements)
            for start in range(0, len(run.places), block):
                run.block(run.places[start : start + block])
                progress(min(block, len(run.places) - start) * len(run.callers))
            rows += run.rows()
    return batches, rows


def amount_of_work(question: Request, selection: Selection, dump: Dump) -> int:
    """How much progress there is to tell of: elements times implementations."""
    return len(dump.logits) * len(question.dtypes) * sum(len(_subjects(question, selection, loss)) for loss in selection.losses)


def _subjects(question: Request, selection: Selection, loss: Loss) -> list[Subject]:
    """All that the loss has here; the definition by another route, which is slow, only where it is asked for by its name."""
    chosen = selection.of(loss)
    fast = [implementation for implementation in chosen if implementation.backends != ("mpmath",)]
    named = "mpmath" in (*question.impl, *question.backends)
    return list(subjects(question, chosen if named or not fast else fast, extras=False))


class _Run:
    """One loss over one batch."""

    def __init__(self, question: Request, selection: Selection, loss: Loss, elements: Elements) -> None:
        import numpy as np

        self.question, self.loss, self.elements, self.dtype = question, loss, elements, elements.dtype
        self.params = loss.resolve_own(question.params, elements.dtype)
        self.places = np.arange(len(elements)) if elements.inside is None else np.flatnonzero(elements.inside)
        self.references = {dtype: Reference(self.params, dtype, question.oracle, question.max_ulp) for dtype in FORMATS.values()}
        self.wholes = Wholes(question, loss, elements, self.params, self.references[self.dtype])
        self.callers = [BatchCaller(question, loss, subject, self.params, self.dtype) for subject in _subjects(question, selection, loss)]
        self.reasons = {caller.subject: refusal.reason if (refusal := caller.why_unavailable()) else "" for caller in self.callers}
        self.only = {caller.subject: self._telling() for caller in self.callers if not self.reasons[caller.subject] and caller.loops()}
        # The dtypes that came out, in which the elements are judged.
        self.dtypes = {(caller.subject, quantity): self.dtype for caller in self.callers for quantity in question.quantities}
        keys = [(caller.subject, quantity) for caller in self.callers for quantity in question.quantities]
        self.summaries = {key: Summary(by_severity=True) for key in keys}
        self.effects = BatchEffects(loss, elements, self.references)
        self.budgets = {key: Budget(len(self.places)) for key in keys}
        self.deviations = Deviations(loss)
        self.stride = max(1, len(self.places) // CHECKED)
        self.done = 0

    def block(self, places: Any) -> None:
        """Judge the elements at some places of the flattened batch."""
        import numpy as np

        # A block without gaps is a view, and costs nothing.
        chosen_places = slice(places[0], places[-1] + 1) if places[-1] - places[0] + 1 == len(places) else places
        logits, targets = (values[chosen_places].astype(np.float64) for values in (self.elements.logits, self.elements.targets))
        block, pairs = (places, logits, targets), Pairs(logits, targets, part(targets), self.params, self.dtype)
        filtered: dict[Claim, tuple[Any, Any]] = {}

        def seen(claim: Claim) -> tuple[Any, Any]:
            if claim not in filtered:
                filtered[claim] = pairs.filtered(*claim)
            return filtered[claim]

        chosen = slice(-self.done % self.stride, len(places), self.stride)
        for caller in self.callers:
            if not self.reasons[caller.subject]:
                try:
                    if caller.subject in self.only:
                        self._judge_some(caller, block, seen)
                    else:
                        self._judge(caller, block, seen, chosen)
                except RefusedError as refusal:
                    self.reasons[caller.subject] = str(refusal)
        for quantity in self.question.quantities:
            claims = {formula_of(self.loss, caller.subject.implementation, quantity, self.dtype) for caller in self.callers}
            self.deviations.add(quantity, claims, places, seen)
        if self.wholes.asked:
            sums = {(self.wholes.claim(caller.subject.implementation), caller.subject.implementation) for caller in self.callers}
            self._add_sums(block, seen, [(definition_of(self.loss, "loss"), None), *sums])
        self.done += len(places)

    def _telling(self) -> Any:
        """Which elements are judged where all would take too long: the largest |logit|, where losses fail, and an even sample."""
        import numpy as np

        telling = np.zeros(len(self.elements), bool)
        size = np.nan_to_num(np.abs(self.elements.logits[self.places].astype(np.float64)), nan=np.inf)
        most = min(MOST_CALLS // 2, len(self.places))
        telling[self.places[np.argpartition(size, len(size) - most)[len(size) - most :]]] = True
        telling[self.places[:: max(1, len(self.places) // most)]] = True
        return telling

    def _judge_some(self, caller: BatchCaller, block: tuple[Any, Any, Any], seen: Callable[[Claim], tuple[Any, Any]]) -> None:
        kept = self.only[caller.subject][block[0]]
        if kept.any():
            places, logits, targets = (values[kept] for values in block)
            self._judge(
                caller,
                (places, logits, targets),
                lambda claim: (seen(claim)[0][kept], seen(claim)[1][kept]),
                slice(0, len(places), self.stride),
            )

    def _judge(self, caller: BatchCaller, block: tuple[Any, Any, Any], seen: Callable[[Claim], tuple[Any, Any]], chosen: slice) -> None:
        import numpy as np

        places, logits, targets = block
        computed, subject = caller.elements(logits, targets), caller.subject
        codes: dict[str, Any] = {}
        for quantity, values in (("loss", computed.loss), ("grad", computed.gradient)):
            key = (subject, quantity)
            if key not in self.summaries or values is None:
                continue
            refused, dtype = computed.refused[quantity], computed.dtypes[quantity]
            self.dtypes[key], reference, kept = dtype, self.references[dtype], computed.answered(quantity)
            claim = formula_of(self.loss, subject.implementation, quantity, self.dtype)
            value, bound = seen(claim)
            judged = reference.classify(np, values[kept], (value[kept], bound[kept]))
            points = logits[kept], targets[kept], values[kept]
            reference.settle(np, judged, claim, *points, self.budgets[key])
            both = [None if returned is None else returned[kept] for returned in (computed.loss, computed.gradient)]
            summary = summarise(np, judged, places[kept], both, by_severity=True)
            summary.counts[CODE[Outcome.UNAVAILABLE]] += int(refused.sum())
            if not refused.any():
                some = Judged(judged.codes[chosen], judged.ulps[chosen])
                xs, zs, ys = (column[chosen] for column in points)
                summary.checked, summary.wrong = reference.check(claim, xs, zs, ys, some)
            self.summaries[key] = self.summaries[key].merge(summary)
            codes[quantity] = judged.codes
            if refused.any():
                codes[quantity] = np.full(len(logits), UNDECIDED)
                codes[quantity][kept] = judged.codes
        self.effects.judge(subject, block, computed, codes, seen)
        if self.wholes.asked and subject not in self.only:
            self.wholes.add_computed(subject, places, computed.loss)

    def _add_sums(self, block: Any, seen: Callable[[Claim], tuple[Any, Any]], sums: list[tuple[Claim, Implementation | None]]) -> None:
        done = set()
        for claim, implementation in sums:
            key = self.wholes.sum_key(claim, implementation)
            if key not in done and not self.wholes.small:
                self.wholes.add_exact(claim, implementation, block, seen(claim))
            done.add(key)

    # Rows ---------------------------------------------------------------------------------------------------------

    def rows(self) -> list[TensorRow]:
        return [self._row(caller, quantity) for caller in self.callers for quantity in self.question.quantities]

    def _row(self, caller: BatchCaller, quantity: str) -> TensorRow:
        subject, dtype = caller.subject, self.dtypes[caller.subject, quantity]
        row = TensorRow(
            loss=self.loss.name,
            implementation=subject.implementation.name,
            backend=subject.backend,
            device=subject.device,
            dtype=dtype.name,
            quantity=quantity,
            params=self.params,
            judged=len(self.places),
            logit_dtype="" if dtype is self.dtype else self.dtype.name,
        )
        if reason := self.reasons[subject]:
            return replace(row, reason=reason)
        summary = self.summaries[subject, quantity]
        if not sum(summary.counts):
            return replace(row, reason=caller.no_gradient or no_gradient(subject).reason)
        counts = {CODES[code]: count for code, count in enumerate(summary.counts) if count}
        worst = sorted((self._element(subject, quantity, kept_point) for kept_point in summary.worst), key=_badness)
        far = self.deviations.farthest(formula_of(self.loss, subject.implementation, quantity, self.dtype), quantity)
        return replace(
            row,
            judged=sum(counts.values()),
            sampled=subject in self.only and sum(counts.values()) < len(self.places),
            counts=counts,
            max_ulp=summary.top,
            effect=self.effects.finding(subject),
            first=tuple(self._element(subject, quantity, summary.first[code]) for code in sorted(summary.first)),
            worst=tuple(worst[:SHOWN]),
            deviating=far.count,
            deviation=self._farthest(caller, quantity, far.place) if far.count else None,
            settled=summary.settled,
            unasked=summary.unasked,
            checked=summary.checked,
            wrong=summary.wrong,
            whole=self._whole(caller) if quantity == "loss" and self.wholes.asked else None,
            reason=caller.reason,
        )

    def _element(self, subject: Subject, quantity: str, kept_point: KeptPoint) -> Element:
        value = kept_point.loss if quantity == "loss" else kept_point.grad
        assert value is not None
        logit, target = (float(values[kept_point.position]) for values in (self.elements.logits, self.elements.targets))
        points = PointRows(self.question.at(reduction="none"), self.loss, self.dtype, RoundedPoints((logit,), (target,)), self.params)
        point = points.row(subject, quantity, 0, (value, self.dtypes[subject, quantity]))
        return Element(index_of(kept_point.position, self.elements.shape), point, kept_point.loss, kept_point.grad)

    def _farthest(self, caller: BatchCaller, quantity: str, place: int) -> Element:
        import numpy as np

        logits, targets = (values[place : place + 1].astype(np.float64) for values in (self.elements.logits, self.elements.targets))
        computed = caller.elements(logits, targets)
        returned = (None if values is None else float(values[0]) for values in (computed.loss, computed.gradient))
        return self._element(caller.subject, quantity, KeptPoint(place, UNDECIDED, 0.0, *returned))

    def _whole(self, caller: BatchCaller) -> Any:
        value = caller.whole(self.elements.logits, self.elements.targets, self.elements.shape, self.question.reduction)
        return self.wholes.whole(caller.subject, value)


def _badness(element: Element) -> tuple[int, float, tuple[int, ...]]:
    """As :attr:`PointRow.badness`, NaN counted as infinite, ties by index."""
    severity, minus_ulp = element.point.badness
    return severity, -math.inf if math.isnan(minus_ulp) else minus_ulp, element.index
