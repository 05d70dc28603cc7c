"""`losscheck list` as text or JSON."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from typing import Any

from losscheck.renderers import Style

__all__ = ["render"]


def render(catalogue: dict[str, Any], format_name: str, style: Style) -> str:
    if format_name == "json":
        return json.dumps(catalogue, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    return "\n".join(_lines(catalogue, style)) + "\n"


def _lines(catalogue: dict[str, Any], style: Style) -> Iterator[str]:
    width = max(style.width, 60)
    for loss in catalogue["losses"]:
        yield f"{loss['name']}: {loss['title']}"
        yield f"  {loss['definition']}"
        yield from _wrapped(f"targets {loss['targets']}; reduction {loss['reduction']}; {loss['source']}", width, 2)
        for each in loss["parameters"]:
            yield from _wrapped(f"--param {each['name']}={each['default']:g}  {each['meaning']}, {each['valid']}", width, 2)
        yield ""
        for one in loss["implementations"]:
            yield f"  {one['name']}  ({', '.join(one['backends'])})"
            yield from _wrapped(one["about"], width, 6)
            yield from _wrapped(f"source: {one['source']}", width, 6)
            for note in (one["note"], one["published_note"]):
                if note:
                    yield from _wrapped(f"deviates: {note}", width, 6)
        yield ""
    yield "backends"
    for backend in catalogue["backends"]:
        devices = ", ".join(backend["devices"]) or "unavailable"
        reason = f"; no cuda: {backend['reason']}" if backend["reason"] and backend["devices"] else backend["reason"]
        modes = f"; --mode {', '.join(backend['modes'])}" if backend["devices"] else ": "
        yield from _wrapped(f"{backend['name']}: {devices}{modes}{reason}", width, 2)


def _wrapped(text: str, width: int, indent: int) -> list[str]:
    return textwrap.wrap(text, width, initial_indent=" " * indent, subsequent_indent=" " * (indent + 2), break_on_hyphens=False)
