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
from losscheck.measure.totals import Totals, bits_of_float, merged
from losscheck.points.grid import CELLS

__all__ = ["OUTCOMES", "PieceClassifier", "found_nothing"]

OUTCOMES = tuple(CODE[outcome] for outcome in (Outcome.OK, Outcome.INACCURATE, Outcome.INF, Outcome.NAN))


class PieceClassifier:
    """Classifies one quantity, block by block.

    Attributes:
        code, size: of the floats of the block: outcomes where ``ranges`` say, and |ulp| as the bits of float32.
        codes: the outcomes of the whole block, None where all are OK.
        found: what :func:`found_nothing` names.
    """

    def __init__(self, name: str, stream: Stream, cells: Any, block: int) -> None:
        import numpy as np

        from losscheck.filter import polynomial_kernels
        from losscheck.filter.kernels import aligned

        self.name, self.stream, self.cells, self.block, self.kernels = name, stream, cells, block, polynomial_kernels
        self.code, self.size = aligned(block, np.int8), aligned(block, np.int32)
        self.codes: Any = None
        self.exact, self.bound, self.positions = np.empty(block), np.empty(block), np.empty(block, np.int64)
        self.rows = np.empty((block // 2 + 2, 2), np.int64), np.empty((block // 2 + 2, 2), np.int64)
        self.decider = Decider(stream.reference.limits)

    def begin(self) -> None:
        """Forget the scan before."""
        import numpy as np

        self.totals = Totals(self.name, self.stream, self.cells, self.block)
        self.errors = np.full(CELLS, -1.0)
        self.profile = self.cells, self.totals.tops, self.errors, self.totals.codes
        self.decider.done = 0

    def judge(self, first: int, logits: Any, values: Any, covered: list[tuple[int, int, Stretch]]) -> None:
        """Codes and sizes of what polynomials cover; ``ranges`` are what has codes, all else is OK."""
        totals, max_ulp = self.totals, self.stream.reference.max_ulp
        self.found = found_nothing()
        self.ranges: list[tuple[int, int]] = []
        self.uncounted: list[tuple[int, int]] = []  # parts of them
        for begin, end, stretch in covered:
            offset = first + begin - stretch.first
            ranged, opened, count = self.kernels.judge(
                values[begin:end],
                self.size[begin:end],
                self.code[begin:end],
                offset,
                first + begin,
                stretch.table,
                totals.by_exponent,
                *self.rows,
                self.positions,
                self.found,
                self.profile,
                OUTCOMES,
                max_ulp,
                True,
            )
            ranges, open_ranges = self.rows
            self.ranges += [(begin + a, begin + b) for a, b in ranges[:ranged].tolist()]
            self.uncounted += [(begin + a, begin + b) for a, b in open_ranges[:opened].tolist()]
            if count:
                self._decide(logits[begin:end], values[begin:end], begin, end, self.positions[:count], offset, stretch)

    def _decide(self, logits: Any, values: Any, begin: int, end: int, at: Any, offset: int, stretch: Stretch) -> None:
        """The outcomes that the pieces of a part of a block do not tell: from the polynomial's value, or by the oracle."""
        code, size = self.code[begin:end], self.size[begin:end]
        exact, bound = self.exact[: len(at)], self.bound[: len(at)]
        self.kernels.exact_at(at, offset, stretch.table, exact, bound)
        codes, sizes, wanted = code[at], size[at], values[at]
        self.decider(wanted, exact, bound, codes, sizes)
        self.settle(logits[at], wanted, codes, sizes)
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
        n, totals = len(logits), self.totals
        code, size = self.code[:n], self.size[:n]
        least, greatest, top = min(OK, int(self.found[4])), max(OK, int(self.found[5])), bits_of_float(self.found[0])
        for begin, end in self.uncounted:
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
    """What the kernels update: the greatest |ulp|, the greatest error, the exact range, the least and the greatest code."""
    import numpy as np

    return np.array((0.0, 0.0, math.inf, -math.inf, 127.0, -1.0))
