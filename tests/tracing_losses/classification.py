"""Losses for classes and labels, as they are written in repositories. ``LOSSES`` take 1-D logits and targets in [0, 1]."""

import torch
import torch.nn.functional as F  # noqa: N812

LOSSES = []


def loss(function):
    LOSSES.append(function)
    return function


def pair(x):
    """Two-class logits of a binary one, [N, 2]."""
    return torch.stack([torch.zeros_like(x), x], dim=1)


@loss
def textbook_bce(x, z):
    p = torch.sigmoid(x)
    return -(z * torch.log(p) + (1 - z) * torch.log(1 - p)).mean()


@loss
def bce_with_eps(x, z, eps=1e-7):
    p = torch.sigmoid(x)
    return -(z * torch.log(p + eps) + (1 - z) * torch.log(1 - p + eps)).mean()


@loss
def bce_clamped(x, z):
    p = x.sigmoid().clamp(1e-6, 1 - 1e-6)
    return (-z * p.log() - (1 - z) * (1 - p).log()).sum()


@loss
def bce_module(x, z):
    return torch.nn.BCELoss()(torch.sigmoid(x), z)


@loss
def with_logits_weighted(x, z):
    return F.binary_cross_entropy_with_logits(x, z, weight=1 + z, pos_weight=torch.tensor(2.0, dtype=x.dtype))


@loss
def torchvision_focal(x, z, alpha=0.25, gamma=2):
    p = torch.sigmoid(x)
    ce = F.binary_cross_entropy_with_logits(x, z, reduction="none")
    p_t = p * z + (1 - p) * (1 - z)
    value = ce * ((1 - p_t) ** gamma)
    if alpha >= 0:
        value = (alpha * z + (1 - alpha) * (1 - z)) * value
    return value.mean()


@loss
def weighted_focal(x, z):
    bce = F.binary_cross_entropy_with_logits(x, z, reduction="none")
    at = torch.tensor([0.25, 0.75], dtype=x.dtype).gather(0, z.long().view(-1))
    pt = torch.exp(-bce)
    return (at * (1 - pt) ** 2 * bce).mean()


@loss
def varifocal(x, z, alpha=0.75, gamma=2.0):
    p = x.sigmoid()
    weight = z * (z > 0).to(x.dtype) + alpha * (p - z).abs().pow(gamma) * (z <= 0).to(x.dtype)
    return (F.binary_cross_entropy_with_logits(x, z, reduction="none") * weight).sum()


@loss
def quality_focal(x, z, beta=2.0):
    s = x.sigmoid()
    zero = torch.zeros_like(x)
    value = F.binary_cross_entropy_with_logits(x, zero, reduction="none") * s.pow(beta)
    pos = (z > 0).nonzero().squeeze(1)
    shift = z[pos] - s[pos]
    value[pos] = F.binary_cross_entropy_with_logits(x[pos], z[pos], reduction="none") * shift.abs().pow(beta)
    return value.sum()


@loss
def asymmetric(x, z, margin=0.05, eps=1e-8):
    p = torch.sigmoid(x)
    q = (1 - p + margin).clamp(max=1)
    pos, neg = z * torch.log(p.clamp(min=eps)), (1 - z) * torch.log(q.clamp(min=eps))
    value = pos + neg
    with torch.no_grad():
        pt = p * z + q * (1 - z)
        weight = torch.pow(1 - pt, 1 * z + 4 * (1 - z))
    return -(value * weight).sum()


@loss
def poly1(x, z, eps=1.0):
    ce = F.binary_cross_entropy_with_logits(x, z, reduction="none")
    pt = torch.exp(-ce)
    return (ce + eps * (1 - pt)).mean()


@loss
def two_class_cross_entropy(x, z):
    return F.cross_entropy(pair(x), z.round().long())


@loss
def label_smoothing(x, z):
    return F.cross_entropy(pair(x), z.round().long(), label_smoothing=0.1)


@loss
def soft_cross_entropy(x, z):
    return -(torch.stack([1 - z, z], 1) * F.log_softmax(pair(x), dim=1)).sum(1).mean()


@loss
def log_of_softmax(x, z):
    return F.nll_loss(torch.log(F.softmax(pair(x), dim=1)), z.round().long())


@loss
def nll_weighted(x, z):
    return F.nll_loss(F.log_softmax(pair(x), 1), z.round().long(), weight=torch.tensor([1.0, 3.0], dtype=x.dtype))


@loss
def kl_divergence(x, z):
    target = torch.stack([1 - z, z], 1) * 0.9 + 0.05
    return F.kl_div(F.log_softmax(pair(x), 1), target, reduction="batchmean")


@loss
def distillation(x, z, temperature=4.0):
    teacher = F.softmax(pair(4 * z - 2) / temperature, dim=1)
    return F.kl_div(F.log_softmax(pair(x) / temperature, 1), teacher, reduction="sum") * temperature**2


@loss
def entropy_bonus(x, z):
    p = F.softmax(pair(x), 1)
    return -(p * torch.log(p + 1e-12)).sum(1).mean()


@loss
def symmetric_cross_entropy(x, z):
    p = torch.sigmoid(x).clamp(1e-7, 1.0)
    return (F.binary_cross_entropy_with_logits(x, z) - (p * torch.log(z.clamp(min=1e-4))).mean()) / 2


@loss
def generalised_cross_entropy(x, z, q=0.7):
    p = torch.sigmoid(torch.where(z > 0.5, x, -x))
    return ((1 - p**q) / q).mean()


@loss
def hinge(x, z):
    return F.relu(1 - (2 * z - 1) * x).mean()


@loss
def squared_hinge(x, z):
    return torch.clamp(1 - (2 * z - 1) * x, min=0).pow(2).mean()


@loss
def soft_margin(x, z):
    return F.soft_margin_loss(x, 2 * z - 1)


@loss
def logistic_by_hand(x, z):
    return torch.log(1 + torch.exp(-(2 * z - 1) * x)).mean()


@loss
def multilabel_soft_margin(x, z):
    return F.multilabel_soft_margin_loss(x[None], z[None])


@loss
def label_relaxation(x, z):
    value = x.clamp(min=0) - x * z + torch.log(1 + torch.exp(-x.abs()))
    return value.mean()


@loss
def temperature_scaled(x, z):
    temperature = torch.tensor(0.5, dtype=x.dtype)
    return F.binary_cross_entropy_with_logits(x / temperature, z, reduction="sum")


@loss
def evidence(x, z):
    alpha = F.softplus(x) + 1
    return (z * (torch.digamma(alpha + 1) - torch.digamma(alpha))).sum() + torch.lgamma(alpha).sum()


@loss
def balanced(x, z):
    positive = z.sum()
    beta = 1 - positive / z.numel()
    value = -beta * z * F.logsigmoid(x) - (1 - beta) * (1 - z) * F.logsigmoid(-x)
    return value.sum() / (positive + 1)
