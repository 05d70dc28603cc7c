"""Reports to the screen or to a file: whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from losscheck.core.errors import UserError
from losscheck.core.files import write_atomically
from losscheck.renderers import Style

__all__ = ["ClosedPipeError", "note", "progress_bar", "screen", "write"]


class ClosedPipeError(Exception):
    """The reader of standard output went away."""


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
def progress_bar(total: int, off: bool) -> Iterator[Callable[[int], None]]:
    """A bar with rate and time left on standard error; nothing when that is no terminal or it is switched off."""
    if off or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield lambda points: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Any) -> Text:
            return Text(f"{(task.speed or 0.0) / 1e6:.1f} M/s")

    columns = (TextColumn("{task.percentage:>3.0f}%"), BarColumn(), Rate(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("", total=total)
        yield lambda points: progress.advance(bar, points)
