"""Rows as flat mappings of plain values: the JSON contract, which CSV shares."""

from __future__ import annotations

import math
from typing import Any

from losscheck.core.batch_rows import Element, Few, TensorBatch, TensorRow, Whole
from losscheck.core.dtypes import FORMATS
from losscheck.core.effect import EffectFinding, Onset
from losscheck.core.exact import Exact
from losscheck.core.ranking import Advice, RankedRow
from losscheck.core.report import Report
from losscheck.core.results import PointRow, Region, Row, SweepRow
from losscheck.core.verdict import CaseRow

__all__ = ["flat", "flat_batch", "flat_case", "flat_rows", "flat_sweep", "flat_tensor", "number"]

_NAMES = ("loss", "implementation", "backend", "device", "dtype", "quantity")


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
        **_names(row),
        "logit_dtype": row.given_dtype,
        "backends": list(row.backends),
        "params": _params(row),
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
        "advice": row.advice and _advice(row.advice),
        "reason": row.reason,
        **_effect(row),
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
        "onsets": [_onset(onset) for onset in finding.onsets] or None,
    }


def _advice(advice: Advice) -> dict[str, Any]:
    def pair(errors: tuple[float, float] | None) -> list[Any] | None:
        return None if errors is None else [number(error) for error in errors]

    return {
        "why": advice.why,
        "place": advice.place,
        "cause": advice.cause,
        "code": advice.code,
        "write": list(advice.write),
        "before_ulp": pair(advice.before),
        "after_ulp": pair(advice.after),
        "changes_meaning": advice.changes_meaning,
        "diff": advice.diff,
        "after_effect": advice.after_effect and advice.after_effect.effect.value,
    }


def _names(row: Row) -> dict[str, Any]:
    return {name: getattr(row, name) for name in _NAMES}


def _params(row: Row) -> dict[str, Any]:
    return {name: number(value) for name, value in row.params.items()}


def flat(row: PointRow) -> dict[str, Any]:
    """The row's fields in the order of the contract. Several points of a reduced loss come as lists."""
    dtype = FORMATS[row.dtype]
    exact = row.exact
    return {
        **_names(row),
        "params": _params(row),
        "logit": _one_or_all([number(logit) for logit in row.logits]),
        "logit_hex": _one_or_all([logit.hex() for logit in row.logits]),
        "target": _one_or_all([number(target) for target in row.targets]),
        "target_hex": _one_or_all([target.hex() for target in row.targets]),
        "value": number(row.value),
        "value_hex": None if row.value is None else row.value.hex(),
        "exact": None if exact is None else exact.decimal(),
        "exact_hex": None if exact is None else dtype.round(exact.rounded).hex(),
        "ulp": number(row.ulp),
        "absolute_error": number(row.absolute_error),
        "relative_error": number(row.relative_error),
        "deviation": number(row.deviation),
        "outcome": row.outcome.value,
        "oracle_bits": 0 if exact is None else exact.bits,
        "definition": _decimal(row.definition),
        "reason": row.reason,
        "mode": row.mode,
        "logit_dtype": row.given_dtype,
        **_effect(row),
    }


def flat_sweep(row: SweepRow) -> dict[str, Any]:
    """A row of a sweep, in the order of the contract."""
    return {
        **_names(row),
        "layout": row.layout,
        "params": _params(row),
        "low": number(row.low),
        "high": number(row.high),
        "target": number(row.target),
        "target_hex": row.target.hex(),
        "points": row.points,
        "exhaustive": row.exhaustive,
        "counts": {outcome.value: count for outcome, count in row.counts.items()},
        "max_ulp": number(row.max_ulp),
        "max_ulp_logit_hex": row.worst[0].logits[0].hex() if row.worst else "",
        "worst": [flat(point) for point in row.worst],
        "regions": [_region(region) for region in row.regions],
        "ulp_histogram": dict(row.histogram),
        "checked_sample": {"points": row.checked, "disagreements": row.wrong, "settled_by_oracle": row.settled},
        "nan": {"points": row.nan_points, "numbers": row.nan_wrong},
        "refusal": row.refusal,
        "onsets": [_onset(onset) for onset in row.onsets],
        "reason": row.reason,
        "mode": row.mode,
        "logit_dtype": row.given_dtype,
        **_effect(row),
    }


def flat_case(row: CaseRow) -> dict[str, Any]:
    """A row of the gate, in the order of the contract."""
    return {
        "case": row.case,
        "file": row.file,
        "line": row.line,
        "source": row.source_place,
        "verdict": row.verdict.value,
        "reason": row.reason,
        "reproduce": row.reproduce,
        "loss": row.loss,
        "implementation": row.implementation,
        "backend": row.backend,
        "device": row.device,
        "mode": row.mode,
        "dtype": row.dtype,
        "quantity": row.quantity,
        "points": row.points,
        "failing": row.failing,
        "exhaustive": row.exhaustive,
        "counts": {outcome.value: count for outcome, count in row.counts.items()},
        "max_ulp": number(row.max_ulp) if row.points else None,
        "limit": number(row.limit),
        "deviation": number(row.deviation),
        "worst": flat(row.worst) if row.worst else None,
        **_effect(row),
        "trace": row.trace,
    }


