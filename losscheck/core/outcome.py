"""What happened to one float: the outcomes, in the order of their severity."""

from __future__ import annotations

from enum import Enum

__all__ = ["FAILURES", "Outcome"]


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

    __hash__ = object.__hash__  # that of Enum is Python code, and an outcome is looked up for every point

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
