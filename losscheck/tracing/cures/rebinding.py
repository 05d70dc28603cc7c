"""A variable of the logits that is given another value (``pred = pred.sigmoid()``): the logits keep a name of their own."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from losscheck.tracing.cures.sources import ParsedFile, TextSpan, range_of_node
from losscheck.tracing.cures.terms import LOGIT, Term

__all__ = ["Rebound", "rebound", "unused"]


@dataclass(frozen=True)
class Rebound:
    """The statement that takes the name away; ``old`` is that name, ``name`` what the logits can be called before it."""

    statement: ast.stmt
    old: str
    name: str


def rebound(source: ParsedFile, function: ast.AST, names: Mapping[TextSpan, Mapping[Term, str]]) -> Rebound | None:
    """The first of the function; None where there is none, or where no line can stand before it."""
    for statement in ast.walk(function):
        if not isinstance(statement, ast.Assign) or source.lines[statement.lineno - 1][: statement.col_offset].strip():
            continue
        stored = {target.id for target in statement.targets if isinstance(target, ast.Name)}
        for old in _logits_in(source, statement.value, names):
            if old in stored:
                return Rebound(statement, old, unused(function, old))
    return None


def _logits_in(source: ParsedFile, value: ast.expr, names: Mapping[TextSpan, Mapping[Term, str]]) -> Iterator[str]:
    """What the logits are called in an expression."""
    for node in ast.walk(value):
        if isinstance(node, ast.expr) and (name := names.get(range_of_node(node, source.lines), {}).get(LOGIT)):
            yield name


def unused(function: ast.AST, variable: str) -> str:
    """A name for the logits that the function has no other use for."""
    used = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)} | {
        node.arg for node in ast.walk(function) if isinstance(node, ast.arg)
    }
    return next(name for name in ("logits", f"{variable}_logits", f"logits_of_{variable}_") if name not in used)
