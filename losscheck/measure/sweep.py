"""A range of logits, sampled or every float: its tasks run chunk by chunk, and what they add up to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from losscheck.measure import task as tasks_module
from losscheck.measure.engines import count_nans
from losscheck.measure.plan import tasks_of
from losscheck.measure.runner import Answer, Runner
from losscheck.measure.task import Chunk, Finding, Task

if TYPE_CHECKING:
    from losscheck.measure.workers import Crew

__all__ = ["run_tasks", "tasks_of", "total_points"]


def run_tasks(
    tasks: Sequence[Task],
    findings: Sequence[Finding],
    *,
    crew: Crew | None = None,
    within: Callable[[Task], range] = lambda task: range(task.chunks()),
    progress: Callable[[int], None] = lambda points: None,
    checkpoint: Callable[[], None] = lambda: None,
    runner: Runner | None = None,
) -> None:
    """Fill the findings, one for each task, going on where they stand.

    Chunks are merged in order, so that whoever worked on them and however often that was interrupted, the result is the same.
    ``crew`` are other processes or machines; without it a ``runner`` of the same tasks keeps what it has compiled from call to call.
    """
    todo = []
    for number, (task, finding) in enumerate(zip(tasks, findings, strict=True)):
        todo += [task.chunk(number, chunk) for chunk in within(task)[finding.done :]]

    def done(chunk: Chunk) -> None:
        progress(tasks[chunk.task].points(chunk))

    answers = crew.scan(tasks, todo, done) if crew and todo else _here(runner or Runner(tasks), todo)
    for chunk, answer in zip(todo, answers, strict=True):
        _add(findings[chunk.task], answer)
        if not crew:
            done(chunk)
        checkpoint()
    for task, finding in zip(tasks, findings, strict=True):
        if task.grid.everything and not finding.reason and not finding.nan_points and within(task).stop == task.chunks():
            finding.nan_points, finding.nan_wrong = count_nans(task)
    checkpoint()


def _here(runner: Runner, chunks: Sequence[Chunk]) -> Iterator[Answer]:
    return map(runner.scan, chunks)


def _add(finding: Finding, answer: Answer) -> None:
    finding.done += 1
    finding.reason = finding.reason or answer.reason
    for quantity, summary in answer.summaries.items():
        earlier = finding.summaries.get(quantity)
        finding.summaries[quantity] = earlier.merge(summary) if earlier else summary
    if not finding.reason:
        finding.nan_points, finding.nan_wrong = finding.nan_points + answer.nan_points, finding.nan_wrong + answer.nan_wrong


def total_points(tasks: Sequence[Task], findings: Sequence[Finding]) -> int:
    """Points that are still to be scanned."""
    return sum(
        task.grid.points - min(finding.done * tasks_module.CHUNK, task.grid.points) for task, finding in zip(tasks, findings, strict=True)
    )
