"""Powers, exponentials, logarithms and signs."""

from __future__ import annotations

from losscheck.tracing.cures.patterns import difference, negated, one_plus
from losscheck.tracing.cures.terms import Term, constant, is_constant, term

__all__ = [
    "atanh_of_tanh",
    "by_expm1",
    "by_log1p",
    "fewer_negations",
    "log_cosh",
    "log_of_exp",
    "shifted_expm1",
    "square",
    "times_one",
]


def times_one(q: Term) -> Term | None:
    """1 * y -> y"""
    if q.op == "mul":
        a, b = q.args
        return a if is_constant(b, 1) else b if is_constant(a, 1) else None
    return None


def by_expm1(q: Term) -> Term | None:
    """1 - exp(y) -> -expm1(y), exp(y) - 1 -> expm1(y)"""
    parts = difference(q)
    if parts and is_constant(parts[0], 1) and parts[1].op == "exp":
        return negated(term("expm1", parts[1].args[0]))
    if parts and is_constant(parts[1], 1) and parts[0].op == "exp":
        return term("expm1", parts[0].args[0])
    return None


def by_log1p(q: Term) -> Term | None:
    """log(1 + y) -> log1p(y)"""
    y = one_plus(q.args[0]) if q.op == "log" else None
    return term("log1p", y) if y is not None else None


def shifted_expm1(q: Term) -> Term | None:
    """(a + 1) - exp(b) -> a - expm1(b)"""
    parts = difference(q)
    if parts and parts[1].op == "exp":
        y = one_plus(parts[0])
        return term("sub", y, term("expm1", parts[1].args[0])) if y is not None else None
    return None


def square(q: Term) -> Term | None:
    """y * y -> y^2"""
    if q.op == "mul" and q.args[0] is q.args[1] and q.args[0].op in ("sigmoid", "where"):
        return term("pow", q.args[0], constant(2))
    return None


def log_cosh(q: Term) -> Term | None:
    """log(cosh(y)) -> |y| + log1p(expm1(-2|y|) / 2): every constant is exact, which log 2 would not be"""
    if q.op != "log" or q.args[0].op != "cosh":
        return None
    size = term("abs", q.args[0].args[0])
    return term("add", size, term("log1p", term("div", term("expm1", term("mul", size, constant(-2.0))), constant(2.0))))


def atanh_of_tanh(q: Term) -> Term | None:
    """atanh(tanh(y)) -> y"""
    return q.args[0].args[0] if q.op == "atanh" and q.args[0].op == "tanh" else None


def log_of_exp(q: Term) -> Term | None:
    """log(exp(y)) -> y"""
    return q.args[0].args[0] if q.op == "log" and q.args[0].op == "exp" else None


def fewer_negations(q: Term) -> Term | None:
    """-(-y) -> y"""
    return q.args[0].args[0] if q.op == "neg" and q.args[0].op == "neg" else None
