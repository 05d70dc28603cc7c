"""From ``package.module:function`` or ``path/to/file.py:name`` to the callable, and from what it raises to one line about it."""

from __future__ import annotations

import contextlib
import difflib
import functools
import importlib
import importlib.util
import inspect
import io
import pkgutil
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from losscheck.callables.refusal import describe_error, is_machinery, seen_from, shown_path
from losscheck.core.errors import UserError, nearest

__all__ = [
    "Own",
    "bring",
    "handed_over",
    "is_registered",
    "is_spec",
    "load",
    "register",
    "run",
    "silence",
    "stdout_to_stderr",
]

_SLIP = 0.75  # how alike two names of modules are where one is the other misspelt


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


def stdout_to_stderr() -> contextlib.AbstractContextManager[Any]:
    """What a callable prints is chatter: it goes to standard error."""
    if sys.stdout is sys.stderr:  # as within another of these, block by block
        return contextlib.nullcontext()
    return contextlib.redirect_stdout(sys.stderr)


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """What it prints while it is only tried out is not of interest."""
    with contextlib.redirect_stderr(io.StringIO()), stdout_to_stderr():
        yield


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


# What came from another process (travelling.py): files by the homes that specs name.
_BROUGHT: dict[str, Callable[[], ModuleType]] = {}


def bring(files: Mapping[str, Callable[[], ModuleType]], callables: Iterable[Own], folder: Path) -> None:
    """Take what another process loaded in the place of what it brought before; ``files`` are run when they are asked for."""
    _BROUGHT.clear()
    _BROUGHT.update(files)
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
    module = _file(home) if home.endswith(".py") or "/" in home else _module(home)
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


def _before_import(name: str) -> None:
    from losscheck.callables.frameworks import before_import

    before_import(name)


def _module(name: str) -> ModuleType:
    _before_import(name)
    try:
        with stdout_to_stderr(), _importable(Path.cwd()):
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (inner := _inner(name)) is not None:
            return inner
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise _broken(name, error) from None
        raise _missing(error.name) from None
    except (Exception, SystemExit) as error:
        raise _broken(name, error) from None


def _inner(name: str) -> ModuleType | None:
    """A module that is an attribute of another one and no file of its own, as those of tensorflow.keras are."""
    outer, _, last = name.rpartition(".")
    inner = getattr(sys.modules.get(outer) or (_inner(outer) if outer else None), last, None)
    return inner if isinstance(inner, ModuleType) else None


def _missing(name: str) -> UserError:
    """There is no such module: the nearest of its package, or of all that are installed."""
    parent, _, last = name.rpartition(".")
    inside = getattr(sys.modules.get(parent), "__path__", None)
    if parent and inside is None:
        return UserError(f"there is no module {name!r}", f"{parent} is a module and no package; {parent}:{last} would be its {last}")
    names = [info.name for info in pkgutil.iter_modules(inside)]
    # What merely begins alike, as torchvision and torch do, is another package: then it is not installed.
    slips = difflib.get_close_matches(last, names, n=1, cutoff=_SLIP)
    if slips or parent:
        return UserError(f"there is no module {name!r}", nearest(last, slips or names))
    return UserError(f"there is no module {name!r} here", "install what brings it, or start where it can be imported from")


@functools.cache
def _file_at(path: Path) -> ModuleType:
    text = path.read_text(encoding="utf-8", errors="replace")
    _before_import(text)
    if re.search(r"^\s*from\s+\.", text, re.MULTILINE):
        return _in_its_package(path)
    name = f"own_{path.stem}_{len(sys.modules)}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses and pickle look a module up by its name.
    sys.modules[name] = module
    run(module, path)
    return module


def _in_its_package(path: Path) -> ModuleType:
    """A file with relative imports, as a module of the package that its folders are."""
    root = path.parent.parent
    while (root / "__init__.py").is_file():
        root = root.parent
    name = ".".join(path.relative_to(root).with_suffix("").parts)
    try:
        with stdout_to_stderr(), _importable(root):
            return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise _broken(str(path), error) from None


def run(module: ModuleType, path: Path) -> None:
    """Execute a module of the user's.

    Raises:
        UserError: when it cannot be; the place in the user's file is named.
    """
    assert module.__spec__ is not None and module.__spec__.loader is not None
    try:
        with stdout_to_stderr(), _importable(path.parent):
            module.__spec__.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise _broken(str(path), error) from None


def _file(text: str) -> ModuleType:
    if text in _BROUGHT:
        return _BROUGHT[text]()
    path = Path(text).expanduser()
    if not path.is_file():
        folder = path.parent
        names = [str(folder / file.name) for file in folder.glob("*.py")] if folder.is_dir() else []
        raise UserError(f"there is no file {text}", nearest(text, names) if names else f"{folder} holds no Python files")
    return _file_at(path.resolve())


def _broken(name: str, error: BaseException) -> UserError:
    if isinstance(error, SyntaxError) and error.filename:
        place = f" ({shown_path(error.filename)}:{error.lineno})"
        return UserError(f"{name} cannot be imported: {type(error).__name__}: {error.msg}{place}", "mend the file")
    frames = [frame.filename for frame in traceback.extract_tb(error.__traceback__) if not is_machinery(frame.filename)]
    return UserError(f"{name} cannot be imported: {describe_error(error, frames[0] if frames else '')}", "mend that line, or what it needs")


@contextlib.contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """The folder comes first while a module is imported, as with `python -m` and `python path/to/file.py`.

    Afterwards it comes last: what a function imports when it is called is found, and a file of theirs called like a package
    that we import later does not take its place.
    """
    known = str(folder) in sys.path
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        if not known:
            sys.path.append(str(folder))


def _callables(home: Any) -> Sequence[str]:
    return [name for name, value in vars(home).items() if callable(value) and not name.startswith("_")]


def _line(target: Any) -> int:
    try:
        return inspect.getsourcelines(target)[1]
    except (OSError, TypeError):
        return 0
