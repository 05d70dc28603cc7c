"""What a sweep of a range is made of: a task for each subject, dtype, target and layout."""

from __future__ import annotations

from collections.abc import Iterator

from losscheck.callables.selection import Selection, select
from losscheck.core.dtypes import FORMATS, Format
from losscheck.core.loss import Loss
from losscheck.core.request import Request
from losscheck.core.which_points import Range
from losscheck.measure.compare import nothing_runs, subjects
from losscheck.measure.task import Task
from losscheck.points.grid import Grid, exhaustive_grid, sampled_grid

__all__ = ["tasks_of"]


def tasks_of(question: Request, selection: Selection | None = None) -> list[Task]:
    """All tasks, in the order of the report.

    Raises:
        UserError: for a selection that matches nothing, an empty range, parameters or targets outside the domain.
    """
    tasks = list(_tasks(question, selection or select(question)))
    if not tasks:
        raise nothing_runs(question.devices, question.modes)
    return tasks


def _tasks(question: Request, selection: Selection) -> Iterator[Task]:
    points = question.points
    assert isinstance(points, Range)
    # The definition by another route: right by construction and slow. It is swept when it is asked for.
    named = question.impl or question.backends
    for loss in selection.losses:
        for dtype in (FORMATS[name] for name in question.dtypes):
            params = loss.resolve_own(question.params, dtype)
            grid = _grid(points, dtype, loss)
            mine = [implementation for implementation in selection.of(loss) if named or implementation.backends != ("mpmath",)]
            for subject in subjects(question, mine, extras=False):
                for target in _targets(points, loss, dtype):
                    for layout in ("body", "tail") if points.layout == "both" else (points.layout,):
                        yield Task(loss, subject, params, grid, target, layout, question)


def _targets(points: Range, loss: Loss, dtype: Format) -> list[float]:
    given = [dtype.parse(text, "target") for text in points.targets]
    targets = list(dict.fromkeys(given or [dtype.round(target) for target in loss.targets]))
    for target in targets:
        loss.check_target(target)
    return targets


def _grid(points: Range, dtype: Format, loss: Loss) -> Grid:
    low, high = dtype.parse(points.low, "range"), dtype.parse(points.high, "range")
    if points.exhaustive or dtype.bits == 16:
        return exhaustive_grid(dtype, low, high)
    return sampled_grid(dtype, low, high, points.points, points.spacing, [mark.logit for mark in loss.landmarks(dtype)])
