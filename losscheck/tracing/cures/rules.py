"""Oriented identities of exact arithmetic, each a function from a term to another or None.

All hold over the reals (and in the limit at infinities) wherever the left side is defined, except those in HARD, which hold for
targets 0 and 1 alone, and those in MEANING, which are no identities. A cure is checked against the original over the target domain
that it is offered for, whatever its rules are.
"""

from __future__ import annotations

from collections.abc import Callable

from losscheck.tracing.cures.patterns import ONE, complement, difference, log_sigmoid, negated, one_plus, softplus, softplus_of, where
from losscheck.tracing.cures.terms import TARGET, Term, constant, is_constant, term

__all__ = ["BASE", "EXTRA", "HARD", "MEANING", "RULES", "Rule"]

Rule = Callable[[Term], "Term | None"]
COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")
GUARD = 0.05  # a bound further inside [0, 1] is no guard against its ends


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


def times_one(q: Term) -> Term | None:
    """1 * y -> y"""
    if q.op == "mul":
        a, b = q.args
        return a if is_constant(b, 1) else b if is_constant(a, 1) else None
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


def by_expm1(q: Term) -> Term | None:
    """1 - exp(y) -> -expm1(y), exp(y) - 1 -> expm1(y)"""
    parts = difference(q)
    if parts and is_constant(parts[0], 1) and parts[1].op == "exp":
        return negated(term("expm1", parts[1].args[0]))
    if parts and is_constant(parts[1], 1) and parts[0].op == "exp":
        return term("expm1", parts[0].args[0])
    return None


def shifted_expm1(q: Term) -> Term | None:
    """(a + 1) - exp(b) -> a - expm1(b)"""
    parts = difference(q)
    if parts and parts[1].op == "exp":
        y = one_plus(parts[0])
        return term("sub", y, term("expm1", parts[1].args[0])) if y is not None else None
    return None


def _fused(q: Term) -> bool:
    """BCE with logits without weights (the weight and pos_weight would be further arguments)."""
    return q.op == "binary_cross_entropy_with_logits" and len(q.args) == 2


def fused_bce(q: Term) -> Term | None:
    """bce_with_logits(x, z) -> z softplus(-x) + (1 - z) softplus(x)"""
    if not _fused(q):
        return None
    x, z = q.args
    return term("add", term("mul", z, softplus(negated(x))), term("mul", term("rsub", z, ONE), softplus(x)))


def fused_bce_hard(q: Term) -> Term | None:
    """bce_with_logits(x, z) -> softplus(where(z == 1, -x, x)), for targets 0 and 1"""
    return softplus(where(term("eq", q.args[1], ONE), negated(q.args[0]), q.args[0])) if _fused(q) else None


def bce_of_sigmoid(q: Term) -> Term | None:
    """binary_cross_entropy(sigmoid(x), z) -> -(z logsigmoid(x) + (1 - z) logsigmoid(-x))"""
    if q.op != "binary_cross_entropy" or len(q.args) != 2 or q.args[0].op != "sigmoid":
        return None
    x, z = q.args[0].args[0], q.args[1]
    terms = term("mul", z, log_sigmoid(x)), term("mul", term("rsub", z, ONE), log_sigmoid(negated(x)))
    return term("neg", term("add", *terms))


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
    return complement(y)


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


def power_of_sigmoid(q: Term) -> Term | None:
    """sigmoid(y)^g -> exp(g logsigmoid(y)): no infinite slope at 0"""
    if q.op == "pow" and q.args[0].op == "sigmoid" and q.args[1].op == "constant":
        return term("exp", term("mul", log_sigmoid(q.args[0].args[0]), q.args[1]))
    return None


def square(q: Term) -> Term | None:
    """y * y -> y^2"""
    if q.op == "mul" and q.args[0] is q.args[1] and q.args[0].op in ("sigmoid", "where"):
        return term("pow", q.args[0], constant(2))
    return None


def sigmoid_by_log(q: Term) -> Term | None:
    """sigmoid(y) -> exp(logsigmoid(y)): its gradient s(-y) s(y) does not cancel"""
    return term("exp", log_sigmoid(q.args[0])) if q.op == "sigmoid" else None


def log_cosh(q: Term) -> Term | None:
    """log(cosh(y)) -> |y| + log1p(expm1(-2|y|) / 2): every constant is exact, which log 2 would not be"""
    if q.op != "log" or q.args[0].op != "cosh":
        return None
    size = term("abs", q.args[0].args[0])
    return term("add", size, term("log1p", term("div", term("expm1", term("mul", size, constant(-2.0))), constant(2.0))))


def atanh_of_tanh(q: Term) -> Term | None:
    """atanh(tanh(y)) -> y"""
    return q.args[0].args[0] if q.op == "atanh" and q.args[0].op == "tanh" else None


def fewer_negations(q: Term) -> Term | None:
    """-(-y) -> y"""
    return q.args[0].args[0] if q.op == "neg" and q.args[0].op == "neg" else None


def negated_where(q: Term) -> Term | None:
    """-where(c, -a, a) -> where(c, a, -a)"""
    if q.op == "neg" and q.args[0].op == "where":
        condition, a, b = q.args[0].args
        if "neg" in (a.op, b.op):
            return where(condition, negated(a), negated(b))
    return None


def without_clamp(q: Term) -> Term | None:
    """clamp(p, 1e-4, 1 - 1e-4) -> p: another meaning. Of max(x, 0) the bound is the meaning, and it stays."""
    if q.op not in ("clamp", "clamp_min", "clamp_max") or not all(_is_guard(bound) for bound in q.args[1:]):
        return None
    return q.args[0]


def _is_guard(bound: Term) -> bool:
    """A number just inside the ends of [0, 1], which keeps a probability from them."""
    return bound.op == "constant" and (0 < bound.value <= GUARD or 1 - GUARD <= bound.value < 1)


def without_eps(q: Term) -> Term | None:
    """y + eps -> y: another meaning"""
    if q.op == "add":
        for a, b in (q.args[:2], q.args[1::-1]):
            if b.op == "constant" and 0 < abs(b.value) < 1e-3:
                return a
    return None


BASE: tuple[Rule, ...] = (
    name_sigmoid,
    times_one,
    complement_of_sigmoid,
    log_of_sigmoid,
    name_softplus,
    shifted_softplus,
    softplus_by_size,
    split_softplus,
    fused_bce_hard,
    into_where,
    hard_targets,
    out_of_where,
    shifted_expm1,
    mask,
    fewer_negations,
    negated_where,
)
EXTRA: tuple[Rule, ...] = (by_expm1, power_of_sigmoid, sigmoid_by_log)
RULES: tuple[Rule, ...] = (*BASE, *EXTRA, fused_bce, bce_of_sigmoid, safe_where, square, log_cosh, atanh_of_tanh, softplus_by_log)
HARD: tuple[Rule, ...] = (fused_bce_hard, hard_targets)
MEANING: tuple[Rule, ...] = (without_clamp, without_eps)
