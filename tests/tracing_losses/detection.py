"""Losses for boxes, points, pairs and sequences, as they are written in repositories. ``LOSSES`` take 1-D logits and targets in [0, 1]."""

import math

import torch
import torch.nn.functional as F  # noqa: N812

LOSSES = []


def loss(function):
    LOSSES.append(function)
    return function


def boxes(x):
    """A box for each number, [N, 4]: left, top, right, bottom."""
    return torch.stack([x - 1, x - 0.5, x + 1.5, x + 1], dim=1)


@loss
def iou(x, z):
    a, b = boxes(x), boxes(3 * z)
    wh = (torch.min(a[:, 2:], b[:, 2:]) - torch.max(a[:, :2], b[:, :2])).clamp(min=0)
    overlap = wh[:, 0] * wh[:, 1]
    area = (a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - overlap
    return -torch.log(overlap / area + 1e-7).mean()


@loss
def generalised_iou(x, z):
    a, b = boxes(x), boxes(3 * z)
    lt, rb = torch.maximum(a[:, :2], b[:, :2]), torch.minimum(a[:, 2:], b[:, 2:])
    overlap = (rb - lt).clamp(min=0).prod(dim=1)
    union = (a[:, 2:] - a[:, :2]).prod(dim=1) + (b[:, 2:] - b[:, :2]).prod(dim=1) - overlap
    hull = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).prod(dim=1)
    return (1 - overlap / union + (hull - union) / hull.clamp(min=1e-7)).sum()


@loss
def complete_iou_angle(x, z):
    w, h = x.abs() + 0.1, z + 0.1
    angle = torch.atan(w / h) - torch.atan(h / w)
    v = (4 / math.pi**2) * angle**2
    with torch.no_grad():
        weight = v / (1 + v)
    return (weight * v).mean()


@loss
def centerness(x, z):
    left, right = z + 0.1, 1.1 - z
    target = torch.sqrt(torch.min(left, right) / torch.max(left, right))
    return F.binary_cross_entropy_with_logits(x, target, reduction="mean")


@loss
def distribution_focal(x, z):
    logits = torch.stack([x, torch.zeros_like(x), -x], dim=1)
    place = z * 1.99
    left = place.long()
    right = left + 1
    ce_left = F.cross_entropy(logits, left, reduction="none") * (right - place)
    ce_right = F.cross_entropy(logits, right, reduction="none") * (place - left)
    return (ce_left + ce_right).mean()


@loss
def gradient_harmonised(x, z, bins=4):
    g = torch.abs(x.sigmoid().detach() - z)
    weights = torch.zeros_like(x)
    for k in range(bins):
        inside = (g >= k / bins) & (g < (k + 1) / bins + 1e-6)
        count = inside.sum().item()
        if count > 0:
            weights[inside] = x.numel() / count
    return F.binary_cross_entropy_with_logits(x, z, weights, reduction="sum") / x.numel()


@loss
def hard_negative_mining(x, z, ratio=3):
    losses = F.binary_cross_entropy_with_logits(x, z, reduction="none")
    positive = z > 0.5
    keep = max(1, min(ratio * int(positive.sum()), len(x) - 1))
    negatives = losses.masked_fill(positive, 0.0).topk(keep)[0]
    return (losses[positive].sum() + negatives.sum()) / keep


