"""JSON, the contract for programs: see docs/json.md."""

from __future__ import annotations

import itertools
import json
from dataclasses import asdict
from typing import Any

from losscheck.core.report import SCHEMA_VERSION, Inventory, Report
from losscheck.core.results import BitDifference
from losscheck.core.verdict import exit_code
from losscheck.renderers import Style
from losscheck.renderers.flat import number
from losscheck.renderers.flat_batch import flat_batch
from losscheck.renderers.flat_report import flat_rows

__all__ = ["render"]

WORDS = 2**16  # joined at a time


def render(report: Report | Inventory, style: Style) -> str:
    document = dict(report.facts) if isinstance(report, Inventory) else _document(report)
    encoded = json.JSONEncoder(indent=1, allow_nan=False, ensure_ascii=False).iterencode(document)
    # Of a report with all its regions, json.dumps would hold millions of words at once.
    return "".join(iter(lambda: "".join(itertools.islice(encoded, WORDS)), ""))


def _document(report: Report) -> dict[str, Any]:
    document = {
        "schema_version": SCHEMA_VERSION,
        "command": report.command,
        "environment": report.environment,
        "reproduce": report.reproduce,
        "trace": report.trace,
        "reduction": report.reduction,
        "max_ulp": None if report.command == "gate" else number(report.max_ulp),
        "differences": [asdict(difference) for difference in report.differences],
        "definitions": dict(report.definitions),
        "remarks": list(report.remarks),
        "bit_differences": [_difference(difference) for difference in report.bit_differences],
        "batches": [flat_batch(batch) for batch in report.batches],
        "rows": flat_rows(report),
    }
    if report.command == "gate":
        document = {**document, "strict": report.strict, "exit_code": exit_code(report.cases, report.strict)}
    return document


def _difference(difference: BitDifference) -> dict[str, Any]:
    return {name: number(value) if isinstance(value, float) else value for name, value in asdict(difference).items()}
