"""The few operations on arrays that it takes to call a callable and to try it out, the same for every framework."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from losscheck.core.dtypes import Format

__all__ = ["Arrays", "array_dtype_name", "arrays_named", "arrays_of", "size"]


class Arrays(Protocol):
    """The arrays of one framework. An array has ``shape`` and ``dtype``, and can be sliced and compared; the rest is here.
    What most frameworks do alike is done here, and overridden where one does not.

    Attributes:
        backend: the backend of the same framework.
        one, many: what people call them: "a tensor", "torch tensors".
    """

    backend: str
    one: str
    many: str

    def module(self) -> Any:
        """What functions get as ``xp``; the framework is imported."""
        ...

    def within(self, dtype: Format, device: str) -> AbstractContextManager[Any]:
        """What calls on arrays of a dtype on a device have to be made in."""
        ...

    def make(self, values: Sequence[float], dtype: Format, device: str = "cpu") -> Any:
        """A flat array of numbers that the dtype holds."""
        ...

    def is_array(self, value: Any) -> bool:
        """Is it an array of this framework?"""
        ...

    def as_array(self, value: Any) -> Any:
        """Such a value as one that can be reshaped."""
        return value

    def copy(self, x: Any) -> Any:
        """Another one with the same numbers; the same one where none can be changed."""
        ...

    def reshape(self, x: Any, shape: tuple[int, ...]) -> Any:
        """In another shape."""
        ...

    def cast(self, x: Any, dtype: str) -> Any:
        """In another dtype, such as int64 or bool."""
        ...

    def sigmoid(self, x: Any) -> Any:
        """The framework's own."""
        ...

    def stack(self, parts: Sequence[Any], axis: int = 0) -> Any:
        """Along a new axis."""
        return self.module().stack(list(parts), axis=axis)

    def singles(self, x: Any) -> list[Any]:
        """Each element of a flat array as an array of one."""
        ...

    def vmap(self, function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any] | None:
        """The function mapped over the first axis of both; None where the framework has no such thing."""
        return None

    def numbers(self, x: Any) -> Any:
        """The same numbers in a flat float64 array of numpy."""
        ...

    def gradient(self, function: Callable[[Any], Any], x: Any) -> Any:
        """d sum(function(x)) / dx; None where x is not reached, or there is no differentiation."""
        ...

    def placed(self, built: Any, x: Any) -> Any:
        """An object of a class, for arrays such as this: a module in its dtype and on its device."""
        return built


# The name of the module that functions get as ``xp`` -> where its arrays are.
_FILES = {"numpy": "numpy", "torch": "torch", "tensorflow": "tensorflow", "jax.numpy": "jax", "paddle": "paddle"}
_LOADED: dict[str, Arrays] = {}


def arrays_of(xp: Any) -> Arrays:
    """The arrays of a module that functions get as ``xp``."""
    return arrays_named(_FILES[xp.__name__])


def arrays_named(backend: str) -> Arrays:
    """The arrays of a backend; its framework is not imported yet."""
    if backend not in _LOADED:  # a compiler that traces this can look into a dictionary and import nothing
        _LOADED[backend] = importlib.import_module(f"losscheck.backends.arrays.{backend}").ARRAYS
    return _LOADED[backend]


def array_dtype_name(x: Any) -> str:
    """'float32', for whatever the framework calls it."""
    return str(getattr(x.dtype, "name", x.dtype)).rpartition(".")[2].lower()


def size(x: Any) -> int:
    """How many numbers it holds."""
    import math

    return math.prod(x.shape)
