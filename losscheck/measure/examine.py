"""One formula at one target, asked about many values: the filter first, the exact oracle for what it cannot decide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from losscheck.core.dtypes import Format
from losscheck.core.error import classify, ulp_error
from losscheck.core.exact import Exact
from losscheck.core.loss import Formula
from losscheck.core.outcome import Outcome
from losscheck.filter.arrays import filter_arrays
from losscheck.filter.classify import CODE, Limits, judge_arrays
from losscheck.filter.running_error import NoFilterError
from losscheck.oracle.refine import Term, exact_value

__all__ = ["Examiner"]

UNDECIDED = CODE[Outcome.UNDECIDED]


@dataclass
class Examiner:
    """The exact side of one row of a sweep."""

    formula: Formula
    differentiate: bool
    target: float
    params: Mapping[str, float]
    dtype: Format
    oracle: str
    max_ulp: float
    _known: dict[float, Exact] = field(default_factory=dict)

    @property
    def limits(self) -> Limits:
        return Limits.of(self.dtype, self.max_ulp)

    def examine(self, logits: Any, values: Any) -> tuple[Any, Any, int]:
        """Codes and signed ulp of float64 numpy arrays, and how many points the oracle had to settle."""
        import numpy as np

        codes, ulps = self.filtered(np, logits, values)
        unsettled = np.flatnonzero(codes == UNDECIDED)
        for n in unsettled:
            codes[n], ulps[n] = self.settle(float(logits[n]), float(values[n]))
        return codes, ulps, len(unsettled)

    def filtered(self, xp: Any, logits: Any, values: Any) -> tuple[Any, Any]:
        """What the filter says, by numpy or torch; everything undecided where it cannot be used.

        Float64 values have no wider arithmetic to be filtered with.
        """
        if self.dtype.bits < 64:
            try:
                if xp.__name__ == "torch":
                    return self._judged(xp, logits, values)
                with xp.errstate(all="ignore"):
                    return self._judged(xp, logits, values)
            except NoFilterError:
                pass
        return xp.where(values == values, UNDECIDED, UNDECIDED), xp.zeros_like(values)

    def _judged(self, xp: Any, logits: Any, values: Any) -> tuple[Any, Any]:
        exact, bound = filter_arrays(xp, self.formula, logits, self.target, self.params, self.dtype, self.differentiate)
        return judge_arrays(xp, values, exact, bound, self.limits)

    def settle(self, logit: float, value: float) -> tuple[int, float]:
        """Code and signed ulp of one value, by the oracle."""
        exact = self._decided(logit)
        ulp = ulp_error(value, exact, self.dtype)
        return CODE[classify(value, exact, ulp, self.dtype, self.max_ulp)], ulp

    def exact(self, logit: float) -> Exact:
        """The exact value at a logit, with digits to print."""
        return self._exact(logit, printable=True)

    def _decided(self, logit: float) -> Exact:
        """The exact value as far as it decides; found once."""
        found = self._known.get(logit)
        # -0 and +0 are one key, and one exact value.
        if found is None:
            found = self._exact(logit, printable=False)
            if len(self._known) < 100_000:
                self._known[logit] = found
        return found

    def _exact(self, logit: float, *, printable: bool) -> Exact:
        term = Term(logit, self.target)
        return exact_value(
            self.formula, [term], self.params, self.dtype, oracle=self.oracle, differentiate=self.differentiate, printable=printable
        )
