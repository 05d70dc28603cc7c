"""`WeightedFocalLoss`, the focal loss that a widely copied walk-through builds on PyTorch's BCE with logits.

It gathers its weight from tensor([alpha, 1 - alpha]) by the target cast to long: class 0 gets alpha.
"""

from fractions import Fraction

from losscheck.core.dtypes import FLOAT32
from losscheck.core.loss import Published, implementation


def swapped(m, logit, target, *, alpha, gamma):
    """The focal loss with alpha on class 0, both weights as the float32 tensor of the code holds them."""
    a = m.as_float(alpha)
    return m.rounded(1 - a if target == 1 else a, FLOAT32) * _unweighted(m, logit, target, gamma)


def _unweighted(m, logit, target, gamma):
    wrong = -logit if target == 1 else logit
    return m.power(m.sigmoid(wrong), gamma) * m.softplus(wrong)


def unweighted(m, logit, target, *, alpha, gamma):
    return _unweighted(m, logit, target, gamma)


def _class_weights(targets, alpha):
    by_class = [Fraction(FLOAT32.round(alpha)), Fraction(FLOAT32.round(1 - alpha))]
    return [by_class[int(target)] for target in targets]


def published_weights(targets, shape, *, alpha, gamma):
    """The share of each unweighted element in the mean.

    The gathered weights are flat. Against losses of shape [N, 1] they broadcast to [N, N], and every element is
    weighed by the mean of all class weights instead of its own.
    """
    weights = _class_weights(targets, alpha)
    count = len(weights)
    if len(shape) > 1 and shape[-1] == 1 and count > 1:
        return [sum(weights, Fraction(0)) / count**2] * count
    return [weight / count for weight in weights]


def _forward(xp, inputs, targets, alpha, gamma):
    bce = xp.nn.functional.binary_cross_entropy_with_logits(inputs, targets, reduction="none")
    weight = xp.tensor([alpha, 1 - alpha], device=inputs.device)
    at = weight.gather(0, targets.type(xp.long).view(-1))
    pt = xp.exp(-bce)
    return at * (1 - pt) ** gamma * bce


def _published(xp, logit, target, *, alpha, gamma):
    return _forward(xp, logit, target, alpha, gamma).mean()


@implementation(
    "weighted-focal",
    "weighted-focal-loss",
    source="WeightedFocalLoss(alpha=.25, gamma=2), a PyTorch walk-through of the focal loss",
    backends=("torch",),
    formula=swapped,
    published=Published(
        _published,
        published_weights,
        formula=unweighted,
        note="alpha goes to class 0; weights gathered by view(-1) turn losses of shape [N, 1] into [N, N]",
    ),
    always=("alpha",),
    note="alpha weighs class 0 and 1 - alpha class 1",
)
def weighted_focal_loss(xp, logit, target, *, alpha, gamma):
    """at (1 - exp(-bce))^gamma bce: bce cancels, 1 - pt cancels, and gamma < 1 has an infinite slope at 1 - pt = 0.

    The float32 weights promote 16-bit losses to float32; the result is returned in the dtype of the logits.
    """
    return _forward(xp, logit, target, alpha, gamma).to(logit.dtype)
