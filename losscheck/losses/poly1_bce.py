"""PolyLoss with its first term changed (poly-1), of binary cross entropy on logits, for hard targets.

poly1(x, 1) = softplus(-x) + eps s(-x) and poly1(x, 0) = softplus(x) + eps s(x): cross entropy plus eps (1 - p_t).
"""

from losscheck.core.functional import decay
from losscheck.core.loss import ARRAYS, Loss, Parameter, Promise, implementation, logistic_landmarks


def formula(m, logit, target, *, epsilon):
    y = -logit if target == 1 else logit
    return m.softplus(y) + epsilon * m.sigmoid(y)


def gradient(m, logit, target, *, epsilon):
    """+-s(y) (1 + eps s(-y)) with y = x for target 0 and -x for target 1."""
    y = -logit if target == 1 else logit
    slope = m.sigmoid(y) * (1 + epsilon * m.sigmoid(-y))
    return -slope if target == 1 else slope


POLY1_BCE = Loss(
    name="poly1-bce",
    title="poly-1 binary cross entropy on logits",
    definition="z=1: softplus(-x) + eps s(-x); z=0: softplus(x) + eps s(x)",
    formula=formula,
    gradient=gradient,
    parameters=(Parameter("epsilon", 1.0, 0.0, float("inf"), "weight eps of the added 1 - p_t"),),
    targets=(0.0, 1.0),
    reduction="mean",
    landmarks=logistic_landmarks,
    source="Leng et al., PolyLoss: A Polynomial Expansion Perspective of Classification Loss Functions (2022), eq. 5",
    hard_targets=True,
    why_hard="1 - p_t is that of one class; give --target 0 or 1, or use --loss bce, which takes soft targets",
)


def naive_gradient(xp, logit, target, *, epsilon):
    """The chain rule through p_t: -(1 / p_t + eps) dp_t/dx."""
    p = 1 / (1 + xp.exp(-logit))
    p_t = xp.where(target == 1, p, 1 - p)
    slope = (1 / p_t + epsilon) * (p * (1 - p))
    return xp.where(target == 1, -slope, slope)


@implementation(POLY1_BCE, "naive", source="Leng et al. (2022), eq. 5 as printed", backends=ARRAYS, gradient=naive_gradient)
def naive(xp, logit, target, *, epsilon):
    """-log(p_t) + eps (1 - p_t): p_t rounds to 0 or 1."""
    p = 1 / (1 + xp.exp(-logit))
    p_t = xp.where(target == 1, p, 1 - p)
    return -xp.log(p_t) + epsilon * (1 - p_t)


def stable_gradient(xp, logit, target, *, epsilon):
    y = xp.where(target == 1, -logit, logit)
    e = decay(xp, y)
    top = xp.where(y > 0, xp.ones_like(e), e)
    # s(y) (1 + eps s(-y)), with s(y) s(-y) = e / (1 + e)^2 on both sides.
    slope = top * (1 + epsilon * xp.where(y > 0, e, xp.ones_like(e)) / (1 + e)) / (1 + e)
    return xp.where(target == 1, -slope, slope)


PROMISE = Promise(
    ulp={"float64": 4.0, "float32": 4.0, "float16": 4.0, "bfloat16": 4.0},
    why="an exponential and at most six roundings of terms of one sign; measured over every float of the 16-bit formats",
    other=lambda epsilon: 4.0,
)


@implementation(
    POLY1_BCE,
    "stable",
    source="losscheck: the definition, softplus and sigmoid from one exp(-|x|)",
    backends=ARRAYS,
    gradient=stable_gradient,
    promise=PROMISE,
)
def stable(xp, logit, target, *, epsilon):
    """softplus and sigmoid of y = x or -x from one e = exp(-|y|): their slopes meet before they are multiplied by e."""
    y = xp.where(target == 1, -logit, logit)
    e = decay(xp, y)
    softplus = xp.where(y > 0, y, xp.zeros_like(y)) + xp.log1p(e)
    return softplus + epsilon * (xp.where(y > 0, xp.ones_like(e), e) / (1 + e))
