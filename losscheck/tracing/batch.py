"""What is known of a whole batch beside the trace of one of its elements."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from losscheck.core.outcome import Outcome
from losscheck.renderers.flat import number
from losscheck.tracing.facts import from_here, place_facts
from losscheck.tracing.shadow import BatchOp

__all__ = ["Batch"]


@dataclass(frozen=True)
class Batch:
    """A dumped batch.

    Attributes:
        files, shape, elements: of the dump.
        index: the element that is traced.  given: it was asked for by name, and the others were not looked at.
        counts: by quantity, how many elements have which outcome; None where they were not judged.
        failing, first: how many elements fail, and some of them, severest first.
        asked: how many different (logit, target) pairs were run exactly.
        ops: every op that computes floats, over the whole batch and beside float64.
        together: its elements may depend on each other; ``counts`` are then of one exact run of all of them.
        followed_together: the trace is of all of them.
        screened: there was something wider than the batch to stand beside its ops.
        raised: what the callable raised on the whole batch, in words.
    """

    files: tuple[str, ...]
    shape: tuple[int, ...]
    elements: int
    index: tuple[int, ...]
    given: bool
    counts: Mapping[str, Mapping[Outcome, int]] | None = None
    failing: int = 0
    first: tuple[tuple[int, ...], ...] = ()
    asked: int = 0
    ops: tuple[BatchOp, ...] = ()
    together: bool = False
    followed_together: bool = False
    screened: bool = True
    raised: str = ""

    def facts(self, *, all_ops: bool) -> dict[str, Any]:
        """Flat, plain values; ``ops`` are those that are off anywhere, or all."""
        counts = self.counts or {}
        return {
            "files": [from_here(file) for file in self.files],
            "shape": list(self.shape),
            "elements": self.elements,
            "index": list(self.index),
            "given": self.given,
            "independent": self.counts is not None and not self.together,
            "judged_together": self.counts is not None and self.together,
            "followed_together": self.followed_together,
            "screened": self.screened,
            "outcomes": {name: {outcome.value: count for outcome, count in numbers.items()} for name, numbers in counts.items()},
            "failing": self.failing,
            "first": [list(index) for index in self.first],
            "asked_exactly": self.asked,
            "ops_recorded": len(self.ops),
            "ops": [self._op(op) for op in self.ops if all_ops or op.off],
            "raised": self.raised,
        }

    def _op(self, op: BatchOp) -> dict[str, Any]:
        return {
            "op": op.index,
            "name": op.name,
            "pass": "backward" if op.backward else "forward",
            "place": place_facts(op.place),
            "dtype": op.dtype,
            "elements": op.elements,
            "off": op.off,
            "bad": op.bad,
            "worst_ulp": number(op.worst),
            "index": list(self._index(op)) if op.off else None,
            "value": number(op.value),
            "float64": number(op.wide),
        }

    def _index(self, op: BatchOp) -> tuple[int, ...]:
        """Where in the batch the worst element lies, of results in the shape of the batch; else its flat position."""
        if op.elements != math.prod(self.shape):
            return (op.at,)
        index, flat = [], op.at
        for size in reversed(self.shape):
            flat, place = divmod(flat, size)
            index.append(place)
        return tuple(reversed(index))
