"""What is found of a dumped batch, as plain frozen data beside that of results.py."""

from __future__ import annotations

from dataclasses import dataclass

from losscheck.core.exact import Exact
from losscheck.core.outcome import Outcome
from losscheck.core.ranking import Advice
from losscheck.core.results import PointRow, SummaryRow

__all__ = ["Element", "Few", "TensorBatch", "TensorRow", "Whole"]


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


@dataclass(frozen=True, kw_only=True)
class TensorRow(SummaryRow):
    """One quantity of one implementation over the elements of a dumped batch.

    Attributes:
        judged: elements inside the loss's domain; ``sampled``: only some of them, because each takes a call of its own.
        first: for each failing outcome its first element, the severest outcome first.
        worst: the worst elements, by severity, then |ulp|, then index.
        deviating: elements whose own formula is more than 1e-9 away from the definition; deviation: the farthest of them.
        unasked: ``undecided`` elements that the oracle was not asked about, to end in time.
        whole: the reduced loss; None for gradients and without a reduction.
        advice: for a callable of the user's that harms, once.
    """

    judged: int
    first: tuple[Element, ...] = ()
    worst: tuple[Element, ...] = ()
    deviating: int = 0
    deviation: Element | None = None
    unasked: int = 0
    whole: Whole | None = None
    sampled: bool = False
    advice: Advice | None = None
