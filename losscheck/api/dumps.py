"""A batch as it is given: paths of dumps, or tensors in memory."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from losscheck.core.errors import UserError

if TYPE_CHECKING:
    from losscheck.points.load import Dump

__all__ = ["dump_of", "files_of"]


def files_of(tensors: Any) -> tuple[str, ...]:
    """The paths among what was given; none of tensors in memory."""
    several = tensors if isinstance(tensors, tuple | list) else (tensors,)
    return tuple(os.fspath(path) for path in several) if all(isinstance(path, str | os.PathLike) for path in several) else ()


def dump_of(tensors: Any, files: tuple[str, ...], names: dict[str, str]) -> Dump:
    """The batch, read from files where there are some.

    Raises:
        UserError: for what is no batch, and as :func:`losscheck.points.load.load`.
    """
    from losscheck.points.load import load, of_memory

    if files:
        return load(files, names)
    if not isinstance(tensors, Mapping):
        if not isinstance(tensors, tuple | list) or len(tensors) != 2:
            raise UserError("tensors= is no batch", "give a path, (logits, targets), or a mapping with logits and targets")
        tensors = dict(zip(("logits", "targets"), tensors, strict=True))
    return of_memory(tensors, names)
