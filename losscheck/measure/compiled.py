"""The engine for hundreds of millions of float32 numbers on the CPU: compiled filter, classification and counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from losscheck.backends import Call
from losscheck.filter.classify import BUCKETS, CODES, FAILING, UNDECIDED, decide
from losscheck.filter.codegen import Code, Expression, ExpressionOperations, compile_loop, trace
from losscheck.measure import summary
from losscheck.measure.engine import Engine, Stream, check
from losscheck.measure.reference import Judged
from losscheck.measure.summary import WORST, Case, Summary, largest, segments_of
from losscheck.points.grid import Grid

__all__ = ["WORTHWHILE", "CompiledEngine"]

# Compiling one formula takes a second or two: as long as arrays take for this many points.
WORTHWHILE = 2**22
BLOCK = 2**15  # its buffers fit the second-level cache


class CompiledEngine(Engine):
    """Like its base, one block of BLOCK floats at a time."""

    def __init__(self, call: Call, streams: Mapping[str, Stream], grid: Grid) -> None:
        """Raises NoFilterError where a formula cannot be traced, ImportError without numba."""
        super().__init__(call, streams, grid)
        import numpy as np

        from losscheck.filter import kernels

        self.kernels, self.block = kernels, BLOCK
        self.loops = {quantity: _loop(stream) for quantity, stream in streams.items()}
        self.buffers = {quantity: kernels.Block(BLOCK, BUCKETS, len(CODES)) for quantity in streams}
        self.logits = np.empty(BLOCK, np.float32)
        self.fillers: dict[str, _Filler] = {}

    def begin(self) -> None:
        self.fillers = {quantity: _Filler(self, quantity) for quantity in self.streams}

    def add(self, first: int, count: int) -> None:
        logits = self.logits[:count]
        self.kernels.decode(first, logits)
        results = self.call(logits)
        for filler in self.fillers.values():
            filler.add(first, logits, results)

    def end(self) -> dict[str, Summary]:
        return {quantity: filler.summary() for quantity, filler in self.fillers.items()}


def _loop(stream: Stream) -> Any:
    """The compiled ``loop(logits, values, codes, sizes)`` of a quantity: its codes and |ulp| as float32."""
    code, reference = Code(), stream.reference
    logit, value = Expression(code, "logit"), Expression(code, "value")
    filtered = trace(
        code, stream.claim.formula, logit, stream.target, reference.params, reference.dtype, differentiate=stream.claim.differentiate
    )
    outcome, ulp = decide(ExpressionOperations(code), value, *filtered, reference.limits)
    return compile_loop(code, ("logit", "value"), {"code": outcome.name, "size": f"narrowed(abs({ulp.name}))"})


class _Filler:
    """What the blocks of one stretch and quantity add up to."""

    def __init__(self, engine: CompiledEngine, quantity: str) -> None:
        self.engine, self.quantity = engine, quantity
        self.kernels, self.stream = engine.kernels, engine.streams[quantity]
        self.loop, self.buffers = engine.loops[quantity], engine.buffers[quantity]
        self.buffers.counts[:] = 0
        self.buffers.histogram[:] = 0
        self.total = Summary()
        self.floor = -1  # the bits of the least |ulp| among the worst so far
        self.cell = 0
        self.parts: list[dict[int, Any]] = []
        self.pending = 0
        self.checks: list[tuple[Any, ...]] = []

    def add(self, start: int, logits: Any, results: tuple[Any, Any]) -> None:
        import numpy as np

        buffers, n, values = self.buffers, len(logits), results[self.quantity == "grad"]
        code, size = buffers.code[:n], buffers.size[:n]
        self.loop(logits, values, code, size.view(np.float32))
        least, greatest, top = self.kernels.extremes(code, size)
        if least <= UNDECIDED <= greatest:
            self._settle(code, size, logits, values)
            least, greatest, top = self.kernels.extremes(code, size)
        self.kernels.histogram_of(size, buffers.histogram)
        if least == greatest:
            buffers.counts[least] += n
            if least in FAILING:
                self._add_segments({int(least): segments_of(np.array([start]), np.array([start + n - 1]))})
        else:
            self._add_runs(start, n)
        self._add_first(start, code, size, results)
        if top > self.floor:
            self._add_worst(start, code, size, results)
        self._profile(start, n, code, size, least, top)
        chosen = self.engine.to_check(start, n)
        if chosen.start < n:
            self.checks.append((logits[chosen].astype(float), values[chosen].astype(float), code[chosen].copy(), _ulps(size[chosen])))

    def summary(self) -> Summary:
        import numpy as np

        self.total.counts = self.buffers.counts.tolist()
        self.total.points = sum(self.total.counts)
        self.total.histogram = self.buffers.histogram.sum(axis=0).tolist()
        self.total.top = self.total.worst[0].size if self.total.worst else 0.0
        self.total.add_segments(self.parts)
        if self.checks:
            logits, values, codes, ulps = (np.concatenate(column) for column in zip(*self.checks, strict=True))
            check(self.total, self.stream, logits, values, Judged(codes, ulps))
        return self.total

    def _settle(self, code: Any, size: Any, logits: Any, values: Any) -> None:
        import numpy as np

        stream = self.stream
        for n in np.flatnonzero(code == UNDECIDED):
            code[n], ulp = stream.reference.outcome(stream.claim, float(logits[n]), stream.target, float(values[n]))
            size[n] = np.float32(self.kernels.narrowed(abs(ulp))).view(np.int32)
            self.total.settled += 1

    def _add_runs(self, start: int, n: int) -> None:
        import numpy as np

        buffers = self.buffers
        count = self.kernels.runs_of(buffers.code[:n], buffers.counts, buffers.run_start, buffers.run_code)
        begins, codes = buffers.run_start[:count], buffers.run_code[:count]
        ends = np.append(begins[1:], n) - 1
        for code in FAILING:
            mine = codes == code
            if mine.any():
                self._add_segments({code: segments_of(start + begins[mine], start + ends[mine])})

    def _add_segments(self, part: dict[int, Any]) -> None:
        """Whole arrays of runs: where failing and sound floats interleave a block has thousands of them."""
        self.parts.append(part)
        self.pending += sum(map(len, part.values()))
        if self.pending > 8 * summary.MOST_SEGMENTS:
            self.total.add_segments(self.parts)
            self.parts, self.pending = [], 0

    def _add_first(self, start: int, code: Any, size: Any, results: tuple[Any, Any]) -> None:
        import numpy as np

        for new in FAILING - set(self.total.first):
            if self.buffers.counts[new]:
                self.total.first[new] = self._case(start, int(np.argmax(code == new)), code, size, results)

    def _add_worst(self, start: int, code: Any, size: Any, results: tuple[Any, Any]) -> None:
        import numpy as np

        new = [self._case(start, n, code, size, results) for n in largest(np, size, WORST).tolist() if size[n] > self.floor]
        self.total.worst = self.total.the_worst([*self.total.worst, *new])
        if len(self.total.worst) == WORST:
            self.floor = int(np.float32(self.total.worst[-1].size).view(np.int32))

    def _case(self, start: int, n: int, code: Any, size: Any, results: tuple[Any, Any]) -> Case:
        values = (None if result is None else float(result[n]) for result in results)
        return Case(start + n, int(code[n]), float(_ulps(size[n : n + 1])[0]), *values)

    def _profile(self, start: int, n: int, code: Any, size: Any, least: int, top: int) -> None:
        cells = self.engine.grid.cell_starts
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
            self.total.profile_ulp[cell] = max(self.total.profile_ulp[cell], _ulp(worst))
            self.total.profile_code[cell] = min(self.total.profile_code[cell], int(severest))


def _ulps(bits: Any) -> Any:
    """|ulp| as float64, from the bits of float32."""
    import numpy as np

    return bits.view(np.float32).astype(np.float64)


def _ulp(bits: int) -> float:
    import struct

    return float(struct.unpack("f", struct.pack("i", bits))[0])
