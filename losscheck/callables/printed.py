"""What a user's code prints: chatter, which goes to standard error, or of no interest."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator
from typing import Any

__all__ = ["silence", "stdout_to_stderr"]


def stdout_to_stderr() -> contextlib.AbstractContextManager[Any]:
    """What a callable prints is chatter: it goes to standard error."""
    if sys.stdout is sys.stderr:  # as within another of these, block by block
        return contextlib.nullcontext()
    return contextlib.redirect_stdout(sys.stderr)


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """What it prints while it is only tried out is not of interest."""
    with contextlib.redirect_stderr(io.StringIO()), stdout_to_stderr():
        yield
