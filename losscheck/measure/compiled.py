"""The scanner for hundreds of millions of float32 numbers on the CPU: compiled filter, judgement and counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from losscheck.filter.classify import BUCKETS, CODES
from losscheck.filter.codegen import compile_filter, trace
from losscheck.measure.examine import UNDECIDED, Examiner
from losscheck.measure.scan import BlockScanner
from losscheck.measure.summary import FAILING, MOST_BANDS, WORST, Band, Summary, Worst
from losscheck.points.grid import Grid

__all__ = ["WORTHWHILE", "CompiledScanner"]

# Compiling one formula takes a second or two: as long as arrays take for this many points.
WORTHWHILE = 2**22
BLOCK = 2**15  # its buffers fit the second-level cache


class CompiledScanner(BlockScanner):
    """Like its base, one block of BLOCK floats at a time."""

    def __init__(self, call: Callable[[Any], tuple[Any, Any]], examiners: Mapping[str, Examiner], grid: Grid) -> None:
        """Raises NoFilterError where a formula cannot be traced, ImportError without numba."""
        super().__init__(call, examiners, grid)
        from losscheck.filter import kernels

        self.kernels = kernels
        self.judges = {
            quantity: compile_filter(trace(each.formula, each.target, each.params, each.dtype, each.differentiate))
            for quantity, each in examiners.items()
        }
        self.buffers = {quantity: kernels.Block(BLOCK, BUCKETS, len(CODES)) for quantity in examiners}

    def scan(self, first: int, last: int) -> dict[str, Summary]:
        import numpy as np

        tallies = {quantity: _Tally(self, quantity) for quantity in self.examiners}
        logits = np.empty(BLOCK, np.float32)
        for start in range(first, last + 1, BLOCK):
            count = min(BLOCK, last + 1 - start)
            x = logits[:count]
            self.kernels.decode(start, x)
            results = dict(zip(("loss", "grad"), self.call(x), strict=True))
            for quantity, tally in tallies.items():
                tally.add(start, x, results[quantity])
        return {quantity: tally.summary() for quantity, tally in tallies.items()}


class _Tally:
    """What the blocks of one stretch and quantity add up to."""

    def __init__(self, scanner: CompiledScanner, quantity: str) -> None:
        self.scanner = scanner
        self.kernels = scanner.kernels
        self.examiner = scanner.examiners[quantity]
        limits = self.examiner.limits
        self.limits = (limits.precision, limits.emin, limits.half_least, limits.normal, limits.overflow, limits.max_ulp)
        self.judge = scanner.judges[quantity]
        self.block = scanner.buffers[quantity]
        self.block.counts[:] = 0
        self.block.histogram[:] = 0
        self.total = Summary()
        self.floor = -1  # the bits of the least |ulp| among the worst so far
        self.cell = 0
        self.parts: dict[int, list[Any]] = {}
        self.pending = 0
        self.checks: list[tuple[Any, Any]] = []

    def add(self, start: int, logits: Any, values: Any) -> None:
        import numpy as np

        block, n = self.block, len(logits)
        code, size = block.code[:n], block.size[:n]
        self.judge(logits, values, code, size, *self.limits)
        least, greatest, top = self.kernels.extremes(code, size)
        if least <= UNDECIDED <= greatest:
            self._settle(code, size, logits, values)
            least, greatest, top = self.kernels.extremes(code, size)
        self.kernels.histogram_of(size, block.histogram)
        if least == greatest:
            block.counts[least] += n
            if least in FAILING:
                self._add_bands(int(least), np.array([start]), np.array([start + n - 1]))
        else:
            self._add_runs(start, n)
        if top > self.floor:
            self._add_worst(start, size, values)
        self._profile(start, n, code, size, least, top)
        chosen = self.scanner.to_check(start, n)
        if chosen.start < n:
            self.checks.append((logits[chosen].copy(), values[chosen].astype("float64")))

    def summary(self) -> Summary:
        import numpy as np

        self.total.counts = [int(each) for each in self.block.counts]
        self.total.points = sum(self.total.counts)
        self.total.histogram = [int(each) for each in self.block.histogram.sum(axis=0)]
        self._flush_runs()
        if self.checks:
            logits, values = (np.concatenate(each) for each in zip(*self.checks, strict=True))
            self.scanner.compare_with_oracle(self.total, self.examiner, logits, values)
        return self.total

    def _settle(self, code: Any, size: Any, logits: Any, values: Any) -> None:
        import numpy as np

        for n in np.flatnonzero(code == UNDECIDED):
            code[n], ulp = self.examiner.settle(float(logits[n]), float(values[n]))
            size[n] = np.float32(self.kernels.narrowed(abs(ulp))).view(np.int32)
            self.total.settled += 1

    def _add_runs(self, start: int, n: int) -> None:
        import numpy as np

        block = self.block
        count = self.kernels.runs_of(block.code[:n], block.counts, block.run_start, block.run_code)
        begins, codes = block.run_start[:count], block.run_code[:count]
        ends = np.append(begins[1:], n) - 1
        for code in FAILING:
            mine = codes == code
            if mine.any():
                self._add_bands(code, start + begins[mine], start + ends[mine])

    def _add_bands(self, code: int, first: Any, last: Any) -> None:
        """Whole arrays of runs: where failing and sound floats interleave a block has thousands of them."""
        self.parts.setdefault(code, []).append((first, last, last - first + 1))
        self.pending += len(first)
        if self.pending > 8 * MOST_BANDS:
            self._compact()

    def _compact(self) -> None:
        """Join what touches, and close bands too when there are more than can be kept; the rule of Summary.merge."""
        import numpy as np

        joined = {code: [np.concatenate(each) for each in zip(*parts, strict=True)] for code, parts in self.parts.items()}
        joined = {code: _joined(bands, self.total.gap) for code, bands in joined.items()}
        while any(len(first) > MOST_BANDS for first, _, _ in joined.values()):
            self.total.gap = max(1, 2 * self.total.gap)
            joined = {code: _joined(bands, self.total.gap) for code, bands in joined.items()}
        self.parts = {code: [tuple(bands)] for code, bands in joined.items()}
        self.pending = sum(len(first) for first, _, _ in joined.values())

    def _flush_runs(self) -> None:
        self._compact()
        for code, parts in self.parts.items():
            self.total.bands[code] = [Band(*map(int, each)) for each in zip(*parts[0], strict=True)]

    def _add_worst(self, start: int, size: Any, values: Any) -> None:
        import numpy as np

        kept = min(WORST, len(size))
        top = np.lexsort((np.arange(len(size)), -size.astype(np.int64)))[:kept] if len(size) <= kept else _largest(size, kept)
        new = [Worst(start + int(n), float(values[n]), float(size[n].view(np.float32))) for n in top if size[n] > self.floor]
        self.total.worst = sorted(self.total.worst + new, key=lambda each: each.key)[:WORST]
        if len(self.total.worst) == WORST:
            least = abs(self.total.worst[-1].ulp)
            self.floor = int(np.float32(least).view(np.int32)) if least == least else 0x7FC00000

    def _profile(self, start: int, n: int, code: Any, size: Any, least: int, top: int) -> None:
        import numpy as np

        cells = self.scanner.cells
        while cells[self.cell + 1] <= start:
            self.cell += 1
        first = self.cell
        while self.cell + 2 < len(cells) and cells[self.cell + 1] < start + n:
            self.cell += 1
        for cell in range(first, self.cell + 1):
            begin, end = max(cells[cell] - start, 0), min(cells[cell + 1] - start, n)
            if end <= begin:
                continue
            worst, severest = (top, least) if end - begin == n else (int(size[begin:end].max()), int(code[begin:end].min()))
            ulp = float(np.int32(worst).view(np.float32))
            ulp = ulp if ulp == ulp else float("inf")
            self.total.profile_ulp[cell] = max(self.total.profile_ulp[cell], ulp)
            self.total.profile_code[cell] = min(self.total.profile_code[cell], int(severest))


def _joined(bands: Any, gap: int) -> Any:
    """Arrays of first, last and points; neighbours with at most ``gap`` floats between them become one."""
    import numpy as np

    first, last, points = bands
    starts = np.flatnonzero(np.append(True, first[1:] - last[:-1] > gap + 1))
    return first[starts], last[np.append(starts[1:], len(first)) - 1], np.add.reduceat(points, starts)


def _largest(size: Any, kept: int) -> Any:
    """The positions of the ``kept`` greatest, ties by position."""
    import numpy as np

    threshold = np.partition(size, len(size) - kept)[len(size) - kept]
    above = np.flatnonzero(size > threshold)
    ties = np.flatnonzero(size == threshold)[: kept - len(above)]
    return np.concatenate([above, ties])
