"""What the gate finds: a verdict on one implementation in one case. Plain data, of the family of rows in results.py."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from losscheck.core.outcome import Outcome
from losscheck.core.results import CountedRow, PointRow

__all__ = ["CaseRow", "Problem", "Verdict", "exit_code"]


class Verdict(Enum):
    """What became of a row. The order is the severity, worst first."""

    FAIL = "fail"
    UNDECIDED = "undecided"
    NOT_COMPARABLE = "not-comparable"
    BETTER = "better"
    SKIPPED = "skipped"
    KNOWN_FAILURE = "known-failure"
    PASS = "pass"

    @property
    def severity(self) -> int:
        return list(Verdict).index(self)

    def exit_code(self, strict: bool) -> int:
        """0 holds, 1 a budget is broken, 2 could not judge; ``strict`` lets nothing through that was not compared."""
        if self is Verdict.FAIL or (strict and self is Verdict.BETTER):
            return 1
        return 2 if self is Verdict.UNDECIDED or (strict and self is Verdict.NOT_COMPARABLE) else 0


@dataclass(frozen=True, kw_only=True)
class CaseRow(CountedRow):
    """One quantity of one implementation, on one backend, device and dtype, judged by one case.

    Attributes:
        file, line: where the case begins.
        reason: why the verdict is what it is; one sentence for each broken expectation. Empty for a plain pass.
        reproduce: the command that shows the worst point, or judges the case again.
        trace: the command that shows which line of the implementation it was; "" where it cannot be traced.
        points, failing: how many were judged, and how many of them broke an expectation on points.
        max_ulp, limit: the largest |ulp| of a number, NaN where a result was none; and what the case allows, infinite
            where the record or the effects alone judge.
        deviation: the largest |deviation| of the own formula from the definition; None where it was not asked for.
        worst: the worst point that broke something, else the worst of all.
        exhaustive: every float of the range was judged.
        source: the file and the line of the implementation where it is a callable of the user's; "" and 0 elsewhere.
    """

    case: str
    file: str
    line: int
    verdict: Verdict
    reproduce: str = ""
    trace: str = ""
    points: int = 0
    failing: int = 0
    limit: float = 0.0
    deviation: float | None = None
    exhaustive: bool = False
    worst: PointRow | None = None
    source: tuple[str, int] = ("", 0)

    @property
    def source_place(self) -> str:
        """'blog.py:7', as editors open it; empty where the source is not known."""
        return "{}:{}".format(*self.source) if self.source[0] else ""

    @property
    def badness(self) -> tuple[int, int, float]:
        """Sorts the worst first: by verdict, by outcome, by ulp."""
        outcome, ulp = self.worst.badness if self.worst else (len(Outcome), 0.0)
        return self.verdict.severity, outcome, ulp

    @property
    def subject(self) -> str:
        """'stable numpy float32 cpu loss': the quantity too, because a case judges both apart."""
        return f"{self.of_both} {self.quantity}"

    @property
    def of_both(self) -> str:
        """'stable numpy float32 cpu': what loss and gradient of one subject share."""
        return super().subject


@dataclass(frozen=True)
class Problem:
    """Something wrong in a file: where (from 1), the path of keys, what, and the cure."""

    line: int
    column: int
    path: str
    message: str


def exit_code(rows: Iterable[CaseRow], strict: bool) -> int:
    """Of the whole run. A broken budget is a finding even when something else could not be judged; nothing judged is none."""
    rows = list(rows)
    codes = {row.verdict.exit_code(strict) for row in rows}
    if 1 in codes:
        return 1
    return 2 if 2 in codes or all(row.verdict is Verdict.SKIPPED for row in rows) else 0
