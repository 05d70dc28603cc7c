"""A stretch of floats evaluated, judged and summarised, block by block: by arrays, or by compiled code for millions."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from losscheck.filter.classify import BUCKETS, CODES, buckets
from losscheck.measure.examine import UNDECIDED, Examiner
from losscheck.measure.summary import WORST, Summary, Worst
from losscheck.points.grid import Grid, decode_ordinals

__all__ = ["CHECKED", "BlockScanner", "summarise"]

CHECKED = 512  # points of a whole sweep that are checked against the exact oracle, evenly spread over its ordinals
ARRAY_BLOCK = 2**16


def summarise(examiner: Examiner, ordinals: Any, logits: Any, values: Any, cells: Sequence[int]) -> tuple[Summary, Any]:
    """The summary and the codes of some points (numpy arrays, float64, in the order of their ordinals)."""
    import numpy as np

    codes, ulps, settled = examiner.examine(logits, values)
    summary = Summary(points=len(codes), settled=settled)
    summary.counts = np.bincount(codes, minlength=len(CODES)).tolist()
    with np.errstate(all="ignore"):
        found = buckets(np, ulps)
    summary.histogram = np.bincount(found, minlength=BUCKETS).tolist()
    _add_runs(summary, codes, ordinals)
    size = np.where(np.isnan(ulps), np.inf, abs(ulps))
    worst = np.lexsort((ordinals, -size))[:WORST]
    summary.worst = sorted((Worst(int(ordinals[n]), float(values[n]), float(ulps[n])) for n in worst), key=lambda each: each.key)
    # The ordinals of float64 do not fit int64 arithmetic and come as Python integers.
    wide = ordinals.dtype == object
    where = np.array([bisect.bisect_right(cells, n) - 1 for n in ordinals] if wide else np.searchsorted(cells, ordinals, "right") - 1)
    ulp_of, code_of = np.full(len(cells) - 1, -1.0), np.full(len(cells) - 1, len(CODES))
    np.maximum.at(ulp_of, where, size)
    np.minimum.at(code_of, where, codes)
    summary.profile_ulp, summary.profile_code = ulp_of.tolist(), code_of.tolist()
    return summary, codes


def _add_runs(summary: Summary, codes: Any, ordinals: Any) -> None:
    import numpy as np

    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    ends = np.append(starts[1:], len(codes)) - 1
    for code in np.unique(codes):
        mine = codes[starts] == code
        summary.add_runs(int(code), zip(ordinals[starts[mine]].tolist(), ordinals[ends[mine]].tolist(), strict=True))


class BlockScanner:
    """Scans stretches of a grid with array operations, for each quantity asked."""

    def __init__(self, call: Callable[[Any], tuple[Any, Any]], examiners: Mapping[str, Examiner], grid: Grid) -> None:
        self.call = call
        self.examiners = examiners
        self.grid = grid
        self.cells = grid.cell_starts
        self.stride = max(1, grid.points // CHECKED)

    def scan(self, first: int, last: int) -> dict[str, Summary]:
        """The summaries of the floats from ordinal ``first`` to ``last``, both included."""
        total: dict[str, Summary] = {}
        for start in range(first, last + 1, ARRAY_BLOCK):
            count = min(ARRAY_BLOCK, last + 1 - start)
            for quantity, summary in self.block(start, count).items():
                total[quantity] = total[quantity].merge(summary) if quantity in total else summary
        return total

    def block(self, first: int, count: int) -> dict[str, Summary]:
        import numpy as np

        ordinals = np.arange(first, first + count, dtype=np.int64)
        logits = decode_ordinals(self.grid.dtype, ordinals)
        results = dict(zip(("loss", "grad"), self.call(logits), strict=True))
        found = {}
        for quantity, examiner in self.examiners.items():
            values = results[quantity].astype(np.float64)
            found[quantity], _ = summarise(examiner, ordinals, logits.astype(np.float64), values, self.cells)
            chosen = self.to_check(first, count)
            self.compare_with_oracle(found[quantity], examiner, logits[chosen], values[chosen])
        return found

    def to_check(self, first: int, count: int) -> slice:
        """Which of ``count`` floats from an ordinal on belong to the stratified sample: every stride-th of the range."""
        return slice(-(first - self.grid.first) % self.stride, count, self.stride)

    def compare_with_oracle(self, summary: Summary, examiner: Examiner, logits: Any, values: Any) -> None:
        """Count the points checked, and those where the filter decided and was wrong about outcome or bucket."""
        import numpy as np

        if not len(logits):
            return
        codes, ulps = examiner.filtered(np, logits.astype(np.float64), values)
        settled = [examiner.settle(float(x), float(y)) for x, y in zip(logits, values, strict=True)]
        right, exactly = np.array([code for code, _ in settled]), np.array([ulp for _, ulp in settled])
        with np.errstate(all="ignore"):
            differ = (codes != right) | (buckets(np, ulps) != buckets(np, exactly))
        summary.checked += len(settled)
        summary.wrong += int(((codes != UNDECIDED) & differ).sum())
