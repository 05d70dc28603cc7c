"""What a command found, as one piece of plain data that every renderer reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from losscheck.core.results import BitDifference, CountedRow, Difference, PointRow, SweepRow
from losscheck.core.verdict import CaseRow, exit_code

if TYPE_CHECKING:
    from losscheck.core.batch_rows import TensorBatch, TensorRow
    from losscheck.core.ranking import RankedRow

__all__ = ["SCHEMA_VERSION", "Inventory", "Report"]

SCHEMA_VERSION = 1


@dataclass(frozen=True, repr=False)
class Report:
    """What a command found, with all that is needed to find it again.

    Attributes:
        definitions: the definition of each loss, as text, by its name.
        verbose: every row is shown; regions: of a sweep every failing region, with its exact ends.
        trace: the command that shows which line of the worst failure did it; "" where nothing fails, or it cannot be traced.
        matched: the first thing that ``fail_on`` refuses, in words; empty when there is none.
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
    ranking: tuple[RankedRow, ...] = ()
    strict: bool = False
    verbose: bool = False
    regions: bool = False
    definitions: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    matched: str = ""
    trace: str = ""

    @property
    def job(self) -> str:
        """What was done, as the formats know it: ``compare`` of a dumped batch is ``tensors``."""
        return "tensors" if self.batches or self.tensors else self.command

    def __repr__(self) -> str:
        """One line, whatever the size: '<losscheck sweep: 84 rows, worst: poisons>'."""
        rows: tuple[PointRow | CountedRow | RankedRow, ...] = (*self.rows, *self.sweeps, *self.tensors, *self.cases, *self.ranking)
        effects = [row.effect.effect for row in rows if row.effect]
        worst = min((row.outcome for row in rows), key=lambda outcome: outcome.severity, default=None)
        word = min(effects, key=lambda effect: effect.severity).value if effects else worst.value if worst else "nothing"
        return f"<losscheck {self.command}: {len(rows)} row{'s' * (len(rows) != 1)}, worst: {word}>"

    @property
    def exit_code(self) -> int:
        """0 when all is as asked, 1 when a budget is broken or ``fail_on`` matched, 2 when something could not be judged."""
        if self.command == "gate":
            return exit_code(self.cases, self.strict)
        if self.command == "check":
            return 1 if any(row.harmful for row in self.ranking) else 0
        return 1 if self.matched else 0


@dataclass(frozen=True)
class Inventory:
    """What there is and what works here: the facts of `losscheck list`, `losscheck doctor` and `losscheck trace`."""

    command: str
    facts: Mapping[str, Any]

    @property
    def job(self) -> str:
        return self.command
