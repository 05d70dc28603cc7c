"""The user's own code on its way to other processes and machines: the text of its files, and objects that were handed over.

What is installed does not travel: it must be there, in the same version.
"""

from __future__ import annotations

import functools
import importlib.abc
import importlib.util
import linecache
import pickle
import sys
import sysconfig
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from losscheck.callables.loading import Own, bring, is_registered, is_spec, load
from losscheck.callables.modules import execute
from losscheck.core.errors import UserError
from losscheck.core.request import Request

__all__ = ["Luggage", "is_from_here", "pack", "unpack"]

_HERE = uuid.uuid4().hex  # this process; a fork of it holds all that it holds


@dataclass(frozen=True)
class Source:
    """A Python file: the name it was imported under (or the home by which specs name it), where it lay, and its text."""

    name: str
    path: str
    text: bytes
    package: bool = False


@dataclass(frozen=True)
class Luggage:
    """All of the user's own code that a request needs.

    Attributes:
        process: which one packed it.
        folder: its current folder, which relative paths in messages start from.
        files: those that specs name; modules: those that were imported from beside them.
        callables: objects that were handed over, pickled; empty for none.
        unsent: why they could not be pickled; to this process they need not be.
    """

    process: str
    folder: str
    files: tuple[Source, ...] = ()
    modules: tuple[Source, ...] = ()
    callables: bytes = b""
    unsent: str = ""


def pack(request: Request) -> Luggage:
    """What the callables and the formula of a request are made of; they have been loaded."""
    specs = dict.fromkeys([*filter(is_spec, request.impl), *filter(is_spec, [request.call_spec.formula])])
    files, folders, handed_over = [], set(), []
    for spec in specs:
        own = load(spec)
        if is_registered(spec):
            handed_over.append(own)
        if not own.file or _installed(own.file):
            continue
        home, path = spec.rpartition(":")[0], Path(own.file).resolve()
        if not is_registered(spec) and (home.endswith(".py") or "/" in home):
            files.append(Source(home, str(path), path.read_bytes()))
            folders.add(path.parent)
        else:
            folders.add(path.parents[len(home.split(".")) - 1 + (path.name == "__init__.py")])
    modules = _beside(folders, {file.path for file in files})
    return Luggage(_HERE, str(Path.cwd()), tuple(files), tuple(modules), *_pickled(handed_over))


def is_from_here(luggage: Luggage) -> bool:
    """Was it packed by this very process?"""
    return luggage.process == _HERE


_finders: list[_Finder] = []  # at most one: of what was unpacked last


def unpack(luggage: Luggage) -> None:
    """Make :func:`losscheck.callables.loading.load` find the same code here, in the place of what was unpacked before.

    Raises:
        UserError: when an object that was handed over cannot be made anew here, or could not be sent.
    """
    if luggage.unsent:
        raise UserError(
            f"what was handed over could not be sent here ({luggage.unsent})",
            "write it into a file and name it path/to/file.py:function, or pip install cloudpickle, which takes more",
        )
    for finder in _finders:
        sys.meta_path.remove(finder)
        finder.forget()
    finder = _Finder({module.name: module for module in luggage.modules})
    _finders[:] = [finder]
    finder.forget()  # a module of the same name that was loaded here is another one
    sys.meta_path.insert(0, finder)
    try:
        callables = pickle.loads(luggage.callables) if luggage.callables else []
    except Exception as error:
        raise UserError(
            f"a function that was handed over cannot be made anew here ({type(error).__name__}: {error})",
            "install what it needs here too, or write it into a file and name it path/to/file.py:function",
        ) from None
    bring({file.name: functools.cache(functools.partial(_run, file)) for file in luggage.files}, callables, Path(luggage.folder))


def _run(source: Source) -> ModuleType:
    name = f"own_{Path(source.path).stem}_{len(sys.modules)}"
    module = importlib.util.module_from_spec(_spec(name, source))
    sys.modules[name] = module
    execute(module, Path(source.path))
    return module


def _spec(name: str, source: Source) -> ModuleSpec:
    # Tracebacks, inspect and torch.compile read the text here; without a time of change linecache takes it as it is.
    text = importlib.util.decode_source(source.text)
    linecache.cache[source.path] = (len(text), None, text.splitlines(keepends=True), source.path)
    places = [str(Path(source.path).parent)] if source.package else None
    spec = importlib.util.spec_from_file_location(name, source.path, loader=_Loader(source), submodule_search_locations=places)
    assert spec is not None
    return spec


class _Loader(importlib.abc.ExecutionLoader):
    """Runs a text that came along, as the file it was."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def get_source(self, fullname: str) -> str:
        return importlib.util.decode_source(self.source.text)

    def get_filename(self, fullname: str) -> str:
        return self.source.path

    def is_package(self, fullname: str) -> bool:
        return self.source.package


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the modules that came along before any that are installed here."""

    def __init__(self, modules: dict[str, Source]) -> None:
        self.modules = modules

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        return _spec(fullname, self.modules[fullname]) if fullname in self.modules else None

    def forget(self) -> None:
        for name in self.modules:
            sys.modules.pop(name, None)


def _beside(folders: Iterable[Path], known: set[str]) -> Iterator[Source]:
    """The loaded modules that lie below some folders, and are neither installed nor ours."""
    above = tuple(folders)
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if not file or not file.endswith(".py") or name == "__main__" or name.partition(".")[0] == "losscheck" or _installed(file):
            continue
        path = Path(file).resolve()
        if str(path) not in known and path.is_file() and any(folder in path.parents for folder in above):
            yield Source(name, str(path), path.read_bytes(), package=hasattr(module, "__path__"))


def _installed(file: str) -> bool:
    return Path(file).resolve().is_relative_to(_LIBRARY) or any(part in ("site-packages", "dist-packages") for part in Path(file).parts)


_LIBRARY = Path(sysconfig.get_path("stdlib")).resolve()


def _pickled(callables: list[Own]) -> tuple[bytes, str]:
    """Pickled, or why not; with cloudpickle where it is: it takes what was defined in a notebook or inside a function as well."""
    if not callables:
        return b"", ""
    try:
        dumps: Any = importlib.import_module("cloudpickle" if importlib.util.find_spec("cloudpickle") else "pickle").dumps
        return bytes(dumps(callables)), ""
    except Exception as error:
        return b"", f"{', '.join(own.spec for own in callables)}: {type(error).__name__}: {error}"
