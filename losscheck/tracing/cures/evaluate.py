"""A term run by PyTorch, and as an exact formula of ours."""

from __future__ import annotations

import operator
from collections.abc import Callable
from itertools import islice
from typing import Any

from losscheck.core.dtypes import FORMATS
from losscheck.core.loss import Formula
from losscheck.tracing.cures.terms import LEAVES, Term, subterms

__all__ = ["UnknownTermError", "evaluated", "formula_of", "is_whole", "supported"]


# A longer term is nobody's elementwise formula, and its search would take minutes.
MOST_SUBTERMS = 200


class UnknownTermError(TypeError):
    """The term has an op that cannot be evaluated here."""


def _power(m: Any, base: Any, exponent: Any) -> Any:
    return m.power(base, exponent)


def _clamp(m: Any, x: Any, low: Any = None, high: Any = None) -> Any:
    x = x if low is None else m.maximum(x, low)
    return x if high is None else m.minimum(x, high)


# Exact definitions over the arithmetic m of the formulas.
EXACT: dict[str, Callable[..., Any]] = {
    "neg": lambda m, a: -a,
    "add": lambda m, a, b: a + b,
    "sub": lambda m, a, b: a - b,
    "rsub": lambda m, a, b: b - a,
    "mul": lambda m, a, b: a * b,
    "div": lambda m, a, b: a / b,
    "reciprocal": lambda m, a: 1 / a,
    "square": lambda m, a: a * a,
    "exp": lambda m, a: m.exp(a),
    "expm1": lambda m, a: m.exp(a) - 1,
    "log": lambda m, a: m.log(a),
    "log1p": lambda m, a: m.log1p(a),
    "sqrt": lambda m, a: m.power(a, m.number(0.5)),
    "tanh": lambda m, a: m.tanh_half(a + a),
    "atanh": lambda m, a: (m.log1p(a) - m.log1p(-a)) / 2,
    "cosh": lambda m, a: (m.exp(a) + m.exp(-a)) / 2,
    "abs": lambda m, a: m.maximum(a, -a),
    "relu": lambda m, a: m.maximum(a, m.number(0)),
    "sigmoid": lambda m, a: m.sigmoid(a),
    "log_sigmoid_forward": lambda m, a: -m.softplus(-a),
    "softplus": lambda m, a, *fixed: m.softplus(a),
    "pow": _power,
    "maximum": lambda m, a, b: m.maximum(a, b),
    "minimum": lambda m, a, b: m.minimum(a, b),
    "clamp": _clamp,
    "clamp_min": lambda m, a, low: m.maximum(a, low),
    "clamp_max": lambda m, a, high: m.minimum(a, high),
    "binary_cross_entropy_with_logits": lambda m, x, z: z * m.softplus(-x) + (1 - z) * m.softplus(x),
    "binary_cross_entropy": lambda m, p, z: -(z * m.log(p) + (1 - z) * m.log(1 - p)),
    "xlogy": lambda m, a, b: m.number(0) if a == m.number(0) else a * m.log(b),
    "eq": lambda m, a, b: a == b,
    "ne": lambda m, a, b: (a == b) is False,
    "lt": lambda m, a, b: a < b,
    "gt": lambda m, a, b: a > b,
    "le": lambda m, a, b: a < b or a == b,
    "ge": lambda m, a, b: a > b or a == b,
}


def supported(root: Term) -> bool:
    """Can the term be evaluated both ways, and is it short enough to be searched?"""
    parts = list(islice(subterms(root), MOST_SUBTERMS + 1))
    known = all(part.op in LEAVES or part.op in ("where", "cast", "detach") or part.op in EXACT for part in parts)
    return known and len(parts) <= MOST_SUBTERMS


def formula_of(root: Term) -> Formula:
    """``formula(m, logit, target)`` of the term: what it computes in exact arithmetic.

    Raises (when called):
        UnknownTermError: for an op that has no definition here.
    """
    order = list(subterms(root))

    def formula(m: Any, logit: Any, target: Any, **_: Any) -> Any:
        values: dict[Term, Any] = {}

        def value(part: Term) -> Any:
            # On demand, so that the branch of a where that is not taken need not be defined.
            if part not in values:
                values[part] = _exact(m, part, value, logit, target)
            return values[part]

        return value(order[-1])

    return formula


