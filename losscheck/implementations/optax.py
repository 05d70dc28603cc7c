"""Optax's sigmoid losses, on JAX. Its focal loss takes alpha for class 1, as the paper does, and none unless it is given."""

from losscheck.core.loss import implementation


@implementation(
    "bce",
    "optax-sigmoid-bce",
    source="Optax, optax.sigmoid_binary_cross_entropy",
    backends=("jax",),
    library="optax",
    ignores=("pos_weight",),
)
def optax_sigmoid_bce(xp, logit, target, *, pos_weight):
    """-z log_sigmoid(x) - (1 - z) log_sigmoid(-x): one term for hard targets, and no cancellation."""
    return xp.sigmoid_binary_cross_entropy(logit, target)


@implementation(
    "weighted-focal",
    "optax-sigmoid-focal",
    source="Optax, optax.sigmoid_focal_loss(alpha=alpha), from 0.2.5 on in logarithms",
    backends=("jax",),
    library="optax",
)
def optax_sigmoid_focal(xp, logit, target, *, alpha, gamma):
    """a_t exp(g logsumexp(log s(x), log s(-x); weights 1 - z, z)) bce, alpha for class 1 as in the definition."""
    return xp.sigmoid_focal_loss(logit, target, alpha=alpha, gamma=gamma)


def unweighted(m, logit, target, *, alpha, gamma):
    wrong = -logit if target == 1 else logit
    return m.power(m.sigmoid(wrong), gamma) * m.softplus(wrong)


@implementation(
    "weighted-focal",
    "optax-sigmoid-focal-default",
    source="Optax, optax.sigmoid_focal_loss as called without alpha",
    backends=("jax",),
    library="optax",
    formula=unweighted,
    ignores=("alpha",),
    note="alpha is None unless it is given: no class is weighed, where the paper's 0.25 and 0.75 are the default elsewhere",
)
def optax_sigmoid_focal_default(xp, logit, target, *, alpha, gamma):
    """`optax-sigmoid-focal` with alpha left at its default, None."""
    return xp.sigmoid_focal_loss(logit, target, gamma=gamma)
