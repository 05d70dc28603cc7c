"""softplus and sigmoid for numpy, torch and JAX arrays, written so that neither value nor autograd gradient breaks.

Both are built from e = exp(-|x|), which lies in [0, 1] and cannot overflow. ``where`` picks the branch before the
exponential is taken, never after it: autograd differentiates both branches of a ``where``, and 0 * inf is NaN there.
"""

from __future__ import annotations

import math
from typing import Any

__all__ = ["focal_slope", "focal_term", "power_of_complement", "power_of_sigmoid", "sigmoid", "softplus", "weighted"]

# s(x) is 1 in every format from 37.43 = 54 ln 2 on, and s'(x) x is below half an ulp of 1 from 42 on.
SATURATED = 64


def _exp(xp: Any, x: Any) -> Any:
    """exp(x). numpy's vectorised float32 exp errs by up to 2.5 ulp; its float64 one, rounded, by half an ulp."""
    if xp.__name__ == "numpy" and x.dtype == "float32":
        return xp.exp(x, dtype="float64").astype("float32")
    return xp.exp(x)


def _decay(xp: Any, x: Any) -> Any:
    """exp(-|x|), with derivative exp(x) at 0, where |x| itself would give autograd a zero."""
    return _exp(xp, xp.where(x > 0, -x, x))


def softplus(xp: Any, x: Any) -> Any:
    """log(1 + e^x) = max(x, 0) + log1p(exp(-|x|)), a sum of terms of one sign; softplus'(0) = 1/2."""
    return xp.where(x > 0, x, xp.zeros_like(x)) + xp.log1p(_decay(xp, x))


def sigmoid(xp: Any, x: Any) -> Any:
    """1 / (1 + e^-x): the numerator is 1 or e, so that a small result keeps all its bits."""
    e = _decay(xp, x)
    return xp.where(x > 0, xp.ones_like(e), e) / (1 + e)


def weighted(xp: Any, weight: Any, term: Any) -> Any:
    """weight * term, and 0 where the weight is exactly 0, also when the term is infinite."""
    return xp.where(weight == 0, xp.zeros_like(term), weight * term)


def power_of_sigmoid(xp: Any, x: Any, exponent: float) -> Any:
    """s(x)^g for g > 0.

    For x < 0 and g a power of two it is exp(g x) / (1 + e)^g: g x is exact, so the error of one exponential counts
    once and not g times. Otherwise it is a power of s, except where s is subnormal: there the slope g s^(g-1) may
    overflow, and autograd multiplies it by 0; exp(-g softplus(-x)) has a harmless slope.
    """
    if math.frexp(exponent)[0] == 0.5:
        below = xp.where(x > 0, xp.zeros_like(x), x)
        return _exp(xp, exponent * below) / (1 + _decay(xp, x)) ** exponent
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


def focal_term(xp: Any, x: Any, exponent: float) -> Any:
    """s(x)^g softplus(x), the loss of being sure of the wrong class at logit x.

    The weight's logit is held at SATURATED: beyond it s is 1, and the slope through s, which is
    g s^g s(-x) softplus(x), would be formed as huge * 0.
    """
    if exponent == 0:
        return softplus(xp, x)
    return power_of_sigmoid(xp, _held(xp, x), exponent) * softplus(xp, x)


def focal_slope(xp: Any, x: Any, exponent: float) -> Any:
    """The derivative of :func:`focal_term`: s(x)^g (g s(-x) softplus(x) + s(x)), every term positive."""
    if exponent == 0:
        return sigmoid(xp, x)
    e = _decay(xp, x)
    over = exponent * xp.where(x > 0, e * softplus(xp, _held(xp, x)), xp.log1p(e)) + xp.where(x > 0, xp.ones_like(e), e)
    if math.frexp(exponent)[0] == 0.5:
        # 1 / (1 + e)^(g+1) as one exponential: 1 + e is rounded nowhere, so nothing multiplies its error by g + 1.
        below = xp.where(x > 0, xp.zeros_like(x), x)
        return _exp(xp, exponent * below) * (_exp(xp, -(exponent + 1) * xp.log1p(e)) * over)
    return power_of_sigmoid(xp, x, exponent) * (over / (1 + e))


def _held(xp: Any, x: Any) -> Any:
    return xp.where(x > SATURATED, xp.full_like(x, SATURATED), x)
