"""softplus and sigmoid for numpy, torch and JAX arrays, written so that neither value nor autograd gradient breaks.

Both are built from e = exp(-|x|), which lies in [0, 1] and cannot overflow. ``where`` picks the branch before the
exponential is taken, never after it: autograd differentiates both branches of a ``where``, and 0 * inf is NaN there.
"""

from __future__ import annotations

import math
from typing import Any

from losscheck.core.dtypes import Format, format_named

__all__ = [
    "FLAT",
    "SATURATED",
    "cross_entropy",
    "cross_entropy_slope",
    "exp",
    "expm1",
    "flattened",
    "focal_slope",
    "focal_term",
    "power_of_complement",
    "power_of_sigmoid",
    "sigmoid",
    "softplus",
    "two_focal_slopes",
    "two_focal_terms",
    "weighted",
]

LN2 = math.log(2.0)
# s(x) is 1 in every format from 37.43 = 54 ln 2 on, and s'(x) x is below half an ulp of 1 from 42 on.
SATURATED = 64
# Beyond this logit s(x) s(-x) is 0 in every format, and a slope through s, huge * 0, is not to be formed.
FLAT = 1100
# In units of the smallest subnormal: what is larger is not rounded to 0 by one rounding too many.
FADING = 4


def exp(xp: Any, x: Any) -> Any:
    """exp(x)"""
    return _careful(xp, xp.exp, x)


def expm1(xp: Any, x: Any) -> Any:
    """exp(x) - 1"""
    return _careful(xp, xp.expm1, x)


def _careful(xp: Any, function: Any, x: Any) -> Any:
    """numpy's vectorised float32 functions err by up to 2.5 ulp; its float64 ones, rounded, by half an ulp."""
    if xp.__name__ == "numpy" and x.dtype == "float32":
        return function(x, dtype="float64").astype("float32")
    return function(x)


def decay(xp: Any, x: Any) -> Any:
    """exp(-|x|), with derivative exp(x) at 0, where |x| itself would give autograd a zero."""
    return exp(xp, xp.where(x > 0, -x, x))


def softplus(xp: Any, x: Any) -> Any:
    """log(1 + e^x) = max(x, 0) + log1p(exp(-|x|)), a sum of terms of one sign; softplus'(0) = 1/2."""
    return xp.where(x > 0, x, xp.zeros_like(x)) + xp.log1p(decay(xp, x))


def sigmoid(xp: Any, x: Any) -> Any:
    """1 / (1 + e^-x): the numerator is 1 or e, so that a small result keeps all its bits."""
    e = decay(xp, x)
    return xp.where(x > 0, xp.ones_like(e), e) / (1 + e)


def weighted(xp: Any, weight: Any, term: Any) -> Any:
    """weight * term, and 0 where the weight is exactly 0, also when the term is infinite."""
    return xp.where(weight == 0, xp.zeros_like(term), weight * term)


def cross_entropy(xp: Any, x: Any, z: Any, pos_weight: float) -> Any:
    """w z softplus(-x) + (1-z) softplus(x), a sum of terms of one sign, whose slopes cancel beside the minimum.

    There it is written with softplus(x) + softplus(-x) = 2 log(2 cosh(x/2)), of slope tanh(x/2), and their difference x.
    """
    positive = weighted(xp, pos_weight * z, softplus(xp, -x))
    apart = positive + weighted(xp, 1 - z, softplus(xp, x))
    near = _cancels(xp, x, z, pos_weight)
    level, tilt = _level_and_tilt(z, pos_weight)
    within = xp.where(near, x, xp.zeros_like(x))
    centred = level * (2 * (xp.log(xp.cosh(within / 2)) + xp.full_like(x, LN2))) + tilt * within
    return xp.where(near, centred, apart)


def cross_entropy_slope(xp: Any, x: Any, z: Any, pos_weight: float) -> Any:
    """(1-z) s(x) - w z s(-x), or where its terms cancel (1 + (w-1) z)/2 tanh(x/2) + (1 - (w+1) z)/2."""
    apart = (1 - z) * sigmoid(xp, x) - pos_weight * z * sigmoid(xp, -x)
    level, tilt = _level_and_tilt(z, pos_weight)
    return xp.where(_cancels(xp, x, z, pos_weight), level * xp.tanh(x / 2) + tilt, apart)


