"""Expressions in plain float64 at many logits and targets: which branches there are. It proves nothing, and only spares work."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

from losscheck.tracing.own.evaluating import evaluated
from losscheck.tracing.own.expressions import Sum, X
from losscheck.tracing.own.trees import Choice, Tree

__all__ = ["SamplePairs", "sample_sign", "sample_value"]


@dataclass(frozen=True)
class SamplePairs:
    """Pairs of logits and targets, as arrays."""

    logits: Any
    targets: Any

    @classmethod
    @functools.cache
    def everywhere(cls) -> SamplePairs:
        """Logits of every size and both signs, targets between 0 and 1."""
        import numpy as np

        sizes = np.concatenate([np.linspace(0.01, 120, 600), np.linspace(120, 800, 300), np.logspace(-40, 38, 200)])
        logits = np.concatenate([-sizes, sizes])
        targets = np.array([0.02, 0.3, 0.51, 0.93])
        return cls(np.repeat(logits, len(targets)), np.tile(targets, len(logits)))

    @property
    def count(self) -> int:
        return len(self.logits)

    def at_root(self, about: Sum) -> SamplePairs:
        """The logit at which a linear expression is 0; all of them for any other."""
        import numpy as np

        linear = {factors: float(coefficient) for factors, coefficient in about.terms}
        slope = linear.pop(X.terms[0][0], 0.0)
        start = linear.pop((), 0.0)
        if linear or not slope:
            return self
        return SamplePairs(np.full_like(self.targets, -start / slope), self.targets)

    def where(self, about: Sum, sign: int) -> SamplePairs:
        """Those at which an expression may have a sign."""
        import numpy as np

        with np.errstate(all="ignore"):
            value = evaluated(about, _Plain(), self.logits, self.targets) + 0.0 * self.logits
        # What float64 says is 0 may have either sign.
        chosen = ~(value * sign < 0)
        return SamplePairs(self.logits[chosen], self.targets[chosen])


def sample_value(tree: Tree, logit: float, target: float) -> float:
    """A tree's value, as far as float64 sees; NaN where it has none."""
    while isinstance(tree, Choice):
        sign = sample_sign(tree.about, logit, target)
        tree = tree.above if sign > 0 else tree.below if sign < 0 else tree.at
    return math.nan if tree is None else sample_sign(tree, logit, target)


def sample_sign(about: Sum, logit: float, target: float) -> float:
    """A number of the sign that an expression has there, as far as float64 sees."""
    import numpy as np

    with np.errstate(all="ignore"):
        return float(evaluated(about, _Plain(), np.float64(logit), target))


class _Plain:
    """The arithmetic of formulas in float64, without bounds."""

    select = None  # numpy has a function of that name

    def number(self, value: float) -> float:
        return value

    def __getattr__(self, name: str) -> Any:
        import numpy as np

        return getattr(np, name)

    def softplus(self, x: Any) -> Any:
        import numpy as np

        return np.logaddexp(0.0, x)

    def sigmoid(self, x: Any) -> Any:
        import numpy as np

        return np.exp(-np.logaddexp(0.0, -x))

    def tanh_half(self, x: Any) -> Any:
        import numpy as np

        return np.tanh(x / 2)
