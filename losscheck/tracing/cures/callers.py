"""A helper that its one caller hands a function of the logits, such as probabilities: made to take the logits themselves."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from losscheck.tracing.cures.rebinding import unused
from losscheck.tracing.cures.sources import ParsedFile, TextSpan, range_of_node
from losscheck.tracing.cures.terms import LOGIT, Term, subterms

__all__ = ["Handed", "handed"]

LEAVES = ("x", "constant")


@dataclass(frozen=True)
class Handed:
    """What a helper is handed, and by whom.

    Attributes:
        argument: the expression at the call; ``term`` what it is, a function of the logits alone.
        logits: what the logits are called there.
        parameter: the helper's name for the argument; ``name`` what it can call the logits.
        first: the helper's first statement after its docstring.
    """

    argument: ast.expr
    term: Term
    logits: str
    parameter: ast.arg
    name: str
    first: ast.stmt


def handed(
    source: ParsedFile, function: ast.AST, terms: Mapping[TextSpan, Term], names: Mapping[TextSpan, Mapping[Term, str]]
) -> Handed | None:
    """None where the helper cannot be changed with its caller: it has none or several in this file, or is more than a plain function."""
    if not isinstance(function, ast.FunctionDef) or function not in source.tree.body or function.decorator_list:
        return None
    call = _only_call(source, function.name)
    first = _first_statement(function)
    if call is None or first is None:
        return None
    for argument, parameter in zip(call.args, [*function.args.posonlyargs, *function.args.args], strict=False):
        computed = _computed_at(source, argument, terms)
        if computed is None:
            continue
        place = range_of_node(computed, source.lines)
        logits = names.get(place, {}).get(LOGIT)
        if logits and all(part.args or part.op in LEAVES for part in subterms(terms[place])):
            return Handed(argument, terms[place], logits, parameter, unused(function, parameter.arg), first)
    return None


def _only_call(source: ParsedFile, name: str) -> ast.Call | None:
    """The one place of the file where the function's name stands, where that is a call with positional arguments."""
    local = {id(node) for function in ast.walk(source.tree) if _binds(function, name) for node in ast.walk(function)}
    uses = [node for node in ast.walk(source.tree) if isinstance(node, ast.Name) and node.id == name and id(node) not in local]
    calls = [node for node in ast.walk(source.tree) if isinstance(node, ast.Call) and node.func in uses]
    if len(uses) != 1 or not calls or any(isinstance(argument, ast.Starred) for argument in calls[0].args):
        return None
    return calls[0]


def _binds(function: ast.AST, name: str) -> bool:
    """Is the name a variable or an argument of this function's own?"""
    if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        return False
    inside = list(ast.walk(function))
    stored = any(isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store) for node in inside)
    return stored or any(isinstance(node, ast.arg) and node.arg == name for node in inside)


def _computed_at(source: ParsedFile, argument: ast.expr, terms: Mapping[TextSpan, Term]) -> ast.expr | None:
    """The expression that an argument is: itself, or the only one ever assigned to the variable that it is."""
    if isinstance(argument, ast.Name):
        assigned = list(_assigned(source, argument))
        return assigned[0] if len(assigned) == 1 and range_of_node(assigned[0], source.lines) in terms else None
    return argument if range_of_node(argument, source.lines) in terms else None


def _assigned(source: ParsedFile, variable: ast.Name) -> Iterator[ast.expr]:
    """What is assigned to a variable in the function that it is used in."""
    for function in ast.walk(source.tree):
        if isinstance(function, ast.FunctionDef) and variable in ast.walk(function):
            for node in ast.walk(function):
                if isinstance(node, ast.Assign) and any(
                    isinstance(target, ast.Name) and target.id == variable.id for target in node.targets
                ):
                    yield node.value


def _first_statement(function: ast.FunctionDef) -> ast.stmt | None:
    documented = ast.get_docstring(function, clean=False) is not None
    body = function.body[1:] if documented else function.body
    return body[0] if body and body[0].lineno > function.lineno else None
