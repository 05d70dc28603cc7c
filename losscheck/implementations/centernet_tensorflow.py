"""The log-sum-exp rewrite of the CenterNet loss in TensorFlow, on logits: in TensorFlow itself, and re-made elsewhere.

On numpy, torch and JAX TensorFlow's own operations are re-made from elementary ones, each rounded to the dtype: its
softplus switches to the identity above a threshold of its own and its sigmoid divides. The losses are summed and
normalised per sample.
"""

import math
from fractions import Fraction

from losscheck.core.loss import ARRAYS, Published, implementation

# log(machine epsilon) + 2 of the dtype, as in TensorFlow's core/kernels/softplus_op.h.
_EPSILON_BITS = {"float64": 52, "float32": 23, "float16": 10, "bfloat16": 7}


def _softplus(xp, x):
    """log1p(exp(x)); x itself above the threshold; exp(x) below minus the threshold."""
    if xp.__name__ == "tensorflow":
        return xp.nn.softplus(x)
    threshold = _EPSILON_BITS[str(x.dtype).removeprefix("torch.")] * math.log(2) - 2
    e = xp.exp(x)
    return xp.where(x > threshold, x, xp.where(x < -threshold, e, xp.log1p(e)))


def _softplus_slope(xp, x):
    """TensorFlow's SoftplusGrad: 1 / (1 + exp(-x))."""
    return 1 / (1 + xp.exp(-x))


def _sigmoid(xp, x):
    return xp.sigmoid(x) if xp.__name__ == "tensorflow" else 1 / (1 + xp.exp(-x))


def gradient(xp, logit, target, *, alpha, beta):
    s = 1 / (1 + xp.exp(-logit))
    slope, minus = s * (1 - s), _softplus_slope(xp, -logit)
    positive = -minus * (1 - s) ** alpha - _softplus(xp, -logit) * alpha * (1 - s) ** (alpha - 1) * slope
    negative = (1 - minus) * s**alpha + (logit + _softplus(xp, -logit)) * alpha * s ** (alpha - 1) * slope
    return xp.where(target == 1, positive, negative * (1 - target) ** beta)


def _published(xp, logit, target, *, alpha, beta):
    """Per sample: summed over its cells, then div_no_nan by its number of positives; the mean over samples."""
    cells = tensorflow_rewrite.function(xp, logit, target, alpha=alpha, beta=beta)
    if xp.__name__ == "tensorflow":
        return _published_in_tensorflow(xp, cells, target)
    samples = len(logit) if logit.ndim > 1 else 1
    total = cells.reshape(samples, -1).sum(1)
    positives = (target == 1).reshape(samples, -1).sum(1)
    return xp.where(positives > 0, total / xp.where(positives > 0, positives, 1), xp.zeros_like(total)).mean()


def _published_in_tensorflow(xp, cells, target):
    samples = cells.shape[0] if len(cells.shape) > 1 else 1
    total, positives = (
        xp.reduce_sum(xp.reshape(values, (samples, -1)), axis=1) for values in (cells, xp.cast(xp.equal(target, 1), cells.dtype))
    )
    return xp.reduce_mean(xp.math.divide_no_nan(total, positives))


def published_weights(targets, shape, *, alpha, beta):
    samples = shape[0] if len(shape) > 1 else 1
    size = len(targets) // samples
    weights = []
    for start in range(0, len(targets), size):
        positives = sum(target == 1 for target in targets[start : start + size])
        weights += [Fraction(1, positives * samples) if positives else Fraction(0)] * size
    return weights


@implementation(
    "centernet-heatmap",
    "centernet-tf-logits",
    source="a TensorFlow write-up of CenterNet's NaN, its log-sum-exp rewrite",
    backends=(*ARRAYS, "tensorflow"),
    gradient=gradient,
    published=Published(_published, published_weights, note="normalised per sample; 0 for a sample without a positive"),
)
def tensorflow_rewrite(xp, logit, target, *, alpha, beta):
    """pos: softplus(-x) (1-s)^a, neg: (x + softplus(-x)) s^a (1-z)^b: x + softplus(-x) and 1 - s cancel."""
    s = _sigmoid(xp, logit)
    positive = _softplus(xp, -logit) * (1 - s) ** alpha
    negative = (logit + _softplus(xp, -logit)) * s**alpha * (1 - target) ** beta
    return xp.where(target == 1, positive, negative)
