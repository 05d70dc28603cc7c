"""Options that mean the same in every command."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from losscheck.cli.command import option
from losscheck.cli.output import SERVED
from losscheck.core.call_spec import DEFAULT_CALL

__all__ = ["detail", "failing", "option_group", "output", "own", "selection", "silence"]

_WHAT, _WHERE, _HOW, _OWN, _OUT = "What is judged", "Where it runs", "How it is judged", "A callable of your own", "Output"


def selection(backends: str = "all") -> Callable[..., Any]:
    """--loss --impl --quantity --param --backend --dtype --device --mode --oracle --digits --max-ulp"""
    several: dict[str, Any] = {"multiple": True, "metavar": "NAME"}
    return option_group(
        option("--loss", group=_WHAT, help="A loss; repeatable. Default: all.", **several),
        option(
            "--impl",
            group=_WHAT,
            help="A glob such as 'torch*', or your own as file.py:name; repeatable.",
            **several,
        ),
        option(
            "--quantity",
            group=_WHAT,
            metavar="NAME",
            default="both",
            help="loss, grad (d loss / d logit) or both (default).",
        ),
        option(
            "--param",
            group=_WHAT,
            multiple=True,
            metavar="NAME=VALUE",
            help="Such as gamma=1.5; repeatable.",
        ),
        option(
            "--backend",
            group=_WHERE,
            help=f"numpy, torch, tensorflow, jax, mpmath; repeatable. Default: {backends}.",
            **several,
        ),
        option(
            "--dtype",
            group=_WHERE,
            help="float64, float32 (default), float16, bfloat16 (bf16, half ...).",
            **several,
        ),
        option(
            "--device",
            group=_WHERE,
            default=("cpu",),
            help="cpu (default), cuda, cuda:N; repeat to compare.",
            **several,
        ),
        option(
            "--mode",
            group=_WHERE,
            default=("eager",),
            help="eager (default), compile, autocast:bfloat16, vmap ...; repeatable.",
            **several,
        ),
        option("--max-ulp", group=_HOW, type=float, default=None, metavar="N", help="More ulp than this is `inaccurate`. Default: 8."),
        option("--oracle", group=_HOW, default="flint", metavar="NAME", help="flint (default: proved) or mpmath (independent second)."),
        option("--digits", group=_HOW, type=int, metavar="N", default=50, help="Of the mpmath implementations. Default: 50."),
    )


def own(function: Callable[..., Any]) -> Callable[..., Any]:
    """--kw --call --input --pick --axes --formula: how a callable named by --impl is called, and its own exact formula"""
    return option_group(
        option("--kw", group=_OWN, multiple=True, metavar="NAME=VALUE", help="A keyword of it, typed as YAML; repeatable."),
        option("--call", group=_OWN, default=DEFAULT_CALL, metavar="ARGS", help="Its arguments. Default: '{logits}, {targets}'."),
        option(
            "--input",
            group=_OWN,
            multiple=True,
            default=("logits",),
            metavar="WHAT",
            callback=lambda ctx, parameter, several: ",".join(several),
            help="What it takes: logits (default) or probabilities; of one among several SPEC=probabilities.",
        ),
        option("--pick", group=_OWN, default="", metavar="PATH", help="The loss in its result: a key, index or attribute."),
        option("--axes", group=_OWN, default="", metavar="B,C,H,W", help="The shape it expects: points along the first, 1 along the rest."),
        option(
            "--formula",
            group=_OWN,
            default="",
            metavar="SPEC",
            help="file.py:function, its exact formula(m, logit, target, **params); `program`: what its own lines say, exactly.",
        ),
    )(function)


def failing(function: Callable[..., Any]) -> Callable[..., Any]:
    """--fail-on"""
    shown = "Exit 1 if a row matches: outcomes and ulp>N with commas, such as nan,inf,lost,ulp>4."
    return option_group(option("--fail-on", group=_OUT, metavar="RULES", default=None, help=shown))(function)


def output(command: str) -> Callable[..., Any]:
    """--format --output"""
    return option_group(
        option(
            "--format",
            group=_OUT,
            type=click.Choice(SERVED[command]),
            default=None,
            help="Default: by the suffix of --output, or table.",
        ),
        option("--output", group=_OUT, metavar="FILE", default=None, help="Write to a file, whole or not at all."),
    )


def detail(function: Callable[..., Any]) -> Callable[..., Any]:
    """--regions --verbose, of a sweep"""
    return option_group(
        option("--regions", group=_OUT, is_flag=True, help="Every failing region, with its exact ends."),
        option("-v", "--verbose", group=_OUT, is_flag=True, help="Every backend, target and region."),
    )(function)


def silence(function: Callable[..., Any]) -> Callable[..., Any]:
    """--no-progress --quiet"""
    return option_group(
        option("--no-progress", group=_OUT, is_flag=True, help="No progress bar."),
        option("-q", "--quiet", group=_OUT, is_flag=True, help="No notes and no progress on standard error."),
    )(function)


def option_group(*options: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Several decorators as one, the first on top of the help."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for decorator in reversed(options):
            function = decorator(function)
        return function

    return decorate
