"""Reports as text. One file per format, each with ``render(report, style) -> str``; found by name, loaded on use."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from losscheck.core.report import Report

__all__ = ["FORMATS", "GATE_FORMATS", "SUFFIXES", "Style", "render"]

FORMATS = ("table", "json", "csv", "markdown", "html")
GATE_FORMATS = ("table", "json", "junit", "github", "markdown")
SUFFIXES = {".json": "json", ".csv": "csv", ".md": "markdown", ".html": "html", ".txt": "table", ".xml": "junit"}


@dataclass(frozen=True)
class Style:
    """What the reader's screen can show. Only the table looks at it."""

    width: int = 80
    color: bool = False
    unicode: bool = True


def render(format_name: str, report: Report, style: Style) -> str:
    """The report in a format of FORMATS, ending in a newline."""
    module = importlib.import_module(f"losscheck.renderers.{format_name}")
    text: str = module.render(report, style)
    return text if text.endswith("\n") else text + "\n"