def _level_and_tilt(z: Any, pos_weight: float) -> tuple[Any, Any]:
    """Half the sum and half the difference of the two weights; the difference is exact wherever w = 1 and z >= 1/4."""
    return (1 + (pos_weight - 1) * z) / 2, (1 - (pos_weight + 1) * z) / 2


def _cancels(xp: Any, x: Any, z: Any, pos_weight: float) -> Any:
    """Are the terms of the centred slope less than half as large as those of the plain one? For hard targets they never are.

    Both are compared without their common factor 1 / (1 + e), e = exp(-|x|).
    """
    e = decay(xp, x)
    negative, positive = 1 - z, pos_weight * z
    level, tilt = _level_and_tilt(z, pos_weight)
    apart = xp.where(x > 0, negative + positive * e, negative * e + positive)
    return (level * (1 - e) + abs(tilt) * (1 + e)) * 2 < apart


def power_of_sigmoid(xp: Any, x: Any, exponent: float) -> Any:
    """s(x)^g for g > 0.

    For x < 0 and g a power of two it is exp(g x) / (1 + e)^g: g x is exact, so the error of one exponential counts
    once and not g times. Otherwise it is a power of s, except where s is subnormal: there the slope g s^(g-1) may
    overflow, and autograd multiplies it by 0; exp(-g softplus(-x)) has a harmless slope.
    """
    if math.frexp(exponent)[0] == 0.5:
        below = xp.where(x > 0, xp.zeros_like(x), x)
        return exp(xp, exponent * below) / (1 + decay(xp, x)) ** exponent
    s = sigmoid(xp, x)
    if xp.__name__ == "numpy":
        return s**exponent
    normal = s >= xp.finfo(s.dtype).tiny
    power = xp.where(normal, s, xp.ones_like(s)) ** exponent
    return xp.where(normal, power, xp.exp(-exponent * softplus(xp, -x)))


def power_of_complement(xp: Any, z: Any, exponent: float) -> Any:
    """(1 - z)^b, taken in float64 and rounded once: 1 - z rounds, and the power would multiply that error by b.

    JAX has no float64 beside float32. There the error of 1 - z, which is exactly (1 - (1 - z)) - z, is put back in: to
    first order it changes the power by b times as much.
    """
    if xp.__name__ == "jax.numpy" and z.dtype != "float64":
        wide = xp.asarray(z, dtype=xp.float32)
        complement = 1 - wide
        error = (1 - complement) - wide
        share = xp.where(complement > 0, error / xp.where(complement > 0, complement, 1), 0)
        return xp.asarray(complement ** float(exponent) * (1 + exponent * share), dtype=z.dtype)
    return xp.asarray((1 - xp.asarray(z, dtype=xp.float64)) ** float(exponent), dtype=z.dtype)


def focal_term(xp: Any, x: Any, exponent: float, weight: Any) -> Any:
    """weight s(x)^g softplus(x), the loss of being sure of the wrong class at logit x.

    The sigmoid's logit is held at SATURATED: beyond it s is 1, and the slope through s, which is
    g s^g s(-x) softplus(x), would be formed as huge * 0.
    """
    if exponent == 0:
        return weighted(xp, weight, softplus(xp, x))
    term = weighted(xp, weight, power_of_sigmoid(xp, _held(xp, x), exponent) * softplus(xp, x))
    e = decay(xp, x)
    fades = (x < 0) & (e >= format_of(x).smallest_normal) & (abs(term) < _fading(x))
    return xp.where(fades, _fading_term(xp, xp.where(fades, x, -xp.ones_like(x)), exponent, weight), term)


def _fading_term(xp: Any, x: Any, exponent: float, weight: Any) -> Any:
    """The same for x < 0 where the result is subnormal, as e^g (log1p(e) / (1 + e)^g) with e = exp(x).

    The slope is then e times a sum of normal numbers, rounded once; a sum of two subnormal products can round to 0 twice.
    """
    e = exp(xp, x)
    return e**exponent * (weight * (xp.log1p(e) / (1 + e) ** exponent))


