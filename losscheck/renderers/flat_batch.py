"""Rows about a dumped batch as flat mappings of plain values."""

from __future__ import annotations

from typing import Any

from losscheck.core.batch_rows import Element, Few, TensorBatch, TensorRow, Whole
from losscheck.core.dtypes import FORMATS
from losscheck.renderers.flat import NAMES, flat, flat_advice, flat_effect, flat_names, flat_params, number

__all__ = ["flat_batch", "flat_tensor"]


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
        **flat_names(row),
        "params": flat_params(row),
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
        **flat_effect(row),
        "effect_index": list(row.effect.index) if row.effect and row.effect.index else None,
        "advice": row.advice and flat_advice(row.advice),
    }


def _element(element: Element) -> dict[str, Any]:
    return {
        "index": list(element.index),
        "loss_value": number(element.loss),
        "gradient_value": number(element.gradient),
        **{name: value for name, value in flat(element.point).items() if name not in (*NAMES, "params")},
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
