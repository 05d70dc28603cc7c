"""Options that mean the same in every command, and what they are turned into."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from losscheck.core.call_spec import DEFAULT_CALL, CallSpec, keywords_of
from losscheck.core.dtypes import FLOAT64
from losscheck.core.errors import UserError, nearest
from losscheck.renderers import FORMATS, SUFFIXES

__all__ = ["call_spec_of", "chosen_format", "option_group", "own", "parse_params", "parse_shape", "quantities", "selection"]


def selection(function: Callable[..., Any]) -> Callable[..., Any]:
    """--loss --impl --backend --dtype --device --mode --quantity --param --oracle --digits --max-ulp"""
    one_or_more: dict[str, Any] = {"multiple": True, "metavar": "NAME"}
    options = [
        click.option("--loss", help="A loss; repeat for several. Default: all.", **one_or_more),
        click.option("--impl", multiple=True, metavar="NAME", help="A glob such as 'torch*', or your own as file.py:name; repeatable."),
        click.option("--backend", help="numpy, torch, tensorflow, jax, mpmath; repeatable. Default: all.", **one_or_more),
        click.option("--dtype", default=("float32",), help="float64, float32 (default), float16, bfloat16.", **one_or_more),
        click.option("--device", default=("cpu",), help="cpu (default), cuda, cuda:N; repeat to compare.", **one_or_more),
        click.option(
            "--mode", default=("eager",), help="eager (default), compile, autocast:bfloat16, vmap ...; repeatable.", **one_or_more
        ),
        click.option("--quantity", type=click.Choice(["loss", "grad", "both"]), default="both", help="grad is d loss / d logit."),
        click.option("--param", multiple=True, metavar="NAME=VALUE", help="Such as gamma=1.5; repeatable."),
        click.option("--oracle", default="flint", metavar="NAME", help="flint (default: proved) or mpmath (independent second)."),
        click.option("--digits", type=click.IntRange(2, 5000), default=50, help="Of the mpmath implementations. Default: 50."),
        click.option("--max-ulp", type=float, default=None, metavar="N", help="More ulp than this is `inaccurate`. Default: 8."),
    ]
    return option_group(function, options)


def own(function: Callable[..., Any]) -> Callable[..., Any]:
    """--kw --call --input --pick --axes --formula: how a callable named by --impl is called, and its own exact formula"""
    options = [
        click.option("--kw", multiple=True, metavar="NAME=VALUE", help="A keyword of your own callable, typed as YAML; repeatable."),
        click.option("--call", default=DEFAULT_CALL, metavar="ARGS", help="Its arguments. Default: '{logits}, {targets}'."),
        click.option("--input", default="logits", metavar="WHAT", help="What it takes: logits (default) or probabilities."),
        click.option("--pick", default="", metavar="PATH", help="The loss in its result: a key, index or attribute."),
        click.option("--axes", default="", metavar="B,C,H,W", help="The shape it expects: points along the first, 1 along the rest."),
        click.option("--formula", default="", metavar="SPEC", help="file.py:function, its exact formula(m, logit, target, **params)."),
    ]
    return option_group(function, options)


def call_spec_of(given: dict[str, Any]) -> CallSpec:
    """How the callables among --impl are called.

    Raises:
        UserError: for an option that cannot be read.
    """
    names = ("call", "input", "pick", "axes", "formula")
    return CallSpec(keywords=keywords_of(given["kw"]), **{name: given[name] for name in names})


def failing(function: Callable[..., Any]) -> Callable[..., Any]:
    """--fail-on"""
    shown = "Exit 1 if a row matches: outcomes and ulp>N with commas, such as nan,inf,lost,ulp>4."
    return click.option("--fail-on", metavar="RULES", default=None, help=shown)(function)


def output(function: Callable[..., Any]) -> Callable[..., Any]:
    """--format --output"""
    formats = click.Choice(FORMATS)
    options = [
        click.option("--format", type=formats, default=None, help="Default: by the suffix of --output, or table."),
        click.option("--output", metavar="FILE", default=None, help="Write to a file, whole or not at all."),
    ]
    return option_group(function, options)


def option_group(function: Callable[..., Any], options: Sequence[Callable[..., Any]]) -> Callable[..., Any]:
    for option in reversed(options):
        function = option(function)
    return function


def parse_params(texts: Sequence[str], losses: Sequence[Any]) -> dict[str, float]:
    """``name=value`` pairs; each name must belong to one of the chosen losses at least.

    Raises:
        UserError: for another form, an unknown name, a value that is no number, or a name given twice.
    """
    known = {each.name for loss in losses for each in loss.parameters}
    params: dict[str, float] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip()
        if not equals or not name:
            raise UserError(f"--param {text!r} is not of the form NAME=VALUE", "for example --param gamma=1.5")
        if name not in known:
            raise UserError(f"no parameter {name!r} in {', '.join(loss.name for loss in losses)}", nearest(name, known))
        if name in params:
            raise UserError(f"--param {name} is given twice", "keep one of them")
        params[name] = FLOAT64.parse(value, f"parameter {name}")
    for loss in losses:
        for each in loss.parameters:
            if each.name in params:
                each.check(params[each.name])
    return params


def parse_shape(text: str | None, count: int) -> tuple[int, ...]:
    """'2,1' -> (2, 1), which must hold as many points as there are logits.

    Raises:
        UserError: when it does not.
    """
    if not text:
        return ()
    parts = text.replace("x", ",").split(",")
    if not all(part.strip().isascii() and part.strip().isdigit() and int(part) > 0 for part in parts):
        raise UserError(f"--shape {text!r} is not a shape", "write sizes with commas, for example --shape 2,1")
    shape = tuple(int(part) for part in parts)
    size = 1
    for each in shape:
        size *= each
    if size != count:
        raise UserError(f"--shape {text} holds {size} points, but {count} logits were given", "make them agree")
    return shape


def quantities(name: str) -> tuple[str, ...]:
    return ("loss", "grad") if name == "both" else (name,)


def chosen_format(format_name: str | None, path: str | None) -> str:
    """The format asked for, or the one that the suffix of the output file says."""
    if format_name:
        return format_name
    suffix = "." + path.rpartition(".")[2] if path and "." in path else ""
    return SUFFIXES.get(suffix, "table")
