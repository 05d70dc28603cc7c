"""``losscheck compare``."""

from __future__ import annotations

import math
import shlex
from typing import Any

import click

from losscheck.cli import options
from losscheck.cli.writing import note, screen, write
from losscheck.errors import UserError

REDUCTIONS = ("none", "mean", "sum", "normalised", "published")


@click.command("compare")
@click.option("--logit", "logits", multiple=True, metavar="X", required=True, help="A logit, decimal or hex; repeat for several.")
@click.option("--target", "targets", multiple=True, metavar="Z", default=("1",), show_default=True, help="One for all logits, or one each.")
@options.selection
@click.option(
    "--reduction",
    type=click.Choice(REDUCTIONS),
    default="none",
    show_default=True,
    help="How the points become one number; `published`: each implementation's own.",
)
@click.option("--shape", metavar="N,M", default=None, help="The shape of the points for a reduction, such as 2,1. Default: one axis.")
@options.output
@click.option("-q", "--quiet", is_flag=True, help="No notes on standard error.")
def COMMAND(**given: Any) -> int:
    """Every implementation of the chosen losses at the given logits, side by side with the exact value.

    The logit shown is the one used: rounded once to the dtype. `ulp` is (value - exact) / ulp(exact) against the
    implementation's own formula; `deviation` is how far that formula is from the loss's definition.

    \b
    losscheck compare --logit 1.5
    losscheck compare --loss bce --logit -15 --target 0
    losscheck compare --loss bce --logit 0.7 --logit 0.2 --logit 0.1 \\
                      --target 1 --target 0 --target 0 --reduction mean
    """
    return run(**given)


def run(*, format_name: str | None, output: str | None, quiet: bool, **given: Any) -> int:
    from losscheck.environment import describe
    from losscheck.evaluate import compare, differences
    from losscheck.renderers import render
    from losscheck.report import Report

    question = _question(given, quiet)
    rows = compare(question)
    if not rows:
        raise UserError("nothing was selected", "see `losscheck list` for what runs where")
    if all(row.reason and row.value is None for row in rows):
        _refuse_if_all_devices_missing(rows)
    report = Report(
        command="compare",
        environment=describe(question.devices),
        reproduce=reproduce(given),
        rows=tuple(rows),
        reduction=question.reduction,
        max_ulp=question.max_ulp,
        differences=tuple(differences(rows)),
    )
    write(render(options.chosen_format(format_name, output), report, screen(output)), output)
    return 0


def _question(given: dict[str, Any], quiet: bool) -> Any:
    from losscheck import registry
    from losscheck.backends import backend_named, parse_device
    from losscheck.dtypes import format_named
    from losscheck.oracle import arithmetic
    from losscheck.points import pair
    from losscheck.question import DEFAULT_MAX_ULP, Question

    dtypes = [format_named(name) for name in given["dtypes"]]
    for name in given["backends"]:
        backend_named(name)
    losses = [registry.loss_named(name) for name in dict.fromkeys(given["losses"])] or list(registry.losses().values())
    one = registry.select(losses, given["impl"], given["backends"])
    losses = [loss for loss in losses if any(each.loss == loss.name for each in one)]
    params = options.parse_params(given["params"], losses)
    arithmetic(given["oracle"], 64, dtypes[0])
    max_ulp = DEFAULT_MAX_ULP if given["max_ulp"] is None else given["max_ulp"]
    if not max_ulp >= 0:
        raise UserError(f"--max-ulp {max_ulp} is not a limit", "give a number of at least 0")
    targets = [target for dtype in dtypes for target in pair(given["logits"], given["targets"], dtype).targets]
    return Question(
        losses=tuple(_taking(losses, targets, bool(given["losses"]), quiet)),
        logits=given["logits"],
        targets=given["targets"],
        impl=given["impl"],
        backends=given["backends"],
        dtypes=tuple(dict.fromkeys(given["dtypes"])),
        devices=tuple(dict.fromkeys(parse_device(each) for each in given["devices"])),
        quantities=options.quantities(given["quantity"]),
        params=params,
        reduction=given["reduction"],
        shape=options.parse_shape(given["shape"], len(given["logits"])),
        oracle=given["oracle"],
        digits=given["digits"],
        max_ulp=math.inf if math.isinf(max_ulp) else max_ulp,
    )


def _taking(losses: list[Any], targets: list[float], named: bool, quiet: bool) -> list[Any]:
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


def _refuse_if_all_devices_missing(rows: list[Any]) -> None:
    reasons = dict.fromkeys((row.device, row.reason) for row in rows)
    shown = "; ".join(f"{device}: {reason}" for device, reason in list(reasons)[:3])
    raise UserError(f"nothing could run ({shown})", "add another --device or --backend, such as --device cpu; see `losscheck doctor`")


def reproduce(given: dict[str, Any]) -> str:
    """The command line that asks the same again, without what is the default."""
    words = ["losscheck", "compare"]
    for option in COMMAND.params:
        value = given.get(option.name or "")
        if value is None or value == option.get_default(click.Context(COMMAND)):
            continue
        for each in value if isinstance(value, list | tuple) else [value]:
            words += [option.opts[-1], str(each)]
    return shlex.join(words)
