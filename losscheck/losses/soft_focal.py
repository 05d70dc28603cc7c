"""Focal loss on logits for soft targets: for the targets 0 and 1 the focal loss, and between them what a library makes of it.

With CE = z softplus(-x) + (1 - z) softplus(x) and a_t = a z + (1 - a)(1 - z), ``soft`` says which of the four in use it is:

    blended      a_t q^g CE, q = z s(-x) + (1-z) s(x), which is 1 - p_t           torchvision, fvcore, keras
    two-terms    a z s(-x)^g softplus(-x) + (1-a)(1-z) s(x)^g softplus(x)         kornia
    entropy      a_t q^g CE, q = 1 - exp(-CE) = 1 - s(x)^z s(-x)^(1-z)            "pt = exp(-ce)", segmentation-models-pytorch
    margin       a_t q^g CE, q = s(-x (2z-1))                                     monai

Without a (alpha none, or -1) both classes have the weight 1. The factor |z - s(x)|^g is ``quality-focal``.
"""

from losscheck.core.focal import focal, focal_derivative
from losscheck.core.functional import (
    FLAT,
    SATURATED,
    cross_entropy,
    cross_entropy_slope,
    exp,
    expm1,
    flattened,
    focal_slope,
    focal_term,
    sigmoid,
    softplus,
    two_focal_slopes,
    two_focal_terms,
)
from losscheck.core.loss import ARRAYS, Loss, Parameter, Promise, implementation, logistic_landmarks

NONE = -1.0
WORDS = ("blended", "two-terms", "entropy", "margin")
BLENDED, TWO_TERMS, ENTROPY, MARGIN = range(len(WORDS))


def weights(alpha):
    """Those of class 1 and of class 0."""
    return (1, 1) if alpha == NONE else (alpha, 1 - alpha)


def weight_of(target, alpha):
    """a_t"""
    positive, negative = weights(alpha)
    return 1 if alpha == NONE else positive * target + negative * (1 - target)


def entropy(m, logit, target):
    return target * m.softplus(-logit) + (1 - target) * m.softplus(logit)


def factor(m, logit, target, soft):
    """q, of which a power weighs the cross entropy."""
    if soft == BLENDED:
        return target * m.sigmoid(-logit) + (1 - target) * m.sigmoid(logit)
    if soft == ENTROPY:
        return 1 - m.power(m.sigmoid(logit), target) * m.power(m.sigmoid(-logit), 1 - target)
    return m.sigmoid((1 - 2 * target) * logit)


def formula(m, logit, target, *, alpha, gamma, soft):
    positive, negative = weights(alpha)
    if target == 1:
        return positive * focal(m, -logit, gamma)
    if target == 0:
        return negative * focal(m, logit, gamma)
    if soft == TWO_TERMS:
        return positive * target * focal(m, -logit, gamma) + negative * (1 - target) * focal(m, logit, gamma)
    return weight_of(target, alpha) * (m.power(factor(m, logit, target, soft), gamma) * entropy(m, logit, target))


def gradient(m, logit, target, *, alpha, gamma, soft):
    """The chain rule; what is one-sided for hard targets is that of the focal loss."""
    positive, negative = weights(alpha)
    if target == 1:
        return -positive * focal_derivative(m, -logit, gamma)
    if target == 0:
        return negative * focal_derivative(m, logit, gamma)
    if soft == TWO_TERMS:
        return _of_two_terms(m, logit, gamma, positive * target, negative * (1 - target))
    q, p, n = factor(m, logit, target, soft), m.sigmoid(logit), m.sigmoid(-logit)
    # The slope of the cross entropy, s(x) - z, without cancellation at z = 1/2.
    d = target * m.tanh_half(logit) if 1 - target == target else (1 - target) * p - target * n
    if soft == MARGIN:
        relative = (1 - 2 * target) * m.sigmoid((2 * target - 1) * logit)
        return weight_of(target, alpha) * (m.power(q, gamma) * (gamma * (relative * entropy(m, logit, target)) + d))
    slope = (1 - 2 * target) * (p * n) if soft == BLENDED else m.power(p, target) * m.power(n, 1 - target) * d
    return weight_of(target, alpha) * (m.power(q, gamma - 1) * (gamma * (slope * entropy(m, logit, target)) + q * d))


