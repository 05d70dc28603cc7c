"""Losses with one planted fault each, on the line marked PLANT. The rule of blame was made with these in sight."""

import torch
import torch.nn.functional as F  # noqa: N812

from tracing_losses import collector

at, EXAMPLES = collector()


@at(20.0, target=0.0)
def naive_bce(x, z):
    p = torch.sigmoid(x)
    q = 1 - p  # PLANT
    return -(z * torch.log(p) + (1 - z) * torch.log(q)).mean()


@at(-105.0, target=1.0)
def log_of_sigmoid(x, z):
    p = torch.sigmoid(x)
    positive = torch.log(p)  # PLANT
    return -(z * positive).sum()


@at(90.0, target=0.0)
def exp_overflows(x, z):
    e = torch.exp(x)  # PLANT
    one = 1 + e
    return (torch.log(one) - z * x).mean()


@at(-20.0, target=0.0)
def log_of_one_plus(x, z):
    e = torch.exp(x)
    one = 1 + e
    return (torch.log(one) - z * x).mean()  # PLANT


@at(-15.0, target=0.0)
def softplus_cancels(x, z):
    s = F.softplus(-x)
    loss = x + s  # PLANT
    return ((1 - z) * loss).mean()


@at(-15.0, target=0.0)
def x_minus_logsigmoid(x, z):
    s = F.logsigmoid(x)
    return ((1 - z) * (x - s)).mean()  # PLANT


@at(18.0, target=1.0)
def focal_complement(x, z):
    p = torch.sigmoid(x)
    weight = (1 - p) ** 2  # PLANT
    return (weight * F.softplus(-x)).mean()


@at(18.0, target=1.0, fails="grad")
def focal_root(x, z):
    p = torch.sigmoid(x)
    rest = 1 - p  # PLANT
    return (rest**0.5 * F.softplus(-x)).mean()


@at(12.0, target=0.0, dtype="bfloat16")
def guard_in_bfloat16(x, z):
    p = torch.sigmoid(x)
    p = torch.clamp(p, 1e-4, 1 - 1e-4)  # PLANT
    return -torch.log(1 - p).mean()


@at(-1.0, fails="grad")
def masked_root(x, z):
    root = torch.sqrt(x)  # PLANT
    return torch.where(x > 0, root, torch.zeros_like(x)).sum()


@at(0.0, fails="grad")
def norm_at_zero(x, z):
    size = torch.sqrt(x * x)  # PLANT
    return torch.where(x == 0, torch.zeros_like(x), size).sum()


@at(200.0, -300.0, target=(0.0, 1.0))
def logsumexp_by_hand(x, z):
    total = torch.exp(x).sum()  # PLANT
    return torch.log(total) - (z * x).sum()


@at(-200.0, -190.0, target=(0.0, 1.0))
def logsumexp_underflows(x, z):
    total = torch.exp(x).sum()  # PLANT
    return torch.log(total) - (z * x).sum()


@at(300.0, 1.0, target=(0.0, 1.0))
def log_of_softmax(x, z):
    p = F.softmax(x, dim=0)
    return -(z * torch.log(p)).sum()  # PLANT


@at(17.0, target=0.0)
def sigmoid_by_hand(x, z):
    p = 1 / (1 + torch.exp(-x))
    rest = 1 - p  # PLANT
    return -torch.log(rest).mean()


@at(20.0, target=0.0, fails="grad")
def gradient_of_bceloss(x, z):
    p = torch.sigmoid(x)
    return F.binary_cross_entropy(p, z)  # PLANT


@at(-15.0, target=0.0)
def fused_cancels(x, z):
    return F.binary_cross_entropy_with_logits(x, z)  # PLANT


@at(10.0, target=1.0)
def atanh_of_tanh(x, z):
    t = torch.tanh(x)
    return torch.atanh(t).mean()  # PLANT


@at(10.0, target=1.0)
def one_minus_tanh(x, z):
    t = torch.tanh(x)
    return (1 - t).mean()  # PLANT


@at(10.0, target=1.0)
def one_minus_tanh_squared(x, z):
    t = torch.tanh(x)
    rest = 1 - t * t  # PLANT
    return rest.log().mean().neg()


@at(1e-4, target=1.0)
def expm1_missing(x, z):
    e = torch.exp(x)
    return (e - 1).sum()  # PLANT


@at(1e-4, target=1.0)
def log1p_missing(x, z):
    one = 1 + x
    return torch.log(one).sum()  # PLANT


@at(2e-4, target=1.0)
def one_minus_cos(x, z):
    c = torch.cos(x)
    return (1 - c).sum()  # PLANT


@at(90.0, target=0.0)
def cosh_overflows(x, z):
    c = torch.cosh(x)  # PLANT
    return torch.log(c).mean()


@at(30000.0, 30001.0, 30002.0)
def variance_by_squares(x, z):
    mean_of_squares = (x * x).mean()
    square_of_mean = x.mean() ** 2
    return mean_of_squares - square_of_mean  # PLANT


@at(300.0, target=1.0, dtype="float16")
def square_overflows(x, z):
    squares = x * x  # PLANT
    return torch.sqrt(squares).sum()


@at(*[100.0] * 8, dtype="float16")
def half_sum_overflows(x, z):
    parts = x * 100
    total = parts.sum()  # PLANT
    return total / 100


@at(-60.0, target=1.0)
def product_underflows(x, z):
    p = torch.sigmoid(x)
    both = p * p  # PLANT
    return -torch.log(both).sum()


@at(30.0, target=1.0)
def centernet_positive(x, z):
    p = torch.sigmoid(x)
    a = torch.log(p)  # PLANT
    return -a.sum()


@at(-0.5, target=0.0, fails="grad")
def masked_log(x, z):
    a = torch.pow(x, 0.5)  # PLANT
    return torch.where(x > 0, a, torch.zeros_like(x)).sum()


@at(89.0, target=1.0)
def ratio_of_exponentials(x, z):
    e = torch.exp(x)  # PLANT
    p = e / (1 + e)
    return (p * p).sum()


@at(100.0, target=0.0)
def zero_times_infinity(x, z):
    p = torch.sigmoid(x)
    rest = 1 - p  # PLANT
    return (torch.log(rest) * z).sum()
