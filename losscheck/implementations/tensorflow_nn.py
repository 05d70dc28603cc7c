"""TensorFlow's own ways to binary cross entropy: its two functions on logits, and the definition by its softplus."""

from losscheck.core.loss import Published, implementation

BACKENDS = ("tensorflow",)


def _mean(xp, logit, target, *, pos_weight):
    return xp.reduce_mean(xp.nn.sigmoid_cross_entropy_with_logits(labels=target, logits=logit))


@implementation(
    "bce",
    "tensorflow-sigmoid-ce",
    source="TensorFlow, tf.nn.sigmoid_cross_entropy_with_logits",
    backends=BACKENDS,
    published=Published(_mean, "mean"),
    ignores=("pos_weight",),
)
def tensorflow_sigmoid_ce(xp, logit, target, *, pos_weight):
    """max(x, 0) - x z + log1p(exp(-|x|)): for positive x and z = 1 the first two cancel exactly, and nothing is lost."""
    return xp.nn.sigmoid_cross_entropy_with_logits(labels=target, logits=logit)


@implementation(
    "bce",
    "tensorflow-weighted-ce",
    source="TensorFlow, tf.nn.weighted_cross_entropy_with_logits",
    backends=BACKENDS,
)
def tensorflow_weighted_ce(xp, logit, target, *, pos_weight):
    """(1 - z) x + l (log1p(exp(-|x|)) + max(-x, 0)), l = 1 + (w - 1) z: for z = 0 and negative x, x and -x cancel too late."""
    return xp.nn.weighted_cross_entropy_with_logits(labels=target, logits=logit, pos_weight=pos_weight)


@implementation("bce", "tensorflow-softplus", source="TensorFlow, tf.nn.softplus in the definition", backends=BACKENDS)
def tensorflow_softplus(xp, logit, target, *, pos_weight):
    """w z softplus(-x) + (1-z) softplus(x) with tf.nn.softplus, which is x or e^x beyond a threshold of each dtype."""
    return pos_weight * target * xp.nn.softplus(-logit) + (1 - target) * xp.nn.softplus(logit)
