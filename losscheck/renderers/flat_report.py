"""All rows of a report as flat mappings of plain values: the JSON contract, which CSV shares."""

from __future__ import annotations

from typing import Any

from losscheck.core.effect import EffectFinding
from losscheck.core.ranking import RankedRow
from losscheck.core.report import Report
from losscheck.renderers.flat import flat, flat_advice, flat_case, flat_effect, flat_names, flat_onset, flat_params, flat_sweep, number
from losscheck.renderers.flat_batch import flat_tensor

__all__ = ["flat_ranked", "flat_rows"]


def flat_rows(report: Report) -> list[dict[str, Any]]:
    """All rows of a report, whatever was done."""
    rows = (
        map(flat, report.rows),
        map(flat_sweep, report.sweeps),
        map(flat_tensor, report.tensors),
        map(flat_case, report.cases),
        map(flat_ranked, report.ranking),
    )
    return [row for family in rows for row in family]


def flat_ranked(row: RankedRow) -> dict[str, Any]:
    """A line of a ranking, in the order of the contract."""
    return {
        **flat_names(row),
        "logit_dtype": row.given_dtype,
        "backends": list(row.backends),
        "params": flat_params(row),
        "low": number(row.low),
        "high": number(row.high),
        "targets": [number(target) for target in row.targets],
        "share": number(row.share),
        "loss_error": number(row.loss_error),
        "grad_error": number(row.grad_error),
        "max_ulp": number(row.max_ulp),
        "outcomes": [outcome.value for outcome in row.outcomes],
        "recognised": row.recognised,
        "sure": row.sure,
        "note": row.note,
        "findings": [_finding(finding) for finding in row.findings],
        "advice": row.advice and flat_advice(row.advice),
        "reason": row.reason,
        **flat_effect(row),
        "points": row.points,
        "exhaustive": row.exhaustive,
        "refusal": next((sweep.refusal for sweep in row.curves if sweep.refusal), ""),
        "commands": [{"shows": what, "command": command} for what, command in row.commands],
    }


def _finding(finding: EffectFinding) -> dict[str, Any]:
    names = ("target", "logit", "value", "exact", "first", "last", "share", "loss_error", "grad_error")
    return {
        "effect": finding.effect.value,
        "truth": finding.truth.value if finding.truth else None,
        "quantity": finding.quantity or None,
        **{name: number(getattr(finding, name)) for name in names},
        "parts": [[number(end) for end in part] for part in finding.parts] or None,
        "onsets": [flat_onset(onset) for onset in finding.onsets] or None,
    }
