"""Neighbouring regions of one trend as one: an error that grows past the limit crosses it many times on its way."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from losscheck.core.outcome import Outcome
from losscheck.core.results import Region

__all__ = ["Trend", "trends"]


@dataclass(frozen=True)
class Trend:
    """``regions`` regions of one outcome from ``first`` to ``last``; ``floats`` and ``points`` are those inside the regions."""

    outcome: Outcome
    first: float
    last: float
    floats: int
    points: int
    regions: int = 1


def trends(regions: Iterable[Region]) -> list[Trend]:
    """From low to high logits. Regions join when they have one outcome, no other failure lies between them, and the gap, in
    logits, is no longer than the longer of the two: what lies there is the exception, not the rule."""
    joined: list[Trend] = []
    for region in sorted(regions, key=lambda region: region.first):
        single = Trend(region.outcome, region.first, region.last, region.floats, region.points)
        if joined and _one_trend(joined[-1], single):
            joined[-1] = _together(joined[-1], single)
        else:
            joined.append(single)
    return joined


def _one_trend(before: Trend, after: Trend) -> bool:
    """Asked so that NaN, of infinite ends, joins nothing."""
    gap = after.first - before.last
    return before.outcome is after.outcome and (gap <= before.last - before.first or gap <= after.last - after.first)


def _together(before: Trend, after: Trend) -> Trend:
    return Trend(
        before.outcome,
        before.first,
        after.last,
        before.floats + after.floats,
        before.points + after.points,
        before.regions + after.regions,
    )
