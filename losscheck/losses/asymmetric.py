"""Asymmetric loss (ASL) on logits: a focal loss whose negatives are shifted by a margin, for hard targets of many labels.

asl(x, 1) = s(-x)^gp softplus(-x) and asl(x, 0) = -q^gn log(1 - q) with q = max(s(x) - m, 0): negatives that are easy enough count nothing.
"""

import functools
from decimal import Decimal, localcontext

from losscheck.core.focal import focal, focal_derivative
from losscheck.core.functional import decay, exp, expm1, focal_slope, focal_term, format_of
from losscheck.core.loss import ARRAYS, Loss, Parameter, Promise, implementation, logistic_landmarks

LATE = 4  # exp(-x) is normal in every format up to here, and beyond it by so much longer
ABOVE = 1  # from here on s(x) - m is at least a third of s(x), for every margin


def excess(m, logit, clip):
    """q = max(s(x) - m, 0)."""
    return m.maximum(m.sigmoid(logit) - clip, m.number(0))


def formula(m, logit, target, *, gamma_pos, gamma_neg, clip):
    if target == 1:
        return focal(m, -logit, gamma_pos)
    if clip == 0:
        return focal(m, logit, gamma_neg)
    q = excess(m, logit, clip)
    return m.power(q, gamma_neg) * -m.log1p(-q)


def gradient(m, logit, target, *, gamma_pos, gamma_neg, clip):
    """As of the focal loss for z = 1 and without a margin; else s(x) s(-x) q^(gn-1) (gn -log(1-q) + q / (1-q)), all of one sign."""
    if target == 1:
        return -focal_derivative(m, -logit, gamma_pos)
    if clip == 0:
        return focal_derivative(m, logit, gamma_neg)
    q = excess(m, logit, clip)
    inner = gamma_neg * -m.log1p(-q) + q / (1 - q)
    return m.sigmoid(logit) * m.sigmoid(-logit) * m.power(q, gamma_neg - 1) * inner


ASYMMETRIC = Loss(
    name="asymmetric",
    title="asymmetric loss on logits, for many labels",
    definition="z=1: s(-x)^gp softplus(-x); z=0: -q^gn log(1-q) with q = max(s(x) - m, 0)",
    formula=formula,
    gradient=gradient,
    parameters=(
        Parameter("gamma_pos", 1.0, 0.0, float("inf"), "focusing exponent gp of the positives"),
        Parameter("gamma_neg", 4.0, 1.0, float("inf"), "focusing exponent gn of the negatives; below 1 the slope breaks off at s(x) = m"),
        Parameter("clip", 0.05, 0.0, 0.375, "probability margin m that a negative is allowed"),
    ),
    targets=(0.0, 1.0),
    reduction="sum",
    landmarks=logistic_landmarks,
    source="Ridnik et al., Asymmetric Loss For Multi-Label Classification (2021), eq. 4 and 7",
    hard_targets=True,
    why_hard="the two classes have losses of their own; give --target 0 or 1, or use --loss bce, which takes soft targets",
)


def naive_gradient(xp, logit, target, *, gamma_pos, gamma_neg, clip):
    """The chain rule through p and the shifted p of the negatives."""
    p = 1 / (1 + xp.exp(-logit))
    of_positive = gamma_pos * (1 - p) ** (gamma_pos - 1) * xp.log(p) - (1 - p) ** gamma_pos / p
    kept = xp.where(1 - p + clip < 1, 1 - p + clip, xp.ones_like(p))
    of_negative = (1 - kept) ** gamma_neg / kept - gamma_neg * (1 - kept) ** (gamma_neg - 1) * xp.log(kept)
    slope = xp.where(target == 1, of_positive, xp.where(kept < 1, of_negative, xp.zeros_like(p)))
    return slope * (p * (1 - p))


@implementation(ASYMMETRIC, "naive", source="Ridnik et al. (2021), as in their code", backends=ARRAYS, gradient=naive_gradient)
def naive(xp, logit, target, *, gamma_pos, gamma_neg, clip):
    """-(1 - p_t)^g log(p_t) with p_t = p, or min(1 - p + m, 1) of the negatives: p_t rounds to 0 or 1."""
    p = 1 / (1 + xp.exp(-logit))
    kept = xp.where(1 - p + clip < 1, 1 - p + clip, xp.ones_like(p))
    return xp.where(target == 1, -((1 - p) ** gamma_pos) * xp.log(p), -((1 - kept) ** gamma_neg) * xp.log(kept))


