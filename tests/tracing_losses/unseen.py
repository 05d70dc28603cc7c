"""Losses written after the rule of blame was frozen, of kinds that were not looked at before: they may not change it."""

import math

import torch
import torch.nn.functional as F  # noqa: N812

LOSSES = []


def loss(function):
    LOSSES.append(function)
    return function


@loss
def gompertz(x, z):
    return ((torch.exp(-torch.exp(-x)) - z) ** 2).mean()


@loss
def complementary_log_log(x, z):
    p = 1 - torch.exp(-torch.exp(x))
    return -(z * torch.log(p) + (1 - z) * torch.log1p(-p)).mean()


@loss
def probit(x, z):
    normal = torch.distributions.Normal(0.0, 1.0)
    p = normal.cdf(x)
    return F.binary_cross_entropy(p, z)


@loss
def cauchy(x, z):
    return torch.log1p(((x - z) / 0.5).square()).sum()


@loss
def geman_mcclure(x, z):
    d = (x - z).pow(2)
    return (d / (d + 1)).mean()


@loss
def welsch(x, z):
    return (1 - torch.exp(-0.5 * (x - z) ** 2)).mean()


@loss
def tukey(x, z, c=4.685):
    r = (x - z) / c
    inside = r.abs() <= 1
    return (c**2 / 6 * torch.where(inside, 1 - (1 - r**2) ** 3, torch.ones_like(r))).mean()


@loss
def barron(x, z, alpha=1.5):
    d = abs(alpha - 2)
    return ((d / alpha) * (((x - z) ** 2 / d + 1) ** (alpha / 2) - 1)).sum()


@loss
def beta_likelihood(x, z):
    a, b = F.softplus(x) + 0.1, F.softplus(-x) + 0.1
    t = z.clamp(0.01, 0.99)
    log_beta = torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(a + b)
    return -((a - 1) * torch.log(t) + (b - 1) * torch.log(1 - t) - log_beta).mean()


@loss
def gamma_likelihood(x, z):
    rate = torch.exp(x)
    return -(2 * torch.log(rate) - rate * (z + 0.1) + torch.log(z + 0.1)).mean()


@loss
def negative_binomial(x, z, r=2.0):
    p = torch.sigmoid(x)
    return -(torch.lgamma(z + r) - math.lgamma(r) + r * torch.log(1 - p) + z * torch.log(p)).sum()


@loss
def zero_inflated(x, z):
    pi, rate = torch.sigmoid(-x), torch.exp(x)
    none = torch.log(pi + (1 - pi) * torch.exp(-rate))
    some = torch.log1p(-pi) - rate + z * x - torch.lgamma(z + 1)
    return -torch.where(z == 0, none, some).mean()


@loss
def student_t(x, z, df=3.0):
    return ((df + 1) / 2 * torch.log1p((x - z) ** 2 / df)).mean()


@loss
def von_mises(x, z):
    return -(torch.cos(x - z) * 2).mean() + math.log(2 * math.pi)


@loss
def weibull(x, z, k=1.5):
    t = z + 0.1
    scale = torch.exp(x)
    return -(math.log(k) - torch.log(scale) + (k - 1) * torch.log(t / scale) - (t / scale) ** k).mean()


@loss
def cox(x, z):
    order = torch.argsort(z, descending=True)
    h = x[order]
    return -(h - torch.logcumsumexp(h, dim=0)).mean()


@loss
def concordance(x, z):
    gap = x[:, None] - x[None, :]
    ahead = (z[:, None] > z[None, :]).to(x.dtype)
    return (torch.log1p(torch.exp(-gap)) * ahead).sum() / ahead.sum().clamp(min=1)


@loss
def ordinal(x, z):
    thresholds = torch.tensor([-1.0, 0.0, 1.0], dtype=x.dtype)
    levels = (z[:, None] > torch.tensor([0.25, 0.5, 0.75], dtype=x.dtype)).to(x.dtype)
    logits = x[:, None] - thresholds
    return -(F.logsigmoid(logits) * levels + (F.logsigmoid(logits) - logits) * (1 - levels)).sum(1).mean()


@loss
def earth_mover(x, z):
    p, q = F.softmax(x, 0), F.softmax(4 * z, 0)
    return (torch.cumsum(p, 0) - torch.cumsum(q, 0)).pow(2).mean().sqrt()


@loss
def jensen_shannon(x, z):
    p, q = torch.sigmoid(x), z * 0.9 + 0.05
    m = (p + q) / 2
    return 0.5 * (p * (p / m).log() + q * (q / m).log()).sum()


@loss
def hellinger(x, z):
    return (torch.sqrt(torch.sigmoid(x)) - torch.sqrt(z)).pow(2).sum().sqrt() / math.sqrt(2)


@loss
def bhattacharyya(x, z):
    return -torch.log((F.softmax(x, 0) * F.softmax(z, 0)).sqrt().sum())


@loss
def renyi(x, z, order=0.5):
    p, q = F.softmax(x, -1), F.softmax(3 * z, -1)
    return torch.log(torch.sum(p**order * q ** (1 - order))) / (order - 1)


@loss
def max_entropy(x, z):
    p = torch.sigmoid(x)
    return F.binary_cross_entropy(p, z) - 0.1 * (torch.special.entr(p) + torch.special.entr(1 - p)).mean()


@loss
def mish_gate(x, z):
    return (F.mish(x) - F.silu(z) * F.gelu(x)).abs().mean()


@loss
def elastic(x, z):
    return F.mse_loss(x, z) + 0.01 * x.abs().sum() + 0.01 * x.pow(2).sum().sqrt()


@loss
def frobenius(x, z):
    gram = torch.outer(x, x) - torch.outer(z, z)
    return torch.linalg.vector_norm(gram) / len(x)


@loss
def spectral_angle(x, z):
    cosine = torch.dot(x, z + 0.1) / (x.norm() * (z + 0.1).norm()).clamp_min(1e-8)
    return torch.arccos(cosine.clamp(-1, 1))


@loss
def symmetric_percentage(x, z):
    return (2 * (x - z).abs() / (x.abs() + z.abs() + 1e-8)).nanmean()


@loss
def interval_score(x, z, alpha=0.1):
    low, high = x - F.softplus(x), x + F.softplus(-x)
    return ((high - low) + 2 / alpha * (low - z) * (z < low) + 2 / alpha * (z - high) * (z > high)).mean()
