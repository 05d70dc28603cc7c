"""Engines: what fills the summaries of a task's floats, by arrays on numpy or torch. See edges.py and compiled.py for the others."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from losscheck.measure.effect_stream import EFFECT, EFFECT_KEPT, Effects
from losscheck.measure.reference import Claim, Judged, Reference, on_host
from losscheck.measure.refusals import NO_EFFECT, REFUSED, SEGMENTED, BlockResult, scattered
from losscheck.measure.summary import Summary, summarise
from losscheck.points.grid import Grid, decode_ordinals

__all__ = ["ArrayEngine", "ChunkCall", "Engine", "Stream", "judge"]

# Losses and gradients (None where none are asked) at logits, and maybe what was refused (refusals.py).
ChunkCall = Callable[[Any], tuple[Any, ...]]
CHECKED = 512  # points of a whole sweep that are checked against the exact oracle, evenly spread over its ordinals
ARRAY_BLOCK = 2**16
TENSOR_BLOCK = 2**22  # float64 temporaries of 32 MiB each, on a device


@dataclass(frozen=True)
class Stream:
    """One quantity of a task: what it claims to be at a target, and what finds exact values of that."""

    reference: Reference
    claim: Claim
    target: float


def judge(xp: Any, stream: Stream, logits: Any, values: Any, filtered: tuple[Any, Any]) -> Judged:
    """Codes and signed ulp of float64 arrays of ``xp``: by the filter, and by the oracle where it leaves them open."""
    judged = stream.reference.classify(xp, values, filtered)
    stream.reference.settle(xp, judged, stream.claim, logits, stream.target, values)
    return judged


def judge_all(
    xp: Any,
    streams: Mapping[str, Stream],
    effects: Effects | None,
    logits: Any,
    results: Mapping[str, Any],
    refused: Mapping[str, Any] | None = None,
) -> dict[str, Judged]:
    """The outcomes of each quantity and, with ``effects``, what loss and gradient together do to training; ``refused`` are the points
    that have no result, by quantity."""
    if refused:
        return _judge_answered(xp, streams, effects, logits, results, refused)
    found, filtered = {}, {}
    for quantity, stream in streams.items():
        filtered[quantity] = stream.reference.filter(xp, stream.claim, logits, stream.target)
        found[quantity] = judge(xp, stream, logits, results[quantity], filtered[quantity])
    if effects:
        target = next(iter(streams.values())).target
        for quantity, stream in streams.items():
            if effects.definition(quantity) != stream.claim:
                filtered[quantity] = stream.reference.filter(xp, effects.definition(quantity), logits, target)
        found[EFFECT] = effects.judge(xp, logits, target, results, found, filtered)
    return found


def _judge_answered(
    xp: Any, streams: Mapping[str, Stream], effects: Effects | None, logits: Any, results: Mapping[str, Any], refused: Mapping[str, Any]
) -> dict[str, Judged]:
    """The same, of the points that have all results; the others are unavailable, and their results that are there judged alone."""
    kept = ~functools.reduce(operator.or_, (refused[quantity] for quantity in results))
    found = judge_all(xp, streams, effects, logits[kept], {quantity: values[kept] for quantity, values in results.items()})
    everywhere = {name: scattered(xp, judged, kept, NO_EFFECT if name == EFFECT else REFUSED) for name, judged in found.items()}
    for quantity, stream in streams.items():
        alone = ~refused[quantity] & ~kept
        if alone.any():
            some = judge_all(xp, {quantity: stream}, None, logits[alone], {quantity: results[quantity][alone]})[quantity]
            everywhere[quantity].codes[alone], everywhere[quantity].ulps[alone] = some.codes, some.ulps
    return everywhere


def check_sample(summary: Summary, stream: Stream, logits: Any, values: Any, judged: Judged) -> None:
    """Count points of the stratified sample (numpy arrays), and those where the oracle sees otherwise."""
    import numpy as np

    answered = judged.codes != REFUSED
    logits, values, judged = logits[answered], values[answered], judged.some(answered)
    checked, wrong = stream.reference.check(stream.claim, logits, np.full(len(logits), stream.target), values, judged)
    summary.checked, summary.wrong = summary.checked + checked, summary.wrong + wrong


class Engine:
    """Scans stretches of a grid block by block."""

    block = ARRAY_BLOCK

    def __init__(self, call: ChunkCall, streams: Mapping[str, Stream], grid: Grid, effects: Effects | None = None) -> None:
        self.call, self.streams, self.grid, self.effects = call, streams, grid, effects
        self.cells = grid.cell_starts
        self.stride = max(1, grid.points // CHECKED)
        self.totals: dict[str, Summary] = {}

    def scan(self, first: int, last: int) -> dict[str, Summary]:
        """The summaries of the floats from ordinal ``first`` to ``last``, both included."""
        self.begin()
        for start in range(first, last + 1, self.block):
            self.add(start, min(self.block, last + 1 - start))
        return self.end()

    def begin(self) -> None:
        self.totals = {quantity: Summary() for quantity in (*self.streams, *([EFFECT] if self.effects else []))}

    def add(self, first: int, count: int) -> None:
        raise NotImplementedError

    def end(self) -> dict[str, Summary]:
        return self.totals

    def results(self, returned: BlockResult) -> dict[str, Any]:
        """What a call returned, as float64, by the quantities asked."""
        return {name: _wide(values) for name, values in zip(("loss", "grad"), returned, strict=False) if name in self.streams}

    def to_check(self, first: int, count: int) -> slice:
        """Which of ``count`` floats from an ordinal on belong to the stratified sample: every stride-th of the range."""
        return slice(-(first - self.grid.first) % self.stride, count, self.stride)


class ArrayEngine(Engine):
    """By operations on numpy arrays, or on torch tensors of a device; ``call`` takes and returns what the engine works on.
    Of a device only the few points leave that the oracle is asked about."""

    def __init__(
        self,
        call: ChunkCall,
        streams: Mapping[str, Stream],
        grid: Grid,
        effects: Effects | None = None,
        *,
        device: str = "",
        block: int = 0,
    ) -> None:
        super().__init__(call, streams, grid, effects)
        self.device = device
        self.block = block or (TENSOR_BLOCK if device else ARRAY_BLOCK)
        self.xp: Any
        if device:
            import torch

            self.xp, self.cells = torch, torch.tensor(self.cells, dtype=torch.int64, device=device)
        else:
            import numpy as np

            self.xp = np

    def add(self, first: int, count: int) -> None:
        xp, chosen = self.xp, self.to_check(first, count)
        on_device = {"device": self.device} if self.device else {}
        ordinals = xp.arange(first, first + count, dtype=xp.int64, **on_device)
        logits = _tensor(self.grid, ordinals) if self.device else decode_ordinals(self.grid.dtype, ordinals)
        returned = BlockResult(*self.call(logits))
        results = self.results(returned)
        logits = _wide(logits)
        for quantity, judged in judge_all(xp, self.streams, self.effects, logits, results, returned.refused).items():
            summary = summarise_stream(xp, quantity, judged, ordinals, results, self.cells)
            summary.refusal = returned.reason
            if quantity in self.streams:
                some = judged.some(chosen)
                some.codes, some.ulps = on_host(some.codes), on_host(some.ulps)
                check_sample(summary, self.streams[quantity], on_host(logits[chosen]), on_host(results[quantity][chosen]), some)
            self.totals[quantity] = self.totals[quantity].merge(summary)


def summarise_stream(xp: Any, quantity: str, judged: Judged, ordinals: Any, results: Mapping[str, Any], cells: Any) -> Summary:
    """The summary of a quantity, or of the effects, which are ordered by severity."""
    effect = quantity == EFFECT
    kept = EFFECT_KEPT if effect else SEGMENTED
    both = (results.get("loss"), results.get("grad"))
    return summarise(xp, judged, ordinals, both, cells=cells, kept=kept, by_severity=effect)


def _wide(values: Any) -> Any:
    return values.double() if hasattr(values, "double") else values.astype("float64")


def _tensor(grid: Grid, ordinals: Any) -> Any:
    """As :func:`losscheck.points.grid.decode_ordinals`, on a device."""
    import torch

    dtype = grid.dtype
    bits = torch.where(ordinals < 0, (-1 - ordinals) | (1 << (dtype.bits - 1)), ordinals)
    if dtype.name == "float16":
        return bits.to(torch.int16).view(torch.float16).float()
    if dtype.name == "bfloat16":
        bits = bits << 16
    # Values of 2^31 and more wrap to negative, which are the bits meant.
    return bits.to(torch.int32).view(torch.float32)
