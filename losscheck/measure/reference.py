"""The exact side of every measurement: what implementations claim, and the one object that asks the oracle and remembers."""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from losscheck.core.dtypes import Format
from losscheck.core.error import as_float64, judged, judged_values
from losscheck.core.exact import Exact
from losscheck.core.loss import Formula, Implementation, Loss
from losscheck.core.outcome import Outcome
from losscheck.filter.arrays import filter_arrays
from losscheck.filter.classify import CODE, CODES, UNDECIDED, Limits, buckets, decide_arrays
from losscheck.filter.running_error import NoFilterError
from losscheck.oracle.refine import Term, exact_value, exact_values

__all__ = ["ENOUGH", "MOST_ASKED", "UNASKED", "Budget", "Claim", "Judged", "Reference", "definition_of", "distinct", "formula_of"]

# Different (logit, target, value) of one row that the oracle is asked about: some seconds of work. All of a narrow dtype's
# undecided elements are far fewer; of float64, which no filter decides to the last bit, it is a sample beyond that.
MOST_ASKED = 2**15
ENOUGH = 2.0**-30  # the bound with which a value serves for an effect: its thresholds are conventions
KEPT = 200_000  # exact values remembered
# Logits at which implementations of one claim share the filter's values, which nobody writes to: as many as a sample or a 16-bit
# dtype has. At fewer they are found anew as fast.
SHARED = range(2**9, 2**16 + 1)
MOST_SHARED = 32  # such values kept: 32 MiB
UNASKED = len(CODES)  # the code of an undecided element that the oracle was not asked about
OK, INACCURATE, MISSED_INF = (CODE[outcome] for outcome in (Outcome.OK, Outcome.INACCURATE, Outcome.MISSED_INF))


class Claim(NamedTuple):
    """What an exact value is of: a formula, and whether it still has to be differentiated."""

    formula: Formula
    differentiate: bool


def definition_of(loss: Loss, quantity: str) -> Claim:
    """The definition of a quantity."""
    return Claim(loss.gradient if quantity == "grad" else loss.formula, False)


def formula_of(loss: Loss, implementation: Implementation, quantity: str, dtype: Format) -> Claim:
    """An implementation's own formula of a quantity, for logits of a dtype; the definition where it has none."""
    if implementation.formula is None and implementation.derive is not None:
        derived = implementation.derive(dtype)
        own = derived.gradient if quantity == "grad" else derived.loss
        return definition_of(loss, quantity) if own is None else Claim(own, False)
    if implementation.formula is None:
        return definition_of(loss, quantity)
    if quantity == "grad" and implementation.formula_gradient:
        return Claim(implementation.formula_gradient, False)
    return Claim(implementation.formula, quantity == "grad")


class Budget:
    """How much of a row the oracle may still be asked: half of it at once, where doubtful elements lie in a heap, and the
    rest spread evenly over the blocks; what a block leaves goes to the next."""

    def __init__(self, elements: int, most: int | None = None) -> None:
        most = MOST_ASKED if most is None else most
        self.share = 1.0 if elements <= most else most / 2 / elements
        self.left = most / 2

    def take(self, elements: int, wanted: int) -> int:
        """How many of the ``wanted`` elements of a block of so many may be asked."""
        self.left += self.share * elements
        taken = min(wanted, math.ceil(self.left))
        self.left -= taken
        return taken


@dataclass
class Judged:
    """Codes (UNASKED among them) and signed ulp of a block; how many elements the oracle settled."""

    codes: Any
    ulps: Any
    settled: int = 0
    errors: dict[str, float] = field(default_factory=dict)  # of effects: the largest absolute error of each quantity

    def some(self, chosen: Any) -> Judged:
        """Those of some elements; settled are all of them where all of the block are."""
        codes = self.codes[chosen]
        return Judged(codes, self.ulps[chosen], len(codes) if self.settled == len(self.codes) else 0)


