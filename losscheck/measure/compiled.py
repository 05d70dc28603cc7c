"""The engine for hundreds of millions of float32 numbers on the CPU: compiled filter, classification and counts."""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping
from typing import Any

from losscheck.filter.classify import BUCKETS, CODES, UNDECIDED, decide
from losscheck.filter.codegen import Code, Expression, ExpressionOperations, compile_loop, trace
from losscheck.measure import summary
from losscheck.measure.effect_stream import EFFECT, EFFECT_KEPT, Effects
from losscheck.measure.engine import Call, Engine, Stream, check
from losscheck.measure.reference import ENOUGH, Claim, Judged
from losscheck.measure.refusals import NO_EFFECT, REFUSED, SEGMENTED, Returned
from losscheck.measure.summary import WORST, Case, Summary, largest, segments_of
from losscheck.points.grid import Grid

__all__ = ["WORTHWHILE", "CompiledEngine"]

# Compiling one formula takes a second or two: as long as arrays take for this many points.
WORTHWHILE = 2**22
BLOCK = 2**16  # what Python does a block is then a tenth of its time, and its buffers still fit the second-level cache


class CompiledEngine(Engine):
    """Like its base, one block of BLOCK floats at a time."""

    def __init__(self, call: Call, streams: Mapping[str, Stream], grid: Grid, effects: Effects | None = None) -> None:
        """Raises NoFilterError where a formula cannot be traced, ImportError without numba."""
        super().__init__(call, streams, grid, effects)
        import numpy as np

        from losscheck.filter import kernels

        self.kernels, self.block = kernels, BLOCK
        self.loop = _loop(streams, effects)
        names = [*streams, *([EFFECT] if effects else [])]
        self.buffers = {name: kernels.Block(BLOCK, BUCKETS, len(CODES)) for name in names}
        self.errors = {quantity: np.empty(BLOCK, np.float32) for quantity in streams if effects}
        self.logits = np.empty(BLOCK, np.float32)
        self.fillers: dict[str, _Filler] = {}

    def begin(self) -> None:
        self.fillers = {name: _Filler(self, name) for name in self.buffers}

    def add(self, first: int, count: int) -> None:
        import numpy as np

        logits = self.logits[:count]
        self.kernels.decode(first, logits)
        returned = Returned(*self.call(logits))
        results = {name: values for name, values in zip(("loss", "grad"), returned, strict=False) if name in self.streams}
        views = [buffer for block in self.buffers.values() for buffer in (block.code[:count], block.size[:count].view(np.float32))]
        errors = {quantity: error[:count] for quantity, error in self.errors.items()}
        self.loop(logits, *results.values(), *views, *errors.values())
        self._without_refused(returned, errors)
        again = [self.fillers[name].settle(logits, results[name]) for name in self.streams]
        if self.effects:
            self._judge_effects(logits, results, errors, again)
        for filler in self.fillers.values():
            filler.add(first, logits, results)

    def _without_refused(self, returned: Returned, errors: dict[str, Any]) -> None:
        """Points without a result are unavailable, and have no effect."""
        if not returned.refused:
            return
        anywhere = functools.reduce(operator.or_, (returned.refused[name] for name in self.streams))
        for name, filler in self.fillers.items():
            where, code = (anywhere, NO_EFFECT) if name == EFFECT else (returned.refused[name], REFUSED)
            filler.total.refusal = filler.total.refusal or returned.reason
            self.buffers[name].code[: len(where)][where], self.buffers[name].size[: len(where)][where] = code, 0
        for error in errors.values():
            error[anywhere] = 0.0

    def _judge_effects(self, logits: Any, results: dict[str, Any], errors: dict[str, Any], again: list[Any]) -> None:
        """The largest errors; and what was not known of a point when its effect was judged is known now."""
        import numpy as np

        assert self.effects is not None
        count, block, total = len(logits), self.buffers[EFFECT], self.fillers[EFFECT].total
        unknown = np.flatnonzero(block.code[:count] == UNDECIDED)
        if len(unknown) or any(map(len, again)):
            open_ = np.unique(np.concatenate([*again, unknown]))
            for error in errors.values():
                error[open_] = 0.0
            xs, target = logits[open_].astype(np.float64), next(iter(self.streams.values())).target
            values = {name: result[open_].astype(np.float64) for name, result in results.items()}
            codes = {name: Judged(self.buffers[name].code[open_], None) for name in values}
            exact = {name: stream.reference.filter(np, self.effects.definition(name), xs, target) for name, stream in self.streams.items()}
            judged = self.effects.judge(np, xs, target, values, codes, exact)
            block.code[open_] = judged.codes
            block.size[open_] = judged.ulps.astype(np.float32).view(np.int32)
            _add_errors(total, judged.errors)
        _add_errors(total, {name: float(error.max()) for name, error in errors.items()})

    def end(self) -> dict[str, Summary]:
        return {name: filler.summary() for name, filler in self.fillers.items()}


