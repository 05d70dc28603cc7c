"""doctor: versions, what is missing and its cure, devices, self-checks, and in one sentence whether all is well."""

from __future__ import annotations

from typing import Any

from losscheck.core.report import Inventory
from losscheck.renderers.document import Block, Cell, Column, Document, Holds, Line, Paragraph, Sentence, Table
from losscheck.renderers.severity import Severity

__all__ = ["document"]

_COLUMNS = (Column("", Holds.WORD), Column("", Holds.WORDS))


def document(inventory: Inventory) -> Document:
    facts = inventory.facts
    blocks: list[Block] = [
        Paragraph(f"losscheck {facts['losscheck']}, Python {facts['python']}, {facts['cpu']}"),
        Table(_COLUMNS, tuple(map(_package, facts["packages"])), headed=False),
        Table(_COLUMNS, tuple(map(_device, facts["devices"])), headed=False),
        Table(_COLUMNS, tuple(map(_check, facts["checks"])), headed=False),
    ]
    well = Sentence("Everything that losscheck needs is here.")
    ill = Sentence("Something that losscheck needs is missing; see above.", Severity.BROKEN)
    return Document("losscheck doctor", tuple(blocks), well if facts["healthy"] else ill)


def _package(package: dict[str, Any]) -> Line:
    absent = "MISSING" if package["needed"] else "not installed"
    state = package["version"] or f"{absent}, for {package['purpose']}: {package['cure']}"
    severity = Severity.FINE if package["version"] else Severity.BROKEN if package["needed"] else Severity.UNKNOWN
    return Line((Cell(package["name"]), Cell(state, severity, signed=True)), severity)


def _device(device: dict[str, Any]) -> Line:
    severity = Severity.UNKNOWN if device["reason"] else Severity.FINE
    return Line((Cell(f"{device['backend']} on {device['device']}"), Cell(device["reason"] or "ready", severity, signed=True)), severity)


def _check(check: dict[str, Any]) -> Line:
    severity = Severity.FINE if check["ok"] else Severity.BROKEN
    text = f"{'' if check['ok'] else 'FAILED, '}{check['detail']}"
    return Line((Cell(check["name"]), Cell(text, severity, signed=True)), severity)
