"""The pipeline of a dumped batch: every implementation on every element, block by block, and rows of what was found."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from losscheck.callables.selection import select
from losscheck.core.batch_rows import Element, TensorBatch, TensorRow
from losscheck.core.dtypes import FORMATS, format_named
from losscheck.core.loss import Implementation, Loss
from losscheck.core.outcome import Outcome
from losscheck.core.request import Request, Subject
from losscheck.filter.classify import CODE, CODES
from losscheck.filter.pairs import filter_pairs, part
from losscheck.measure.batch_call import BLOCK, BatchCaller, RefusedError
from losscheck.measure.batch_resolve import UNASKED, Budget, Claim, Oracle, disagreements, settle
from losscheck.measure.batch_summary import Farthest, Hit, Tally
from losscheck.measure.call import no_gradient
from losscheck.measure.compare import subjects
from losscheck.measure.exact_side import Judge, definition_of, formula_of
from losscheck.measure.reduced import Wholes
from losscheck.points.batch import Elements, elements_of, index_of
from losscheck.points.listed import Points
from losscheck.points.load import Dump

__all__ = ["judge_dump", "work"]

CHECKED = 128  # elements of a row that are checked against the oracle, spread evenly over the batch
SHOWN = 5  # worst elements of a row that become rows of the report
MOST_CALLS = 2**13  # elements of a row that each take a call of their own: seconds
DEVIATING = 1e-9  # own / definition - 1 beyond which an element counts as deviating


def judge_dump(
    question: Request, dump: Dump, files: tuple[str, ...], progress: Callable[[int], None] = lambda elements: None, block: int = BLOCK
) -> tuple[list[TensorBatch], list[TensorRow]]:
    """The batch in every dtype asked, and a row for each implementation and quantity. ``progress`` is told of elements done.

    Raises:
        UserError: for a selection that matches nothing, and parameters outside a loss's domain.
    """
    batches, rows = [], []
    for dtype in map(format_named, question.dtypes):
        elements = elements_of(dump, dtype, files)
        batches.append(elements.summary)
        for loss in question.losses:
            run = _Run(replace(question, shape=elements.shape), loss, elements)
            for start in range(0, len(run.places), block):
                run.block(run.places[start : start + block])
                progress(min(block, len(run.places) - start) * len(run.callers))
            rows += run.rows()
    return batches, rows


def work(question: Request, dump: Dump) -> int:
    """How much progress there is to tell of: elements times implementations."""
    return len(dump.logits) * len(question.dtypes) * sum(len(list(_subjects(question, loss))) for loss in question.losses)


def _subjects(question: Request, loss: Loss) -> list[Subject]:
    """All that the loss has here; the definition by another route, which is slow, only where it is asked for by its name."""
    chosen = [one for one in select(question.losses, question.impl, question.backends, question.call_spec) if one.loss == loss.name]
    fast = [one for one in chosen if one.backends != ("mpmath",)]
    named = "mpmath" in (*question.impl, *question.backends)
    return list(subjects(question, chosen if named or not fast else fast, extras=False))


class _Run:
    """One loss over one batch."""

    def __init__(self, question: Request, loss: Loss, elements: Elements) -> None:
        import numpy as np

        self.question, self.loss, self.elements, self.dtype = question, loss, elements, elements.dtype
        self.params = loss.resolve_own(question.params, elements.dtype)
        self.places = np.arange(len(elements)) if elements.inside is None else np.flatnonzero(elements.inside)
        self.oracles = {dtype: Oracle(self.params, dtype, question.oracle, question.max_ulp) for dtype in FORMATS.values()}
        self.oracle = self.oracles[self.dtype]
        self.wholes = Wholes(question, loss, elements, self.params, self.oracle)
        self.callers = [BatchCaller(question, loss, subject, self.params, self.dtype) for subject in _subjects(question, loss)]
        self.reasons = {caller.subject: refusal.reason if (refusal := caller.why_not()) else "" for caller in self.callers}
        self.only = {caller.subject: self._telling() for caller in self.callers if not self.reasons[caller.subject] and caller.loops()}
        # The dtypes that came out, in which the elements are judged.
        self.dtypes = {(caller.subject, quantity): self.dtype for caller in self.callers for quantity in question.quantities}
        keys = [(caller.subject, quantity) for caller in self.callers for quantity in question.quantities]
        self.tallies = {key: Tally() for key in keys}
        self.budgets = {key: Budget(len(self.places)) for key in keys}
        self.farthest: dict[tuple[Claim, str], Farthest] = {}
        self.stride = max(1, len(self.places) // CHECKED)
        self.done = 0

    def block(self, places: Any) -> None:
        """Judge the elements at some places of the flattened batch."""
        import numpy as np

        logits, targets = (each[places].astype(np.float64) for each in (self.elements.logits, self.elements.targets))
        block, parted = (places, logits, targets), part(targets)
        filtered: dict[Claim, tuple[Any, Any]] = {}

        def seen(claim: Claim) -> tuple[Any, Any]:
            if claim not in filtered:
                filtered[claim] = filter_pairs(claim[0], logits, targets, parted, self.params, self.dtype, claim[1])
            return filtered[claim]

        chosen = range(-self.done % self.stride, len(places), self.stride)
        for caller in self.callers:
            if not self.reasons[caller.subject]:
                try:
                    if caller.subject in self.only:
                        self._judge_some(caller, block, seen)
                    else:
                        self._judge(caller, block, seen, chosen)
                except RefusedError as refusal:
                    self.reasons[caller.subject] = str(refusal)
        self._add_deviations(places, seen)
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
            places, logits, targets = (each[kept] for each in block)
            self._judge(
                caller,
                (places, logits, targets),
                lambda claim: (seen(claim)[0][kept], seen(claim)[1][kept]),
                range(0, len(places), self.stride),
            )

    def _judge(self, caller: BatchCaller, block: tuple[Any, Any, Any], seen: Callable[[Claim], tuple[Any, Any]], chosen: range) -> None:
        places, logits, targets = block
        computed = caller.elements(logits, targets)
        loss, gradient, subject = computed.loss, computed.gradient, caller.subject
        for quantity, values in (("loss", loss), ("grad", gradient)):
            key = (subject, quantity)
            if key not in self.tallies or values is None:
                continue
            refused, dtype = computed.refused[quantity], computed.dtypes[quantity]
            self.dtypes[key], oracle, kept = dtype, self.oracles[dtype], ~refused
            if refused.any():
                chosen = range(0)
            claim = formula_of(self.loss, subject.implementation, quantity)
            value, bound = seen(claim)
            settled = settle(oracle, claim, logits[kept], targets[kept], values[kept], (value[kept], bound[kept]), self.budgets[key])
            tally = self.tallies[key]
            tally.add(settled, places[kept], [None if each is None else each[kept] for each in (loss, gradient)])
            tally.refuse(CODE[Outcome.UNAVAILABLE], int(refused.sum()))
            checked, wrong = disagreements(oracle, claim, logits, targets, values, settled, chosen)
            tally.checked, tally.wrong = tally.checked + checked, tally.wrong + wrong
        if self.wholes.asked and subject not in self.only:
            self.wholes.add_computed(subject, places, loss)

    def _add_deviations(self, places: Any, seen: Callable[[Claim], tuple[Any, Any]]) -> None:
        import numpy as np

        for quantity in self.question.quantities:
            definition = definition_of(self.loss, quantity)
            for claim in {formula_of(self.loss, caller.subject.implementation, quantity) for caller in self.callers} - {definition}:
                (own, own_bound), (right, right_bound) = seen(claim), seen(definition)
                with np.errstate(all="ignore"):
                    size = abs(own / right - 1)
                    sure = size > DEVIATING + 2 * (own_bound + right_bound)
                    size = np.where(sure & (own_bound < 0.5) & (right_bound < 0.5), size, 0.0)
                self.farthest.setdefault((claim, quantity), Farthest()).add(size, places)

    def _add_sums(self, block: Any, seen: Callable[[Claim], tuple[Any, Any]], sums: list[tuple[Claim, Implementation | None]]) -> None:
        done = set()
        for claim, one in sums:
            name, _ = self.wholes.weights(one)
            if (claim, name) not in done and not self.wholes.small:
                self.wholes.add_exact(claim, one, block, seen(claim))
            done.add((claim, name))

    # Rows ---------------------------------------------------------------------------------------------------------

    def rows(self) -> list[TensorRow]:
        return [self._row(caller, quantity) for caller in self.callers for quantity in self.question.quantities]

    def _row(self, caller: BatchCaller, quantity: str) -> TensorRow:
        subject = caller.subject
        dtype = self.dtypes[subject, quantity]
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
        tally = self.tallies[subject, quantity]
        if not sum(tally.counts):
            return replace(row, reason=no_gradient(subject).reason)
        counts = {CODES[code]: n for code, n in enumerate(tally.counts[:UNASKED]) if n}
        if unasked := tally.counts[UNASKED]:
            counts[Outcome.UNDECIDED] = counts.get(Outcome.UNDECIDED, 0) + unasked
        worst = sorted((self._element(subject, quantity, hit) for hit in tally.worst), key=_badness)
        far = self.farthest.get((formula_of(self.loss, subject.implementation, quantity), quantity), Farthest())
        return replace(
            row,
            judged=sum(counts.values()),
            sampled=subject in self.only and sum(counts.values()) < len(self.places),
            counts=counts,
            max_ulp=tally.top,
            first=tuple(self._element(subject, quantity, tally.first[code]) for code in sorted(tally.first)),
            worst=tuple(worst[:SHOWN]),
            deviating=far.count,
            deviation=self._farthest(caller, quantity, far.place) if far.count else None,
            settled=tally.settled,
            unasked=unasked,
            checked=tally.checked,
            wrong=tally.wrong,
            whole=self._whole(caller) if quantity == "loss" and self.wholes.asked else None,
            reason=caller.reason,
        )

    def _element(self, subject: Subject, quantity: str, hit: Hit) -> Element:
        value = hit.loss if quantity == "loss" else hit.gradient
        assert value is not None
        logit, target = (float(each[hit.place]) for each in (self.elements.logits, self.elements.targets))
        judge = Judge(replace(self.question, reduction="none"), self.loss, self.dtype, Points((logit,), (target,)), self.params)
        point = judge.row(subject, quantity, 0, (value, self.dtypes[subject, quantity]))
        return Element(index_of(hit.place, self.elements.shape), point, hit.loss, hit.gradient)

    def _farthest(self, caller: BatchCaller, quantity: str, place: int) -> Element:
        import numpy as np

        logits, targets = (each[place : place + 1].astype(np.float64) for each in (self.elements.logits, self.elements.targets))
        computed = caller.elements(logits, targets)
        gradient = None if computed.gradient is None else float(computed.gradient[0])
        return self._element(caller.subject, quantity, Hit(place, 0, 0.0, float(computed.loss[0]), gradient))

    def _whole(self, caller: BatchCaller) -> Any:
        value = caller.whole(self.elements.logits, self.elements.targets, self.elements.shape, self.question.reduction)
        return self.wholes.whole(caller.subject, value)


def _badness(element: Element) -> tuple[int, float, tuple[int, ...]]:
    """As :attr:`PointRow.badness`, NaN counted as infinite, ties by index."""
    severity, minus_ulp = element.point.badness
    return severity, -math.inf if math.isnan(minus_ulp) else minus_ulp, element.index
