"""Rows of points, sweeps and cases as flat mappings of plain values, and the parts that all families of rows share."""

from __future__ import annotations

import math
from typing import Any

from losscheck.core.dtypes import FORMATS
from losscheck.core.effect import Onset
from losscheck.core.exact import Exact
from losscheck.core.ranking import Advice
from losscheck.core.results import PointRow, Region, Row, SweepRow
from losscheck.core.verdict import CaseRow

__all__ = ["NAMES", "flat", "flat_advice", "flat_case", "flat_effect", "flat_names", "flat_onset", "flat_params", "flat_sweep", "number"]

NAMES = ("loss", "implementation", "backend", "device", "dtype", "quantity")


def flat_advice(advice: Advice) -> dict[str, Any]:
    """The cause and the cure of a finding."""

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
        "hard_targets_only": advice.hard_targets_only,
        "diff": advice.diff,
        "after_effect": advice.after_effect and advice.after_effect.effect.value,
    }


def flat_names(row: Row) -> dict[str, Any]:
    """Which implementation, where, in which dtype, and which quantity."""
    return {name: getattr(row, name) for name in NAMES}


def flat_params(row: Row) -> dict[str, Any]:
    """Every parameter of the loss."""
    return {name: number(value) for name, value in row.params.items()}


def flat(row: PointRow) -> dict[str, Any]:
    """The row's fields in the order of the contract. Several points of a reduced loss come as lists."""
    dtype = FORMATS[row.dtype]
    exact = row.exact
    return {
        **flat_names(row),
        "params": flat_params(row),
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
        **flat_effect(row),
    }


def flat_sweep(row: SweepRow) -> dict[str, Any]:
    """A row of a sweep, in the order of the contract."""
    return {
        **flat_names(row),
        "layout": row.layout,
        "params": flat_params(row),
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
        "onsets": [flat_onset(onset) for onset in row.onsets],
        "reason": row.reason,
        "mode": row.mode,
        "logit_dtype": row.given_dtype,
        **flat_effect(row),
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
        **flat_effect(row),
        "trace": row.trace,
    }


def flat_onset(onset: Onset) -> dict[str, Any]:
    """The first failing float on one side of 0, and from where on all hold."""
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


def flat_effect(row: Row) -> dict[str, Any]:
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


def number(value: float | None) -> float | str | None:
    """A float as JSON can carry it: 'nan', 'inf' and '-inf' are strings; None only where there is no value at all."""
    if value is None or math.isfinite(value):
        return value
    return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"


def _decimal(exact: Exact | None) -> str | None:
    return None if exact is None else exact.decimal()


def _one_or_all(values: list[Any]) -> Any:
    return values[0] if len(values) == 1 else values
