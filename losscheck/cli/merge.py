"""``losscheck merge``."""

from __future__ import annotations

from typing import Any

import click

from losscheck.cli import complete, options
from losscheck.cli.command import Command, option
from losscheck.cli.output import chosen_format, finish
from losscheck.cli.request import listener


@click.command("merge", cls=Command)
@click.argument("files", nargs=-1, required=True, metavar="FILES...", shell_complete=complete.files)
@options.failing
@option("--plot", group="Output", metavar="FILE", default=None, help="Draw error over logit into a .png or .svg (needs matplotlib).")
@options.output("merge")
@options.detail
@options.silence
def COMMAND(files: tuple[str, ...], **given: Any) -> int:
    """The report of a sweep whose shards ran apart, from the files that `sweep --shard I/N --output FILE` wrote.

    \b
    losscheck sweep --exhaustive --shard 1/2 --output one.json
    losscheck sweep --exhaustive --shard 2/2 --output two.json
    losscheck merge one.json two.json
    """
    format_name = chosen_format("merge", given["format"], given["output"])
    from losscheck.api.sweep import merge

    same = {name: given[name] for name in ("fail_on", "plot", "regions", "verbose")}
    return finish(merge(files, listener=listener(given), **same), format_name, given["output"])
