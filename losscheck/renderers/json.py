"""JSON, the contract for programs: see docs/json.md."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from losscheck.core.report import SCHEMA_VERSION, Report
from losscheck.core.results import BitDifference
from losscheck.core.verdict import exit_code
from losscheck.renderers import Style
from losscheck.renderers.flat import flat, flat_batch, flat_case, flat_sweep, flat_tensor, number

__all__ = ["render"]


def render(report: Report, style: Style) -> str:
    document = {
        "schema_version": SCHEMA_VERSION,
        "command": report.command,
        "environment": report.environment,
        "reproduce": report.reproduce,
        "reduction": report.reduction,
        "max_ulp": None if report.command == "gate" else number(report.max_ulp),
        "differences": [asdict(each) for each in report.differences],
        "definitions": dict(report.definitions),
        "remarks": list(report.remarks),
        "bit_differences": [_difference(each) for each in report.bit_differences],
        "batches": [flat_batch(each) for each in report.batches],
        "rows": [
            *map(flat, report.rows),
            *map(flat_sweep, report.sweeps),
            *map(flat_tensor, report.tensors),
            *map(flat_case, report.cases),
        ],
    }
    if report.command == "gate":
        document = {**document, "strict": report.strict, "exit_code": exit_code(report.cases, report.strict)}
    return json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False)


def _difference(each: BitDifference) -> dict[str, Any]:
    return {name: number(value) if isinstance(value, float) else value for name, value in asdict(each).items()}
