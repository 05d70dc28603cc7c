"""What `check` says of the losses of docs/gallery in float32: measured once a process for all tests that ask."""

import contextlib
import functools
from pathlib import Path

import losscheck

ROOT = Path(__file__).parents[1]


def checked(spec, *, dtype="float32"):
    """The report about ``docs/gallery/FILE.py:NAME``, asked from the repository."""
    return _checked(spec, dtype)


@functools.cache
def _checked(spec, dtype):
    with contextlib.chdir(ROOT):
        return losscheck.check(spec, dtype=dtype)
