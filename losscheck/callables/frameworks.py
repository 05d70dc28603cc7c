"""Which frameworks a callable uses, found by looking at it: its module, what its code names, the classes it is made of.

Nothing is imported for that: whoever uses a framework has imported it.
"""

from __future__ import annotations

import dis
import functools
import inspect
import os
import re
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from losscheck.backends import tensorflow
from losscheck.backends.extras import installed
from losscheck.callables.apart import Elsewhere

__all__ = ["RUNS", "before_import", "choose_keras_backend", "imports", "uses"]

# The backends that run callables, and the packages that belong to them.
RUNS = ("torch", "numpy", "tensorflow", "jax", "paddle")
_PACKAGES = {
    **{name: name for name in RUNS},
    **dict.fromkeys(("tf_keras", "tensorflow_addons", "tensorflow_probability"), "tensorflow"),
    **dict.fromkeys(("jaxlib", "flax", "optax", "equinox"), "jax"),
    **dict.fromkeys(("torchvision", "torchmetrics"), "torch"),
}
_KERAS = ("tensorflow", "jax", "torch")  # what Keras runs on
_CALLS = ("__init__", "__call__", "forward", "call")
_DEEP = 5  # calls from the callable to the function that at last uses a framework


def uses(target: Any) -> tuple[str, ...]:
    """The backends whose frameworks a callable uses, those with gradients first; empty where it shows none."""
    if isinstance(target, Elsewhere):
        return target.frameworks
    found: dict[str, None] = {}
    for package in _packages(target, set(), _DEEP):
        backend = _keras_backend() if package == "keras" else _PACKAGES.get(package)
        if backend:
            found[backend] = None
    return tuple(sorted(found, key=lambda backend: backend == "numpy"))


def choose_keras_backend(backends: tuple[str, ...]) -> None:
    """Before Keras is imported: on the first of some backends that it runs on, else as the environment says, else on what is here.

    It is one backend a process. The default of Keras is TensorFlow, also where there is none.
    """
    wanted = [backend for backend in backends if backend in _KERAS]
    if "keras" in sys.modules or not (wanted or "KERAS_BACKEND" not in os.environ):
        return
    if wanted:
        os.environ["KERAS_BACKEND"] = wanted[0]
    elif not installed("tensorflow"):
        os.environ["KERAS_BACKEND"] = next(filter(installed, _KERAS), "torch")


def before_import(text: str) -> None:
    """Before a module of that name, or a file of that text, is imported: what its frameworks say of themselves is kept back."""
    if "keras" in text:
        choose_keras_backend(())
    keras_on_it = "keras" in text and os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow"
    if ("tensorflow" in text or keras_on_it) and "tensorflow" not in sys.modules and installed("tensorflow"):
        tensorflow.load()


def imports(home: str, framework: str) -> bool:
    """Does a module, by its name, or a file, by its path, import a framework or belong to it, as far as its own text tells?"""
    if home.endswith(".py"):
        text = Path(home).expanduser()
    else:
        root, *parts = home.split(".")
        if root == framework:
            return True
        found = find_spec(root) if root not in sys.modules and root.isidentifier() else None
        folders = list(found.submodule_search_locations or []) if found else []
        text = Path(*folders[:1], *parts).with_suffix(".py") if folders else Path(found.origin or "") if found else Path()
    if not text.is_file():
        return False
    return re.search(rf"^\s*(import|from)\s+{framework}\b", text.read_text(encoding="utf-8", errors="replace"), re.MULTILINE) is not None


def _keras_backend() -> str:
    keras = sys.modules.get("keras")
    return str(keras.config.backend()) if keras is not None else ""


def _packages(thing: Any, seen: set[int], depth: int) -> Iterator[str]:
    """The packages that a thing comes from, and that its code names."""
    if id(thing) in seen or depth < 0:
        return
    seen.add(id(thing))
    if isinstance(thing, ModuleType):
        yield _root(thing.__name__)
        return
    home = _root(getattr(thing, "__module__", None) or "")
    if home in _PACKAGES or home == "keras":
        yield home
        return
    if isinstance(thing, functools.partial):
        yield from _packages(thing.func, seen, depth)
    elif isinstance(thing, MethodType):
        yield from _packages(thing.__func__, seen, depth)
        yield from _packages(type(thing.__self__), seen, depth)
    elif inspect.isclass(thing):
        yield from _of_class(thing, seen, depth)
    elif isinstance(thing, FunctionType):
        yield from _of_function(thing, seen, depth)
    elif inner := getattr(thing, "__wrapped__", None) or getattr(thing, "python_function", None):
        yield _root(type(thing).__module__)
        yield from _packages(inner, seen, depth)
    elif type(thing).__module__ != "builtins":
        yield from _packages(type(thing), seen, depth)


def _of_class(thing: type, seen: set[int], depth: int) -> Iterator[str]:
    for base in thing.__mro__:
        yield _root(base.__module__)
        for name in _CALLS:
            if isinstance(method := vars(base).get(name), FunctionType):
                yield from _packages(method, seen, depth)


def _of_function(function: FunctionType, seen: set[int], depth: int) -> Iterator[str]:
    inner = getattr(function, "__wrapped__", None)
    if inner is not None:
        yield from _packages(inner, seen, depth)
    names, imported = _names(function.__code__)
    yield from map(_root, imported)
    cells = [cell.cell_contents for cell in function.__closure__ or () if cell != type(cell)()]
    named = [function.__globals__[name] for name in names if name in function.__globals__] + cells
    for callee in named:
        if isinstance(callee, ModuleType) and _root(callee.__name__) not in (*_PACKAGES, "keras"):
            # Of a library that is no framework, what is called: optax.sigmoid_binary_cross_entropy, mylib.focal.
            for name in names & set(vars(callee)):
                yield from _packages(vars(callee)[name], seen, depth - 1)
        elif callable(callee) or isinstance(callee, ModuleType):
            yield from _packages(callee, seen, depth - 1)


def _names(code: CodeType) -> tuple[set[str], set[str]]:
    """What a function and those inside it name, and what they import."""
    names = set(code.co_names)
    imported = {str(step.argval) for step in dis.get_instructions(code) if step.opname == "IMPORT_NAME"}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            more_names, more_imported = _names(constant)
            names, imported = names | more_names, imported | more_imported
    return names, imported


def _root(module: str) -> str:
    return module.partition(".")[0]
