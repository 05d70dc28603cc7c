"""A stretch of floats evaluated, judged and summarised, block by block: by arrays, or by compiled code for millions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from losscheck.backends import Call
from losscheck.bulk.array_judge import BUCKETS, CODES, buckets
from losscheck.bulk.examine import UNDECIDED, Examiner
from losscheck.bulk.summary import WORST, Summary, Worst
from losscheck.grid import Grid

__all__ = ["CHECKED", "BlockScanner", "decode", "summarise"]

CHECKED = 512  # points of a whole sweep that are checked against the exact oracle, evenly spread over its ordinals
ARRAY_BLOCK = 2**16


def decode(grid: Grid, first: int, count: int) -> Any:
    """The floats from an ordinal on, as float32 (float64 for float64)."""
    import numpy as np

    if grid.dtype.bits == 64:
        return np.array([grid.dtype.from_ordinal(first + n) for n in range(count)], np.float64)
    ordinals = np.arange(first, first + count, dtype=np.int64)
    # A 16-bit float is the upper half of a float32 (bfloat16) or converts exactly (float16).
    bits = np.where(ordinals < 0, (-1 - ordinals) | (1 << (grid.dtype.bits - 1)), ordinals)
    if grid.dtype.name == "float16":
        return bits.astype(np.uint16).view(np.float16).astype(np.float32)
    if grid.dtype.name == "bfloat16":
        bits = bits << 16
    return bits.astype(np.uint32).view(np.float32)


def summarise(examiner: Examiner, ordinals: Any, logits: Any, values: Any, cells: Sequence[int]) -> Summary:
    """The summary of some points (numpy arrays, float64, in the order of their ordinals)."""
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
    where = np.searchsorted(cells, ordinals, side="right") - 1
    ulp_of, code_of = np.full(len(cells) - 1, -1.0), np.full(len(cells) - 1, len(CODES))
    np.maximum.at(ulp_of, where, size)
    np.minimum.at(code_of, where, codes)
    summary.profile_ulp, summary.profile_code = ulp_of.tolist(), code_of.tolist()
    return summary


def _add_runs(summary: Summary, codes: Any, ordinals: Any) -> None:
    import numpy as np

    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    ends = np.append(starts[1:], len(codes)) - 1
    for code in np.unique(codes):
        mine = codes[starts] == code
        summary.add_runs(int(code), zip(ordinals[starts[mine]].tolist(), ordinals[ends[mine]].tolist(), strict=True))


class BlockScanner:
    """Scans stretches of a grid with array operations, for each quantity asked."""

    def __init__(self, call: Call, examiners: Mapping[str, Examiner], grid: Grid) -> None:
        self.call = call
        self.examiners = examiners
        self.grid = grid
        self.cells = grid.cell_starts()
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

        logits = decode(self.grid, first, count)
        results = dict(zip(("loss", "grad"), self.call(logits), strict=True))
        ordinals = np.arange(first, first + count, dtype=np.int64)
        found = {}
        for quantity, examiner in self.examiners.items():
            values = results[quantity].astype(np.float64)
            found[quantity] = summarise(examiner, ordinals, logits.astype(np.float64), values, self.cells)
            self._check(found[quantity], examiner, first, logits, values)
        return found

    def _check(self, summary: Summary, examiner: Examiner, first: int, logits: Any, values: Any) -> None:
        """The filter's word against the oracle's, at every stride-th float of the range."""
        import numpy as np

        begin = -(first - self.grid.first) % self.stride
        chosen = np.arange(begin, len(values), self.stride)
        if not len(chosen):
            return
        codes, ulps = examiner.filtered(np, logits[chosen].astype(np.float64), values[chosen])
        for n, code, ulp in zip(chosen, codes, ulps, strict=True):
            right, exactly = examiner.settle(float(logits[n]), float(values[n]))
            summary.checked += 1
            if code != UNDECIDED and (code != right or buckets(np, ulp) != buckets(np, np.float64(exactly))):
                summary.wrong += 1
