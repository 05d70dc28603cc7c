"""Which logits a sweep covers: a range of floats, every one of them or a sample, and its division into cells."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from losscheck.core.dtypes import Format
from losscheck.core.errors import UserError

__all__ = ["CELLS", "SPACINGS", "Grid", "decode_ordinals", "exhaustive_grid", "sampled_grid"]

CELLS = 480  # of the profile over the range: the terminal's strip and the plot are read off it

MOST_SAMPLE = 10**7  # logits of a sample, which is a list in memory

SPACINGS = ("linear", "ulp", "both")


@dataclass(frozen=True)
class Grid:
    """The floats of a dtype from ordinal ``first`` to ``last``, both included; ``sample`` is sorted, None for all."""

    dtype: Format
    first: int
    last: int
    sample: tuple[int, ...] | None = None

    @property
    def exhaustive(self) -> bool:
        return self.sample is None

    @property
    def points(self) -> int:
        return self.last - self.first + 1 if self.sample is None else len(self.sample)

    @property
    def low(self) -> float:
        return self.dtype.from_ordinal(self.first)

    @property
    def high(self) -> float:
        return self.dtype.from_ordinal(self.last)

    @property
    def everything(self) -> bool:
        """Is every float there is in the range, infinities included?"""
        return self.exhaustive and math.isinf(self.low) and math.isinf(self.high)

    @property
    def cell_starts(self) -> list[int]:
        """The first ordinal of each of CELLS cells, and one past the end: equal steps in the logit where the range is
        finite, equal numbers of floats where it is not."""
        return _cell_starts(self.dtype, self.first, self.last)

    @property
    def cell_middles(self) -> list[float]:
        """The logit at the middle of each cell."""
        return _cell_middles(self.dtype, self.first, self.last)

    def some_logits(self, most: int) -> Any:
        """The sample, or up to ``most`` floats evenly spread over the range, as an array."""
        import numpy as np

        step = max(1, -(-self.points // most))
        ordinals = range(self.first, self.last + 1, step) if self.sample is None else self.sample
        return decode_ordinals(self.dtype, np.array(list(ordinals), dtype=object if self.dtype.bits == 64 else np.int64))


# One range is swept for every implementation and target, each with a grid of its own.
@functools.lru_cache(maxsize=64)
def _cell_starts(dtype: Format, first: int, last: int) -> list[int]:
    low, high = dtype.from_ordinal(first), dtype.from_ordinal(last)
    if math.isinf(high) or math.isinf(low) or math.isinf(high - low):
        span = last + 1 - first
        return [first + span * n // CELLS for n in range(CELLS + 1)]
    step = (high - low) / CELLS
    inner = [dtype.ordinal(dtype.round(low + n * step)) for n in range(1, CELLS)]
    return [first, *(min(max(start, first), last + 1) for start in inner), last + 1]


@functools.lru_cache(maxsize=64)
def _cell_middles(dtype: Format, first: int, last: int) -> list[float]:
    starts = _cell_starts(dtype, first, last)
    middles = [(a + max(b - 1, a)) // 2 for a, b in itertools.pairwise(starts)]
    return [dtype.from_ordinal(min(middle, last)) for middle in middles]


def exhaustive_grid(dtype: Format, low: float, high: float) -> Grid:
    """Every float of the dtype in [low, high].

    Raises:
        UserError: for float64, and for an empty range.
    """
    if dtype.bits > 32:
        raise UserError(
            f"{dtype.name} has 2^64 floats: an exhaustive sweep would take centuries",
            "leave --exhaustive away and use --points N, or take float32",
        )
    return Grid(dtype, *_ends(dtype, low, high))


def sampled_grid(dtype: Format, low: float, high: float, points: int, spacing: str, landmarks: Sequence[float]) -> Grid:
    """``points`` logits evenly spaced in value, in ordinals or (half of them each) both, and always the ends, +-0 and the
    landmarks with their neighbours, as far as they lie in the range.

    Raises:
        UserError: for an empty range, no points or more than MOST_SAMPLE.
    """
    if points < 1:
        raise UserError(f"--points {points} is no sample", "give at least 1")
    if points > MOST_SAMPLE:
        raise UserError(f"--points {points} is more than {MOST_SAMPLE}", "give fewer, or judge every float: --exhaustive")
    first, last = _ends(dtype, low, high)
    chosen = {first, last}
    share = points if spacing != "both" else (points + 1) // 2
    if spacing in ("ulp", "both"):
        chosen |= {first + (last - first) * n // max(share - 1, 1) for n in range(share)}
    if spacing in ("linear", "both"):
        lowest, highest = max(low, -dtype.largest), min(high, dtype.largest)
        for n in range(share):
            # Weighted ends instead of their difference, which overflows for the whole of float64.
            t = n / max(share - 1, 1)
            chosen.add(dtype.ordinal(dtype.round(lowest * (1 - t) + highest * t)))
    for mark in (0.0, -0.0, *landmarks):
        middle = dtype.ordinal(mark)
        chosen |= {middle - 1, middle, middle + 1}
    return Grid(dtype, first, last, tuple(sorted(ordinal for ordinal in chosen if first <= ordinal <= last)))


def _ends(dtype: Format, low: float, high: float) -> tuple[int, int]:
    if math.isnan(low) or math.isnan(high):
        raise UserError("a range cannot end in NaN", "NaN logits are counted by --exhaustive --range -inf inf")
    if not low <= high:
        raise UserError(f"the range {low:g} to {high:g} is reversed", f"write --range {high:g} {low:g}")
    first = dtype.ordinal(-0.0 if low == 0 else low)
    last = dtype.ordinal(0.0 if high == 0 else high)
    return first, last


def decode_ordinals(dtype: Format, ordinals: Any) -> Any:
    """The floats at some ordinals (an integer array), as float32 (float64 for float64)."""
    import numpy as np

    if dtype.bits == 64:
        wide = ordinals.astype(np.int64)
        return np.where(wide < 0, ~wide ^ np.int64(-(2**63)), wide).view(np.float64)
    # A 16-bit float is the upper half of a float32 (bfloat16) or converts exactly (float16).
    bits = np.where(ordinals < 0, (-1 - ordinals) | (1 << (dtype.bits - 1)), ordinals)
    if dtype.name == "float16":
        return bits.astype(np.uint16).view(np.float16).astype(np.float32)
    if dtype.name == "bfloat16":
        bits = bits << 16
    return bits.astype(np.uint32).view(np.float32)
