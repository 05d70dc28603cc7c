"""The engine of a sampled sweep: outcomes at the sample, and the exact float where each of them begins and ends."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from losscheck.measure.effect_stream import EFFECT, EFFECT_KEPT
from losscheck.measure.engine import Engine, check_sample, judge_all, summarise_stream
from losscheck.measure.refusals import SEGMENTED, BlockResult
from losscheck.measure.summary import Summary, segments_of
from losscheck.points.grid import decode_ordinals

__all__ = ["SampleEngine"]

CHECKED = 128  # points of a sample that are checked against the exact oracle, evenly spread over it
STEPS = 4  # halvings between two calls: a call costs more than the fifteen points that four of them may meet
ROUNDS = 3  # of bisection: other codes may lie between two floats of the sample, one after another, or noise


class SampleEngine(Engine):
    """Judges the sample, and moves the ends of its segments to the exact floats by bisection."""

    def scan(self, first: int, last: int) -> dict[str, Summary]:
        """The summaries of the whole sample, wherever a stretch begins and ends."""
        import numpy as np

        sample = self.grid.sample
        assert sample is not None
        ordinals = np.array(sample, np.int64)
        logits, results, returned = self.values(ordinals)
        self.begin()
        checked = np.unique(np.linspace(0, len(sample) - 1, CHECKED).astype(np.int64))
        found = judge_all(np, self.streams, self.effects, logits, results, returned.refused)
        for quantity, judged in found.items():
            summary = self.totals[quantity] = summarise_stream(np, quantity, judged, ordinals, results, self.cells)
            summary.refusal = returned.reason
            if quantity in self.streams:
                check_sample(summary, self.streams[quantity], logits[checked], results[quantity][checked], judged.some(checked))
        ends = _Ends({quantity: judged.codes for quantity, judged in found.items()}, ordinals)
        ends.bisect(self.codes)
        for quantity, summary in self.totals.items():
            summary.segments = ends.segments(quantity, EFFECT_KEPT if quantity == EFFECT else SEGMENTED)
        return self.end()

    def values(self, ordinals: Any) -> tuple[Any, dict[str, Any], BlockResult]:
        """Logits and results at any ordinals, and what was returned."""
        import numpy as np

        logits = decode_ordinals(self.grid.dtype, ordinals)
        returned = BlockResult(*self.call(logits))
        return logits.astype(np.float64), self.results(returned), returned

    def codes(self, quantities: Collection[str], ordinals: Any) -> dict[str, Any]:
        """The codes of some quantities, or of the effects, at some ordinals; the implementation is called once for all."""
        import numpy as np

        logits, results, returned = self.values(ordinals)
        effects = self.effects if EFFECT in quantities else None
        streams = {name: stream for name, stream in self.streams.items() if effects or name in quantities}
        asked = {name: values for name, values in results.items() if name in streams}
        judged = judge_all(np, streams, effects, logits, asked, returned.refused)
        return {quantity: judged[quantity].codes for quantity in quantities}


class _Ends:
    """Where the codes of streams end, as arrays: a float inside the code, one outside of it, and between them what is not known
    yet. Between unlike neighbours of the sample lie two ends: of the first code, and of the second."""

    def __init__(self, codes: Mapping[str, Any], sample: Any) -> None:
        """``codes`` are those at the sample, by stream."""
        import numpy as np

        self.sampled, self.sample = codes, sample
        before = {name: np.flatnonzero(of_stream[1:] != of_stream[:-1]) for name, of_stream in codes.items()}
        pairs = {name: np.stack([places, places + 1], axis=1) for name, places in before.items()}
        self.stream = np.repeat(np.arange(len(pairs)), [2 * len(of_stream) for of_stream in pairs.values()])
        self.code = np.concatenate([codes[name][of_stream].reshape(-1) for name, of_stream in pairs.items()])
        both = np.concatenate([*pairs.values()])
        self.inside, self.outside = sample[both].reshape(-1), sample[both[:, ::-1]].reshape(-1)

    def bisect(self, codes_at: Callable[[Collection[str], Any], dict[str, Any]]) -> None:
        """Move each end to an exact float. Where two ends then do not meet, what lies between them is looked at, ROUNDS times at most."""
        for turn in range(ROUNDS):
            self._halve(codes_at)
            if turn + 1 == ROUNDS or not self._look_between(codes_at):
                return

    def _halve(self, codes_at: Callable[[Collection[str], Any], dict[str, Any]]) -> None:
        """Move each end to the float where its code ends, all of them together and STEPS halvings at a time."""
        import numpy as np

        while len(open_ := self._open()):
            ordinals = self._middles(open_)
            table = self._table(codes_at, self.stream[open_], ordinals)
            for _ in range(STEPS):
                open_ = self._open()
                middle = _middle(self.inside[open_], self.outside[open_])
                within = table[self.stream[open_], np.searchsorted(ordinals, middle)] == self.code[open_]
                self.inside[open_[within]], self.outside[open_[~within]] = middle[within], middle[~within]

    def _look_between(self, codes_at: Callable[[Collection[str], Any], dict[str, Any]]) -> bool:
        """Ends of what begins and ends strictly between two others; none where all of them meet."""
        import numpy as np

        stream, codes, inside = self.stream[::2], self.code.reshape(-1, 2), self.inside.reshape(-1, 2)
        apart = np.flatnonzero(inside[:, 1] - inside[:, 0] > 1)
        if not len(apart):
            return False
        beside = inside[apart] + np.array([1, -1])
        ordinals = np.unique(beside)
        table = self._table(codes_at, stream[apart], ordinals)
        between = table[stream[apart][:, np.newaxis], np.searchsorted(ordinals, beside)]
        unlike = between[:, 0] != between[:, 1]
        # In place of two ends that do not meet: those of the first code and the next, of what differs within, of the last two.
        places = np.concatenate([np.delete(np.arange(len(stream)), apart), apart, apart[unlike], apart])
        order = np.argsort(places, kind="stable")

        def instead(of_ends: Any, of_between: Any) -> Any:
            first = np.stack([of_ends[apart, 0], of_between[:, 0]], axis=1)
            last = np.stack([of_between[:, 1], of_ends[apart, 1]], axis=1)
            return np.concatenate([np.delete(of_ends, apart, axis=0), first, of_between[unlike], last])[order]

        codes, inside = instead(codes, between), instead(inside, beside)
        self.stream, self.code, self.inside = np.repeat(stream[places[order]], 2), codes.reshape(-1), inside.reshape(-1)
        self.outside = inside[:, ::-1].reshape(-1)
        return True

    def _table(self, codes_at: Callable[[Collection[str], Any], dict[str, Any]], streams: Any, ordinals: Any) -> Any:
        """The codes at some ordinals, a row a stream; -1 of streams that are not asked about."""
        import numpy as np

        names = [*self.sampled]
        codes = codes_at({names[stream] for stream in np.unique(streams)}, ordinals)
        nothing = np.full(len(ordinals), -1)
        return np.stack([codes.get(name, nothing) for name in names])

    def segments(self, name: str, kept: Collection[int]) -> dict[int, Any]:
        """The runs of one code in a stream, from end to end."""
        import numpy as np

        mine = self.stream == [*self.sampled].index(name)
        inside, code_of = self.inside[mine], np.append(self.sampled[name][:1], self.code[mine][1::2])
        firsts, lasts = np.append(self.sample[:1], inside[1::2]), np.append(inside[::2], self.sample[-1:])
        return {int(code): segments_of(firsts[code_of == code], lasts[code_of == code]) for code in np.unique(code_of) if code in kept}

    def _open(self) -> Any:
        import numpy as np

        return np.flatnonzero(abs(self.outside - self.inside) > 1)

    def _middles(self, which: Any) -> Any:
        """Every float that STEPS halvings of some stretches may ask about, in order."""
        import numpy as np

        ends = np.stack([self.inside[which], self.outside[which]], axis=1)
        for _ in range(STEPS):
            finer = np.empty((len(ends), 2 * ends.shape[1] - 1), np.int64)
            finer[:, ::2], finer[:, 1::2] = ends, _middle(ends[:, :-1], ends[:, 1:])
            ends = finer
        inner = ends[:, 1:-1]
        return np.unique(inner[(inner != ends[:, :1]) & (inner != ends[:, -1:])])


def _middle(a: Any, b: Any) -> Any:
    """floor((a + b) / 2) of integers whose sum may not fit."""
    return (a & b) + ((a ^ b) >> 1)
