"""Annotations for GitHub Actions: workflow commands, shown beside the user's source where it is known, else beside the case."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from losscheck.core.report import Report
from losscheck.core.verdict import CaseRow, Problem
from losscheck.renderers import Style
from losscheck.renderers.verdicts import asides, holds, message, not_holding, places, totals

__all__ = ["problem_annotations", "render"]

MOST = 10  # GitHub drops further annotations of a step without a word


def render(report: Report, style: Style) -> str:
    bad = not_holding(report)
    lines = [_annotation(row) for row in bad[:MOST]]
    if len(bad) > MOST:
        lines.append(f"and {len(bad) - MOST} more")
    lines += [*asides(report), f"gate {holds(report)}: {totals(report)}"]
    return "\n".join(line if line.startswith("::error ") else _plain(line) for line in lines)


def problem_annotations(problems: Sequence[tuple[Path, Problem]]) -> str:
    """Of case files that cannot be judged: the first problems, each at its place."""
    lines = [
        f"::error file={_property(str(file))},line={problem.line},col={problem.column}"
        f",title={_property(problem.path or 'case file')}::{_data(problem.message)}"
        for file, problem in problems[:MOST]
    ]
    return "\n".join([*lines, *([f"and {len(problems) - MOST} more"] if len(problems) > MOST else []), ""])


def _annotation(row: CaseRow) -> str:
    title = f"{row.case}: {row.verdict.value}"
    (file, line), case = places(row)
    body = "\n".join([row.subject, *filter(None, [case]), *message(row)])
    return f"::error file={_property(file)},line={line},title={_property(title)}::{_data(body)}"


def _data(text: str) -> str:
    """As actions/toolkit escapes the data of a command."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _plain(text: str) -> str:
    """A line that is no command, whatever a name in it says."""
    text = " ".join(text.splitlines())
    return text.replace("::", ": :") if text.lstrip().startswith("::") else text
