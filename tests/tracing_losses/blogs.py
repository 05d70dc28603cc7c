"""Losses as they stand on blogs and in repositories, each with something that a patch of it has to get right."""

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn


def ranking(x, z):
    """The logarithm stands inside a negated mean."""
    return -torch.log(torch.sigmoid(x - z)).mean()


def smoothed(logits, targets, smoothing=0.1):
    soft_targets = (1 - targets) * smoothing + targets * (1 - smoothing)
    p = torch.sigmoid(logits)
    return -(soft_targets * torch.log(p) + (1 - soft_targets) * torch.log(1 - p)).mean()


def poly_focal(logits, labels, epsilon=1.0, gamma=2.0):
    """A factor that is 1 by default, and has a name."""
    p = torch.sigmoid(logits)
    ce = F.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    pt = labels * p + (1 - labels) * (1 - p)
    return ce * ((1 - pt) ** gamma) + epsilon * torch.pow(1 - pt, gamma + 1)


def dbnet(pred, gt):
    """The logits lose their name, and targets are cast to integers."""
    pred = torch.sigmoid(pred)
    positive = gt.byte()
    negative = (1 - gt).byte()
    loss = F.binary_cross_entropy(pred, gt, reduction="none")
    return (loss * positive.float()).sum() + (loss * negative.float()).sum()


def mean_reduced(x, z, alpha=0.1):
    """A fused loss with its reduction, beside another term."""
    return alpha * F.binary_cross_entropy_with_logits(x, z) + ((torch.sigmoid(x) - z) ** 2).mean()


def wing(pred, target, omega=10, epsilon=2):
    delta = (target - pred).abs()
    constant = omega - omega * math.log(1 + omega / epsilon)
    return torch.where(delta < omega, omega * torch.log(1 + delta / epsilon), delta - constant).mean()


def divergence(logits, targets):
    return F.kl_div(torch.log(torch.sigmoid(logits)), targets, reduction="sum")


def balanced(x, z):
    """A weight that is a number in this batch alone."""
    beta = 1 - torch.mean(z)
    p = x.sigmoid()
    return -(beta * z * torch.log(p) + (1 - beta) * (1 - z) * torch.log(1 - p)).sum()


class Flattened(nn.Module):
    """Between sigmoid and loss the shape changes."""

    def __init__(self, alpha=0.8, gamma=2):
        super().__init__()
        self.alpha, self.gamma = alpha, gamma

    def forward(self, inputs, targets):
        inputs = torch.sigmoid(inputs)
        inputs = inputs.view(-1)
        targets = targets.view(-1)
        cross_entropy = F.binary_cross_entropy(inputs, targets, reduction="mean")
        return self.alpha * (1 - torch.exp(-cross_entropy)) ** self.gamma * cross_entropy


def flat_probabilities(logits, targets):
    """The logits have a name of another shape than what is multiplied."""
    p = torch.sigmoid(logits).view(-1)
    t = targets.view(-1)
    return -(t * torch.log(p) + (1 - t) * torch.log(1 - p)).mean()


def dice(logits, targets):
    """What is lost at the end no term of the elements can mend."""
    p = torch.sigmoid(logits)
    return 1 - (2 * (p * targets).sum() + 1) / (p.sum() + targets.sum() + 1)


def contrast(logits, targets):
    """Exponentials of scaled logits, beyond every float."""
    e = torch.exp(logits / 0.07)
    return -torch.log((e * targets).sum() / e.sum())


def root_mean_square(x, z):
    return torch.sqrt(torch.mean((x - z) ** 2))


def harmonised(x, z, bins=10):
    """A number leaves the trace in every turn of a loop."""
    weights, distance = torch.zeros_like(x), (x.sigmoid().detach() - z).abs()
    for bin_ in range(bins):
        inside = (distance >= bin_ / bins) & (distance < (bin_ + 1) / bins)
        count = inside.sum().item()
        if count > 0:
            weights[inside] = x.numel() / count
    return F.binary_cross_entropy_with_logits(x, z, weights, reduction="sum")


PATCHED = [ranking, smoothed, poly_focal, dbnet, mean_reduced, wing, divergence, balanced]
