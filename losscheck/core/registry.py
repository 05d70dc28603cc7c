"""What losses and implementations there are: found by scanning two folders, then entry points. No central list."""

from __future__ import annotations

import ast
import fnmatch
import functools
import importlib
import pkgutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, TypeVar

from losscheck.core.errors import PluginWarning, UserError, nearest
from losscheck.core.loss import EVERY_LOSS, Implementation, Loss

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")
_FEW = 4  # names of a file that a message offers

__all__ = ["implementations", "loss_named", "losses", "registered", "word_of"]


@functools.cache
def losses() -> dict[str, Loss]:
    """Every loss by name, in the order of the files.

    Raises:
        UserError: when two files define a loss of one name.
    """
    by_name: dict[str, tuple[Loss, str]] = {}
    for module in _modules():
        for loss in _instances(module, Loss):
            if loss.name in by_name and by_name[loss.name][0] is not loss:
                raise UserError(f"two losses are called {loss.name!r}", f"rename one of {by_name[loss.name][1]} and {module.__name__}")
            by_name.setdefault(loss.name, (loss, module.__name__))
    return {name: loss for name, (loss, _) in by_name.items()}


@functools.cache
def implementations() -> tuple[Implementation, ...]:
    """Every implementation; one of EVERY_LOSS appears once for each loss.

    Raises:
        UserError: when two files define an implementation of one name for one loss, or of a loss there is none of.
    """
    by_names: dict[tuple[str, str], Implementation] = {}
    for module in _modules():
        for written in _instances(module, Implementation):
            for implementation in _for_its_losses(written):
                earlier = by_names.setdefault((implementation.loss, implementation.name), implementation)
                if earlier != implementation:
                    raise UserError(
                        f"two implementations of {implementation.loss} are called {implementation.name!r}",
                        f"rename implementation of {earlier.module} and {implementation.module}",
                    )
    # Ours first, then the published in the order of their files, the definition itself last.
    order = {"naive": 0, "stable": 1, "mpmath": 3}
    return tuple(sorted(by_names.values(), key=lambda implementation: order.get(implementation.name, 2)))


def loss_named(name: str) -> Loss:
    """The loss of that name, in capitals or not.

    Raises:
        UserError: with the nearest known names.
    """
    if name in losses():
        return losses()[name]
    for known, loss in losses().items():
        if known.lower() == name.lower():
            return loss
    raise UserError(f"unknown loss {name!r}", nearest(name, losses()))


def word_of(name: str, value: float) -> str:
    """The word of a parameter's value that picks among definitions; "" for a number."""
    for loss in losses().values():
        for parameter in loss.parameters:
            if parameter.name == name and (word := parameter.word(value)):
                return word
    return ""


def _function_in(file: str) -> str:
    """The functions and classes that a file of the user's defines, to choose from; it is read and not run."""
    try:
        tree = ast.parse(Path(file).read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return "FUNCTION"
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")]
    return f" or {file}:".join(names[:_FEW]) or "FUNCTION"


def registered(chosen: Sequence[Loss], patterns: Sequence[str], backends: Sequence[str]) -> list[Implementation]:
    """The implementations of the chosen losses whose names match any glob and that run on any of the backends.

    Raises:
        UserError: when a pattern matches nothing, so that a spelling mistake is not an empty success.
    """
    of = {loss.name for loss in chosen}
    candidates = [implementation for implementation in implementations() if implementation.loss in of]
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(implementation.name, pattern) for implementation in candidates):
            names = {implementation.name for implementation in candidates}
            if pattern.endswith(".py"):
                raise UserError(f"{pattern!r} names a file and no function in it", f"write {pattern}:{_function_in(pattern)}")
            is_loss = pattern.lower() in losses()
            cure = f"{pattern.lower()} is a loss: --loss {pattern.lower()}" if is_loss else nearest(pattern.strip("*"), names)
            raise UserError(f"no implementation of {', '.join(sorted(of))} matches {pattern!r}", cure)
    matching = [
        implementation
        for implementation in candidates
        if not patterns or any(fnmatch.fnmatchcase(implementation.name, glob) for glob in patterns)
    ]
    running = [implementation for implementation in matching if not backends or set(backends) & set(implementation.backends)]
    if not running:
        known = ", ".join(sorted({implementation.name for implementation in matching}))
        raise UserError(f"none of {known} runs on the backend {' or '.join(backends)}", "see `losscheck list` for what runs where")
    return running


def _for_its_losses(written: Implementation) -> Iterator[Implementation]:
    if written.loss == EVERY_LOSS:
        yield from (replace(written, loss=name) for name in losses())
    elif written.loss in losses():
        yield written
    else:
        raise UserError(f"{written.module} implements an unknown loss {written.loss!r}", nearest(written.loss, losses()))


@functools.cache
def _modules() -> tuple[ModuleType, ...]:
    """The modules of both folders, then those that entry points name."""
    modules = []
    for package in ("losscheck.losses", "losscheck.implementations"):
        home = importlib.import_module(package)
        modules += [importlib.import_module(f"{package}.{info.name}") for info in pkgutil.iter_modules(home.__path__)]
    return (*modules, *_plugins())


def _plugins() -> Iterator[ModuleType]:
    """Modules named by the entry points ``losscheck.losses`` and ``losscheck.implementations``; a broken one is a warning."""
    import warnings
    from importlib.metadata import entry_points

    for group in ("losscheck.losses", "losscheck.implementations"):
        for point in entry_points(group=group):
            try:
                loaded = point.load()
            except Exception as error:
                # Someone else's package must not take the tool down with it.
                warnings.warn(f"{_named(point)} cannot be loaded: {type(error).__name__}: {error}", PluginWarning, stacklevel=2)
                continue
            if isinstance(loaded, ModuleType):
                yield loaded
            else:
                warnings.warn(f"{_named(point)} is not a module; the entry point must name one", PluginWarning, stacklevel=2)


def _named(point: EntryPoint) -> str:
    package = f" of the package {point.dist.name}" if point.dist else ""
    return f"the plug-in {point.name} = {point.value!r}{package}"


def _instances(module: ModuleType, kind: type[T]) -> Iterator[T]:
    for value in vars(module).values():
        if isinstance(value, kind):
            yield value
