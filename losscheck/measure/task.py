"""The pieces of a sweep: tasks, their chunks, and what is known of each task so far."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

from losscheck.core.absence import Unavailable
from losscheck.core.loss import Loss
from losscheck.core.request import Request, Subject
from losscheck.measure.absent import lacks, why_unavailable
from losscheck.measure.summary import Summary
from losscheck.points.grid import Grid

__all__ = ["CHUNK", "Chunk", "Finding", "Task"]

CHUNK = 2**24  # floats between two checkpoints of one task


@dataclass(frozen=True)
class Task:
    """One implementation over one grid: a row for each quantity."""

    loss: Loss
    subject: Subject
    params: dict[str, float]
    grid: Grid
    target: float
    layout: str
    question: Request

    @property
    def quantities(self) -> tuple[str, ...]:
        return self.question.quantities

    @functools.cached_property
    def measured(self) -> tuple[str, ...]:
        """The quantities that there is something to measure of: no gradient where none can be found, no loss of an objective."""
        return tuple(quantity for quantity in self.quantities if not self.why_not_measured(quantity))

    def why_not_measured(self, quantity: str) -> str:
        """Why one of its quantities has no row; empty where it has."""
        lack = None if self.why_not_here else lacks(self.subject, quantity)
        return lack.reason if lack else ""

    @functools.cached_property
    def why_not_here(self) -> Unavailable | None:
        """Why the subject cannot answer at all."""
        return why_unavailable(self.loss, self.subject, self.params)

    def chunks(self) -> int:
        return 1 if self.grid.sample is not None else -(-self.grid.points // CHUNK)

    def chunk(self, task: int, number: int) -> Chunk:
        """A chunk by its number; ``task`` is this one's own among those of the sweep."""
        first, last = self.grid.first + number * CHUNK, self.grid.last
        if self.grid.sample is None:
            last = min(first + CHUNK - 1, last)
        return Chunk(task, first, last, with_nans=self.grid.everything and number + 1 == self.chunks())

    def points(self, chunk: Chunk) -> int:
        """How many a chunk of it has."""
        return self.grid.points if self.grid.sample is not None else chunk.last - chunk.first + 1

    def why_unavailable(self) -> Unavailable | None:
        """Why there will be no row; None where one can be measured."""
        if self.why_not_here or self.measured:
            return self.why_not_here
        return next(filter(None, (lacks(self.subject, quantity) for quantity in self.quantities)), None)


@dataclass(frozen=True)
class Chunk:
    """A stretch of one task: the task's number, the first and the last ordinal, and whether the NaN logits belong to it."""

    task: int
    first: int
    last: int
    with_nans: bool = False


@dataclass
class Finding:
    """What is known of one task so far: the summary of each quantity, or the reason why there is none."""

    summaries: dict[str, Summary] = field(default_factory=dict)
    done: int = 0
    reason: str = ""
    nan_points: int = 0
    nan_wrong: int = 0
