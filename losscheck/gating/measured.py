"""What a case judges, measured: the points or the range of a case, for every implementation, backend, device and dtype."""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from losscheck.callables.loading import is_spec, load
from losscheck.callables.selection import Selection
from losscheck.core.absence import Absence
from losscheck.core.dtypes import FORMATS, Format
from losscheck.core.effect import EffectFinding
from losscheck.core.loss import Implementation
from losscheck.core.outcome import Outcome
from losscheck.core.request import Request
from losscheck.core.results import PointRow, SweepRow
from losscheck.core.which_points import Listed, Points, Range
from losscheck.gating.case import Case
from losscheck.measure.absent import not_here
from losscheck.measure.ask import Asked, ask
from losscheck.measure.compare import compare
from losscheck.measure.sweep import run_tasks, tasks_of
from losscheck.measure.sweep_rows import rows_of
from losscheck.measure.task import Finding, Task

__all__ = ["Measured", "asked_of", "measure", "place_of", "selected"]


@dataclass(frozen=True)
class Measured:
    """One quantity of one implementation, on one backend, device and dtype, over all points of a case.

    Attributes:
        asked: the request of the case, about all of its dtypes, and what it selects.
        missing: why the backend or device is not there; empty when it is.
        counts: points by outcome.
        max_ulp: the largest |ulp|, infinite where a result was NaN or infinite and should not have been.
        effect: what the worst point does to training, of all quantities that the case judges of the subject; None where that
            was not judged: reductions, and logits that are infinite or NaN.
        rows: the single points, or the worst ones of a range.
        sweeps, tasks: of a range, one for each target and layout.
    """

    case: Case
    asked: Asked
    implementation: str
    backend: str
    device: str
    mode: str
    dtype: Format
    quantity: str
    missing: str = ""
    counts: Mapping[Outcome, int] = field(default_factory=dict)
    max_ulp: float = 0.0
    effect: EffectFinding | None = None
    rows: tuple[PointRow, ...] = ()
    sweeps: tuple[SweepRow, ...] = ()
    tasks: tuple[Task, ...] = ()

    @property
    def subject(self) -> tuple[str, str, str, str]:
        """What was judged: implementation, backend, device and mode."""
        return self.implementation, self.backend, self.device, self.mode

    @property
    def points(self) -> int:
        return sum(self.counts.values())

    @property
    def exhaustive(self) -> bool:
        return bool(self.sweeps) and all(sweep.exhaustive for sweep in self.sweeps)

    @property
    def failure(self) -> str:
        """Why there is no result at all, where the backend and the device are there."""
        reasons = [row.reason for row in self.rows if row.reason] + [sweep.reason for sweep in self.sweeps if sweep.reason]
        return "" if self.missing or not reasons else reasons[0]

    def again(self, logits: Sequence[float], targets: Sequence[float]) -> list[PointRow]:
        """The same quantity of the same subject at other points."""
        request = replace(
            self.asked.request,
            points=Listed(tuple(logits), tuple(targets)),
            dtypes=(self.dtype.name,),
            max_ulp=self.case.expect.limit(self.dtype.name, self.quantity),
            impl=(self.implementation,),
            backends=(self.backend,),
            devices=(self.device,),
            modes=(self.mode,),
            quantities=(self.quantity,),
        )
        return compare(request, Selection(self.asked.selection.losses, (selected(self.asked, self.implementation),)))


def asked_of(case: Case) -> Asked:
    """The request of a case, about all of its dtypes, and what it selects.

    Raises:
        UserError: for a selection that matches nothing, and points that a dtype cannot hold.
    """
    return ask(
        _points_of(case),
        loss=() if case.by_program else (case.loss,),
        impl=case.implementations,
        backend=case.backends,
        dtype=case.dtypes,
        device=case.devices,
        mode=case.modes,
        quantity=case.quantities,
        params=case.params,
        call_spec=case.call_spec(),
    )


def measure(case: Case, asked: Asked) -> list[Measured]:
    """Everything a case asks for, in the order of dtypes, implementations, backends, devices and quantities.

    Raises:
        UserError: for callables that cannot be called.
    """
    return [measured for name in case.dtypes for measured in _in_dtype(case, asked, FORMATS[name]) if not _has_no_gradient(measured)]


def _in_dtype(case: Case, asked: Asked, dtype: Format) -> list[Measured]:
    """Quantities of one limit are measured together, others one after the other: a limit decides what is `inaccurate`."""
    by_limit: dict[float, list[str]] = {}
    for quantity in case.quantities:
        by_limit.setdefault(case.expect.limit(dtype.name, quantity), []).append(quantity)
    judge = _points if case.points else _range
    everything: list[Measured] = []
    for limit, together in by_limit.items():
        request = replace(asked.request, dtypes=(dtype.name,), quantities=tuple(together), max_ulp=limit)
        everything += judge(case, asked, request, dtype)
    if len(by_limit) == 1:
        return everything
    # The effect of a point is the severer one of its loss and its gradient: so it can be put together afterwards.
    effects: dict[tuple[str, ...], list[EffectFinding | None]] = {}
    for measured in everything:
        effects.setdefault(measured.subject, []).append(measured.effect)
    everything = [replace(measured, effect=_worst(effects[measured.subject])) for measured in everything]
    # As if they had been measured together: subjects in their order, each with its quantities side by side.
    subjects, quantities = list(dict.fromkeys(measured.subject for measured in everything)), [*map(str, case.quantities)]
    return sorted(everything, key=lambda measured: (subjects.index(measured.subject), quantities.index(measured.quantity)))


