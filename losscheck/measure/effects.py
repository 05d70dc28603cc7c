"""What listed points do to training: the rows of a loss and its gradient at one point, judged together."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

from losscheck.core.dtypes import format_named
from losscheck.core.effect import EffectFinding, Scale
from losscheck.core.error import as_float64
from losscheck.core.finding import Side, finding
from losscheck.core.loss import Loss
from losscheck.core.outcome import Outcome
from losscheck.core.results import PointRow
from losscheck.filter.scale import scale_of

__all__ = ["point_effect", "with_effects"]


def with_effects(rows: Iterable[PointRow], loss: Loss, oracle: str = "flint") -> list[PointRow]:
    """The rows, in their order, with the effect of their point: that of the loss and the gradient of one subject together.

    Infinite and NaN logits, and points where something is unknown or nothing ran, stay without.

    Args:
        rows: elementwise ones of one loss (a gradient of a mean is on another scale); any number of subjects and points.
    """
    rows = list(rows)
    points: dict[tuple[object, ...], list[PointRow]] = {}
    for row in rows:
        points.setdefault(_point(row), []).append(row)
    effects = {key: point_effect(group, loss, oracle) for key, group in points.items()}
    return [replace(row, effect=effects[_point(row)]) for row in rows]


def point_effect(rows: Iterable[PointRow], loss: Loss, oracle: str = "flint") -> EffectFinding | None:
    """The effect of one point of one subject, from its rows: the loss, the gradient, or both; None where it has none."""
    ran = [row for row in rows if row.outcome is not Outcome.UNAVAILABLE]
    if not ran or any(row.outcome is Outcome.UNDECIDED or len(row.logits) != 1 or not math.isfinite(row.logits[0]) for row in ran):
        return None
    by_quantity = {row.quantity: row for row in ran}
    scale = _scale(by_quantity.get("loss", ran[0]), by_quantity.get("grad", ran[0]), loss, oracle)
    sides = {quantity: _side(row) for quantity, row in by_quantity.items()}
    return finding(sides.get("loss"), sides.get("grad"), scale, logit=ran[0].logits[0], target=ran[0].targets[0])


def _scale(of_loss: PointRow, of_grad: PointRow, loss: Loss, oracle: str) -> Scale:
    return scale_of(loss, of_loss.params, format_named(of_loss.dtype), format_named(of_grad.dtype), oracle=oracle)


def _side(row: PointRow) -> Side:
    assert row.value is not None and row.exact is not None and row.definition is not None
    return Side(row.value, as_float64(row.exact), as_float64(row.definition), row.outcome.failed)


def _point(row: PointRow) -> tuple[object, ...]:
    """What the loss and the gradient of one point have in common; a repeated point is one point."""
    return row.implementation, row.backend, row.device, row.mode, row.given_dtype, repr(row.logits), repr(row.targets)
