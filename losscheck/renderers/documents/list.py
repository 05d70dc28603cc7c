"""list: the losses with their parameters, every implementation with its source, the backends."""

from __future__ import annotations

from typing import Any

from losscheck.core.registry import word_of
from losscheck.core.report import Inventory
from losscheck.renderers.document import Block, Cell, Column, Document, Heading, Holds, Line, Listing, Paragraph, Sentence, Table

__all__ = ["document"]


def document(inventory: Inventory) -> Document:
    blocks: list[Block] = []
    for loss in inventory.facts["losses"]:
        blocks += _loss(loss)
    backends = tuple(_backend(backend) for backend in inventory.facts["backends"])
    blocks += [Heading("backends"), Table((Column("", Holds.WORD), Column("", Holds.WORDS)), backends, headed=False)]
    return Document("losscheck list", tuple(blocks))


def _loss(loss: dict[str, Any]) -> list[Block]:
    blocks: list[Block] = [
        Heading(f"{loss['name']}: {loss['title']}"),
        Paragraph(loss["definition"], quiet=True),
        Paragraph(f"targets {loss['targets']}; reduction {loss['reduction']}; {loss['source']}"),
    ]
    parameters = [
        Sentence(f"--param {parameter['name']}={_default(parameter)}  {parameter['meaning']}, {parameter['valid']}")
        for parameter in loss["parameters"]
    ]
    blocks += [Listing(tuple(parameters))] if parameters else []
    for implementation in loss["implementations"]:
        blocks.append(Heading(implementation["name"], f"({', '.join(implementation['backends'])})", level=2))
        blocks += [Paragraph(implementation["about"]), Paragraph(f"source: {implementation['source']}")]
        notes = (implementation["note"], implementation["published_note"])
        blocks += [Paragraph(f"deviates: {note}") for note in notes if note]
    return blocks


def _backend(backend: dict[str, Any]) -> Line:
    devices = ", ".join(backend["devices"]) or "unavailable"
    reason = f"; no cuda: {backend['reason']}" if backend["reason"] and backend["devices"] else backend["reason"]
    modes = f"; --mode {', '.join(backend['modes'])}" if backend["devices"] else ": "
    return Line((Cell(backend["name"]), Cell(f"{devices}{modes}{reason}")))


def _default(parameter: dict[str, Any]) -> str:
    """As it is written on a command line."""
    return word_of(parameter["name"], parameter["default"]) or f"{parameter['default']:g}"
