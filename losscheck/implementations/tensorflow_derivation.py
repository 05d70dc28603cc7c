"""The steps of TensorFlow's derivation of its BCE with logits, each run as an implementation of its own.

Step 1 is `naive` (losses/bce.py). All five are equal in exact arithmetic; they differ in what overflows and cancels.
With l = (1 - z) + w z for pos_weight w; for w = 1 they are the printed steps.
"""

from losscheck.core.loss import ARRAYS, implementation

SOURCE = "TensorFlow API documentation, tf.nn.sigmoid_cross_entropy_with_logits, {}"


def expanded_gradient(xp, logit, target, *, pos_weight):
    e = xp.exp(-logit)
    s = e / (1 + e)
    return pos_weight * target * -s + (1 - target) * (1 - s)


@implementation("bce", "expanded", source=SOURCE.format("derivation step 2"), backends=ARRAYS, gradient=expanded_gradient)
def expanded(xp, logit, target, *, pos_weight):
    """w z log(1 + e^-x) + (1 - z) (x + log(1 + e^-x)): e^-x overflows, and x + ... cancels for negative x."""
    log_term = xp.log(1 + xp.exp(-logit))
    return pos_weight * target * log_term + (1 - target) * (logit + log_term)


def shifted_gradient(xp, logit, target, *, pos_weight):
    e = xp.exp(-logit)
    return (1 - target) - ((1 - target) + pos_weight * target) * (e / (1 + e))


@implementation("bce", "shifted", source=SOURCE.format("derivation step 3"), backends=ARRAYS, gradient=shifted_gradient)
def shifted(xp, logit, target, *, pos_weight):
    """(1 - z) x + l log(1 + e^-x): the same overflow, the cancellation now between the two sums."""
    weight = (1 - target) + pos_weight * target
    return (1 - target) * logit + weight * xp.log(1 + xp.exp(-logit))


def unshifted_gradient(xp, logit, target, *, pos_weight):
    e = xp.exp(logit)
    return -pos_weight * target + ((1 - target) + pos_weight * target) * (e / (1 + e))


@implementation(
    "bce", "unshifted", source=SOURCE.format("derivation step 4, meant for x < 0"), backends=ARRAYS, gradient=unshifted_gradient
)
def unshifted(xp, logit, target, *, pos_weight):
    """-w z x + l log(1 + e^x): e^x overflows, and for positive x and z = 1 the two terms cancel."""
    weight = (1 - target) + pos_weight * target
    return -logit * (pos_weight * target) + weight * xp.log(1 + xp.exp(logit))


def tensorflow_formula_gradient(xp, logit, target, *, pos_weight):
    """As autograd has it at exactly 0: max(x, 0) slopes 1 there and |x| slopes 0, hence 1 - z and not 1/2 - z."""
    weight = (1 - target) + pos_weight * target
    e = xp.exp(-abs(logit))
    return (weight * xp.where(logit >= 0, xp.ones_like(e), xp.zeros_like(e)) - pos_weight * target) - weight * (
        xp.sign(logit) * (e / (1 + e))
    )


@implementation(
    "bce", "tensorflow-formula", source=SOURCE.format("the final formula"), backends=ARRAYS, gradient=tensorflow_formula_gradient
)
def tensorflow_formula(xp, logit, target, *, pos_weight):
    """max(x, 0) - x z + log(1 + e^-|x|), as read off the page; with pos_weight l max(x, 0) - w z x + l log(1 + e^-|x|)."""
    weight = (1 - target) + pos_weight * target
    positive = xp.clip(logit, 0, None)
    return weight * positive - logit * (pos_weight * target) + weight * xp.log(1 + xp.exp(-abs(logit)))
