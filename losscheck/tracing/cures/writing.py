"""A patch written into its file, whole or not at all, with what was there kept beside it."""

from __future__ import annotations

import sysconfig
from pathlib import Path

from losscheck.core.errors import UserError
from losscheck.core.files import write_atomically, write_new
from losscheck.tracing.cures.patch import Patch

__all__ = ["write_patch"]


def write_patch(patch: Patch) -> Path:
    """Write the file, and FILE.orig, which must not be there yet.

    Raises:
        UserError: when the file is an installed package's or has changed since it was read, and when it cannot be written.
    """
    file = Path(patch.file)
    if any(file.is_relative_to(sysconfig.get_path(name)) for name in ("purelib", "platlib", "stdlib")):
        raise UserError(f"{file} belongs to an installed package", "copy the function into a file of your own")
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            text = stream.read()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {file}: {error}", "mend that; nothing was written") from None
    end = "\r\n" if "\r\n" in text else "\n"
    if text.replace("\r\n", "\n") != patch.before:
        raise UserError(f"{file} is not as it was when it was traced", "run again; nothing was written")
    kept = file.with_name(f"{file.name}.orig")
    write_new(kept, text)
    write_atomically(file, patch.after.replace("\n", end))
    return kept
