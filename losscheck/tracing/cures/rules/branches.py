"""Masks, `where`, and what targets of 0 and 1 choose: an infinity that is left out must make no NaN."""

from __future__ import annotations

from losscheck.tracing.cures.patterns import ONE, complement, negated, where
from losscheck.tracing.cures.terms import TARGET, Term, constant, is_computed, term

__all__ = ["hard_targets", "into_where", "mask", "negated_where", "out_of_where", "safe_where"]

COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")


def into_where(q: Term) -> Term | None:
    """f(where(c, a, b)) -> where(c, f(a), f(b)), also for 1 - where(...); 1 - (1 - y) -> y"""
    if q.op in ("log", "exp", "sigmoid") and q.args[0].op == "where":
        condition, a, b = q.args[0].args
        return where(condition, term(q.op, a), term(q.op, b))
    y = complement(q)
    if y is None:
        return None
    if y.op == "where":
        condition, a, b = y.args
        return where(condition, term("rsub", a, ONE), term("rsub", b, ONE))
    inner = complement(y)
    # What is a number of this call alone has a name as it stands, and none inside.
    return None if inner is None or is_computed(inner) else inner


def out_of_where(q: Term) -> Term | None:
    """where(c, f(a), f(b)) -> f(where(c, a, b)): one well-placed call instead of two branches"""
    if q.op != "where" or q.args[1].op != q.args[2].op:
        return None
    condition, a, b = q.args
    if a.op in ("sigmoid", "log_sigmoid_forward", "exp", "expm1", "log") and len(a.args) == 1:
        return term(a.op, where(condition, a.args[0], b.args[0]))
    if a.op == "neg" and a.args[0].op == b.args[0].op == "log_sigmoid_forward":
        return term("neg", where(condition, a.args[0], b.args[0]))
    return None


def hard_targets(q: Term) -> Term | None:
    """z a + (1 - z) b -> where(z == 1, a, b), for targets 0 and 1"""
    if q.op != "add":
        return None
    for first, second in (q.args[:2], q.args[1::-1]):
        if first.op == second.op == "mul":
            for a, b in (first.args, first.args[::-1]):
                for c, d in (second.args, second.args[::-1]):
                    # Of two Python numbers torch.where makes float32, whatever the dtype of the logits is.
                    if a is TARGET and complement(c) is TARGET and not b.op == d.op == "constant":
                        return where(term("eq", TARGET, ONE), b, d)
    return None


def mask(q: Term) -> Term | None:
    """y * (condition).to(float) -> where(condition, y, 0): a masked infinity makes no NaN"""
    if q.op != "mul":
        return None
    for a, b in (q.args, q.args[::-1]):
        condition = b.args[0] if b.op == "cast" else b
        if condition.op in COMPARISONS:
            return where(condition, a, constant(0.0))
    return None


def safe_where(q: Term) -> Term | None:
    """where(c, f(a), b) -> where(c, f(where(c, a, 1)), b): the branch that is not taken has no infinite slope"""
    if q.op == "where" and q.args[1].op in ("log", "sqrt", "pow", "reciprocal"):
        condition, branch, other = q.args
        if branch.args[0].op != "where":
            safe = where(condition, branch.args[0], constant(1.0))
            return where(condition, term(branch.op, safe, *branch.args[1:]), other)
    return None


def negated_where(q: Term) -> Term | None:
    """-where(c, -a, a) -> where(c, a, -a)"""
    if q.op == "neg" and q.args[0].op == "where":
        condition, a, b = q.args[0].args
        if "neg" in (a.op, b.op):
            return where(condition, negated(a), negated(b))
    return None
