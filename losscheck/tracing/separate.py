"""Is a recorded loss a sum of one term for each element, or does what one element adds depend on the others?

By the positions that every recorded element is made of, and not by its value: ``x * x.flip(0)`` looks like ``x * x`` to whoever
sees values alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from losscheck.tracing.recording import Recording
from losscheck.tracing.tape import Operation, OpKind

__all__ = ["Owners"]

LINEAR = frozenset({"sum", "mean", "add", "sub", "rsub", "neg", "_to_copy", "copy"})
FUSED = frozenset({"binary_cross_entropy_with_logits", "binary_cross_entropy"})
MADE_OF_NOTHING = (OpKind.CONSTANT, OpKind.VIEW, OpKind.MOVE)


class Owners:
    """Of every element of the forward pass, the positions in the batch that it is made of.

    Where no exact definition says what an op took, its results are made of everything.
    """

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.count = len(recording.logits)
        self.positions: dict[int, frozenset[int]] = {}
        for elements in (recording.logits, recording.targets):
            self.positions.update((element, frozenset([position])) for position, element in enumerate(elements))
        self.of_logits = set(recording.logits)
        # What is a sum of parts, each made of one position alone.
        self.sums: set[int] = set()
        for op in recording.operations[: recording.forward]:
            self._enter(op)

    def of(self, element: int) -> frozenset[int]:
        """Constants are made of none."""
        return self.positions.get(element, frozenset())

    def each_once(self, elements: Iterable[int]) -> bool:
        """Is every position of the batch the only one of exactly one of these?"""
        owners = Counter(self.of(element) for element in elements)
        return owners == Counter({frozenset([position]): 1 for position in range(self.count)})

    def is_sum(self, element: int) -> bool:
        """Is it a sum of parts that depend on the logit of one position each?"""
        return element not in self.of_logits or len(self.of(element)) <= 1 or element in self.sums

    def _enter(self, op: Operation) -> None:
        if op.plan is None:
            if op.kind not in MADE_OF_NOTHING:
                self.positions.update(dict.fromkeys(op.made, frozenset(range(self.count))))
                self.of_logits.update(op.made)
            return
        for made, taken in op.plan.calls:
            self.positions.update(dict.fromkeys(made, frozenset().union(*map(self.of, taken))))
            if not self.of_logits.isdisjoint(taken):
                self.of_logits.update(made)
                if self._keeps_apart(op, taken):
                    self.sums.update(made)

    def _keeps_apart(self, op: Operation, taken: Sequence[int]) -> bool:
        """Does an op of sums make a sum again: is it linear, and scales only by what the logits do not change?"""
        if op.name in LINEAR:
            return all(map(self.is_sum, taken))
        if op.name in FUSED:
            half = len(taken) // 2
            return all(len(self.of(a) | self.of(b)) <= 1 for a, b in zip(taken[:half], taken[half:], strict=False))
        if op.name == "mul":
            return all(map(self.is_sum, taken)) and sum(element in self.of_logits for element in taken) == 1
        if op.name == "where":
            return taken[0] not in self.of_logits and all(map(self.is_sum, taken[1:]))
        return op.name == "div" and taken[1] not in self.of_logits and self.is_sum(taken[0])
