"""Ops that add into places named by an index; the index is taken as computed."""

from __future__ import annotations

import itertools
from typing import Any

from losscheck.tracing.ops.table import whole


def shape_of(nested: Any) -> tuple[int, ...]:
    return (len(nested), *shape_of(nested[0])) if isinstance(nested, list) and nested else (0,) if isinstance(nested, list) else ()


def copied(nested: Any) -> Any:
    return [copied(inner) for inner in nested] if isinstance(nested, list) else nested


def get(nested: Any, place: tuple[int, ...]) -> Any:
    for index in place:
        nested = nested[index]
    return nested


def add_at(m: Any, nested: list[Any], place: tuple[int, ...], value: Any) -> None:
    row = get(nested, place[:-1])
    row[place[-1]] = m.add(row[place[-1]], value)


@whole("scatter_add", x=(2, 3), dim=1, index=[[0, 0, 2], [1, 1, 0]], src=(2, 3))
def scatter_add(m: Any, x: Any, dim: int, index: Any, src: Any) -> Any:
    result = copied(x)
    shape = shape_of(index)
    for place in itertools.product(*map(range, shape)):
        axis = dim % len(shape)
        add_at(m, result, (*place[:axis], get(index, place), *place[axis + 1 :]), get(src, place))
    return result


@whole("unfold_backward", grad_in=(2, 2), input_sizes=[3], dim=0, size=2, step=1)
def unfold_backward(m: Any, grad_in: Any, input_sizes: list[int], dim: int, step: int) -> Any:
    result: Any = m.number(0)
    for size in reversed(input_sizes):
        result = [copied(result) for _ in range(size)]
    for place in itertools.product(*map(range, shape_of(grad_in))):
        axis = dim % len(input_sizes)
        window = place[axis] * step + place[-1]
        add_at(m, result, (*place[:axis], window, *place[axis + 1 : -1]), get(grad_in, place))
    return result


@whole("index_add", x=(3, 2), dim=0, index=[0, 2, 0], source=(3, 2), alpha=2.0)
def index_add(m: Any, x: Any, dim: int, index: Any, source: Any, alpha: float) -> Any:
    result, scale = copied(x), m.number(alpha)
    for place in itertools.product(*map(range, shape_of(source))):
        axis = dim % len(place)
        add_at(m, result, (*place[:axis], index[place[axis]], *place[axis + 1 :]), m.mul(scale, get(source, place)))
    return result


@whole("_index_put_impl", "index_put", x=(3,), indices=[[0, 2, 0]], values=(3,), accumulate=True)
def index_put(m: Any, x: Any, indices: Any, values: Any, accumulate: bool) -> Any:
    """Lists of positions, or one mask, over the leading axes."""
    result = copied(x)
    if any(index is None for index in indices):
        raise NotImplementedError("index_put with an axis left out")
    if isinstance(_first(indices[0]), bool):
        places = [place for place in itertools.product(*map(range, shape_of(indices[0]))) if get(indices[0], place)]
    else:
        shape = max((shape_of(index) for index in indices), key=len)
        places = [tuple(_broadcast(index, place) for index in indices) for place in itertools.product(*map(range, shape))]
    for count, place in enumerate(places):
        place = tuple(index % len(get(x, place[:axis])) for axis, index in enumerate(place))
        value = values if not isinstance(values, list) else values[0 if len(values) == 1 else count]
        _put(m, result, place, value, accumulate)
    return result


def _first(nested: Any) -> Any:
    while isinstance(nested, list):
        nested = nested[0] if nested else False
    return nested


def _broadcast(index: Any, place: tuple[int, ...]) -> int:
    shape = shape_of(index)
    return int(get(index, tuple(0 if size == 1 else at for size, at in zip(shape, place[len(place) - len(shape) :], strict=True))))


def _put(m: Any, nested: list[Any], place: tuple[int, ...], value: Any, accumulate: bool) -> None:
    row = get(nested, place[:-1])
    old = row[place[-1]]
    if isinstance(old, list):
        for index in range(len(old)):
            _put(m, nested, (*place, index), value[index] if isinstance(value, list) else value, accumulate)
    else:
        row[place[-1]] = m.add(old, value) if accumulate else value
