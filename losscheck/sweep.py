"""A range of logits, sampled or every float: tasks, chunks, processes and what they add up to."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from losscheck import registry
from losscheck.backends import Call, Prepared, backend_named
from losscheck.bulk.examine import Examiner
from losscheck.bulk.summary import Summary
from losscheck.dtypes import FORMATS, Format
from losscheck.evaluate import subjects
from losscheck.grid import Grid, exhaustive_grid, sampled_grid
from losscheck.judge import formula_of
from losscheck.loss import Loss
from losscheck.question import Question, Subject

__all__ = ["LAYOUTS", "Chunk", "Finding", "SweepQuestion", "Task", "call_of", "examiner_of", "run_tasks", "tasks_of", "total_points"]

LAYOUTS = ("body", "tail", "both")
CHUNK = 2**24  # floats between two checkpoints of one task
TAIL = 3  # shorter than any vector register: every element of such a tensor goes through scalar code


@dataclass(frozen=True)
class SweepQuestion:
    """What a sweep is asked, as plain names and numbers: it travels to other processes and into state files.

    Attributes:
        targets: as the user wrote them; empty for each loss's own.
        low, high: the ends of the range, as written.
        points, spacing: of a sample; every float with ``exhaustive``, and always of the 16-bit dtypes.
        layout: body (long tensors), tail (tensors of TAIL elements) or both.
        landmarks: include the losses' landmarks and their neighbours in a sample.
    """

    losses: tuple[str, ...]
    low: str
    high: str
    impl: tuple[str, ...] = ()
    backends: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ("float32",)
    devices: tuple[str, ...] = ("cpu",)
    quantities: tuple[str, ...] = ("loss", "grad")
    params: dict[str, float] = field(default_factory=dict)
    points: int = 1000
    spacing: str = "both"
    exhaustive: bool = False
    layout: str = "body"
    oracle: str = "flint"
    digits: int = 50
    max_ulp: float = 8.0


@dataclass(frozen=True)
class Task:
    """One implementation over one grid: a row for each quantity."""

    loss: Loss
    subject: Subject
    params: dict[str, float]
    grid: Grid
    target: float
    layout: str
    question: SweepQuestion

    @property
    def quantities(self) -> tuple[str, ...]:
        return self.question.quantities

    def chunks(self) -> int:
        return 1 if self.grid.sample is not None else -(-self.grid.points // CHUNK)

    def why_unavailable(self) -> str:
        one = self.subject.implementation
        for each in self.loss.parameters:
            if each.name in one.ignores and self.params[each.name] != each.default:
                return f"{one.name} takes no {each.name}"
        if "grad" in self.quantities and self.subject.backend == "numpy" and one.gradient is None:
            return f"{one.name} has no gradient on numpy; use --quantity loss"
        return backend_named(self.subject.backend).why_unavailable(self.subject.device)


@dataclass(frozen=True)
class Chunk:
    """A stretch of one task, by its number."""

    task: int
    number: int


@dataclass
class Finding:
    """What is known of one task so far: the summary of each quantity, or the reason why there is none."""

    summaries: dict[str, Summary] = field(default_factory=dict)
    done: int = 0
    reason: str = ""
    nan_points: int = 0
    nan_wrong: int = 0


def tasks_of(question: SweepQuestion) -> list[Task]:
    """All tasks, in the order of the report.

    Raises:
        UserError: for a selection that matches nothing, an empty range, parameters or targets outside the domain.
    """
    return list(_tasks(question))


def _tasks(question: SweepQuestion) -> Iterator[Task]:
    losses = [registry.loss_named(name) for name in question.losses]
    selected = registry.select(losses, question.impl, question.backends)
    if not question.impl and not question.backends:
        # The definition by another route: right by construction and slow. It is swept when it is asked for.
        selected = [one for one in selected if one.backends != ("mpmath",)]
    chosen = Question(losses=losses, logits=(), devices=question.devices, backends=question.backends)
    for loss in losses:
        for dtype in (FORMATS[name] for name in question.dtypes):
            params = loss.resolve({name: value for name, value in question.params.items() if name in _names(loss)}, dtype)
            grid = _grid(question, dtype, loss)
            for one in (each for each in selected if each.loss == loss.name):
                for subject in subjects(chosen, [one]):
                    for target in _targets(question, loss, dtype):
                        for layout in ("body", "tail") if question.layout == "both" else (question.layout,):
                            yield Task(loss, subject, params, grid, target, layout, question)


def _names(loss: Loss) -> set[str]:
    return {each.name for each in loss.parameters}


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
            finding.nan_points, finding.nan_wrong = _count_nans(task)
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
    if reason := task.why_unavailable():
        return reason
    try:
        scan = _scanner(task)
        if task.grid.sample is not None:
            return scan(0, 0)
        first = task.grid.first + number * CHUNK
        return scan(first, min(first + CHUNK - 1, task.grid.last))
    except (RuntimeError, TypeError, NotImplementedError, ValueError) as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"


_LAST_SCANNER: list[Any] = [None, None]


def _scanner(task: Task) -> Callable[[int, int], dict[str, Summary]]:
    """Compiled filters are kept from chunk to chunk of one task."""
    if _LAST_SCANNER[0] is not task:
        _LAST_SCANNER[:] = [task, _make_scanner(task)]
    scan: Callable[[int, int], dict[str, Summary]] = _LAST_SCANNER[1]
    return scan


def _make_scanner(task: Task) -> Callable[[int, int], dict[str, Summary]]:
    from losscheck.bulk.carried import NotCarriedError
    from losscheck.bulk.compiled import WORTHWHILE, CompiledScanner
    from losscheck.bulk.sample import scan_sample
    from losscheck.bulk.scan import BlockScanner

    examiners = {quantity: examiner_of(task, quantity) for quantity in task.quantities}
    call = call_of(task)
    if task.grid.sample is not None:
        return lambda first, last: scan_sample(call, examiners, task.grid)
    if task.grid.points >= WORTHWHILE and task.subject.device != "cpu":
        from losscheck.backends.torch import BACKEND
        from losscheck.bulk.device import DeviceScanner

        return DeviceScanner(BACKEND.prepare_tensors(_prepared(task)), examiners, task.grid, task.subject.device).scan
    if task.grid.points >= WORTHWHILE:
        try:
            return CompiledScanner(call, examiners, task.grid).scan
        except (NotCarriedError, ImportError):
            # No compiled filter for this formula, or no numba: the same rules on arrays, only slower.
            pass
    return BlockScanner(call, examiners, task.grid).scan


def examiner_of(task: Task, quantity: str) -> Examiner:
    formula, differentiate = formula_of(task.loss, task.subject.implementation, quantity)
    names = tuple(sorted(task.params.items()))
    return _shared_examiner(formula, differentiate, task.target, names, task.grid.dtype.name, task.question.oracle, task.question.max_ulp)


@functools.lru_cache(maxsize=64)
def _shared_examiner(
    formula: Any, differentiate: bool, target: float, params: tuple[tuple[str, float], ...], dtype: str, oracle: str, max_ulp: float
) -> Examiner:
    """Implementations that claim the same formula share its exact values."""
    return Examiner(formula, differentiate, target, dict(params), FORMATS[dtype], oracle, max_ulp)


def _prepared(task: Task) -> Prepared:
    return Prepared(
        loss=task.loss,
        implementation=task.subject.implementation,
        params=task.params,
        dtype=task.grid.dtype,
        device=task.subject.device,
        target=task.target,
        gradient="grad" in task.quantities,
        digits=task.question.digits,
    )


def call_of(task: Task) -> Call:
    call = backend_named(task.subject.backend).prepare(_prepared(task))
    return call if task.layout == "body" else _in_tails(call)


def _in_tails(call: Call) -> Call:
    """The same call, a few elements at a time."""
    import numpy as np

    def pieces(logits: Any) -> tuple[Any, Any]:
        parts = [call(np.ascontiguousarray(logits[n : n + TAIL])) for n in range(0, len(logits), TAIL)]
        grads = [grad for _, grad in parts]
        return np.concatenate([loss for loss, _ in parts]), None if grads[0] is None else np.concatenate(grads)

    return pieces


def _count_nans(task: Task) -> tuple[int, int]:
    """All NaN logits of the dtype, and for how many of them some quantity is a number."""
    import numpy as np

    dtype, call = task.grid.dtype, call_of(task)
    payloads = 2 ** (dtype.precision - 1) - 1
    wrong = 0
    for sign in (0, 1 << (dtype.bits - 1)):
        for start in range(1, payloads + 1, 2**20):
            count = min(2**20, payloads + 1 - start)
            bits = np.arange(start, start + count, dtype=np.int64) + (sign | dtype.infinity_ordinal)
            logits = _nan_logits(dtype, bits)
            try:
                results = call(logits)
            except (RuntimeError, ValueError):
                continue  # it refuses NaN, which is no wrong number
            numbers = [~np.isnan(each) for name, each in zip(("loss", "grad"), results, strict=True) if name in task.quantities]
            wrong += int(functools.reduce(np.logical_or, numbers).sum())
    return 2 * payloads, wrong


def _nan_logits(dtype: Format, bits: Any) -> Any:
    import numpy as np

    if dtype.name == "float16":
        return bits.astype(np.uint16).view(np.float16).astype(np.float32)
    return (bits << (32 - dtype.bits)).astype(np.uint32).view(np.float32)


def _size(task: Task, number: int) -> int:
    if task.grid.sample is not None:
        return task.grid.points
    return min(CHUNK, task.grid.points - number * CHUNK)


def total_points(tasks: Sequence[Task], findings: Sequence[Finding]) -> int:
    """Points that are still to be scanned."""
    return sum(task.grid.points - min(finding.done * CHUNK, task.grid.points) for task, finding in zip(tasks, findings, strict=True))
