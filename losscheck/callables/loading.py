"""From ``package.module:function`` or ``path/to/file.py:name`` to the callable that a spec names, or that was handed over."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from losscheck.callables.modules import bring_files, module_at, module_named
from losscheck.callables.printed import stdout_to_stderr
from losscheck.callables.refusal import describe_error, seen_from, shown_path
from losscheck.core.errors import UserError, nearest

__all__ = [
    "Own",
    "bring",
    "handed_over",
    "is_registered",
    "is_spec",
    "load",
    "register",
]


@dataclass(frozen=True)
class Own:
    """A callable of the user's: the spec that names it, what was found, and the file it is written in ("" if none)."""

    spec: str
    target: Any
    file: str
    line: int

    @property
    def name(self) -> str:
        return self.spec.rpartition(":")[2]

    @property
    def place(self) -> str:
        """'naive.py:12', as editors open it."""
        return f"{shown_path(self.file)}:{self.line}" if self.file else self.spec.rpartition(":")[0]


def is_spec(text: str) -> bool:
    """Does an ``--impl`` name a callable, and not a glob over what is registered?"""
    return ":" in text


# Callables that were handed over as such, by the specs they were given.
_REGISTERED: dict[str, Own] = {}


def register(target: Callable[..., Any]) -> str:
    """A spec under which :func:`load` finds this very object in this process.

    Raises:
        UserError: when it cannot be called.
    """
    if not callable(target):
        raise UserError(f"{target!r} is a {type(target).__name__}, which cannot be called", "give a function, a class or a name")
    named = target if hasattr(target, "__qualname__") else type(target)
    spec = name = f"{getattr(named, '__module__', None) or 'own'}:{named.__qualname__.replace('<locals>.', '')}"
    number = 1
    # A function that was defined anew, as in a notebook, is another one.
    while spec in _REGISTERED and _REGISTERED[spec].target is not target:
        number += 1
        spec = f"{name}#{number}"
    file = getattr(sys.modules.get(getattr(named, "__module__", "")), "__file__", None) or ""
    _REGISTERED[spec] = Own(spec, target, file, _line(named))
    return spec


def is_registered(spec: str) -> bool:
    """Was a callable handed over under this spec?"""
    return spec in _REGISTERED


def bring(files: Mapping[str, Callable[[], ModuleType]], callables: Iterable[Own], folder: Path) -> None:
    """Take what another process loaded in the place of what it brought before; ``files`` are run when they are asked for."""
    bring_files(files)
    _REGISTERED.update({own.spec: own for own in callables})
    seen_from(folder)


def handed_over(spec: str) -> Own | None:
    """The callable that was handed over under a spec; None for every other one."""
    return _REGISTERED.get(spec)


def load(spec: str, *, elsewhere: bool | None = None) -> Own:
    """The callable that a spec names. A file is run once, however many of its names are asked for.

    Args:
        elsewhere: is it to be loaded in a process of its own? By default what uses a framework that may end the process is.

    Raises:
        UserError: when there is no such module, file or name, with the nearest; when importing it fails.
    """
    home, _, path = spec.rpartition(":")
    if not home or not path:
        raise UserError(f"{spec!r} names no callable", "write package.module:function or path/to/file.py:function")
    from losscheck.callables import apart
    from losscheck.callables.frameworks import imports, uses

    if elsewhere or (elsewhere is None and any(imports(home, framework) for framework in apart.FRAMEWORKS)):
        return _elsewhere(spec)
    own = _REGISTERED[spec] if spec in _REGISTERED else _load(spec, home, path)
    return _elsewhere(spec) if elsewhere is None and not set(apart.FRAMEWORKS).isdisjoint(uses(own.target)) else own


def _load(spec: str, home: str, path: str) -> Own:
    module = module_at(home) if home.endswith(".py") or "/" in home else module_named(home)
    target: Any = module
    for name in path.split("."):
        if not hasattr(target, name):
            raise UserError(f"{home} has no {path!r}", nearest(name, _callables(target)))
        if inspect.isclass(target) and isinstance(inspect.getattr_static(target, name), FunctionType):
            target = _instance(spec, target)
        target = getattr(target, name)
    if not callable(target):
        raise UserError(f"{spec} is a {type(target).__name__}, which cannot be called", nearest(path, _callables(module)))
    return Own(spec, target, getattr(module, "__file__", None) or "", _line(target))


def _instance(spec: str, owner: type) -> Any:
    """An object of the class that a method is asked of."""
    try:
        with stdout_to_stderr():
            return owner()
    except (Exception, SystemExit) as error:
        problem = f"{spec} is a method, and an object of {owner.__name__} cannot be built: {describe_error(error)}"
        raise UserError(problem, "build one in the file, and name its method: file.py:object.method") from None


@functools.cache
def _loaded_elsewhere(spec: str, folder: Path) -> Own:
    from losscheck.callables import apart

    return Own(spec, *apart.load(spec))


def _elsewhere(spec: str) -> Own:
    return _loaded_elsewhere(spec, Path.cwd())


def _callables(home: Any) -> Sequence[str]:
    return [name for name, value in vars(home).items() if callable(value) and not name.startswith("_")]


def _line(target: Any) -> int:
    try:
        return inspect.getsourcelines(target)[1]
    except (OSError, TypeError):
        return 0
