"""The engine of a sampled sweep: outcomes at the sample, and the exact float where each of them begins and ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from losscheck.backends.blocks import LANES
from losscheck.filter.classify import FAILING
from losscheck.measure.engine import CHECKED, Engine, check, judge
from losscheck.measure.reference import Judged
from losscheck.measure.summary import Summary, segments_of, summarise
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
        codes, edges = {}, []
        checked = np.unique(np.linspace(0, len(sample) - 1, CHECKED).astype(np.int64))
        for quantity, stream in self.streams.items():
            values = results[quantity == "grad"]
            judged = judge(np, stream, logits, values)
            summary = self.totals[quantity] = summarise(np, judged, ordinals, results, cells=self.cells)
            check(summary, stream, logits[checked], values[checked], Judged(judged.codes[checked], judged.ulps[checked]))
            codes[quantity] = judged.codes
            edges += _edges(quantity, judged.codes, sample)
        _bisect(edges, self.codes)
        for quantity, summary in self.totals.items():
            summary.segments = _segments(codes[quantity], sample, [edge for edge in edges if edge.quantity == quantity])
        return self.end()

    def values(self, ordinals: Any) -> tuple[Any, tuple[Any, Any]]:
        """Logits and results at any ordinals; padded to whole vectors, so that every point goes through the same code."""
        import numpy as np

        count = len(ordinals)
        logits = decode_ordinals(self.grid.dtype, ordinals)
        loss, grad = self.call(np.concatenate([logits, np.repeat(logits[-1:], -count % LANES)]))
        wide = [None if result is None else result[:count].astype(np.float64) for result in (loss, grad)]
        return logits.astype(np.float64), (wide[0], wide[1])

    def codes(self, edges: list[_Edge], ordinals: list[int]) -> list[int]:
        """The code at one ordinal for each edge; the implementation is called once for all."""
        import numpy as np

        logits, results = self.values(np.array(ordinals, np.int64))
        found = np.zeros(len(edges), np.int64)
        for quantity, stream in self.streams.items():
            mine = np.flatnonzero([edge.quantity == quantity for edge in edges])
            if len(mine):
                found[mine] = judge(np, stream, logits[mine], results[quantity == "grad"][mine]).codes
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


def _segments(codes: Any, sample: tuple[int, ...], edges: list[_Edge]) -> dict[int, Any]:
    """Runs of the sample as segments, their ends moved to where bisection found them."""
    import numpy as np

    starts = [0, *(n for n in range(1, len(sample)) if codes[n] != codes[n - 1])]
    code_of = codes[starts]
    firsts = np.array([sample[0], *(edge.inside for edge in edges[1::2])])
    lasts = np.array([*(edge.inside for edge in edges[0::2]), sample[-1]])
    return {int(code): segments_of(firsts[code_of == code], lasts[code_of == code]) for code in np.unique(code_of) if code in FAILING}
