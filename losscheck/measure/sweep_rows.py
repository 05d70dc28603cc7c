"""Findings of a sweep as rows of a report: worst points with their exact values, regions with their ends as floats."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from losscheck.callables.printed import stdout_to_stderr
from losscheck.core.deferred import Deferred
from losscheck.core.effect import EFFECTS, MOST_PARTS, Effect, EffectFinding
from losscheck.core.outcome import Outcome
from losscheck.core.results import BitDifference, PointRow, Region, SweepRow
from losscheck.filter.classify import CODES, bucket_name
from losscheck.measure.effect_stream import EFFECT
from losscheck.measure.engines import References, call_of, effects_of
from losscheck.measure.onset import onsets_of
from losscheck.measure.point_rows import point_row
from losscheck.measure.reference import Reference, definition_of, formula_of
from losscheck.measure.refusals import REFUSED
from losscheck.measure.summary import KeptPoint, Summary
from losscheck.measure.task import Finding, Task

__all__ = ["bit_differences", "rows_of"]

# By the codes of a profile, whose last is that of a cell without a point.
OUTCOME_OF_CELL, EFFECT_OF_CELL = (*CODES, None), (*EFFECTS, None)
ENDS, BETWEEN = 3, 6  # regions whose ends, and logits over the range, that a picture shows with their numbers


def rows_of(tasks: Sequence[Task], findings: Sequence[Finding]) -> list[SweepRow]:
    """The rows of a finished sweep, in the order of the tasks."""
    references = References()
    return [
        _row(task, finding, quantity, references) for task, finding in zip(tasks, findings, strict=True) for quantity in task.quantities
    ]


def _row(task: Task, finding: Finding, quantity: str, references: References) -> SweepRow:
    base: dict[str, Any] = {
        "loss": task.loss.name,
        "implementation": task.subject.implementation.name,
        "backend": task.subject.backend,
        "device": task.subject.device,
        "dtype": task.grid.dtype.name,
        "quantity": quantity,
        "layout": task.layout,
        "params": task.params,
        "target": task.target,
        "low": task.grid.low + 0.0,  # a range from 0 begins at -0, and is not called so
        "high": task.grid.high,
        "points": task.grid.points,
        "exhaustive": task.grid.exhaustive,
        "mode": task.subject.mode,
    }
    summary = finding.summaries.get(quantity)
    if finding.reason or summary is None:
        return SweepRow(**base, reason=finding.reason or task.why_not_measured(quantity) or "nothing was scanned")
    reference = references.of(task, quantity)
    if reference.dtype is not task.grid.dtype:
        base |= {"dtype": reference.dtype.name, "logit_dtype": task.grid.dtype.name}
    base["effect"] = _effect(task, finding.summaries.get(EFFECT), references)
    worst = tuple(_point(task, quantity, reference, kept_point) for kept_point in summary.worst if kept_point.code != REFUSED)
    if summary.counts[REFUSED] == summary.points:
        return SweepRow(**base, reason=summary.refusal or "nothing was scanned")
    regions, counts = _regions(task, summary), _counts(summary)
    return SweepRow(
        **base | {"points": sum(counts.values())},
        counts=counts,
        max_ulp=max((math.inf if math.isnan(row.ulp or 0.0) else abs(row.ulp or 0.0) for row in worst), default=0.0),
        worst=worst,
        shown=Deferred(lambda: _shown(task, quantity, reference, regions)),
        regions=regions,
        histogram={bucket_name(n): count for n, count in enumerate(summary.histogram) if count},
        profile=_profile(task, summary),
        effects=_effects(finding.summaries.get(EFFECT)),
        settled=summary.settled,
        checked=summary.checked,
        wrong=summary.wrong,
        nan_points=finding.nan_points,
        nan_wrong=finding.nan_wrong,
        refusal=summary.refusal if summary.counts[REFUSED] else "",
        onsets=onsets_of(task, quantity, summary),
    )


def _effect(task: Task, summary: Summary | None, references: References) -> EffectFinding | None:
    """The effect of the worst point, and the regions of that effect."""
    if summary is None or not summary.worst:
        return None
    kept_point, value = summary.worst[0], task.grid.dtype.from_ordinal
    errors = {"loss": summary.loss_error, "grad": summary.grad_error}
    asked = {quantity: errors[quantity] for quantity in task.measured}
    found = effects_of(task, references).finding(kept_point, value(kept_point.position), task.target, asked)
    if kept_point.code not in summary.segments:
        return found
    ends = [(value(first), value(last)) for first, last, _ in summary.segments[kept_point.code].tolist()]
    width = task.grid.high - task.grid.low
    share = min(1.0, sum(last - first for first, last in ends) / width) if 0 < width < math.inf else None
    return replace(
        found,
        first=ends[0][0],
        last=ends[-1][1],
        share=share,
        parts=tuple(ends) if len(ends) <= MOST_PARTS else (),
        onsets=onsets_of(task, EFFECT, summary),
    )


def _counts(summary: Summary) -> dict[Outcome, int]:
    """Points by outcome; a region that was met beside the sample, of an outcome that no point of it has, counts as a point."""
    met = {code: len(segments) for code, segments in summary.segments.items()}
    return {CODES[code]: n or met[code] for code, n in enumerate(summary.counts) if n or code in met}


def _shown(task: Task, quantity: str, reference: Reference, regions: Sequence[Region]) -> tuple[PointRow, ...]:
    """Points for a picture, each with what came out and what is right: the ends of the severest regions, and a few between."""
    import numpy as np

    ends = [end for region in regions[:ENDS] for end in (region.first, region.last)]
    middles = task.grid.cell_middles
    logits = list(dict.fromkeys([*ends, *middles[:: max(1, len(middles) // BETWEEN)]]))
    try:
        with stdout_to_stderr():
            returned = call_of(task)(np.array(logits, np.float64 if task.grid.dtype.bits == 64 else np.float32))
    except (RuntimeError, TypeError, ValueError):
        return ()  # it takes no batch of these; its worst points are shown all the same
    values = returned.grad if quantity == "grad" else returned.loss
    if values is None:
        return ()
    refused = returned.refused.get(quantity, np.zeros(len(logits), bool))
    code = 0
    return tuple(
        _point(task, quantity, reference, KeptPoint(task.grid.dtype.ordinal(logit), code, 0.0, **{quantity: float(value)}))
        for logit, value, is_refused in zip(logits, values, refused, strict=True)
        if not is_refused
    )


def _point(task: Task, quantity: str, reference: Reference, kept_point: KeptPoint) -> PointRow:
    """A worst point as a row of compare: the filter's ulp replaced by the oracle's."""
    logit = task.grid.dtype.from_ordinal(kept_point.position)
    own = formula_of(task.loss, task.subject.implementation, quantity, task.grid.dtype)
    claims = own, definition_of(task.loss, quantity)
    exact, definition = (reference.at(claim, logit, task.target, printable=True) for claim in claims)
    value = kept_point.grad if quantity == "grad" else kept_point.loss
    assert value is not None
    return point_row(
        task.loss,
        task.subject,
        quantity,
        reference,
        (logit,),
        (task.target,),
        value,
        exact,
        definition,
        logit_dtype="" if reference.dtype is task.grid.dtype else task.grid.dtype.name,
    )


def _regions(task: Task, summary: Summary) -> tuple[Region, ...]:
    """Severest first, and within an outcome from low to high logits."""
    value = task.grid.dtype.from_ordinal
    return tuple(
        Region(CODES[code], value(first), value(last), last - first + 1, points)
        for code in sorted(summary.segments)
        for first, last, points in summary.segments[code].tolist()
    )


def _profile(task: Task, summary: Summary) -> tuple[tuple[float, float, Outcome | None], ...]:
    outcomes = [OUTCOME_OF_CELL[min(code, len(CODES))] for code in summary.profile_code]
    return tuple(zip(task.grid.cell_middles[: len(outcomes)], summary.profile_ulp, outcomes, strict=True))


def _effects(summary: Summary | None) -> tuple[Effect | None, ...]:
    return tuple(EFFECT_OF_CELL[min(code, len(EFFECTS))] for code in summary.profile_code) if summary else ()


def bit_differences(tasks: Sequence[Task], findings: Sequence[Finding]) -> list[BitDifference]:
    """Layouts, devices and modes of the same implementation against the first of them, at the sample (or up to 2^16 floats)."""
    import numpy as np

    first: dict[tuple[Any, ...], Task] = {}
    found = []
    for task, finding in zip(tasks, findings, strict=True):
        name = task.subject.implementation.name
        key = (task.loss.name, name, task.subject.backend, task.grid.dtype.name, task.target)
        if finding.reason or first.setdefault(key, task) is task:
            continue
        logits = task.grid.some_logits(2**16)
        ours, theirs = call_of(task)(logits), call_of(first[key])(logits)
        for quantity, a, b in (("loss", theirs.loss, ours.loss), ("grad", theirs.grad, ours.grad)):
            if quantity not in task.measured:
                continue
            differ = (a != b) & ~(np.isnan(a) & np.isnan(b))
            where = f"{_where(task)} against {_where(first[key])}"
            shown = f"{name} {task.grid.dtype.name} target {task.grid.dtype.shortest(task.target)} {quantity}"
            what = f"{shown}: {where}"
            if not differ.any():
                found.append(BitDifference(what, len(logits), 0))
                continue
            # In float64: the least divisor is 0 in float32, and 0 / 0 would be a warning and a NaN.
            a, b = a.astype(np.float64), b.astype(np.float64)
            with np.errstate(all="ignore"):
                size = np.where(differ, np.nan_to_num(abs(a - b), nan=np.inf) / np.maximum(abs(a), 1e-300), -1.0)
            worst = int(size.argmax())
            found.append(BitDifference(what, len(logits), int(differ.sum()), float(logits[worst]), float(b[worst]), float(a[worst])))
    return found


def _where(task: Task) -> str:
    mode = "" if task.subject.mode == "eager" else f" {task.subject.mode}"
    return f"{task.subject.device} {task.layout}{mode}"
