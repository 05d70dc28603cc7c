"""The engine of a sampled sweep: outcomes at the sample, and the exact float where each of them begins and ends."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from losscheck.measure.effect_stream import EFFECT, EFFECT_KEPT
from losscheck.measure.engine import Engine, check, judge_all, summarise_stream
from losscheck.measure.reference import Judged
from losscheck.measure.refusals import SEGMENTED, Returned
from losscheck.measure.summary import Summary, segments_of
from losscheck.points.grid import decode_ordinals

__all__ = ["SampleEngine"]

CHECKED = 128  # points of a sample that are checked against the exact oracle, evenly spread over it
STEPS = 3  # halvings between two calls: a call costs more than the seven points that three of them may meet


class SampleEngine(Engine):
    """Judges the sample, and moves the ends of its segments to the exact floats by bisection."""

    def scan(self, first: int, last: int) -> dict[str, Summary]:
        """The summaries of the whole sample, wherever a stretch begins and ends."""
        import numpy as np

        sample = self.grid.sample
        assert sample is not None
        ordinals = np.array(sample, np.int64)
        logits, results, returned = self.values(ordinals)
        self.begin()
        edges = []
        checked = np.unique(np.linspace(0, len(sample) - 1, CHECKED).astype(np.int64))
        found = judge_all(np, self.streams, self.effects, logits, results, returned.refused)
        for quantity, judged in found.items():
            summary = self.totals[quantity] = summarise_stream(np, quantity, judged, ordinals, results, self.cells)
            summary.refusal = returned.reason
            if quantity in self.streams:
                some = Judged(judged.codes[checked], judged.ulps[checked])
                check(summary, self.streams[quantity], logits[checked], results[quantity][checked], some)
            edges += _edges(quantity, judged.codes, sample)
        _bisect(edges, self.codes)
        for quantity, summary in self.totals.items():
            mine = [edge for edge in edges if edge.quantity == quantity]
            summary.segments = _segments(found[quantity].codes, sample, mine, EFFECT_KEPT if quantity == EFFECT else SEGMENTED)
        return self.end()

    def values(self, ordinals: Any) -> tuple[Any, dict[str, Any], Returned]:
        """Logits and results at any ordinals, and what was returned."""
        import numpy as np

        logits = decode_ordinals(self.grid.dtype, ordinals)
        returned = Returned(*self.call(logits))
        return logits.astype(np.float64), self.results(returned), returned

    def codes(self, quantities: Collection[str], ordinals: list[int]) -> dict[str, list[int]]:
        """The codes of some quantities, or of the effects, at some ordinals; the implementation is called once for all."""
        import numpy as np

        logits, results, returned = self.values(np.array(ordinals, np.int64))
        effects = self.effects if EFFECT in quantities else None
        streams = {name: stream for name, stream in self.streams.items() if effects or name in quantities}
        asked = {name: values for name, values in results.items() if name in streams}
        judged = judge_all(np, streams, effects, logits, asked, returned.refused)
        return {quantity: judged[quantity].codes.tolist() for quantity in quantities}


@dataclass
class _Edge:
    """Where a code ends: a float inside it, one outside of it, and between them what is not known yet."""

    quantity: str
    code: int
    inside: int
    outside: int

    @property
    def open(self) -> bool:
        return abs(self.outside - self.inside) > 1

    def narrow(self, code_at: Mapping[int, int]) -> None:
        """Halve as often as the codes that are known allow."""
        while self.open and (middle := (self.inside + self.outside) // 2) in code_at:
            if code_at[middle] == self.code:
                self.inside = middle
            else:
                self.outside = middle


def _edges(quantity: str, codes: Any, sample: tuple[int, ...]) -> list[_Edge]:
    """Between unlike neighbours of the sample two edges: where the first code ends and where the second begins."""
    edges = []
    for n in range(1, len(sample)):
        if codes[n] != codes[n - 1]:
            edges.append(_Edge(quantity, int(codes[n - 1]), sample[n - 1], sample[n]))
            edges.append(_Edge(quantity, int(codes[n]), sample[n], sample[n - 1]))
    return edges


def _bisect(edges: Sequence[_Edge], codes_at: Callable[[Collection[str], list[int]], dict[str, list[int]]]) -> None:
    """Move each edge to the float where its code ends, all of them together and STEPS halvings at a time."""
    while unfinished := [edge for edge in edges if edge.open]:
        ordinals = sorted({middle for edge in unfinished for middle in _middles(edge.inside, edge.outside, STEPS)})
        codes = codes_at({edge.quantity for edge in unfinished}, ordinals)
        code_at = {quantity: dict(zip(ordinals, of_quantity, strict=True)) for quantity, of_quantity in codes.items()}
        for edge in unfinished:
            edge.narrow(code_at[edge.quantity])


def _middles(one_end: int, other_end: int, steps: int) -> list[int]:
    """Every float that so many halvings of a stretch may ask about."""
    ends, middles = [one_end, other_end], []
    for _ in range(steps):
        between = [(a + b) // 2 for a, b in itertools.pairwise(ends) if abs(a - b) > 1]
        if not between:
            break
        middles += between
        ends = sorted([*ends, *between])
    return middles


def _segments(codes: Any, sample: tuple[int, ...], edges: list[_Edge], kept: Collection[int]) -> dict[int, Any]:
    """Runs of the sample as segments, their ends moved to where bisection found them."""
    import numpy as np

    starts = [0, *(n for n in range(1, len(sample)) if codes[n] != codes[n - 1])]
    code_of = codes[starts]
    firsts = np.array([sample[0], *(edge.inside for edge in edges[1::2])])
    lasts = np.array([*(edge.inside for edge in edges[0::2]), sample[-1]])
    return {int(code): segments_of(firsts[code_of == code], lasts[code_of == code]) for code in np.unique(code_of) if code in kept}
