"""The engine of a sampled sweep: outcomes at the sample, and the exact float where each of them begins and ends."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from losscheck.filter.classify import FAILING
from losscheck.measure.effect_stream import EFFECT, EFFECT_KEPT
from losscheck.measure.engine import CHECKED, Engine, check, judge_all, summarise_stream
from losscheck.measure.reference import Judged
from losscheck.measure.summary import Summary, segments_of
from losscheck.points.grid import decode_ordinals

__all__ = ["SampleEngine"]


class SampleEngine(Engine):
    """Judges the sample, and moves the ends of its segments to the exact floats by bisection."""

    def scan(self, first: int, last: int) -> dict[str, Summary]:
        """The summaries of the whole sample, wherever a stretch begins and ends."""
        import numpy as np

        sample = self.grid.sample
        assert sample is not None
        ordinals = np.array(sample, np.int64)
        logits, results = self.values(ordinals)
        self.begin()
        edges = []
        checked = np.unique(np.linspace(0, len(sample) - 1, CHECKED).astype(np.int64))
        found = judge_all(np, self.streams, self.effects, logits, results)
        for quantity, judged in found.items():
            summary = self.totals[quantity] = summarise_stream(np, quantity, judged, ordinals, results, self.cells)
            if quantity in self.streams:
                some = Judged(judged.codes[checked], judged.ulps[checked])
                check(summary, self.streams[quantity], logits[checked], results[quantity][checked], some)
            edges += _edges(quantity, judged.codes, sample)
        _bisect(edges, self.codes)
        for quantity, summary in self.totals.items():
            mine = [edge for edge in edges if edge.quantity == quantity]
            summary.segments = _segments(found[quantity].codes, sample, mine, EFFECT_KEPT if quantity == EFFECT else FAILING)
        return self.end()

    def values(self, ordinals: Any) -> tuple[Any, dict[str, Any]]:
        """Logits and results at any ordinals."""
        import numpy as np

        logits = decode_ordinals(self.grid.dtype, ordinals)
        return logits.astype(np.float64), self.results(self.call(logits))

    def codes(self, edges: list[_Edge], ordinals: list[int]) -> list[int]:
        """The code at one ordinal for each edge; the implementation is called once for all."""
        import numpy as np

        logits, results = self.values(np.array(ordinals, np.int64))
        found = np.zeros(len(edges), np.int64)
        for quantity in self.totals:
            mine = np.flatnonzero([edge.quantity == quantity for edge in edges])
            if len(mine):
                streams = self.streams if quantity == EFFECT else {quantity: self.streams[quantity]}
                some = {name: results[name][mine] for name in streams}
                judged = judge_all(np, streams, self.effects if quantity == EFFECT else None, logits[mine], some)
                found[mine] = judged[quantity].codes
        return found.tolist()


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


def _edges(quantity: str, codes: Any, sample: tuple[int, ...]) -> list[_Edge]:
    """Between unlike neighbours of the sample two edges: where the first code ends and where the second begins."""
    edges = []
    for n in range(1, len(sample)):
        if codes[n] != codes[n - 1]:
            edges.append(_Edge(quantity, int(codes[n - 1]), sample[n - 1], sample[n]))
            edges.append(_Edge(quantity, int(codes[n]), sample[n], sample[n - 1]))
    return edges


def _bisect(edges: list[_Edge], code_at: Callable[[list[_Edge], list[int]], list[int]]) -> None:
    """Move each edge to the float where its code ends, all of them together: a step is one call of the implementation."""
    while unfinished := [edge for edge in edges if edge.open]:
        middles = [(edge.inside + edge.outside) // 2 for edge in unfinished]
        for edge, middle, code in zip(unfinished, middles, code_at(unfinished, middles), strict=True):
            if code == edge.code:
                edge.inside = middle
            else:
                edge.outside = middle


def _segments(codes: Any, sample: tuple[int, ...], edges: list[_Edge], kept: Collection[int]) -> dict[int, Any]:
    """Runs of the sample as segments, their ends moved to where bisection found them."""
    import numpy as np

    starts = [0, *(n for n in range(1, len(sample)) if codes[n] != codes[n - 1])]
    code_of = codes[starts]
    firsts = np.array([sample[0], *(edge.inside for edge in edges[1::2])])
    lasts = np.array([*(edge.inside for edge in edges[0::2]), sample[-1]])
    return {int(code): segments_of(firsts[code_of == code], lasts[code_of == code]) for code in np.unique(code_of) if code in kept}
