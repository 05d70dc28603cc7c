"""What losses and implementations there are: found by scanning two folders, then entry points. No central list."""

from __future__ import annotations

import fnmatch
import functools
import importlib
import pkgutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from types import ModuleType
from typing import TYPE_CHECKING, TypeVar

from losscheck.core.errors import PluginWarning, UserError, nearest
from losscheck.core.loss import EVERY_LOSS, Implementation, Loss

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")

__all__ = ["implementations", "loss_named", "losses", "registered"]


@functools.cache
def losses() -> dict[str, Loss]:
    """Every loss by name, in the order of the files.

    Raises:
        UserError: when two files define a loss of one name.
    """
    found: dict[str, tuple[Loss, str]] = {}
    for module in _modules():
        for each in _instances(module, Loss):
            if each.name in found and found[each.name][0] is not each:
                raise UserError(f"two losses are called {each.name!r}", f"rename one of {found[each.name][1]} and {module.__name__}")
            found.setdefault(each.name, (each, module.__name__))
    return {name: each for name, (each, _) in found.items()}


@functools.cache
def implementations() -> tuple[Implementation, ...]:
    """Every implementation; one of EVERY_LOSS appears once for each loss.

    Raises:
        UserError: when two files define an implementation of one name for one loss, or of a loss there is none of.
    """
    found: dict[tuple[str, str], Implementation] = {}
    for module in _modules():
        for written in _instances(module, Implementation):
            for one in _for_its_losses(written):
                earlier = found.setdefault((one.loss, one.name), one)
                if earlier != one:
                    raise UserError(
                        f"two implementations of {one.loss} are called {one.name!r}",
                        f"rename one of {earlier.module} and {one.module}",
                    )
    # Ours first, then the published in the order of their files, the definition itself last.
    order = {"naive": 0, "stable": 1, "mpmath": 3}
    return tuple(sorted(found.values(), key=lambda each: order.get(each.name, 2)))


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


def registered(chosen: Sequence[Loss], patterns: Sequence[str], backends: Sequence[str]) -> list[Implementation]:
    """The implementations of the chosen losses whose names match any glob and that run on any of the backends.

    Raises:
        UserError: when a pattern matches nothing, so that a spelling mistake is not an empty success.
    """
    of = {loss.name for loss in chosen}
    candidates = [each for each in implementations() if each.loss in of]
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(each.name, pattern) for each in candidates):
            names = {each.name for each in candidates}
            if pattern.endswith(".py"):
                raise UserError(f"{pattern!r} names a file and no function in it", f"write --impl {pattern}:FUNCTION")
            raise UserError(f"no implementation of {', '.join(sorted(of))} matches {pattern!r}", nearest(pattern.strip("*"), names))
    matching = [each for each in candidates if not patterns or any(fnmatch.fnmatchcase(each.name, glob) for glob in patterns)]
    running = [each for each in matching if not backends or set(backends) & set(each.backends)]
    if not running:
        known = ", ".join(sorted({each.name for each in matching}))
        raise UserError(f"none of {known} runs on the backend {' or '.join(backends)}", "see `losscheck list` for what runs where")
    return running


def _for_its_losses(each: Implementation) -> Iterator[Implementation]:
    if each.loss == EVERY_LOSS:
        yield from (replace(each, loss=name) for name in losses())
    elif each.loss in losses():
        yield each
    else:
        raise UserError(f"{each.module} implements an unknown loss {each.loss!r}", nearest(each.loss, losses()))


@functools.cache
def _modules() -> tuple[ModuleType, ...]:
    """The modules of both folders, then those that entry points name."""
    found = []
    for package in ("losscheck.losses", "losscheck.implementations"):
        home = importlib.import_module(package)
        found += [importlib.import_module(f"{package}.{info.name}") for info in pkgutil.iter_modules(home.__path__)]
    return (*found, *_plugins())


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
