"""Plain floats as the arithmetic of a formula, with the guards that people build into probabilities and logarithms."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from losscheck.core.dtypes import FLOAT64, Format

__all__ = ["NO_GUARD", "Guard", "PlainArithmetic", "Reach"]


@dataclass(frozen=True)
class Guard:
    """A guard: ``eps`` is added inside each log; ``clamp`` holds p in [size, 1 - size], ``log-clamp`` only inside the logs;
    ``floor`` holds each log above -size; ``logit-clamp`` holds the logit in [-size, size]."""

    kind: str = ""
    size: float = 0.0

    @property
    def words(self) -> str:
        """What it does, and from which logit on it shows."""
        beyond = f"{-math.log(self.size):.4g}" if 0 < self.size < 1 else f"{self.size:g}"
        return {
            "eps": f"eps={self.size:.3g} is added inside the logarithms: no loss is above {beyond}, and small ones are off by about eps",
            "clamp": f"the probability is clamped to [{self.size:.3g}, 1 - {self.size:.3g}]: beyond logit +-{beyond} the loss is constant "
            "and the gradient 0",
            "log-clamp": f"the probability is held above {self.size:.3g} inside the logarithms: no loss is above {beyond}, "
            "and beyond that logit the gradient is 0",
            "floor": f"each logarithm is held above -{beyond}: beyond that logit the loss is constant",
            "logit-clamp": f"the logit is clamped to +-{beyond}: beyond it the loss is constant and the gradient 0",
        }[self.kind]

    @property
    def shows_from(self) -> float:
        """How far from 0 the argument of a probability has to be for it to make a difference; inf where it never does."""
        if self.kind in ("clamp", "log-clamp"):
            return math.log1p(-self.size) - math.log(self.size)
        if self.kind == "floor":
            return self.size + math.log(-math.expm1(-self.size))
        return {"": math.inf, "eps": 0.0, "logit-clamp": self.size}[self.kind]


NO_GUARD = Guard()


class PlainArithmetic:
    """Float64 without a bound. Right to about 1e-14 at the logits it is used for; no oracle."""

    dtype: Format = FLOAT64

    def __init__(self, guard: Guard = NO_GUARD, naive: Format | None = None, logit: float = 0.0) -> None:
        """``naive``: the format in which code that takes logarithms of probabilities rounds p = s(logit), 1 - p and the bounds of a
        guard; None for a guard taken exactly."""
        self.guard, self.naive, self.logit = guard, naive, logit

    def number(self, value: float) -> float:
        return float(value)

    def rounded(self, value: float, dtype: Format | None = None) -> float:
        return (dtype or self.dtype).round(value)

    def as_float(self, x: Any) -> float:
        return float(x)

    def exp(self, x: float) -> float:
        return math.exp(x)

    def log(self, x: float) -> float:
        return math.log(x)

    def log1p(self, x: float) -> float:
        return math.log1p(x)

    def softplus(self, x: float) -> float:
        """-log of the probability sigmoid(-x), which is what the guards guard."""
        if self.naive:
            return -self._logarithm(self._probability(-x))
        kind, size = self.guard.kind, self.guard.size
        if kind == "eps":
            return -math.log(_sigmoid(-x) + size)
        if kind in ("clamp", "log-clamp") and (_sigmoid(-x) < size or (kind == "clamp" and _sigmoid(x) < size)):
            return -math.log(size) if x > 0 else -math.log1p(-size)
        exact = max(x, 0.0) + math.log1p(math.exp(-abs(x)))
        return min(exact, size) if kind == "floor" else exact

    def sigmoid(self, x: float) -> float:
        if self.naive:
            return self._probability(x)
        s = _sigmoid(x)
        return min(max(s, self.guard.size), 1 - self.guard.size) if self.guard.kind == "clamp" else s

    def _probability(self, x: float) -> float:
        """s(x) where code has it: p at the logit, 1 - p at its negative, p held by a clamp before."""
        assert self.naive is not None
        p, size = self.naive.round(_sigmoid(self.logit)), self.guard.size
        if self.guard.kind == "clamp":
            p = min(max(p, self.naive.round(size)), self.naive.round(1 - size))
        return p if x == self.logit else self.naive.round(1 - p)

    def _logarithm(self, p: float) -> float:
        kind, size = self.guard.kind, self.guard.size
        if kind == "eps" and self.naive:
            p = self.naive.round(p + size)
        if kind == "log-clamp":
            p = max(p, size)
        value = math.log(p) if p else -math.inf
        return max(value, -size) if kind == "floor" else value

    def tanh_half(self, x: float) -> float:
        return math.tanh(x / 2)

    def power(self, base: float, exponent: float) -> float:
        return float(base**exponent)

    def minimum(self, a: float, b: float) -> float:
        return min(a, b)

    def detach(self, x: float) -> float:
        return x

    def maximum(self, a: float, b: float) -> float:
        return max(a, b)

    def enclosure(self, x: float) -> None:
        """It encloses nothing."""


class Reach(PlainArithmetic):
    """The same without a guard, that remembers how far from 0 the arguments of its probabilities were: there a guard would show."""

    def __init__(self, logit: float) -> None:
        super().__init__(logit=logit)
        self.furthest = abs(logit)

    def softplus(self, x: float) -> float:
        self.furthest = max(self.furthest, abs(x))
        return super().softplus(x)

    def sigmoid(self, x: float) -> float:
        self.furthest = max(self.furthest, abs(x))
        return super().sigmoid(x)


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > 0 else math.exp(x) / (1 + math.exp(x))
