"""From the options of a command to the arguments of the API; what they mean is checked there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from losscheck.cli.output import activity, note, progress_bar
from losscheck.core.call_spec import keywords_of
from losscheck.core.errors import UserError

if TYPE_CHECKING:
    from losscheck.api.arguments import Listener

__all__ = ["arguments", "listener", "params_of", "shape_of"]


def arguments(given: dict[str, Any]) -> dict[str, Any]:
    """What all commands that judge share.

    Raises:
        UserError: for --param and --kw that are not of the form NAME=VALUE.
    """
    same = ("loss", "impl", "backend", "device", "mode", "quantity", "oracle", "digits", "max_ulp", "fail_on")
    calling = ("call", "input", "pick", "axes", "formula")
    return {
        **{name: given[name] for name in (*same, *calling)},
        "keywords": dict(keywords_of(given["kw"])),
        "params": params_of(given["param"]),
    }


def listener(given: dict[str, Any]) -> Listener:
    """Notes and progress on standard error; options that were given in so many words are repeated by ``reproduce``."""
    from losscheck.api.arguments import Listener

    context = click.get_current_context()
    sources = {name: context.get_parameter_source(name) for name in given}
    return Listener(
        note=lambda sentence: note(sentence, given["quiet"]),
        progress=lambda total: progress_bar(total, given["quiet"] or given.get("no_progress", False)),
        activity=lambda: activity(given["quiet"] or given.get("no_progress", False)),
        always=[name for name, source in sources.items() if source not in (ParameterSource.DEFAULT, None)],
    )


def shape_of(text: str | None) -> tuple[int, ...]:
    """'2,1' -> (2, 1).

    Raises:
        UserError: for anything else.
    """
    parts = text.replace("x", ",").split(",") if text else []
    if not all(part.strip().isascii() and part.strip().isdigit() for part in parts):
        raise UserError(f"--shape {text!r} is not a shape", "write sizes with commas, for example --shape 2,1")
    return tuple(map(int, parts))


def params_of(texts: Sequence[str]) -> dict[str, str]:
    """``name=value`` pairs."""
    params: dict[str, str] = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not name:
            raise UserError(f"--param {text!r} is not of the form NAME=VALUE", "for example --param gamma=1.5")
        if name in params:
            raise UserError(f"--param {name} is given twice", "keep one of them")
        params[name] = value
    return params
