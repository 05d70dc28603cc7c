"""Which logits and targets: read, rounded once to the dtype under test, paired, checked against the domain."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from losscheck.core.dtypes import Format
from losscheck.core.errors import UserError
from losscheck.core.loss import Loss

__all__ = ["RoundedPoints", "pair"]


@dataclass(frozen=True)
class RoundedPoints:
    """Logits and targets of one length, all of them floats of the dtype."""

    logits: tuple[float, ...]
    targets: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.logits)

    def pairs(self) -> list[tuple[float, float]]:
        return list(zip(self.logits, self.targets, strict=True))


def pair(logits: Sequence[str | float], targets: Sequence[str | float], dtype: Format) -> RoundedPoints:
    """One target for all logits, or one each.

    Raises:
        UserError: for text that is no number, other lengths, or a target outside [0, 1].
    """
    if not logits:
        raise UserError("no logit was given", "add --logit, for example --logit 1.5")
    if len(targets) not in (1, len(logits)):
        raise UserError(
            f"{len(logits)} logits and {len(targets)} targets do not pair",
            "give one --target for all logits, or one for each --logit in the same order",
        )
    xs = tuple(_number(logit, "logit", dtype) for logit in logits)
    zs = tuple(_number(target, "target", dtype) for target in targets)
    for written, z in zip(targets, zs, strict=True):
        if not 0 <= z <= 1:
            raise UserError(f"target {written} is outside [0, 1]", "a target is a label or a heatmap value between 0 and 1")
    return RoundedPoints(xs, zs if len(zs) == len(xs) else zs * len(xs))


def check_domain(points: RoundedPoints, loss: Loss) -> None:
    """Refuse targets that the loss does not take.

    Raises:
        UserError: saying why, and what to do instead.
    """
    for target in points.targets:
        loss.check_target(target)


def _number(value: str | float, what: str, dtype: Format) -> float:
    if isinstance(value, str):
        return dtype.parse(value, what)
    value = float(value)
    rounded = dtype.round(value)
    if math.isinf(rounded) and math.isfinite(value):
        return dtype.parse(repr(value), what)  # raises, with the cure
    return rounded