class Reference:
    """The exact side of one loss's parameters in one dtype; every exact value is found once."""

    def __init__(self, params: Mapping[str, float], dtype: Format, oracle: str, max_ulp: float) -> None:
        self.params, self.dtype, self.oracle, self.max_ulp = params, dtype, oracle, max_ulp
        self.limits = Limits.of(dtype, max_ulp)
        self._shared: dict[tuple[Claim, float, bytes], tuple[Any, Any]] = {}
        # By claim, and by what it is at: a point, or terms. -0 and +0 are one key, and one exact value.
        self._known: defaultdict[Claim, dict[tuple[object, ...], Exact]] = defaultdict(dict)
        self._printable: set[tuple[Claim, tuple[object, ...]]] = set()  # those with digits to print
        self._kept = 0

    # One value ----------------------------------------------------------------------------------------------------

    def at(self, claim: Claim, logit: float, target: float, *, printable: bool = False) -> Exact:
        """The exact value at a point, as far as it decides; with digits to print where that is asked."""
        return self._at(claim, (logit, target), (Term(logit, target),), printable)

    def at_all(self, claim: Claim, points: Sequence[tuple[float, float]]) -> list[Exact]:
        """The exact values at points (logit, target), as far as they decide."""
        known = self._known[claim]
        new = [point for point in dict.fromkeys(points) if point not in known]
        how: dict[str, Any] = {"oracle": self.oracle, "differentiate": claim.differentiate}
        found: dict[tuple[object, ...], Exact] = dict(
            zip(new, exact_values(claim.formula, new, self.params, self.dtype, **how), strict=True)
        )
        if self._kept + len(found) > KEPT:
            return [known.get(point) or found[point] for point in points]
        self._kept += len(found)
        known.update(found)
        return [known[point] for point in points]

    def terms(self, claim: Claim, terms: tuple[Term, ...]) -> Exact:
        """The exact sum of weighted terms, with digits to print."""
        return self._at(claim, terms, terms, printable=True)

    def _at(self, claim: Claim, of: tuple[object, ...], terms: tuple[Term, ...], printable: bool) -> Exact:
        exact = self._known[claim].get(of)
        if exact is not None and (not printable or (claim, of) in self._printable):
            return exact
        how: dict[str, Any] = {"oracle": self.oracle, "differentiate": claim.differentiate, "printable": printable}
        exact = exact_value(claim.formula, list(terms), self.params, self.dtype, **how)
        if self._kept < KEPT:
            self._kept += 1
            self._known[claim][of] = exact
            if printable:
                self._printable.add((claim, of))
        return exact

    def judge(self, value: float, exact: Exact) -> tuple[Outcome, float]:
        """The outcome and the signed ulp of a value."""
        return judged(value, exact, self.dtype, self.max_ulp)

    def outcome(self, claim: Claim, logit: float, target: float, value: float) -> tuple[int, float]:
        """The outcome's code and the signed ulp of what was returned at a point."""
        outcome, ulp = self.judge(value, self.at(claim, logit, target))
        return CODE[outcome], ulp

    def outcomes(self, claim: Claim, logits: Any, targets: Any, values: Any) -> tuple[Any, Any]:
        """The same of points with what was returned there, as numpy arrays."""
        import numpy as np

        exacts = self.at_all(claim, list(zip(logits.tolist(), targets.tolist(), strict=True)))
        outcomes = judged_values(values.tolist(), exacts, self.dtype, self.max_ulp)
        codes = np.array([CODE[outcome] for outcome, _ in outcomes], np.int64)
        return codes, np.array([ulp for _, ulp in outcomes], np.float64)

    # Whole arrays -------------------------------------------------------------------------------------------------

    def filter(self, xp: Any, claim: Claim, logits: Any, target: float) -> tuple[Any, Any]:
        """The filter's values and bounds of float64 arrays by numpy or torch; NaN and infinity where it cannot be used.

        Float64 values have no wider arithmetic to be filtered with.
        """
        if self.dtype.bits == 64:
            return xp.full_like(logits, math.nan), xp.full_like(logits, math.inf)
        if xp.__name__ == "torch" or len(logits) not in SHARED:
            return self._filtered(xp, claim, logits, target)
        key = claim, target, hashlib.blake2b(logits.tobytes(), digest_size=16).digest()
        if key not in self._shared:
            if len(self._shared) >= MOST_SHARED:
                del self._shared[next(iter(self._shared))]
            self._shared[key] = self._filtered(xp, claim, logits, target)
        return self._shared[key]

    def _filtered(self, xp: Any, claim: Claim, logits: Any, target: float) -> tuple[Any, Any]:
        try:
            with quiet(xp):
                return filter_arrays(xp, claim.formula, logits, target, self.params, self.dtype, claim.differentiate)
        except NoFilterError:
            return xp.full_like(logits, math.nan), xp.full_like(logits, math.inf)

    def values(self, xp: Any, claim: Claim, logits: Any, targets: Any, filtered: tuple[Any, Any]) -> Any:
        """Exact values to about 2^-30 of themselves as float64: the filter's, and the oracle's where it does not know so much."""
        import numpy as np

        value, bound = filtered
        if bool((bound <= ENOUGH).all()):
            return value
        # What is held at exp(-700) is nothing, whatever its bound.
        unknown = xp.where(~(bound <= ENOUGH) & ~(abs(value) < 2.0**-900) & (logits == logits))[0]
        if not len(unknown):
            return value
        xs = on_host(logits[unknown]).tolist()
        zs = [targets] * len(xs) if isinstance(targets, float) else on_host(targets[unknown]).tolist()
        exacts = self.at_all(claim, list(zip(xs, zs, strict=True)))
        value = value + 0.0  # a copy
        value[unknown] = like(value, np.array([exact.rounded if self.dtype.bits == 64 else as_float64(exact) for exact in exacts]))
        return value

    def classify(self, xp: Any, values: Any, filtered: tuple[Any, Any]) -> Judged:
        """What the filter's values and bounds decide about values returned; the rest is UNDECIDED."""
        if self.dtype.bits == 64 and not bool((filtered[0] == filtered[0]).any()):  # the filter was not used
            return Judged(xp.full_like(values, UNDECIDED, dtype=xp.int8), xp.full_like(values, math.nan))
        with quiet(xp):
            codes, ulps = decide_arrays(xp, values, *filtered, self.limits)
            if self.dtype.bits == 64:
                # Beyond these sizes the ulp of float64 leaves its own range; between them the filter sees gross failures alone.
                size = abs(filtered[0])
                codes = xp.where((size > 2.0**-900) & (size < 2.0**900), codes, UNDECIDED)
        return Judged(codes, ulps)

    def settle(self, xp: Any, judged: Judged, claim: Claim, logits: Any, targets: Any, values: Any, budget: Budget | None = None) -> None:
        """Ask the oracle about what the filter left UNDECIDED: of all of it, or within a budget.

        Args:
            logits, values: float64 arrays of ``xp``; targets: as many, or one number.
        """
        import numpy as np

        undecided = xp.where(judged.codes == UNDECIDED)[0]
        if not len(undecided):
            if budget:
                budget.take(len(logits), 0)
            return
        # All undecided points of a device cross over in one copy each way; one by one each would wait for it.
        xs, ys = on_host(logits[undecided]), on_host(values[undecided])
        zs = np.full(len(xs), targets) if isinstance(targets, float) else on_host(targets[undecided])
        unknown = np.isnan(xs)  # where NaN is right
        codes, ulps = np.where(np.isnan(ys), OK, INACCURATE), np.where(np.isnan(ys), 0.0, np.nan)
        rows, inverse = distinct(np.stack([xs, zs, ys], axis=1)[~unknown])
        asked = np.arange(len(rows)) if budget is None else _chosen(rows[:, 2], budget.take(len(logits), len(rows)))
        code_of, ulp_of = np.full(len(rows), UNASKED), np.zeros(len(rows))
        code_of[asked], ulp_of[asked] = self.outcomes(claim, *rows[asked].T)
        codes[~unknown], ulps[~unknown] = code_of[inverse], ulp_of[inverse]
        judged.settled = int((code_of[inverse] != UNASKED).sum())
        judged.codes[undecided], judged.ulps[undecided] = like(judged.codes, codes), like(judged.ulps, ulps)

    def check(self, claim: Claim, logits: Any, targets: Any, values: Any, judged: Judged) -> tuple[int, int]:
        """How many of some points (numpy arrays) the oracle was asked about in any case, and how many it sees otherwise."""
        import numpy as np

        known = np.flatnonzero((judged.codes != UNASKED) & ~np.isnan(logits))
        if judged.settled == len(judged.codes):
            return len(known), 0  # what the oracle has said of all of them already
        codes, ulps = self.outcomes(claim, logits[known], targets[known], values[known])
        with np.errstate(all="ignore"):
            # The ulp of a missed infinity is said to be large and no more.
            apart = (buckets(np, judged.ulps[known]) != buckets(np, ulps)) & (codes != MISSED_INF)
        return len(known), int((apart | (judged.codes[known] != codes)).sum())


