"""Results as plain frozen data: outcomes, rows and reports. Renderers are pure functions of these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from losscheck.enclosure import Exact

if TYPE_CHECKING:
    from losscheck.verdict import CaseRow

__all__ = [
    "FAILURES",
    "SCHEMA_VERSION",
    "BitDifference",
    "Difference",
    "Element",
    "Few",
    "Outcome",
    "PointRow",
    "Region",
    "Report",
    "SweepRow",
    "TensorBatch",
    "TensorRow",
    "Whole",
]

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
class Few:
    """How many elements of a dumped batch are of some kind, and the index of the first of them."""

    count: int = 0
    first: tuple[int, ...] = ()


@dataclass(frozen=True)
class TensorBatch:
    """A dumped batch in one dtype, before any loss is asked.

    Attributes:
        files: as named on the command line; dumped, target_kind: the dtypes of logits and targets there.
        low, high: the least and the greatest finite logit; NaN when there is none.
        nan, inf: NaN and infinite logits.
        outside: targets that are not in [0, 1], NaN among them: their elements are not judged.
        positives, negatives: targets equal to 1 and to 0; soft: the others in (0, 1).
        rounded_logits, rounded_targets: those that the dtype changed; became_one: soft targets that it made 1;
            became_infinite: finite logits that it made infinite.
    """

    files: tuple[str, ...]
    dtype: str
    dumped: str
    target_kind: str
    shape: tuple[int, ...]
    elements: int
    low: float
    high: float
    nan: Few = Few()
    inf: Few = Few()
    outside: Few = Few()
    positives: int = 0
    negatives: int = 0
    soft: int = 0
    rounded_logits: int = 0
    rounded_targets: int = 0
    became_one: Few = Few()
    became_infinite: Few = Few()


@dataclass(frozen=True)
class Element:
    """One element of a dumped batch: its index, its row as compare has it, and what came out as its loss and gradient."""

    index: tuple[int, ...]
    point: PointRow
    loss: float | None = None
    gradient: float | None = None


@dataclass(frozen=True)
class Whole:
    """The loss of a whole batch, and where its error comes from.

    value - exact = (S - exact) + (value - S), where S is the exact sum, under the exact weights of the reduction, of the
    elements as they were computed: the first part is the elements' error, the second the reduction's.

    Attributes:
        reduction: mean, sum, normalised or published; weights: in words, how the elements are weighed.
        value: what the implementation returned; None with a ``reason``.
        exact, definition: its own formula and the loss's definition, summed exactly.
        ulp, element_ulp, reduction_ulp: value - exact and its two parts, over ulp(exact); the parts are None where the
            whole is no weighted sum of the elements, or not known.
        elements: S rounded to the dtype.
        method: how the exact sum was found.
    """

    reduction: str
    outcome: Outcome
    value: float | None = None
    exact: Exact | None = None
    definition: Exact | None = None
    ulp: float | None = None
    deviation: float | None = None
    elements: float | None = None
    element_ulp: float | None = None
    reduction_ulp: float | None = None
    method: str = ""
    note: str = ""
    reason: str = ""


@dataclass(frozen=True)
class TensorRow:
    """One quantity of one implementation over the elements of a dumped batch.

    Attributes:
        judged: elements inside the loss's domain; ``sampled``: only some of them, because each takes a call of its own.
        counts: elements by outcome, zeros left out.
        max_ulp: the largest |ulp|; infinite when a result was NaN or infinite.
        first: for each failing outcome its first element, the severest outcome first.
        worst: the worst elements, by severity, then |ulp|, then index.
        deviating: elements whose own formula is more than 1e-9 away from the definition; deviation: the farthest of them.
        settled: elements that the exact oracle settled; unasked: ``undecided`` ones that it was not asked about, to end
            in time; checked, wrong: the stratified sample, and how often the filter erred.
        whole: the reduced loss; None for gradients and without a reduction.
        reason: why there is nothing to tell, or why some elements are ``unavailable``.
    """

    loss: str
    implementation: str
    backend: str
    device: str
    dtype: str
    quantity: str
    params: Mapping[str, float]
    judged: int
    counts: Mapping[Outcome, int] = field(default_factory=dict)
    max_ulp: float = 0.0
    first: tuple[Element, ...] = ()
    worst: tuple[Element, ...] = ()
    deviating: int = 0
    deviation: Element | None = None
    settled: int = 0
    unasked: int = 0
    checked: int = 0
    wrong: int = 0
    whole: Whole | None = None
    reason: str = ""
    sampled: bool = False

    @property
    def failures(self) -> int:
        return sum(n for outcome, n in self.counts.items() if outcome.failed)

    @property
    def outcome(self) -> Outcome:
        """The severest outcome of the elements."""
        return min(self.counts, key=lambda each: each.severity, default=Outcome.UNAVAILABLE)


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
