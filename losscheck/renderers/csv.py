"""CSV: the rows of the JSON contract, one a line; params as name=value pairs, several points separated by spaces."""

from __future__ import annotations

import csv
import io
from typing import Any

from losscheck.renderers import Style
from losscheck.renderers.flat import flat
from losscheck.report import Report

__all__ = ["render"]


def render(report: Report, style: Style) -> str:
    out = io.StringIO()
    rows = [{name: _cell(value) for name, value in flat(row).items()} for row in report.rows]
    writer = csv.DictWriter(out, fieldnames=list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, dict):
        return " ".join(f"{name}={each!r}" for name, each in value.items())
    if isinstance(value, list):
        return " ".join(map(str, value))
    return "" if value is None else value