def _has_no_gradient(measured: Measured) -> bool:
    """numpy cannot differentiate: without a gradient of its own an implementation has none there, and nothing is judged."""
    if measured.quantity != "grad" or measured.backend != "numpy":
        return False
    return any(row.absence is Absence.NO_GRADIENT for row in measured.rows) or any(
        task.subject.implementation.gradient is None for task in measured.tasks
    )


def selected(asked: Asked, name: str) -> Implementation:
    """The implementation that a row of a case is about."""
    return next(implementation for implementation in asked.selection.implementations if implementation.name == name)


def place_of(case: Case, name: str) -> tuple[str, int]:
    """The file and the line of a callable of the user's; "" and 0 where they are not known."""
    if not is_spec(name):
        return "", 0
    own = load(name)
    file = Path(own.file)
    with contextlib.suppress(ValueError):
        # As editors and CI open it: from here, when it lies below.
        file = file.relative_to(Path.cwd())
    return (str(file), own.line) if own.file else ("", 0)


def _points_of(case: Case) -> Points:
    if case.points:
        shape = tuple(case.points.shape)
        # A single logit fills the shape.
        logits = case.points.logits * (math.prod(shape) if shape and len(case.points.logits) == 1 else 1)
        return Listed(tuple(logits), tuple(case.points.targets), case.reduction, shape)
    if case.range:
        over = case.range
        return Range(over.low, over.high, tuple(over.targets), over.count, over.spacing, layout=over.layout)
    assert case.exhaustive is not None
    return Range(case.exhaustive.low, case.exhaustive.high, tuple(case.exhaustive.targets), exhaustive=True)


def _points(case: Case, asked: Asked, request: Request, dtype: Format) -> list[Measured]:
    groups: dict[tuple[str, str, str, str, str], list[PointRow]] = {}
    for row in compare(request, asked.selection):
        groups.setdefault((row.implementation, row.backend, row.device, row.mode, row.quantity), []).append(row)
    return [
        Measured(
            case,
            asked,
            *key[:4],
            dtype,
            key[4],
            missing=next((row.reason for row in rows if row.absence is Absence.NOT_HERE), ""),
            counts=Counter(row.outcome for row in rows),
            max_ulp=max((math.inf if math.isnan(row.ulp) else abs(row.ulp) for row in rows if row.ulp is not None), default=0.0),
            effect=_worst(row.effect for row in rows),
            rows=tuple(rows),
        )
        for key, rows in groups.items()
    ]


def _range(case: Case, asked: Asked, request: Request, dtype: Format) -> list[Measured]:
    tasks = [_with_gradient(task) for task in tasks_of(request, asked.selection)]
    findings = [Finding() for _ in tasks]
    run_tasks(tasks, findings)
    groups: dict[tuple[str, str, str, str, str], list[tuple[Task, SweepRow]]] = {}
    for task, finding in zip(tasks, findings, strict=True):
        for row in rows_of([task], [finding]):
            groups.setdefault((row.implementation, row.backend, row.device, row.mode, row.quantity), []).append((task, row))
    return [_swept(case, asked, dtype, key, swept) for key, swept in groups.items()]


def _swept(case: Case, asked: Asked, dtype: Format, key: tuple[str, str, str, str, str], swept: list[tuple[Task, SweepRow]]) -> Measured:
    counts: Counter[Outcome] = Counter()
    for _, row in swept:
        counts.update(row.counts)
    return Measured(
        case,
        asked,
        *key[:4],
        dtype,
        key[4],
        missing=missing.reason if (missing := not_here(swept[0][0].subject)) else "",
        counts=counts,
        max_ulp=max(row.max_ulp for _, row in swept),
        effect=_worst(row.effect for _, row in swept),
        rows=tuple(worst for _, row in swept for worst in row.worst),
        sweeps=tuple(row for _, row in swept),
        tasks=tuple(task for task, _ in swept),
    )


def _worst(effects: Iterable[EffectFinding | None]) -> EffectFinding | None:
    judged = [effect for effect in effects if effect is not None]
    return min(judged, key=lambda finding: finding.effect.severity, default=None)


def _with_gradient(task: Task) -> Task:
    """A task whose implementation has no gradient on its backend is judged on the loss alone."""
    if task.subject.backend == "numpy" and task.subject.implementation.gradient is None and "loss" in task.quantities:
        return replace(task, question=replace(task.question, quantities=("loss",)))
    return task
