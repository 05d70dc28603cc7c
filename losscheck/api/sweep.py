"""A range of logits, sampled or every float, in this process or several, in one go or in shards."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from losscheck.api.arguments import SILENT, Implementations, Listener, Some, common, many
from losscheck.api.report import Report
from losscheck.core.errors import UserError
from losscheck.core.fail_on import rules_of
from losscheck.core.which_points import BISECTED, Range, exact_text

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from losscheck.measure.ask import Asked
    from losscheck.measure.checkpoint import State
    from losscheck.measure.task import Task
    from losscheck.measure.workers import Crew

__all__ = ["merge", "sweep"]


def sweep(
    impl: Implementations = (),
    *,
    loss: Some[str] = (),
    range: tuple[float | str, float | str] = (-100.0, 100.0),
    target: Some[float | str] = (),
    dtype: Some[str] = "float32",
    device: Some[str] = "cpu",
    mode: Some[str] = "eager",
    backend: Some[str] = (),
    quantity: Some[str] = "both",
    params: Mapping[str, float | str] | None = None,
    points: int = 1000,
    spacing: str = "both",
    exhaustive: bool = False,
    layout: str = "body",
    ends: str = BISECTED,
    oracle: str = "flint",
    digits: int = 50,
    max_ulp: float | None = None,
    jobs: int = 1,
    cluster: str | None = None,
    executor: Executor | None = None,
    shard: str | None = None,
    resume: str | os.PathLike[str] | None = None,
    output: str | os.PathLike[str] | None = None,
    fail_on: str | None = None,
    plot: str | os.PathLike[str] | None = None,
    regions: bool = False,
    verbose: bool = False,
    listener: Listener = SILENT,
    **calling: Any,
) -> Report:
    """A range of logits, sampled or every float, as ``losscheck sweep``.

    Args:
        impl, loss, params, fail_on, calling: as of :func:`losscheck.compare`.
        range: the ends, both included.
        target: several at once; by default the loss's own, such as 0, 0.5 and 1.
        points, spacing: of a sample; ``exhaustive`` takes every float, and 16-bit dtypes always do.
        ends: how the first failing float on each side of 0 is found in a sample: ``"bisected"`` between two floats of it, ``"searched"``
            (the floats before it are judged until 2^20 of them hold) or ``"proved"`` (all floats before it are judged).
        jobs: processes. resume: a file for checkpoints, from which an interrupted sweep goes on.
        cluster: the address of a dask scheduler, such as ``"tcp://scheduler:8786"``, whose workers do the work.
        executor: any :class:`concurrent.futures.Executor` (of processes, MPI, Ray ...) that does it; it is not shut down.
        shard: ``"1/4"`` works on part 1 of 4 and writes it to ``output`` for :func:`losscheck.merge`; the report is then empty.
        plot: a .png or .svg to draw the error over the logit into.
        regions, verbose: what the report shows as text, every failing region, and every row; its data have both.

    Returns:
        A report: ``sweeps`` are :class:`losscheck.core.results.SweepRow`, one for each implementation, target and quantity.

    Raises:
        UserError: as :func:`losscheck.compare`, and for an empty range; when no scheduler answers, workers have other versions
            than this process, or are lost again and again.
    """
    from losscheck.advice.recognised import ask_recognising
    from losscheck.measure.checkpoint import State
    from losscheck.measure.sweep import tasks_of
    from losscheck.measure.task import Finding

    rules_of(fail_on)
    part = _part(shard)
    if shard and not output:
        raise UserError("a shard needs --output FILE", "its result is a file for `losscheck merge`")
    _can_be_drawn(plot)
    options = {
        "impl": impl, "loss": loss, "dtype": dtype, "device": device, "mode": mode, "backend": backend, "quantity": quantity,
        "params": params, "oracle": oracle, "digits": digits, "max_ulp": max_ulp,
    }  # fmt: skip
    low, high = range
    grid = Range(exact_text(low), exact_text(high), many(target), points, spacing, exhaustive, layout, ends)
    path = Path(resume) if resume else None
    with _crew(jobs, cluster, executor, listener) as crew:
        asked = ask_recognising(grid, common(options, calling), listener.activity)
        for sentence in (*asked.notes, *asked.autocast_notes()):
            listener.note(sentence)
        tasks = tasks_of(asked.request, asked.selection)
        _refuse_slow_tails(tasks)
        _tell_of_compiling(tasks, listener)
        state = _earlier(path, asked, part, listener) or State(asked.request, [Finding() for _ in tasks], part)
        _run(state, tasks, path, crew, listener)
    if shard:
        _write_part(state, Path(output or ""), shard, listener)
        return Report("sweep", {}, asked.command_line(listener.always, fail_on))
    report = _report(asked, state, tasks, asked.command_line(listener.always, fail_on))
    return replace(_finished(report, fail_on, plot, listener), regions=regions, verbose=verbose)


def merge(
    files: Sequence[str | os.PathLike[str]],
    *,
    fail_on: str | None = None,
    plot: str | os.PathLike[str] | None = None,
    regions: bool = False,
    verbose: bool = False,
    listener: Listener = SILENT,
) -> Report:
    """The report of a sweep whose shards ran apart, as ``losscheck merge``.

    Raises:
        UserError: when they are of different sweeps, overlap, are unfinished, or one is missing.
    """
    from losscheck.callables.selection import select
    from losscheck.measure.ask import Asked
    from losscheck.measure.checkpoint import merge_states
    from losscheck.measure.sweep import tasks_of

    rules_of(fail_on)
    _can_be_drawn(plot)
    state = merge_states([Path(file) for file in files])
    asked = Asked(state.question, select(state.question), every_loss=False)
    again = shlex.join(["losscheck", "merge", *(os.fspath(file) for file in files), *(["--fail-on", fail_on] if fail_on else [])])
    report = _report(asked, state, tasks_of(asked.request, asked.selection), again)
    return replace(_finished(report, fail_on, plot, listener), regions=regions, verbose=verbose)


def _crew(jobs: int, cluster: str | None, executor: Executor | None, listener: Listener) -> AbstractContextManager[Crew | None]:
    """Who works beside this process; its own import of what processes and clusters need takes time."""
    if jobs == 1 and cluster is None and executor is None:
        return contextlib.nullcontext()
    from losscheck.measure.workers import crew_of

    return crew_of(jobs, cluster, executor, listener.note)


def _run(state: State, tasks: Sequence[Task], path: Path | None, crew: Crew | None, listener: Listener) -> None:
    """Work off what is left of a state, with checkpoints."""
    from losscheck.measure.checkpoint import Checkpoint, shard_range
    from losscheck.measure.sweep import run_tasks, total_points

    checkpoint = Checkpoint(state, path)
    with listener.progress(total_points(tasks, state.findings)) as advance:
        try:
            run_tasks(
                tasks,
                state.findings,
                crew=crew,
                within=lambda task: shard_range(task, state.shard),
                progress=advance,
                checkpoint=checkpoint,
            )
        except (KeyboardInterrupt, UserError) as error:
            checkpoint.write()
            if path is not None and isinstance(error, KeyboardInterrupt):
                listener.note(f"interrupted; go on with the same command and --resume {path}")
            raise
    state.complete = True
    checkpoint.write()


def _report(asked: Asked, state: State, tasks: Sequence[Task], command_line: str) -> Report:
    """The report of a finished state."""
    from losscheck.advice.worst import worst_trace
    from losscheck.inventory.environment import describe
    from losscheck.measure.sweep_rows import bit_differences, rows_of

    rows = tuple(rows_of(tasks, state.findings))
    return Report(
        command="sweep",
        environment=describe(asked.request.devices),
        reproduce=command_line,
        trace=worst_trace(rows, asked.request),
        sweeps=rows,
        bit_differences=tuple(bit_differences(tasks, state.findings)),
        max_ulp=asked.request.max_ulp,
        definitions=asked.selection.definitions(),
        remarks=asked.remarks(),
    )


def _finished(report: Report, fail_on: str | None, plot: str | os.PathLike[str] | None, listener: Listener) -> Report:
    """With what matches, and drawn where that was asked for."""
    if plot:
        from losscheck.renderers.plot import draw

        draw(report, Path(plot))
        listener.note(f"plot written to {os.fspath(plot)}")
    return replace(report, matched=rules_of(fail_on).first_match(report))


def _earlier(path: Path | None, asked: Asked, part: tuple[int, int], listener: Listener) -> State | None:
    """The state that a file holds, if there is such a file."""
    from losscheck.measure.checkpoint import load_state

    if path is None or not path.exists():
        return None
    state = load_state(path)
    if state.question != asked.request or state.shard != part:
        raise UserError(f"{path} belongs to another command", "give the command it was made with, or another --resume file")
    listener.note(f"going on from {path}")
    return state


def _write_part(state: State, path: Path, shard: str, listener: Listener) -> None:
    from losscheck.measure.checkpoint import save_state

    save_state(state, path)
    listener.note(f"shard {shard} written to {path}; combine all shards with `losscheck merge FILES...`")


def _part(text: str | None) -> tuple[int, int]:
    """'1/4' -> (1, 4)."""
    if text is None:
        return (1, 1)
    number, slash, of = text.partition("/")
    if not (slash and number.isascii() and number.isdigit() and of.isascii() and of.isdigit() and 1 <= int(number) <= int(of)):
        raise UserError(f"--shard {text!r} is not a part", "write I/N with I from 1 to N, for example --shard 1/4")
    return int(number), int(of)


def _can_be_drawn(plot: str | os.PathLike[str] | None) -> None:
    """Refuse before the work and not after it."""
    if plot is None:
        return
    path = Path(plot)
    if path.suffix not in (".png", ".svg"):
        raise UserError(f"cannot draw {path}: its suffix is neither .png nor .svg", "write --plot sweep.png")
    if not path.absolute().parent.is_dir():
        raise UserError(f"cannot write {path}: there is no folder {path.parent}", "create it first")
    import importlib.util

    if importlib.util.find_spec("matplotlib") is None:
        raise UserError("--plot needs matplotlib, which is not installed", "pip install matplotlib")


def _tell_of_compiling(tasks: Sequence[Task], listener: Listener) -> None:
    """The first run over so many floats takes some seconds that the next ones do not take."""
    from losscheck.filter.disk_cache import VARIABLE, first_use
    from losscheck.measure.compiled import WORTHWHILE

    if any(task.grid.exhaustive and task.grid.points >= WORTHWHILE for task in tasks) and (folder := first_use()):
        listener.note(f"the first run over so many floats compiles its loops; they are kept in {folder} ({VARIABLE}=off keeps none)")


def _refuse_slow_tails(tasks: Sequence[Task]) -> None:
    for task in tasks:
        if task.layout == "tail" and task.grid.points > 2**20:
            raise UserError(
                f"{task.grid.points} floats three at a time would take hours",
                "leave --exhaustive away, narrow the --range, or use --layout body",
            )
