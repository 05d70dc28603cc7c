"""Backward ops that are one kernel. Theirs is the arithmetic of the backward pass as PyTorch writes it, run exactly."""

from __future__ import annotations

from typing import Any

from losscheck.tracing.ops.losses import BCE_EPSILON
from losscheck.tracing.ops.table import along, pointwise


@pointwise("sigmoid_backward", output="unit")
def sigmoid_backward(m: Any, grad_output: Any, output: Any) -> Any:
    return m.mul(grad_output, m.mul(output, m.sub(m.number(1), output)))


@pointwise("tanh_backward", output="open")
def tanh_backward(m: Any, grad_output: Any, output: Any) -> Any:
    return m.mul(grad_output, m.sub(m.number(1), m.mul(output, output)))


@pointwise("softplus_backward", beta=2.0, threshold=20.0)
def softplus_backward(m: Any, grad_output: Any, x: Any, beta: Any) -> Any:
    return m.mul(grad_output, m.sigmoid(m.mul(x, beta)))


@pointwise("log_sigmoid_backward", buffer="exp(-|self|)")
def log_sigmoid_backward(m: Any, grad_output: Any, x: Any) -> Any:
    return m.mul(grad_output, m.sigmoid(m.neg(x)))


@pointwise("threshold_backward", threshold=0.0)
def threshold_backward(m: Any, grad_output: Any, x: Any, threshold: Any) -> Any:
    return grad_output if m.less(threshold, x) else m.number(0)


@pointwise("hardtanh_backward", min_val=-1.0, max_val=1.0)
def hardtanh_backward(m: Any, grad_output: Any, x: Any, min_val: Any, max_val: Any) -> Any:
    return grad_output if m.less(min_val, x) and m.less(x, max_val) else m.number(0)


@pointwise("leaky_relu_backward", negative_slope=0.1, self_is_result=False)
def leaky_relu_backward(m: Any, grad_output: Any, x: Any, negative_slope: Any) -> Any:
    return grad_output if m.less(m.number(0), x) else m.mul(grad_output, negative_slope)


@pointwise("elu_backward", alpha=0.7, scale=1.0, input_scale=1.0, is_result=False)
def elu_backward(m: Any, grad_output: Any, alpha: Any, scale: Any, input_scale: Any, is_result: bool, self_or_result: Any) -> Any:
    if m.less(m.number(0), self_or_result):
        return m.mul(grad_output, scale)
    factor = m.mul(m.mul(alpha, scale), input_scale)
    if is_result:
        return m.mul(grad_output, m.mul(input_scale, m.add(self_or_result, m.mul(alpha, scale))))
    return m.mul(grad_output, m.mul(factor, m.exp(m.mul(self_or_result, input_scale))))


@pointwise("silu_backward")
def silu_backward(m: Any, grad_output: Any, x: Any) -> Any:
    s, one = m.sigmoid(x), m.number(1)
    return m.mul(grad_output, m.mul(s, m.add(one, m.mul(x, m.sigmoid(m.neg(x))))))


@pointwise("mish_backward")
def mish_backward(m: Any, grad_output: Any, x: Any) -> Any:
    t = m.tanh(m.softplus(x))
    slope = m.mul(m.mul(x, m.sigmoid(x)), m.sub(m.number(1), m.mul(t, t)))
    return m.mul(grad_output, m.add(t, slope))


@pointwise("gelu_backward")
def gelu_backward(m: Any, grad_output: Any, x: Any, approximate: str) -> Any:
    one, two, half = m.number(1), m.number(2), m.number(0.5)
    pi = m.mul(m.number(4), m.function("atan", one))
    if approximate == "none":
        cdf = m.mul(half, m.function("erfc", m.neg(m.div(x, m.sqrt(two)))))
        density = m.div(m.exp(m.neg(m.mul(half, m.mul(x, x)))), m.sqrt(m.mul(two, pi)))
        return m.mul(grad_output, m.add(cdf, m.mul(x, density)))
    k, c = m.sqrt(m.div(two, pi)), m.number(0.044715)
    t = m.tanh(m.mul(k, m.add(x, m.mul(c, m.mul(x, m.mul(x, x))))))
    inner = m.mul(k, m.add(one, m.mul(m.number(3), m.mul(c, m.mul(x, x)))))
    slope = m.mul(m.mul(m.mul(half, x), m.sub(one, m.mul(t, t))), inner)
    return m.mul(grad_output, m.add(m.mul(half, m.add(one, t)), slope))


@pointwise("logit_backward", x="unit", eps=1e-6)
def logit_backward(m: Any, grad_output: Any, x: Any, eps: Any) -> Any:
    one = m.number(1)
    if eps is not None and (m.less(x, eps) or m.less(m.sub(one, eps), x)):
        return m.number(0)
    return m.div(grad_output, m.mul(x, m.sub(one, x)))


@pointwise("binary_cross_entropy_backward", x="unit", target="unit", weight=None)
def binary_cross_entropy_backward(m: Any, grad_output: Any, x: Any, target: Any, weight: Any) -> Any:
    slope = m.maximum(m.mul(m.sub(m.number(1), x), x), m.number(BCE_EPSILON))
    gradient = m.div(m.mul(grad_output, m.sub(x, target)), slope)
    return gradient if weight is None else m.mul(weight, gradient)


@pointwise("mse_loss_backward")
def mse_loss_backward(m: Any, grad_output: Any, x: Any, target: Any) -> Any:
    return m.mul(grad_output, m.mul(m.number(2), m.sub(x, target)))


@pointwise("huber_loss_backward", delta=0.7)
def huber_loss_backward(m: Any, grad_output: Any, x: Any, target: Any, delta: Any) -> Any:
    return m.mul(grad_output, m.maximum(m.minimum(m.sub(x, target), delta), m.neg(delta)))


@pointwise("smooth_l1_loss_backward", beta=0.7)
def smooth_l1_loss_backward(m: Any, grad_output: Any, x: Any, target: Any, beta: Any) -> Any:
    distance, one = m.div(m.sub(x, target), beta), m.number(1)
    return m.mul(grad_output, m.maximum(m.minimum(distance, one), m.neg(one)))


@pointwise("soft_margin_loss_backward", target="sign")
def soft_margin_loss_backward(m: Any, grad_output: Any, x: Any, target: Any) -> Any:
    return m.neg(m.mul(grad_output, m.mul(target, m.sigmoid(m.neg(m.mul(x, target))))))


@along("_log_softmax_backward_data", output="logarithm", dim=1, input_dtype="float64")
def log_softmax_backward(m: Any, grad_output: Any, output: Any) -> Any:
    total = _sum(m, grad_output)
    return [m.sub(g, m.mul(m.exp(y), total)) for g, y in zip(grad_output, output, strict=True)]


@along("_softmax_backward_data", output="unit", dim=1, input_dtype="float64")
def softmax_backward(m: Any, grad_output: Any, output: Any) -> Any:
    total = _sum(m, [m.mul(g, y) for g, y in zip(grad_output, output, strict=True)])
    return [m.mul(y, m.sub(g, total)) for g, y in zip(grad_output, output, strict=True)]


def _sum(m: Any, values: list[Any]) -> Any:
    total = values[0]
    for value in values[1:]:
        total = m.add(total, value)
    return total
