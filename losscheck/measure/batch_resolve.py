"""Outcomes of a block of elements: the filter first, the exact oracle for what it cannot decide, within a budget."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from losscheck.core.dtypes import Format
from losscheck.core.error import classify, ulp_error
from losscheck.core.exact import Exact
from losscheck.core.loss import Formula
from losscheck.core.outcome import Outcome
from losscheck.filter.classify import CODE, CODES, Limits, buckets, judge_arrays
from losscheck.oracle.refine import Term, exact_value

__all__ = ["MOST_ASKED", "UNASKED", "Budget", "Oracle", "Settled", "disagreements", "distinct", "settle"]

# Different (logit, target, value) of one row that the oracle is asked about: some seconds of work. All of a narrow dtype's
# undecided elements are far fewer; of float64, which no filter decides to the last bit, it is a sample beyond that.
MOST_ASKED = 2**15
KEPT = 200_000  # exact values remembered
UNASKED = len(CODES)  # the code of an undecided element that the oracle was not asked about
UNDECIDED, OK, INACCURATE = (CODE[each] for each in (Outcome.UNDECIDED, Outcome.OK, Outcome.INACCURATE))

Claim = tuple[Formula, bool]  # a formula, and whether it still has to be differentiated


@dataclass
class Oracle:
    """Exact values at elements, each found once."""

    params: Mapping[str, float]
    dtype: Format
    name: str
    max_ulp: float
    _known: dict[tuple[Claim, float, float], Exact] = field(default_factory=dict)

    def exact(self, claim: Claim, logit: float, target: float) -> Exact:
        key = (claim, logit, target)
        found = self._known.get(key)
        if found is None:
            formula, differentiate = claim
            terms = [Term(logit, target)]
            found = exact_value(formula, terms, self.params, self.dtype, oracle=self.name, differentiate=differentiate)
            if len(self._known) < KEPT:
                self._known[key] = found
        return found

    def outcome(self, claim: Claim, logit: float, target: float, value: float) -> tuple[int, float]:
        """The code and the signed ulp of one value."""
        exact = self.exact(claim, logit, target)
        ulp = ulp_error(value, exact, self.dtype)
        return CODE[classify(value, exact, ulp, self.dtype, self.max_ulp)], ulp


class Budget:
    """How much of a row the oracle may still be asked: half of it at once, where doubtful elements lie in a heap, and the
    rest spread evenly over the blocks; what a block leaves goes to the next."""

    def __init__(self, elements: int, most: int | None = None) -> None:
        most = MOST_ASKED if most is None else most
        self.share = 1.0 if elements <= most else most / 2 / elements
        self.left = most / 2

    def grant(self, elements: int) -> int:
        """The most that a block of so many elements may ask."""
        self.left += self.share * elements
        return math.ceil(self.left)

    def spend(self, asked: int) -> None:
        self.left -= asked


@dataclass(frozen=True)
class Settled:
    """Codes (UNASKED among them) and signed ulp of a block; how many elements the oracle settled."""

    codes: Any
    ulps: Any
    settled: int


def settle(oracle: Oracle, claim: Claim, logits: Any, targets: Any, values: Any, filtered: tuple[Any, Any], budget: Budget) -> Settled:
    """The outcomes of a block: float64 arrays of logits, targets, values returned, and the filter's values and bounds."""
    import numpy as np

    with np.errstate(all="ignore"):
        codes, ulps = judge_arrays(np, values, *filtered, Limits.of(oracle.dtype, oracle.max_ulp))
        if oracle.dtype.bits == 64:
            # Beyond these sizes the ulp of float64 leaves its own range; between them the filter sees gross failures alone.
            size = abs(filtered[0])
            codes = np.where((size > 2.0**-900) & (size < 2.0**900), codes, UNDECIDED)
    codes = codes.astype(np.int64)
    nan = np.isnan(logits)
    codes[nan] = np.where(np.isnan(values[nan]), OK, INACCURATE)
    ulps[nan] = np.where(np.isnan(values[nan]), 0.0, np.nan)
    open_ = np.flatnonzero(codes == UNDECIDED)
    if not len(open_):
        budget.grant(len(logits))
        return Settled(codes, ulps, 0)
    unique, inverse = distinct(np.stack([logits[open_], targets[open_], values[open_]], axis=1))
    most = budget.grant(len(logits))
    chosen = _chosen(unique[:, 2], most)
    budget.spend(len(chosen))
    code_of, ulp_of = np.full(len(unique), UNASKED), np.zeros(len(unique))
    for n in chosen:
        logit, target, value = unique[n].tolist()
        code_of[n], ulp_of[n] = oracle.outcome(claim, logit, target, value)
    codes[open_], ulps[open_] = code_of[inverse], ulp_of[inverse]
    return Settled(codes, ulps, int((code_of[inverse] != UNASKED).sum()))


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

    bits = rows.view(np.uint64)
    # One number for each row sorts ten times as fast as the row; should two rows ever share one, the rows are sorted.
    mixed = np.zeros(len(rows), np.uint64)
    for column in bits.T:
        mixed = (mixed ^ column ^ (column >> np.uint64(29))) * np.uint64(0x9E3779B97F4A7C15)
    _, first, inverse = np.unique(mixed, return_index=True, return_inverse=True)
    if not (bits == bits[first][inverse]).all():
        _, first, inverse = np.unique(bits, axis=0, return_index=True, return_inverse=True)
    return rows[first], inverse.reshape(-1)


def disagreements(oracle: Oracle, claim: Claim, logits: Any, targets: Any, values: Any, settled: Settled, chosen: Any) -> tuple[int, int]:
    """Elements checked against the oracle, and those whose outcome or bucket of ulp it sees otherwise."""
    import numpy as np

    checked = wrong = 0
    for n in chosen:
        if settled.codes[n] == UNASKED or math.isnan(logits[n]):
            continue
        code, ulp = oracle.outcome(claim, float(logits[n]), float(targets[n]), float(values[n]))
        checked += 1
        ours, exactly = (buckets(np, np.float64(each)) for each in (settled.ulps[n], ulp))
        graded = code in (OK, INACCURATE)
        wrong += bool(code != settled.codes[n] or (graded and ours != exactly))
    return checked, wrong
