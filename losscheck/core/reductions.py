"""The reductions: how the losses of the elements become one number, in exact weights and in arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from losscheck.core.loss import Implementation, Loss, Weights

__all__ = ["REDUCTIONS", "Reduction", "exact_weights"]


@dataclass(frozen=True)
class Reduction:
    """``weights(targets, shape)`` are the exact shares of the elements; ``function(loss, target)`` reduces arrays."""

    name: str
    weights: Weights
    function: Callable[[Any, Any], Any]


def _mean(targets: Sequence[float], shape: Sequence[int]) -> list[Fraction]:
    return [Fraction(1, len(targets))] * len(targets)


def _sum(targets: Sequence[float], shape: Sequence[int]) -> list[Fraction]:
    return [Fraction(1)] * len(targets)


def _normalised(targets: Sequence[float], shape: Sequence[int]) -> list[Fraction]:
    """Divided by the number of targets equal to 1; not divided when there is none."""
    return [Fraction(1, max(sum(target == 1 for target in targets), 1))] * len(targets)


def _normalised_array(loss: Any, target: Any) -> Any:
    positives = int((target == 1).sum())
    return loss.sum() / positives if positives else loss.sum()


REDUCTIONS = {
    "mean": Reduction("mean", _mean, lambda loss, target: loss.mean()),
    "sum": Reduction("sum", _sum, lambda loss, target: loss.sum()),
    "normalised": Reduction("normalised", _normalised, _normalised_array),
}


def exact_weights(
    loss: Loss,
    implementation: Implementation | None,
    reduction: str,
    targets: Sequence[float],
    shape: Sequence[int],
    params: Mapping[str, float],
) -> Sequence[Fraction]:
    """The exact share of every element under a reduction.

    ``published`` is the implementation's own where it has a whole of its own, and the loss's otherwise (also for no
    implementation, the definition).
    """
    if reduction == "published":
        whole = implementation.published if implementation else None
        if whole is not None and not isinstance(whole.weights, str):
            return whole.weights(targets, shape, **params)
        reduction = whole.weights if whole is not None and isinstance(whole.weights, str) else loss.reduction
    return REDUCTIONS[reduction].weights(targets, shape)
