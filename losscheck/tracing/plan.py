"""How one recorded op is computed exactly: a function, and which elements each call of it takes and makes."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from losscheck.oracle.extended import UNKNOWN, UndecidedError
from losscheck.tracing.ops import ExactOp, Layout

__all__ = ["ElementCall", "Plan", "bind", "plan_of"]

# (elements made, elements taken)
ElementCall = tuple[Sequence[int], Sequence[int]]
MEAN = 1  # PyTorch's code for reduction="mean"; 0 is "none", 2 is "sum"


@dataclass(frozen=True)
class Plan:
    """``function(m, taken) -> made`` for each call."""

    function: Callable[[Any, list[Any]], Sequence[Any]]
    calls: tuple[ElementCall, ...]

    def evaluate(self, m: Any, values: list[Any]) -> None:
        """Put what every call makes into ``values``; what cannot be decided at this precision is unknown."""
        for made, taken in self.calls:
            try:
                results = self.function(m, [values[element] for element in taken])
            except UndecidedError:
                results = [UNKNOWN] * len(made)
            for element, result in zip(made, results, strict=True):
                values[element] = result

    def restricted(self, wanted: set[int]) -> Plan | None:
        """The calls that make any wanted element."""
        calls = tuple(call for call in self.calls if not wanted.isdisjoint(call[0]))
        return Plan(self.function, calls) if calls else None


@functools.cache
def _schema(func: Any) -> tuple[tuple[str, Any], ...]:
    return tuple((argument.name, argument.default_value) for argument in func._schema.arguments)


def bind(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call by the names of the op's schema, defaults filled in."""
    return {name: args[index] if index < len(args) else kwargs.get(name, default) for index, (name, default) in enumerate(_schema(func))}


def plan_of(op: ExactOp, arguments: dict[str, Any], ids: dict[str, Any], made: Any, constant: Callable[[Any], int]) -> Plan:
    """The plan of a call.

    Args:
        arguments: by schema name, tensors as they are.
        ids: the elements of each tensor argument.
        made: the elements of the result, in its shape.
        constant: makes a Python number an element.

    A call that the definition does not cover raises whatever that leads to; the recorder takes its values as computed.
    """
    if op.layout is Layout.POINTWISE:
        return _pointwise(op, arguments, ids, made, constant)
    if op.layout is Layout.WHOLE:
        return _whole(op, arguments, ids, made)
    tensors = [name for name in op.parameters if name in ids]
    raw = {("x" if name == "self" else name): arguments.get(name) for name in op.parameters if name not in ids}
    if op.layout is Layout.REDUCTION:
        rows = _rows(ids["self"], arguments.get("dim"))
        function = functools.partial(op.function, **raw)
        outputs = made.reshape(-1).tolist()
        return Plan(lambda m, taken: [function(m, taken)], tuple(([out], row) for out, row in zip(outputs, rows, strict=True)))
    dim = arguments["dim"]
    lines = [_along(ids[name], dim) for name in tensors]
    length = len(lines[0][0]) if lines[0] else 0

    def function_along(m: Any, taken: list[Any]) -> Sequence[Any]:
        parts = [taken[start : start + length] for start in range(0, len(taken), length)]
        return op.function(m, *parts, **raw)  # type: ignore[no-any-return]

    return Plan(
        function_along,
        tuple((out, sum(parts, [])) for out, *parts in zip(_along(made, dim), *lines, strict=True)),  # noqa: RUF017
    )


def _pointwise(op: ExactOp, arguments: dict[str, Any], ids: dict[str, Any], made: Any, constant: Callable[[Any], int]) -> Plan:
    shape = _broadcast([tuple(ids[name].shape) for name in op.parameters if name in ids]) or tuple(made.shape)
    fused = "reduction" in arguments
    if not fused and len(made.shape) >= len(shape):
        shape = tuple(made.shape)
    size = math.prod(shape)
    columns: list[list[int]] = []
    fixed: dict[int, Any] = {}
    for position, name in enumerate(op.parameters):
        value = arguments.get(name)
        if name in ids:
            columns.append(ids[name].expand(shape).reshape(-1).tolist())
        elif isinstance(value, int | float) and not isinstance(value, bool):
            columns.append([constant(value)] * size)
        else:
            fixed[position] = value
    function = op.function if not fixed else _with_fixed(op.function, fixed)
    if fused and "grad_output" in arguments and arguments["reduction"] == MEAN:
        function = _shared(function, op.parameters.index("grad_output"), ids["self"].numel())
    outputs = made.reshape(-1).tolist()
    if fused and "grad_output" not in arguments and arguments["reduction"]:
        # The whole is one call: the columns follow each other.
        return Plan(_reduced(function, size, len(columns), arguments["reduction"] == MEAN), ((outputs, sum(columns, [])),))  # noqa: RUF017
    return Plan(lambda m, taken: (function(m, *taken),), tuple(([out], row) for out, *row in zip(outputs, *columns, strict=True)))


