"""The forward part of a recording as terms over whole tensors: what rewrites along an axis, such as those of a softmax, work on.

A tensor that an op of no rule made is a leaf: it has a name where it is used, or a text where it stands.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from losscheck.tracing.cures.extract import Extracted
from losscheck.tracing.cures.sources import ParsedFile, expression_at
from losscheck.tracing.cures.terms import Term, constant, term
from losscheck.tracing.memory import TensorRef
from losscheck.tracing.plan import bind
from losscheck.tracing.recording import Recording
from losscheck.tracing.tape import Operation, in_place

__all__ = ["row_terms"]

ELEMENTWISE = frozenset({"exp", "log", "neg", "add", "sub", "rsub", "mul", "div"})
FUSED = {"_softmax": "softmax", "_log_softmax": "log_softmax"}
ALONG = {"sum": "sum", "amax": "amax", "logsumexp": "logsumexp", "max": "amax"}


def row_terms(recording: Recording) -> Extracted:
    """The terms of the expressions of a recording, and the names that their operands have there."""
    return _Rows(recording).run()


class _Rows:
    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.known: dict[TensorRef, Term] = {}
        self.result = Extracted(along_rows=True)

    def run(self) -> Extracted:
        for op in self.recording.operations[: self.recording.forward]:
            if op.func is not None and op.results:
                self._enter(op)
        return self.result

    def _enter(self, op: Operation) -> None:
        result = op.results[0]
        if in_place(op.func):
            # Whatever was known of this memory is so no longer.
            self.known = {ref: whole for ref, whole in self.known.items() if ref.storage != result.storage}
            return
        if op.name == "detach" and result in op.args:
            return
        source, node = expression_at(op.place)
        operands = list(_operands(source, node)) if source and node else []
        # Of a commuted constant (2 * x) Python hands over the tensor first.
        if op.name == "rsub" or (op.name in ("add", "mul") and not isinstance(op.args[1], TensorRef) and _is_number(operands[:1])):
            operands.reverse()
        made = self._term(op, source, operands)
        self.known[result] = made
        if source and node:
            self.result.places[op.place] = made
            self.result.names[op.place] = {
                self._of(ref): source.text(operand)
                for ref, operand in zip(_tensors(op.args), _only_tensors(op, operands), strict=False)
                if isinstance(operand, ast.Name | ast.Attribute)
            }

    def _of(self, ref: TensorRef) -> Term:
        return self.known.setdefault(ref, term("tensor", value=ref))

    def _term(self, op: Operation, source: ParsedFile | None, operands: list[ast.expr]) -> Term:
        args = op.args
        if op.name in ELEMENTWISE and not op.kwargs:
            parts = [self._part(value, source, operands[place : place + 1]) for place, value in enumerate(args)]
            return term(op.name, *parts)
        rank = len(args[0].size) if args and isinstance(args[0], TensorRef) else 0
        if op.name in FUSED:
            return term(FUSED[op.name], self._of(args[0]), value=(args[1] % rank, True))
        if op.name in ALONG and (along := _along(op, rank)) is not None:
            return term(ALONG[op.name], self._of(args[0]), value=along)
        moved = self._moved(op, rank) if rank else None
        # A leaf: what no rule is about.
        return term("tensor", value=op.results[0]) if moved is None else moved

    def _part(self, value: Any, source: ParsedFile | None, operand: list[ast.expr]) -> Term:
        if isinstance(value, TensorRef):
            return self._of(value)
        named = source is not None and operand and not _is_number(operand)
        return constant(value, source.text(operand[0]) if named and source else "")

    def _moved(self, op: Operation, rank: int) -> Term | None:
        args = op.args
        if op.name == "select":
            axis = args[1] % rank
            return term("select", self._of(args[0]), value=(axis, args[2], args[0].size[axis]))
        if op.name == "unsqueeze":
            axis, inner = args[1] % (rank + 1), self._of(args[0])
            if inner.op in ALONG.values() and inner.value == (axis, False):
                return term(inner.op, *inner.args, value=(axis, True))
            return term("unsqueeze", inner, value=axis)
        if op.name == "squeeze" and len(args) == 2 and isinstance(args[1], int):
            return term("squeeze", self._of(args[0]), value=args[1] % rank)
        if op.name == "gather":
            return term("gather", self._of(args[0]), self._of(args[2]), value=args[1] % rank)
        if op.name == "index" and all(isinstance(index, TensorRef) for index in args[1]):
            return term("index", self._of(args[0]), *map(self._of, args[1]))
        return term("diagonal", self._of(args[0])) if op.name in ("diagonal", "diagonal_copy") and len(args) == 1 else None


def _along(op: Operation, rank: int) -> tuple[int, bool] | None:
    """The one axis that is reduced, and whether it is kept."""
    arguments = bind(op.func, op.args, op.kwargs)
    axes = arguments.get("dim")
    axes = [axes] if isinstance(axes, int) else axes
    if not isinstance(axes, list) or len(axes) != 1 or arguments.get("dtype") is not None:
        return None
    return axes[0] % rank, bool(arguments.get("keepdim"))


def _tensors(args: Any) -> Iterator[TensorRef]:
    for value in args:
        if isinstance(value, TensorRef):
            yield value
        elif isinstance(value, list):
            yield from _tensors(value)


def _operands(source: ParsedFile, node: ast.expr) -> Iterator[ast.expr]:
    """The operands of an expression in the order that an op takes them: the tensor of a method and of a subscript first."""
    if isinstance(node, ast.BinOp):
        yield from (node.left, node.right)
    elif isinstance(node, ast.UnaryOp):
        yield node.operand
    elif isinstance(node, ast.Subscript):
        yield node.value
        yield from node.slice.elts if isinstance(node.slice, ast.Tuple) else (node.slice,)
    elif isinstance(node, ast.Call):
        if isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) not in source.modules:
            yield node.func.value
        yield from node.args


def _only_tensors(op: Operation, operands: list[ast.expr]) -> list[ast.expr]:
    """Those in the places of tensors; an index has one for each of its own."""
    if op.name == "index":
        return operands
    return [operand for operand, value in zip(operands, op.args, strict=False) if isinstance(value, TensorRef)]


def _is_number(operand: list[ast.expr]) -> bool:
    return bool(operand) and isinstance(operand[0], ast.Constant)
