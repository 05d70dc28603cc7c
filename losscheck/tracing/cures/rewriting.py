"""Rules applied everywhere in a term."""

from __future__ import annotations

from collections.abc import Sequence

from losscheck.tracing.cures.rules import Rule
from losscheck.tracing.cures.terms import LEAVES, Term, term

__all__ = ["normalised", "rewritten"]


def rewritten(root: Term, rule: Rule, memo: dict[Term, Term] | None = None) -> Term:
    """Every match of one rule, innermost first; the same subterm gets the same replacement."""
    memo = {} if memo is None else memo
    if root.op in LEAVES:
        return root
    known = memo.get(root)
    if known is None:
        args = tuple(rewritten(argument, rule, memo) for argument in root.args)
        inner = root if args == root.args else term(root.op, *args, value=root.value, source=root.source)
        known = rule(inner)
        known = memo[root] = inner if known is None else known
    return known


def normalised(root: Term, rules: Sequence[Rule]) -> Term:
    """All rules in turn until none changes anything (a rule pair that goes round in circles is stopped)."""
    for _ in range(20):
        changed = root
        for rule in rules:
            changed = rewritten(changed, rule)
        if changed is root:
            break
        root = changed
    return root
