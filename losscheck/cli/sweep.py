"""``losscheck sweep``."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from losscheck.cli import options
from losscheck.cli.asking import asked_losses, max_ulp, reproduce, tell_of_autocast
from losscheck.cli.failing import fail_on, failed
from losscheck.cli.writing import note, progress_bar, screen, write
from losscheck.core.errors import UserError


@click.command("sweep")
@click.option("--range", nargs=2, default=("-100", "100"), metavar="LO HI", help="Decimal, hex, -inf or inf. Default: -100 100.")
@click.option("--target", multiple=True, metavar="Z", help="Repeatable. Default: the loss's own, such as 0, 0.5 and 1.")
@click.option("--points", type=int, default=1000, metavar="N", help="Of a sample. Default: 1000.")
@click.option("--spacing", type=click.Choice(["linear", "ulp", "both"]), default="both", help="Even in value, in floats, or half each.")
@click.option("--exhaustive", is_flag=True, help="Every float in the range; 16-bit dtypes always are.")
@options.selection
@options.own
@click.option("--layout", type=click.Choice(["body", "tail", "both"]), default="body", help="Long tensors, tensors of 3, or both compared.")
@click.option("--jobs", type=int, default=1, metavar="N", help="Processes. Default: 1.")
@click.option("--shard", metavar="I/N", default=None, help="Only part I of N; --output is then a file for `losscheck merge`.")
@click.option("--resume", metavar="FILE", default=None, help="Checkpoints go here; an interrupted sweep goes on from it.")
@options.failing
@click.option("--plot", metavar="FILE", default=None, help="Draw error over logit into a .png or .svg (extra `plot`).")
@options.output
@click.option("-v", "--verbose", is_flag=True, help="Every backend, target and region.")
@click.option("--no-progress", is_flag=True, help="No progress bar.")
@click.option("-q", "--quiet", is_flag=True, help="No notes and no progress on standard error.")
def COMMAND(**given: Any) -> int:
    """A range of logits, sampled or every float: outcomes, worst errors, and the exact floats where each failure starts.

    \b
    losscheck sweep --range -100 100
    losscheck sweep --loss bce --impl 'torch*' --exhaustive --range -20 -10 --target 0
    losscheck sweep --dtype bfloat16
    """
    return run(**given)


def run(**given: Any) -> int:
    from losscheck.measure.checkpoint import Checkpoint, save_state, shard_range
    from losscheck.measure.summary import Summary  # noqa: F401  (numpy-free: a bad option is refused before torch loads)
    from losscheck.measure.sweep import run_tasks, tasks_of, total_points

    rules = fail_on(given["fail_on"])
    state, path = _state(given)
    if given["shard"] and not given["output"]:
        raise UserError("a shard needs --output FILE", "its result is a file for `losscheck merge`")
    _plot_can_be_drawn(given["plot"])
    tasks = tasks_of(state.question)
    tell_of_autocast(state.question, given["quiet"])
    if given["jobs"] < 1:
        raise UserError(f"--jobs {given['jobs']} is no number of processes", "give at least 1")
    _refuse_slow_tails(tasks)
    os.environ.setdefault("OMP_NUM_THREADS", "1" if given["jobs"] > 1 else "")
    if not os.environ["OMP_NUM_THREADS"]:
        del os.environ["OMP_NUM_THREADS"]
    checkpoint = Checkpoint(state, path)
    total = total_points(tasks, state.findings)
    with progress_bar(total, given["quiet"] or given["no_progress"]) as advance:
        try:
            run_tasks(
                tasks,
                state.findings,
                jobs=given["jobs"],
                within=lambda task: shard_range(task, state.shard),
                progress=advance,
                checkpoint=checkpoint,
            )
        except KeyboardInterrupt:
            checkpoint.write()
            if path is not None:
                note(f"interrupted; go on with the same command and --resume {path}")
            raise
    state.complete = True
    checkpoint.write()
    if given["shard"]:
        save_state(state, Path(given["output"]))
        note(f"shard {given['shard']} written to {given['output']}; combine all shards with `losscheck merge FILES...`", given["quiet"])
        return 0
    report = report_of(state, reproduce(COMMAND, given))
    finish(report, given)
    return failed(report, rules)


def report_of(state: Any, command_line: str) -> Any:
    """The report of a finished state."""
    from losscheck.callables.notes import definitions, notes_on
    from losscheck.core.report import Report
    from losscheck.inventory.environment import describe
    from losscheck.measure.sweep import tasks_of
    from losscheck.measure.sweep_rows import bit_differences, rows_of

    tasks = tasks_of(state.question)
    rows, remarks = rows_of(tasks, state.findings), notes_on(state.question)
    if rows and all(row.reason for row in rows):
        reasons = dict.fromkeys(f"{row.device}: {row.reason}" for row in rows)
        raise UserError(
            f"nothing could run ({'; '.join(list(reasons)[:3])})",
            "\n  ".join(
                [*remarks, "change what it names, or select another implementation, --device or --backend; see `losscheck doctor`"]
            ),
        )
    return Report(
        command="sweep",
        environment=describe(state.question.devices),
        reproduce=command_line,
        sweeps=tuple(rows),
        bit_differences=tuple(bit_differences(tasks, state.findings)),
        max_ulp=state.question.max_ulp,
        definitions=definitions(state.question),
        remarks=remarks,
    )


def finish(report: Any, given: dict[str, Any]) -> None:
    """The plot and the report, where they were asked to go."""
    from losscheck.renderers import render

    report = replace(report, verbose=given["verbose"])
    if given.get("plot"):
        from losscheck.renderers.plot import draw

        draw(report, Path(given["plot"]))
        note(f"plot written to {given['plot']}", given.get("quiet", False))
    text = render(options.chosen_format(given["format"], given["output"]), report, screen(given["output"]))
    write(text, given["output"])
    if any(row.wrong for row in report.sweeps):
        raise UserError(
            "the float64 filter disagreed with the exact oracle on a checked point", "this is a bug in losscheck: please report the command"
        )


def _state(given: dict[str, Any]) -> tuple[Any, Path | None]:
    from losscheck.measure.checkpoint import State, load_state
    from losscheck.measure.sweep import tasks_of
    from losscheck.measure.task import Finding

    question = _question(given)
    shard = _shard(given["shard"])
    path = Path(given["resume"]) if given["resume"] else None
    if path is not None and path.exists():
        state = load_state(path)
        if state.question != question or state.shard != shard:
            raise UserError(f"{path} belongs to another command", "give the command it was made with, or another --resume file")
        note(f"going on from {path}", given["quiet"])
        return state, path
    return State(question, [Finding() for _ in tasks_of(question)], shard), path


def _question(given: dict[str, Any]) -> Any:
    from losscheck.backends import parse_device, parse_mode
    from losscheck.core.dtypes import format_named
    from losscheck.core.request import SweepQuestion

    dtypes = [format_named(name) for name in given["dtype"]]
    targets = [dtype.parse(text, "target") for dtype in dtypes for text in given["target"]]
    losses = asked_losses(given, targets)
    low, high = given["range"]
    return SweepQuestion(
        losses=tuple(loss.name for loss in losses),
        low=low,
        high=high,
        impl=tuple(given["impl"]),
        backends=tuple(given["backend"]),
        targets=tuple(given["target"]),
        dtypes=tuple(dict.fromkeys(given["dtype"])),
        devices=tuple(dict.fromkeys(parse_device(each) for each in given["device"])),
        quantities=options.quantities(given["quantity"]),
        params=options.parse_params(given["param"], losses),
        points=given["points"],
        spacing=given["spacing"],
        exhaustive=given["exhaustive"],
        layout=given["layout"],
        oracle=given["oracle"],
        digits=given["digits"],
        max_ulp=max_ulp(given),
        call_spec=options.call_spec_of(given),
        modes=tuple(dict.fromkeys(parse_mode(each) for each in given["mode"])),
    )


def _shard(text: str | None) -> tuple[int, int]:
    if text is None:
        return (1, 1)
    number, slash, of = text.partition("/")
    if not (slash and number.isascii() and number.isdigit() and of.isascii() and of.isdigit() and 1 <= int(number) <= int(of)):
        raise UserError(f"--shard {text!r} is not a part", "write I/N with I from 1 to N, for example --shard 1/4")
    return int(number), int(of)


def _plot_can_be_drawn(path: str | None) -> None:
    """Refuse before the work and not after it."""
    if path is None:
        return
    if not path.endswith((".png", ".svg")):
        raise UserError(f"cannot draw {path}: its suffix is neither .png nor .svg", "write --plot sweep.png")
    if not Path(path).absolute().parent.is_dir():
        raise UserError(f"cannot write {path}: there is no folder {Path(path).parent}", "create it first")
    import importlib.util

    if importlib.util.find_spec("matplotlib") is None:
        raise UserError("--plot needs matplotlib, which is not installed", "pip install 'losscheck[plot]'")


def _refuse_slow_tails(tasks: list[Any]) -> None:
    for task in tasks:
        if task.layout == "tail" and task.grid.points > 2**20:
            raise UserError(
                f"{task.grid.points} floats three at a time would take hours",
                "leave --exhaustive away, narrow the --range, or use --layout body",
            )
