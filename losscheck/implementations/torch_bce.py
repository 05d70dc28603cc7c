"""PyTorch's two ways to binary cross entropy: on logits, and on the probabilities of a sigmoid."""

from losscheck.core.dtypes import FLOAT32
from losscheck.core.loss import Published, implementation


def _module(xp, logit, target, *, pos_weight):
    """As YOLOv5's ComputeLoss builds BCEcls and BCEobj: a module with a pos_weight tensor of one element, mean."""
    weight = xp.tensor([pos_weight], dtype=logit.dtype, device=logit.device)
    return xp.nn.BCEWithLogitsLoss(pos_weight=weight)(logit, target)


@implementation(
    "bce",
    "torch-bce-with-logits",
    source="PyTorch, torch.nn.functional.binary_cross_entropy_with_logits; as in YOLOv5, utils/loss.py",
    backends=("torch",),
    published=Published(_module, "mean"),
)
def torch_bce_with_logits(xp, logit, target, *, pos_weight):
    """(1 - z) x - l logsigmoid(x): the two cancel for negative x and z < 1; its gradient s(x) - z does for z = 1."""
    weight = xp.tensor([pos_weight], dtype=logit.dtype, device=logit.device)
    return xp.nn.functional.binary_cross_entropy_with_logits(logit, target, reduction="none", pos_weight=weight)


# BCELoss floors both logarithms here, and its backward pass divides by at least EPSILON.
FLOOR = 100.0
EPSILON = 1e-12


def floored(m, logit, target, *, pos_weight):
    positive = m.minimum(m.softplus(-logit), m.number(FLOOR))
    return target * positive + (1 - target) * m.minimum(m.softplus(logit), m.number(FLOOR))


def floored_gradient(m, logit, target, *, pos_weight):
    """(s - z) / max(s (1 - s), 1e-12) * s (1 - s), the backward pass of BCELoss and of the sigmoid."""
    s, complement = m.sigmoid(logit), m.sigmoid(-logit)
    slope = s * complement
    return ((1 - target) * s - target * complement) * slope / m.maximum(slope, m.rounded(FLOAT32.round(EPSILON)))


def _sigmoid_module(xp, logit, target, *, pos_weight):
    return xp.nn.BCELoss()(xp.nn.Sigmoid()(logit), target)


@implementation(
    "bce",
    "torch-sigmoid-bceloss",
    source="PyTorch, torch.nn.Sigmoid followed by torch.nn.BCELoss",
    backends=("torch",),
    formula=floored,
    formula_gradient=floored_gradient,
    published=Published(_sigmoid_module, "mean"),
    ignores=("pos_weight",),
    note="logarithms are floored at -100, and the gradient fades beyond |x| = 27.6 (a division by at least 1e-12)",
)
def torch_sigmoid_bceloss(xp, logit, target, *, pos_weight):
    """-z max(log p, -100) - (1 - z) max(log(1 - p), -100): p rounds to 1, and 100 comes out whatever x is."""
    return xp.nn.functional.binary_cross_entropy(xp.sigmoid(logit), target, reduction="none")