def _exact(m: Any, part: Term, value: Callable[[Term], Any], logit: Any, target: Any) -> Any:
    if part.op == "x":
        return logit
    if part.op == "z":
        return target
    if part.op in ("constant", "given"):
        return m.number(float(part.value))
    if part.op == "where":
        condition, a, b = part.args
        return value(a) if value(condition) else value(b)
    if part.op in ("cast", "detach"):
        inner = value(part.args[0])
        inner = m.number(float(inner)) if isinstance(inner, bool) else inner
        return inner if part.op == "detach" or part.value in FORMATS else _whole(m, inner, part.value)
    if part.op not in EXACT:
        raise UnknownTermError(part.op)
    if part.op == "mul":
        # A mask is a truth value, and counts as 0 or 1.
        factors = [value(argument) for argument in part.args]
        factors = [m.number(float(factor)) if isinstance(factor, bool) else factor for factor in factors]
        return factors[0] * factors[1]
    return EXACT[part.op](m, *(value(argument) for argument in part.args))


def _whole(m: Any, inner: Any, name: str) -> Any:
    """A cast to integers or truth values, of targets 0 and 1 and of what is compared: they are that already.

    Raises:
        UnknownTermError: of any other number.
    """
    for number in (0.0, 1.0):
        if inner == m.number(number):
            return inner
    raise UnknownTermError(f"cast to {name}")


def is_whole(part: Term) -> bool:
    """A cast to integers: what it makes of 0 and 1 it makes of nothing in between."""
    return part.op == "cast" and part.value not in FORMATS


def evaluated(root: Term, logits: Any, targets: Any) -> Any:
    """The term as PyTorch computes it on tensors of logits and targets, one float for each.

    Raises:
        UnknownTermError: for an op that has no kernel here; whatever the kernels raise passes through.
    """
    import torch

    kernels = _kernels(torch)
    values: dict[Term, Any] = {}
    for part in subterms(root):
        if part.op == "x":
            values[part] = logits
        elif part.op == "z":
            values[part] = targets
        elif part.op in ("constant", "given"):
            values[part] = part.value
        elif part.op == "cast":
            inner = values[part.args[0]]
            values[part] = inner.to(getattr(torch, part.value)) if isinstance(inner, torch.Tensor) else inner
        elif part.op == "where":
            condition, *branches = (values[argument] for argument in part.args)
            branches = [branch if isinstance(branch, torch.Tensor) else torch.full_like(logits, branch) for branch in branches]
            values[part] = torch.where(condition, *branches)
        elif part.op in kernels:
            values[part] = kernels[part.op](*(values[argument] for argument in part.args))
        else:
            raise UnknownTermError(part.op)
    return values[root]


def _kernels(torch: Any) -> dict[str, Callable[..., Any]]:
    functional = torch.nn.functional
    same = ("exp", "expm1", "log", "log1p", "sqrt", "tanh", "atanh", "cosh", "abs", "relu", "sigmoid", "reciprocal", "square", "neg")
    return {
        **{name: getattr(torch, name) for name in (*same, "maximum", "minimum", "clamp", "xlogy")},
        **{name: getattr(operator, name) for name in ("add", "sub", "mul", "pow", "eq", "ne", "lt", "le", "gt", "ge")},
        "rsub": lambda a, b: b - a,
        "div": operator.truediv,
        "detach": lambda a: a.detach() if isinstance(a, torch.Tensor) else a,
        "clamp_min": lambda a, low: torch.clamp(a, min=low),
        "clamp_max": lambda a, high: torch.clamp(a, max=high),
        "softplus": functional.softplus,
        "log_sigmoid_forward": functional.logsigmoid,
        "binary_cross_entropy_with_logits": lambda x, z: functional.binary_cross_entropy_with_logits(x, z, reduction="none"),
        "binary_cross_entropy": lambda p, z: functional.binary_cross_entropy(p, z, reduction="none"),
    }
