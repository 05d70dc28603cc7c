"""What a term is, in any of its spellings, and the terms that rewrites are made of."""

from __future__ import annotations

from losscheck.tracing.cures.terms import Term, constant, is_constant, term

__all__ = ["ONE", "complement", "difference", "log_sigmoid", "negated", "one_plus", "softplus", "softplus_of", "where"]

ONE = constant(1)


def negated(a: Term) -> Term:
    if a.op == "neg":
        return a.args[0]
    return constant(-a.value) if a.op == "constant" and not a.source else term("neg", a)


def log_sigmoid(a: Term) -> Term:
    return term("log_sigmoid_forward", a)


def softplus(a: Term) -> Term:
    """As -logsigmoid(-a): F.softplus is the identity above its threshold of 20, which float64 sees."""
    return term("neg", log_sigmoid(negated(a)))


def where(condition: Term, a: Term, b: Term) -> Term:
    return term("where", condition, a, b)


def one_plus(q: Term) -> Term | None:
    """y where q is 1 + y."""
    if q.op == "add":
        a, b = q.args[:2]
        return b if is_constant(a, 1) else a if is_constant(b, 1) else None
    return None


def difference(q: Term) -> tuple[Term, Term] | None:
    """(a, b) where q is a - b."""
    if q.op == "sub":
        return q.args[0], q.args[1]
    if q.op == "rsub":
        return q.args[1], q.args[0]
    if q.op == "add":
        a, b = q.args[:2]
        if b.op == "neg":
            return a, b.args[0]
        if a.op == "neg":
            return b, a.args[0]
    return None


def complement(q: Term) -> Term | None:
    """y where q is 1 - y."""
    parts = difference(q)
    return parts[1] if parts and is_constant(parts[0], 1) else None


def softplus_of(q: Term) -> Term | None:
    """y where q is softplus(y)."""
    if q.op == "softplus" and all(is_constant(fixed, value) for fixed, value in zip(q.args[1:], (1, 20), strict=False)):
        return q.args[0]
    if q.op == "neg" and q.args[0].op == "log_sigmoid_forward":
        return negated(q.args[0].args[0])
    return None
