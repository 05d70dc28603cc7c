"""What the Tab key offers after an option: names that are known without importing a framework."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import click
from click.shell_completion import CompletionItem

__all__ = ["backends", "devices", "dtypes", "implementations", "losses", "modes", "words"]

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def _offering(names: Callable[[], Iterable[tuple[str, str]]]) -> Complete:
    """Those of some (name, explanation) pairs that begin as the word does."""

    def complete(ctx: click.Context, parameter: click.Parameter, word: str) -> list[CompletionItem]:
        return [CompletionItem(name, help=text) for name, text in dict(names()).items() if name.lower().startswith(word.lower())]

    return complete


def _losses() -> Iterable[tuple[str, str]]:
    from losscheck.core import registry

    return ((loss.name, loss.title) for loss in registry.losses().values())


def _implementations() -> Iterable[tuple[str, str]]:
    from losscheck.core import registry

    return ((implementation.name, implementation.source) for implementation in registry.implementations())


def _dtypes() -> Iterable[tuple[str, str]]:
    from losscheck.core.dtypes import FORMATS

    return ((name, f"{dtype.bits} bits, {dtype.precision} of them precision") for name, dtype in FORMATS.items())


def _backends() -> Iterable[tuple[str, str]]:
    from losscheck.backends import BACKENDS

    return ((name, "") for name in BACKENDS)


def _modes() -> Iterable[tuple[str, str]]:
    from losscheck.backends import MODES

    return ((name, "") for name in MODES)


def _words() -> Iterable[tuple[str, str]]:
    from losscheck.core.explanations import PAGES

    return ((page.word, page.title) for page in PAGES)


losses = _offering(_losses)
words = _offering(_words)
implementations = _offering(_implementations)
dtypes = _offering(_dtypes)
backends = _offering(_backends)
modes = _offering(_modes)
devices = _offering(lambda: (("cpu", ""), ("cuda", "the first GPU"), ("cuda:0", ""), ("cuda:1", "")))
