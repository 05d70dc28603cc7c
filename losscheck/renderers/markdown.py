"""Markdown tables, one for each loss and dtype, for an issue or a pull request."""

from __future__ import annotations

from losscheck.renderers import Style
from losscheck.renderers.sweep_words import by_table, coverage, failing_text, region_lines, row_name, several, target_text
from losscheck.renderers.words import deviation_text, exact_text, meaning, point_text, ulp_text, value_text
from losscheck.report import Report

__all__ = ["render"]

_HEADINGS = ("implementation", "backend", "device", "quantity", "point", "value", "exact", "ulp", "deviation", "outcome")


def render(report: Report, style: Style) -> str:
    lines = _sweeps(report) if report.sweeps else []
    heading = ""
    for row in report.rows:
        params = ", ".join(f"{name}={value:g}" for name, value in row.params.items())
        given = f" from {row.logit_dtype} logits" if row.logit_dtype else ""
        title = f"### {row.loss}, {row.dtype}{given} ({params})"
        if title != heading:
            lines += ["", title, "", _line(_HEADINGS), _line(["---"] * len(_HEADINGS))]
            heading = title
        outcome = f"**{row.outcome.value}**" if row.outcome.failed else row.outcome.value
        name = row.implementation if row.mode == "eager" else f"{row.implementation} {row.mode}"
        cells = [name, row.backend, row.device, row.quantity, point_text(row), value_text(row)]
        cells += [exact_text(row.exact, row.dtype), ulp_text(row.ulp), deviation_text(row.deviation), outcome]
        lines.append(_line(cells))
    if report.rows:
        lines += ["", *(f"- {_escape(sentence)}" for sentence in meaning(report))]
    lines += ["", f"Reproduce: `{report.reproduce}`"]
    return "\n".join(lines).lstrip("\n")


def _sweeps(report: Report) -> list[str]:
    lines: list[str] = []
    device, layout = several(report, "device"), several(report, "layout")
    for (loss, dtype, params, quantity), rows in by_table(report):
        lines += ["", f"### {loss}, {quantity}, {dtype} ({params})", ""]
        lines += [_line(("implementation", "target", "max ulp", "failing", "severest")), _line(["---"] * 5)]
        for row in rows:
            name = row_name(row, device=device, layout=layout)
            outcome = f"**{row.outcome.value}**" if row.outcome.failed else row.outcome.value
            lines.append(_line((name, target_text(row), ulp_text(row.max_ulp).lstrip("+"), failing_text(row), outcome)))
    lines += ["", *(f"- {_escape(line)}" for line in [*region_lines(report, 40), *coverage(report)])]
    return lines


def _line(cells: list[str] | tuple[str, ...]) -> str:
    return "| " + " | ".join(_escape(cell) if cell[:2] != "**" else cell for cell in cells) + " |"


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*").replace("_", "\\_")
