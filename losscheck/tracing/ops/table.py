"""The table of exact ops, and the decorators that enter a definition into it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

__all__ = ["ExactOp", "Layout", "along", "known", "pointwise", "reduction", "table", "whole"]


class Layout(Enum):
    """Which elements one call of a definition sees."""

    POINTWISE = "one element of each tensor, broadcast; every number too is one of the arithmetic"
    REDUCTION = "the list of elements that become one; numbers as PyTorch has them"
    ALONG = "a list of elements along `dim` of each tensor, to a list of as many"
    WHOLE = "nested lists of the tensors' shapes, integers as they are; a nested list of the result's shape"


@dataclass(frozen=True)
class ExactOp:
    """The exact definition of one aten op (all its overloads).

    Attributes:
        name: without namespace, overload and the underscore of the in-place form.
        function: ``function(m, ...)``, its parameters named as in the schema, ``x`` for ``self``.
        parameters: those names, as the schema has them.
        sample: what the generated test calls it with, by name: a domain for a tensor, else a value.
    """

    name: str
    layout: Layout
    function: Callable[..., Any]
    parameters: tuple[str, ...]
    sample: dict[str, Any] = field(default_factory=dict, compare=False)


_TABLE: dict[str, ExactOp] = {}


def table() -> dict[str, ExactOp]:
    """Every entry by name."""
    return dict(_TABLE)


def known(name: str) -> ExactOp | None:
    """The entry of that name, if there is one."""
    return _TABLE.get(name)


def _entering(layout: Layout, names: tuple[str, ...], sample: dict[str, Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        parameters = tuple("self" if name == "x" else name for name in list(inspect.signature(function).parameters)[1:])
        given = {"self" if name == "x" else name: value for name, value in sample.items()}
        for name in names:
            if name in _TABLE:
                raise ValueError(f"two exact definitions of {name}: {_TABLE[name].function.__module__} and {function.__module__}")
            _TABLE[name] = ExactOp(name, layout, function, parameters, given)
        return function

    return decorate


def pointwise(*names: str, **sample: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """``f(m, x, other, ...)``: one element of each tensor to one element."""
    return _entering(Layout.POINTWISE, names, sample)


def reduction(*names: str, **sample: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """``f(m, x, ...)``: the list of the elements that are reduced to one."""
    return _entering(Layout.REDUCTION, names, sample)


def along(*names: str, **sample: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """``f(m, x, ...)``: the elements along ``dim``, to a list of as many."""
    return _entering(Layout.ALONG, names, sample)


def whole(*names: str, **sample: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """``f(m, x, ...)``: whole tensors as nested lists, to a nested list."""
    return _entering(Layout.WHOLE, names, sample)
