"""Rows of single points, as compare has them: what came out beside the exact values of own formula and definition."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from losscheck.core.absence import Unavailable
from losscheck.core.dtypes import Format
from losscheck.core.error import absolute_error, deviation, relative_error
from losscheck.core.exact import Exact
from losscheck.core.loss import Implementation, Loss
from losscheck.core.outcome import Outcome
from losscheck.core.reductions import exact_weights
from losscheck.core.request import Request, Subject
from losscheck.core.results import PointRow
from losscheck.measure.reference import Claim, Reference, definition_of, formula_of
from losscheck.oracle.refine import Term
from losscheck.points.listed import RoundedPoints

__all__ = ["PointRows", "ValueOrReason", "point_row"]

# What came out, with its dtype, or the reason why nothing did.
ValueOrReason = tuple[float, Format] | Unavailable


def point_row(
    loss: Loss,
    subject: Subject,
    quantity: str,
    reference: Reference,
    logits: tuple[float, ...],
    targets: tuple[float, ...],
    value: float | Unavailable,
    exact: Exact,
    definition: Exact,
    **more: Any,
) -> PointRow:
    """The row of a value, judged in the reference's dtype, or of the reason why there is none."""
    measured: dict[str, Any]
    if isinstance(value, Unavailable):
        measured = {"outcome": Outcome.UNAVAILABLE, "reason": value.reason, "absence": value.absence}
    else:
        outcome, ulp = reference.judge(value, exact)
        errors = {"absolute_error": absolute_error(value, exact), "relative_error": relative_error(value, exact)}
        measured = {"outcome": outcome, "value": value, "ulp": ulp, **errors}
    return PointRow(
        loss=loss.name,
        implementation=subject.implementation.name,
        backend=subject.backend,
        device=subject.device,
        dtype=reference.dtype.name,
        quantity=quantity,
        params=reference.params,
        logits=logits,
        targets=targets,
        exact=exact,
        definition=definition,
        deviation=deviation(exact, definition),
        mode=subject.mode,
        **{"note": subject.implementation.note, **more, **measured},
    )


class PointRows:
    """The exact side of one loss and dtype over listed points.

    An ``index`` is that of a point, or None for the loss of a reduction over all of them.
    """

    def __init__(self, question: Request, loss: Loss, dtype: Format, points: RoundedPoints, params: dict[str, float]) -> None:
        self.question, self.loss, self.dtype, self.points, self.params = question, loss, dtype, points, params
        self._references: dict[str, Reference] = {}
        self._weighted: dict[str, tuple[Term, ...]] = {}

    def asked(self) -> list[tuple[str, int | None]]:
        """Quantities and indices in the order people read: a reduced loss first, else point by point."""
        wanted, everywhere = self.question.quantities, range(len(self.points))
        if self.question.reduction == "none":
            return [(quantity, index) for index in everywhere for quantity in wanted]
        whole: list[tuple[str, int | None]] = [("loss", None)] if "loss" in wanted else []
        return whole + [("grad", index) for index in everywhere if "grad" in wanted]

    def row(self, subject: Subject, quantity: str, index: int | None, answer: ValueOrReason) -> PointRow:
        """The row of a value, or of the reason why there is none. A value is judged in the dtype that came out."""
        value, dtype = (answer, self.dtype) if isinstance(answer, Unavailable) else answer
        chosen = slice(None) if index is None else slice(index, index + 1)
        return point_row(
            self.loss,
            subject,
            quantity,
            self.reference(dtype),
            self.points.logits[chosen],
            self.points.targets[chosen],
            value,
            *self.pair(subject.implementation, quantity, index, dtype),
            note=self._note(subject.implementation),
            logit_dtype="" if dtype is self.dtype else self.dtype.name,
        )

    def reference(self, dtype: Format) -> Reference:
        """What finds exact values, in a dtype that came out."""
        if dtype.name not in self._references:
            self._references[dtype.name] = Reference(self.params, dtype, self.question.oracle, self.question.max_ulp)
        return self._references[dtype.name]

    def _note(self, implementation: Implementation) -> str:
        whole = implementation.published if self.question.reduction == "published" else None
        return (whole.note if whole else "") or implementation.note

    def pair(self, implementation: Implementation, quantity: str, index: int | None, dtype: Format) -> tuple[Exact, Exact]:
        """Its own formula and the definition, exactly, at point ``index``, or reduced over all (None)."""
        reference, published = self.reference(dtype), self.question.reduction == "published"
        definition = reference.terms(definition_of(self.loss, quantity), self._terms(None, index))
        whole = implementation.published if published else None
        given = Claim(whole.formula, quantity == "grad") if whole and whole.formula else None
        own = given or formula_of(self.loss, implementation, quantity, self.dtype)
        if not published and own == definition_of(self.loss, quantity):
            return definition, definition
        return reference.terms(own, self._terms(implementation, index)), definition

    def _terms(self, implementation: Implementation | None, index: int | None) -> tuple[Term, ...]:
        terms = self._all_terms(implementation)
        return terms if index is None else (terms[index],)

    def _all_terms(self, implementation: Implementation | None) -> tuple[Term, ...]:
        """All points with the weights of the reduction; made once for each implementation, not for each row."""
        name = implementation.name if implementation and self.question.reduction == "published" else ""
        if name not in self._weighted:
            pairs = self.points.pairs()
            weights: Sequence[Fraction] = [Fraction(1)] * len(pairs)
            if self.question.reduction != "none":
                shape = self.question.shape or (len(pairs),)
                weights = exact_weights(self.loss, implementation, self.question.reduction, self.points.targets, shape, self.params)
            self._weighted[name] = tuple(Term(*pair, weight) for pair, weight in zip(pairs, weights, strict=True))
        return self._weighted[name]
