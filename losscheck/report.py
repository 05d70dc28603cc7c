"""Results as plain frozen data: outcomes, rows and reports. Renderers are pure functions of these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from losscheck.exact import Exact

__all__ = ["FAILURES", "SCHEMA_VERSION", "Difference", "Outcome", "PointRow", "Report"]

SCHEMA_VERSION = 1


class Outcome(Enum):
    """The class of a result. The order is the severity, worst first."""

    NAN = "nan"
    INF = "inf"
    WRONG_SIGN = "wrong-sign"
    LOST = "lost"
    MISSED_INF = "missed-inf"
    FLUSHED = "flushed"
    INACCURATE = "inaccurate"
    UNDECIDED = "undecided"
    UNAVAILABLE = "unavailable"
    OK = "ok"

    @property
    def severity(self) -> int:
        return _SEVERITY[self]

    @property
    def failed(self) -> bool:
        return self in FAILURES


_SEVERITY = {outcome: n for n, outcome in enumerate(Outcome)}
FAILURES = frozenset(
    {
        Outcome.NAN,
        Outcome.INF,
        Outcome.WRONG_SIGN,
        Outcome.LOST,
        Outcome.MISSED_INF,
        Outcome.FLUSHED,
        Outcome.INACCURATE,
    }
)


@dataclass(frozen=True)
class PointRow:
    """One quantity of one implementation at one point, or at the points a reduced loss was taken over.

    Attributes:
        quantity: ``loss`` or ``grad`` (d loss / d logit).
        logits, targets: the point; several for the loss of a reduction.
        value: what the implementation returned; None when it could not run.
        exact: its own formula, exactly; None when it could not run.
        definition: the loss's definition, exactly; the same object as ``exact`` where there is no other formula.
        ulp: (value - exact) / ulp(exact), signed.
        deviation: exact / definition - 1: +2 is three times as much, -1 is nothing left.
        reason: why a row is unavailable or undecided.
    """

    loss: str
    implementation: str
    backend: str
    device: str
    dtype: str
    quantity: str
    params: Mapping[str, float]
    logits: tuple[float, ...]
    targets: tuple[float, ...]
    outcome: Outcome
    value: float | None = None
    exact: Exact | None = None
    definition: Exact | None = None
    ulp: float | None = None
    absolute_error: float | None = None
    relative_error: float | None = None
    deviation: float | None = None
    reason: str = ""
    note: str = ""

    @property
    def badness(self) -> tuple[int, float]:
        """Sorts the worst first: by severity, then by ulp."""
        ulp = abs(self.ulp) if self.ulp is not None else 0.0
        return (self.outcome.severity, -ulp)


@dataclass(frozen=True)
class Difference:
    """How many rows have other bits on one device than on another."""

    device: str
    other: str
    rows: int
    differ: int


@dataclass(frozen=True)
class Report:
    """What a command found, with all that is needed to find it again."""

    command: str
    environment: Mapping[str, Any]
    reproduce: str
    rows: tuple[PointRow, ...]
    reduction: str = "none"
    max_ulp: float = 0.0
    differences: tuple[Difference, ...] = field(default=())
