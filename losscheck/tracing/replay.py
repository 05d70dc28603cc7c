"""The tape run again: exactly at as many bits as it takes, exactly from some op on, or with PyTorch's kernels and repaired values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from losscheck.core.dtypes import FLOAT64
from losscheck.core.exact import Exact, Kind
from losscheck.oracle.extended import Extended
from losscheck.oracle.extended_rounding import exact_of, settled
from losscheck.oracle.reverse import Reverse
from losscheck.tracing import tape as tapes
from losscheck.tracing.memory import TensorRef, mapped_refs
from losscheck.tracing.recording import Recording
from losscheck.tracing.tape import Operation

__all__ = ["ExactRun", "needed_for", "rerun"]

FIRST_BITS = 128
# Intermediate values are refined to here and shown as undecided beyond; results are refined to the cap.
INTERMEDIATE_BITS = 1024
CAP = 4096


def lifted(m: Any, value: Any) -> Any:
    """A computed value as an exact number; truth values stay what they are."""
    return value if isinstance(value, bool) else m.number(value)


class ExactRun:
    """The exact value of every element of a recording, and the exact slope of the sum of the losses by every logit.

    Attributes:
        m: the arithmetic, at the precision that decided.  values: by element, in that arithmetic.  computed: the same of the
            computed values.
        slopes: of the logits, by their gradient's element; empty where there is no gradient.
    """

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.slopes: dict[int, Any] = {}
        bits = FIRST_BITS
        while True:
            self.m = Extended(bits)
            self.values = self.run()
            decided = self._decided(range(len(self.values))) or bits >= INTERMEDIATE_BITS
            results = decided and self._rounds([*recording.loss, *recording.gradient], bits)
            if ((results or bits >= CAP) and self._differentiate()) or bits >= CAP:
                break
            bits *= 2
        self.bits = bits
        self.computed = self.start(self.m)
        self._rounded: dict[int, Any] = {}

    def _decided(self, elements: Iterable[int]) -> bool:
        formats, values = self.recording.tape.elements.formats, self.values
        return all(settled(values[element]) for element in elements if formats[element] is not None)

    def _rounds(self, elements: Sequence[int], bits: int) -> bool:
        """Does every one of them round to one float? Beside a tie that takes more than to be settled."""
        formats, values = self.recording.tape.elements.formats, self.values
        return self._decided(elements) and all(
            exact_of(values[element], formats[element] or FLOAT64, bits).kind is not Kind.UNDECIDED for element in elements
        )

    def start(self, m: Any) -> list[Any]:
        """Every element as computed: what stays so is what no plan makes."""
        return [lifted(m, value) for value in self.recording.tape.elements.computed]

    def run(self) -> list[Any]:
        """All elements in the arithmetic, the leaves exact."""
        values = self.start(self.m)
        for op in self.recording.operations:
            if op.plan is not None:
                try:
                    op.plan.evaluate(self.m, values)
                except (TypeError, ValueError, IndexError, AttributeError, NotImplementedError, OverflowError):
                    # A call that the definition turns out not to cover.
                    self.recording.tape.take(op)
                    for element in op.made:
                        values[element] = lifted(self.m, self.recording.tape.elements.computed[element])
        return values

    def _differentiate(self) -> bool:
        """The slopes by the logits, by one sweep backwards over the exact forward pass; whether they are decided."""
        recording = self.recording
        if not recording.gradient:
            return True
        if any(op.kind == tapes.OpKind.TAKEN and op.format for op in recording.operations[: recording.forward]):
            # Through an op that is not known there is no slope: what the backward ops say is all that can be judged.
            self.slopes = {element: self.values[element] for element in recording.gradient}
            return True
        reverse = Reverse(self.m)
        values = self.start(self.m)
        variables = [reverse.variable(values[element]) for element in recording.logits]
        for element, variable in zip(recording.logits, variables, strict=True):
            values[element] = variable
        for op in recording.operations[: recording.forward]:
            if op.plan is not None:
                op.plan.evaluate(reverse, values)
        one = self.m.number(1)
        reverse.sweep([(values[element], one) for element in recording.loss])
        zero = self.m.number(0)
        slopes = [zero if variable.adjoint is None else variable.adjoint for variable in variables]
        self.slopes = dict(zip(recording.gradient, slopes, strict=True))
        return all(settled(slope) for slope in slopes)

    # What came out ----------------------------------------------------------------------------------------------

    def exact(self, element: int, value: Any = None) -> Exact:
        """The exact value of an element, or another value in its place, in its format."""
        dtype = self.recording.tape.elements.formats[element] or FLOAT64
        return exact_of(self.values[element] if value is None else value, dtype, self.bits)

    def rounded(self, element: int, value: Any = None) -> Any:
        """The exact value rounded to the element's format; the computed one where there is none or it is undecided."""
        if value is None:
            if element not in self._rounded:
                self._rounded[element] = self.rounded(element, self.values[element])
            return self._rounded[element]
        recorded = self.recording.tape.elements
        if recorded.formats[element] is None or isinstance(value, bool):
            return recorded.computed[element] if recorded.formats[element] is None and not isinstance(value, bool) else value
        exact = self.exact(element, value)
        return recorded.computed[element] if exact.kind is Kind.UNDECIDED else exact.rounded

    def locally(self, op: Operation, inputs: dict[int, Any]) -> dict[int, Any]:
        """What an op makes, exactly, of the given computed values of its elements."""
        if op.plan is None:
            return {}
        values = {element: lifted(self.m, inputs[element]) for element in op.taken}
        op.plan.evaluate(self.m, values)  # type: ignore[arg-type]
        return {element: values[element] for made, _ in op.plan.calls for element in made}


