"""``losscheck sweep``."""

from __future__ import annotations

from typing import Any

import click

from losscheck.cli import options
from losscheck.cli.command import WordsCommand, option
from losscheck.cli.output import chosen_format, finish
from losscheck.cli.request import arguments, listener
from losscheck.core.which_points import BISECTED, ENDS, LAYOUTS, SPACINGS

_POINTS, _WORK = "Points", "The work"


@click.command("sweep", cls=WordsCommand)
@option("--range", group=_POINTS, nargs=2, default=("-100", "100"), metavar="LO HI", help="Decimal, hex, -inf or inf. Default: -100 100.")
@option("--target", group=_POINTS, multiple=True, metavar="Z", help="Repeatable. Default: the loss's own, such as 0, 0.5 and 1.")
@option("--points", group=_POINTS, type=int, default=1000, metavar="N", help="Of a sample. Default: 1000.")
@option("--spacing", group=_POINTS, type=click.Choice(SPACINGS), default="both", help="Even in value, in floats, or half each.")
@option("--exhaustive", group=_POINTS, is_flag=True, help="Every float in the range; 16-bit dtypes always are.")
@option("--layout", group=_POINTS, type=click.Choice(LAYOUTS), default="body", help="Long tensors, tensors of 3, or both compared.")
@option("--ends", group=_POINTS, type=click.Choice(ENDS), default=BISECTED, help="Floats judged before a first failing one.")
@options.selection(backends="numpy and torch")
@options.own
@option("--jobs", group=_WORK, type=int, default=1, metavar="N", help="Processes. Default: 1.")
@option("--cluster", group=_WORK, metavar="ADDRESS", default=None, help="A dask scheduler, tcp://host:8786, whose workers do it.")
@option("--shard", group=_WORK, metavar="I/N", default=None, help="Only part I of N; --output is then a file for `losscheck merge`.")
@option("--resume", group=_WORK, metavar="FILE", default=None, help="Checkpoints go here; an interrupted sweep goes on from it.")
@options.failing
@option("--plot", group="Output", metavar="FILE", default=None, help="Draw error over logit into a .png or .svg (needs matplotlib).")
@options.output("sweep")
@options.detail
@options.silence
def COMMAND(**given: Any) -> int:
    """A range of logits, sampled or every float: outcomes, worst errors, and the exact floats where each failure starts.

    \b
    losscheck sweep --range -100 100
    losscheck sweep my_loss.py:focal --loss weighted-focal
    losscheck sweep --loss bce --impl 'torch*' --exhaustive --range -20 -10 --target 0
    losscheck sweep --dtype bfloat16
    """
    # A shard's output is a state file, whatever it is called.
    format_name = "json" if given["shard"] else chosen_format("sweep", given["format"], given["output"])
    from losscheck.api.sweep import sweep

    same = (
        "range",
        "target",
        "points",
        "spacing",
        "exhaustive",
        "layout",
        "ends",
        "jobs",
        "cluster",
        "shard",
        "resume",
        "output",
        "plot",
        "regions",
        "verbose",
    )
    report = sweep(
        dtype=given["dtype"] or ("float32",), listener=listener(given), **{name: given[name] for name in same}, **arguments(given)
    )
    return 0 if given["shard"] else finish(report, format_name, given["output"])
