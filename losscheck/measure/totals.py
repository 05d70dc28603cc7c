"""What the blocks of one scan add up to: of a quantity, or of the effects."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

from losscheck.filter.classify import BUCKETS, CODES, NOT_FINITE
from losscheck.measure.effect_stream import EFFECT, EFFECT_KEPT, SOUND
from losscheck.measure.engine import Stream, check_sample
from losscheck.measure.reference import OK, Judged
from losscheck.measure.refusals import SEGMENTED
from losscheck.measure.summary import MOST_SEGMENTS, WORST, KeptPoint, Summary
from losscheck.points.grid import CELLS

__all__ = ["Totals", "bits_of_float", "merged"]

# The bucket of each exponent of a float32: 126 is that of [1/2, 1), 255 that of infinities and NaN.
_BUCKET_OF = [min(max(exponent - 125, 0), NOT_FINITE - 1) for exponent in range(255)] + [NOT_FINITE]
ROOM = 2 * MOST_SEGMENTS  # rows of runs that are gathered before they are joined


class Totals:
    """A summary in the making.

    Attributes:
        best: the code of what is as it should be; kept: those whose segments are.
        by_exponent: the histogram by the exponents of float32, in four parts; tops, codes: the profile's. The kernels fill them.
    """

    def __init__(self, name: str, stream: Stream | None, cells: Any, block: int) -> None:
        import numpy as np

        from losscheck.filter import block_kernels, size_kernels

        self.kernels, self.histogram_of = block_kernels, size_kernels.histogram_of
        self.name, self.stream, self.cells = name, stream, cells
        self.best, self.kept = (SOUND, EFFECT_KEPT) if name == EFFECT else (OK, SEGMENTED)
        self.counts = np.zeros(len(CODES), np.int64)
        self.by_exponent = np.zeros((4, 256), np.int64)
        self.tops, self.codes = np.full(CELLS, -1.0), np.full(CELLS, len(CODES))
        self.is_kept = np.array([code in self.kept for code in range(len(CODES))])
        self.segments, self.rows = np.empty((block + ROOM, 4), np.int64), 0
        self.positions, self.no_codes = np.empty(WORST, np.int64), np.empty(0, np.int8)
        self.total = Summary(by_severity=name == EFFECT)
        self.checks: list[tuple[Any, ...]] = []

    def looked(self, start: int, code: Any, size: Any) -> tuple[int, int, int]:
        """Count the sizes of what was judged float by float; the least and the greatest code, and the bits of the greatest size."""
        self.histogram_of(size, self.by_exponent)
        least, greatest, top = self.kernels.profiled(start, code, size, self.cells, self.tops, self.codes)
        return least, greatest, top

    def add(self, start: int, size: Any, code: Any, top: int, least: int, results: Mapping[str, Any]) -> None:
        """A block.

        Args:
            size: of every float, the bits of float32, or what makes them when they are wanted; top: the greatest.
            code: of every float, None where all are the best; least: of them.
        """
        import numpy as np

        if code is None:
            self.counts[self.best] += len(next(iter(results.values())))
        else:
            self._add_runs(start, code)
            for new in self.kept - set(self.total.first):
                if self.counts[new]:
                    at = int(np.argmax(code == new))
                    self.total.first[new] = self._kept_point(start, at, code, _made(size), results)
        self._add_worst(start, code, size, results, least, top)

    def to_check(self, logits: Any, values: Any, code: Any, size: Any, chosen: slice) -> None:
        """Points of the stratified sample, checked when the scan ends."""
        import numpy as np

        codes = np.full(len(logits[chosen]), self.best) if code is None else code[chosen].copy()
        self.checks.append((logits[chosen].astype(float), values[chosen].astype(float), codes, ulps_of(size[chosen])))

    def summary(self) -> Summary:
        import numpy as np

        total = self.total
        total.counts = self.counts.tolist()
        total.points = sum(total.counts)
        histogram = np.zeros(BUCKETS, np.int64)
        np.add.at(histogram, _BUCKET_OF, self.by_exponent.sum(axis=0))
        total.histogram = histogram.tolist()
        total.top = max(0.0, float(self.tops.max()))
        total.profile_ulp = self.tops.tolist()
        # A cell where nothing was looked at float by float has the best code everywhere.
        total.profile_code = np.where(self.tops >= 0, np.minimum(self.codes, self.best), self.codes).tolist()
        total.first = dict(sorted(total.first.items()))  # whatever the blocks were
        self._add_segments()
        if self.checks and self.stream:
            logits, values, codes, ulps = (np.concatenate(column) for column in zip(*self.checks, strict=True))
            check_sample(total, self.stream, logits, values, Judged(codes, ulps))
        return total

    def _add_runs(self, start: int, code: Any) -> None:
        """Where failing and sound floats interleave a block has thousands of runs: they are gathered, and joined rarely."""
        if self.rows > ROOM:
            self._add_segments()
        self.rows = self.kernels.runs_of(code, start, self.counts, self.is_kept, self.segments, self.rows)

    def _add_segments(self) -> None:
        import numpy as np

        rows = self.segments[: self.rows]
        of_code = {int(code): rows[rows[:, 0] == code, 1:] for code in np.unique(rows[:, 0])}
        self.total.add_segments([of_code])
        self.rows = 0

    def _add_worst(self, start: int, code: Any, size: Any, results: Mapping[str, Any], least: int, top: int) -> None:
        total = self.total
        floor = -1
        if len(total.worst) == WORST:
            last = total.worst[-1]
            if total.by_severity and least > last.code:
                return
            if not total.by_severity or least == last.code:
                floor = bits_of_float(last.size)
                if top <= floor:
                    return
        size = _made(size)
        chosen = self._candidates(code, size, least, floor)
        total.worst = total.the_worst([*total.worst, *(self._kept_point(start, int(n), code, size, results) for n in chosen)])

    def _candidates(self, code: Any, size: Any, least: int, floor: int) -> Any:
        """The positions of what may be among the worst, all of them greater than ``floor`` where that is one."""
        import numpy as np

        by_size = not self.total.by_severity or code is None
        count = self.kernels.worst_of(size, self.no_codes if by_size else code, -1 if by_size else least, floor, self.positions)
        if by_size or floor >= 0 or count == WORST:
            return self.positions[:count]
        # A block may hold few of its worst and more of the next.
        return np.lexsort((-size.astype(np.int64), code))[:WORST]

    def _kept_point(self, start: int, n: int, code: Any, size: Any, results: Mapping[str, Any]) -> KeptPoint:
        values = (float(results[name][n]) if name in results else None for name in ("loss", "grad"))
        return KeptPoint(start + n, self.best if code is None else int(code[n]), float(ulps_of(size[n : n + 1])[0]), *values)


def ulps_of(bits: Any) -> Any:
    """|ulp| as float64, from the bits of float32."""
    import numpy as np

    return bits.view(np.float32).astype(np.float64)


def bits_of_float(size: float) -> int:
    """The bits of the float32 nearest to a size."""
    try:
        return int(struct.unpack("i", struct.pack("f", size))[0])
    except OverflowError:
        return 0x7F800000


def merged(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges [begin, end) in order, those that touch or overlap as one."""
    found: list[tuple[int, int]] = []
    for begin, end in sorted(ranges):
        if found and begin <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((begin, end))
    return found


def _made(size: Any) -> Any:
    return size() if callable(size) else size
