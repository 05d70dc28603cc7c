"""The result of many points as a summary that merges: blocks, processes, shards and machines all use this one merge."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from losscheck.core.outcome import FAILURES
from losscheck.filter.classify import BUCKETS, CODES
from losscheck.points.grid import CELLS

__all__ = ["FAILING", "MOST_BANDS", "WORST", "Band", "Summary", "Worst"]

WORST = 10
# Bands kept for each outcome: more than half the floats of a 16-bit dtype, whose regions are therefore always complete.
MOST_BANDS = 33000
FAILING = frozenset(n for n, outcome in enumerate(CODES) if outcome in FAILURES)


@dataclass
class Band:
    """Floats of one outcome from ordinal ``first`` to ``last``; ``points`` of them, all when it is a whole region."""

    first: int
    last: int
    points: int


@dataclass(frozen=True)
class Worst:
    """A bad case: its ordinal, what came out, and its ulp (as the filter saw it)."""

    ordinal: int
    value: float
    ulp: float

    @property
    def key(self) -> tuple[float, int]:
        """Sorts the worst first, ties by position: the same list whatever the order of merging."""
        size = abs(self.ulp)
        return (-math.inf if math.isnan(size) else -size, self.ordinal)


@dataclass
class Summary:
    """Counts of a stretch of ordinals; ``merge`` takes the stretch that follows it.

    Attributes:
        counts: points by outcome code; histogram: points by bucket of |ulp|.
        bands: for each failing code its bands, in order.
        gap: bands closer than this many floats were joined, because there were more than MOST_BANDS of them.
        worst: the WORST cases by |ulp|.
        profile_ulp, profile_code: for each of CELLS cells of the range the largest |ulp| and the severest code.
        settled: points that the exact oracle had to settle.
        checked, wrong: points of the stratified sample, and how many of them the filter had misjudged.
    """

    points: int = 0
    counts: list[int] = field(default_factory=lambda: [0] * len(CODES))
    histogram: list[int] = field(default_factory=lambda: [0] * BUCKETS)
    bands: dict[int, list[Band]] = field(default_factory=dict)
    gap: int = 0
    worst: list[Worst] = field(default_factory=list)
    profile_ulp: list[float] = field(default_factory=lambda: [-1.0] * CELLS)
    profile_code: list[int] = field(default_factory=lambda: [len(CODES)] * CELLS)
    settled: int = 0
    checked: int = 0
    wrong: int = 0

    def merge(self, after: Summary) -> Summary:
        """This stretch and the one after it. Associative."""
        merged = Summary(
            points=self.points + after.points,
            counts=_added(self.counts, after.counts),
            histogram=_added(self.histogram, after.histogram),
            gap=max(self.gap, after.gap),
            worst=sorted(self.worst + after.worst, key=lambda each: each.key)[:WORST],
            profile_ulp=[max(a, b) for a, b in zip(self.profile_ulp, after.profile_ulp, strict=True)],
            profile_code=[min(a, b) for a, b in zip(self.profile_code, after.profile_code, strict=True)],
            settled=self.settled + after.settled,
            checked=self.checked + after.checked,
            wrong=self.wrong + after.wrong,
        )
        for code in sorted(set(self.bands) | set(after.bands)):
            merged.bands[code] = _joined(self.bands.get(code, []) + after.bands.get(code, []), merged.gap)
        while any(len(bands) > MOST_BANDS for bands in merged.bands.values()):
            merged.gap = max(1, 2 * merged.gap)
            merged.bands = {code: _joined(bands, merged.gap) for code, bands in merged.bands.items()}
        return merged

    def add_runs(self, code: int, runs: Iterable[tuple[int, int]]) -> None:
        """Runs (first, last) of a code, in order."""
        if code in FAILING:
            self.bands.setdefault(code, []).extend(Band(first, last, last - first + 1) for first, last in runs)

    def to_json(self) -> dict[str, Any]:
        """Plain lists, for a state file."""
        return {
            **{name: getattr(self, name) for name in _PLAIN},
            "bands": {str(code): [[b.first, b.last, b.points] for b in bands] for code, bands in self.bands.items()},
            "worst": [[each.ordinal, each.value.hex(), each.ulp.hex()] for each in self.worst],
            "profile_ulp": [each.hex() for each in self.profile_ulp],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Summary:
        """The inverse of :meth:`to_json`; KeyError, TypeError or ValueError for anything else."""
        return cls(
            **{name: data[name] for name in _PLAIN},
            bands={int(code): [Band(*each) for each in bands] for code, bands in data["bands"].items()},
            worst=[Worst(ordinal, float.fromhex(value), float.fromhex(ulp)) for ordinal, value, ulp in data["worst"]],
            profile_ulp=[float.fromhex(each) for each in data["profile_ulp"]],
        )


_PLAIN = ("points", "counts", "histogram", "gap", "profile_code", "settled", "checked", "wrong")


def _added(a: Sequence[int], b: Sequence[int]) -> list[int]:
    return [x + y for x, y in zip(a, b, strict=True)]


def _joined(bands: list[Band], gap: int) -> list[Band]:
    """Neighbouring bands, and those with at most ``gap`` floats between them, as one."""
    result: list[Band] = []
    for band in bands:
        if result and band.first - result[-1].last <= gap + 1:
            last = result[-1]
            result[-1] = Band(last.first, band.last, last.points + band.points)
        else:
            result.append(band)
    return result