def _with_fixed(function: Callable[..., Any], fixed: dict[int, Any]) -> Callable[..., Any]:
    def complete(m: Any, *taken: Any) -> Any:
        arguments = list(taken)
        for position, value in fixed.items():
            arguments.insert(position, value)
        return function(m, *arguments)

    return complete


def _shared(function: Callable[..., Any], position: int, count: int) -> Callable[..., Any]:
    """A backward op of a mean: each element has its share of the incoming slope."""

    def share(m: Any, *taken: Any) -> Any:
        arguments = list(taken)
        arguments[position] = m.div(arguments[position], m.number(count))
        return function(m, *arguments)

    return share


def _reduced(function: Callable[..., Any], size: int, width: int, mean: bool) -> Callable[[Any, list[Any]], list[Any]]:
    def reduced(m: Any, taken: list[Any]) -> list[Any]:
        total = m.number(0)
        for index in range(size):
            total = m.add(total, function(m, *(taken[column * size + index] for column in range(width))))
        return [m.div(total, m.number(size)) if mean else total]

    return reduced


def _whole(op: ExactOp, arguments: dict[str, Any], ids: dict[str, Any], made: Any) -> Plan:
    shapes: dict[str, tuple[int, ...]] = {}
    taken: list[int] = []
    raw: dict[str, Any] = {}
    for name in op.parameters:
        value: Any = arguments.get(name)
        key = "x" if name == "self" else name
        if name in ids and value.is_floating_point():
            shapes[key] = tuple(ids[name].shape)
            taken += ids[name].reshape(-1).tolist()
        elif name in ids:
            raw[key] = value.tolist()
        elif isinstance(value, list | tuple) and any(hasattr(part, "tolist") for part in value):
            raw[key] = [None if part is None else part.tolist() for part in value]
        else:
            raw[key] = value

    def function(m: Any, values: list[Any]) -> list[Any]:
        supply = iter(values)
        nested = {key: _nested(supply, shape) for key, shape in shapes.items()}
        return list(_flat(op.function(m, **nested, **raw)))

    return Plan(function, ((made.reshape(-1).tolist(), taken),))


def _nested(supply: Iterator[Any], shape: tuple[int, ...]) -> Any:
    return [_nested(supply, shape[1:]) for _ in range(shape[0])] if shape else next(supply)


def _flat(nested: Any) -> Iterator[Any]:
    if isinstance(nested, list):
        for inner in nested:
            yield from _flat(inner)
    else:
        yield nested


def _rows(ids: Any, dim: Any) -> list[list[int]]:
    """For each element of a reduction's result, in order, the elements that it is made of."""
    count = ids.dim()
    if not count:
        return [[int(ids)]]
    reduced = [dim] if isinstance(dim, int) else list(dim) if dim else list(range(count))
    reduced = [axis % count for axis in reduced]
    rest = [axis for axis in range(count) if axis not in reduced]
    size = math.prod(ids.shape[axis] for axis in rest)
    rows: list[list[int]] = ids.permute(*rest, *reduced).reshape(size, -1).tolist() if ids.numel() else [[] for _ in range(size)]
    return rows


def _along(ids: Any, dim: int) -> list[list[int]]:
    if not ids.dim():
        return [[int(ids)]]
    lines: list[list[int]] = ids.movedim(dim, -1).reshape(-1, ids.shape[dim]).tolist()
    return lines


def _broadcast(shapes: list[tuple[int, ...]]) -> tuple[int, ...]:
    """The shape that they broadcast to. (torch's own function imports sympy.)"""
    width = max((len(shape) for shape in shapes), default=0)
    padded = [(1,) * (width - len(shape)) + shape for shape in shapes]
    return tuple(next((size for size in sizes if size != 1), 1) for sizes in zip(*padded, strict=True))
