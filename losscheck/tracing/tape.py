"""The recorder: every op of one call, forward and backward, with its place, the elements it took and made, and how to run it again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from losscheck.tracing import ops as exact_ops
from losscheck.tracing.dispatch import handed_to
from losscheck.tracing.lineage import Lineage
from losscheck.tracing.memory import Memory, TapeElements, TensorRef, float_format_of, mapped, tensors_in, values_of
from losscheck.tracing.moving import moved_elements
from losscheck.tracing.notes import Note, NoteKind
from losscheck.tracing.ops import movement
from losscheck.tracing.places import NOWHERE, Place, innermost_place
from losscheck.tracing.plan import Plan, bind, plan_of

__all__ = ["OpKind", "Operation", "Tape", "base_name", "in_place", "is_random", "skipped_folders"]


class OpKind:
    """What the exact run does with an op."""

    EXACT = "exact"  # it has a plan
    VIEW = "view"  # no element is made or moved
    MOVE = "move"  # elements are moved, none is made
    CONSTANT = "constant"  # makes constants
    RANDOM = "random"  # its values are taken as drawn
    TAKEN = "taken"  # no exact definition: its computed values are taken as exact
    LEAVES = "leaves"  # hands a value to Python


class Operation:
    """One op of the tape.

    Attributes:
        index: its position on the tape.  name: of the aten op, without namespace, overload and the underscore of in-place forms.
        place: the innermost line of source outside torch; of a backward op, the place of the op it differentiates.
        backward: it ran in the backward pass.  forward: the index of the op that it differentiates.
        kind: of :class:`OpKind`.  plan: how it is computed exactly.
        made: the elements of its first result, in logical order.  format: theirs, None when they are no floats.
    """

    __slots__ = ("args", "backward", "format", "forward", "func", "index", "kind", "kwargs", "made", "name", "place", "plan", "results")

    def __init__(self, index: int, func: Any, place: Place, forward: int | None, backward: bool) -> None:
        self.index = index
        self.func = func
        self.name = base_name(func) if func is not None else "detach"
        self.place = place
        self.backward = backward
        self.forward = forward
        self.kind = OpKind.TAKEN
        self.plan: Plan | None = None
        self.made: list[int] = []
        self.format: Any = None
        self.args: Any = ()
        self.kwargs: dict[str, Any] = {}
        self.results: list[TensorRef] = []

    @property
    def taken(self) -> set[int]:
        """The elements that its exact value depends on."""
        return {element for _, taken in self.plan.calls for element in taken} if self.plan else set()


WITH_LOSSES = ("losses", "implementations", "core")


def skipped_folders() -> tuple[str, ...]:
    """Where no line of the user's stands: PyTorch's own files, and ours but those that losses are written in."""
    import torch

    ours = Path(__file__).parents[1]
    rooms = [str(room) for room in ours.iterdir() if room.name not in WITH_LOSSES]
    return str(Path(torch.__file__).parent), *rooms


def base_name(func: Any) -> str:
    """Of an aten op, without namespace, overload and the underscore of in-place forms."""
    name: str = func._schema.name.removeprefix("aten::")
    return name[:-1] if in_place(func) else name


def in_place(func: Any) -> bool:
    """Does it write what it returns into its first argument?"""
    name = func._schema.name
    return name.endswith("_") and not name.endswith("__")


class Tape:
    """Records while :meth:`recording` is active. Elements that it meets for the first time are leaves."""

    def __init__(self, stop: Any = None) -> None:
        self.operations: list[Operation] = []
        self.elements = TapeElements()
        self.memory = Memory(self.elements)
        self.notes: list[Note] = []
        self._stop = stop
        self._skipped = skipped_folders()
        self._lineage = Lineage()
        # Tensors without slope though their elements have one: what was detached, or made under no_grad.
        self._blocked: dict[int, Any] = {}

    def recording(self) -> Any:
        """The context in which every op of this thread, and of the backward passes it starts, is recorded."""
        return handed_to(self)

    # One op -----------------------------------------------------------------------------------------------------

    def record(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run an op and enter it."""
        import torch

        place = innermost_place(self._stop, self._skipped)
        backward, forward = self._lineage.of(len(self.operations), place is not None)
        place = place or self._place_of(forward)
        cut = bool(self._blocked) and not backward and torch.is_grad_enabled()
        # Read before the call: an in-place op changes them.
        ids = mapped(lambda tensor: self._ids(tensor, cut, place), args)
        keyword_ids = {name: self._ids(value, cut, place) for name, value in kwargs.items() if isinstance(value, torch.Tensor)}
        op = Operation(len(self.operations), func, place, forward, backward)
        op.args = mapped(self.memory.ref, args)
        op.kwargs = {name: self.memory.ref(value) if name in keyword_ids else value for name, value in kwargs.items()}
        result = func(*args, **kwargs)
        self.operations.append(op)
        results = [part for part in (result if isinstance(result, list | tuple) else [result]) if isinstance(part, torch.Tensor)]
        if results:
            self._enter(op, args, kwargs, ids, keyword_ids, results)
        else:
            self._left(op, args, ids)
        return result

    def _place_of(self, forward: int | None) -> Place:
        return NOWHERE if forward is None else self.operations[forward].place

    def _left(self, op: Operation, args: tuple[Any, ...], ids: Any) -> None:
        """An op whose result is a Python value."""
        op.kind = OpKind.LEAVES
        if op.name == "_local_scalar_dense":
            op.made = ids[0].reshape(-1).tolist()
            branch = str(args[0].dtype) == "torch.bool"
            self.notes.append(Note(NoteKind.BRANCH if branch else NoteKind.LEFT_TRACE, op.index, op.place))
        elif op.name in ("equal", "is_nonzero", "allclose"):
            self.notes.append(Note(NoteKind.BRANCH, op.index, op.place, op.name))

    def _ids(self, tensor: Any, cut: bool, place: Place) -> Any:
        """The elements of a tensor; of one without slope, where ``cut`` says that slopes count, copies that have none.

        They are copies because a detached tensor shares its storage with the one that keeps its slope.
        """
        ids = self.memory.ids(tensor).clone()
        if not cut or id(tensor) not in self._blocked or tensor.requires_grad:
            return ids
        op = Operation(len(self.operations), None, place, None, False)
        op.kind, op.format = OpKind.EXACT, float_format_of(tensor.dtype)
        op.made = list(self.elements.add(values_of(tensor), op.format, op.index))
        op.plan = Plan(_detached, tuple(([out], [element]) for out, element in zip(op.made, ids.reshape(-1).tolist(), strict=True)))
        self.operations.append(op)
        return _tensor(op.made).reshape(ids.shape)

    # What it did ------------------------------------------------------------------------------------------------

    def _enter(
        self, op: Operation, args: tuple[Any, ...], kwargs: dict[str, Any], ids: Any, keyword_ids: dict[str, Any], results: list[Any]
    ) -> None:
        import torch

        first = results[0]
        op.format = float_format_of(first.dtype)
        addresses = {tensor.untyped_storage()._cdata for tensor in tensors_in(args)}
        if not in_place(op.func) and all(result.untyped_storage()._cdata in addresses for result in results):
            op.kind = OpKind.VIEW
        elif (moved := moved_elements(op.func, op.name, args, kwargs, ids, results, self.elements)) is not None:
            op.kind = OpKind.MOVE
            self.memory.put(first, moved)
        else:
            self._made(op, args, kwargs, ids, keyword_ids, results)
        for result in results[1:] if op.kind != OpKind.VIEW else ():
            self.memory.put(result, self.memory.new(result, op.index))
        op.results = [self.memory.ref(result) for result in results]
        blocked = op.name == "detach" or any(id(tensor) in self._blocked for tensor in tensors_in(args) if op.kind == OpKind.VIEW)
        if not op.backward and (blocked or not torch.is_grad_enabled()):
            self._blocked.update((id(result), result) for result in results if op.format)

    def _made(
        self, op: Operation, args: tuple[Any, ...], kwargs: dict[str, Any], ids: Any, keyword_ids: dict[str, Any], results: list[Any]
    ) -> None:
        """An op that made new elements: how they are computed exactly."""
        first = results[0]
        made = self.memory.new(first, op.index)
        op.made = made.reshape(-1).tolist()
        if op.name in movement.FACTORIES:
            op.kind = OpKind.CONSTANT
        elif op.name in movement.RANDOM or is_random(op.func):
            op.kind = OpKind.RANDOM
            self.notes.append(Note(NoteKind.RANDOM, op.index, op.place, op.name))
        elif op.name in ("_to_copy", "copy", "fill"):
            source = (ids[0] if op.name == "_to_copy" else ids[1]).expand(first.shape).reshape(-1).tolist()
            op.kind = OpKind.EXACT
            op.plan = Plan(_cast_to(first), tuple(([out], [element]) for out, element in zip(op.made, source, strict=True)))
        else:
            self._planned(op, args, kwargs, ids, keyword_ids, made)
        self.memory.put(first, made)

    def _planned(
        self, op: Operation, args: tuple[Any, ...], kwargs: dict[str, Any], ids: Any, keyword_ids: dict[str, Any], made: Any
    ) -> None:
        definition = exact_ops.known("maximum" if op.name == "max" else "minimum" if op.name == "min" else op.name)
        if definition is not None and op.func._schema.name.startswith("aten::"):
            import torch

            arguments = bind(op.func, args, kwargs)
            elements = {
                name: value
                for name, value in bind(op.func, ids, {**kwargs, **keyword_ids}).items()
                if isinstance(arguments[name], torch.Tensor)
            }
            try:
                op.plan = plan_of(definition, arguments, elements, made, lambda value: self.elements.constant(value, op.index))
                op.kind = OpKind.EXACT
                return
            except (RuntimeError, TypeError, IndexError, ValueError, KeyError, NotImplementedError):
                # A call that its definition does not cover is one without a definition.
                op.plan = None
        self.take(op)

    def take(self, op: Operation) -> None:
        """Its computed values are exact from here on, and the report says so."""
        op.kind, op.plan = OpKind.TAKEN, None
        if op.format is not None:
            self.notes.append(Note(NoteKind.UNKNOWN_OP, op.index, op.place, op.name))


def _detached(m: Any, taken: list[Any]) -> list[Any]:
    return [m.detach(taken[0])]


def _cast_to(result: Any) -> Callable[[Any, list[Any]], list[Any]]:
    """A cast between formats is no operation of exact arithmetic; to integers it cuts, to truth values it asks."""
    if result.is_floating_point():
        return lambda m, taken: [m.number(taken[0])]
    if str(result.dtype) == "torch.bool":
        return lambda m, taken: [m.truth(taken[0])]
    return lambda m, taken: [_whole_part(m, m.number(taken[0]))]


def _whole_part(m: Any, x: Any) -> Any:
    return m.neg(m.floor(m.neg(x))) if m.less(x, m.number(0)) else m.floor(x)


def is_random(func: Any) -> bool:
    """Does it draw at random?"""
    import torch

    return torch.Tag.nondeterministic_seeded in func.tags


def _tensor(values: list[int]) -> Any:
    import torch

    return torch.tensor(values, dtype=torch.int64)
