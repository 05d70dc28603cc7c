"""Markdown tables, one for each loss and dtype, for an issue or a pull request."""

from __future__ import annotations

import re

from losscheck.core.report import Report
from losscheck.renderers import Style, gate_words
from losscheck.renderers.sweep_words import by_table, coverage, failing_text, region_lines, row_name, several, target_text
from losscheck.renderers.tensor_words import (
    batch_lines,
    by_loss,
    element_lines,
    failing_count,
    full_name,
    reach_lines,
    row_ulp,
    whole_cells,
    whole_lines,
)
from losscheck.renderers.words import deviation_text, exact_text, meaning, point_text, ulp_text, value_text

__all__ = ["render"]

_MOST = 20  # rows of a gate; a step summary is read, not searched
_HEADINGS = ("implementation", "backend", "device", "quantity", "point", "value", "exact", "ulp", "deviation", "outcome")


def render(report: Report, style: Style) -> str:
    if report.command == "gate":
        return _gate(report)
    lines = _sweeps(report) if report.sweeps else _tensors(report) if report.tensors else []
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
    lines += ["", f"Reproduce: `{report.reproduce}`"] if report.reproduce else []
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


def _gate(report: Report) -> str:
    """Short enough for the summary of a CI step: the totals, and the worst rows that do not hold."""
    bad = gate_words.not_holding(report)
    lines = [f"### losscheck gate: {gate_words.in_one_word(report)}", "", _escape(gate_words.totals(report))]
    if bad:
        lines += ["", _line(("case", "implementation", "verdict", "why")), _line(["---"] * 4)]
    for row in bad[:_MOST]:
        why = ". ".join(filter(None, (row.reason, gate_words.worst_point(row))))
        lines.append(_line((f"{row.file}:{row.line} {row.case}", row.subject, f"**{row.verdict.value}**", why)))
    if len(bad) > _MOST:
        lines += ["", f"... and {len(bad) - _MOST} more"]
    lines += ["", *(f"- {_escape(line)}" for line in gate_words.asides(report)), "", f"Reproduce: `{report.reproduce}`"]
    return "\n".join(lines)


def _tensors(report: Report) -> list[str]:
    lines = [f"- {_escape(sentence)}" for batch in report.batches for sentence in batch_lines(batch)]
    for (loss, dtype, params), rows in by_loss(report):
        lines += ["", f"### {loss}, {dtype} ({params.replace('  ', ', ')})", ""]
        lines += [_line(("implementation", "quantity", "failing", "max ulp", "severest")), _line(["---"] * 5)]
        for row in rows:
            outcome = f"**{row.outcome.value}**" if row.outcome.failed else row.outcome.value
            lines.append(_line((full_name(row, report), row.quantity, failing_count(row), row_ulp(row), outcome)))
        if wholes := [(row, row.whole) for row in rows if row.whole]:
            lines += ["", _line(("reduced", "value", "exact", "ulp", "of elements", "of reduction", "outcome")), _line(["---"] * 7)]
            for row, whole in wholes:
                outcome = f"**{whole.outcome.value}**" if whole.outcome.failed else whole.outcome.value
                lines.append(_line((full_name(row, report), *whole_cells(row, whole), outcome)))
    lines += ["", *(f"- {_escape(line)}" for line in [*element_lines(report, 40), *whole_lines(report, 12), *reach_lines(report)])]
    return lines


def _line(cells: list[str] | tuple[str, ...]) -> str:
    return "| " + " | ".join(_escape(cell) if cell[:2] != "**" else cell for cell in cells) + " |"


def _escape(text: str) -> str:
    """In one line, because a line break would end the table; without tags."""
    return re.sub(r"[|*_<]", r"\\\g<0>", " ".join(text.splitlines()))
