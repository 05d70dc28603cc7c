"""Losses for masks, heatmaps, distances, embeddings and likelihoods, as they are written in repositories."""

import math

import torch
import torch.nn.functional as F  # noqa: N812

LOSSES = []


def loss(function):
    LOSSES.append(function)
    return function


@loss
def centernet(x, z):
    pred = torch.sigmoid(x)
    pos, neg = z.eq(1).float(), z.lt(1).float()
    pos_loss = torch.log(pred) * torch.pow(1 - pred, 2) * pos
    neg_loss = torch.log(1 - pred) * torch.pow(pred, 2) * torch.pow(1 - z, 4) * neg
    count = pos.sum()
    pos_loss, neg_loss = pos_loss.sum(), neg_loss.sum()
    if count == 0:
        return -neg_loss
    return -(pos_loss + neg_loss) / count


@loss
def centernet_clamped(x, z):
    p = torch.clamp(x.sigmoid_() if not x.requires_grad else x.sigmoid(), min=1e-4, max=1 - 1e-4)
    pos = z.eq(1).to(x.dtype)
    value = -(p.log() * (1 - p) ** 2 * pos + (1 - p).log() * p**2 * (1 - z) ** 4 * (1 - pos))
    return value.sum() / max(1, pos.sum().item())


@loss
def tensorflow_rewrite(x, z):
    p = torch.sigmoid(x)
    neg = (x + F.softplus(-x)) * p**2 * (1 - z) ** 4 * (z < 1)
    return (F.softplus(-x) * (1 - p) ** 2 * (z == 1) + neg).sum()


@loss
def dice(x, z, smooth=1.0):
    p = torch.sigmoid(x)
    return 1 - (2 * (p * z).sum() + smooth) / (p.sum() + z.sum() + smooth)


@loss
def log_dice(x, z):
    p = torch.sigmoid(x)
    return -torch.log((2 * (p * z).sum() + 1e-5) / (p.sum() + z.sum() + 1e-5))


@loss
def tversky(x, z):
    p = torch.sigmoid(x)
    hit, false, miss = (p * z).sum(), (p * (1 - z)).sum(), ((1 - p) * z).sum()
    return (1 - hit / (hit + 0.3 * false + 0.7 * miss + 1e-6)) ** 0.75


@loss
def jaccard(x, z):
    p = torch.sigmoid(x)
    both = (p * z).sum()
    return 1 - both / (p.sum() + z.sum() - both).clamp(min=1e-6)


@loss
def bce_dice(x, z):
    return F.binary_cross_entropy_with_logits(x, z) + dice(x, z)


@loss
def lovasz(x, z):
    errors = F.relu(1 - x * (2 * z - 1))
    ordered, order = torch.sort(errors, descending=True)
    truth = z[order]
    left = truth.sum() - truth.cumsum(0)
    union = truth.sum() + (1 - truth).cumsum(0)
    grad = 1 - left / union
    return torch.dot(ordered, grad.detach())


@loss
def mean_squared(x, z):
    return F.mse_loss(torch.sigmoid(x), z)


@loss
def mean_absolute(x, z):
    return F.l1_loss(x, z)


@loss
def huber(x, z):
    return F.huber_loss(x, z, delta=0.5)


@loss
def smooth_l1(x, z):
    return F.smooth_l1_loss(x, z)


@loss
def charbonnier(x, z):
    return torch.sqrt((x - z) ** 2 + 1e-6).mean()


@loss
def log_cosh(x, z):
    return torch.log(torch.cosh(x - z)).mean()


@loss
def log_cosh_stable(x, z):
    d = x - z
    return (d + F.softplus(-2 * d) - math.log(2)).mean()


@loss
def rmse(x, z):
    return torch.sqrt(F.mse_loss(x, z))


@loss
def wing(x, z, width=5.0, curve=0.5):
    d = (x - z).abs()
    c = width - width * math.log(1 + width / curve)
    return torch.where(d < width, width * torch.log(1 + d / curve), d - c).mean()


@loss
def adaptive_wing(x, z):
    d = (z - x).abs()
    return torch.log(1 + torch.pow(d, 2.1 - z)).mean()


@loss
def quantile(x, z):
    d = z - x
    return torch.maximum(0.9 * d, (0.9 - 1) * d).mean()


@loss
def gaussian_likelihood(x, z):
    variance = F.softplus(x) + 1e-6
    return F.gaussian_nll_loss(x, z, variance)


@loss
def gaussian_by_hand(x, z):
    sigma = torch.exp(x)
    return (torch.log(sigma) + (z - x) ** 2 / (2 * sigma**2)).mean()


@loss
def poisson(x, z):
    return F.poisson_nll_loss(x, z)


@loss
def laplace(x, z):
    scale = x.exp()
    return (torch.log(2 * scale) + (z - x).abs() / scale).sum()


@loss
def vae_kl(x, z):
    return -0.5 * torch.sum(1 + x - z.pow(2) - x.exp())


@loss
def mixture(x, z):
    parts = torch.stack([-((x - z) ** 2) / 2, -((x + z) ** 2) / 2])
    return -torch.logsumexp(parts, dim=0).mean()


@loss
def contrastive(x, z):
    distance = torch.sqrt(x * x)
    return (z * distance**2 + (1 - z) * F.relu(1 - distance) ** 2).mean()


@loss
def triplet(x, z):
    anchor, positive = x[None], z[None]
    return F.triplet_margin_loss(anchor, positive, positive + 1)


@loss
def cosine(x, z):
    return 1 - F.cosine_similarity(x, z + 0.5, dim=0)


@loss
def normalised_embedding(x, z):
    a, b = F.normalize(x, dim=0), F.normalize(z + 0.1, dim=0)
    return (a - b).pow(2).sum()


@loss
def info_nce(x, z):
    scores = torch.outer(x, z + 0.5) / 0.07
    return F.cross_entropy(scores, torch.arange(len(x)))


@loss
def bayesian_ranking(x, z):
    return -torch.log(torch.sigmoid(x[:-1] - x[1:] + z[1:])).mean()


@loss
def list_net(x, z):
    return -(F.softmax(z, 0) * F.log_softmax(x, 0)).sum()


@loss
def standardised(x, z):
    return (((x - x.mean()) / (x.std() + 1e-5)) * z).sum()


@loss
def total_variation(x, z):
    return (x[1:] - x[:-1]).abs().mean() + torch.sigmoid(x).var()


@loss
def masked_mean(x, z):
    mask = z > 0.5
    return F.softplus(-x)[mask].sum() / mask.sum().clamp(min=1)


@loss
def scatter_mean(x, z):
    groups = torch.zeros(2, dtype=x.dtype).scatter_add(0, (z > 0.5).long(), torch.exp(-x))
    return torch.log1p(groups).sum()


@loss
def activations(x, z):
    return (F.gelu(x) + F.silu(x) + F.mish(x) + F.elu(x) + F.leaky_relu(x) + F.hardtanh(x) * z).mean()


@loss
def bounded_regression(x, z):
    return (torch.tanh(x) - z).pow(2).mean() + torch.atan(x).abs().mean() * 1e-3


@loss
def signed_log(x, z):
    return (torch.sign(x) * torch.log1p(x.abs()) - z).abs().sum()
