"""Files written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from losscheck.core.errors import UserError

__all__ = ["near", "write_atomically", "write_new"]


def write_atomically(target: Path, text: str) -> None:
    """Replace a file in one step: whoever reads it sees the old text or the new one, never a part, also after a crash.

    Raises:
        UserError: when the folder is missing or the file cannot be written; the old file is then untouched.
    """
    if not target.parent.is_dir():
        raise UserError(f"cannot write {target}: there is no folder {target.parent}", "create it first, or choose another file")
    temporary: Path | None = None
    try:
        if target.exists() and not target.is_file():
            # A device or a pipe is written to, not replaced; a folder says so by itself.
            target.write_text(text, encoding="utf-8")
            return
        mode = target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~_umask()
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        temporary = Path(name)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(mode)
        temporary.replace(target)
    except OSError as error:
        with contextlib.suppress(OSError):
            if temporary is not None:
                temporary.unlink()
        raise UserError(f"cannot write {target}: {error.strerror or error}", "mend that, or choose another file") from None


def write_new(target: Path, text: str) -> None:
    """Write a file that must not be there yet.

    Raises:
        UserError: when it exists, when its folder is missing, or when it cannot be written.
    """
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UserError(f"{target} exists already", "give another file, or move that one away") from None
    except OSError as error:
        raise UserError(f"cannot write {target}: {error.strerror or error}", "mend that, or choose another file") from None


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def near(spec: str) -> str:
    """A file, or the spec of a callable in one, as seen from the working directory, where that is shorter; other names as they are."""
    path, colon, name = (spec, "", "") if spec.endswith(".py") else spec.rpartition(":")
    if not path.endswith(".py") or not Path(path).is_absolute():
        return spec
    return f"{min(path, os.path.relpath(path), key=len)}{colon}{name}"