def needed_for(recording: Recording, wanted: Iterable[int]) -> list[Operation]:
    """The ops that these elements depend on and that make something, in order."""
    need, ops = set(wanted), []
    for op in reversed(recording.operations):
        if op.made and not need.isdisjoint(op.made) and op.kind != tapes.OpKind.LEAVES:
            ops.append(op)
            need |= op.taken
    return ops[::-1]


def rerun(recording: Recording, repairs: dict[int, Sequence[Any]]) -> list[Any]:
    """The computed value of every element when the tape runs again with PyTorch's kernels and the results of some ops replaced.

    Args:
        repairs: by index of an op, the values of its first result in logical order.
    """
    import torch

    tape = recording.tape
    computed = list(tape.elements.computed)
    memory = [torch.zeros_like(shadow.ids, dtype=shadow.dtype) if shadow.initial is None else shadow.initial.clone()
              for shadow in tape.memory.storages]  # fmt: skip

    def look(ref: TensorRef) -> Any:
        return torch.as_strided(memory[ref.storage], ref.size, ref.stride, ref.offset)

    with torch.no_grad():
        for op in recording.operations:
            if not op.results or op.kind == tapes.OpKind.VIEW:
                continue
            first = look(op.results[0])
            if op.kind in (tapes.OpKind.CONSTANT, tapes.OpKind.RANDOM):
                _fill(first, [computed[element] for element in op.made])
                continue
            outcome = op.func(*mapped_refs(look, op.args), **mapped_refs(look, op.kwargs))
            for ref, result in zip(op.results, outcome if isinstance(outcome, list | tuple) else [outcome], strict=False):
                target = look(ref)
                if target.data_ptr() != result.data_ptr():
                    target.copy_(result)
            if op.index in repairs:
                _fill(first, list(repairs[op.index]))
            if op.made:
                for element, value in zip(op.made, first.reshape(-1).tolist(), strict=True):
                    computed[element] = value
    return computed


def _fill(tensor: Any, values: list[Any]) -> None:
    import torch

    wide = torch.float64 if tensor.is_floating_point() else tensor.dtype
    tensor.copy_(torch.tensor(values, dtype=wide).reshape(tensor.shape))
