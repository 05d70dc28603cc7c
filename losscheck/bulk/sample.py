"""A sampled sweep of one row: outcomes at the sample, and the exact float where each of them begins and ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from losscheck.backends import Call
from losscheck.bulk.examine import Examiner
from losscheck.bulk.scan import decode_ordinals, summarise
from losscheck.bulk.summary import Band, Summary
from losscheck.grid import Grid

__all__ = ["scan_sample"]

LANES = 64


def scan_sample(call: Call, examiners: Mapping[str, Examiner], grid: Grid) -> dict[str, Summary]:
    """The summaries of the sample, with the bands that bisection finds around its failures."""
    import numpy as np

    assert grid.sample is not None
    ordinals = np.array(grid.sample, dtype=object if grid.dtype.bits == 64 else np.int64)
    cells = grid.cell_starts()
    evaluate = _Evaluator(call, examiners, grid)
    logits, results = evaluate.values(ordinals)
    found = {}
    for quantity, examiner in examiners.items():
        summary = summarise(examiner, ordinals, logits, results[quantity], cells)
        summary.bands = {}
        codes, _, _ = examiner.examine(logits, results[quantity])
        _add_bands(summary, codes, grid.sample, lambda at, q=quantity: evaluate.codes(at, q))
        found[quantity] = summary
    return found


class _Evaluator:
    """Values and outcomes at any ordinals; padded to whole vectors, so that every point goes through the same code."""

    def __init__(self, call: Call, examiners: Mapping[str, Examiner], grid: Grid) -> None:
        self.call, self.examiners, self.grid = call, examiners, grid

    def values(self, ordinals: Any) -> tuple[Any, dict[str, Any]]:
        import numpy as np

        count = len(ordinals)
        logits = decode_ordinals(self.grid.dtype, ordinals)
        padded = np.concatenate([logits, np.repeat(logits[-1:], -count % LANES)])
        results = zip(("loss", "grad"), self.call(padded), strict=True)
        return logits.astype(np.float64), {q: v[:count].astype(np.float64) for q, v in results if v is not None}

    def codes(self, ordinals: list[int], quantity: str) -> list[int]:
        import numpy as np

        logits, results = self.values(np.array(ordinals, dtype=object if self.grid.dtype.bits == 64 else np.int64))
        codes, _, _ = self.examiners[quantity].examine(logits, results[quantity])
        return [int(each) for each in codes]


def _add_bands(summary: Summary, codes: Any, sample: tuple[int, ...], code_at: Callable[[list[int]], list[int]]) -> None:
    """Runs of the sample as bands, their ends moved to the exact float by bisection between unlike neighbours."""
    starts = [0, *(n for n in range(1, len(sample)) if codes[n] != codes[n - 1])]
    edges = [(sample[n - 1], sample[n], int(codes[n - 1]), int(codes[n])) for n in starts[1:]]
    ends = _bisect([(low, high, code) for low, high, code, _ in edges], code_at, upwards=True)
    begins = _bisect([(low, high, code) for low, high, _, code in edges], code_at, upwards=False)
    firsts, lasts = [sample[0], *begins], [*ends, sample[-1]]
    for n, first, last in zip(starts, firsts, lasts, strict=True):
        summary.add_runs(int(codes[n]), [(first, last)])
    for code, bands in summary.bands.items():
        summary.bands[code] = [Band(each.first, each.last, each.last - each.first + 1) for each in bands]


def _bisect(edges: list[tuple[int, int, int]], code_at: Callable[[list[int]], list[int]], *, upwards: bool) -> list[int]:
    """For each (low, high, code): the last float from low upwards, or the first from high downwards, of that code.

    All edges are halved together, so that a step is one call of the implementation however many there are.
    """
    inside = [low if upwards else high for low, high, _ in edges]
    outside = [high if upwards else low for low, high, _ in edges]
    while open_edges := [n for n in range(len(edges)) if abs(outside[n] - inside[n]) > 1]:
        middles = [(inside[n] + outside[n]) // 2 for n in open_edges]
        for n, middle, code in zip(open_edges, middles, code_at(middles), strict=True):
            if code == edges[n][2]:
                inside[n] = middle
            else:
                outside[n] = middle
    return inside
