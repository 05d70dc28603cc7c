"""What the elements of a dumped batch do to training: loss and gradient judged together, block by block."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from losscheck.core.dtypes import Format
from losscheck.core.effect import EffectFinding
from losscheck.core.loss import Loss
from losscheck.core.request import Subject
from losscheck.measure.batch_call import Computed
from losscheck.measure.effect_stream import Effects
from losscheck.measure.reference import Claim, Judged, Reference
from losscheck.measure.summary import Summary, summarise
from losscheck.points.batch import Elements, index_of

__all__ = ["BatchEffects"]


class BatchEffects:
    """The effects of one loss over one batch.

    Args:
        references: by the dtype that came out.
    """

    def __init__(self, loss: Loss, elements: Elements, references: Mapping[Format, Reference]) -> None:
        self._loss, self._elements, self._references = loss, elements, references
        self._summaries: dict[Subject, Summary] = {}
        self._dtypes: dict[tuple[Subject, str], Format] = {}

    def judge(
        self,
        subject: Subject,
        block: tuple[Any, Any, Any],
        computed: Computed,
        codes: Mapping[str, Any],
        filtered: Callable[[Claim], tuple[Any, Any]],
    ) -> None:
        """Loss and gradient of the elements that have what was asked, judged together.

        Args:
            block: places in the flattened batch, logits and targets; computed: what came out at them.
            codes: outcomes of the elements, by quantity; filtered: cheap exact values and their bounds, by claim.
        """
        import numpy as np

        if not codes:
            return
        kept = computed.answered(*codes)
        places, logits, targets = (column[kept] for column in block)
        returned = {"loss": computed.loss, "grad": computed.gradient}
        values = {quantity: returned[quantity][kept] for quantity in codes}
        self._dtypes |= {(subject, quantity): computed.dtypes[quantity] for quantity in codes}
        effects = self._effects_of(subject, codes)
        exact = {}
        for quantity in codes:
            value, bound = filtered(effects.definition(quantity))
            exact[quantity] = value[kept], bound[kept]
        outcomes = {quantity: Judged(code[kept], None) for quantity, code in codes.items()}
        judged = effects.judge(np, logits, targets, values, outcomes, exact)
        summary = summarise(np, judged, places, [values.get("loss"), values.get("grad")], kept=(), by_severity=True)
        self._summaries[subject] = self._summaries.get(subject, Summary(by_severity=True)).merge(summary)

    def finding(self, subject: Subject) -> EffectFinding | None:
        """The effect of the worst element; None where no element has a finite logit and a result."""
        summary = self._summaries.get(subject)
        if summary is None or not summary.worst:
            return None
        kept_point = summary.worst[0]
        returned = {"loss": (kept_point.loss, summary.loss_error), "grad": (kept_point.grad, summary.grad_error)}
        errors = {quantity: error for quantity, (value, error) in returned.items() if value is not None}
        logit, target = (float(values[kept_point.position]) for values in (self._elements.logits, self._elements.targets))
        if not math.isfinite(logit):
            return None
        finding = self._effects_of(subject, errors).finding(kept_point, logit, target, errors)
        return replace(finding, index=index_of(kept_point.position, self._elements.shape))

    def _effects_of(self, subject: Subject, quantities: Mapping[str, Any]) -> Effects:
        references = {quantity: self._references[self._dtypes[subject, quantity]] for quantity in quantities}
        return Effects(self._loss, subject.implementation, references, self._elements.dtype)
