"""``losscheck adapt``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from losscheck.cli import options
from losscheck.cli.command import Command, option
from losscheck.cli.output import note, write
from losscheck.cli.request import listener
from losscheck.core.call_spec import keywords_of


@click.command("adapt", cls=Command)
@click.argument("what", metavar="WHAT", type=click.Path())
@option("--loss", multiple=True, metavar="NAME", help="The loss it is to be; repeatable. Default: any known.")
@option("--kw", multiple=True, metavar="NAME=VALUE", help="A keyword of it, typed as YAML; repeatable.")
@option("--output", metavar="FILE", default=None, type=click.Path(dir_okay=False), help="Default: NAME_adapted.py in this folder.")
@option("--force", is_flag=True, help="Replace the file if it is there.")
@options.silence
def COMMAND(what: str, **given: Any) -> int:
    """Write a wrapper for a loss that is called in another way than with logits and targets.

    WHAT is file.py:name or package.module:name. Shapes, one-hot rows, labels -1 and 1, whole numbers, the other order,
    probabilities and values for what it requires are tried, until one gives the values of a known loss; the file has
    that call, and what failed before. Where none does, it has a place to fill, and the exit code is 2.

    \b
    losscheck adapt blog.py:FocalLoss
    losscheck check FocalLoss_adapted.py:loss
    """
    from losscheck.api.adapt import adapt

    # package.module:name of the project one stands in, as `python -m` would find it.
    sys.path.insert(0, str(Path.cwd()))
    done = adapt(
        what,
        loss=given["loss"],
        keywords=dict(keywords_of(given["kw"])),
        output=given["output"],
        force=given["force"],
        listener=listener(given),
    )
    if done.written is None:
        write(f"{what} works as it is: it is {done.recognised}\n  {done.command}\n", None)
        return 0
    if done.serves:
        write(f"{done.written}: {what} is {done.recognised}\n  {done.command}\n", None)
        return 0
    note(f"no way to call {what} was found that gives the values of a known loss; {done.written} has what was tried, and a place to fill")
    if done.callable:
        note(f"it can be called as it is: losscheck check {what} --loss NAME judges it beside the loss you name", given["quiet"])
    return 2
