"""The oracle's side of a question: exact values of own formulas and definitions, and rows measured against them."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from losscheck.core.absence import Unavailable
from losscheck.core.dtypes import Format
from losscheck.core.error import absolute_error, classify, deviation, relative_error, ulp_error
from losscheck.core.exact import Exact
from losscheck.core.loss import Formula, Implementation, Loss
from losscheck.core.outcome import Outcome
from losscheck.core.reductions import exact_weights
from losscheck.core.request import Request, Subject
from losscheck.core.results import PointRow
from losscheck.oracle.refine import Term, exact_value
from losscheck.points.listed import Points

__all__ = ["Answer", "Judge", "definition_of", "formula_of"]

# What came out, with its dtype, or why nothing did.
Answer = tuple[float, Format] | Unavailable


class Judge:
    """The oracle's side of one loss, dtype and set of points; every exact value is found once.

    An ``index`` is that of a point, or None for the loss of a reduction over all of them.
    """

    def __init__(self, question: Request, loss: Loss, dtype: Format, points: Points, params: dict[str, float]) -> None:
        self.question = question
        self.loss = loss
        self.dtype = dtype
        self.points = points
        self.params = params
        self._known: dict[tuple[object, ...], Exact] = {}
        self._weighted: dict[str, tuple[Term, ...]] = {}

    def asked(self) -> list[tuple[str, int | None]]:
        """Quantities and indices in the order people read: a reduced loss first, else point by point."""
        wanted, everywhere = self.question.quantities, range(len(self.points))
        if self.question.reduction == "none":
            return [(quantity, index) for index in everywhere for quantity in wanted]
        whole: list[tuple[str, int | None]] = [("loss", None)] if "loss" in wanted else []
        return whole + [("grad", index) for index in everywhere if "grad" in wanted]

    def row(self, subject: Subject, quantity: str, index: int | None, answer: Answer) -> PointRow:
        """The row of a value, or of the reason why there is none. A value is judged in the dtype that came out."""
        dtype = self.dtype if isinstance(answer, Unavailable) else answer[1]
        exact, definition = self.pair(subject.implementation, quantity, index, dtype)
        chosen = slice(None) if index is None else slice(index, index + 1)
        base: dict[str, Any] = dict(  # noqa: C408
            loss=self.loss.name,
            implementation=subject.implementation.name,
            backend=subject.backend,
            device=subject.device,
            dtype=dtype.name,
            quantity=quantity,
            params=self.params,
            logits=self.points.logits[chosen],
            targets=self.points.targets[chosen],
            exact=exact,
            definition=definition,
            deviation=deviation(exact, definition),
            note=self._note(subject.implementation),
            mode=subject.mode,
            logit_dtype="" if dtype is self.dtype else self.dtype.name,
        )
        if isinstance(answer, Unavailable):
            return PointRow(**base, outcome=Outcome.UNAVAILABLE, reason=answer.reason, absence=answer.absence)
        value, ulp = answer[0], ulp_error(answer[0], exact, dtype)
        return PointRow(
            **base,
            value=value,
            ulp=ulp,
            outcome=classify(value, exact, ulp, dtype, self.question.max_ulp),
            absolute_error=absolute_error(value, exact),
            relative_error=relative_error(value, exact),
        )

    def _note(self, one: Implementation) -> str:
        return one.published.note if self.question.reduction == "published" and one.published else one.note

    def pair(self, one: Implementation, quantity: str, index: int | None, dtype: Format) -> tuple[Exact, Exact]:
        """Its own formula and the definition, exactly, at point ``index``, or reduced over all (None)."""
        definition = self._exact(*definition_of(self.loss, quantity), self._terms(None, index), dtype)
        published = one.published if self.question.reduction == "published" else None
        if self.question.reduction != "published" and one.formula is None:
            return definition, definition
        if published and published.formula:
            own, differentiate = published.formula, quantity == "grad"
        else:
            own, differentiate = formula_of(self.loss, one, quantity)
        exact = self._exact(own, differentiate, self._terms(one, index), dtype)
        return exact, definition

    def _terms(self, one: Implementation | None, index: int | None) -> tuple[Term, ...]:
        terms = self._all_terms(one)
        return terms if index is None else (terms[index],)

    def _all_terms(self, one: Implementation | None) -> tuple[Term, ...]:
        """All points with the weights of the reduction; made once for each implementation, not for each row."""
        name = one.name if one and self.question.reduction == "published" else ""
        if name not in self._weighted:
            pairs = self.points.pairs()
            weights: Sequence[Fraction] = [Fraction(1)] * len(pairs)
            if self.question.reduction != "none":
                shape = self.question.shape or (len(pairs),)
                weights = exact_weights(self.loss, one, self.question.reduction, self.points.targets, shape, self.params)
            self._weighted[name] = tuple(Term(*each, weight) for each, weight in zip(pairs, weights, strict=True))
        return self._weighted[name]

    def _exact(self, formula: Formula, differentiate: bool, terms: tuple[Term, ...], dtype: Format) -> Exact:
        key = (formula, differentiate, terms, dtype.name)
        if key not in self._known:
            self._known[key] = exact_value(
                formula, list(terms), self.params, dtype, oracle=self.question.oracle, differentiate=differentiate
            )
        return self._known[key]


def definition_of(loss: Loss, quantity: str) -> tuple[Formula, bool]:
    """The definition of a quantity, and whether it still has to be differentiated."""
    return (loss.gradient if quantity == "grad" else loss.formula), False


def formula_of(loss: Loss, one: Implementation, quantity: str) -> tuple[Formula, bool]:
    """An implementation's own formula of a quantity, and whether it still has to be differentiated."""
    if one.formula is None:
        return definition_of(loss, quantity)
    if quantity == "grad" and one.formula_gradient:
        return one.formula_gradient, False
    return one.formula, quantity == "grad"
