"""Figures recorded for one kind of machine: read, compared, and rewritten only when that is asked for.

One file for each environment class, ``baseline/<class>.json`` beside the case files. Vector instructions belong to the
class, because PyTorch and numpy choose their kernels, and with them the last bits, by what the processor has.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from losscheck.core.errors import UserError
from losscheck.core.files import write_atomically
from losscheck.gating.case import Case
from losscheck.gating.measured import Measured
from losscheck.inventory.environment import describe

__all__ = ["FOLDER", "Baseline", "Recorded", "key_of", "read_baseline", "recorded_of", "write_baseline"]

FOLDER = "baseline"
VERSION = 1
# By these variables PyTorch and numpy are made to take the kernels of a lesser processor.
_KERNEL_CHOICE = ("ATEN_CPU_CAPABILITY", "NPY_DISABLE_CPU_FEATURES")


@dataclass(frozen=True)
class Recorded:
    """The figures of one row: how many points, the largest |ulp|, the points of every failing outcome, and what was asked."""

    points: int
    max_ulp: float
    counts: Mapping[str, int]
    question: str = ""

    def worse(self, than: Recorded) -> list[str]:
        """In words, each figure that is worse than recorded."""
        return self._where(than, lambda now, before: not now <= before)

    def better(self, than: Recorded) -> list[str]:
        """In words, each figure that is better than recorded."""
        return self._where(than, lambda now, before: now < before)

    def _where(self, than: Recorded, differs: Callable[[float, float], bool]) -> list[str]:
        figures = {"ulp": (self.max_ulp, than.max_ulp)}
        figures |= {outcome: (self.counts.get(outcome, 0), than.counts.get(outcome, 0)) for outcome in {**than.counts, **self.counts}}
        return [f"{now:.9g} {what} where {before:.9g} is recorded" for what, (now, before) in figures.items() if differs(now, before)]


@dataclass
class Baseline:
    """One file: rows by their key, and where and how they were measured."""

    path: Path
    name: str
    rows: dict[str, Recorded] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    command: str = ""


def key_of(measured: Measured) -> str:
    """The name of a row in a baseline; the number of a CUDA device does not matter."""
    device = measured.device.partition(":")[0]
    mode = [] if measured.mode == "eager" else [measured.mode]
    parts = [measured.case.name, measured.implementation, measured.backend, device, *mode, measured.dtype.name, measured.quantity]
    return " | ".join(parts)


def recorded_of(measured: Measured) -> Recorded:
    counts = {outcome.value: n for outcome, n in measured.counts.items() if outcome.failed and n}
    return Recorded(measured.points, measured.max_ulp, dict(sorted(counts.items())), question_of(measured.case))


def question_of(case: Case) -> str:
    """A short name of everything that decides the figures of a case: figures of other questions cannot be compared."""
    asked = case.model_dump(include={"loss", "params", "reduction", "points", "range", "exhaustive", "callable"}, mode="json")
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]


def read_baseline(path: Path) -> Baseline:
    """The file of a class; an empty one when there is none.

    Raises:
        UserError: when it is damaged or of another version.
    """
    empty = Baseline(path, path.stem)
    if not path.exists():
        return empty
    damaged = UserError(
        f"{path} is no baseline", "restore it from version control, or delete it and run `losscheck gate --update-baseline`"
    )
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["version"] != VERSION or data["class"] != path.stem:
            raise damaged
        rows = {key: _entry(entry) for key, entry in data["rows"].items()}
        return Baseline(path, path.stem, rows, dict(data["environment"]), str(data["command"]))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}", "mend that, or give another --baseline") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise damaged from None


def _entry(data: Any) -> Recorded:
    counts = data["counts"]
    # Not isinstance: true is an int to Python.
    if not all(type(n) is int and n > 0 for n in counts.values()) or type(data["points"]) is not int:
        raise ValueError("no counts")
    max_ulp = float(data["max_ulp"])
    if math.isnan(max_ulp) or max_ulp < 0:
        raise ValueError("no ulp")
    return Recorded(data["points"], max_ulp, dict(counts), str(data.get("question", "")))


def write_baseline(baseline: Baseline, command: str) -> None:
    """Replace the file in one step.

    Raises:
        UserError: when it cannot be written.
    """
    try:
        baseline.path.parent.mkdir(exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {baseline.path.parent}: {error.strerror or error}", "mend that first") from None
    rows = {
        key: {
            "points": recorded.points,
            "max_ulp": recorded.max_ulp if math.isfinite(recorded.max_ulp) else "inf",
            "counts": dict(recorded.counts),
            "question": recorded.question,
        }
        for key, recorded in sorted(baseline.rows.items())
    }
    # Whoever measures again must take the same kernels.
    forced = [f"{name}={shlex.quote(os.environ[name])}" for name in _KERNEL_CHOICE if os.environ.get(name)]
    command = " ".join([*forced, command])
    data = {"version": VERSION, "class": baseline.name, "command": command, "environment": describe(), "rows": rows}
    write_atomically(baseline.path, json.dumps(data, indent=1, allow_nan=False, ensure_ascii=False) + "\n")
