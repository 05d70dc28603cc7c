"""Results as plain frozen data: outcomes, rows and reports. Renderers are pure functions of these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from losscheck.core.exact import Exact
from losscheck.core.outcome import Outcome

__all__ = [
    "BitDifference",
    "Difference",
    "PointRow",
    "Region",
    "SweepRow",
]


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
        mode: how it was run (backends.MODES).
        logit_dtype: the dtype of the logits where it is not ``dtype``, the one that came out: autocast does that.
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
    mode: str = "eager"
    logit_dtype: str = ""

    @property
    def badness(self) -> tuple[int, float]:
        """Sorts the worst first: by severity, then by ulp."""
        ulp = abs(self.ulp) if self.ulp is not None else 0.0
        return (self.outcome.severity, -ulp)


@dataclass(frozen=True)
class Region:
    """Neighbouring floats of one failing outcome.

    ``floats`` lie between the ends; ``points`` of them have the outcome. In an exhaustive sweep both are counted, and
    differ only where so many regions interleave that close ones were joined; in a sample both are the floats between.
    """

    outcome: Outcome
    first: float
    last: float
    floats: int
    points: int


@dataclass(frozen=True)
class SweepRow:
    """One quantity of one implementation over a range.

    Attributes:
        counts: points by outcome, zeros left out.
        max_ulp: the largest |ulp|; NaN or infinite when a result was.
        worst: the worst points, each with its exact value.
        histogram: points by bucket of |ulp|, zeros left out.
        profile: for each cell of the range the logit at its middle, the largest |ulp| (-1 for no point) and the severest
            outcome (None for no point).
        settled: points that the exact oracle settled; checked, wrong: the stratified sample, and how often the filter erred.
        nan_points, nan_wrong: NaN logits, and how many of them came out as a number.
        reason: why there is nothing to tell.
        mode, logit_dtype: as of a :class:`PointRow`.
    """

    loss: str
    implementation: str
    backend: str
    device: str
    dtype: str
    quantity: str
    layout: str
    params: Mapping[str, float]
    target: float
    low: float
    high: float
    points: int
    exhaustive: bool
    counts: Mapping[Outcome, int] = field(default_factory=dict)
    max_ulp: float = 0.0
    worst: tuple[PointRow, ...] = ()
    regions: tuple[Region, ...] = ()
    histogram: Mapping[str, int] = field(default_factory=dict)
    profile: tuple[tuple[float, float, Outcome | None], ...] = ()
    settled: int = 0
    checked: int = 0
    wrong: int = 0
    nan_points: int = 0
    nan_wrong: int = 0
    reason: str = ""
    mode: str = "eager"
    logit_dtype: str = ""

    @property
    def failures(self) -> int:
        return sum(n for outcome, n in self.counts.items() if outcome.failed)

    @property
    def outcome(self) -> Outcome:
        """The severest outcome of the row."""
        found = [outcome for outcome, n in self.counts.items() if n]
        return min(found, key=lambda each: each.severity) if found else Outcome.UNAVAILABLE


@dataclass(frozen=True)
class BitDifference:
    """Where two layouts or devices give other bits: how many of the common points, and the one that differs most."""

    what: str
    points: int
    differ: int
    worst_logit: float | None = None
    value: float | None = None
    other_value: float | None = None


@dataclass(frozen=True)
class Difference:
    """How many rows have other bits on one device than on another."""

    device: str
    other: str
    rows: int
    differ: int
