"""What the functions of the API take alike: one value or several, implementations and callables, who listens meanwhile."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from losscheck.core.call_spec import DEFAULT_CALL, CallSpec
from losscheck.core.errors import UserError, nearest

if TYPE_CHECKING:
    from losscheck.core.report import Report

__all__ = ["SILENT", "Implementations", "Listener", "Some", "call_spec_of", "common", "dtype_name", "many", "specs_of"]

T = TypeVar("T")
# One or several of a type.
Some: TypeAlias = T | Sequence[T]
# A name, a glob, package.module:function, path/to/file.py:function, or a callable itself.
Implementations: TypeAlias = str | Callable[..., Any] | Sequence[str | Callable[..., Any]]


@contextlib.contextmanager
def _no_progress(total: int) -> Iterator[Callable[[int], None]]:
    yield lambda points: None


@contextlib.contextmanager
def _no_activity() -> Iterator[Callable[[str], None]]:
    yield lambda words: None


@dataclass(frozen=True)
class Listener:
    """Who is told what while a command works.

    Attributes:
        note: gets a sentence about what was left out, or written where.
        progress: a context manager of a total, whose value is called with the points done.
        activity: a context manager whose value is called with what is being done, where nobody knows how much it is.
        show: gets the report of a gate before baselines are recorded.
        always: options that ``reproduce`` repeats even where they are the defaults.
    """

    note: Callable[[str], None] = lambda sentence: None
    progress: Callable[[int], AbstractContextManager[Callable[[int], None]]] = _no_progress
    activity: Callable[[], AbstractContextManager[Callable[[str], None]]] = _no_activity
    show: Callable[[Report], None] = lambda report: None
    always: Collection[str] = ()


SILENT = Listener()


def many(value: Any) -> tuple[Any, ...]:
    """One value as a sequence of one; sequences, arrays and tensors as they are. A text is one value; None is none."""
    if value is None:
        return ()
    if hasattr(value, "tolist"):  # an array or a tensor
        value = value.tolist()
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else (value,)


def common(asked: Mapping[str, Any], calling: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that all functions share, as :func:`losscheck.measure.ask.ask` takes them."""
    several = {name: many(asked[name]) for name in ("loss", "backend", "device", "mode", "quantity")}
    return {
        **several,
        "impl": specs_of(asked["impl"]),
        "dtype": tuple(map(dtype_name, many(asked["dtype"]))),
        "call_spec": call_spec_of(calling),
        **{name: asked[name] for name in ("params", "oracle", "digits", "max_ulp")},
    }


def call_spec_of(calling: Mapping[str, Any]) -> CallSpec:
    """How callables are called, from keyword arguments.

    Raises:
        UserError: for an argument there is none of.
    """
    known = ("keywords", "call", "input", "pick", "axes", "formula")
    for name in calling:
        if name not in known:
            raise UserError(f"there is no argument {name!r}", nearest(name, known))
    keywords = dict(calling.get("keywords") or {})
    held = tuple((name, tuple(value) if isinstance(value, list) else value) for name, value in keywords.items())
    texts = {name: calling.get(name) or "" for name in ("pick", "axes", "formula")}
    return CallSpec(held, calling.get("call") or DEFAULT_CALL, calling.get("input") or "logits", **texts)


def specs_of(impl: Implementations) -> tuple[str, ...]:
    """Names as they are; a callable gets one, under which it is found again in this process."""
    from losscheck.callables.loading import register

    several = [impl] if isinstance(impl, str) or callable(impl) else list(impl)
    return tuple(implementation if isinstance(implementation, str) else register(implementation) for implementation in several)


def dtype_name(dtype: Any) -> str:
    """The dtypes of torch and numpy have names, too."""
    return str(getattr(dtype, "__name__", dtype)).removeprefix("torch.")
