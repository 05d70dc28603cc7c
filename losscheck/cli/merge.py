"""``losscheck merge``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from losscheck.cli import options
from losscheck.cli.failing import fail_on, failed


@click.command("merge")
@click.argument("files", nargs=-1, required=True, metavar="FILES...")
@options.failing
@click.option("--plot", metavar="FILE", default=None, help="Draw error over logit into a .png or .svg (extra `plot`).")
@options.output
@click.option("-v", "--verbose", is_flag=True, help="Every backend, target and region.")
@click.option("-q", "--quiet", is_flag=True, help="No notes on standard error.")
def COMMAND(files: tuple[str, ...], **given: Any) -> int:
    """The report of a sweep whose shards ran apart, from the files that `sweep --shard I/N --output FILE` wrote.

    \b
    losscheck sweep --exhaustive --shard 1/2 --output one.json
    losscheck sweep --exhaustive --shard 2/2 --output two.json
    losscheck merge one.json two.json
    """
    import shlex

    from losscheck.cli.sweep import finish, report_of
    from losscheck.measure.checkpoint import merge_states

    rules = fail_on(given["fail_on"])
    report = report_of(merge_states([Path(each) for each in files]), shlex.join(["losscheck", "merge", *files]))
    finish(report, given)
    return failed(report, rules)