def _onset(onset: Onset) -> dict[str, Any]:
    held = onset.held_from
    return {
        "logit": number(onset.logit),
        "logit_hex": onset.logit.hex(),
        "held_from": None if held is None else number(held),
        "held_from_hex": "" if held is None else held.hex(),
        "proved": onset.proved,
    }


def _region(region: Region) -> dict[str, Any]:
    return {
        "outcome": region.outcome.value,
        "first_hex": region.first.hex(),
        "last_hex": region.last.hex(),
        "first": number(region.first),
        "last": number(region.last),
        "points": region.points,
        "floats": region.floats,
    }


def flat_batch(batch: TensorBatch) -> dict[str, Any]:
    """A dumped batch in one dtype, in the order of the contract."""
    return {
        "files": list(batch.files),
        "shape": list(batch.shape),
        "elements": batch.elements,
        "dtype": batch.dtype,
        "dumped_dtype": batch.dumped,
        "targets_dtype": batch.target_kind,
        "logit_low": number(batch.low),
        "logit_high": number(batch.high),
        "nan_logits": _few(batch.nan),
        "infinite_logits": _few(batch.inf),
        "targets": {"one": batch.positives, "zero": batch.negatives, "soft": batch.soft},
        "targets_outside": _few(batch.outside),
        "rounded": {"logits": batch.rounded_logits, "targets": batch.rounded_targets},
        "rounded_to_one": _few(batch.became_one),
        "rounded_to_infinity": _few(batch.became_infinite),
    }


def _few(few: Few) -> dict[str, Any]:
    return {"count": few.count, "first": list(few.first)} if few.count else {"count": 0}


def flat_tensor(row: TensorRow) -> dict[str, Any]:
    """A row about a dumped batch, in the order of the contract."""
    return {
        **_names(row),
        "params": _params(row),
        "logit_dtype": row.given_dtype,
        "elements": row.judged,
        "sampled": row.sampled,
        "counts": {outcome.value: count for outcome, count in row.counts.items()},
        "max_ulp": number(row.max_ulp),
        "first": [_element(element) for element in row.first],
        "worst": [_element(element) for element in row.worst],
        "deviating": row.deviating,
        "deviation": None if row.deviation is None else _element(row.deviation),
        "checked_sample": {"elements": row.checked, "disagreements": row.wrong, "settled_by_oracle": row.settled, "not_asked": row.unasked},
        "whole": None if row.whole is None else _whole(row.whole, row.dtype),
        "reason": row.reason,
        **_effect(row),
        "effect_index": list(row.effect.index) if row.effect and row.effect.index else None,
        "advice": row.advice and _advice(row.advice),
    }


def _element(element: Element) -> dict[str, Any]:
    return {
        "index": list(element.index),
        "loss_value": number(element.loss),
        "gradient_value": number(element.gradient),
        **{name: value for name, value in flat(element.point).items() if name not in (*_NAMES, "params")},
    }


def _effect(row: Row) -> dict[str, Any]:
    """What it does to training, what that is blamed on and which quantity shows it; null where it was not judged."""
    effect = row.effect
    return {
        "effect": effect and effect.effect.value,
        "effect_truth": effect.truth.value if effect and effect.truth else None,
        "effect_quantity": (effect and effect.quantity) or None,
        "effect_first": number(effect.first) if effect else None,
        "effect_last": number(effect.last) if effect else None,
        "effect_share": number(effect.share) if effect else None,
        "effect_loss_error": number(effect.loss_error) if effect else None,
        "effect_grad_error": number(effect.grad_error) if effect else None,
    }


def _whole(whole: Whole, dtype: str) -> dict[str, Any]:
    exact, definition = whole.exact, whole.definition
    return {
        "reduction": whole.reduction,
        "value": number(whole.value),
        "value_hex": None if whole.value is None else whole.value.hex(),
        "exact": None if exact is None else exact.decimal(),
        "exact_hex": None if exact is None else FORMATS[dtype].round(exact.rounded).hex(),
        "definition": None if definition is None else definition.decimal(),
        "ulp": number(whole.ulp),
        "deviation": number(whole.deviation),
        "outcome": whole.outcome.value,
        "elements_value": number(whole.elements),
        "elements_ulp": number(whole.element_ulp),
        "reduction_ulp": number(whole.reduction_ulp),
        "method": whole.method,
        "note": whole.note,
        "reason": whole.reason,
    }


def number(value: float | None) -> float | str | None:
    """A float as JSON can carry it: 'nan', 'inf' and '-inf' are strings; None only where there is no value at all."""
    if value is None or math.isfinite(value):
        return value
    return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"


def _decimal(exact: Exact | None) -> str | None:
    return None if exact is None else exact.decimal()


def _one_or_all(values: list[Any]) -> Any:
    return values[0] if len(values) == 1 else values
