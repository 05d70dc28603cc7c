"""``losscheck trace``."""

from __future__ import annotations

from typing import Any

import click

from losscheck.cli import complete, options
from losscheck.cli.command import WordsCommand, option
from losscheck.cli.output import chosen_format, note, screen, write
from losscheck.cli.request import params_of
from losscheck.core.call_spec import keywords_of
from losscheck.core.errors import UserError

_POINT, _WHAT = "The point", "What is traced"


@click.command("trace", cls=WordsCommand)
@click.argument("what", shell_complete=complete.implementations)
@option("--logit", group=_POINT, multiple=True, metavar="X", help="A logit, decimal or hex. Default: the worst that a small sweep finds.")
@option("--target", group=_POINT, multiple=True, metavar="Z", help="One for all logits, or one each. Default: 1; of a sweep 0 and 1.")
@option("--tensors", group=_POINT, multiple=True, metavar="FILE", help="A dumped batch: .pt .npz .safetensors, or two, logits first.")
@option("--names", group=_POINT, metavar="NAMES", default=None, help="Of its tensors. Default: logits=logits,targets=targets.")
@option("--index", group=_POINT, metavar="I,J,...", default=None, help="An element of it. Default: the one that fails worst.")
@option(
    "--dtype",
    group=_POINT,
    metavar="NAME",
    default=None,
    help="float64, float32 (default), float16, bfloat16; of a dump, its own.",
)
@option(
    "--loss",
    group=_WHAT,
    metavar="NAME",
    default="",
    help="Which loss, where an implementation is there for several.",
)
@option("--param", group=_WHAT, multiple=True, metavar="NAME=VALUE", help="Such as gamma=1.5; repeatable.")
@options.own
@option("--all", "all_ops", group="Output", is_flag=True, help="Every op, not only those that matter.")
@option("--fix", group="Output", is_flag=True, help="Write the cure into the file; FILE.orig keeps what was there.")
@options.output("trace")
@options.silence
def COMMAND(**given: Any) -> int:
    """Which sub-expression of a PyTorch loss did it, and the line to write instead.

    WHAT is an implementation's name, file.py:function or package.module:Class. The cause is a pair proved in exact arithmetic:
    lost at one op, needed at another. The cure is measured for loss and gradient, proved equal, and a diff of your own source.

    \b
    losscheck trace my_loss.py:focal 100 --target 1
    losscheck trace centernet-neg-loss 17 --target 1
    losscheck trace my_loss.py:FocalLoss --kw gamma=0.5 --fix
    losscheck trace my_loss.py:focal --tensors batch.pt --index 0,17,63,5

    Exits with 2 when no loss came out that could be judged.
    """
    format_name = chosen_format("trace", given["format"], given["output"])
    if given["formula"]:
        raise UserError("--formula is not for trace: the recorded program is its own formula", "leave it away")
    from losscheck.api.trace import trace
    from losscheck.core.report import Inventory
    from losscheck.inventory.environment import describe
    from losscheck.renderers import render

    advice = trace(
        given["what"],
        given["logit"],
        given["target"],
        tensors=given["tensors"] or None,
        names=given["names"],
        index=given["index"],
        dtype=given["dtype"],
        loss=given["loss"],
        params=params_of(given["param"]),
        keywords=dict(keywords_of(given["kw"])),
        **{name: given[name] for name in ("call", "input", "pick", "axes")},
    )
    facts = {**advice.facts(all_ops=given["all_ops"]), "environment": describe()}
    write(render(format_name, Inventory("trace", facts), screen(given["output"])), given["output"])
    if given["fix"]:
        _fix(advice, given["quiet"])
    return 0 if advice.judged else 2


def _fix(advice: Any, quiet: bool) -> None:
    """Write the patched files.

    Raises:
        UserError: when there is nothing to write, or it cannot be written.
    """
    from losscheck.tracing.cures.writing import write_patch

    cure = advice.remedies.cure
    if cure is None or not cure.patches:
        apart = "; the one that changes the meaning is yours to decide on" if advice.remedies.meaning else ""
        raise UserError(f"there is no patch to write{apart}", "apply the diff with `git apply`, or write the expression by hand")
    for patch in cure.patches:
        kept = write_patch(patch)
        note(f"wrote {patch.file}; what was there is in {kept}", quiet)