def _of_two_terms(m, logit, gamma, positive, negative):
    """B f'(x) - A f'(-x), f the focal term. Where A = B it is 0 at x = 0: there by s^k - t^k = (s^k + t^k) tanh(k x/2)."""
    if positive != negative:
        return negative * focal_derivative(m, logit, gamma) - positive * focal_derivative(m, -logit, gamma)
    s, t = m.sigmoid(logit), m.sigmoid(-logit)
    lower = (m.power(s, gamma - 1) + m.power(t, gamma - 1)) * m.tanh_half((gamma - 1) * logit)
    upper = (m.power(s, gamma + 1) + m.power(t, gamma + 1)) * m.tanh_half((gamma + 1) * logit)
    return negative * (gamma * (s * t * (lower * m.softplus(-logit) + m.power(s, gamma - 1) * logit)) + upper)


SOFT_FOCAL = Loss(
    name="soft-focal",
    title="focal loss on logits for soft targets, in the four ways in use",
    definition="a_t q^g (z softplus(-x) + (1-z) softplus(x)); two-terms: a z s(-x)^g softplus(-x) + (1-a)(1-z) s(x)^g softplus(x)",
    formula=formula,
    gradient=gradient,
    parameters=(
        Parameter("alpha", 0.25, 0.0, 1.0, "weight a of class 1; none: both classes have the weight 1", none=NONE),
        Parameter("gamma", 2.0, 0.0, float("inf"), "focusing exponent g"),
        Parameter("soft", BLENDED, 0.0, len(WORDS) - 1.0, "what q is at a soft target", words=WORDS),
    ),
    targets=(0.0, 0.5, 1.0),
    reduction="mean",
    landmarks=logistic_landmarks,
    soft_minimum=True,
    mostly_hard=True,
    source="Lin et al. (2017), eq. 5, for soft targets as torchvision.ops.sigmoid_focal_loss, kornia.losses.binary_focal_loss_with_logits, "
    "segmentation_models_pytorch.losses.FocalLoss and monai.losses.FocalLoss have it",
)


def naive_factor(xp, logit, target, p, soft):
    """q and its slope."""
    if soft == ENTROPY:
        likelihood = xp.exp(target * xp.log(p) + (1 - target) * xp.log(1 - p))
        return 1 - likelihood, likelihood * (p - target)
    if soft == MARGIN:
        q = 1 / (1 + xp.exp(logit * (2 * target - 1)))
        return q, (1 - 2 * target) * q * (1 - q)
    return 1 - (p * target + (1 - p) * (1 - target)), (1 - 2 * target) * p * (1 - p)


def naive_gradient(xp, logit, target, *, alpha, gamma, soft):
    """The chain rule through the probability p."""
    positive, negative = weights(alpha)
    p = 1 / (1 + xp.exp(-logit))
    if soft == TWO_TERMS:
        of_one = (gamma * (1 - p) ** (gamma - 1) * xp.log(p) - (1 - p) ** gamma / p) * (p * (1 - p))
        of_zero = ((p**gamma) / (1 - p) - gamma * p ** (gamma - 1) * xp.log(1 - p)) * (p * (1 - p))
        return positive * target * of_one + negative * (1 - target) * of_zero
    q, slope = naive_factor(xp, logit, target, p, soft)
    entropy = -(target * xp.log(p) + (1 - target) * xp.log(1 - p))
    through = ((1 - target) / (1 - p) - target / p) * (p * (1 - p))
    return weight_of(target, alpha) * (gamma * q ** (gamma - 1) * slope * entropy + q**gamma * through)


@implementation(SOFT_FOCAL, "naive", source="the libraries named above, on probabilities", backends=ARRAYS, gradient=naive_gradient)
def naive(xp, logit, target, *, alpha, gamma, soft):
    """p = sigmoid(x), then logs: p rounds to 0 or 1, and the log of 0 follows."""
    positive, negative = weights(alpha)
    p = 1 / (1 + xp.exp(-logit))
    if soft == TWO_TERMS:
        return -positive * target * (1 - p) ** gamma * xp.log(p) - negative * (1 - target) * p**gamma * xp.log(1 - p)
    q, _ = naive_factor(xp, logit, target, p, soft)
    return -weight_of(target, alpha) * q**gamma * (target * xp.log(p) + (1 - target) * xp.log(1 - p))


def between(xp, target):
    """The target where it is soft; 1/2, where every branch is smooth, for a hard one."""
    return xp.where((target == 0) | (target == 1), xp.full_like(target, 0.5), target)


def blend(xp, logit, target):
    """q = w + (1 - 2w) s(+-x), w the lesser of z and 1 - z: of one sign, and with one slope, which at z = 1/2 is 0."""
    upper = target > 0.5
    lesser = xp.where(upper, 1 - target, target)
    return lesser + (1 - 2 * lesser) * sigmoid(xp, flattened(xp, xp.where(upper, -logit, logit)))


