"""What a state file says of itself, held against what its question and its shard ask for.

A file that was relabelled, emptied or mixed up reads as well as a sound one. What is merged must add up to the floats that were asked,
each of them once: so every figure that another one decides is worked out anew and compared.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator
from typing import Any

from losscheck.measure import task as task_module
from losscheck.measure.effect_stream import EFFECT, EFFECT_KEPT
from losscheck.measure.refusals import SEGMENTED
from losscheck.measure.summary import NO_CODE, NO_ULP, WORST, Summary
from losscheck.measure.task import Finding, Task

__all__ = ["Covered", "contradictions", "covered", "shard_range", "whole_number"]

# The first and the last ordinal of the chunks that are done, and how many points they hold; None when none is done.
Covered = tuple[int, int, int] | None


def shard_range(task: Task, shard: tuple[int, int]) -> range:
    """The chunks of a task that belong to shard I of N."""
    number, of = shard
    chunks = task.chunks()
    return range(chunks * (number - 1) // of, chunks * number // of)


def covered(task: Task, shard: tuple[int, int], done: int) -> Covered:
    """Which floats the first ``done`` chunks of a shard are."""
    grid, chunks = task.grid, shard_range(task, shard)[:done]
    if not chunks:
        return None
    if grid.sample is not None:
        return grid.first, grid.last, grid.points
    first = grid.first + chunks.start * task_module.CHUNK
    last = min(grid.first + chunks.stop * task_module.CHUNK - 1, grid.last)
    return first, last, last - first + 1


def whole_number(value: Any) -> bool:
    """Is it a number of things? true is an int to Python."""
    return type(value) is int and value >= 0


def contradictions(task: Task, finding: Finding, shard: tuple[int, int], *, complete: bool) -> Iterator[str]:
    """What cannot be true of a finding, given the task, the shard and how much of it is said to be done."""
    chunks = shard_range(task, shard)
    if not whole_number(finding.done) or finding.done > len(chunks) or (complete and finding.done < len(chunks)):
        yield f"{finding.done} chunks are done, and its shard has {len(chunks)}"
        return
    yield from _nan_counts(task, finding, chunks, complete=complete)
    span = covered(task, shard, finding.done)
    if unknown := set(finding.summaries) - {*task.measured, EFFECT}:
        yield f"it has results of {', '.join(sorted(unknown))}, which was not asked"
    for quantity in (*task.measured, EFFECT):
        summary = finding.summaries.get(quantity)
        points = span[2] if span else 0
        if summary is None:
            if points and not finding.reason:
                yield f"it has no {quantity} for {points} points"
            continue
        # Where some chunk could not run, the reason stands for its points.
        if not whole_number(summary.points) or summary.points > points or (summary.points < points and not finding.reason):
            yield f"it has {summary.points} points of the {quantity}, and its chunks hold {points}"
        elif span:
            yield from (
                f"{what} of the {quantity}"
                for what in _of_summary(task, summary, *span[:2], EFFECT_KEPT if quantity == EFFECT else SEGMENTED)
            )


def _nan_counts(task: Task, finding: Finding, chunks: range, *, complete: bool) -> Iterator[str]:
    """NaN logits are counted once, with the last chunk of a task that covers every float there is."""
    dtype = task.grid.dtype
    there = 2 * (2 ** (dtype.precision - 1) - 1) if task.grid.everything and chunks.stop == task.chunks() else 0
    must_be_counted = complete and not finding.reason
    if not (whole_number(finding.nan_points) and whole_number(finding.nan_wrong)):
        yield "its NaN logits are no whole numbers"
    elif finding.nan_points not in ((there,) if must_be_counted else (0, there)):
        yield f"it has {finding.nan_points} NaN logits, and there are {there}"
    elif finding.nan_wrong > finding.nan_points:
        yield f"{finding.nan_wrong} of {finding.nan_points} NaN logits are wrong"


def _of_summary(task: Task, summary: Summary, first: int, last: int, kept: Collection[int]) -> Iterator[str]:
    blank = Summary()
    for name in ("counts", "histogram", "profile_ulp", "profile_code"):
        if len(getattr(summary, name)) != len(getattr(blank, name)):
            yield f"{len(getattr(summary, name))} entries are in the {name}"
            return
    if not all(map(whole_number, [*summary.counts, *summary.histogram, summary.settled, summary.checked, summary.wrong, summary.gap])):
        yield "counts are no whole numbers"
        return
    for name in ("counts", "histogram"):
        if (total := sum(getattr(summary, name))) != summary.points:
            yield f"the {name} add up to {total} and not to the {summary.points} points"
    if not summary.wrong <= summary.checked <= summary.points or summary.settled > summary.points:
        yield f"{summary.wrong} of {summary.checked} checked points are wrong, and {summary.settled} of {summary.points} settled"
    if len(summary.worst) > WORST or not all(first <= kept_point.position <= last for kept_point in summary.worst):
        yield "the worst points lie outside its chunks"
    if not summary.worst and kept is SEGMENTED:
        yield f"none of {summary.points} points is the worst"
    if not all(point.code == code and first <= point.position <= last for code, point in summary.first.items()):
        yield "the first points of its outcomes lie outside its chunks"
    if any(start > last or end <= first for start, end in _profiled(task, summary)):
        yield "its profile shows floats outside its chunks"
    yield from _of_segments(task, summary, first, last, kept)


def _profiled(task: Task, summary: Summary) -> Iterator[tuple[int, int]]:
    """The cells of the profile in which there are points: their first ordinals, and those one past their ends."""
    shown = zip(summary.profile_ulp, summary.profile_code, NO_ULP, NO_CODE, strict=True)
    cells = itertools.pairwise(task.grid.cell_starts)
    return (cell for cell, (ulp, code, no_ulp, no_code) in zip(cells, shown, strict=True) if (ulp, code) != (no_ulp, no_code))


def _of_segments(task: Task, summary: Summary, first: int, last: int, kept: Collection[int]) -> Iterator[str]:
    if not set(summary.segments) <= set(kept):
        yield "there are regions of an outcome that is none"
        return
    for code in sorted(kept):
        segments, end = summary.segments[code].tolist() if code in summary.segments else [], first - 1
        for start, stop, points in segments:
            if not end < start <= stop <= last:
                yield f"the regions of outcome {code} overlap or lie outside its chunks"
                return
            if not 1 <= points <= stop - start + 1:
                yield f"a region of outcome {code} holds {points} of {stop - start + 1} floats"
            end = stop
        inside = sum(points for _, _, points in segments)
        # The regions of a sample are bisected: they hold more floats than the sample.
        if inside != summary.counts[code] if task.grid.exhaustive else inside < summary.counts[code]:
            yield f"the regions of outcome {code} hold {inside} points, and {summary.counts[code]} are counted"
