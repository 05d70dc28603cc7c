"""``losscheck compare``."""

from __future__ import annotations

from typing import Any

import click

from losscheck.cli import options
from losscheck.cli.command import WordsCommand, option
from losscheck.cli.output import chosen_format, finish
from losscheck.cli.request import arguments, listener, shape_of
from losscheck.core.which_points import REDUCTION_NAMES

_POINTS = "Points"


@click.command("compare", cls=WordsCommand)
@option("--logit", group=_POINTS, multiple=True, metavar="X", help="A logit, decimal or hex; several by repeating or with commas.")
@option("--target", group=_POINTS, multiple=True, metavar="Z", help="One for all logits (default: 1), or one each.")
@option("--tensors", group=_POINTS, multiple=True, metavar="FILE", help="A dumped batch: .pt .npz .safetensors, or two, logits first.")
@option("--names", group=_POINTS, metavar="NAMES", default=None, help="Of its tensors. Default: logits=logits,targets=targets.")
@option(
    "--reduction",
    group=_POINTS,
    type=click.Choice(REDUCTION_NAMES),
    default=None,
    help="How the points become one number; `published`: each implementation's own. Default: none, of a dump published.",
)
@option("--shape", group=_POINTS, metavar="N,M", default=None, help="Of the points for a reduction, such as 2,1. Default: one axis.")
@options.selection()
@options.own
@options.failing
@options.output("compare")
@option("-v", "--verbose", group="Output", is_flag=True, help="Every row, with its outcome and ulp.")
@options.silence
def COMMAND(**given: Any) -> int:
    """Every implementation of the chosen losses at the given logits, side by side with the exact value.

    The logit shown is the one used: rounded once to the dtype. `ulp` is (value - exact) / ulp(exact) against the
    implementation's own formula; `deviation` is how far that formula is from the loss's definition.

    \b
    losscheck compare 1.5
    losscheck compare -15 --target 0 --loss bce
    losscheck compare my_loss.py:focal -15 40 --loss weighted-focal
    losscheck compare 0.7,0.2,0.1 --target 1,0,0 --loss bce --reduction mean
    losscheck compare --tensors batch.pt --loss centernet-heatmap
    """
    format_name = chosen_format("compare", given["format"], given["output"])
    tensors = given["tensors"] or None
    if not (given["logit"] or tensors or given["names"]):
        raise click.UsageError("no logit was given: add one, for example losscheck compare 1.5", click.get_current_context())
    from losscheck.api.compare import compare

    report = compare(
        logit=given["logit"],
        target=given["target"],
        tensors=tensors,
        names=given["names"],
        dtype=given["dtype"] or None,
        reduction=given["reduction"],
        shape=shape_of(given["shape"]),
        verbose=given["verbose"],
        listener=listener(given),
        **arguments(given),
    )
    return finish(report, format_name, given["output"])
