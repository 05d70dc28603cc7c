"""A wrapper for a callable that is not called as (logits, targets)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from losscheck.api.arguments import SILENT, Listener, Some, call_spec_of, many
from losscheck.core.errors import UserError
from losscheck.core.files import near, write_atomically

if TYPE_CHECKING:
    from losscheck.callables.loading import Own
    from losscheck.core.loss import Loss

__all__ = ["Adaptation", "adapt"]


@dataclass(frozen=True)
class Adaptation:
    """What was found, and what was written.

    Attributes:
        written: the file; None where the callable works as it is.
        serves: can it be judged now, by :attr:`command`? False of a template, which has a place to fill.
        recognised: the loss that it is, in words; empty where it is none that is known.
        command: what to run next.
        tried: (way, why it did not serve), in order.
        callable: does it return numbers when it is called as it is, if those of no known loss?
    """

    written: Path | None
    serves: bool
    recognised: str
    command: str
    tried: tuple[tuple[str, str], ...] = ()
    callable: bool = False


def adapt(
    what: str,
    *,
    loss: Some[str] = (),
    keywords: Mapping[str, Any] | None = None,
    output: str | Path | None = None,
    force: bool = False,
    listener: Listener = SILENT,
) -> Adaptation:
    """Write a file whose ``loss(logits, targets)`` calls a callable in the way in which it is a known loss, as ``losscheck adapt``.

    Args:
        what: ``file.py:name`` or ``package.module:name``.
        loss: only these; by default any that is known here.
        keywords: arguments of it that are known; of a class, those it is built with.
        output: the file to write, by default ``NAME_adapted.py`` in the working directory. Nothing is written where the callable
            works as it is.
        force: may the file be there already?

    Raises:
        UserError: when it cannot be loaded, when the file is there, when it cannot be written.
    """
    from losscheck.callables.layouts import layout_words, search
    from losscheck.callables.loading import load
    from losscheck.callables.wrapper import template_text, verify, wrapper_text
    from losscheck.core.registry import loss_named

    losses = [loss_named(name) for name in many(loss)] or None
    call_spec = call_spec_of({"keywords": keywords})
    own = load(what)
    path = Path(output) if output is not None else Path(f"{own.name.rpartition('.')[2]}_adapted.py")
    _refuse_path(path, own)
    _refuse_what_is_there(path, force)
    _refuse_elsewhere(own)
    with listener.activity() as say:
        say(f"calling {near(what)} as it is")
        plain, restricting = _as_it_is(what, call_spec, losses)
        if plain and restricting:
            return Adaptation(None, serves=True, recognised=plain, command=_command(what, call_spec.options()))
        say("trying other ways to call it")
        found = search(own, call_spec, losses, restricting=not plain)
    tried = tuple((layout_words(attempt.call_spec), attempt.failure) for attempt in found.attempts)
    if found.recognition is None and plain:
        # Called as it is, it is a loss but for a change of the definition, and no other way is nearer.
        return Adaptation(None, serves=True, recognised=plain, command=_command(what, call_spec.options()), tried=tried)
    full = path.absolute()
    if found.recognition is None:
        text, recognised = template_text(own, found, full), ""
    else:
        text, recognised = wrapper_text(own, found, full), found.recognition.words
        verify(text, full, found.recognition)
    _refuse_what_is_there(path, force)
    write_atomically(path, text)
    returned = any(attempt.returned for attempt in found.attempts[:1])
    return Adaptation(path, found.recognition is not None, recognised, _command(f"{path}:loss", []), tried, returned)


def _as_it_is(what: str, call_spec: Any, losses: list[Loss] | None) -> tuple[str, bool]:
    """What it is when it is called as it is, in words, "" for nothing known; and whether no other way can be nearer to that loss."""
    from losscheck.callables.recognise import recognise
    from losscheck.callables.recognition import HARD, Confidence

    try:
        best = next(iter(recognise(what, losses, call_spec)), None)
    except UserError:
        return "", False
    if best is None or best.confidence is Confidence.NONE:
        return "", False
    if best.confidence is Confidence.AGREES:
        return best.words, True
    return f"{best.words}, but for this: {best.deviation.sentence}", best.deviation == HARD


def _command(what: str, options: list[str]) -> str:
    import shlex

    return shlex.join(["losscheck", "check", what, *options])


def _refuse_path(path: Path, own: Own) -> None:
    if path.suffix != ".py":
        raise UserError(f"{path} would be no file of Python", f"--output {path.with_suffix('.py')}")
    if own.file and path.resolve() == Path(own.file).resolve():
        raise UserError(f"{path} is the file of the callable itself", "--output names another file")


def _refuse_what_is_there(path: Path, force: bool) -> None:
    if path.exists() and not force:
        raise UserError(f"{path} exists already", "--force replaces it; --output names another file")


def _refuse_elsewhere(own: Own) -> None:
    from losscheck.callables.apart import Elsewhere

    if isinstance(own.target, Elsewhere):
        frameworks = ", ".join(own.target.frameworks)
        raise UserError(
            f"{own.spec} uses {frameworks}, for which no wrapper is written", "--call, --axes, --kw and --pick say how to call it"
        )