def focal_slope(xp: Any, x: Any, exponent: float, weight: Any) -> Any:
    """The derivative of :func:`focal_term`: weight s(x)^g (g s(-x) softplus(x) + s(x)), every term positive."""
    if exponent == 0:
        return weight * sigmoid(xp, x)
    e = decay(xp, x)
    over = exponent * xp.where(x > 0, e * softplus(xp, _held(xp, x)), xp.log1p(e)) + xp.where(x > 0, xp.ones_like(e), e)
    if math.frexp(exponent)[0] == 0.5:
        # 1 / (1 + e)^(g+1) as one exponential: 1 + e is rounded nowhere, so nothing multiplies its error by g + 1.
        below = xp.where(x > 0, xp.zeros_like(x), x)
        power, rest = exp(xp, exponent * below), exp(xp, -(exponent + 1) * xp.log1p(e)) * over
    else:
        power, rest = power_of_sigmoid(xp, x, exponent), over / (1 + e)
    slope = weight * (power * rest)
    return xp.where(abs(slope) < _fading(x), power * (weight * rest), slope)


def two_focal_terms(xp: Any, x: Any, exponent: float, positive: Any, negative: Any) -> Any:
    """A f(-x) + B f(x), f(x) = s(x)^g softplus(x): what both classes cost, their slopes of opposite sign.

    Beside 0, where they cancel if A is near B, it is (A+B)/2 of the even part of f and (B-A)/2 of its odd part. With
    r = 1 / (2 cosh(x/2)), s = r e^(x/2) and softplus(+-x) = -log(r) +- x/2, of which no slope cancels.
    """
    apart = focal_term(xp, -x, exponent, positive) + focal_term(xp, x, exponent, negative)
    near = _is_central(x, exponent)
    within = xp.where(near, x, xp.zeros_like(x))
    twice = 2 * xp.cosh(within / 2)
    span, rise, fall = 2 * xp.log(twice), xp.sinh(exponent / 2 * within), xp.cosh(exponent / 2 * within)
    even, odd = span * fall + within * rise, span * rise + within * fall
    central = ((negative + positive) / 2 * even + (negative - positive) / 2 * odd) / twice**exponent
    return xp.where(near, central, apart)


def two_focal_slopes(xp: Any, x: Any, exponent: float, positive: Any, negative: Any) -> Any:
    """The derivative of :func:`two_focal_terms`."""
    apart = focal_slope(xp, x, exponent, negative) - focal_slope(xp, -x, exponent, positive)
    near = _is_central(x, exponent)
    within = xp.where(near, x, xp.zeros_like(x))
    twice, half, slant = 2 * xp.cosh(within / 2), exponent / 2, xp.tanh(within / 2)
    span, rise, fall = 2 * xp.log(twice), xp.sinh(half * within), xp.cosh(half * within)
    even = slant * (fall - half * (span * fall + within * rise)) + (half * span + 1) * rise + half * within * fall
    odd = slant * (rise - half * (span * rise + within * fall)) + (half * span + 1) * fall + half * within * rise
    central = ((negative + positive) / 2 * even + (negative - positive) / 2 * odd) / twice**exponent
    return xp.where(near, central, apart)


def _is_central(x: Any, exponent: float) -> Any:
    """So near 0 that neither part of the focal term dwarfs the other."""
    return abs(x) * (1 + exponent) < 0.5


def flattened(xp: Any, x: Any) -> Any:
    """The logit within [-FLAT, FLAT]."""
    above = xp.where(x > FLAT, xp.full_like(x, FLAT), x)
    return xp.where(above < -FLAT, xp.full_like(above, -FLAT), above)


def _fading(x: Any) -> float:
    """Results below this are made with one rounding, at the end: two could make 0 of a single subnormal."""
    return FADING * format_of(x).smallest_subnormal


def format_of(x: Any) -> Format:
    """The format of an array's dtype, whose name torch puts after its own."""
    return format_named(str(x.dtype).removeprefix("torch."))


def _held(xp: Any, x: Any) -> Any:
    return xp.where(x > SATURATED, xp.full_like(x, SATURATED), x)
