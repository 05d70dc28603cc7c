"""How a report of failures ends: with the command that shows which line did the worst of them."""

from __future__ import annotations

from losscheck.core.report import Report
from losscheck.renderers.document import Block, Commands

__all__ = ["which_line"]


def which_line(report: Report) -> list[Block]:
    return [Commands((("which line, and what to write", report.trace),))] if report.trace else []
