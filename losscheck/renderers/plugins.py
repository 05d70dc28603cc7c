"""Formats of other people's packages: a module each, named by an entry point ``losscheck.renderers``.

The name of the entry point is that of the format. The module has what a file of ours has, and says what ours have said for them:

    SERVES = ("compare", "sweep")                 the jobs that it shows
    SUFFIX = ".rst"                               the files that are written in it; may be left out
    def render(report, style) -> str: ...
"""

from __future__ import annotations

import warnings
from collections.abc import Collection
from dataclasses import dataclass
from importlib.metadata import entry_points
from types import ModuleType

from losscheck.core.errors import PluginWarning

__all__ = ["Plugged", "plugged"]


@dataclass(frozen=True)
class Plugged:
    """A format that is no file of ours: its module, the jobs it shows, and the suffix of its files, which may be empty."""

    module: ModuleType
    serves: tuple[str, ...]
    suffix: str


def plugged(taken: Collection[str], jobs: Collection[str]) -> dict[str, Plugged]:
    """The formats by name. One that cannot be used is a warning: someone else's package must not take the tool down with it.

    Args:
        taken: the names of the formats there are; jobs: what can be shown.
    """
    formats: dict[str, Plugged] = {}
    for point in entry_points(group="losscheck.renderers"):
        try:
            module = point.load()
            problem = "there is such a format" if point.name in {*taken, *formats} else _problem(module, jobs)
        except Exception as error:
            problem = f"it cannot be loaded: {type(error).__name__}: {error}"
        if problem:
            package = f" of the package {point.dist.name}" if point.dist else ""
            warnings.warn(f"the format {point.name} = {point.value!r}{package} is left out: {problem}", PluginWarning, stacklevel=2)
        else:
            formats[point.name] = Plugged(module, tuple(module.SERVES), getattr(module, "SUFFIX", ""))
    return formats


def _problem(module: object, jobs: Collection[str]) -> str:
    """What a module lacks."""
    if not isinstance(module, ModuleType) or not callable(getattr(module, "render", None)):
        return "it is no module with render(report, style)"
    serves = getattr(module, "SERVES", ())
    if isinstance(serves, str) or not serves or not set(serves) <= set(jobs):
        return f"its SERVES is {serves!r}, and should be some of {', '.join(jobs)}"
    return ""
