"""Cross entropies that were published with a fault, written anew so that they behave as they did: what each is about is in bugs.yaml."""

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812


def max_of_the_wrong_sign(logits, targets):
    """The log-sum-exp trick with max(x, 0) where max(-x, 0) is due."""
    top = logits.clamp(min=0)
    return logits - logits * targets + top + torch.log(torch.exp(-top) + torch.exp(-logits - top))


def slope_of_abs_at_zero(logits, targets):
    """max(x, 0) - x z + log(1 + exp(-|x|)), whose slopes at 0 are those of a max and of an abs."""
    return logits.clamp(min=0) - logits * targets + torch.log(1 + torch.exp(-logits.abs()))


def probabilities_first(logits, targets):
    """torch's own, of the probabilities of a sigmoid; its logarithms stop at -100."""
    return F.binary_cross_entropy(torch.sigmoid(logits), targets, reduction="none")


def eps_in_the_logarithms(logits, targets, eps=1e-12):
    """1e-12 is nothing beside 1 in float32, and a floor beside 0."""
    p = torch.sigmoid(logits)
    return -(targets * torch.log(p + eps) + (1 - targets) * torch.log(1 - p + eps))


def log_of_one_plus_exp(logits, targets):
    """log(sigmoid(x)) as -log(1 + exp(-x)), which overflows."""
    return targets * torch.log(1 + torch.exp(-logits)) + (1 - targets) * torch.log(1 + torch.exp(logits))


def clipped_probabilities(y_true, logits, eps=1e-7):
    """Clipped, and taken back to logits: beyond the clip nothing is learned."""
    p = torch.sigmoid(logits).clamp(eps, 1 - eps)
    return F.binary_cross_entropy_with_logits(torch.log(p / (1 - p)), y_true, reduction="none")


def clip_that_rounds_away(y_true, logits, eps=1e-9):
    """1 - 1e-9 is 1 in float32, so that ones are not clipped."""
    p = torch.sigmoid(logits).clamp(eps, 1 - eps)
    return -(y_true * torch.log(p) + (1 - y_true) * torch.log(1 - p))


def epsilon_twice(y_true, logits, eps=1e-7):
    """Clipped by an epsilon, which is then added once more inside the logarithms."""
    p = torch.sigmoid(logits).clamp(eps, 1 - eps)
    return -(y_true * torch.log(p + eps) + (1 - y_true) * torch.log(1 - p + eps))


def overflow_in_numpy(logits, labels):
    """log(1 + exp(x)) - x z, without a gradient of its own here."""
    return np.log(1 + np.exp(logits)) - logits * labels


def affine_of_the_sigmoid(inp, target):
    """The logarithm of sigmoid(x) * -1 + 1, which is 0."""
    p = torch.sigmoid(inp)
    return -(target * torch.log(p) + (target * -1 + 1) * torch.log(p * -1 + 1))


def log_of_sigmoid(logits, targets):
    """-log(sigmoid(d)) of a difference d: here +x for target 1 and -x for target 0."""
    return -torch.log(torch.sigmoid(torch.where(targets == 1, logits, -logits)))


def objective_of_exp(y_true, raw):
    """(gradient, hessian) through exp(-raw), as a quotient of what overflows."""
    small = np.exp(-raw)
    return ((1 - y_true) - y_true * small) / (1 + small), small / (1 + small) ** 2


def log_logistic(scores, labels):
    """log(1 + exp(-y x)) for labels y of -1 and 1."""
    return np.log(1 + np.exp(-labels * scores))


def pos_weight_on_the_whole(logits, targets, pos_weight=3.0):
    """The weight of the positives multiplies both terms of a soft target."""
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none") * (1 + (pos_weight - 1) * targets)


def pos_weight_on_the_logarithm(logits, targets, pos_weight=3.0):
    """The weight multiplies log(1 + exp(-|x|)), and not max(-x, 0)."""
    weight = 1 + (pos_weight - 1) * targets
    return torch.relu(logits) - logits * targets + torch.log(1 + torch.exp(-logits.abs())) * weight


class WeightOnTheSigmoid(torch.autograd.Function):
    """A backward pass sigmoid(x) w - z."""

    @staticmethod
    def forward(ctx, logits, targets, pos_weight):
        weight = 1 + (pos_weight - 1) * targets
        ctx.save_for_backward(logits, targets, weight)
        return (1 - targets) * logits + weight * F.softplus(-logits)

    @staticmethod
    def backward(ctx, grad):
        logits, targets, weight = ctx.saved_tensors
        return grad * (torch.sigmoid(logits) * weight - targets), None, None


def pos_weight_in_backward(logits, targets, pos_weight=3.0):
    """The value is right and its gradient another's."""
    return WeightOnTheSigmoid.apply(logits, targets, pos_weight)


def two_sigmoids(logits, targets):
    """A model that ends in a sigmoid, under a loss that begins with one."""
    return F.binary_cross_entropy_with_logits(torch.sigmoid(logits), targets, reduction="none")
