"""JSON, the contract for programs: see docs/json.md."""

from __future__ import annotations

import json
from dataclasses import asdict

from losscheck.renderers import Style
from losscheck.renderers.flat import flat
from losscheck.report import SCHEMA_VERSION, Report

__all__ = ["render"]


def render(report: Report, style: Style) -> str:
    document = {
        "schema_version": SCHEMA_VERSION,
        "command": report.command,
        "environment": report.environment,
        "reproduce": report.reproduce,
        "reduction": report.reduction,
        "max_ulp": report.max_ulp,
        "differences": [asdict(each) for each in report.differences],
        "rows": [flat(row) for row in report.rows],
    }
    return json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False)
