"""What compare and sweep ask alike: which losses, which limit, and the command that asks the same again."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from losscheck.cli import options
from losscheck.cli.writing import note
from losscheck.core.errors import UserError

if TYPE_CHECKING:
    from losscheck.core.loss import Loss
    from losscheck.core.request import Request, SweepQuestion

__all__ = ["asked_losses", "max_ulp", "reproduce", "tell_of_autocast", "tell_of_extras"]

# Options that say how and where to report, not what is asked.
_NOT_ASKED = {"quiet", "verbose", "no_progress", "resume", "jobs", "output", "format", "plot", "shard"}


def asked_losses(given: dict[str, Any], targets: list[float]) -> list[Loss]:
    """The losses that the options select. One that was named must take all targets; of all losses, others are left out.

    Raises:
        UserError: for an unknown name, a selection that matches nothing, an oracle that cannot be loaded.
    """
    from losscheck.backends import backend_named
    from losscheck.callables.loading import is_spec
    from losscheck.callables.selection import loss_of, select
    from losscheck.core import registry
    from losscheck.core.dtypes import FLOAT32
    from losscheck.oracle import arithmetic

    for name in given["backend"]:
        backend_named(name)
    call_spec = options.call_spec_of(given)
    names = list(dict.fromkeys(given["loss"])) or ([call_spec.formula] if call_spec.formula else [])
    if not names and any(map(is_spec, given["impl"])):
        raise UserError(
            f"no --loss says what {next(filter(is_spec, given['impl']))} should compute",
            f"add --loss {', '.join(registry.losses())}, or --formula file.py:function with the exact formula of your own",
        )
    losses = [loss_of(name, call_spec) for name in names] or list(registry.losses().values())
    selected = select(losses, given["impl"], given["backend"], call_spec)
    losses = [loss for loss in losses if any(each.loss == loss.name for each in selected)]
    arithmetic(given["oracle"], 64, FLOAT32)
    return _taking(losses, targets, bool(names), given["quiet"])


def max_ulp(given: dict[str, Any]) -> float:
    """The limit in force.

    Raises:
        UserError: when it is negative or NaN.
    """
    from losscheck.core.request import DEFAULT_MAX_ULP

    limit: float = DEFAULT_MAX_ULP if given["max_ulp"] is None else given["max_ulp"]
    if not limit >= 0:
        raise UserError(f"--max-ulp {limit} is not a limit", "give a number of at least 0")
    return limit


def tell_of_extras(question: Request, quiet: bool) -> None:
    """Say how many implementations an extra would add."""
    from losscheck.backends.extras import EXTRAS
    from losscheck.measure.compare import left_out

    if found := left_out(question):
        names, extras = " and ".join(EXTRAS[each] for each in found), ",".join(found)
        count = sum(map(len, found.values()))
        note(f"{count} implementations need {names}, not installed: pip install 'losscheck[{extras}]'", quiet)


def tell_of_autocast(question: Request | SweepQuestion, quiet: bool) -> None:
    """Say which autocast changes nothing."""
    for mode in question.modes:
        kind, _, narrow = mode.partition(":")
        if kind == "autocast" and narrow not in question.dtypes:
            given = " and ".join(question.dtypes)
            note(f"{mode} leaves {given} logits as they are; add --dtype {narrow} for logits as a layer returns them there", quiet)


def _taking(losses: list[Loss], targets: list[float], named: bool, quiet: bool) -> list[Loss]:
    """The losses that take all the targets. One that the user named must; of all losses, the others go on without it."""
    taking, refusals = [], []
    for loss in losses:
        try:
            for target in targets:
                loss.check_target(target)
            taking.append(loss)
        except UserError as error:
            refusals.append(error)
    if refusals and (named or not taking):
        raise refusals[0]
    for refusal in refusals:
        note(f"left out: {refusal.problem} ({refusal.cure})", quiet)
    return taking


def reproduce(command: click.Command, given: dict[str, Any]) -> str:
    """The command line that asks the same again, wherever the answers came from: options, environment or pyproject.toml."""
    words = ["losscheck", command.name or ""]
    context = click.get_current_context()
    for option in command.params:
        value = given.get(option.name or "")
        if option.name in _NOT_ASKED or context.get_parameter_source(option.name or "") is ParameterSource.DEFAULT:
            continue
        if value is True:
            words.append(option.opts[-1])
            continue
        values = [str(each) for each in value] if isinstance(value, list | tuple) else [str(value)]
        for n in range(0, len(values), option.nargs):
            words += [option.opts[-1], *values[n : n + option.nargs]]
    return shlex.join(words)
