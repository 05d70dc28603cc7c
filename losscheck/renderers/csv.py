"""CSV: the rows of the JSON contract, one a line; params as name=value pairs, several points separated by spaces."""

from __future__ import annotations

import csv
import io
from typing import Any

from losscheck.core.report import Report
from losscheck.renderers import Style
from losscheck.renderers.flat_report import flat_rows

__all__ = ["render"]


def render(report: Report, style: Style) -> str:
    out = io.StringIO()
    rows = [{name: _cell(value) for name, value in row.items()} for row in flat_rows(report)]
    writer = csv.DictWriter(out, fieldnames=list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, dict):
        return _item(value) if "logit_hex" in value else " ".join(f"{name}={entry!r}" for name, entry in value.items())
    if isinstance(value, list):
        return " ".join(map(_item, value))
    return "" if value is None else value


def _item(value: Any) -> str:
    """A region as outcome:first..last, a finding as target:effect, a command as itself, an element as its index, a case as its logit."""
    if isinstance(value, dict):
        if "truth" in value:
            return f"{value['target']}:{value['effect']}"
        if "command" in value:
            return f"{value['command']};"
        if "index" in value:
            return f"{value['outcome']}:[{','.join(map(str, value['index']))}]"
        return f"{value['outcome']}:{value['first_hex']}..{value['last_hex']}" if "first_hex" in value else str(value["logit_hex"])
    return str(value)
