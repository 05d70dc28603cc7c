"""``losscheck compare``."""

from __future__ import annotations

from typing import Any

import click

from losscheck.cli import options
from losscheck.cli.asking import asked_losses, max_ulp, reproduce, tell_of_autocast, tell_of_extras
from losscheck.cli.failing import fail_on, failed
from losscheck.cli.writing import screen, write
from losscheck.core.errors import UserError

REDUCTIONS = ("none", "mean", "sum", "normalised", "published")


@click.command("compare")
@click.option("--logit", multiple=True, metavar="X", help="A logit, decimal or hex; repeat for several.")
@click.option("--target", multiple=True, metavar="Z", default=("1",), show_default=True, help="One for all logits, or one each.")
@click.option("--tensors", multiple=True, metavar="FILE", help="A dumped batch: .pt .npz .safetensors, or two files, logits first.")
@click.option("--names", metavar="NAMES", default=None, help="Of its tensors. Default: logits=logits,targets=targets.")
@options.selection
@options.own
@click.option(
    "--reduction",
    type=click.Choice(REDUCTIONS),
    default="none",
    show_default=True,
    help="How the points become one number; `published`: each implementation's own.",
)
@click.option("--shape", metavar="N,M", default=None, help="The shape of the points for a reduction, such as 2,1. Default: one axis.")
@options.failing
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
    losscheck compare --tensors batch.pt --loss centernet-heatmap
    """
    if given["tensors"] or given["names"]:
        from losscheck.cli import tensors

        return tensors.run(COMMAND, **given)
    if not given["logit"]:
        raise click.UsageError("no logit was given: add --logit, for example --logit 1.5", click.get_current_context())
    return run(**given)


def run(**given: Any) -> int:
    from losscheck.callables.notes import definitions, notes_on
    from losscheck.core.report import Report
    from losscheck.inventory.environment import describe
    from losscheck.measure.compare import compare, differences, nothing_runs
    from losscheck.renderers import render

    rules = fail_on(given["fail_on"])
    question = _question(given)
    rows = compare(question)
    if not rows:
        raise nothing_runs(question.devices, question.modes)
    remarks = notes_on(question)
    if all(row.reason and row.value is None for row in rows):
        _refuse_if_all_devices_missing(rows, remarks)
    tell_of_extras(question, given["quiet"])
    tell_of_autocast(question, given["quiet"])
    report = Report(
        command="compare",
        environment=describe(question.devices),
        reproduce=reproduce(COMMAND, given),
        rows=tuple(rows),
        reduction=question.reduction,
        max_ulp=question.max_ulp,
        differences=tuple(differences(rows)),
        definitions=definitions(question),
        remarks=remarks,
    )
    output = given["output"]
    write(render(options.chosen_format(given["format"], output), report, screen(output)), output)
    return failed(report, rules)


def _question(given: dict[str, Any]) -> Any:
    from losscheck.backends import parse_device, parse_mode
    from losscheck.core.dtypes import format_named
    from losscheck.core.request import Request
    from losscheck.points.listed import pair

    dtypes = [format_named(name) for name in given["dtype"]]
    targets = [target for dtype in dtypes for target in pair(given["logit"], given["target"], dtype).targets]
    losses = asked_losses(given, targets)
    return Request(
        losses=tuple(losses),
        logits=given["logit"],
        targets=given["target"],
        impl=given["impl"],
        backends=given["backend"],
        dtypes=tuple(dict.fromkeys(given["dtype"])),
        devices=tuple(dict.fromkeys(parse_device(each) for each in given["device"])),
        quantities=options.quantities(given["quantity"]),
        params=options.parse_params(given["param"], losses),
        reduction=given["reduction"],
        shape=options.parse_shape(given["shape"], len(given["logit"])),
        oracle=given["oracle"],
        digits=given["digits"],
        max_ulp=max_ulp(given),
        call_spec=options.call_spec_of(given),
        modes=tuple(dict.fromkeys(parse_mode(each) for each in given["mode"])),
    )


def _refuse_if_all_devices_missing(rows: list[Any], remarks: tuple[str, ...]) -> None:
    reasons = dict.fromkeys((row.device, row.reason) for row in rows)
    shown = "; ".join(f"{device}: {reason}" for device, reason in list(reasons)[:3])
    raise UserError(
        f"nothing could run ({shown})",
        "\n  ".join([*remarks, "change what it names, or select another implementation, --device or --backend; see `losscheck doctor`"]),
    )
