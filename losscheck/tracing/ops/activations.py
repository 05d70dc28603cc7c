"""Activations. A threshold inside a kernel (softplus above 20) is rounding and no part of the definition."""

from __future__ import annotations

from typing import Any

from losscheck.tracing.ops.selection import at_least, at_most
from losscheck.tracing.ops.table import pointwise


@pointwise("sigmoid", "special_expit")
def sigmoid(m: Any, x: Any) -> Any:
    return m.sigmoid(x)


@pointwise("softplus", beta=2.0)
def softplus(m: Any, x: Any, beta: Any) -> Any:
    return m.div(m.softplus(m.mul(x, beta)), beta)


@pointwise("log_sigmoid_forward", "log_sigmoid")
def log_sigmoid(m: Any, x: Any) -> Any:
    return m.neg(m.softplus(m.neg(x)))


@pointwise("relu")
def relu(m: Any, x: Any) -> Any:
    return x if m.is_nan(x) or m.less(m.number(0), x) else m.number(0)


@pointwise("threshold", threshold=0.5, value=-1.0)
def threshold(m: Any, x: Any, threshold: Any, value: Any) -> Any:
    return x if m.is_nan(x) or m.less(threshold, x) else value


@pointwise("leaky_relu")
def leaky_relu(m: Any, x: Any, negative_slope: Any) -> Any:
    return x if m.is_nan(x) or m.less(m.number(0), x) else m.mul(x, negative_slope)


@pointwise("elu", alpha=0.7)
def elu(m: Any, x: Any, alpha: Any, scale: Any, input_scale: Any) -> Any:
    if m.is_nan(x) or m.less(m.number(0), x):
        return m.mul(x, scale)
    return m.mul(m.mul(alpha, scale), m.expm1(m.mul(x, input_scale)))


@pointwise("silu")
def silu(m: Any, x: Any) -> Any:
    return m.mul(x, m.sigmoid(x))


@pointwise("mish")
def mish(m: Any, x: Any) -> Any:
    return m.mul(x, m.tanh(m.softplus(x)))


@pointwise("gelu")
def gelu(m: Any, x: Any, approximate: str) -> Any:
    half = m.mul(m.number(0.5), x)
    if approximate == "none":
        return m.mul(half, m.function("erfc", m.neg(m.div(x, m.sqrt(m.number(2))))))
    pi = m.mul(m.number(4), m.function("atan", m.number(1)))
    inner = m.add(x, m.mul(m.number(0.044715), m.mul(x, m.mul(x, x))))
    return m.mul(half, m.add(m.number(1), m.tanh(m.mul(m.sqrt(m.div(m.number(2), pi)), inner))))


@pointwise("logit", x="unit", eps=1e-6)
def logit(m: Any, x: Any, eps: Any) -> Any:
    one = m.number(1)
    if eps is not None:
        x = at_most(m, at_least(m, x, eps), m.sub(one, eps))
    return m.sub(m.log(x), m.log1p(m.neg(x)))
