"""Softmax and the logarithm of a sum of exponentials, along one axis of a tensor: terms of cures/rows.py.

    e^y / sum e^y = softmax(y)      log softmax(y) = log_softmax(y)      log sum e^y = logsumexp(y)      1 - p_0 = p_1 of two classes

The value of a ``sum``, ``amax``, ``logsumexp`` or ``softmax`` term is (axis, keepdim), of a ``select`` term (axis, index, how many
there are), of ops that only move elements whatever they were given.
"""

from __future__ import annotations

from losscheck.tracing.cures.patterns import complement, difference
from losscheck.tracing.cures.terms import Term, term

__all__ = ["ROWS", "log_of_exponentials", "name_log_softmax", "name_softmax", "other_of_two", "unshifted"]

MOVED = ("select", "gather", "index", "diagonal", "squeeze", "unsqueeze")


def _exponential(q: Term) -> Term | None:
    """y where q is e^y."""
    return q.args[0] if q.op == "exp" else None


def name_softmax(q: Term) -> Term | None:
    """exp(y) / exp(y).sum(d, keepdim=True) -> softmax(y, d)"""
    if q.op != "div" or q.args[1].op != "sum" or q.args[1].args[0] is not q.args[0] or q.args[0].op != "exp":
        return None
    axis, kept = q.args[1].value
    return term("softmax", q.args[0].args[0], value=(axis, True)) if kept else None


def log_of_exponentials(q: Term) -> Term | None:
    """The logarithm taken of an exponential, of a softmax, of a sum of exponentials, of their quotients, or of some of their elements."""
    return _logarithm(q.args[0]) if q.op == "log" and q.args[0].op != "exp" else None


def _logarithm(q: Term) -> Term | None:
    if q.op == "exp":
        return q.args[0]
    if q.op == "softmax":
        return term("log_softmax", *q.args, value=q.value)
    if q.op == "sum" and (y := _exponential(q.args[0])) is not None:
        return term("logsumexp", y, value=q.value)
    if q.op in MOVED:
        inner = _logarithm(q.args[0])
        return None if inner is None else term(q.op, inner, *q.args[1:], value=q.value)
    if q.op == "div":
        above, below = map(_logarithm, q.args)
        return None if above is None or below is None else term("sub", above, below)
    return None


def name_log_softmax(q: Term) -> Term | None:
    """y - logsumexp(y, d, keepdim=True) -> log_softmax(y, d)"""
    parts = difference(q)
    if parts and parts[1].op == "logsumexp" and parts[1].args[0] is parts[0] and parts[1].value[1]:
        return term("log_softmax", parts[0], value=parts[1].value)
    return None


def unshifted(q: Term) -> Term | None:
    """softmax(y - max y, d) -> softmax(y, d): it is taken off inside"""
    parts = difference(q.args[0]) if q.op in ("softmax", "log_softmax") else None
    if parts and parts[1].op == "amax" and parts[1].args[0] is parts[0] and parts[1].value == q.value:
        return term(q.op, parts[0], value=q.value)
    return None


def other_of_two(q: Term) -> Term | None:
    """1 - softmax(y)[:, 1] -> softmax(y)[:, 0] of two classes"""
    y = complement(q)
    if y is None or y.op != "select" or y.args[0].op != "softmax":
        return None
    axis, index, count = y.value
    if count != 2 or axis != y.args[0].value[0]:
        return None
    return term("select", y.args[0], value=(axis, 1 - index % 2, count))


ROWS = (name_softmax, unshifted, other_of_two, log_of_exponentials, name_log_softmax)
