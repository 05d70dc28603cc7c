"""A point row as a flat mapping of plain values: the JSON contract, which CSV shares."""

from __future__ import annotations

import math
from typing import Any

from losscheck.dtypes import FORMATS
from losscheck.exact import Exact
from losscheck.report import PointRow, Region, SweepRow

__all__ = ["flat", "flat_sweep", "number"]


def flat(row: PointRow) -> dict[str, Any]:
    """The row's fields in the order of the contract. Several points of a reduced loss come as lists."""
    dtype = FORMATS[row.dtype]
    exact = row.exact
    return {
        "loss": row.loss,
        "implementation": row.implementation,
        "backend": row.backend,
        "device": row.device,
        "dtype": row.dtype,
        "quantity": row.quantity,
        "params": {name: number(value) for name, value in row.params.items()},
        "logit": _one_or_all([number(each) for each in row.logits]),
        "logit_hex": _one_or_all([each.hex() for each in row.logits]),
        "target": _one_or_all([number(each) for each in row.targets]),
        "target_hex": _one_or_all([each.hex() for each in row.targets]),
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
        "logit_dtype": row.logit_dtype or row.dtype,
    }


def flat_sweep(row: SweepRow) -> dict[str, Any]:
    """A row of a sweep, in the order of the contract."""
    return {
        "loss": row.loss,
        "implementation": row.implementation,
        "backend": row.backend,
        "device": row.device,
        "dtype": row.dtype,
        "quantity": row.quantity,
        "layout": row.layout,
        "params": {name: number(value) for name, value in row.params.items()},
        "low": number(row.low),
        "high": number(row.high),
        "target": number(row.target),
        "target_hex": row.target.hex(),
        "points": row.points,
        "exhaustive": row.exhaustive,
        "counts": {outcome.value: n for outcome, n in row.counts.items()},
        "max_ulp": number(row.max_ulp),
        "max_ulp_logit_hex": row.worst[0].logits[0].hex() if row.worst else "",
        "worst": [flat(each) for each in row.worst],
        "regions": [_region(each) for each in row.regions],
        "ulp_histogram": dict(row.histogram),
        "checked_sample": {"points": row.checked, "disagreements": row.wrong, "settled_by_oracle": row.settled},
        "nan": {"points": row.nan_points, "numbers": row.nan_wrong},
        "reason": row.reason,
        "mode": row.mode,
        "logit_dtype": row.logit_dtype or row.dtype,
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


def number(value: float | None) -> float | str | None:
    """A float as JSON can carry it: 'nan', 'inf' and '-inf' are strings; None only where there is no value at all."""
    if value is None or math.isfinite(value):
        return value
    return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"


def _decimal(exact: Exact | None) -> str | None:
    return None if exact is None else exact.decimal()


def _one_or_all(values: list[Any]) -> Any:
    return values[0] if len(values) == 1 else values
