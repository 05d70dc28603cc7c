"""A command of losscheck: its options stand in groups in the help, and a bare word names an implementation, a bare number is a logit."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import groupby
from typing import Any

import click

from losscheck.cli import complete

__all__ = ["Command", "Option", "WordsCommand", "option"]

# What a reader takes for a number: digits, a sign before it, hex, inf and nan, several with commas.
_NUMBERS = re.compile(r"[+-]?(\.?\d[\w.+-]*|inf(inity)?|nan)(,[+-]?(\.?\d[\w.+-]*|inf(inity)?|nan))*", re.IGNORECASE)


class Option(click.Option):
    """An option that stands in a group of the help."""

    def __init__(self, *names: Any, group: str = "Options", **more: Any) -> None:
        super().__init__(*names, **more)
        self.group = group


def option(*names: str, group: str = "Options", **more: Any) -> Callable[..., Any]:
    """``click.option`` with a group, and with what the Tab key offers after it."""
    if names[0] in complete.OPTIONS:
        more.setdefault("shell_complete", complete.OPTIONS[names[0]])
    return click.option(*names, cls=Option, group=group, **more)


class Command(click.Command):
    """Its help shows the groups in the order in which they first come, each option in its own."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        parameters = self.get_params(ctx)
        order = list(dict.fromkeys(map(_group, parameters)))
        for group, members in groupby(sorted(parameters, key=lambda parameter: order.index(_group(parameter))), key=_group):
            records = [record for parameter in members if (record := parameter.get_help_record(ctx))]
            if records:
                with formatter.section(group):
                    formatter.write_dl(records)


def _group(parameter: click.Parameter) -> str:
    # --help comes last and alone.
    return getattr(parameter, "group", "Help")


class WordsCommand(Command):
    """``compare mine.py:focal -15`` is ``compare --impl mine.py:focal --logit -15``: bare words name implementations, as after
    ``check``, and bare numbers logits where the command has any (click would take the minus for an option)."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, self._named(args))

    def _has(self, name: str) -> bool:
        return any(name in parameter.opts for parameter in self.params)

    def _named(self, args: list[str]) -> list[str]:
        values = {name: parameter.nargs for parameter in self.params for name in parameter.opts if not getattr(parameter, "is_flag", False)}
        words: list[str] = []
        rest = iter(args)
        for word in rest:
            number = _NUMBERS.fullmatch(word)
            name = "--logit" if number else "" if word.startswith("-") else "--impl"
            words += [name, word] if name and self._has(name) else [word]
            if name:
                continue
            for _ in range(values.get(word, 0)):
                words += [value for value in [next(rest, None)] if value is not None]
        return words

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [*["[WHAT]..."] * self._has("--impl"), *["[LOGIT]..."] * self._has("--logit"), *super().collect_usage_pieces(ctx)]
