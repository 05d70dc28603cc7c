"""The user's own source with the rewrites in it: statement by statement, with their names, as a unified diff."""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from losscheck.tracing.cures.callers import Handed, handed
from losscheck.tracing.cures.evaluate import supported
from losscheck.tracing.cures.extract import Extracted
from losscheck.tracing.cures.printing import Names, NoNameError, expression
from losscheck.tracing.cures.rebinding import Rebound, rebound
from losscheck.tracing.cures.search import Step, apply
from losscheck.tracing.cures.sources import ParsedFile, TextSpan, range_of_node, range_of_place, source_of
from losscheck.tracing.cures.terms import LOGIT, TARGET, Term, subterms, term

__all__ = ["Patch", "patches"]

CLOSED = (ast.Call, ast.Name, ast.Attribute, ast.Subscript)
# A bracket that opens no call and no subscript.
GROUPED = re.compile(r"(^|[-+*/=(\[,{]|\breturn)\s*\($")


@dataclass(frozen=True)
class Patch:
    """A file and its text before and after.

    Attributes:
        takes_logits: helpers that take logits from now on and took a function of them before; whoever else calls them must follow.
    """

    file: str
    before: str
    after: str
    takes_logits: tuple[str, ...] = ()

    def diff(self, name: str = "") -> str:
        """A unified diff that `git apply` and `patch -p1` take; ``name`` is the path written in it."""
        shown = name or self.file
        lines = difflib.unified_diff(
            self.before.splitlines(keepends=True), self.after.splitlines(keepends=True), f"a/{shown}", f"b/{shown}", n=3
        )
        return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


@dataclass(frozen=True)
class _Edit:
    place: TextSpan
    text: str


def patches(extracted: Extracted, steps: Sequence[Step]) -> list[Patch]:
    """The files in which the steps change something, one patch for each.

    None at all where some statement has no name for what it would need. A function that is given probabilities is made to take the
    logits where its only call in the file can be changed with it (:func:`losscheck.tracing.cures.callers.handed`).
    """
    made = []
    for file in dict.fromkeys(place.file for place in extracted.places if place.file):
        source = source_of(file)
        if source is None:
            continue
        editor = _Editor(source, extracted, steps)
        try:
            edits = editor.edits()
        except NoNameError:
            return []
        if edits:
            made.append(Patch(file, "".join(source.lines), _edited(source, edits), tuple(editor.takes_logits)))
    return made