@loss
def online_hard_examples(x, z):
    losses = F.binary_cross_entropy_with_logits(x, z, reduction="none").view(-1)
    ordered, _ = torch.sort(losses, descending=True)
    return ordered[: max(1, len(ordered) // 2)].mean()


@loss
def equalised(x, z):
    weight = 1 - (1 - z) * torch.gt(x.detach().sigmoid(), 0.3).to(x.dtype) * 0.5
    return torch.sum(F.binary_cross_entropy_with_logits(x, z, reduction="none") * weight) / len(x)


@loss
def seesaw(x, z):
    counts = torch.tensor([1.0, 4.0], dtype=x.dtype)
    logits = torch.stack([torch.zeros_like(x), x], 1)
    labels = z.round().long()
    ratio = (counts[None, :] / counts[labels][:, None]).clamp(max=1.0).pow(0.8)
    onehot = F.one_hot(labels, 2).to(x.dtype)
    adjusted = logits + torch.log(ratio) * (1 - onehot)
    return F.cross_entropy(adjusted, labels)


@loss
def arc_margin(x, z, margin=0.2, scale=16.0):
    cosine = torch.tanh(x)
    sine = torch.sqrt((1.0 - cosine**2).clamp(0, 1))
    phi = cosine * math.cos(margin) - sine * math.sin(margin)
    phi = torch.where(cosine > math.cos(math.pi - margin), phi, cosine - math.sin(margin) * margin)
    return F.binary_cross_entropy_with_logits(scale * (z * phi + (1 - z) * cosine), z)


@loss
def circle(x, z, margin=0.25, scale=8.0):
    s = torch.tanh(x)
    sp, sn = s[z > 0.5], s[z <= 0.5]
    ap, an = (1 + margin - sp.detach()).clamp_min(0), (sn.detach() + margin).clamp_min(0)
    lp, ln = -ap * (sp - 1 + margin) * scale, an * (sn - margin) * scale
    return F.softplus(torch.logsumexp(ln, 0) + torch.logsumexp(lp, 0)) if len(sp) and len(sn) else s.sum() * 0


@loss
def margin_ranking(x, z):
    order = torch.where(z[:-1] > z[1:], 1.0, -1.0).to(x.dtype)
    return F.margin_ranking_loss(x[:-1], x[1:], order, margin=0.1)


@loss
def multi_similarity(x, z):
    pos = torch.log(1 + torch.sum(torch.exp(-2.0 * (x - 0.5)) * z)) / 2
    neg = torch.log(1 + torch.sum(torch.exp(5.0 * (x - 0.5)) * (1 - z))) / 5
    return pos + neg


@loss
def angular(x, z):
    a = F.normalize(torch.stack([x, torch.ones_like(x)], 1), dim=1)
    b = F.normalize(torch.stack([z, torch.ones_like(z)], 1), dim=1)
    return torch.acos((a * b).sum(1).clamp(-1 + 1e-7, 1 - 1e-7)).mean()


@loss
def barlow(x, z):
    a = (x - x.mean()) / (x.std(unbiased=False) + 1e-5)
    b = (z - z.mean()) / (z.std(unbiased=False) + 1e-5)
    c = (a * b).sum() / len(x)
    return (c - 1).pow(2)


@loss
def variance_covariance(x, z):
    std = torch.sqrt(x.var(dim=0) + 1e-4)
    return torch.mean(F.relu(1 - std)) + F.mse_loss(x, z)


@loss
def soft_dtw_step(x, z, gamma=0.1):
    d = (x - z) ** 2
    r = d[0]
    for k in range(1, len(x)):
        stacked = torch.stack([r, r + d[k], d[k]]) / -gamma
        r = d[k] - gamma * torch.logsumexp(stacked, dim=0)
    return r


@loss
def crf_pair(x, z):
    transitions = torch.tensor([[0.1, -0.2], [0.3, 0.0]], dtype=x.dtype)
    emissions = torch.stack([torch.zeros_like(x), x], 1)
    alpha = emissions[0]
    for k in range(1, len(x)):
        alpha = torch.logsumexp(alpha[:, None] + transitions + emissions[k][None, :], dim=0)
    labels = z.round().long()
    gold = emissions.gather(1, labels[:, None]).sum() + transitions[labels[:-1], labels[1:]].sum()
    return torch.logsumexp(alpha, 0) - gold


@loss
def policy_gradient(x, z, clip=0.2):
    ratio = torch.exp(x - x.detach() + 0.1 * z)
    advantage = z - z.mean()
    return -torch.min(ratio * advantage, torch.clamp(ratio, 1 - clip, 1 + clip) * advantage).mean()


@loss
def wasserstein_gp(x, z):
    return (x * (1 - 2 * z)).mean() + 10 * (x.norm(2) - 1).pow(2)


@loss
def hinge_gan(x, z):
    real, fake = F.relu(1.0 - x), F.relu(1.0 + x)
    return torch.where(z > 0.5, real, fake).mean()


@loss
def spherical_distance(x, z):
    a, b = F.normalize(x, dim=0), F.normalize(z + 0.1, dim=0)
    return (a - b).norm().div(2).arcsin().pow(2).mul(2)


@loss
def structural(x, z, c1=1e-4, c2=9e-4):
    mx, mz = x.mean(), z.mean()
    vx, vz = (x * x).mean() - mx**2, (z * z).mean() - mz**2
    cov = (x * z).mean() - mx * mz
    return 1 - ((2 * mx * mz + c1) * (2 * cov + c2)) / ((mx**2 + mz**2 + c1) * (vx + vz + c2))