def _add_errors(total: Summary, errors: Mapping[str, float]) -> None:
    total.loss_error = max(total.loss_error, errors.get("loss", 0.0))
    total.grad_error = max(total.grad_error, errors.get("grad", 0.0))


def _loop(streams: Mapping[str, Stream], effects: Effects | None) -> Any:
    """The compiled loop of a task: logits and results in; codes and sizes as float32 of each stream out, and errors.

    What its formulas have in common is computed once.
    """
    code = Code()
    operations, logit = ExpressionOperations(code), Expression(code, "logit")
    values = {quantity: Expression(code, quantity) for quantity in streams}
    outputs: dict[str, str] = {}
    codes = {}

    def filtered(stream: Stream, claim: Claim) -> tuple[Expression, Expression]:
        reference = stream.reference
        return trace(code, claim.formula, logit, stream.target, reference.params, reference.dtype, claim.differentiate)

    for quantity, stream in streams.items():
        codes[quantity], ulp = decide(operations, values[quantity], *filtered(stream, stream.claim), stream.reference.limits)
        outputs |= {f"{quantity}_code": codes[quantity].name, f"{quantity}_size": f"narrowed(abs({ulp.name}))"}
    if effects:
        exact = {quantity: filtered(stream, effects.definition(quantity)) for quantity, stream in streams.items()}
        failed = functools.reduce(operator.or_, (outcome < UNDECIDED for outcome in codes.values()))
        known = functools.reduce(operator.and_, ((bound <= ENOUGH) | (abs(right) < 2.0**-900) for right, bound in exact.values()))
        effect, size, errors = effects.rules(operations, logit, values, {name: right for name, (right, _) in exact.items()}, failed)
        effect = operations.where(known, effect, UNDECIDED)
        outputs |= {"effect_code": effect.name, "effect_size": f"narrowed({size.name})"}
        outputs |= {f"{quantity}_error": operations.where(known, error, 0.0).name for quantity, error in errors.items()}
    return compile_loop(code, ("logit", *streams), outputs)


