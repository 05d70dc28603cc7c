"""Which expression of the source stands for which operand of an op, and what it is called there."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Any

from losscheck.tracing import ops as exact_ops
from losscheck.tracing.cures.sources import ParsedFile, expression_at, operands, source_of
from losscheck.tracing.cures.terms import COMPUTED, Term, is_computed
from losscheck.tracing.memory import TapeElements, TensorRef
from losscheck.tracing.places import Place
from losscheck.tracing.plan import bind
from losscheck.tracing.tape import Operation

__all__ = ["WrittenOperands", "counts"]

COMMUTATIVE = ("add", "mul")


class WrittenOperands:
    """Of the ops of a recording; ``places`` and ``names`` are those known so far, as of ``extract.Extracted``."""

    def __init__(self, elements: TapeElements, places: Mapping[Place, Term], names: Mapping[Place, Mapping[Term, str]]) -> None:
        self.elements, self.places, self.names = elements, places, names

    def texts(self, op: Operation, given: list[str]) -> dict[int, str]:
        """For operands that are constants with a name (self.gamma), that name by position among those given."""
        source, node = expression_at(op.place)
        if source is None or node is None or op.plan is None or not op.plan.calls:
            return {}
        taken = op.plan.calls[0][1]
        texts: dict[int, str] = {}
        aligned = self._aligned(op, source, node, given, taken)
        for position, element in enumerate(taken[: len(given)]):
            operand = aligned.get(position)
            if element not in self.elements.constants:
                continue
            if operand is not None and not _is_number(operand):
                texts[position] = source.text(operand)
            elif operand is None and isinstance(node, ast.BinOp):
                # One of two names, and nobody knows which.
                texts[position] = f"{COMPUTED}{op.index}"
        return texts

    def _aligned(self, op: Operation, source: ParsedFile, node: ast.expr, given: list[str], taken: Sequence[int]) -> dict[int, ast.expr]:
        """Which expression stands for which operand of an op, by position; those that cannot be told are left out."""
        written = dict(operands(node, op.name, len(given), source.modules))
        by_position: dict[int, ast.expr] = {}
        for place, operand in written.items():
            position = given.index(place) if isinstance(place, str) and place in given else place
            if isinstance(position, int):
                by_position[position] = operand
        if len(given) < 2 or 0 not in by_position or 1 not in by_position or not isinstance(node, ast.BinOp | ast.Compare):
            return by_position
        left, right = by_position[0], by_position[1]
        if op.name == "rsub":
            return {0: right, 1: left}
        if op.name not in COMMUTATIVE or taken[1] not in self.elements.constants:
            return by_position
        # Python hands `2 * x` and `x * 2` over alike: the tensor is the operand that is known to be one.
        if _is_number(left) or self._is_tensor(right, op.place):
            return {0: right, 1: left}
        return by_position if _is_number(right) or self._is_tensor(left, op.place) else {}

    def _is_tensor(self, node: ast.expr, place: Place) -> bool:
        """Was the expression computed by an op, or is it a name under which a tensor was used before?"""
        source = source_of(place.file)
        if source is None:
            return False
        names = {name for other, known in self.names.items() if other.file == place.file for name in known.values()}
        if source.text(node) in names or source.text(node) in self._assigned(source):
            return True
        return any(source.at(other) is node for other in self.places if other.file == place.file)

    def _assigned(self, source: ParsedFile) -> set[str]:
        """Variables that hold what an op computed."""
        assigned = set()
        computed = {id(source.at(place)) for place in self.places if place.file == source.file}
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Assign) and id(node.value) in computed:
                assigned |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        return assigned

    def names_of(self, op: Operation, whole: Term) -> dict[Term, str]:
        """Operands that are plain names or attributes where they stand."""
        source, node = expression_at(op.place)
        if source is None or node is None:
            return {}
        if op.plan is not None and op.plan.calls and op.func is not None and (definition := exact_ops.known(op.name)):
            arguments = bind(op.func, op.args, op.kwargs)
            given = [name for name in definition.parameters if counts(arguments.get(name))]
            aligned = self._aligned(op, source, node, given, op.plan.calls[0][1])
        else:
            aligned = {place: operand for place, operand in operands(node, op.name, 1, source.modules) if isinstance(place, int)}
        return {
            whole.args[position]: source.text(operand)
            for position, operand in aligned.items()
            if position < len(whole.args)
            and isinstance(operand, ast.Name | ast.Attribute)
            and (whole.args[position].op != "constant" or is_computed(whole.args[position]))
        }


def counts(value: Any) -> bool:
    """Is an argument an operand of the exact definition: a tensor or a number?"""
    return isinstance(value, TensorRef) or (isinstance(value, int | float) and not isinstance(value, bool))


def _is_number(node: ast.expr | None) -> bool:
    if isinstance(node, ast.UnaryOp):
        node = node.operand
    return isinstance(node, ast.Constant) and isinstance(node.value, int | float)
