"""What the Tab key offers: names that are known without importing a framework, and files where a callable may stand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import click
from click.shell_completion import CompletionItem

__all__ = ["OPTIONS", "files", "implementations", "words"]

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


def _outcomes() -> Iterable[tuple[str, str]]:
    from losscheck.core.outcome import Outcome

    return ((outcome.value, "") for outcome in Outcome)


def _params() -> Iterable[tuple[str, str]]:
    from losscheck.core import registry

    return ((f"{param.name}=", loss.name) for loss in registry.losses().values() for param in loss.parameters)


def files(ctx: click.Context, parameter: click.Parameter, word: str) -> list[CompletionItem]:
    """Those of the folder: the shell knows them."""
    return [CompletionItem(word, type="file")]


def implementations(ctx: click.Context, parameter: click.Parameter, word: str) -> list[CompletionItem]:
    """Names of what is registered; where none begins so, files, of which one may hold a callable."""
    return _offering(_implementations)(ctx, parameter, word) or files(ctx, parameter, word)


words = _offering(_words)

# What each option takes, in every command that has it.
OPTIONS: Mapping[str, Complete] = {
    "--loss": _offering(_losses),
    "--impl": implementations,
    "--dtype": _offering(_dtypes),
    "--backend": _offering(_backends),
    "--device": _offering(lambda: (("cpu", ""), ("cuda", "the first GPU"), ("cuda:0", ""), ("cuda:1", ""))),
    "--mode": _offering(_modes),
    "--quantity": _offering(lambda: (("loss", ""), ("grad", "d loss / d logit"), ("both", ""))),
    "--param": _offering(_params),
    "--fail-on": _offering(_outcomes),
    "--tensors": files,
    "--output": files,
    "--formula": files,
}