class _Filler:
    """What the blocks of one stretch and quantity, or the effects, add up to."""

    def __init__(self, engine: CompiledEngine, name: str) -> None:
        self.engine, self.name = engine, name
        self.kernels, self.stream, self.buffers = engine.kernels, engine.streams.get(name), engine.buffers[name]
        self.kept = SEGMENTED if self.stream else EFFECT_KEPT
        self.buffers.counts[:] = 0
        self.buffers.histogram[:] = 0
        self.total = Summary(by_severity=self.stream is None)
        self.cell, self.top = 0, 0.0
        self.parts: list[dict[int, Any]] = []
        self.pending = 0
        self.checks: list[tuple[Any, ...]] = []

    def settle(self, logits: Any, values: Any) -> Any:
        """Ask the oracle about what the filter left open; which points these were."""
        import numpy as np

        assert self.stream is not None
        code, size, stream = self.buffers.code, self.buffers.size, self.stream
        undecided = np.flatnonzero(code[: len(logits)] == UNDECIDED)
        for n in undecided:
            code[n], ulp = stream.reference.outcome(stream.claim, float(logits[n]), stream.target, float(values[n]))
            size[n] = np.float32(self.kernels.narrowed(abs(ulp))).view(np.int32)
        self.total.settled += len(undecided)
        return undecided

    def add(self, start: int, logits: Any, results: Mapping[str, Any]) -> None:
        import numpy as np

        buffers, n = self.buffers, len(logits)
        code, size = buffers.code[:n], buffers.size[:n]
        least, greatest, top = self.kernels.extremes(code, size)
        self.top = max(self.top, _ulp(top))
        self.kernels.histogram_of(size, buffers.histogram)
        if least == greatest:
            buffers.counts[least] += n
            if least in self.kept:
                self._add_segments({int(least): segments_of(np.array([start]), np.array([start + n - 1]))})
        else:
            self._add_runs(start, n)
        self._add_first(start, code, size, results)
        self._add_worst(start, code, size, results, (least, greatest, top))
        self._profile(start, n, code, size, least, top)
        chosen = self.engine.to_check(start, n)
        if self.stream and chosen.start < n:
            values = results[self.name][chosen].astype(float)
            self.checks.append((logits[chosen].astype(float), values, code[chosen].copy(), _ulps(size[chosen])))

    def summary(self) -> Summary:
        import numpy as np

        self.total.counts = self.buffers.counts.tolist()
        self.total.points = sum(self.total.counts)
        self.total.histogram = self.buffers.histogram.sum(axis=0).tolist()
        self.total.top = self.top
        self.total.add_segments(self.parts)
        if self.checks and self.stream:
            logits, values, codes, ulps = (np.concatenate(column) for column in zip(*self.checks, strict=True))
            check(self.total, self.stream, logits, values, Judged(codes, ulps))
        return self.total

    def _add_runs(self, start: int, n: int) -> None:
        import numpy as np

        buffers = self.buffers
        count = self.kernels.runs_of(buffers.code[:n], buffers.counts, buffers.run_start, buffers.run_code)
        begins, codes = buffers.run_start[:count], buffers.run_code[:count]
        ends = np.append(begins[1:], n) - 1
        for code in self.kept:
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

    def _add_first(self, start: int, code: Any, size: Any, results: Mapping[str, Any]) -> None:
        import numpy as np

        for new in self.kept - set(self.total.first):
            if self.buffers.counts[new]:
                self.total.first[new] = self._case(start, int(np.argmax(code == new)), code, size, results)

    def _add_worst(self, start: int, code: Any, size: Any, results: Mapping[str, Any], extremes: tuple[int, int, int]) -> None:
        import numpy as np

        total, (least, greatest, top) = self.total, extremes
        full = len(total.worst) == WORST
        if full and total.by_severity and least > total.worst[-1].code:
            return
        mine = None  # all of them
        if total.by_severity and least != greatest:
            mine = np.flatnonzero(code == least)
            top = int(size[mine].max())
        if full:
            last = total.worst[-1]
            floor = int(np.float32(last.size).view(np.int32))
            if (not total.by_severity or least == last.code) and top <= floor:
                return
        chosen = largest(np, size, WORST) if mine is None else mine[largest(np, size[mine], WORST)]
        if total.by_severity and len(chosen) < WORST:  # a block may hold few of its worst and more of the next
            chosen = np.lexsort((-size.astype(np.int64), code))[:WORST]
        total.worst = total.the_worst([*total.worst, *(self._case(start, int(n), code, size, results) for n in chosen)])

    def _case(self, start: int, n: int, code: Any, size: Any, results: Mapping[str, Any]) -> Case:
        values = (float(results[name][n]) if name in results else None for name in ("loss", "grad"))
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
