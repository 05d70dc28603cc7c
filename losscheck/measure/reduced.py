"""The reduced loss of a batch: as it came out, as it should be, and which part of the difference is whose.

The exact sums are taken by the oracle, term by term, where the batch is small enough for it; otherwise in float64, with
the filter's bounds added up beside the values, and without rounding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from losscheck.core.batch_rows import Whole
from losscheck.core.dtypes import FLOAT64, Format
from losscheck.core.error import deviation
from losscheck.core.exact import Exact, Kind
from losscheck.core.loss import Implementation, Loss
from losscheck.core.outcome import Outcome
from losscheck.core.reductions import exact_weights
from losscheck.core.request import Request
from losscheck.measure.point_rows import PointRows
from losscheck.measure.reference import MOST_ASKED, Claim, Reference, definition_of, formula_of
from losscheck.measure.sums import Total
from losscheck.points.batch import Elements
from losscheck.points.listed import RoundedPoints

__all__ = ["SMALL", "Shares", "Wholes", "weights_of"]

# Elements of a batch whose exact sums the oracle takes: a second or two. Float64, where the filter says little, may ask more.
SMALL = 2**12
SMALL_FLOAT64 = 2**15


@dataclass(frozen=True)
class Shares:
    """The exact share of each element: one for all, or float64 numbers within 2^-53 of them."""

    uniform: Fraction | None
    by_element: Any = None

    def apply(self, values: Any, places: Any) -> Any:
        return values if self.by_element is None else values * self.by_element[places]


def weights_of(loss: Loss, implementation: Implementation | None, reduction: str, elements: Elements, params: dict[str, float]) -> Shares:
    """As :func:`losscheck.core.reductions.exact_weights`, for arrays."""
    import numpy as np

    whole = implementation.published if implementation and reduction == "published" else None
    if whole is None or isinstance(whole.weights, str):
        name = whole.weights if whole is not None and isinstance(whole.weights, str) else loss.reduction
        name = reduction if reduction != "published" else name
        positives = max(elements.summary.positives, 1)
        if name in (known := {"sum": Fraction(1), "mean": Fraction(1, len(elements)), "normalised": Fraction(1, positives)}):
            return Shares(known[name])
    found = exact_weights(loss, implementation, reduction, elements.targets.tolist(), elements.shape or (1,), params)
    # A weight is one object for many elements, which is converted once.
    known_by_id = {id(weight): float(weight) for weight in {id(weight): weight for weight in found}.values()}
    return Shares(None, np.fromiter((known_by_id[id(weight)] for weight in found), np.float64, len(found)))


@dataclass
class Wholes:
    """The sums that the blocks of a batch add up to, for every implementation of implementation loss."""

    question: Request
    loss: Loss
    elements: Elements
    params: dict[str, float]
    reference: Reference
    exacts: dict[tuple[Any, str], Total] = field(default_factory=dict)
    computed: dict[Any, Total] = field(default_factory=dict)
    _weights: dict[str, Shares] = field(default_factory=dict)
    _points: PointRows | None = None

    @property
    def asked(self) -> bool:
        return self.question.reduction != "none" and "loss" in self.question.quantities

    @property
    def small(self) -> bool:
        """Does the oracle take the sums?"""
        return len(self.elements) <= (SMALL if self.elements.dtype.bits < 64 else SMALL_FLOAT64)

    def weights(self, implementation: Implementation | None) -> tuple[str, Shares]:
        """The weights of an implementation's whole, None for the definition's, and their key."""
        own = implementation is not None and self.question.reduction == "published" and implementation.published is not None
        key = implementation.name if own and implementation is not None else ""
        if key not in self._weights:
            self._weights[key] = weights_of(self.loss, implementation, self.question.reduction, self.elements, self.params)
        return key, self._weights[key]

    def sum_key(self, claim: Claim, implementation: Implementation | None) -> tuple[Claim, str]:
        """What tells sums apart: a weight that all elements share is no part of theirs."""
        name, weights = self.weights(implementation)
        return claim, name if weights.uniform is None else ""

    def claim(self, implementation: Implementation) -> Claim:
        """The formula whose weighted sum the whole claims to be."""
        if self.question.reduction == "published" and implementation.published and implementation.published.formula:
            return Claim(implementation.published.formula, False)
        return formula_of(self.loss, implementation, "loss", self.elements.dtype)

    def add_exact(
        self, claim: Claim, implementation: Implementation | None, block: tuple[Any, Any, Any], filtered: tuple[Any, Any]
    ) -> None:
        """A block (places, logits, targets) as the filter sees it; its doubtful elements as the oracle does."""
        import numpy as np

        if self.small:
            return
        weights = self.weights(implementation)[1]
        total = self.exacts.setdefault(self.sum_key(claim, implementation), Total())
        places, logits, targets = block
        value, bound = filtered
        clear = bound < 2.0**-30
        weighted = weights.apply(value, places)
        slack = 0.0 if weights.by_element is None else 2.0**-51
        if clear.all():
            total.add(weighted, bound + slack if slack else bound)
            return
        total.add(weighted[clear], bound[clear] + slack)
        doubtful = np.flatnonzero(~clear)
        asked = doubtful[: max(0, MOST_ASKED - total.asked)]
        total.asked += len(asked)
        for n in asked:
            share = Fraction(1) if weights.by_element is None else Fraction(float(weights.by_element[places[n]]))
            total.add_exact(self.reference.at(claim, float(logits[n]), float(targets[n])), share)
        # Beyond that the enclosure is only as wide as the filter leaves it, where it knows anything.
        rest = doubtful[len(asked) :]
        known = rest[bound[rest] < 0.5]
        total.add(weighted[known], bound[known] + slack)
        total.unknown += len(rest) - len(known)

    def add_computed(self, subject: Any, places: Any, values: Any) -> None:
        """A block of losses as an implementation computed them."""
        _, weights = self.weights(subject.implementation)
        self.computed.setdefault(subject, Total()).add(weights.apply(values, places))

    def whole(self, subject: Any, computed: tuple[float, Format] | str) -> Whole:
        """The reduced loss that an implementation returned with its dtype, or its reason for none, beside the exact ones."""
        implementation = subject.implementation
        blank = Whole(
            self.question.reduction, Outcome.UNAVAILABLE, note=implementation.published.note if self._published(implementation) else ""
        )
        if isinstance(computed, str):
            return replace(blank, reason=computed)
        value, dtype = computed
        blank = replace(blank, value=value)
        if count := self.elements.summary.outside.count:
            return replace(blank, reason=f"its targets outside [0, 1] ({count}) have no exact loss")
        exact, pinned, definition = self._exacts(implementation, dtype)
        outcome, ulp = Reference(self.params, dtype, self.question.oracle, self.question.max_ulp).judge(value, exact)
        parts = self._parts(subject, value, exact, dtype)
        if not pinned and outcome in (Outcome.OK, Outcome.INACCURATE, Outcome.LOST, Outcome.FLUSHED):
            outcome = _despite_radius(outcome, ulp, exact, dtype, self.question.max_ulp)
        how = "by the oracle, term by term" if self.small else "in float64 with bounds, and without rounding"
        found = replace(blank, exact=exact, definition=definition, outcome=outcome, method=how, deviation=deviation(exact, definition))
        if outcome is Outcome.UNDECIDED:
            # The enclosure is wider than the error. What the reduction added is known all the same.
            return replace(found, **{**parts, "element_ulp": None})
        return replace(found, ulp=ulp, **parts)

    def _published(self, implementation: Implementation) -> bool:
        return self.question.reduction == "published" and implementation.published is not None

    def _exacts(self, implementation: Implementation, dtype: Format) -> tuple[Exact, bool, Exact]:
        if self.elements.summary.nan.count:
            unknown = Exact(Kind.NAN, math.nan)
            return unknown, True, unknown
        if self.small:
            if self._points is None:
                points = RoundedPoints(tuple(self.elements.logits.tolist()), tuple(self.elements.targets.tolist()))
                self._points = PointRows(self.question, self.loss, self.elements.dtype, points, self.params)
            exact, definition = self._points.pair(implementation, "loss", None, dtype)
            return exact, True, definition
        exact, pinned = self._sum(self.claim(implementation), implementation, dtype)
        definition, _ = self._sum(definition_of(self.loss, "loss"), None, dtype)
        return exact, pinned, exact if definition == exact else definition

    def _sum(self, claim: Claim, implementation: Implementation | None, dtype: Format) -> tuple[Exact, bool]:
        weights = self.weights(implementation)[1]
        total = self.exacts[self.sum_key(claim, implementation)]
        return (total if weights.uniform is None else total.times(weights.uniform)).exact(dtype)

    def _parts(self, subject: Any, value: float, exact: Exact, dtype: Format) -> dict[str, Any]:
        """Of the error, what the elements brought and what their reduction added."""
        implementation = subject.implementation
        if (
            (self._published(implementation) and implementation.published.formula)
            or subject not in self.computed
            or exact.kind is not Kind.FINITE
        ):
            return {}
        _, weights = self.weights(implementation)
        total = self.computed[subject]
        total = total if weights.uniform is None else total.times(weights.uniform)
        found = total.value
        if isinstance(found, float):
            # NaN or infinite elements are the whole story.
            return {"elements": found, "element_ulp": found}
        unit = Fraction(2) ** dtype.ulp_exponent(max(exact.magnitude, dtype.least_exponent - 1))
        mantissa, exponent = exact.middle
        middle = mantissa * Fraction(2) ** max(exponent, -(2**14))
        parts = {"elements": dtype.round_fraction(found), "element_ulp": _float((found - middle) / unit)}
        rest = _float((Fraction(value) - found) / unit) if math.isfinite(value) else value
        return {**parts, "reduction_ulp": rest}


def _despite_radius(outcome: Outcome, ulp: float, exact: Exact, dtype: Format, max_ulp: float) -> Outcome:
    """What remains certain where the enclosure is wider than an ulp."""
    mantissa, exponent = exact.radius
    spread = _float(mantissa * Fraction(2) ** (exponent - dtype.ulp_exponent(exact.magnitude)))
    if outcome in (Outcome.LOST, Outcome.FLUSHED):
        return outcome if abs(ulp) > spread else Outcome.UNDECIDED
    if abs(ulp) - spread > max_ulp:
        return Outcome.INACCURATE
    return Outcome.OK if abs(ulp) + spread <= max_ulp else Outcome.UNDECIDED


def _float(value: Fraction) -> float:
    return FLOAT64.round_fraction(value)
