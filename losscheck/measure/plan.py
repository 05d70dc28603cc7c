"""What a sweep of a range is made of: a task for each subject, dtype, target and layout."""

from __future__ import annotations

from collections.abc import Iterator

from losscheck.callables.selection import loss_of, select
from losscheck.core.dtypes import FORMATS, Format
from losscheck.core.loss import Loss
from losscheck.core.request import Request, SweepQuestion
from losscheck.measure.compare import nothing_runs, subjects
from losscheck.measure.task import Task
from losscheck.points.grid import Grid, exhaustive_grid, sampled_grid

__all__ = ["LAYOUTS", "tasks_of"]

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
        selected = [implementation for implementation in selected if implementation.backends != ("mpmath",)]
    chosen = Request(losses, (), impl=question.impl, devices=question.devices, backends=question.backends, modes=question.modes)
    for loss in losses:
        for dtype in (FORMATS[name] for name in question.dtypes):
            params = loss.resolve_own(question.params, dtype)
            grid = _grid(question, dtype, loss)
            mine = [implementation for implementation in selected if implementation.loss == loss.name]
            for subject in subjects(chosen, mine, extras=False):
                for target in _targets(question, loss, dtype):
                    for layout in ("body", "tail") if question.layout == "both" else (question.layout,):
                        yield Task(loss, subject, params, grid, target, layout, question)


def _targets(question: SweepQuestion, loss: Loss, dtype: Format) -> list[float]:
    given = [dtype.parse(text, "target") for text in question.targets]
    targets = list(dict.fromkeys(given or [dtype.round(target) for target in loss.targets]))
    for target in targets:
        loss.check_target(target)
    return targets


def _grid(question: SweepQuestion, dtype: Format, loss: Loss) -> Grid:
    low, high = dtype.parse(question.low, "range"), dtype.parse(question.high, "range")
    if question.exhaustive or dtype.bits == 16:
        return exhaustive_grid(dtype, low, high)
    return sampled_grid(dtype, low, high, question.points, question.spacing, [mark.logit for mark in loss.landmarks(dtype)])