class _Editor:
    """The statements of one file in their order, with what each name stands for."""

    def __init__(self, source: ParsedFile, extracted: Extracted, steps: Sequence[Step]) -> None:
        self.source, self.steps = source, steps
        self.terms = {range_of_place(place): whole for place, whole in extracted.places.items() if place.file == source.file}
        self.reduced = {range_of_place(place): known for place, known in extracted.reduced.items() if place.file == source.file}
        self.local = {range_of_place(place): names for place, names in extracted.names.items() if place.file == source.file}
        self.along_rows = extracted.along_rows
        self.takes_logits: list[str] = []

    def edits(self) -> list[_Edit]:
        """What to replace, no part of it twice.

        Raises:
            NoNameError: when a statement has no name for what it would need.
        """
        edits: list[_Edit] = []
        handed_over: list[_Edit] = []
        for function in ast.walk(self.source.tree):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                try:
                    edits += list(self._function(function, {}))
                except NoNameError:
                    if (lost := rebound(self.source, function, self.local)) is not None:
                        edits += self._kept(function, lost)
                        continue
                    helper = handed(self.source, function, self.terms, self.local)
                    if helper is None:
                        raise
                    self.takes_logits.append(getattr(function, "name", ""))
                    edits += list(self._function(function, {LOGIT: helper.name}))
                    handed_over += self._handed_over(helper)
        # What a caller no longer computes needs no cure there.
        return [*(edit for edit in edits if not any(_inside(edit.place, other.place) for other in handed_over)), *handed_over]

    def _kept(self, function: ast.AST, lost: Rebound) -> Iterator[_Edit]:
        """The logits get a name before their variable is given another value."""
        yield from self._function(function, {}, lost)
        line, start, _, _ = range_of_node(lost.statement, self.source.lines)
        yield _Edit((line, start, line, start), f"{lost.name} = {lost.old}\n{' ' * start}")

    def _handed_over(self, helper: Handed) -> list[_Edit]:
        """The call hands over the logits, and the helper's first statement computes what it was given before."""
        line, start, _, _ = range_of_node(helper.parameter, self.source.lines)
        first_line, first_start, _, _ = range_of_node(helper.first, self.source.lines)
        names = Names({LOGIT: helper.name}, self.source.torch, self.source.functional)
        statement = f"{helper.parameter.arg} = {expression(apply(self.steps, helper.term), names)}"
        return [
            _Edit(range_of_node(helper.argument, self.source.lines), helper.logits),
            _Edit((line, start, line, start + len(helper.parameter.arg)), helper.name),
            _Edit((first_line, first_start, first_line, first_start), f"{statement}\n{' ' * first_start}"),
        ]

    def _function(self, function: ast.AST, names: dict[Term, str], lost: Rebound | None = None) -> Iterator[_Edit]:
        """``names``: of terms, at first; then each that a name stands for once the statements before are rewritten. From the statement
        on that takes the logits their name, ``lost``, they have another one."""
        for statement in _statements(function):
            if lost is not None and statement is lost.statement:
                names = {**names, LOGIT: lost.name}
            value = getattr(statement, "value", None)
            if not isinstance(value, ast.expr):
                continue
            texts = self._standing(value, names)
            for node in self._computed(value):
                place = range_of_node(node, self.source.lines)
                old, reduction = (self.terms[place], "") if place in self.terms else self.reduced[place]
                new = apply(self.steps, old)
                if new is not old:
                    known = Names(names, self.source.torch, self.source.functional, texts)
                    yield self._placed(expression(new, known, reduction=reduction), node, value)
            stored = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
            names = {whole: name for whole, name in names.items() if name not in stored}
            held = self.terms.get(range_of_node(value, self.source.lines))
            if held is not None and isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
                names[apply(self.steps, held)] = statement.targets[0].id

    def _standing(self, value: ast.expr, names: dict[Term, str]) -> dict[Term, str]:
        """The expressions of a statement that stay as they are; what its names stand for is added to ``names``."""
        texts: dict[Term, str] = {}
        for node in ast.walk(value):
            if isinstance(node, ast.expr):
                place = range_of_node(node, self.source.lines)
                for operand, name in self.local.get(place, {}).items():
                    names.setdefault(apply(self.steps, operand), name)
                held = self.terms.get(place)
                if held is not None and apply(self.steps, held) is held:
                    texts[held] = self.source.text(node)
        return texts

    def _computed(self, node: ast.AST) -> Iterator[ast.expr]:
        """The largest sub-expressions that an elementwise op computed, of terms over the logit or the target that rules are for."""
        if isinstance(node, ast.expr):
            place = range_of_node(node, self.source.lines)
            if place in self.reduced or (place in self.terms and self._is_for_rules(self.terms[place])):
                yield node
                return
        for child in ast.iter_child_nodes(node):
            yield from self._computed(child)

    def _is_for_rules(self, whole: Term) -> bool:
        """Terms of elements are rewritten whole, where they are known; of those over tensors, the part that a rule matches."""
        if not self.along_rows:
            return _of_element(whole) and supported(whole)
        args = [apply(self.steps, argument) for argument in whole.args]
        return apply(self.steps, whole) is not term(whole.op, *args, value=whole.value, source=whole.source)

    def _placed(self, text: str, node: ast.expr, whole: ast.expr) -> _Edit:
        """In parentheses where it stands among others without any; without those that stood there for nothing else."""
        line, start, end_line, end = range_of_node(node, self.source.lines)
        before, after = self.source.lines[line - 1][:start], self.source.lines[end_line - 1][end:]
        body = ast.parse(text, mode="eval").body
        alone = isinstance(body, CLOSED)
        if isinstance(body, ast.UnaryOp) and isinstance(body.operand, CLOSED):
            # A sign binds weaker than what follows a name, and stronger than all else; two of them are hard to read.
            alone = not (after.lstrip().startswith((".", "[", "(", "**")) or before.rstrip().endswith(("-", "**")))
        if isinstance(body, CLOSED) and GROUPED.search(before) and after.startswith(")"):
            return _Edit((line, start - 1, end_line, end + 1), text)
        enclosed = node is whole or (before.rstrip()[-1:] in "([," and after.lstrip()[:1] in ")],")
        return _Edit((line, start, end_line, end), text if enclosed or alone else f"({text})")


def _statements(function: ast.AST) -> Iterator[ast.stmt]:
    """The statements of a function in the order of their lines, without those of functions inside it."""
    if isinstance(function, ast.Lambda):
        yield ast.copy_location(ast.Return(function.body), function.body)
        return
    todo: list[ast.AST] = list(ast.iter_child_nodes(function))
    found = []
    while todo:
        node = todo.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if isinstance(node, ast.stmt):
            found.append(node)
        todo += ast.iter_child_nodes(node)
    yield from sorted(found, key=lambda statement: (statement.lineno, statement.col_offset))


def _of_element(whole: Term) -> bool:
    """What is computed of sums alone has nothing to rewrite; what was summed may stand inside it."""
    return any(part in (LOGIT, TARGET) for part in subterms(whole))


def _inside(inner: TextSpan, outer: TextSpan) -> bool:
    return outer[:2] <= inner[:2] and inner[2:] <= outer[2:] and outer[:2] != outer[2:]


def _edited(source: ParsedFile, edits: Sequence[_Edit]) -> str:
    lines = list(source.lines)
    for edit in sorted(edits, key=lambda edit: edit.place, reverse=True):
        line, start, end_line, end = edit.place
        lines[line - 1 : end_line] = [lines[line - 1][:start] + edit.text + lines[end_line - 1][end:]]
    return "".join(lines)
