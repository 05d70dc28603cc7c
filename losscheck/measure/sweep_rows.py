"""Findings of a sweep as rows of a report: worst cases with their exact values, regions with their ends as floats."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from losscheck.core.error import absolute_error, classify, deviation, relative_error, ulp_error
from losscheck.core.exact import Exact
from losscheck.core.outcome import Outcome
from losscheck.core.results import BitDifference, PointRow, Region, SweepRow
from losscheck.filter.classify import CODES, bucket_name
from losscheck.measure.exact_side import definition_of
from losscheck.measure.examine import Examiner
from losscheck.measure.scanners import call_of, examiner_of, judged_dtype
from losscheck.measure.summary import Summary, Worst
from losscheck.measure.task import Finding, Task
from losscheck.oracle.refine import Term, exact_value

__all__ = ["bit_differences", "rows_of"]


def rows_of(tasks: Sequence[Task], findings: Sequence[Finding]) -> list[SweepRow]:
    """The rows of a finished sweep, in the order of the tasks."""
    return [_row(task, finding, quantity) for task, finding in zip(tasks, findings, strict=True) for quantity in task.quantities]


def _row(task: Task, finding: Finding, quantity: str) -> SweepRow:
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
        return SweepRow(**base, reason=finding.reason or "nothing was scanned")
    if (dtype := judged_dtype(task, quantity)) is not task.grid.dtype:
        base |= {"dtype": dtype.name, "logit_dtype": task.grid.dtype.name}
    worst = tuple(_point(task, quantity, each) for each in summary.worst)
    return SweepRow(
        **base,
        counts={CODES[code]: n for code, n in enumerate(summary.counts) if n},
        max_ulp=max((math.inf if math.isnan(row.ulp or 0.0) else abs(row.ulp or 0.0) for row in worst), default=0.0),
        worst=worst,
        regions=_regions(task, summary),
        histogram={bucket_name(n): count for n, count in enumerate(summary.histogram) if count},
        profile=_profile(task, summary),
        settled=summary.settled,
        checked=summary.checked,
        wrong=summary.wrong,
        nan_points=finding.nan_points,
        nan_wrong=finding.nan_wrong,
    )


def _point(task: Task, quantity: str, worst: Worst) -> PointRow:
    """A worst case as a row of compare: the filter's ulp replaced by the oracle's."""
    logit = task.grid.dtype.from_ordinal(worst.ordinal)
    examiner = examiner_of(task, quantity)
    dtype = examiner.dtype
    exact = examiner.exact(logit)
    definition = _definition(task, quantity, logit, examiner, exact)
    ulp = ulp_error(worst.value, exact, dtype)
    return PointRow(
        loss=task.loss.name,
        implementation=task.subject.implementation.name,
        backend=task.subject.backend,
        device=task.subject.device,
        dtype=dtype.name,
        quantity=quantity,
        params=task.params,
        logits=(logit,),
        targets=(task.target,),
        outcome=classify(worst.value, exact, ulp, dtype, task.question.max_ulp),
        value=worst.value,
        exact=exact,
        definition=definition,
        ulp=ulp,
        absolute_error=absolute_error(worst.value, exact),
        relative_error=relative_error(worst.value, exact),
        deviation=deviation(exact, definition),
        note=task.subject.implementation.note,
        mode=task.subject.mode,
        logit_dtype="" if dtype is task.grid.dtype else task.grid.dtype.name,
    )


def _definition(task: Task, quantity: str, logit: float, examiner: Examiner, exact: Exact) -> Exact:
    formula, differentiate = definition_of(task.loss, quantity)
    if (formula, differentiate) == (examiner.formula, examiner.differentiate):
        return exact
    term = Term(logit, task.target)
    return exact_value(formula, [term], task.params, examiner.dtype, oracle=task.question.oracle, differentiate=differentiate)


def _regions(task: Task, summary: Summary) -> tuple[Region, ...]:
    """Severest first, and within an outcome from low to high logits."""
    value = task.grid.dtype.from_ordinal
    return tuple(
        Region(CODES[code], value(band.first), value(band.last), band.last - band.first + 1, band.points)
        for code in sorted(summary.bands)
        for band in summary.bands[code]
    )


def _profile(task: Task, summary: Summary) -> tuple[tuple[float, float, Outcome | None], ...]:
    cells = zip(summary.profile_ulp, summary.profile_code, strict=True)
    middles = task.grid.cell_middles
    return tuple((middles[n], ulp, CODES[code] if code < len(CODES) else None) for n, (ulp, code) in enumerate(cells))


def bit_differences(tasks: Sequence[Task], findings: Sequence[Finding]) -> list[BitDifference]:
    """Layouts, devices and modes of the same implementation against the first of them, at the sample (or up to 2^16 floats)."""
    import numpy as np

    first: dict[tuple[Any, ...], Task] = {}
    found = []
    for task, finding in zip(tasks, findings, strict=True):
        one = task.subject.implementation
        key = (task.loss.name, one.name, task.subject.backend, task.grid.dtype.name, task.target)
        if finding.reason or first.setdefault(key, task) is task:
            continue
        logits = task.grid.some_logits(2**16)
        ours, theirs = call_of(task)(logits), call_of(first[key])(logits)
        for quantity, a, b in zip(("loss", "grad"), theirs, ours, strict=True):
            if quantity not in task.quantities:
                continue
            differ = (a != b) & ~(np.isnan(a) & np.isnan(b))
            where = f"{_where(task)} against {_where(first[key])}"
            shown = f"{one.name} {task.grid.dtype.name} target {task.grid.dtype.shortest(task.target)} {quantity}"
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
