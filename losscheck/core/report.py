"""What a command found, as one piece of plain data that every renderer reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from losscheck.core.batch_rows import TensorBatch, TensorRow
from losscheck.core.results import BitDifference, Difference, PointRow, SweepRow
from losscheck.core.verdict import CaseRow

__all__ = ["SCHEMA_VERSION", "Report"]

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Report:
    """What a command found, with all that is needed to find it again.

    Attributes:
        definitions: the definition of each loss, as text, by its name.
        remarks: sentences about callables of the user's: how each was called, what is odd about it, which convention it follows.
    """

    command: str
    environment: Mapping[str, Any]
    reproduce: str
    rows: tuple[PointRow, ...] = ()
    sweeps: tuple[SweepRow, ...] = ()
    batches: tuple[TensorBatch, ...] = ()
    tensors: tuple[TensorRow, ...] = ()
    bit_differences: tuple[BitDifference, ...] = ()
    reduction: str = "none"
    max_ulp: float = 0.0
    differences: tuple[Difference, ...] = field(default=())
    cases: tuple[CaseRow, ...] = ()
    strict: bool = False
    verbose: bool = False
    definitions: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
