"""Markdown tables, one for each loss and dtype, for an issue or a pull request."""

from __future__ import annotations

from losscheck.renderers import Style
from losscheck.renderers.words import deviation_text, exact_text, meaning, point_text, ulp_text, value_text
from losscheck.report import Report

__all__ = ["render"]

_HEADINGS = ("implementation", "backend", "device", "quantity", "point", "value", "exact", "ulp", "deviation", "outcome")


def render(report: Report, style: Style) -> str:
    lines: list[str] = []
    heading = ""
    for row in report.rows:
        params = ", ".join(f"{name}={value:g}" for name, value in row.params.items())
        title = f"### {row.loss}, {row.dtype} ({params})"
        if title != heading:
            lines += ["", title, "", _line(_HEADINGS), _line(["---"] * len(_HEADINGS))]
            heading = title
        outcome = f"**{row.outcome.value}**" if row.outcome.failed else row.outcome.value
        cells = [row.implementation, row.backend, row.device, row.quantity, point_text(row), value_text(row)]
        cells += [exact_text(row.exact, row.dtype), ulp_text(row.ulp), deviation_text(row.deviation), outcome]
        lines.append(_line(cells))
    lines += ["", *(f"- {_escape(sentence)}" for sentence in meaning(report)), "", f"Reproduce: `{report.reproduce}`"]
    return "\n".join(lines).lstrip("\n")


def _line(cells: list[str] | tuple[str, ...]) -> str:
    return "| " + " | ".join(_escape(cell) if cell[:2] != "**" else cell for cell in cells) + " |"


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*").replace("_", "\\_")
