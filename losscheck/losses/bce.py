"""Binary cross entropy with logits.

bce(x, z) = w z softplus(-x) + (1 - z) softplus(x), with softplus(x) = log(1 + e^x) and w = pos_weight.
"""

from losscheck.core.functional import cross_entropy, cross_entropy_slope
from losscheck.core.loss import ARRAYS, Loss, Parameter, Promise, implementation, logistic_landmarks


def formula(m, logit, target, *, pos_weight):
    return pos_weight * target * m.softplus(-logit) + (1 - target) * m.softplus(logit)


def gradient(m, logit, target, *, pos_weight):
    """(1 - z) s(x) - w z s(-x): of one sign for hard targets, ill-conditioned beside its zero for soft ones.

    Where the two weights are equal the zero is at x = 0, and s(x) - s(-x) = tanh(x / 2) has no cancellation at all.
    """
    negative, positive = 1 - target, pos_weight * target
    if negative == positive:
        return negative * m.tanh_half(logit)
    return negative * m.sigmoid(logit) - positive * m.sigmoid(-logit)


BCE = Loss(
    name="bce",
    title="binary cross entropy with logits",
    definition="w z softplus(-x) + (1-z) softplus(x)",
    formula=formula,
    gradient=gradient,
    parameters=(Parameter("pos_weight", 1.0, 0.0, float("inf"), "weight w of the positive class"),),
    targets=(0.0, 0.5, 1.0),
    reduction="mean",
    landmarks=logistic_landmarks,
    soft_minimum=True,
    source="Bishop, Pattern Recognition and Machine Learning (2006), eq. 4.90; pos_weight as in PyTorch",
)


def naive_gradient(xp, logit, target, *, pos_weight):
    """The chain rule through the probability: (-w z / p + (1-z) / (1-p)) p (1-p)."""
    p = 1 / (1 + xp.exp(-logit))
    return (-pos_weight * target / p + (1 - target) / (1 - p)) * (p * (1 - p))


@implementation(BCE, "naive", source="the textbook; step 1 of TensorFlow's derivation", backends=ARRAYS, gradient=naive_gradient)
def naive(xp, logit, target, *, pos_weight):
    """p = sigmoid(x), then logs: p rounds to 0 or 1, and the log of 0 follows."""
    p = 1 / (1 + xp.exp(-logit))
    return pos_weight * target * -xp.log(p) + (1 - target) * -xp.log(1 - p)


def stable_gradient(xp, logit, target, *, pos_weight):
    return cross_entropy_slope(xp, logit, target, pos_weight)


PROMISE = Promise(
    ulp={"float64": 4.0, "float32": 4.0, "float16": 4.0, "bfloat16": 4.0},
    why="an exponential, a logarithm and three roundings; measured over every float of the 16-bit formats",
)


@implementation(
    BCE,
    "stable",
    source="losscheck: the definition, each softplus from exp(-|x|)",
    backends=ARRAYS,
    gradient=stable_gradient,
    promise=PROMISE,
)
def stable(xp, logit, target, *, pos_weight):
    """Each softplus from e = exp(-|x|), a weighted sum of terms of one sign; log(2 cosh(x/2)) where their slopes would cancel."""
    return cross_entropy(xp, logit, target, pos_weight)
