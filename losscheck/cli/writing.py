"""Reports to the screen or to a file: whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

from losscheck.errors import UserError
from losscheck.renderers import Style

__all__ = ["note", "screen", "write"]


def write(text: str, path: str | None) -> None:
    """To standard output, or atomically to a file: another reader sees the old file or the new one, never a part.

    Raises:
        UserError: when the file cannot be written.
    """
    if path is None:
        sys.stdout.write(text)
        return
    target = Path(path)
    if not target.parent.is_dir():
        raise UserError(f"cannot write {path}: there is no folder {target.parent}", "create it first, or choose another --output")
    temporary = ""
    try:
        if target.exists() and not target.is_file():
            # A device or a pipe is written to, not replaced; a folder says so by itself.
            target.write_text(text, encoding="utf-8")
            return
        handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~_umask())
        os.replace(temporary, target)
    except OSError as error:
        with contextlib.suppress(OSError):
            if temporary:
                os.unlink(temporary)
        raise UserError(f"cannot write {path}: {error.strerror or error}", "free space or choose another --output; nothing was replaced") from None


def screen(path: str | None) -> Style:
    """What standard output can show; a file gets 100 columns without colour. NO_COLOR and COLUMNS are honoured."""
    if path is not None:
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


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
