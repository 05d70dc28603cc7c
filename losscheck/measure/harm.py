"""The engine that asks of floats only whether they harm training: effects against the definition, and no outcome of either quantity."""

from __future__ import annotations

from losscheck.measure.effect_stream import EFFECT, TAILS
from losscheck.measure.engine import Engine, summarise_stream
from losscheck.measure.reference import Judged
from losscheck.measure.refusals import NO_EFFECT, BlockResult
from losscheck.measure.summary import Summary
from losscheck.points.grid import decode_ordinals

__all__ = ["HarmEngine"]


class HarmEngine(Engine):
    """By arrays of numpy. What does not harm is not told apart, and has no region."""

    def begin(self) -> None:
        self.totals = {EFFECT: Summary()}

    def add(self, first: int, count: int) -> None:
        import numpy as np

        assert self.effects is not None
        ordinals = np.arange(first, first + count, dtype=np.int64)
        logits = decode_ordinals(self.grid.dtype, ordinals)
        returned = BlockResult(*self.call(logits))
        logits, results = logits.astype(np.float64), self.results(returned)
        target = next(iter(self.streams.values())).target
        # As if every outcome failed: harm is told by the size of the error.
        failed = {quantity: Judged(np.zeros(count, np.int8), np.zeros(count)) for quantity in results}
        exact = {
            quantity: stream.reference.filter(np, self.effects.definition(quantity), logits, target)
            for quantity, stream in self.streams.items()
        }
        judged = self.effects.judge(np, logits, target, results, failed, exact)
        for refused in returned.refused.values():
            judged.codes[refused] = NO_EFFECT
        summary = summarise_stream(np, EFFECT, judged, ordinals, results, self.cells)
        summary.segments.pop(TAILS, None)
        summary.worst = [kept_point for kept_point in summary.worst if kept_point.code < TAILS]
        self.totals[EFFECT] = self.totals[EFFECT].merge(summary)
