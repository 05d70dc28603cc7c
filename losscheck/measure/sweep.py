"""A range of logits, sampled or every float: its tasks run chunk by chunk, and what they add up to."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from losscheck.measure import task as tasks_module
from losscheck.measure.engines import count_nans
from losscheck.measure.plan import tasks_of
from losscheck.measure.runner import Runner, run_in_processes
from losscheck.measure.task import Chunk, Finding, Task

__all__ = ["run_tasks", "tasks_of", "total_points"]


def run_tasks(
    tasks: Sequence[Task],
    findings: Sequence[Finding],
    *,
    jobs: int = 1,
    within: Callable[[Task], range] = lambda task: range(task.chunks()),
    progress: Callable[[int], None] = lambda points: None,
    checkpoint: Callable[[], None] = lambda: None,
    runner: Runner | None = None,
) -> None:
    """Fill the findings, one for each task, going on where they stand.

    Chunks are merged in order, so that however many jobs and interruptions there were, the result is the same. A ``runner``
    of the same tasks keeps what it has compiled from one call to the next.
    """
    todo = []
    for number, (task, finding) in enumerate(zip(tasks, findings, strict=True)):
        wanted = within(task)
        todo += [Chunk(number, chunk) for chunk in wanted[finding.done :]]
    many = jobs > 1 and len(todo) > 1
    found = run_in_processes(tasks, todo, jobs) if many else map((runner or Runner(tasks)).scan, todo)
    for chunk, results in zip(todo, found, strict=True):
        finding, task = findings[chunk.task], tasks[chunk.task]
        finding.done += 1
        if isinstance(results, str):
            finding.reason = finding.reason or results
        else:
            for quantity, summary in results.items():
                earlier = finding.summaries.get(quantity)
                finding.summaries[quantity] = earlier.merge(summary) if earlier else summary
        progress(_size(task, chunk.number))
        checkpoint()
    for task, finding in zip(tasks, findings, strict=True):
        if task.grid.everything and not finding.reason and not finding.nan_points and within(task).stop == task.chunks():
            finding.nan_points, finding.nan_wrong = count_nans(task)
    checkpoint()


def _size(task: Task, number: int) -> int:
    if task.grid.sample is not None:
        return task.grid.points
    return min(tasks_module.CHUNK, task.grid.points - number * tasks_module.CHUNK)


def total_points(tasks: Sequence[Task], findings: Sequence[Finding]) -> int:
    """Points that are still to be scanned."""
    return sum(
        task.grid.points - min(finding.done * tasks_module.CHUNK, task.grid.points) for task, finding in zip(tasks, findings, strict=True)
    )
