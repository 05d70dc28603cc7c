"""`losscheck doctor` as text or JSON."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from typing import Any

from losscheck.renderers import Style

__all__ = ["render"]


def render(found: dict[str, Any], format_name: str, style: Style) -> str:
    if format_name == "json":
        return json.dumps(found, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    width = max(style.width, 60)
    lines = [textwrap.fill(line, width, subsequent_indent="    ", break_on_hyphens=False, break_long_words=False) for line in _lines(found)]
    return "\n".join(lines) + "\n"


def _lines(found: dict[str, Any]) -> Iterator[str]:
    yield f"losscheck {found['losscheck']}, Python {found['python']}, {found['cpu']}"
    for each in found["packages"]:
        absent = "MISSING" if each["needed"] else "not installed"
        state = each["version"] or f"{absent}, for {each['purpose']}: {each['cure']}"
        yield f"  {each['name']:<16} {state}"
    for each in found["devices"]:
        yield f"  {each['backend']} on {each['device']}: {each['reason'] or 'ready'}"
    for each in found["checks"]:
        yield f"  {each['name']}: {'' if each['ok'] else 'FAILED, '}{each['detail']}"
    yield "Everything that losscheck needs is here." if found["healthy"] else "Something that losscheck needs is missing; see above."
