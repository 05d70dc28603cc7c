"""Rows of sweeps as a ranking: loss and gradient together, the worst over the targets, backends that agree as one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from losscheck.core.effect import Effect, EffectFinding
from losscheck.core.outcome import Outcome
from losscheck.core.ranking import RankedRow
from losscheck.core.results import SweepRow

__all__ = ["ranked"]

NOT_FINITE = (Outcome.NAN, Outcome.INF)
TOUCHING = 0.5  # of two regions of different kinds that lie this close a reader sees one


def ranked(sweeps: Iterable[SweepRow]) -> list[RankedRow]:
    """The implementations of the sweeps, by loss and dtype in the order they come in, the best first within each."""
    groups: dict[tuple[str, str], dict[tuple[str, ...], list[SweepRow]]] = {}
    for row in sweeps:
        subject = (row.implementation, row.backend, row.device, row.mode)
        groups.setdefault((row.loss, row.given_dtype), {}).setdefault(subject, []).append(row)
    return [row for subjects in groups.values() for row in sorted(_merged(map(_row, subjects.values())), key=lambda row: row.rank)]


def _row(rows: Sequence[SweepRow]) -> RankedRow:
    first = rows[0]
    findings = {row.target: row.effect for row in rows if row.effect is not None}
    worst_first = sorted(findings.values(), key=_badness)
    outcomes = {outcome for row in rows for outcome, count in row.counts.items() if count}
    return RankedRow(
        loss=first.loss,
        implementation=first.implementation,
        backend=first.backend,
        device=first.device,
        dtype=first.dtype,
        quantity="both",
        params=first.params,
        mode=first.mode,
        logit_dtype=first.logit_dtype,
        reason="" if findings else next((row.reason for row in rows if row.reason), ""),
        absence=next((row.absence for row in rows if row.absence), None),
        effect=worst_first[0] if worst_first else None,
        backends=(first.backend,),
        targets=tuple(findings) or tuple(dict.fromkeys(row.target for row in rows)),
        low=first.low,
        high=first.high,
        points=first.points,
        exhaustive=first.exhaustive,
        findings=tuple(worst_first),
        spans=_spans(rows, worst_first[0]) if worst_first and worst_first[0].effect is Effect.POISONS else (),
        outcomes=tuple(sorted(outcomes, key=lambda outcome: outcome.severity)),
        max_ulp=max((math.inf if math.isnan(row.max_ulp) else row.max_ulp for row in rows), default=0.0),
        note=next((point.note for row in rows for point in row.worst if point.note), ""),
        curves=tuple(rows),
    )


def _spans(rows: Sequence[SweepRow], worst: EffectFinding) -> tuple[tuple[float, float], ...]:
    """The runs of logits at which loss or gradient is NaN or infinite, at the target that is worst; what touches is one."""
    regions = [region for row in rows if row.target == worst.target for region in row.regions if region.outcome in NOT_FINITE]
    spans: list[tuple[float, float]] = []
    for region in sorted(regions, key=lambda region: region.first):
        if spans and region.first <= math.nextafter(spans[-1][1], math.inf) + TOUCHING:
            spans[-1] = spans[-1][0], max(spans[-1][1], region.last)
        else:
            spans.append((region.first, region.last))
    return tuple(spans)


def _badness(finding: EffectFinding) -> tuple[int, float]:
    return finding.effect.severity, -(finding.share or 0.0)


def _merged(rows: Iterable[RankedRow]) -> list[RankedRow]:
    """numpy and torch as one line where they say the same: the same effect at the same target, from nearly the same logit."""
    merged: list[RankedRow] = []
    for row in rows:
        twin = next((other for other in merged if _alike(other, row)), None)
        if twin is None:
            merged.append(row)
        else:
            worse = max(twin, row, key=lambda either: either.rank)
            merged[merged.index(twin)] = replace(worse, backends=(*twin.backends, *row.backends), max_ulp=max(twin.max_ulp, row.max_ulp))
    return merged


def _alike(a: RankedRow, b: RankedRow) -> bool:
    if (a.implementation, a.device, a.mode, bool(a.reason)) != (b.implementation, b.device, b.mode, bool(b.reason)):
        return False
    if a.effect is None or b.effect is None:
        return a.reason == b.reason
    if a.effect.effect is not b.effect.effect:
        return False
    if not a.harmful:
        return True
    ends = ((a.effect.first, b.effect.first), (a.effect.last, b.effect.last))
    return a.effect.target == b.effect.target and all(x == y or abs((x or 0) - (y or 0)) < 0.5 for x, y in ends)
