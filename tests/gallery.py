"""What `check` says of the losses of docs/gallery, and of all that ship of a loss: measured once a process for all tests that ask."""

import contextlib
import functools
from pathlib import Path

import losscheck

ROOT = Path(__file__).parents[1]


def checked(spec=None, *, loss=(), dtype="float32"):
    """The report about ``docs/gallery/FILE.py:NAME``, or all that ship of a loss, asked from the repository."""
    return _checked(spec, loss, dtype)


@functools.cache
def _checked(spec, loss, dtype):
    with contextlib.chdir(ROOT):
        return losscheck.check(*([spec] if spec else []), loss=loss, dtype=dtype)