@functools.cache
def logit_of(clip):
    """log(m / (1 - m)) as a float64 and what is missing from it."""
    with localcontext() as context:
        context.prec = 60
        exact = Decimal(clip).ln() - (1 - Decimal(clip)).ln()
        return float(exact), float(exact - Decimal(float(exact)))


def sides(xp, x):
    """s(x), and s(-x) in units of a third: from e = exp(-|x|), which beyond LATE is made of a greater number, so that the unit, multiplied
    last, rounds a small result once."""
    start = xp.where(x > LATE, xp.full_like(x, LATE), xp.zeros_like(x))
    e, unit = decay(xp, x - start), exp(xp, -start)
    one = xp.ones_like(e)
    whole = 1 + e * unit
    return xp.where(x > 0, one, e) / whole, xp.where(x > 0, e, one) / whole, unit


def beyond(xp, logit, s, clip):
    """q, from how far x is beyond the margin's logit t: s(x) - s(t) = s(x) s(-t) (1 - e^-(x-t)) cancels nowhere."""
    wide, rest = logit_of(clip)
    high = format_of(logit).round(wide)
    apart = (logit - xp.full_like(logit, high)) - xp.full_like(logit, (wide - high) + rest)
    within, above = apart <= 0, (logit > ABOVE) | (s > 3 * clip)
    ones = xp.ones_like(logit)
    d, x = xp.where(within | above, ones, apart), xp.where(within | above, ones, logit)
    far = d > 1  # there expm1 is nearly -1, and its slope, formed from it, nearly 0
    part = xp.where(far, 1 - exp(xp, -xp.where(far, d, ones)), -expm1(xp, -xp.where(far, ones, d)))
    between = xp.full_like(logit, 1 - clip) * part / (1 + exp(xp, -x))
    return xp.where(within, xp.zeros_like(s), xp.where(above, s - xp.full_like(s, clip), between))


@functools.cache
def limit(gamma_neg, clip):
    """What a negative costs at most: (1 - m)^gn -log(m)."""
    with localcontext() as context:
        context.prec = 60
        return float((1 - Decimal(clip)) ** Decimal(gamma_neg) * -Decimal(clip).ln())


def logs(xp, q, other, clip):
    """-log(1 - q), where q is large with 1 - q = s(-x) + m."""
    large = q > 0.5
    rest = xp.where(large, other + xp.full_like(q, clip), xp.ones_like(q))
    return xp.where(large, -xp.log(rest), -xp.log1p(-xp.where(large, xp.zeros_like(q), q)))


def stable_gradient(xp, logit, target, *, gamma_pos, gamma_neg, clip):
    positive = focal_slope(xp, -logit, gamma_pos, -xp.ones_like(logit))
    if clip == 0:
        return xp.where(target == 1, positive, focal_slope(xp, logit, gamma_neg, xp.ones_like(logit)))
    s, other, unit = sides(xp, logit)
    q = beyond(xp, logit, s, float(clip))
    log = logs(xp, q, other * unit, float(clip))
    inner = gamma_neg * log + q / (other * unit + xp.full_like(q, float(clip)))
    negative = s * q ** (gamma_neg - 1) * inner * other * unit
    return xp.where(target == 1, positive, xp.where(q <= 0, xp.zeros_like(q), negative))


PROMISE = Promise(
    ulp={"float64": 16.0, "float32": 16.0, "float16": 16.0, "bfloat16": 16.0},
    why="that of the focal loss for positives; of negatives the power multiplies the error of q, of two functions and two products",
    other=lambda gamma_pos, gamma_neg, clip: 10 + 3 * gamma_pos + 3 * gamma_neg,
)


@implementation(
    ASYMMETRIC,
    "stable",
    source="losscheck: the definition, the margin as a distance of logits",
    backends=ARRAYS,
    gradient=stable_gradient,
    promise=PROMISE,
)
def stable(xp, logit, target, *, gamma_pos, gamma_neg, clip):
    """The stable focal term for positives; for negatives q from the distance to the margin's logit, and 1 - q as a sum."""
    positive = focal_term(xp, -logit, gamma_pos, xp.ones_like(logit))
    if clip == 0:
        return xp.where(target == 1, positive, focal_term(xp, logit, gamma_neg, xp.ones_like(logit)))
    s, other, unit = sides(xp, logit)
    q = beyond(xp, logit, s, float(clip))
    log = logs(xp, q, other * unit, float(clip))
    most = xp.full_like(logit, limit(float(gamma_neg), float(clip)))
    return xp.where(target == 1, positive, xp.where(other * unit == 0, most, q**gamma_neg * log))
