"""The results of a case beside each other: arrays in the order of their logits, block by block, and their mirror images."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from losscheck.gating.measured import Measured
from losscheck.measure.engines import call_of

__all__ = ["Segment", "segments"]

BLOCK = 2**20  # floats of a range whose values are held at once


@dataclass(frozen=True)
class Segment:
    """Logits in rising order with their results, as arrays, for one target; ``continues`` the segment before it."""

    target: float
    logits: Any
    values: Any
    continues: bool = False


def segments(measured: Measured, mirrored: bool = False) -> Iterator[Segment]:
    """All logits and results, block by block; ``mirrored`` gives f(-x, 1 - z) in the place of f(x, z)."""
    return _of_tasks(measured, mirrored) if measured.tasks else _of_rows(measured, mirrored)


def _of_tasks(measured: Measured, mirrored: bool) -> Iterator[Segment]:
    import numpy as np

    from losscheck.points.grid import decode_ordinals

    for task in measured.tasks:
        call = call_of(replace(task, target=measured.dtype.round(1 - task.target)) if mirrored else task)
        for start in range(0, task.grid.points, BLOCK):
            if task.grid.sample is not None:
                chosen = task.grid.sample[start : start + BLOCK]
                ordinals = np.array(chosen, dtype=object if measured.dtype.bits == 64 else np.int64)
            else:
                ordinals = np.arange(task.grid.first + start, min(task.grid.first + start + BLOCK, task.grid.last + 1), dtype=np.int64)
            logits = decode_ordinals(measured.dtype, ordinals)
            # Mirrored they are asked in rising order too: of a whole dtype those are the logits of another task.
            returned = call(-logits[::-1] if mirrored else logits)
            values = returned.loss if measured.quantity == "loss" else returned.grad
            yield Segment(task.target, logits, values[::-1] if mirrored else values, start > 0)


def _of_rows(measured: Measured, mirrored: bool) -> Iterator[Segment]:
    import numpy as np

    rows = measured.rows
    if mirrored:
        # 1 - z is exact for 0, 1/2 and 1; for another target the claim is about the nearest float.
        rows = tuple(measured.again([-row.logits[0] for row in rows], [measured.dtype.round(1 - row.targets[0]) for row in rows]))
    values = [row.value for row in rows]
    by_target: dict[float, list[tuple[float, float]]] = {}
    for row, value in zip(measured.rows, values, strict=True):
        if not math.isnan(row.logits[0]):  # NaN has no place in an order, and no mirror image
            by_target.setdefault(row.targets[0], []).append((row.logits[0], math.nan if value is None else value))
    for target, pairs in by_target.items():
        ordered = sorted(pairs, key=lambda pair: pair[0])
        yield Segment(target, np.array([x for x, _ in ordered]), np.array([y for _, y in ordered]))
