"""How people write these losses otherwise than they are defined, each with what must be said of it: tests/test_convention_kinds.py."""

import math

import torch
import torch.nn.functional as F  # noqa: N812


def bce(x, z):
    return F.binary_cross_entropy_with_logits(x, z, reduction="none")


def of_p(p, z):
    return -(z * torch.log(p) + (1 - z) * torch.log(1 - p))


def focal(x, z, alpha=0.25, gamma=2.0, weight=None):
    loss = bce(x, z)
    weights = torch.where(z == 1, alpha, 1 - alpha).to(x.dtype) if weight is None else weight(z)
    return weights * (1 - torch.exp(-loss)) ** gamma * loss


def heatmap(x, z, alpha=2.0, beta=4.0):
    negative = (1 - z) ** beta * torch.sigmoid(x) ** alpha * F.softplus(x)
    return torch.where(z == 1, torch.sigmoid(-x) ** alpha * F.softplus(-x), negative)


def soft_focal(factor, alpha=0.25, gamma=2.0):
    """alpha_t factor^gamma CE, for any target."""
    return lambda x, z: (alpha * z + (1 - alpha) * (1 - z)) * factor(x, z) ** gamma * bce(x, z)


def detached(x, z):
    loss = bce(x, z)
    weights = torch.where(z == 1, 0.25, 0.75).to(x.dtype)
    return weights * ((1 - torch.exp(-loss)) ** 2).detach() * loss


def on_p_t(x, z):
    return torch.where(z == 1, 0.25, 0.75).to(x.dtype) * torch.exp(-bce(x, z)) ** 2 * bce(x, z)


def two_terms(x, z):
    """One focal term for each class."""
    return 0.25 * z * torch.sigmoid(-x) ** 2 * F.softplus(-x) + 0.75 * (1 - z) * torch.sigmoid(x) ** 2 * F.softplus(x)


class HalfSlope(torch.autograd.Function):
    """A backward pass by hand that forgets a factor of 2."""

    @staticmethod
    def forward(ctx, x, z):
        ctx.save_for_backward(x, z)
        return bce(x, z)

    @staticmethod
    def backward(ctx, grad):
        x, z = ctx.saved_tensors
        return grad * (torch.sigmoid(x) - z) / 2, None


def divergence(x, z):
    return bce(x, z) - torch.special.entr(z) - torch.special.entr(1 - z)


def clamped_in_float32(x, z):
    """A clamp of 1e-7 in code that casts to float32, where 1 - 1e-7 is 1 - 2^-23."""
    p = torch.sigmoid(x.float()).clamp(1e-7, 1 - 1e-7)
    return of_p(p, z.float())


