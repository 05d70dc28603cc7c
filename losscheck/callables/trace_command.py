"""The `losscheck trace` that shows which line gave a result: for what runs on PyTorch, and can be named on a command line."""

from __future__ import annotations

import math
import shlex
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

from losscheck.callables.loading import handed_over, is_spec
from losscheck.core import registry
from losscheck.core.call_spec import PLAIN_CALL, CallSpec
from losscheck.core.dtypes import FLOAT64, FORMATS
from losscheck.core.results import Row

__all__ = ["trace_command"]


def trace_command(
    row: Row, point: tuple[float, float] | Collection[str], params: Mapping[str, float], call_spec: CallSpec = PLAIN_CALL
) -> str:
    """The command; "" where there is none: what does not run on PyTorch, eagerly and on the CPU, and a callable that only this process has.

    Args:
        point: the logit and the target, or the words that name an element of a dump.
        params: as they were asked for.
    """
    if row.backend != "torch" or row.mode != "eager" or row.device != "cpu":
        return ""
    name = _typed(row.implementation)
    if not name:
        return ""
    words = ["losscheck", "trace", name]
    if isinstance(point, tuple):
        if not all(map(math.isfinite, point)):
            return ""
        shortest = FORMATS[row.given_dtype].shortest
        words += [shortest(point[0]), "--target", shortest(point[1])]
    else:
        words += point
    if row.given_dtype != "float32" or not isinstance(point, tuple):
        words += ["--dtype", row.given_dtype]
    if row.loss in registry.losses():
        words += ["--loss", row.loss]
    if is_spec(row.implementation):
        return shlex.join([*words, *replace(call_spec, formula="").options()])
    given = [f"{name}={registry.word_of(name, value) or FLOAT64.shortest(value)}" for name, value in params.items() if name in row.params]
    return shlex.join([*words, *(word for text in given for word in ("--param", text))])


def _typed(implementation: str) -> str:
    """How a command line names it: a callable that was handed over by its file and its name there, if it has one."""
    own = handed_over(implementation)
    if own is None:
        return implementation
    name = getattr(own.target, "__qualname__", "")
    file = Path(own.file) if own.file else None
    if file is None or not file.is_file() or not name or "<" in name:
        return ""
    near = file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file
    return f"{near}:{name}"
