"""A point row as a flat mapping of plain values: the JSON contract, which CSV shares."""

from __future__ import annotations

import math
from typing import Any

from losscheck.dtypes import FORMATS
from losscheck.exact import Exact
from losscheck.report import PointRow

__all__ = ["flat", "number"]


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
