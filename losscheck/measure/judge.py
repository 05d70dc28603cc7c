"""One quantity judged block by block against the polynomials of its claim."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from losscheck.core.outcome import Outcome
from losscheck.filter.classify import CODE, UNDECIDED
from losscheck.filter.stretches import Stretch
from losscheck.measure.engine import Stream
from losscheck.measure.loops import Decider, bits_of
from losscheck.measure.reference import OK
from losscheck.measure.totals import Totals, merged
from losscheck.points.grid import CELLS

__all__ = ["Judge", "found_nothing"]

OUTCOMES = tuple(CODE[outcome] for outcome in (Outcome.OK, Outcome.INACCURATE, Outcome.INF, Outcome.NAN))


class Judge:
    """Judges one quantity, block by block."""

    def __init__(self, name: str, stream: Stream, cells: Any, block: int) -> None:
        import numpy as np

        from losscheck.filter import polynomial_kernels
        from losscheck.filter.kernels import aligned

        self.name, self.stream, self.cells, self.block, self.kernels = name, stream, cells, block, polynomial_kernels
        self.code, self.size = aligned(block, np.int8), aligned(block, np.int32)
        self.codes: Any = None  # of the block, None where all are OK
        self.exact, self.bound = np.empty(block), np.empty(block)
        self.tiles, self.positions = np.empty((block // 2 + 2, 2), np.int64), np.empty(block, np.int64)
        self.decider = Decider(stream.reference.limits)

    def begin(self) -> None:
        """Forget the scan before."""
        import numpy as np

        self.totals = Totals(self.name, self.stream, self.cells, self.block)
        self.errors = np.full(CELLS, -1.0)
        self.decider.done = 0

    def judge(self, first: int, logits: Any, values: Any, covered: list[tuple[int, int, Stretch]]) -> None:
        """Codes and sizes of what polynomials cover; ``ranges`` are what has codes, all else is OK."""
        totals = self.totals
        self.found = found_nothing()
        self.ranges: list[tuple[int, int]] = []
        again: list[tuple[int, int, Stretch]] = []
        for begin, end, stretch in covered:
            seen = self.kernels.judge(
                values[begin:end],
                self.size[begin:end],
                first + begin - stretch.first,
                first + begin,
                stretch.table,
                totals.histogram,
                self.tiles,
                self.found,
                self.cells,
                totals.tops,
                self.errors,
                True,
            )
            again += [(begin + a, begin + b, stretch) for a, b in self.tiles[:seen].tolist()]
        for begin, end, stretch in again:
            self._one_by_one(logits, values, begin, end, first + begin - stretch.first, stretch)
            self.ranges.append((begin, end))

    def _one_by_one(self, logits: Any, values: Any, begin: int, end: int, offset: int, stretch: Stretch) -> None:
        """Outcomes of a part of a block: what its pieces do not tell is decided from the polynomial's value, or by the oracle."""
        code, size = self.code[begin:end], self.size[begin:end]
        where = offset, stretch.table
        max_ulp = self.stream.reference.max_ulp
        count = self.kernels.outcomes(values[begin:end], size, code, *where, OUTCOMES, max_ulp, self.positions)
        if not count:
            return
        at, exact, bound = self.positions[:count], self.exact[:count], self.bound[:count]
        self.kernels.exact_at(at, *where, exact, bound)
        codes, sizes, wanted = code[at], size[at], values[begin:end][at]
        self.decider(wanted, exact, bound, codes, sizes)
        self.settle(logits[begin:end][at], wanted, codes, sizes)
        code[at], size[at] = codes, sizes

    def settle(self, logits: Any, values: Any, code: Any, size: Any) -> Any:
        """Ask the oracle about what the filter left open; the positions of that."""
        import numpy as np

        stream = self.stream
        undecided = np.flatnonzero(code == UNDECIDED)
        if len(undecided):
            points = zip(logits[undecided].tolist(), values[undecided].tolist(), strict=True)
            settled = [stream.reference.outcome(stream.claim, x, stream.target, value) for x, value in points]
            code[undecided] = [outcome for outcome, _ in settled]
            size[undecided] = bits_of(np.array([ulp for _, ulp in settled]))
            self.totals.total.settled += len(undecided)
        return undecided

    def add(self, first: int, logits: Any, results: Mapping[str, Any], chosen: slice) -> None:
        """Count a judged block; ``chosen`` belong to the stratified sample."""
        import numpy as np

        n, totals = len(logits), self.totals
        code, size = self.code[:n], self.size[:n]
        least, greatest, top = OK, OK, int(np.float32(self.found[0]).view(np.int32))
        for begin, end in self.ranges:
            low, high, most = totals.looked(first + begin, code[begin:end], size[begin:end])
            least, greatest, top = min(least, low), max(greatest, high), max(top, most)
        self.codes = None
        if least != OK or greatest != OK:
            self.codes = code
            at = 0
            for begin, end in [*merged(self.ranges), (n, n)]:
                code[at:begin] = OK
                at = end
        totals.add(first, size, self.codes, top, least, results)
        if chosen.start < n:
            totals.to_check(logits, results[self.name], self.codes, size, chosen)


def found_nothing() -> Any:
    """What the kernels update: the greatest |ulp| of what is sound, the greatest error, the exact range."""
    import numpy as np

    return np.array([0.0, 0.0, math.inf, -math.inf])
