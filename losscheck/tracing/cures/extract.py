"""The forward part of a recording as terms over the logit and the target: of every sub-expression, and of what the reductions take."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from losscheck.tracing import ops as exact_ops
from losscheck.tracing.cures.terms import COMPUTED, LOGIT, MIXED, TARGET, Term, constant, subterms, term
from losscheck.tracing.cures.written_operands import WrittenOperands, counts
from losscheck.tracing.memory import TensorRef
from losscheck.tracing.ops import Layout
from losscheck.tracing.places import Place
from losscheck.tracing.plan import bind
from losscheck.tracing.recording import Recording
from losscheck.tracing.separate import Owners
from losscheck.tracing.tape import Operation, OpKind

__all__ = ["Extracted", "Root", "extracted"]

SUMMED = ("sum", "mean")
REDUCTIONS = {1: "mean", 2: "sum"}  # as aten numbers them
FUSED = ("binary_cross_entropy_with_logits", "binary_cross_entropy")
ELEMENT = (LOGIT, TARGET, MIXED)


@dataclass(frozen=True)
class Root:
    """An elementwise term, whose elements are returned or summed, and where it is written."""

    term: Term
    place: Place


@dataclass
class Extracted:
    """Terms of a recording.

    Attributes:
        places: the term of each sub-expression that an elementwise op computed.
        reduced: of each sub-expression that is a fused loss and its reduction, the term before it and the reduction's name.
        names: for each sub-expression, the names that its operands have there.
        roots: what is returned or summed up, each once.
        separate: the loss is a sum of the roots, each over every element of the batch once: what one element adds, it adds whatever
            the others are.
        along_rows: the terms are over whole tensors (cures/rows.py).
    """

    places: dict[Place, Term] = field(default_factory=dict)
    reduced: dict[Place, tuple[Term, str]] = field(default_factory=dict)
    names: dict[Place, dict[Term, str]] = field(default_factory=dict)
    roots: list[Root] = field(default_factory=list)
    separate: bool = False
    along_rows: bool = False


def extracted(recording: Recording, targets: Sequence[float]) -> Extracted:
    """The terms of a recording; ``targets`` are its targets in flat order, one for each logit."""
    return _Extraction(recording, targets).run()


class _Extraction:
    def __init__(self, recording: Recording, targets: Sequence[float]) -> None:
        self.recording, self.targets = recording, list(targets)
        self.elements = recording.tape.elements
        self.terms: dict[int, Term] = {
            **dict.fromkeys(recording.logits, LOGIT),
            **dict.fromkeys(recording.targets, TARGET),
        }
        self.owners = Owners(recording)
        self.varying: dict[Term, bool] = {}
        # Of what varies with the logit or the target, where in the batch these stand; what mixes them stands nowhere.
        self.positions = {
            element: position for elements in (recording.logits, recording.targets) for position, element in enumerate(elements)
        }
        # What is summed up or returned of which root; None of what is no one term.
        self.summed: list[tuple[Term | None, list[int]]] = []
        self.result = Extracted()
        self.operands = WrittenOperands(self.elements, self.result.places, self.result.names)

    def run(self) -> Extracted:
        for op in self.recording.operations[: self.recording.forward]:
            self._enter(op)
        if len(self.recording.loss) == len(self.targets):
            self._root(self.recording.loss, self._place_of(self.recording.loss))
        self.result.separate = self._separate()
        return self.result

    def _separate(self) -> bool:
        of_term: dict[Term | None, list[int]] = {}
        for whole, taken in self.summed:
            of_term.setdefault(whole, []).extend(taken)
        return all(map(self.owners.is_sum, self.recording.loss)) and all(
            whole is not None and self.owners.each_once(taken) for whole, taken in of_term.items()
        )

    def _enter(self, op: Operation) -> None:
        definition = exact_ops.known(op.name)
        if op.kind == OpKind.CONSTANT and op.made and op.format is not None:
            # torch.zeros_like(x) is a number that stands there.
            self._made(op, [(out, constant(self.elements.computed[out])) for out in op.made])
        elif op.func is None:
            self._made(op, [(out, _detached(self._of(taken[0]))) for (out,), taken in _calls(op)])
        elif op.name in ("_to_copy", "copy") and op.plan is not None:
            whole = "" if op.name == "copy" else str(op.kwargs.get("dtype") or "").removeprefix("torch.")
            name = op.format.name if op.format else whole
            self._made(op, [(out, self._cast(self._of(taken[0]), name)) for (out,), taken in _calls(op)])
        elif op.name in FUSED and op.plan is not None:
            self._fused(op)
        elif definition is not None and definition.layout is Layout.POINTWISE and op.plan is not None:
            self._pointwise(op, definition)
        elif op.kind == OpKind.EXACT and op.name in SUMMED and op.plan is not None:
            # F.kl_div(a, b, reduction="sum") is one expression of several ops: what it takes can be rewritten, its elements cannot.
            self.result.places.pop(op.place, None)
            for _, taken in op.plan.calls:
                self._root(list(taken), op.place)

    def _cast(self, inner: Term, name: str) -> Term:
        return term("cast", inner, value=name) if name else inner

    def _pointwise(self, op: Operation, definition: Any) -> None:
        arguments = bind(op.func, op.args, op.kwargs)
        given = [name for name in definition.parameters if counts(arguments.get(name))]
        # alpha=1 of add and sub is no operand.
        kept = [position for position, name in enumerate(given) if not (name == "alpha" and arguments[name] == 1)]
        made = []
        texts = self.operands.texts(op, given)
        for (out,), taken in _calls(op):
            args = [self._operand(taken[position], texts.get(position, "")) for position in kept]
            clamped = op.name
            if op.name == "clamp" and len(args) == 2:
                clamped = "clamp_min" if "min" in given else "clamp_max"
            made.append((out, MIXED if self._mixes(taken) else term(clamped, *args)))
        self._made(op, made)

    def _mixes(self, taken: Sequence[int]) -> bool:
        """Do the operands belong to several positions of the batch? What was computed of all of them is a number of this call."""
        return len({self.positions[element] for element in taken if self._varies(self._of(element)) and element in self.positions}) > 1

    def _varies(self, whole: Term) -> bool:
        """Is it a term over the logit or the target?"""
        if whole not in self.varying:
            self.varying[whole] = whole in ELEMENT or any(map(self._varies, whole.args))
        return self.varying[whole]

    def _fused(self, op: Operation) -> None:
        """A fused loss, of which the unreduced form is the term; its reduction makes it a root."""
        arguments = bind(op.func, op.args, op.kwargs)
        weights = [name for name in ("weight", "pos_weight") if isinstance(arguments.get(name), TensorRef)]
        if weights or op.plan is None:
            return
        if arguments.get("reduction"):
            ((_, taken),) = op.plan.calls
            half = len(taken) // 2
            terms = [
                MIXED if self._mixes((a, b)) else term(op.name, self._of(a), self._of(b))
                for a, b in zip(taken[:half], taken[half:], strict=True)
            ]
            unified = self._unified(terms)
            self.summed.append((unified, list(taken[:half])))
            if unified is not None:
                self.result.roots.append(Root(unified, op.place))
                self.result.reduced[op.place] = unified, REDUCTIONS[arguments["reduction"]]
                self.result.names[op.place] = self.operands.names_of(op, unified)
            return
        self._made(
            op,
            [
                (out, MIXED if self._mixes(taken[:2]) else term(op.name, *(self._of(element) for element in taken[:2])))
                for (out,), taken in _calls(op)
            ],
        )

    def _made(self, op: Operation, made: list[tuple[int, Term]]) -> None:
        self.terms.update(made)
        for (out, *_), taken in _calls(op):
            standing = {self.positions[element] for element in taken if element in self.positions}
            if len(standing) == 1 and self.terms.get(out) is not MIXED:
                self.positions[out] = standing.pop()
        if (unified := self._unified([whole for _, whole in made])) is not None:
            self.result.places[op.place] = unified
            self.result.names[op.place] = self.operands.names_of(op, unified)

    def _of(self, element: int) -> Term:
        if element not in self.terms:
            value = self.elements.computed[element]
            known = isinstance(value, int | float) and not isinstance(value, bool)
            source = "" if element in self.elements.constants else f"{COMPUTED}{self.elements.producer[element]}"
            self.terms[element] = constant(value, source) if known else term("given", value=value)
        return self.terms[element]

    def _operand(self, element: int, text: str) -> Term:
        """A constant keeps the name that it was written with."""
        whole = self._of(element)
        return constant(whole.value, text) if whole.op == "constant" and text else whole

    def _unified(self, terms: list[Term]) -> Term | None:
        """One term for all elements; constants that differ by target (an alpha gathered by class) become a where."""
        if not terms:
            return None
        if all(whole is terms[0] for whole in terms):
            return terms[0]
        if len(terms) != len(self.targets):
            return None
        by_target: dict[float, Term] = {}
        for target, whole in zip(self.targets, terms, strict=True):
            if by_target.setdefault(target, whole) is not whole:
                return None
        positive, negative = by_target.get(1.0), by_target.get(0.0)
        if positive is None or negative is None or set(by_target) != {0.0, 1.0}:
            return None
        return _merged(positive, negative)

    def _root(self, taken: list[int], place: Place) -> None:
        terms = [self._of(element) for element in taken]
        whole = self._unified(terms)
        # Sums of what was summed before, and what the logits have no part in, are no roots.
        if any(element in self.owners.of_logits and len(self.owners.of(element)) == 1 for element in taken):
            self.summed.append((whole, taken))
        known = {root.term for root in self.result.roots}
        if whole is not None and whole not in known and any(part is LOGIT for part in subterms(whole)):
            written = (part for part, computed in self.result.places.items() if computed is whole)
            self.result.roots.append(Root(whole, next(written, place)))  # the term itself, and not the sum or mean of it

    def _place_of(self, elements: list[int]) -> Place:
        producer = self.elements.producer[elements[0]] if elements else -1
        return self.recording.operations[producer].place if producer >= 0 else Place()


def _merged(positive: Term, negative: Term) -> Term | None:
    if positive is negative:
        return positive
    if positive.op == negative.op == "constant":
        if not all(math.isfinite(float(leaf.value)) for leaf in (positive, negative)):
            return None
        return term("where", term("eq", TARGET, constant(1)), positive, negative)
    if positive.op != negative.op or len(positive.args) != len(negative.args) or positive.value != negative.value:
        return None
    args = [_merged(a, b) for a, b in zip(positive.args, negative.args, strict=True)]
    if any(argument is None for argument in args):
        return None
    return term(positive.op, *(argument for argument in args if argument is not None), value=positive.value, source=positive.source)


def _detached(inner: Term) -> Term:
    return inner if inner.op == "constant" else term("detach", inner)


def _calls(op: Operation) -> Any:
    return op.plan.calls if op.plan else ()
