"""The modules that a user's callables are in: imported by name or run as a file, and one line about what keeps them from it."""

from __future__ import annotations

import contextlib
import difflib
import functools
import importlib
import importlib.util
import pkgutil
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType

from losscheck.callables.printed import stdout_to_stderr
from losscheck.callables.refusal import describe_error, is_machinery, shown_path
from losscheck.core.errors import UserError, nearest

__all__ = ["bring_files", "execute", "module_at", "module_named"]

_SLIP = 0.75  # how alike two names of modules are where one is the other misspelt

# What came from another process (travelling.py): files by the homes that specs name.
_BROUGHT: dict[str, Callable[[], ModuleType]] = {}


def bring_files(files: Mapping[str, Callable[[], ModuleType]]) -> None:
    """Take the files of another process in the place of those it brought before; each is run when it is asked for."""
    _BROUGHT.clear()
    _BROUGHT.update(files)


def module_named(name: str) -> ModuleType:
    """A module by its dotted name.

    Raises:
        UserError: when there is none, with the nearest; when importing it fails, with the place.
    """
    from losscheck.callables.frameworks import before_import

    before_import(name)
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
    from losscheck.callables.frameworks import before_import

    text = path.read_text(encoding="utf-8", errors="replace")
    before_import(text)
    if re.search(r"^\s*from\s+\.", text, re.MULTILINE):
        return _in_its_package(path)
    name = f"own_{path.stem}_{len(sys.modules)}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses and pickle look a module up by its name.
    sys.modules[name] = module
    execute(module, path)
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


def execute(module: ModuleType, path: Path) -> None:
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


def module_at(text: str) -> ModuleType:
    """The module of a file; run once.

    Raises:
        UserError: when there is none, with the nearest; when running it fails.
    """
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
