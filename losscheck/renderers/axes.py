"""The axes of every picture of a sweep: where a logit stands, and which errors are worth a line, in ulp and in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from losscheck.core.dtypes import FORMATS

__all__ = ["LogitAxis", "UlpTick", "ulp_ticks"]

_PARTS = 8  # at most so many steps of a scale
_SHORTEST = 1e-300  # round steps of a shorter range are no float64


@dataclass(frozen=True)
class LogitAxis:
    """The logits from ``low`` to ``high``; where an end is infinite, their positions among the floats of the dtype.

    Floats thin out with their size: between two infinities a scale of logits would show the largest binade and nothing else.
    """

    low: float
    high: float
    dtype: str

    @property
    def linear(self) -> bool:
        return math.isfinite(self.high - self.low)

    @property
    def title(self) -> str:
        return "logit" if self.linear else "logit, evenly among the floats"

    def place(self, logit: float) -> float:
        """The logit itself, or its signed position among the floats, in binades from 0."""
        if self.linear:
            return logit
        dtype = FORMATS[self.dtype]
        return math.copysign(abs(dtype.ordinal(abs(logit))) / 2.0 ** (dtype.precision - 1), logit)

    def share(self, logit: float) -> float:
        """From 0 at the low end to 1 at the high one; what lies outside stands at the end."""
        low, high = self.place(self.low), self.place(self.high)
        return min(max((self.place(logit) - low) / (high - low), 0.0), 1.0) if high > low else 0.5

    def ticks(self) -> list[tuple[float, str]]:
        """Round logits with their text, from low to high; 0 among them where it is inside."""
        if not self.linear:
            chosen = [self.low, -1.0, 0.0, 1.0, self.high]
            return [(logit, f"{logit:g}") for logit in dict.fromkeys(chosen) if self.low <= logit <= self.high]
        if self.low == self.high:
            return [(self.low, f"{self.low:g}")]
        if self.high - self.low < _SHORTEST:
            return [(logit, f"{logit:g}") for logit in (self.low, self.high)]
        power = 10.0 ** math.floor(math.log10((self.high - self.low) / _PARTS))
        step = next(power * factor for factor in (1, 2, 5, 10) if (self.high - self.low) / (power * factor) <= _PARTS)
        numbers = range(math.ceil(self.low / step), math.floor(self.high / step) + 1)
        return [(number * step, f"{number * step:g}") for number in numbers]


@dataclass(frozen=True)
class UlpTick:
    """An error worth a line: its size, in figures, and what that means."""

    ulp: float
    figures: str
    words: str


def ulp_ticks(precision: int, limit: float) -> Sequence[UlpTick]:
    """From half an ulp upwards. Relative to a number of p bits, 2^p ulp are all of it."""
    whole = 2.0**precision
    ticks = [UlpTick(0.5, "½ ulp", "right"), UlpTick(0.01 * whole, _figures(0.01 * whole), "1 % off")]
    ticks += [UlpTick(whole, _figures(whole), "100 % off")]
    if 0.5 < limit < whole:
        ticks.append(UlpTick(limit, _figures(limit), "the limit"))
    return sorted(ticks, key=lambda tick: tick.ulp)


def _figures(ulp: float) -> str:
    return f"{ulp:.3g} ulp" if ulp < 1000 else f"{ulp:.1e} ulp".replace("e+0", "e")
