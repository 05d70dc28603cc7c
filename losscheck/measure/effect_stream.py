"""What the points of an engine do to training: loss and gradient judged together against the definition, in the same pass."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from losscheck.core.dtypes import Format
from losscheck.core.effect import MISDIRECTING, Effect, EffectFinding, Scale, effect_rules
from losscheck.core.error import as_float64
from losscheck.core.finding import Side, finding
from losscheck.core.loss import Implementation, Loss
from losscheck.filter.classify import UNDECIDED, either, narrow
from losscheck.filter.scale import scale_of
from losscheck.measure.reference import Claim, Judged, Reference, definition_of, formula_of, quiet
from losscheck.measure.summary import KeptPoint

__all__ = ["EFFECT", "EFFECT_KEPT", "TAILS", "Effects", "error_of"]

EFFECT = "effect"  # the name of the stream beside loss and grad
SOUND, TAILS = Effect.SOUND.severity, Effect.TAILS.severity
EFFECT_KEPT = frozenset(range(SOUND))  # the effects whose segments are kept


@dataclass(frozen=True)
class Effects:
    """The effects of one implementation on logits of a dtype: what finds exact values of each quantity that was asked."""

    loss: Loss
    implementation: Implementation
    references: Mapping[str, Reference]
    dtype: Format

    @functools.cached_property
    def scale(self) -> Scale:
        first = next(iter(self.references.values()))
        of_loss, of_grad = (self.references.get(quantity, first) for quantity in ("loss", "grad"))
        return scale_of(self.loss, first.params, of_loss.dtype, of_grad.dtype, oracle=first.oracle)

    def definition(self, quantity: str) -> Claim:
        return definition_of(self.loss, quantity)

    def judge(self, xp: Any, logits: Any, targets: Any, results: Mapping[str, Any], judged: Mapping[str, Judged], exact: Any) -> Judged:
        """The codes of effects, and for their size the error in units of the scale, of float64 arrays of ``xp``.

        Args:
            results, judged: by quantity, what came out and its outcomes.
            exact: by quantity, the filter's values and bounds of the definition.
        """
        right = {
            quantity: self.references[quantity].values(xp, self.definition(quantity), logits, targets, exact[quantity])
            for quantity in results
        }
        failed = functools.reduce(operator.or_, (judged[quantity].codes < UNDECIDED for quantity in results))
        with quiet(xp):
            if plain := self._plainly_sound(xp, logits, results, right, failed):
                return plain
            codes, size, errors = self.rules(xp, logits, results, right, failed)
        return Judged(codes, size, errors={quantity: float(error.max()) if len(error) else 0.0 for quantity, error in errors.items()})

    def _plainly_sound(self, xp: Any, logits: Any, values: Mapping[str, Any], exact: Mapping[str, Any], failed: Any) -> Judged | None:
        """The same where all is finite: a point whose errors are below every threshold is sound by all rules, or one of the tails
        where an outcome failed, and only the others need them. None where something is not finite."""
        if not len(logits) or not (float(logits.min()) > -math.inf and float(logits.max()) < math.inf):
            return None
        errors = {quantity: abs(value - exact[quantity]) for quantity, value in values.items()}
        largest = {quantity: float(error.max()) for quantity, error in errors.items()}
        if not all(error < math.inf for error in largest.values()):
            return None
        scale, sizes = self.scale, []
        open_ = xp.zeros_like(failed)
        least = {
            "loss": scale.loss_tolerance * scale.loss_at_zero,
            "grad": min(scale.gradient_tolerance, MISDIRECTING * scale.material_gradient),
        }
        for quantity, unit in (("loss", scale.loss_at_zero), ("grad", scale.steepest)):
            if quantity in errors:
                if largest[quantity] > least[quantity]:
                    open_ |= errors[quantity] > least[quantity]
                sizes.append(errors[quantity] / unit)
        size, codes = functools.reduce(xp.maximum, sizes), either(xp, failed, TAILS, SOUND)
        where = xp.where(open_)[0]
        if len(where):
            some = (
                {quantity: value[where] for quantity, value in values.items()},
                {quantity: value[where] for quantity, value in exact.items()},
            )
            by_rules, size[where], _ = self.rules(xp, logits[where], *some, failed[where])
            codes[where] = narrow(xp, by_rules)
        return Judged(codes, size, errors=largest)

    def rules(
        self, xp: Any, logits: Any, values: Mapping[str, Any], exact: Mapping[str, Any], failed: Any
    ) -> tuple[Any, Any, dict[str, Any]]:
        """Codes, size and errors by quantity; for the operations of any engine, as those of classify.py are."""
        unjudged = ~(abs(logits) < math.inf)  # infinite and NaN logits have no effect
        errors, sizes = {}, []
        for quantity, unit in (("loss", self.scale.loss_at_zero), ("grad", self.scale.steepest)):
            if quantity in values:
                error = error_of(xp, values[quantity], exact[quantity], self.references[quantity].limits.overflow)
                errors[quantity] = xp.where(unjudged, 0.0, error)
                sizes.append(errors[quantity] / unit)
        loss, exact_loss, grad, exact_grad = (side.get(quantity) for quantity in ("loss", "grad") for side in (values, exact))
        codes = effect_rules(xp, loss, exact_loss, grad, exact_grad, failed, self.scale)
        return xp.where(unjudged, SOUND, codes), functools.reduce(xp.maximum, sizes), errors

    def finding(self, kept_point: KeptPoint, logit: float, target: float, errors: Mapping[str, float]) -> EffectFinding:
        """The facts of the worst point, its exact values those of the oracle; ``errors`` are the largest of all points."""
        sides = {}
        for quantity, reference in self.references.items():
            value = kept_point.loss if quantity == "loss" else kept_point.grad
            own, right = (
                as_float64(reference.at(claim, logit, target))
                for claim in (formula_of(self.loss, self.implementation, quantity, self.dtype), self.definition(quantity))
            )
            assert value is not None
            sides[quantity] = Side(value, own, right, failed=kept_point.code <= TAILS)
        found = finding(sides.get("loss"), sides.get("grad"), self.scale, logit=logit, target=target)
        return replace(found, loss_error=errors.get("loss"), grad_error=errors.get("grad"))


def error_of(xp: Any, value: Any, exact: Any, overflow: float) -> Any:
    """|value - exact|, 0 for the infinity that the exact value rounds to, infinite for a NaN."""
    error = abs(value - exact)
    right = (abs(value) == math.inf) & (value * exact > 0) & (abs(exact) >= overflow)
    return xp.where(right, 0.0, xp.where(error == error, error, math.inf))