# (loss, what it is, as people write it, words that must be there, words that must not)
KINDS = [
    ("bce", "the definition", bce, (), ()),
    ("bce", "the definition by probabilities", lambda x, z: of_p(torch.sigmoid(x), z), (), ()),
    ("bce", "the -100 floor of BCELoss", lambda x, z: F.binary_cross_entropy(torch.sigmoid(x), z, reduction="none"),
     ("each logarithm is held above -100",), ()),
    ("bce", "a clamp", lambda x, z: of_p(torch.sigmoid(x).clamp(1e-7, 1 - 1e-7), z), ("clamped to [1e-07, 1 - 1e-07]",), ()),
    ("bce", "a clamp in float32 code", clamped_in_float32, ("clamped to [1e-07, 1 - 1e-07]",), ("held above",)),
    ("bce", "an eps", lambda x, z: -z * torch.log(torch.sigmoid(x) + 1e-8) - (1 - z) * torch.log(1 - torch.sigmoid(x) + 1e-8),
     ("eps=1e-08 is added",), ()),
    ("bce", "logarithms of at least 1e-6",
     lambda x, z: -z * torch.log(torch.sigmoid(x).clamp(min=1e-6)) - (1 - z) * torch.log((1 - torch.sigmoid(x)).clamp(min=1e-6)),
     ("held above 1e-06 inside the logarithms",), ()),
    ("bce", "a clamped logit", lambda x, z: bce(x.clamp(-20, 20), z), ("the logit is clamped to +-20",), ()),
    ("bce", "twice", lambda x, z: 2 * bce(x, z), ("twice the definition",), ()),
    ("bce", "half", lambda x, z: bce(x, z) / 2, ("half the definition",), ()),
    ("bce", "a normaliser", lambda x, z: bce(x, z) / 80, ("0.0125 x the definition, everywhere",), ()),
    ("bce", "a factor near 1", lambda x, z: bce(x, z) * 1.00001, ("1.00001 x the definition",), (" 1 x",)),
    ("bce", "the other sign", lambda x, z: -bce(x, z), ("its sign flipped",), ()),
    ("bce", "base 2", lambda x, z: bce(x, z) / math.log(2), ("logarithms to base 2",), ()),
    ("bce", "truncated targets", lambda x, z: bce(x, z.long().to(x.dtype)), ("targets are truncated",), ()),
    ("bce", "rounded targets", lambda x, z: bce(x, z.round()), ("targets are rounded",), ()),
    ("bce", "any target above 0", lambda x, z: bce(x, (z > 0).to(x.dtype)), ("any target above 0 counts as 1",), ()),
    ("bce", "smoothed labels", lambda x, z: bce(x, z * 0.9 + 0.05), ("targets are smoothed by 0.1: z becomes 0.9 z + 0.05",), ()),
    ("bce", "smoothed upwards", lambda x, z: bce(x, z * (1 - 0.1) + 0.1), ("smoothed by 0.1: z becomes 0.9 z + 0.1",), ()),
    ("bce", "lowered positives", lambda x, z: bce(x, z * 0.9), ("target 1 is lowered to 0.9",), ("smoothed",)),
    ("bce", "other labels", lambda x, z: bce(x, 1 - z), ("targets 0 and 1 are swapped",), ()),
    ("bce", "the logit of the other class", lambda x, z: bce(-x, z), ("targets 0 and 1 are swapped",), ()),
    ("bce", "two sigmoids", lambda x, z: bce(torch.sigmoid(x), z), ("a sigmoid is applied twice",), ()),
    ("bce", "probabilities wanted", of_p, ("logits are taken for probabilities", "--input probabilities makes both agree"), ("clamped",)),
    ("bce", "a temperature", lambda x, z: bce(x / 2, z), ("the logit is divided by 2",), ()),
    ("bce", "a margin", lambda x, z: bce(x + 1.5, z), ("1.5 is added to the logit",), ()),
    ("bce", "labels -1 and 1", lambda x, y: F.softplus(-x * y), ("labels are -1 and 1",), ()),
    ("bce", "labels -1 and 1 halved", lambda x, y: bce(x, (1 + y) / 2), ("labels are -1 and 1",), ()),
    ("bce", "the positive term", lambda x, z: z * F.softplus(-x), ("only the term of the positives",), ()),
    ("bce", "the negative term", lambda x, z: (1 - z) * F.softplus(x), ("pos_weight is 0 and not 1",), ()),
    ("bce", "no look at the targets", lambda x, z: F.softplus(x), ("targets are ignored",), ("smoothed",)),
    ("bce", "a divergence", divergence, ("Kullback-Leibler",), ()),
    ("bce", "targets first", lambda a, b: bce(b, a),
     ("the targets come first", "--call '{targets}, {logits}' makes both agree"), ()),
    ("bce", "targets first, by their names", lambda y_true, y_pred: bce(y_pred, y_true), (), ("it looks like",)),
    ("bce", "half the gradient", HalfSlope.apply, ("its value is that of the definition, its gradient another: 1/2 x",), ()),
    ("bce", "something else", lambda x, z: bce(x, z) + x * x, ("it computes something else",), ("it looks like",)),
    ("weighted-focal", "the definition", focal, (), ()),
    ("weighted-focal", "alpha to class 0", lambda x, z: focal(x, z, 0.75), ("alpha and 1 - alpha are swapped", "--param alpha=0.75"), ()),
    ("weighted-focal", "alpha for both", lambda x, z, alpha=0.4: alpha * focal(x, z, 0, 2, lambda z: 1),
     ("alpha weighs both classes",), ("left out",)),
    ("weighted-focal", "an alpha of 1 for both", lambda x, z, alpha=1.0: alpha * focal(x, z, 0, 2, lambda z: 1),
     ("both classes have the weight 1",), ("left out",)),
    ("weighted-focal", "no alpha", lambda x, z: focal(x, z, weight=lambda z: 1),
     ("alpha is left out", "--param alpha=-1 makes both agree"), ()),
    ("weighted-focal", "alpha of class 1 alone", lambda x, z: focal(x, z, weight=lambda z: torch.where(z == 1, 0.25, 1.0).to(x.dtype)),
     ("alpha weighs class 1 alone",), ()),
    ("weighted-focal", "another gamma", lambda x, z: focal(x, z, gamma=1.5), ("gamma is 1.5 and not 2", "--param gamma=1.5"), ()),
    ("weighted-focal", "another alpha and gamma", lambda x, z: focal(x, z, 0.5, 4.0), ("alpha is 0.5 and not 0.25 and gamma is 4",), ()),
    ("weighted-focal", "gamma on p_t", on_p_t, ("gamma is the exponent of p_t",), ()),
    ("weighted-focal", "a detached factor", detached, ("the factor before the cross entropy is detached",), ("it looks like",)),
    ("weighted-focal", "no look at the targets", lambda x, z: 0.75 * torch.sigmoid(x) ** 2 * F.softplus(x),
     ("targets are ignored: each counts as 0",), ("smoothed",)),
    ("weighted-focal", "soft targets by p_t", soft_focal(lambda x, z: z * torch.sigmoid(-x) + (1 - z) * torch.sigmoid(x)),
     ("p_t = z p + (1 - z)(1 - p)",), ()),
    ("weighted-focal", "soft targets by two terms", two_terms, ("one focal term for each class",), ()),
    ("weighted-focal", "soft targets by distance", soft_focal(lambda x, z: (z - torch.sigmoid(x)).abs()), ("|z - p|",), ()),
    ("weighted-focal", "soft targets by the loss", soft_focal(lambda x, z: 1 - torch.exp(-bce(x, z))), ("(1 - exp(-CE))^g",), ()),
    ("weighted-focal", "soft targets by the sign", soft_focal(lambda x, z: torch.sigmoid(-x * (2 * z - 1))), ("s(-x (2z - 1))^g",), ()),
    ("centernet-heatmap", "the definition", heatmap, (), ()),
    ("centernet-heatmap", "swapped exponents", lambda x, z: heatmap(x, z, 4.0, 2.0), ("alpha and beta are swapped",), ()),
    ("centernet-heatmap", "another beta", lambda x, z: heatmap(x, z, beta=2.0), ("beta is 2 and not 4",), ()),
    ("centernet-heatmap", "positives from 0.99", lambda x, z: heatmap(x, torch.where(z > 0.99, 1.0, z)),
     ("targets above 0.99 count as 1",), ()),
    ("centernet-heatmap", "no penalty reduction", lambda x, z: heatmap(x, z, beta=0.0), ("beta is 0 and not 4",), ()),
]  # fmt: skip
