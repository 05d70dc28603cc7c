"""Trees of questions about signs, an expression at each leaf: what a program with branches computes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from losscheck.tracing.own.expressions import Sum

__all__ = ["Choice", "Tree", "choice", "leaves"]


@dataclass(frozen=True, eq=False, slots=True)
class Choice:
    """``below``, ``at`` or ``above``, as the sign of an expression is; ``at`` is None where it cannot be 0 at any float."""

    about: Sum
    below: Tree
    at: Tree
    above: Tree


# None: undefined in exact arithmetic.
Tree = Sum | Choice | None

_CHOICES: dict[tuple[Sum, Tree, Tree, Tree], Choice] = {}


def choice(about: Sum, below: Tree, at: Tree, above: Tree) -> Tree:
    """The one tree of this question and these branches; none where they are one."""
    if below is above and (at is below or at is None):
        return below
    key = about, below, at, above
    if key not in _CHOICES:
        _CHOICES[key] = Choice(*key)
    return _CHOICES[key]


def leaves(tree: Tree) -> Iterator[Sum]:
    """The expressions at its ends."""
    if isinstance(tree, Choice):
        for branch in (tree.below, tree.at, tree.above):
            yield from leaves(branch)
    elif tree is not None:
        yield tree
