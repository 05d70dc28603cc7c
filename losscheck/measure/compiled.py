"""The engine for hundreds of millions of float32 numbers on the CPU.

Where a claim is a polynomial (filter/stretches.py) a block costs the distance of each value from it, and counts. What is not
plainly sound there is judged float by float against the polynomial's values; where there is none, by the traced formulas
(loops.py), as arrays are.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from losscheck.filter.stretches import Stretch, Stretches
from losscheck.measure.block_effects import BlockEffects
from losscheck.measure.effect_stream import EFFECT, Effects
from losscheck.measure.engine import ChunkCall, Engine, Stream, judge_all
from losscheck.measure.judge import PieceClassifier
from losscheck.measure.loops import FEW, FormulaLoop, bits_of
from losscheck.measure.reference import Claim
from losscheck.measure.refusals import BlockResult
from losscheck.measure.summary import Summary
from losscheck.measure.totals import merged
from losscheck.points.grid import Grid

__all__ = ["WORTHWHILE", "CompiledEngine"]

# numba takes half a second to load: as long as arrays take for this many points.
WORTHWHILE = 2**22
BLOCK = 2**18  # what Python does a block is then little; what a block holds is more than the second-level cache, read and written in order


class CompiledEngine(Engine):
    """Like its base, one block of BLOCK floats at a time."""

    def __init__(self, call: ChunkCall, streams: Mapping[str, Stream], grid: Grid, effects: Effects | None = None) -> None:
        """Raises NoFilterError where a formula cannot be traced, ImportError without numba."""
        super().__init__(call, streams, grid, effects)
        import numpy as np

        from losscheck.filter import block_kernels, kernels

        self.kernels, self.block = block_kernels, BLOCK
        self.formulas = FormulaLoop(streams, effects)
        self.logits = kernels.aligned(BLOCK, np.float32)
        self.cell_starts = np.array(self.cells, np.int64)
        self.stretches: dict[str, Stretches] = {name: _stretches(stream, stream.claim) for name, stream in streams.items()}
        self.judges = {name: PieceClassifier(name, stream, self.cell_starts, BLOCK) for name, stream in streams.items()}
        self.of_effects = BlockEffects(effects, streams, self.judges, self.cell_starts, BLOCK) if effects else None
        self.of_definitions = {name: self._stretches_of_definition(name) for name in streams} if effects else {}
        self.guided = 0

    def begin(self) -> None:
        self.guided = 0
        for judge in self.judges.values():
            judge.begin()
        if self.of_effects:
            self.of_effects.begin()

    def add(self, first: int, count: int) -> None:
        logits = self.logits if count == self.block else self.logits[:count]  # one array, which a backend may know again
        self.kernels.decode(first, logits)
        returned = BlockResult(*self.call(logits))
        results = {name: values for name, values in zip(("loss", "grad"), returned, strict=False) if name in self.streams}
        covers = {stretches: list(stretches.over(first, count)) for stretches in self._all_stretches}
        gaps = merged([(s.first - first, s.first + s.count - first) for cover in covers.values() for s in cover if s.table is None])
        if returned.refused:
            gaps = [(0, count)]
            self._note_refusal(returned.reason)
        parts = {stretches: _parts(cover, gaps, first, count) for stretches, cover in covers.items()}
        for name, judge in self.judges.items():
            judge.judge(first, logits, results[name], parts[self.stretches[name]])
        for begin, end in gaps:
            self._by_formulas(logits, results, max(begin, 0), min(end, count), returned.refused)
        for judge in self.judges.values():
            judge.add(first, logits, results, self.to_check(first, count))
        if self.of_effects:
            definitions = {name: parts[stretches] for name, stretches in self.of_definitions.items()}
            self.of_effects.add(first, logits, results, definitions)

    @functools.cached_property
    def _all_stretches(self) -> list[Stretches]:
        return list(dict.fromkeys([*self.stretches.values(), *self.of_definitions.values()]))

    def _stretches_of_definition(self, name: str) -> Stretches:
        assert self.effects is not None
        definition = self.effects.definition(name)
        return self.stretches[name] if definition == self.streams[name].claim else _stretches(self.streams[name], definition)

    def _note_refusal(self, reason: str) -> None:
        for totals in [*(judge.totals for judge in self.judges.values()), *([self.of_effects.totals] if self.of_effects else [])]:
            totals.total.refusal = totals.total.refusal or reason

    def _by_formulas(self, logits: Any, results: Mapping[str, Any], begin: int, end: int, refused: Mapping[str, Any]) -> None:
        """Judge a part of a block that no polynomial covers, or all of one in which something was refused: codes, sizes, effects."""
        import numpy as np

        self.guided += end - begin
        logits = logits[begin:end]
        results = {name: values[begin:end] for name, values in results.items()}
        for judge in self.judges.values():
            judge.ranges.append((begin, end))
            judge.uncounted.append((begin, end))
        if self.guided > FEW and not refused:
            views = [view for judge in self.judges.values() for view in (judge.code[begin:end], judge.size[begin:end].view(np.float32))]
            self.formulas.call(logits, *results.values(), *views, *(self.of_effects.outputs(begin, end) if self.of_effects else []))
            again = [
                judge.settle(logits, results[name], judge.code[begin:end], judge.size[begin:end]) for name, judge in self.judges.items()
            ]
            if self.of_effects:
                self.of_effects.take_compiled(logits, results, begin, end, again)
            return
        wide = {name: values.astype(np.float64) for name, values in results.items()}
        judged = judge_all(np, self.streams, self.effects, logits.astype(np.float64), wide, refused)
        for name, judge in self.judges.items():
            judge.code[begin:end], judge.size[begin:end] = judged[name].codes, bits_of(judged[name].ulps)
            judge.totals.total.settled += judged[name].settled
        if self.of_effects:
            self.of_effects.take(begin, end, judged[EFFECT])

    def end(self) -> dict[str, Summary]:
        found = {name: judge.totals.summary() for name, judge in self.judges.items()}
        return found | ({EFFECT: self.of_effects.summary()} if self.of_effects else {})


def _parts(cover: list[Stretch], gaps: list[tuple[int, int]], first: int, count: int) -> list[tuple[int, int, Stretch]]:
    """The parts of a block that stretches cover and no gap, as [begin, end) of the block."""
    found = []
    for stretch in cover:
        begin, last = max(stretch.first - first, 0), min(stretch.first + stretch.count - first, count)
        for gap_begin, gap_end in gaps:
            if begin < gap_begin < last:
                found.append((begin, gap_begin, stretch))
            if gap_begin < last and gap_end > begin:
                begin = gap_end
        if begin < last:
            found.append((begin, last, stretch))
    return found


def _stretches(stream: Stream, claim: Claim) -> Stretches:
    reference = stream.reference
    return Stretches(claim.formula, claim.differentiate, stream.target, reference.params, reference.dtype, reference.limits)
