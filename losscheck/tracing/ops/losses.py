"""PyTorch's fused losses, one element of them; their `reduction` is applied to what these return."""

from __future__ import annotations

from typing import Any

from losscheck.tracing.ops.selection import absolute
from losscheck.tracing.ops.table import pointwise

# BCELoss floors both logarithms here, and its backward pass divides by at least this (a float32 in PyTorch's source).
BCE_FLOOR = -100
BCE_EPSILON = 9.999999960041972e-13


@pointwise("binary_cross_entropy_with_logits", target="unit", weight=None, pos_weight=None)
def binary_cross_entropy_with_logits(m: Any, x: Any, target: Any, weight: Any, pos_weight: Any) -> Any:
    positive = m.mul(target, m.softplus(m.neg(x)))
    if pos_weight is not None:
        positive = m.mul(pos_weight, positive)
    loss = m.add(positive, m.mul(m.sub(m.number(1), target), m.softplus(x)))
    return loss if weight is None else m.mul(weight, loss)


@pointwise("binary_cross_entropy", x="unit", target="unit", weight=None)
def binary_cross_entropy(m: Any, x: Any, target: Any, weight: Any) -> Any:
    floor = m.number(BCE_FLOOR)
    positive, negative = m.maximum(m.log(x), floor), m.maximum(m.log1p(m.neg(x)), floor)
    loss = m.neg(m.add(m.mul(target, positive), m.mul(m.sub(m.number(1), target), negative)))
    return loss if weight is None else m.mul(weight, loss)


@pointwise("mse_loss")
def mse_loss(m: Any, x: Any, target: Any) -> Any:
    distance = m.sub(x, target)
    return m.mul(distance, distance)


@pointwise("huber_loss", delta=0.7)
def huber_loss(m: Any, x: Any, target: Any, delta: Any) -> Any:
    distance, half = absolute(m, m.sub(x, target)), m.number(0.5)
    if m.less(distance, delta):
        return m.mul(half, m.mul(distance, distance))
    return m.mul(delta, m.sub(distance, m.mul(half, delta)))


@pointwise("smooth_l1_loss", beta=0.7)
def smooth_l1_loss(m: Any, x: Any, target: Any, beta: Any) -> Any:
    distance, half = absolute(m, m.sub(x, target)), m.number(0.5)
    if m.less(distance, beta):
        return m.div(m.mul(half, m.mul(distance, distance)), beta)
    return m.sub(distance, m.mul(half, beta))


@pointwise("soft_margin_loss", target="sign")
def soft_margin_loss(m: Any, x: Any, target: Any) -> Any:
    return m.softplus(m.neg(m.mul(x, target)))
