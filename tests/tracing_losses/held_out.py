"""Losses with one planted fault each, written after the rule of blame was frozen: they may not change it."""

import math

import torch
import torch.nn.functional as F  # noqa: N812

from tracing_losses import collector

at, EXAMPLES = collector()


def _module(cls):
    def function(x, z):
        return cls()(x, z)

    function.__wrapped__ = cls.forward
    function.__name__ = cls.__name__
    return function


class FocalModule(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.gamma = 2.0

    def forward(self, x, z):
        ce = F.softplus(x) - z * x
        pt = torch.exp(-ce)
        modulation = (1.0 - pt).pow(self.gamma)  # PLANT
        return (modulation * ce).mean()


at(-18.0, target=0.0)(_module(FocalModule))


class LogOneMinus(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        p = torch.sigmoid(x)
        ctx.save_for_backward(p)
        return torch.log(1 - p)  # PLANT

    @staticmethod
    def backward(ctx, grad):
        (p,) = ctx.saved_tensors
        return -grad * p


def custom_function(x, z):
    return -LogOneMinus.apply(x).sum()


custom_function.__wrapped__ = LogOneMinus.forward
at(25.0, target=0.0)(custom_function)


@at(25.0, target=0.0)
def in_place(x, z):
    p = torch.sigmoid(x)
    p = p.neg().add_(1)  # PLANT
    return -p.log_().sum()


@at(-0.5, 30.0, target=(1.0, 0.0))
def odds(x, z):
    p = torch.sigmoid(x)
    ratio = p / (1 - p)  # PLANT
    return torch.log(ratio).sum()


@at(120.0, target=0.0)
def squared_exponential(x, z):
    e = torch.exp(x / 2)
    square = e**2  # PLANT
    return torch.log1p(square).sum()


@at(25.0, target=1.0, dtype="float16")
def eps_in_half(x, z):
    rest = 1 - torch.sigmoid(x)
    safe = rest + 1e-8  # PLANT
    return -torch.log(safe).sum()


@at(6.0, target=1.0, dtype="bfloat16")
def margin_in_bfloat16(x, z):
    p = torch.sigmoid(x)
    rest = 1 - p  # PLANT
    return (rest * x).sum()


@at(40.0, 0.0, target=(1.0, 0.0))
def kl_by_ratio(x, z):
    q = F.softmax(x, dim=0)
    p = torch.full_like(x, 0.5)
    ratio = p / q
    return (p * torch.log(ratio)).sum() - 20 + torch.log(1 - q[0])  # PLANT


@at(1e-30, target=0.0)
def norm_underflows(x, z):
    squares = x.pow(2)  # PLANT
    return squares.sum().sqrt()


@at(1e25, target=0.0)
def norm_overflows(x, z):
    squares = x * x  # PLANT
    return squares.sum().sqrt()


@at(-2.0, target=0.0, fails="grad")
def masked_arccosine(x, z):
    angle = torch.acos(x / 2)  # PLANT
    return torch.where(z > 0, angle, x).sum()


@at(-100.0, -110.0, -120.0, target=1.0)
def likelihood_product(x, z):
    likelihood = torch.sigmoid(x).prod()  # PLANT
    return -torch.log(likelihood)


@at(*[16.0] * 4, target=1.0)
def tversky_rest(x, z):
    p = torch.sigmoid(x)
    overlap = (p * z).sum()
    score = overlap / z.sum()
    return 1 - score  # PLANT


@at(50.0, target=0.0)
def gumbel(x, z):
    inner = torch.exp(-torch.exp(-x))
    return -torch.log(1 - inner).sum()  # PLANT


@at(1e-5, target=0.0)
def sinh_by_hand(x, z):
    return ((torch.exp(x) - torch.exp(-x)) / 2).sum()  # PLANT


@at(20000.0, target=0.0)
def hypotenuse_difference(x, z):
    root = torch.sqrt(x * x + 1)
    return (root - x).sum()  # PLANT


@at(0.0, target=0.0, fails="grad")
def entropy_at_zero(x, z):
    p = x.abs()
    entropy = torch.log(p)  # PLANT
    return torch.where(p > 0, p * entropy, torch.zeros_like(p)).sum()


@at(2000.0, 2001.0, 1999.0, target=0.0, dtype="float16")
def mean_square_in_half(x, z):
    d = x - z
    return (d**2).mean().sqrt()  # PLANT


@at(8.5, target=1.0, dtype="float16")
def autocast_by_hand(x, z):
    p = x.float().sigmoid().half()
    return torch.log(1 - p).neg().sum()  # PLANT


@at(89.5, target=1.0)
def swish_exponent(x, z):
    gate = torch.exp(x)  # PLANT
    return (gate / (gate + math.e)).log().sum()


@at(-25.0, target=0.0, fails="grad")
def gradient_of_with_logits(x, z):
    p = 1 - torch.sigmoid(-x)  # PLANT
    return (p * p).sum()
