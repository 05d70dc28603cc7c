"""Chunks of a sweep scanned in this process; a runner owns its engines and its references."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from losscheck.callables.printed import stdout_to_stderr
from losscheck.callables.refusal import reason_of
from losscheck.core.which_points import BISECTED, PROVED, Range
from losscheck.measure.engine import Engine
from losscheck.measure.engines import References, count_nans, engine_of
from losscheck.measure.onset import search_onsets
from losscheck.measure.summary import Summary
from losscheck.measure.task import Chunk, Task

__all__ = ["Answer", "Runner"]


@dataclass(frozen=True)
class Answer:
    """Of one chunk: a summary for each quantity, or the reason why there is none; and the NaN logits, where it has them."""

    summaries: dict[str, Summary] = field(default_factory=dict)
    reason: str = ""
    nan_points: int = 0
    nan_wrong: int = 0


class Runner:
    """Scans chunks of some tasks; the engine of a task is kept from chunk to chunk."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self.tasks = tasks
        self.references = References()
        self._task: Task | None = None
        self._engine: Engine | None = None

    def scan(self, chunk: Chunk) -> Answer:
        """What there is to say of one chunk."""
        task = self.tasks[chunk.task]
        if unavailable := task.why_unavailable():
            return Answer(reason=unavailable.reason)
        try:
            with stdout_to_stderr():
                summaries = self._engine_of(task).scan(chunk.first, chunk.last)
                if isinstance(points := task.question.points, Range) and points.ends != BISECTED:
                    search_onsets(task, summaries, self.references, proved=points.ends == PROVED)
        except Exception as error:
            return Answer(reason=reason_of(error, task.subject.implementation))
        return Answer(summaries, "", *(count_nans(task) if chunk.with_nans else ()))

    def _engine_of(self, task: Task) -> Engine:
        if self._engine is None or self._task is not task:
            self._engine = None  # its memory goes before the next takes some
            self._task, self._engine = task, engine_of(task, self.references)
        return self._engine
