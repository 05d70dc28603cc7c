"""Reports as text, in two steps: a report becomes a document, plain data, once (`documents/`); each format writes it.

JSON and CSV write the rows' flat data (`flat.py`), JUnit and GitHub the verdicts of the gate. One file per format, each with
``render(report, style) -> str``; found by name, loaded on use. Those of other packages are found by their entry points (`plugins.py`).
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from losscheck.core.errors import UserError
from losscheck.core.report import Inventory, Report
from losscheck.renderers.plugins import plugged

__all__ = ["FORMATS", "GATE_FORMATS", "SERVES", "SUFFIXES", "Style", "formats_for", "render", "why_not"]

_EVERYTHING = ("check", "compare", "tensors", "sweep", "gate", "trace", "list", "doctor")
_ROWS = ("check", "compare", "tensors", "sweep", "gate")

# Which of our formats shows what, so that none is loaded to know: `tensors` is compare of a dumped batch, and merge shows a sweep.
_OURS: Mapping[str, tuple[str, ...]] = {
    "table": _EVERYTHING,
    "json": _EVERYTHING,
    "csv": _ROWS,
    "markdown": _EVERYTHING,
    "html": _EVERYTHING,
    "junit": ("gate",),
    "github": ("gate",),
}
_THEIRS = plugged(_OURS, _EVERYTHING)
_SUFFIXES = {".json": "json", ".csv": "csv", ".md": "markdown", ".html": "html", ".txt": "table", ".xml": "junit"}
_MODULES = {"table": "text"}  # the others are named after their format

SERVES: Mapping[str, tuple[str, ...]] = {**_OURS, **{name: renderer.serves for name, renderer in _THEIRS.items()}}
SUFFIXES = {**{renderer.suffix: name for name, renderer in _THEIRS.items() if renderer.suffix}, **_SUFFIXES}


def formats_for(job: str) -> tuple[str, ...]:
    """The formats that show a job of SERVES."""
    return tuple(format_name for format_name, jobs in SERVES.items() if job in jobs)


FORMATS = formats_for("compare")
GATE_FORMATS = formats_for("gate")


@dataclass(frozen=True)
class Style:
    """What the reader's screen can show. Only the table looks at it."""

    width: int = 80
    color: bool = False
    unicode: bool = True


def why_not(format_name: str, job: str) -> str:
    """Why a format cannot show a job, with what can; empty when it can. To be asked before any work."""
    return ": ".join(_refusal(format_name, job))


def _refusal(format_name: str, job: str) -> tuple[str, ...]:
    """The problem and the cure; nothing for a format that serves the job."""
    if job in SERVES.get(format_name, ()):
        return ()
    *most, last = formats_for(job)
    return f"--format {format_name} does not show {job}", f"use {', '.join(most)} or {last}"


def render(format_name: str, report: Report | Inventory, style: Style) -> str:
    """The report in a format that serves it, ending in a newline.

    Raises:
        UserError: for a format that does not.
    """
    if refusal := _refusal(format_name, report.job):
        raise UserError(*refusal)
    text: str = _module(format_name).render(report, style)
    return text if text.endswith("\n") else text + "\n"


def _module(format_name: str) -> Any:
    if format_name in _THEIRS:
        return _THEIRS[format_name].module
    return importlib.import_module(f"losscheck.renderers.{_MODULES.get(format_name, format_name)}")
