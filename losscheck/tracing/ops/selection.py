"""Ops that compare, choose or cut: what they decide is meaning, and exact arithmetic decides it by exact values."""

from __future__ import annotations

import math
from typing import Any

from losscheck.tracing.ops.table import pointwise


@pointwise("lt")
def lt(m: Any, x: Any, other: Any) -> bool:
    return bool(m.less(x, other))


@pointwise("gt")
def gt(m: Any, x: Any, other: Any) -> bool:
    return bool(m.less(other, x))


@pointwise("le")
def le(m: Any, x: Any, other: Any) -> bool:
    return not (m.is_nan(x) or m.is_nan(other) or m.less(other, x))


@pointwise("ge")
def ge(m: Any, x: Any, other: Any) -> bool:
    return not (m.is_nan(x) or m.is_nan(other) or m.less(x, other))


@pointwise("eq")
def eq(m: Any, x: Any, other: Any) -> bool:
    return bool(m.equal(x, other))


@pointwise("ne")
def ne(m: Any, x: Any, other: Any) -> bool:
    return not m.equal(x, other)


@pointwise("logical_and", "bitwise_and", "__and__", x="bool", other="bool")
def logical_and(m: Any, x: Any, other: Any) -> bool:
    return bool(m.truth(x) and m.truth(other))


@pointwise("logical_or", "bitwise_or", "__or__", x="bool", other="bool")
def logical_or(m: Any, x: Any, other: Any) -> bool:
    return bool(m.truth(x) or m.truth(other))


@pointwise("logical_xor", "bitwise_xor", x="bool", other="bool")
def logical_xor(m: Any, x: Any, other: Any) -> bool:
    return bool(m.truth(x) != m.truth(other))


@pointwise("logical_not", "bitwise_not", x="bool")
def logical_not(m: Any, x: Any) -> bool:
    return not m.truth(x)


@pointwise("isnan")
def isnan(m: Any, x: Any) -> bool:
    return bool(m.is_nan(x))


@pointwise("isinf")
def isinf(m: Any, x: Any) -> bool:
    return not m.is_nan(x) and _infinite(m, x)


def _infinite(m: Any, x: Any) -> bool:
    return bool(m.equal(x, m.number(math.inf)) or m.equal(x, m.number(-math.inf)))


@pointwise("where", condition="bool")
def where(m: Any, condition: Any, x: Any, other: Any) -> Any:
    return x if m.truth(condition) else other


@pointwise("masked_fill", mask="bool", value=0.5)
def masked_fill(m: Any, x: Any, mask: Any, value: Any) -> Any:
    return value if m.truth(mask) else x


@pointwise("maximum", "fmax")
def maximum(m: Any, x: Any, other: Any) -> Any:
    return m.maximum(x, other)


@pointwise("minimum", "fmin")
def minimum(m: Any, x: Any, other: Any) -> Any:
    return m.minimum(x, other)


def at_least(m: Any, x: Any, bound: Any) -> Any:
    """A clamp from below; at the bound itself the slope is x's, as PyTorch has it."""
    return x if m.is_nan(x) or not m.less(x, bound) else bound


def at_most(m: Any, x: Any, bound: Any) -> Any:
    return x if m.is_nan(x) or not m.less(bound, x) else bound


@pointwise("clamp", "clip", min=-0.5, max=0.5)
def clamp(m: Any, x: Any, min: Any, max: Any) -> Any:  # noqa: A002
    if min is not None:
        x = at_least(m, x, min)
    return x if max is None else at_most(m, x, max)


@pointwise("clamp_min", min=-0.5)
def clamp_min(m: Any, x: Any, min: Any) -> Any:  # noqa: A002
    return at_least(m, x, min)


@pointwise("clamp_max", max=0.5)
def clamp_max(m: Any, x: Any, max: Any) -> Any:  # noqa: A002
    return at_most(m, x, max)


@pointwise("hardtanh")
def hardtanh(m: Any, x: Any, min_val: Any, max_val: Any) -> Any:
    return at_most(m, at_least(m, x, min_val), max_val)


def sign(m: Any, x: Any) -> Any:
    zero = m.number(0)
    return x if m.is_nan(x) else m.number(-1 if m.less(x, zero) else 1 if m.less(zero, x) else 0)


@pointwise("sign", "sgn")
def signum(m: Any, x: Any) -> Any:
    return sign(m, x)


@pointwise("abs")
def absolute(m: Any, x: Any) -> Any:
    """sgn(x) x: its slope at 0 is 0, as PyTorch has it."""
    return m.mul(sign(m, x), x)


@pointwise("floor")
def floor(m: Any, x: Any) -> Any:
    return m.floor(x)


@pointwise("ceil")
def ceil(m: Any, x: Any) -> Any:
    return m.neg(m.floor(m.neg(x)))


@pointwise("round")
def rounded(m: Any, x: Any, decimals: Any) -> Any:
    """To the nearest integer, ties to even."""
    if decimals:
        raise NotImplementedError("round to decimals")
    half = m.number(0.5)
    below = m.floor(m.add(x, half))
    tie = m.equal(m.sub(below, x), half)
    even = m.equal(m.mul(m.floor(m.mul(below, half)), m.number(2)), below)
    return m.sub(below, m.number(1)) if tie and not even else below


@pointwise("trunc")
def trunc(m: Any, x: Any) -> Any:
    return m.neg(m.floor(m.neg(x))) if m.less(x, m.number(0)) else m.floor(x)


@pointwise("nan_to_num", nan=0.0, posinf=1e10, neginf=-1e10)
def nan_to_num(m: Any, x: Any, nan: Any, posinf: Any, neginf: Any) -> Any:
    if m.is_nan(x):
        return m.number(0) if nan is None else nan
    if posinf is not None and m.equal(x, m.number(math.inf)):
        return posinf
    return neginf if neginf is not None and m.equal(x, m.number(-math.inf)) else x
