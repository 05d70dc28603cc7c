"""Reports to the screen or to a file: whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from losscheck.callables.loading import is_spec
from losscheck.core.errors import UserError
from losscheck.core.files import write_atomically
from losscheck.renderers import SUFFIXES, Style, formats_for

if TYPE_CHECKING:
    from losscheck.core.report import Report

__all__ = ["SERVED", "ClosedPipeError", "chosen_format", "finish", "note", "progress_bar", "screen", "write"]

# Command -> the formats it can be written in: a format that a command has not is refused before any work.
SERVED = {
    "merge": formats_for("sweep"),
    **{command: formats_for(command) for command in ("check", "compare", "sweep", "gate", "trace", "list", "doctor")},
}


class ClosedPipeError(Exception):
    """The reader of standard output went away."""


def chosen_format(command: str, format_name: str | None, path: str | None) -> str:
    """The format asked for, or the one that the suffix of the output file says; a table on the screen.

    Raises:
        UserError: when the suffix says nothing, or a format that the command has not.
    """
    if format_name or path is None or not Path(path).suffix:
        return format_name or "table"
    known = {suffix: name for suffix, name in SUFFIXES.items() if name in SERVED[command]}
    suffix = Path(path).suffix
    if suffix not in known:
        what = f"{command} has no format {SUFFIXES[suffix]}" if suffix in SUFFIXES else f"the suffix {suffix} names no format"
        raise UserError(f"--output {path}: {what}", f"known are {', '.join(known)}; or say which with --format")
    return known[suffix]


def finish(report: Report, format_name: str, path: str | None) -> int:
    """Write a report, say what --fail-on matches, and return the exit code.

    Raises:
        UserError: when nothing could run, when it cannot be written, and when the tool caught itself in a wrong figure.
    """
    from losscheck.renderers import render

    _refuse_if_nothing_ran(report)
    write(render(format_name, report, screen(path)), path)
    if any(row.wrong for row in (*report.sweeps, *report.tensors)):
        raise UserError(
            "the float64 filter disagreed with the exact oracle on a checked point", "this is a bug in losscheck: please report the command"
        )
    if report.matched:
        note(f"--fail-on matches, first at {report.matched}")
    return report.exit_code


def _refuse_if_nothing_ran(report: Report) -> None:
    rows = [(row.device, row.reason, row.value is None) for row in report.rows]
    rows += [(row.device, row.reason, True) for row in report.sweeps]
    rows += [(row.device, row.reason, not row.counts) for row in report.tensors]
    rows += [(row.device, row.reason, row.effect is None) for row in report.ranking]
    if rows and all(reason and empty for _, reason, empty in rows):
        reasons = list(dict.fromkeys(f"{device}: {reason}" for device, reason, _ in rows))
        cure = "change what it names, or select another implementation, --device or --backend; see `losscheck doctor`"
        rows_of = (*report.rows, *report.sweeps, *report.tensors)
        if own := next((row.implementation for row in rows_of if is_spec(row.implementation)), ""):
            cure = f"`losscheck check {own}` tries the ways in which it may want to be called; or say it with --input and --call"
        raise UserError(f"nothing could run ({'; '.join(reasons[:3])[:1000]})", "\n  ".join([*report.remarks, cure]))


def write(text: str, path: str | None) -> None:
    """To standard output, or atomically to a file: another reader sees the old file or the new one, never a part.

    Raises:
        UserError: when the file cannot be written.
    """
    if path is None:
        try:
            _to_stdout(text)
        except BrokenPipeError:
            # click would turn it into exit code 1, which means something else here.
            raise ClosedPipeError from None
        except OSError as error:
            raise UserError(f"cannot write standard output: {error.strerror or error}", "mend that, or use --output FILE") from None
        return
    write_atomically(Path(path), text)


def _to_stdout(text: str) -> None:
    """All of it: without a buffer (PYTHONUNBUFFERED) Python itself silently drops what a pipe did not take at once."""
    if sys.stdout is None:
        raise UserError("standard output is closed", "open it, or use --output FILE")
    stream = getattr(sys.stdout, "buffer", None)
    if stream is None:
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    sys.stdout.flush()
    data = memoryview(text.encode(sys.stdout.encoding or "utf-8", errors="backslashreplace"))
    while data:
        data = data[stream.write(data) or 0 :]
    stream.flush()


def screen(path: str | None) -> Style:
    """What standard output can show; a file gets 100 columns without colour. NO_COLOR and COLUMNS are honoured."""
    if path is not None or sys.stdout is None:
        return Style(width=100)
    encoding = (sys.stdout.encoding or "ascii").lower()
    color = sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    return Style(
        width=shutil.get_terminal_size((80, 24)).columns,
        color=color or "FORCE_COLOR" in os.environ,
        unicode="utf" in encoding,
    )


def note(message: str, quiet: bool = False) -> None:
    """Chatter, on standard error."""
    if not quiet:
        print(f"losscheck: {message}", file=sys.stderr)


@contextlib.contextmanager
def activity(off: bool) -> Iterator[Callable[[str], None]]:
    """A spinner with a clock and what is being done, on standard error, from the first moment; nothing as :func:`progress_bar`."""
    if off or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield lambda words: None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TimeElapsedColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("starting", total=None)
        yield lambda words: progress.update(task, description=words)


@contextlib.contextmanager
def progress_bar(total: int, off: bool) -> Iterator[Callable[[int], None]]:
    """A bar with rate and time left on standard error; nothing when that is no terminal or it is switched off."""
    if off or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield lambda points: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Any) -> Text:
            return Text(f"{(task.speed or 0.0) / 1e6:.1f} M/s")

    # The spinner and the clock move from the first moment, the bar once a framework is loaded and the first block is done.
    columns = (SpinnerColumn(), TextColumn("{task.percentage:>3.0f}%"), BarColumn(), Rate(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("", total=total)
        yield lambda points: progress.advance(bar, points)