def quiet(xp: Any) -> Any:
    """numpy without its warnings; torch has none."""
    import contextlib

    return contextlib.nullcontext() if xp.__name__ == "torch" else xp.errstate(all="ignore")


def on_host(x: Any) -> Any:
    """A numpy array of an array or tensor."""
    return x.cpu().numpy() if hasattr(x, "cpu") else x


def like(array: Any, x: Any) -> Any:
    """A numpy array as what ``array`` is: its dtype, on its device."""
    if not hasattr(array, "cpu"):
        return x.astype(array.dtype)
    import torch

    return torch.tensor(x, dtype=array.dtype, device=array.device)


def _chosen(values: Any, most: int) -> Any:
    """Which to ask about, when not all can be: what looks like a failure first, then a sample spread evenly over the rest."""
    import numpy as np

    if len(values) <= most:
        return np.arange(len(values))
    odd = ~np.isfinite(values) | (values == 0)
    suspects, rest = np.flatnonzero(odd)[:most], np.flatnonzero(~odd)
    spread = np.linspace(0, max(len(rest) - 1, 0), min(most - len(suspects), len(rest))).astype(np.int64)
    return np.concatenate([suspects, rest[spread]])


def distinct(rows: Any) -> tuple[Any, Any]:
    """Rows of float64 that differ in bits (NaN equals NaN, +0 is not -0), and for each row the place of its equal there."""
    import numpy as np

    bits = np.ascontiguousarray(rows).view(np.uint64)
    # One number for each row sorts ten times as fast as the row; should two rows ever share one, the rows are sorted.
    mixed = np.zeros(len(rows), np.uint64)
    for column in bits.T:
        mixed = (mixed ^ column ^ (column >> np.uint64(29))) * np.uint64(0x9E3779B97F4A7C15)
    _, first, inverse = np.unique(mixed, return_index=True, return_inverse=True)
    if not (bits == bits[first][inverse]).all():
        _, first, inverse = np.unique(bits, axis=0, return_index=True, return_inverse=True)
    return rows[first], inverse.reshape(-1)
