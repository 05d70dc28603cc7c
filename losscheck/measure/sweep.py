"""A range of logits, sampled or every float: tasks, chunks, processes and what they add up to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor

from losscheck.callables.loading import reason_of, stdout_to_stderr
from losscheck.callables.selection import loss_of, select
from losscheck.core.dtypes import FORMATS, Format
from losscheck.core.loss import Loss
from losscheck.core.request import Request, SweepQuestion
from losscheck.measure import task as tasks_module
from losscheck.measure.compare import nothing_runs, subjects
from losscheck.measure.scanners import count_nans, scanner_of
from losscheck.measure.summary import Summary
from losscheck.measure.task import Chunk, Finding, Task
from losscheck.points.grid import Grid, exhaustive_grid, sampled_grid

__all__ = ["LAYOUTS", "run_tasks", "tasks_of", "total_points"]

LAYOUTS = ("body", "tail", "both")


def tasks_of(question: SweepQuestion) -> list[Task]:
    """All tasks, in the order of the report.

    Raises:
        UserError: for a selection that matches nothing, an empty range, parameters or targets outside the domain.
    """
    tasks = list(_tasks(question))
    if not tasks:
        raise nothing_runs(question.devices, question.modes)
    return tasks


def _tasks(question: SweepQuestion) -> Iterator[Task]:
    losses = [loss_of(name, question.call_spec) for name in question.losses]
    selected = select(losses, question.impl, question.backends, question.call_spec)
    if not question.impl and not question.backends:
        # The definition by another route: right by construction and slow. It is swept when it is asked for.
        selected = [one for one in selected if one.backends != ("mpmath",)]
    chosen = Request(losses, (), impl=question.impl, devices=question.devices, backends=question.backends, modes=question.modes)
    for loss in losses:
        for dtype in (FORMATS[name] for name in question.dtypes):
            params = loss.resolve_own(question.params, dtype)
            grid = _grid(question, dtype, loss)
            for one in (each for each in selected if each.loss == loss.name):
                for subject in subjects(chosen, [one], extras=False):
                    for target in _targets(question, loss, dtype):
                        for layout in ("body", "tail") if question.layout == "both" else (question.layout,):
                            yield Task(loss, subject, params, grid, target, layout, question)


def _targets(question: SweepQuestion, loss: Loss, dtype: Format) -> list[float]:
    given = [dtype.parse(text, "target") for text in question.targets]
    targets = list(dict.fromkeys(given or [dtype.round(each) for each in loss.targets]))
    for target in targets:
        loss.check_target(target)
    return targets


def _grid(question: SweepQuestion, dtype: Format, loss: Loss) -> Grid:
    low, high = dtype.parse(question.low, "range"), dtype.parse(question.high, "range")
    if question.exhaustive or dtype.bits == 16:
        return exhaustive_grid(dtype, low, high)
    return sampled_grid(dtype, low, high, question.points, question.spacing, [each.logit for each in loss.landmarks(dtype)])


def run_tasks(
    tasks: Sequence[Task],
    findings: Sequence[Finding],
    *,
    jobs: int = 1,
    within: Callable[[Task], range] = lambda task: range(task.chunks()),
    progress: Callable[[int], None] = lambda points: None,
    checkpoint: Callable[[], None] = lambda: None,
) -> None:
    """Fill the findings, one for each task, going on where they stand.

    Chunks are merged in order, so that however many jobs and interruptions there were, the result is the same.
    """
    todo = []
    for number, (task, finding) in enumerate(zip(tasks, findings, strict=True)):
        wanted = within(task)
        todo += [Chunk(number, each) for each in wanted[finding.done :]]
    for chunk, outcome in _outcomes(tasks, todo, jobs):
        finding, task = findings[chunk.task], tasks[chunk.task]
        finding.done += 1
        if isinstance(outcome, str):
            finding.reason = finding.reason or outcome
        else:
            for quantity, summary in outcome.items():
                earlier = finding.summaries.get(quantity)
                finding.summaries[quantity] = earlier.merge(summary) if earlier else summary
        progress(_size(task, chunk.number))
        checkpoint()
    for task, finding in zip(tasks, findings, strict=True):
        if task.grid.everything and not finding.reason and not finding.nan_points and within(task).stop == task.chunks():
            finding.nan_points, finding.nan_wrong = count_nans(task)
    checkpoint()


def _outcomes(tasks: Sequence[Task], todo: list[Chunk], jobs: int) -> Iterator[tuple[Chunk, dict[str, Summary] | str]]:
    if jobs == 1 or len(todo) < 2:
        for chunk in todo:
            yield chunk, scan_chunk(tasks[chunk.task], chunk.number)
        return
    import multiprocessing

    # Spawned, not forked: a fork after CUDA or torch's threads have started hangs.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(todo)), mp_context=context, initializer=_begin, initargs=(tasks[0].question,)) as pool:
        yield from zip(todo, pool.map(_work, todo), strict=True)


_WORKER_TASKS: list[Task] = []


def _begin(question: SweepQuestion) -> None:
    """A worker makes the tasks anew: implementations are functions, which do not travel."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    _WORKER_TASKS[:] = tasks_of(question)


def _work(chunk: Chunk) -> dict[str, Summary] | str:
    return scan_chunk(_WORKER_TASKS[chunk.task], chunk.number)


def scan_chunk(task: Task, number: int) -> dict[str, Summary] | str:
    """The summaries of one chunk of a task, or the reason why it cannot run."""
    if unavailable := task.why_unavailable():
        return unavailable.reason
    try:
        with stdout_to_stderr():
            scan = scanner_of(task)
            if task.grid.sample is not None:
                return scan(0, 0)
            first = task.grid.first + number * tasks_module.CHUNK
            return scan(first, min(first + tasks_module.CHUNK - 1, task.grid.last))
    except Exception as error:
        return reason_of(error, task.subject.implementation)


def _size(task: Task, number: int) -> int:
    if task.grid.sample is not None:
        return task.grid.points
    return min(tasks_module.CHUNK, task.grid.points - number * tasks_module.CHUNK)


def total_points(tasks: Sequence[Task], findings: Sequence[Finding]) -> int:
    """Points that are still to be scanned."""
    return sum(
        task.grid.points - min(finding.done * tasks_module.CHUNK, task.grid.points) for task, finding in zip(tasks, findings, strict=True)
    )
