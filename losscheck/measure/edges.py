"""A sampled sweep of one row: outcomes at the sample, and the exact float where each of them begins and ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from losscheck.measure.examine import Examiner
from losscheck.measure.scan import summarise
from losscheck.measure.summary import Summary
from losscheck.points.grid import Grid, decode_ordinals

__all__ = ["scan_sample"]


def scan_sample(call: Callable[[Any], tuple[Any, Any]], examiners: Mapping[str, Examiner], grid: Grid) -> dict[str, Summary]:
    """The summaries of the sample, with the bands that bisection finds around its failures."""
    import numpy as np

    assert grid.sample is not None
    ordinals = np.array(grid.sample, dtype=object if grid.dtype.bits == 64 else np.int64)
    evaluate = _Evaluator(call, examiners, grid)
    logits, results = evaluate.values(ordinals)
    found, codes, edges = {}, {}, []
    for quantity, examiner in examiners.items():
        found[quantity], codes[quantity] = summarise(examiner, ordinals, logits, results[quantity], grid.cell_starts)
        edges += _edges(quantity, codes[quantity], grid.sample)
    _bisect(edges, evaluate.codes)
    for quantity, summary in found.items():
        summary.bands = {}
        _add_bands(summary, codes[quantity], grid.sample, [each for each in edges if each.quantity == quantity])
    return found


@dataclass
class _Edge:
    """Where an outcome ends: a float inside it, one outside of it, and between them what is not known yet."""

    quantity: str
    code: int
    inside: int
    outside: int

    @property
    def open(self) -> bool:
        return abs(self.outside - self.inside) > 1


class _Evaluator:
    """Values and outcomes at any ordinals."""

    def __init__(self, call: Callable[[Any], tuple[Any, Any]], examiners: Mapping[str, Examiner], grid: Grid) -> None:
        self.call, self.examiners, self.grid = call, examiners, grid

    def values(self, ordinals: Any) -> tuple[Any, dict[str, Any]]:
        import numpy as np

        logits = decode_ordinals(self.grid.dtype, ordinals)
        results = zip(("loss", "grad"), self.call(logits), strict=True)
        return logits.astype(np.float64), {quantity: values.astype(np.float64) for quantity, values in results if values is not None}

    def codes(self, edges: list[_Edge], ordinals: list[int]) -> list[int]:
        """The outcome at one ordinal for each edge; the implementation is called once for all."""
        import numpy as np

        logits, results = self.values(np.array(ordinals, dtype=object if self.grid.dtype.bits == 64 else np.int64))
        found = [0] * len(edges)
        for quantity, examiner in self.examiners.items():
            mine = [n for n, edge in enumerate(edges) if edge.quantity == quantity]
            if mine:
                codes, _, _ = examiner.examine(logits[mine], results[quantity][mine])
                for n, code in zip(mine, codes, strict=True):
                    found[n] = int(code)
        return found


def _edges(quantity: str, codes: Any, sample: tuple[int, ...]) -> list[_Edge]:
    """Between unlike neighbours of the sample two edges: where the first outcome ends and where the second begins."""
    edges = []
    for n in range(1, len(sample)):
        if codes[n] != codes[n - 1]:
            edges.append(_Edge(quantity, int(codes[n - 1]), sample[n - 1], sample[n]))
            edges.append(_Edge(quantity, int(codes[n]), sample[n], sample[n - 1]))
    return edges


def _bisect(edges: list[_Edge], code_at: Callable[[list[_Edge], list[int]], list[int]]) -> None:
    """Move each edge to the float where its outcome ends, all of them together: a step is one call of the implementation."""
    while unfinished := [edge for edge in edges if edge.open]:
        middles = [(edge.inside + edge.outside) // 2 for edge in unfinished]
        for edge, middle, code in zip(unfinished, middles, code_at(unfinished, middles), strict=True):
            if code == edge.code:
                edge.inside = middle
            else:
                edge.outside = middle


def _add_bands(summary: Summary, codes: Any, sample: tuple[int, ...], edges: list[_Edge]) -> None:
    """Runs of the sample as bands, their ends moved to where bisection found them."""
    starts = [0, *(n for n in range(1, len(sample)) if codes[n] != codes[n - 1])]
    firsts = [sample[0], *(edge.inside for edge in edges[1::2])]
    lasts = [*(edge.inside for edge in edges[0::2]), sample[-1]]
    for n, first, last in zip(starts, firsts, lasts, strict=True):
        summary.add_runs(int(codes[n]), [(first, last)])
