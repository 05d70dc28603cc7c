"""Varifocal loss on logits: cross entropy weighted by the target, focal where the target is 0.

varifocal(x, z) = z (z softplus(-x) + (1 - z) softplus(x)) for z > 0 and varifocal(x, 0) = a s(x)^g softplus(x). The target is
the IoU of a prediction and its object (q in the paper): it is label and weight at once.
"""

from losscheck.core.focal import focal, focal_derivative
from losscheck.core.functional import cross_entropy, cross_entropy_slope, focal_slope, focal_term
from losscheck.core.loss import ARRAYS, Loss, Parameter, Promise, implementation, logistic_landmarks


def formula(m, logit, target, *, alpha, gamma):
    if target == 0:
        return alpha * focal(m, logit, gamma)
    return target * (target * m.softplus(-logit) + (1 - target) * m.softplus(logit))


def gradient(m, logit, target, *, alpha, gamma):
    """a s(x)^g (g s(-x) softplus(x) + s(x)) for z = 0, and z ((1-z) s(x) - z s(-x)) for z > 0: at z = 1/2 tanh(x/2)/4."""
    if target == 0:
        return alpha * focal_derivative(m, logit, gamma)
    negative = 1 - target
    if negative == target:
        return target * negative * m.tanh_half(logit)
    return target * (negative * m.sigmoid(logit) - target * m.sigmoid(-logit))


VARIFOCAL = Loss(
    name="varifocal",
    title="varifocal loss on logits, for IoU targets",
    definition="z=0: a s(x)^g softplus(x); z>0: z (z softplus(-x) + (1-z) softplus(x))",
    formula=formula,
    gradient=gradient,
    parameters=(
        Parameter("alpha", 0.75, 0.0, float("inf"), "weight a of the negatives"),
        Parameter("gamma", 2.0, 0.0, float("inf"), "focusing exponent g of the negatives"),
    ),
    targets=(0.0, 0.5, 1.0),
    reduction="sum",
    landmarks=logistic_landmarks,
    soft_minimum=True,
    source="Zhang et al., VarifocalNet: An IoU-aware Dense Object Detector (2021), eq. 2",
)


def naive_gradient(xp, logit, target, *, alpha, gamma):
    """The chain rule through the probability p."""
    p = 1 / (1 + xp.exp(-logit))
    positive = target * (-target / p + (1 - target) / (1 - p))
    negative = (p**gamma / (1 - p) - gamma * p ** (gamma - 1) * xp.log(1 - p)) * alpha
    return xp.where(target > 0, positive, negative) * (p * (1 - p))


@implementation(VARIFOCAL, "naive", source="Zhang et al. (2021), eq. 2 as printed", backends=ARRAYS, gradient=naive_gradient)
def naive(xp, logit, target, *, alpha, gamma):
    """p = sigmoid(x), then logs: p rounds to 0 or 1, and the log of 0 follows."""
    p = 1 / (1 + xp.exp(-logit))
    positive = -target * (target * xp.log(p) + (1 - target) * xp.log(1 - p))
    return xp.where(target > 0, positive, -alpha * p**gamma * xp.log(1 - p))


def stable_gradient(xp, logit, target, *, alpha, gamma):
    negative = focal_slope(xp, logit, gamma, xp.full_like(logit, alpha))
    return xp.where(target > 0, target * cross_entropy_slope(xp, logit, target, 1), negative)


PROMISE = Promise(
    ulp={"float64": 8.0, "float32": 8.0, "float16": 6.0, "bfloat16": 6.0},
    why="that of the focal loss at target 0, and of bce and one product more elsewhere; measured over every 16-bit float",
    other=lambda alpha, gamma: 6 + 3 * gamma,
)


@implementation(
    VARIFOCAL,
    "stable",
    source="losscheck: the definition, no 1 - s anywhere",
    backends=ARRAYS,
    gradient=stable_gradient,
    promise=PROMISE,
)
def stable(xp, logit, target, *, alpha, gamma):
    """The stable focal term at target 0, the target times the stable cross entropy elsewhere."""
    negative = focal_term(xp, logit, gamma, xp.full_like(logit, alpha))
    return xp.where(target > 0, target * cross_entropy(xp, logit, target, 1), negative)
