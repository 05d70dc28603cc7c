"""PyTorch's fused binary cross entropies."""

from __future__ import annotations

from losscheck.tracing.cures.patterns import ONE, log_sigmoid, negated, softplus, where
from losscheck.tracing.cures.terms import Term, term

__all__ = ["bce_of_sigmoid", "fused_bce", "fused_bce_hard"]


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
