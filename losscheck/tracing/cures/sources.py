"""A file of source as a tree whose expressions are found by their place, and what its modules are called in it."""

from __future__ import annotations

import ast
import functools
import linecache
from collections.abc import Iterator
from dataclasses import dataclass

from losscheck.tracing.places import Place

__all__ = ["ParsedFile", "TextSpan", "expression_at", "operands", "source_of"]

# (line, column, end line, end column), lines from 1, columns in characters from 0.
TextSpan = tuple[int, int, int, int]


@dataclass(frozen=True)
class ParsedFile:
    """A parsed file.

    Attributes:
        lines: with their ends.
        expressions: every expression by its place.
        torch, functional: what the file calls these modules; functional is spelled out where it was not imported.
    """

    file: str
    lines: tuple[str, ...]
    tree: ast.Module
    expressions: dict[TextSpan, ast.expr]
    torch: str
    functional: str

    def at(self, place: Place) -> ast.expr | None:
        """The expression at a place."""
        return self.expressions.get(range_of_place(place))

    @property
    def modules(self) -> tuple[str, ...]:
        """What the file calls the modules of functions on tensors."""
        return self.torch, self.functional

    def text(self, node: ast.expr) -> str:
        """The expression as it was written, on one line."""
        return " ".join(part.strip() for part in (ast.get_source_segment("".join(self.lines), node) or ast.unparse(node)).splitlines())


def range_of_place(place: Place) -> TextSpan:
    return place.line, place.column, place.end_line, place.end_column


def range_of_node(node: ast.expr | ast.stmt | ast.arg, lines: tuple[str, ...]) -> TextSpan:
    """Python counts columns in UTF-8 bytes."""
    end_line, end = node.end_lineno or node.lineno, node.end_col_offset or 0
    columns = (
        len(lines[line - 1].encode()[:at].decode(errors="replace")) for line, at in ((node.lineno, node.col_offset), (end_line, end))
    )
    start, stop = columns
    return node.lineno, start, end_line, stop


@functools.lru_cache(maxsize=64)
def _parsed(file: str, text: str) -> ParsedFile | None:
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return None
    lines = tuple(text.splitlines(keepends=True))
    expressions = {range_of_node(node, lines): node for node in ast.walk(tree) if isinstance(node, ast.expr)}
    torch, functional = "torch", ""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            home = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
            for alias in node.names:
                if home + alias.name == "torch":
                    torch = alias.asname or "torch"
                elif home + alias.name == "torch.nn.functional" and (alias.asname or home):
                    functional = alias.asname or alias.name
    return ParsedFile(file, lines, tree, expressions, torch, functional or f"{torch}.nn.functional")


def source_of(file: str) -> ParsedFile | None:
    """The parsed file as it stood when Python read it; None when there is none to be read."""
    lines = linecache.getlines(file)
    return _parsed(file, "".join(lines)) if lines else None


def expression_at(place: Place) -> tuple[ParsedFile | None, ast.expr | None]:
    """The parsed file and the expression of a place; None where there is no source, or no columns."""
    source = source_of(place.file) if place.file and place.column >= 0 else None
    return source, source.at(place) if source else None


CASTS = ("float", "double", "half", "bfloat16", "to", "type", "type_as")


def operands(node: ast.expr, op: str, count: int, modules: tuple[str, ...]) -> Iterator[tuple[int | str, ast.expr]]:
    """The ``count`` operands of the one aten op that an expression is: (position or keyword, expression), the tensor of a method first.

    ``modules`` are names whose functions are no methods.
    """
    if isinstance(node, ast.BinOp):
        yield from enumerate((node.left, node.right))
    elif isinstance(node, ast.Compare) and len(node.comparators) == 1:
        yield from enumerate((node.left, node.comparators[0]))
    elif isinstance(node, ast.UnaryOp):
        yield 0, node.operand
    elif isinstance(node, ast.Call):
        first: list[ast.expr] = []
        method = node.func.attr if isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) not in modules else ""
        # torch.log(x) hands over all of the operands, x.log() all but one.
        if isinstance(node.func, ast.Attribute) and (method in CASTS or (method == op and len(node.args) + len(node.keywords) < count)):
            first = [node.func.value]
        yield from enumerate([*first, *node.args])
        yield from ((keyword.arg, keyword.value) for keyword in node.keywords if keyword.arg)
