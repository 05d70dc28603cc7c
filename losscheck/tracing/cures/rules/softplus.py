"""Sigmoid and softplus in their spellings: named, taken out of logarithms and powers, and split into terms of one sign."""

from __future__ import annotations

from losscheck.tracing.cures.patterns import ONE, complement, difference, log_sigmoid, negated, one_plus, softplus, softplus_of
from losscheck.tracing.cures.terms import Term, is_constant, term

__all__ = [
    "complement_of_sigmoid",
    "log_of_sigmoid",
    "name_sigmoid",
    "name_softplus",
    "power_of_sigmoid",
    "shifted_softplus",
    "sigmoid_by_log",
    "softplus_by_log",
    "softplus_by_size",
    "split_softplus",
]


def name_sigmoid(q: Term) -> Term | None:
    """1 / (1 + exp(-y)), exp(y) / (1 + exp(y)), exp(-softplus(-y)), exp(logsigmoid(y)) -> sigmoid(y)"""
    if q.op == "reciprocal" or (q.op == "div" and is_constant(q.args[0], 1)):
        y = one_plus(q.args[-1] if q.op == "div" else q.args[0])
        return term("sigmoid", negated(y.args[0])) if y is not None and y.op == "exp" else None
    if q.op == "div" and q.args[0].op == "exp" and one_plus(q.args[1]) is q.args[0]:
        return term("sigmoid", q.args[0].args[0])
    if q.op == "exp":
        if q.args[0].op == "log_sigmoid_forward":
            return term("sigmoid", q.args[0].args[0])
        y = softplus_of(negated(q.args[0]))
        return term("sigmoid", negated(y)) if y is not None else None
    return None


def complement_of_sigmoid(q: Term) -> Term | None:
    """1 - sigmoid(y) -> sigmoid(-y)"""
    y = complement(q)
    return term("sigmoid", negated(y.args[0])) if y is not None and y.op == "sigmoid" else None


def log_of_sigmoid(q: Term) -> Term | None:
    """log(sigmoid(y)) -> logsigmoid(y)"""
    return log_sigmoid(q.args[0].args[0]) if q.op == "log" and q.args[0].op == "sigmoid" else None


def name_softplus(q: Term) -> Term | None:
    """log(1 + exp(y)), log1p(exp(y)), log1p(-sigmoid(y)) -> softplus(y), logsigmoid(-y)"""
    if q.op == "log":
        y = one_plus(q.args[0])
        return softplus(y.args[0]) if y is not None and y.op == "exp" else None
    if q.op == "log1p":
        inner = q.args[0]
        if inner.op == "exp":
            return softplus(inner.args[0])
        if inner.op == "neg" and inner.args[0].op == "sigmoid":
            return log_sigmoid(negated(inner.args[0].args[0]))
    return None


def softplus_by_log(q: Term) -> Term | None:
    """softplus(y) -> -logsigmoid(-y): F.softplus gives y from its threshold of 20 on, which float64 tells from the truth."""
    return softplus(q.args[0]) if q.op == "softplus" and softplus_of(q) is not None else None


def shifted_softplus(q: Term) -> Term | None:
    """x + softplus(-x), x - logsigmoid(x) -> softplus(x)"""
    if q.op == "add":
        for a, b in (q.args[:2], q.args[1::-1]):
            y = softplus_of(b)
            if y is not None and (negated(y) is a or negated(a) is y):
                return softplus(a)
    parts = difference(q)
    if parts and parts[1].op == "log_sigmoid_forward" and parts[1].args[0] is parts[0]:
        return softplus(parts[0])
    return None


def _largest_of_zero(q: Term) -> Term | None:
    """x where q is max(x, 0)."""
    if q.op == "relu" or (q.op in ("clamp", "clamp_min") and len(q.args) == 2 and is_constant(q.args[1], 0)):
        return q.args[0]
    return None


def _softplus_of_minus_size(q: Term, x: Term) -> bool:
    """Is q log(1 + exp(-|x|))?"""
    size = softplus_of(q)
    return size is not None and negated(size).op == "abs" and negated(size).args[0] is x


def softplus_by_size(q: Term) -> Term | None:
    """max(x, 0) + softplus(-|x|) -> softplus(x), also with a term y subtracted in between: (max(x, 0) - y) + softplus(-|x|)"""
    if q.op != "add":
        return None
    for a, b in (q.args[:2], q.args[1::-1]):
        x = _largest_of_zero(a)
        if x is not None and _softplus_of_minus_size(b, x):
            return softplus(x)
        parts = difference(a)
        x = _largest_of_zero(parts[0]) if parts else None
        if parts and x is not None and _softplus_of_minus_size(b, x):
            return term("sub", softplus(x), parts[1])
    return None


def split_softplus(q: Term) -> Term | None:
    """softplus(x) - x z -> z softplus(-x) + (1 - z) softplus(x): terms of one sign"""
    parts = difference(q)
    if parts is None or parts[1].op != "mul":
        return None
    x = softplus_of(parts[0])
    for a, z in (parts[1].args, parts[1].args[::-1]):
        if x is not None and a is x:
            return term("add", term("mul", z, softplus(negated(x))), term("mul", term("rsub", z, ONE), softplus(x)))
    return None


def power_of_sigmoid(q: Term) -> Term | None:
    """sigmoid(y)^g -> exp(g logsigmoid(y)): no infinite slope at 0"""
    if q.op == "pow" and q.args[0].op == "sigmoid" and q.args[1].op == "constant":
        return term("exp", term("mul", log_sigmoid(q.args[0].args[0]), q.args[1]))
    return None


def sigmoid_by_log(q: Term) -> Term | None:
    """sigmoid(y) -> exp(logsigmoid(y)): its gradient s(-y) s(y) does not cancel"""
    return term("exp", log_sigmoid(q.args[0])) if q.op == "sigmoid" else None
