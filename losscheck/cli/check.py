"""``losscheck check``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from losscheck.cli import complete, options
from losscheck.cli.command import Command, option
from losscheck.cli.output import chosen_format, finish
from losscheck.cli.request import listener, params_of
from losscheck.core.call_spec import keywords_of

_WHAT = "What is judged"


@click.command("check", cls=Command)
@click.argument("what", nargs=-1, metavar="[WHAT]...", shell_complete=complete.implementations)
@option("--loss", group=_WHAT, multiple=True, metavar="NAME", help="Only of this loss; for your own, which it is to be. Repeatable.")
@option("--dtype", group=_WHAT, multiple=True, metavar="NAME", help="Default: float32, and of what is named bfloat16 and float16 too.")
@option("--device", group=_WHAT, multiple=True, default=("cpu",), metavar="NAME", help="cpu (default), cuda, cuda:N.")
@option("--backend", group=_WHAT, multiple=True, metavar="NAME", help="On which to run; of Keras, its backend. Default: all that are here.")
@option("--param", group=_WHAT, multiple=True, metavar="NAME=VALUE", help="A parameter of the loss, such as gamma=1.5; repeatable.")
@options.own
@options.output("check")
@option("-v", "--verbose", group="Output", is_flag=True, help="Every target and dtype, with figures.")
@options.silence
def COMMAND(what: tuple[str, ...], **given: Any) -> int:
    """Which of these breaks training, why, and what to write instead. No option is needed.

    WHAT is a name or a glob of `losscheck list`, file.py:name or package.module:name; everything when there is none.
    Exit 0 up to `tails`, 1 from `misstates` on, 2 when it could not be judged.

    \b
    losscheck check
    losscheck check torch-bce-with-logits torch-sigmoid-bceloss
    losscheck check blog.py:FocalLoss
    losscheck check torch.nn:BCELoss torch.nn:BCEWithLogitsLoss
    """
    format_name = chosen_format("check", given["format"], given["output"])
    from losscheck.api.check import check

    # package.module:name of the project one stands in, as `python -m` would find it.
    sys.path.insert(0, str(Path.cwd()))
    calling = {name: given[name] for name in ("call", "input", "pick", "axes", "formula")}
    report = check(
        *what,
        loss=given["loss"],
        dtype=given["dtype"],
        device=given["device"],
        backend=given["backend"],
        params=params_of(given["param"]),
        keywords=dict(keywords_of(given["kw"])),
        verbose=given["verbose"],
        listener=listener(given),
        **calling,
    )
    return finish(report, format_name, given["output"])
