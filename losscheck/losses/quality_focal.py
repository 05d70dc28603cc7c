"""Quality focal loss on logits: cross entropy with soft targets, weighted by the distance of the sigmoid from the target.

qfl(x, z) = |z - s(x)|^b (z softplus(-x) + (1 - z) softplus(x)). The distance is the slope of the cross entropy,
d = s(x) - z = (1-z) s(x) - z s(-x); its two terms have one sign for hard targets, where the loss is the focal loss.
"""

from losscheck.core.functional import cross_entropy, cross_entropy_slope, flattened, focal_slope, focal_term, sigmoid
from losscheck.core.loss import ARRAYS, Loss, Parameter, Promise, implementation, logistic_landmarks


def distance(m, logit, target):
    """s(x) - z, without cancellation where a formula allows it: tanh(x/2)/2 at z = 1/2."""
    if 1 - target == target:
        return target * m.tanh_half(logit)
    return (1 - target) * m.sigmoid(logit) - target * m.sigmoid(-logit)


def entropy(m, logit, target):
    return target * m.softplus(-logit) + (1 - target) * m.softplus(logit)


def formula(m, logit, target, *, beta):
    d = distance(m, logit, target)
    return m.power(m.maximum(d, -d), beta) * entropy(m, logit, target)


def gradient(m, logit, target, *, beta):
    """d |d|^(b-2) (b s(x) s(-x) bce + d^2): what is in brackets is of one sign."""
    d = distance(m, logit, target)
    inner = beta * (m.sigmoid(logit) * m.sigmoid(-logit) * entropy(m, logit, target)) + d * d
    return d * m.power(m.maximum(d, -d), beta - 2) * inner


QUALITY_FOCAL = Loss(
    name="quality-focal",
    title="quality focal loss on logits, for soft targets",
    definition="|z - s(x)|^b (z softplus(-x) + (1-z) softplus(x))",
    formula=formula,
    gradient=gradient,
    parameters=(
        Parameter("beta", 2.0, 2.0, float("inf"), "exponent b of the distance; below 2 the slope has a kink or a pole at s(x) = z"),
    ),
    targets=(0.0, 0.5, 1.0),
    reduction="mean",
    landmarks=logistic_landmarks,
    soft_minimum=True,
    source="Li et al., Generalized Focal Loss (2020), eq. 3",
)


def naive_gradient(xp, logit, target, *, beta):
    """The chain rule through the probability p."""
    p = 1 / (1 + xp.exp(-logit))
    entropy = -(target * xp.log(p) + (1 - target) * xp.log(1 - p))
    size = abs(target - p)
    through = beta * size ** (beta - 1) * xp.sign(p - target) * entropy * (p * (1 - p))
    return through + size**beta * ((1 - target) / (1 - p) - target / p) * (p * (1 - p))


@implementation(QUALITY_FOCAL, "naive", source="Li et al. (2020), eq. 3 as printed", backends=ARRAYS, gradient=naive_gradient)
def naive(xp, logit, target, *, beta):
    """p = sigmoid(x), then logs: p rounds to 0 or 1, and the log of 0 follows."""
    p = 1 / (1 + xp.exp(-logit))
    return -(abs(target - p) ** beta) * (target * xp.log(p) + (1 - target) * xp.log(1 - p))


def stable_gradient(xp, logit, target, *, beta):
    x = flattened(xp, logit)
    d = cross_entropy_slope(xp, x, target, 1)
    inner = beta * (sigmoid(xp, x) * sigmoid(xp, -x) * cross_entropy(xp, x, target, 1)) + d * d
    soft = d * abs(d) ** (beta - 2) * inner
    sign = xp.where(target == 1, -xp.ones_like(logit), xp.ones_like(logit))
    hard = focal_slope(xp, sign * logit, beta, sign)
    return xp.where((target == 0) | (target == 1), hard, soft)


PROMISE = Promise(
    ulp={"float64": 12.0, "float32": 12.0, "float16": 8.0, "bfloat16": 8.0},
    why="that of the focal loss for hard targets; for soft ones twice that of the distance and once that of bce, up to 9.6 in float64",
    other=lambda beta: 6 + 3 * beta,
)


@implementation(
    QUALITY_FOCAL,
    "stable",
    source="losscheck: the definition, the distance as the stable slope of the cross entropy",
    backends=ARRAYS,
    gradient=stable_gradient,
    promise=PROMISE,
)
def stable(xp, logit, target, *, beta):
    """The stable focal term for hard targets; elsewhere |d|^b times the stable cross entropy, d its stable slope."""
    d = cross_entropy_slope(xp, flattened(xp, logit), target, 1)
    soft = abs(d) ** beta * cross_entropy(xp, logit, target, 1)
    hard = focal_term(xp, xp.where(target == 1, -logit, logit), beta, xp.ones_like(logit))
    return xp.where((target == 0) | (target == 1), hard, soft)
