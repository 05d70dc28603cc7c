"""Weighted (alpha-balanced) focal loss on logits, for hard targets.

focal(x, 1) = a s(-x)^g softplus(-x) and focal(x, 0) = (1 - a) s(x)^g softplus(x): a weighs class 1, g focuses. Without a (alpha
none, or -1 as torchvision and fvcore write it) both weights are 1.
"""

from losscheck.core.focal import focal, focal_derivative
from losscheck.core.functional import focal_slope, focal_term
from losscheck.core.loss import ARRAYS, Loss, Parameter, Promise, implementation, logistic_landmarks

NONE = -1.0


def weights(alpha):
    """Those of class 1 and of class 0."""
    return (1, 1) if alpha == NONE else (alpha, 1 - alpha)


def formula(m, logit, target, *, alpha, gamma):
    positive, negative = weights(alpha)
    return positive * focal(m, -logit, gamma) if target == 1 else negative * focal(m, logit, gamma)


def gradient(m, logit, target, *, alpha, gamma):
    """+-weight s(y)^g (g s(-y) softplus(y) + s(y)) with y = x for target 0 and -x for target 1."""
    positive, negative = weights(alpha)
    return -positive * focal_derivative(m, -logit, gamma) if target == 1 else negative * focal_derivative(m, logit, gamma)


WEIGHTED_FOCAL = Loss(
    name="weighted-focal",
    title="alpha-balanced focal loss on logits",
    definition="z=1: a s(-x)^g softplus(-x); z=0: (1-a) s(x)^g softplus(x)",
    formula=formula,
    gradient=gradient,
    parameters=(
        Parameter("alpha", 0.25, 0.0, 1.0, "weight a of class 1; none: both classes have the weight 1", none=NONE),
        Parameter("gamma", 2.0, 0.0, float("inf"), "focusing exponent g"),
    ),
    targets=(0.0, 1.0),
    reduction="mean",
    landmarks=logistic_landmarks,
    source="Lin et al., Focal Loss for Dense Object Detection (2017), eq. 5",
    hard_targets=True,
    why_hard="it is defined for the classes 0 and 1 alone; give --target 0 or 1, or use --loss bce or "
    "centernet-heatmap, which take soft targets",
)


def naive_gradient(xp, logit, target, *, alpha, gamma):
    """The chain rule through p_t = p or 1 - p: a_t (g (1-p_t)^(g-1) log p_t - (1-p_t)^g / p_t) dp_t/dx."""
    p = 1 / (1 + xp.exp(-logit))
    p_t = xp.where(target == 1, p, 1 - p)
    slope = gamma * (1 - p_t) ** (gamma - 1) * xp.log(p_t) - (1 - p_t) ** gamma / p_t
    positive, negative = weights(alpha)
    weight = xp.where(target == 1, xp.full_like(p, positive), xp.full_like(p, -negative))
    return weight * slope * (p * (1 - p))


@implementation(WEIGHTED_FOCAL, "naive", source="Lin et al. (2017), eq. 5 as printed", backends=ARRAYS, gradient=naive_gradient)
def naive(xp, logit, target, *, alpha, gamma):
    """-a_t (1 - p_t)^g log(p_t): p_t rounds to 0 or 1."""
    p = 1 / (1 + xp.exp(-logit))
    p_t = xp.where(target == 1, p, 1 - p)
    positive, negative = weights(alpha)
    weight = xp.where(target == 1, xp.full_like(p, positive), xp.full_like(p, negative))
    return -weight * (1 - p_t) ** gamma * xp.log(p_t)


def stable_gradient(xp, logit, target, *, alpha, gamma):
    wrong = xp.where(target == 1, -logit, logit)
    positive, negative = weights(alpha)
    weight = xp.where(target == 1, xp.full_like(wrong, -positive), xp.full_like(wrong, negative))
    return focal_slope(xp, wrong, gamma, weight)


PROMISE = Promise(
    ulp={"float64": 8.0, "float32": 8.0, "float16": 5.5, "bfloat16": 4.4},
    why="a power multiplies the relative error of the sigmoid by its exponent; measured over every float of the 16-bit formats",
    other=lambda alpha, gamma: 6 + 3 * gamma,
)


@implementation(
    WEIGHTED_FOCAL,
    "stable",
    source="losscheck: the definition, no 1 - s anywhere",
    backends=ARRAYS,
    gradient=stable_gradient,
    promise=PROMISE,
)
def stable(xp, logit, target, *, alpha, gamma):
    """One term s(y)^g softplus(y) at y = x or -x: no 1 - s anywhere, no slope taken at 0."""
    wrong = xp.where(target == 1, -logit, logit)
    positive, negative = weights(alpha)
    weight = xp.where(target == 1, xp.full_like(wrong, positive), xp.full_like(wrong, negative))
    return focal_term(xp, wrong, gamma, weight)
