"""CenterNet's penalty-reduced focal loss on a heatmap, on logits.

heatmap(x, 1) = s(-x)^a softplus(-x) and heatmap(x, z) = (1 - z)^b s(x)^a softplus(x) for z < 1. Here alpha is the
focusing exponent (gamma in the focal loss) and beta the exponent that spares cells beside an object's centre.
"""

from losscheck.core.functional import focal_slope, focal_term, power_of_complement
from losscheck.core.loss import ARRAYS, Loss, Parameter, Promise, implementation, logistic_landmarks


def formula(m, logit, target, *, alpha, beta):
    if target == 1:
        return m.power(m.sigmoid(-logit), alpha) * m.softplus(-logit)
    return m.power(1 - target, beta) * m.power(m.sigmoid(logit), alpha) * m.softplus(logit)


def gradient(m, logit, target, *, alpha, beta):
    """+-weight s(y)^a (a s(-y) softplus(y) + s(y)) with y = x for z < 1 and -x for z = 1."""
    y, weight = (-logit, -m.number(1)) if target == 1 else (logit, m.power(1 - target, beta))
    s = m.sigmoid(y)
    return weight * m.power(s, alpha) * (alpha * m.sigmoid(-y) * m.softplus(y) + s)


CENTERNET_HEATMAP = Loss(
    name="centernet-heatmap",
    title="CenterNet's penalty-reduced focal loss on heatmap logits",
    definition="z=1: s(-x)^a softplus(-x); z<1: (1-z)^b s(x)^a softplus(x)",
    formula=formula,
    gradient=gradient,
    parameters=(
        Parameter("alpha", 2.0, 0.0, float("inf"), "focusing exponent a"),
        Parameter("beta", 4.0, 0.0, float("inf"), "exponent b of the penalty reduction"),
    ),
    targets=(0.0, 0.5, 1.0 - 2.0**-24, 1.0),
    reduction="normalised",
    landmarks=logistic_landmarks,
    source="Zhou et al., Objects as Points (2019), eq. 1; Law and Deng, CornerNet (2018), eq. 1",
)


def naive_gradient(xp, logit, target, *, alpha, beta):
    """The chain rule through the probability p."""
    p = 1 / (1 + xp.exp(-logit))
    positive = alpha * (1 - p) ** (alpha - 1) * xp.log(p) - (1 - p) ** alpha / p
    negative = (p**alpha / (1 - p) - alpha * p ** (alpha - 1) * xp.log(1 - p)) * (1 - target) ** beta
    return xp.where(target == 1, positive, negative) * (p * (1 - p))


@implementation(CENTERNET_HEATMAP, "naive", source="Zhou et al. (2019), eq. 1 as printed", backends=ARRAYS, gradient=naive_gradient)
def naive(xp, logit, target, *, alpha, beta):
    """p = sigmoid(x), then logs: p rounds to 0 or 1, and the log of 0 follows."""
    p = 1 / (1 + xp.exp(-logit))
    positive = -xp.log(p) * (1 - p) ** alpha
    negative = -xp.log(1 - p) * p**alpha * (1 - target) ** beta
    return xp.where(target == 1, positive, negative)


def stable_gradient(xp, logit, target, *, alpha, beta):
    weight = xp.where(target == 1, -xp.ones_like(logit), power_of_complement(xp, target, beta))
    return focal_slope(xp, xp.where(target == 1, -logit, logit), alpha, weight)


PROMISE = Promise(
    ulp={"float64": 8.0, "float32": 8.0, "float16": 7.3, "bfloat16": 4.6},
    why="a power multiplies the relative error of the sigmoid by its exponent; measured over every float of the 16-bit formats",
    other=lambda alpha, beta: 6 + 3 * alpha,
)


@implementation(
    CENTERNET_HEATMAP,
    "stable",
    source="losscheck: the definition, no 1 - s anywhere",
    backends=ARRAYS,
    gradient=stable_gradient,
    promise=PROMISE,
)
def stable(xp, logit, target, *, alpha, beta):
    """One term s(y)^a softplus(y) at y = x or -x: no 1 - s anywhere, no slope taken at 0."""
    weight = xp.where(target == 1, xp.ones_like(logit), power_of_complement(xp, target, beta))
    return focal_term(xp, xp.where(target == 1, -logit, logit), alpha, weight)
