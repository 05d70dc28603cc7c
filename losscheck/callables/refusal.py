"""What a callable of the user's does instead of returning losses, and how that is told."""

from __future__ import annotations

import contextlib
import importlib
import traceback
from pathlib import Path

from losscheck.core.errors import UserError
from losscheck.core.loss import Implementation

__all__ = ["OwnCallError", "describe_error", "is_machinery", "reason_of", "seen_from", "shown_path"]

_HERE = str(Path(__file__).parents[1])
_SEEN_FROM: list[Path] = []  # the folder that messages are relative to, where it is not the working directory


class OwnCallError(RuntimeError):
    """What a callable of the user's did instead of returning losses; the whole text is for people."""


def describe_error(error: BaseException, file: str = "") -> str:
    """'TypeError: what it says (naive.py:12)': the first line, and the deepest place in the user's own file."""
    try:
        text = str(error).strip()
    except Exception:
        text = ""  # an exception whose own text raises
    said = text.splitlines()[0] if text else "no message"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not is_machinery(frame.filename)]
    mine = [frame for frame in frames if file and frame.filename == file] or frames
    where = f" ({shown_path(mine[-1].filename)}:{mine[-1].lineno})" if mine else ""
    return f"{type(error).__name__}: {said}{where}"


def reason_of(error: Exception, implementation: Implementation) -> str:
    """Why a row has no value, when an implementation raised.

    A framework that has no kernel for a dtype says so by raising; that is an answer about it, not our crash. Of a callable of the
    user's everything is an answer, also what a backward pass of its own raises.
    """
    if isinstance(error, OwnCallError):
        return str(error)
    if implementation.own and not isinstance(error, UserError):
        return describe_error(error, implementation.module)
    if isinstance(error, RuntimeError | TypeError | NotImplementedError | ValueError):
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
    raise error


def is_machinery(file: str) -> bool:
    """Ours, the interpreter's, or that of importing."""
    return file.startswith((_HERE, "<")) or file == importlib.__file__


def seen_from(folder: Path) -> None:
    """Tell places relative to another folder: that of the process that sent the work."""
    _SEEN_FROM[:] = [folder]


def shown_path(file: str) -> str:
    """The path from here when it lies below, else its last two parts, which fit a terminal."""
    path = Path(file)
    with contextlib.suppress(ValueError):
        return str(path.relative_to(_SEEN_FROM[0] if _SEEN_FROM else Path.cwd()))
    return str(Path(*path.parts[-2:]))
