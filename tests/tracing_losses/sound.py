"""Losses that are right at their points: nothing of them may be blamed."""

import torch
import torch.nn.functional as F  # noqa: N812

from tracing_losses import collector

at, EXAMPLES = collector()
POINTS = (-30.0, -3.0, 0.5, 20.0)
MIXED = (0.0, 1.0, 0.0, 1.0)


@at(*POINTS, target=MIXED)
def softplus_bce(x, z):
    return (z * F.softplus(-x) + (1 - z) * F.softplus(x)).mean()


@at(*POINTS, target=MIXED, dtype="bfloat16")
def softplus_bce_in_bfloat16(x, z):
    return (z * F.softplus(-x) + (1 - z) * F.softplus(x)).mean()


@at(*POINTS, target=MIXED, dtype="float64")
def logsigmoid_bce(x, z):
    return -(z * F.logsigmoid(x) + (1 - z) * F.logsigmoid(-x)).sum()


@at(*POINTS, target=MIXED)
def focal_on_logits(x, z):
    y = torch.where(z == 1, -x, x)
    return (torch.sigmoid(y) ** 2 * F.softplus(y)).mean()


@at(3.0, -2.0, 1.0, target=(1.0, 0.0, 0.0))
def cross_entropy(x, z):
    return -(z * F.log_softmax(x, dim=0)).sum()


@at(3.0, -2.0, 1.5, target=(1.0, 0.0, 0.5))
def mean_squared_error(x, z):
    return F.mse_loss(x, z)


@at(3.0, -2.0, 0.4, target=(1.0, 0.0, 0.1))
def huber(x, z):
    return F.huber_loss(x, z)


@at(3.0, -2.0, 0.4, target=(1.0, 0.0, 0.1))
def smooth_l1(x, z):
    return F.smooth_l1_loss(x, z, beta=0.5)


@at(3.0, -2.0, 0.5, target=(1.0, -1.0, -1.0))
def hinge(x, z):
    return F.relu(1 - z * x).mean()


@at(3.0, 2.0, 2.9)
def logsumexp(x, z):
    return torch.logsumexp(x, dim=0)


@at(2.5, 1.0, -3.0, target=(1.0, 2.0, 0.0))
def poisson(x, z):
    return F.poisson_nll_loss(x, z)


@at(-20.0, 0.25, 30.0, target=(1.0, -1.0, 1.0))
def soft_margin(x, z):
    return F.soft_margin_loss(x, z)


@at(2.0, 3.0, 0.5, target=(1.0, 1.0, 2.0))
def log_cosh(x, z):
    d = x - z
    return (d.abs() + F.softplus(-2 * d.abs()) - 0.6931471805599453).mean()


@at(0.5, 0.25, 2.0)
def elu(x, z):
    return F.elu(x).sum()


@at(1.0, 2.0, 4.0, target=(0.0, 1.0, 1.0))
def detached_weight(x, z):
    weight = torch.sigmoid(x).detach()
    return (weight * F.softplus(-x)).mean()