def improbability(xp, entropy):
    """1 - exp(-CE), and CE held where that is 1, for huge * 0 would be its slope; autograd's slope of expm1, 1 + expm1, is 0 too soon."""
    cost = xp.where(entropy > FLAT, xp.full_like(entropy, FLAT), entropy)
    small = cost < 0.5
    return xp.where(small, -expm1(xp, -xp.where(small, cost, xp.zeros_like(cost))), 1 - exp(xp, -cost))


def margin(xp, logit, target):
    """x (1 - 2z), which is 0 at z = 1/2 whatever x is."""
    tilt = 1 - 2 * target
    level = tilt == 0
    return xp.where(level, xp.zeros_like(logit), tilt * xp.where(level, xp.zeros_like(logit), logit))


def half_power(xp, y, gamma):
    """s(y)^(g/2), to be multiplied twice, for s(y)^g may be subnormal where the product is not; of slope 0 where s(y) is 1."""
    return exp(xp, -(gamma / 2) * softplus(xp, -xp.where(y > SATURATED, xp.full_like(y, SATURATED), y)))


def stable_gradient(xp, logit, target, *, alpha, gamma, soft):
    positive, negative = weights(alpha)
    sign = xp.where(target == 1, -xp.ones_like(logit), xp.ones_like(logit))
    hard = focal_slope(xp, sign * logit, gamma, sign * xp.where(target == 1, xp.full_like(logit, positive), xp.full_like(logit, negative)))
    z = between(xp, target)
    weight, d = weight_of(z, alpha), cross_entropy_slope(xp, logit, z, 1)
    if soft == TWO_TERMS:
        smooth = two_focal_slopes(xp, logit, gamma, positive * z, negative * (1 - z))
    elif gamma == 0:
        smooth = weight * d
    elif soft == MARGIN:
        y = margin(xp, logit, z)
        tilt = 1 - 2 * z
        inside = xp.where((y > FLAT) | (gamma * y < -FLAT) | (tilt == 0), xp.zeros_like(y), logit)  # beyond, it has no share
        half = half_power(xp, y, gamma)
        smooth = half * (half * (weight * (gamma * (tilt * (sigmoid(xp, -y) * cross_entropy(xp, inside, z, 1))) + d)))
    elif soft == ENTROPY:
        cost = cross_entropy(xp, flattened(xp, logit), z, 1)
        q = improbability(xp, cost)
        smooth = weight * (q**gamma * (d * (gamma * (cost * exp(xp, -cost) / q) + 1)))
    else:
        x, q = flattened(xp, logit), blend(xp, logit, z)
        slope = (1 - 2 * z) * (sigmoid(xp, x) * sigmoid(xp, -x))
        smooth = weight * (q**gamma * (gamma * (slope / q * cross_entropy(xp, x, z, 1)) + d))
    return xp.where((target == 0) | (target == 1), hard, smooth)


PROMISE = Promise(
    ulp={"float64": 12.0, "float32": 12.0, "float16": 8.0, "bfloat16": 8.0},
    why="that of the focal loss for hard targets; for soft ones a power of the factor and the cross entropy of bce",
    other=lambda alpha, gamma, soft: 6 + 3 * gamma,
)


@implementation(
    SOFT_FOCAL,
    "stable",
    source="losscheck: the definition, no 1 - s anywhere",
    backends=ARRAYS,
    gradient=stable_gradient,
    promise=PROMISE,
)
def stable(xp, logit, target, *, alpha, gamma, soft):
    """The stable focal term for hard targets; elsewhere a power of q, of one sign and one slope, times the stable cross entropy."""
    positive, negative = weights(alpha)
    weight = xp.where(target == 1, xp.full_like(logit, positive), xp.full_like(logit, negative))
    hard = focal_term(xp, xp.where(target == 1, -logit, logit), gamma, weight)
    z = between(xp, target)
    if soft == TWO_TERMS:
        smooth = two_focal_terms(xp, logit, gamma, positive * z, negative * (1 - z))
    elif gamma == 0:
        smooth = weight_of(z, alpha) * cross_entropy(xp, logit, z, 1)
    elif soft == MARGIN:
        y = margin(xp, logit, z)
        gone = gamma * y < -FLAT  # q^g is 0 there, whatever it weighs
        cost = weight_of(z, alpha) * cross_entropy(xp, xp.where(gone, xp.zeros_like(logit), logit), z, 1)
        half = half_power(xp, xp.where(gone, xp.zeros_like(y), y), gamma)
        smooth = xp.where(gone, xp.zeros_like(logit), half * (half * cost))
    else:
        cost = cross_entropy(xp, logit, z, 1)
        q = improbability(xp, cost) if soft == ENTROPY else blend(xp, logit, z)
        smooth = weight_of(z, alpha) * (q**gamma * cost)
    return xp.where((target == 0) | (target == 1), hard, smooth)
