"""Results as plain frozen data: one family of rows. Renderers, the gate and the API are pure functions of these.

Row                  what was judged: the subject, a quantity, an outcome
  PointRow           at one point, or reduced over several
  CountedRow         over many points, by outcome
    SummaryRow       with a sample that the oracle checked
      SweepRow       a range                 (here)
      TensorRow      a dumped batch          (batch_rows)
    CaseRow          a case of the gate      (verdict)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from losscheck.core.absence import Absence
from losscheck.core.effect import Effect, EffectFinding, Onset
from losscheck.core.exact import Exact
from losscheck.core.outcome import Outcome

__all__ = [
    "IN_WORDS",
    "BitDifference",
    "CountedRow",
    "Difference",
    "PointRow",
    "Region",
    "Row",
    "SummaryRow",
    "SweepRow",
]


IN_WORDS = {"loss": "loss", "grad": "gradient"}  # quantities, as people call them


@dataclass(frozen=True, kw_only=True)
class Row:
    """One quantity of one subject. Every row of every command is one.

    Attributes:
        loss, implementation, backend, device, dtype: names; ``dtype`` is the one that came out and was judged.
        quantity: ``loss`` or ``grad`` (d loss / d logit).
        params: all parameters of the loss, as rounded to the dtype.
        mode: how it was run (backends.MODES).
        logit_dtype: the dtype of the logits where it is not ``dtype``: what promotes it does that, and autocast.
        reason: why there is nothing to tell, or less than was asked, for people.
        absence: the kind of the reason, for code; None where there is a result.
        effect: what its point, or the worst of its points, does to training, loss and gradient together; None where that
            was not judged: reductions, and logits that are infinite or NaN.
    """

    loss: str
    implementation: str
    backend: str
    device: str
    dtype: str
    quantity: str
    params: Mapping[str, float] = field(default_factory=dict)
    mode: str = "eager"
    logit_dtype: str = ""
    reason: str = ""
    effect: EffectFinding | None = None
    absence: Absence | None = None

    @property
    def given_dtype(self) -> str:
        """The dtype of the logits."""
        return self.logit_dtype or self.dtype

    @property
    def subject(self) -> str:
        """'stable numpy float32 cpu': what was judged, in the order of the tables; the mode where it is not eager."""
        mode = "" if self.mode == "eager" else f" {self.mode}"
        return f"{self.implementation} {self.backend} {self.dtype} {self.device}{mode}"


@dataclass(frozen=True, kw_only=True)
class PointRow(Row):
    """One quantity of one implementation at one point, or at the points a reduced loss was taken over.

    Attributes:
        logits, targets: the point; several for the loss of a reduction.
        value: what the implementation returned; None when it could not run.
        exact: its own formula, exactly; None when it could not run.
        definition: the loss's definition, exactly; the same object as ``exact`` where there is no other formula.
        ulp: (value - exact) / ulp(exact), signed.
        deviation: exact / definition - 1: +2 is three times as much, -1 is nothing left.
        note: where its own formula is not the definition, in words.
    """

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
    note: str = ""

    @property
    def badness(self) -> tuple[int, float]:
        """Sorts the worst first: by severity, then by ulp."""
        ulp = abs(self.ulp) if self.ulp is not None else 0.0
        return (self.outcome.severity, -ulp)

    @property
    def failed(self) -> bool:
        return self.outcome.failed


@dataclass(frozen=True, kw_only=True)
class CountedRow(Row):
    """One quantity of one subject over many points.

    Attributes:
        counts: points by outcome, zeros left out.
        max_ulp: the largest |ulp|; NaN or infinite when a result was.
    """

    counts: Mapping[Outcome, int] = field(default_factory=dict)
    max_ulp: float = 0.0

    @property
    def failures(self) -> int:
        return sum(count for outcome, count in self.counts.items() if outcome.failed)

    @property
    def outcome(self) -> Outcome:
        """The severest outcome of its points."""
        seen = [outcome for outcome, count in self.counts.items() if count]
        return min(seen, key=lambda outcome: outcome.severity, default=Outcome.UNAVAILABLE)

    @property
    def failed(self) -> bool:
        return self.outcome.failed


@dataclass(frozen=True, kw_only=True)
class SummaryRow(CountedRow):
    """A counted row of an engine that decides most points by a filter.

    Attributes:
        settled: points that the exact oracle settled.
        checked, wrong: the stratified sample that was checked against it, and how often the filter erred.
    """

    settled: int = 0
    checked: int = 0
    wrong: int = 0


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


@dataclass(frozen=True, kw_only=True)
class SweepRow(SummaryRow):
    """One quantity of one implementation over a range.

    Attributes:
        layout: ``body`` or ``tail`` of a vector.
        low, high: the ends of the range; points: logits evaluated; exhaustive: they are all there are.
        worst: the worst points, each with its exact value.
        shown: points for a picture, with their exact values: ends of the severest regions, and a few over the range;
            found when they are looked at, which calls the implementation once more.
        histogram: points by bucket of |ulp|, zeros left out.
        profile: for each cell of the range the logit at its middle, the largest |ulp| (-1 for no point) and the severest
            outcome (None for no point).
        effects: for each of these cells the severest effect (None for no point); empty where effects were not judged.
        onsets: where failing begins below and above 0, from low to high logits.
        refusal: what it raised at the first of the logits that it refused; those are regions of the outcome `unavailable`.
        nan_points, nan_wrong: NaN logits, and how many of them came out as a number.
    """

    layout: str
    target: float
    low: float
    high: float
    points: int
    exhaustive: bool
    worst: tuple[PointRow, ...] = ()
    shown: Sequence[PointRow] = ()
    regions: tuple[Region, ...] = ()
    histogram: Mapping[str, int] = field(default_factory=dict)
    profile: tuple[tuple[float, float, Outcome | None], ...] = ()
    effects: tuple[Effect | None, ...] = ()
    nan_points: int = 0
    nan_wrong: int = 0
    refusal: str = ""
    onsets: tuple[Onset, ...] = ()


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
