"""A second set of planted faults, written after the rule of blame last changed for rounding: they may not change it.

The rule for masked gradients changed once more, after ``masked_logarithm_of_ratio``; those at the end came after that.
"""

import torch
import torch.nn.functional as F  # noqa: N812

from tracing_losses import collector

at, EXAMPLES = collector()


@at(22.0, target=0.0)
def rsub_method(x, z):
    p = x.sigmoid()
    q = torch.rsub(p, 1.0)  # PLANT
    return q.log().neg().mean()


@at(-22.0, target=1.0)
def two_halves(x, z):
    p = torch.sigmoid(x)
    q = torch.sigmoid(-x)
    rest = 1 - q  # PLANT
    return -(torch.log(rest) * z).sum() + 0 * p.sum()


@at(5.0, 60.0, target=(0.0, 0.0))
def noisy_or(x, z):
    miss = 1 - torch.sigmoid(x)  # PLANT
    return -torch.log(miss).sum()


@at(12.0, -12.0, target=(1.0, 0.0), dtype="float16")
def half_logits(x, z):
    e = torch.exp(x)  # PLANT
    p = e / (e + 1)
    return ((p - z) ** 2).sum() + torch.log(e).sum()


@at(94.0, target=0.0)
def swapped_softplus(x, z):
    inner = x.exp().add(1)  # PLANT
    return inner.log().sum()


@at(-3.0, fails="grad")
def masked_logarithm_of_ratio(x, z):
    ratio = torch.log1p(x)  # PLANT
    root = torch.sqrt(ratio)
    return torch.where(x > -1, root, torch.zeros_like(root)).sum()


@at(0.0, 0.0, fails="grad")
def masked_norm(x, z):
    length = x.norm() + torch.sqrt((x * x).sum())  # PLANT
    return torch.where(length > 0, length, torch.zeros_like(length))


@at(3.0, target=1.0, dtype="bfloat16")
def score_in_bfloat16(x, z):
    t = torch.tanh(x)
    return (1 - t).sum()  # PLANT


@at(7.0, target=1.0, dtype="float16")
def complement_of_tanh(x, z):
    return torch.log(1 - torch.tanh(x)).neg().sum()  # PLANT


@at(1.0, 1.00001, target=(0.0, 0.0), fails="grad")
def spread(x, z):
    gap = x[1] - x[0]
    e = torch.exp(gap)
    return torch.log(e - 1)  # PLANT


@at(26.0, target=1.0)
def margin_ratio(x, z):
    p = torch.sigmoid(x)
    odds_against = (1 - p) / p  # PLANT
    return odds_against.sum()


@at(1e20, 1e20)
def quadratic_mean(x, z):
    energy = x.square().sum()  # PLANT
    return energy.sqrt() / 2


@at(60.0, 50.0)
def gaussian_product(x, z):
    density = torch.exp(-(x**2) / 2).prod()  # PLANT
    return -torch.log(density)


@at(400.0, target=0.0, dtype="float16")
def cubed_in_half(x, z):
    cube = x**3  # PLANT
    return (cube / x / x).sum()


@at(15.0, target=1.0)
def one_minus_dice(x, z):
    p = torch.sigmoid(x)
    dice = 2 * (p * z).sum() / (p.sum() + z.sum())
    return 1 - dice  # PLANT


@at(20.0, target=1.0)
def confidence_penalty(x, z):
    p = torch.sigmoid(x)
    h = torch.special.entr(1 - p)  # PLANT
    return h.sum()


@at(30.0, target=0.0, fails="grad")
def own_sigmoid_slope(x, z):
    p = 1 / (1 + torch.exp(-x))
    rest = (1 - p).clamp(min=1e-30)  # PLANT
    return -torch.log(rest).sum()


@at(1e-4, 2e-4, target=0.0)
def relative_change(x, z):
    ratio = torch.exp(x[1]) / torch.exp(x[0])
    return ratio - 1  # PLANT


@at(2.0**-70, target=0.0)
def fourth_power(x, z):
    power = x**4  # PLANT
    return power.pow(0.25).sum()


@at(-104.0, target=1.0)
def softmin_weight(x, z):
    w = torch.exp(x)  # PLANT
    return (w * torch.exp(-x)).sum()


@at(9.0, target=1.0, dtype="bfloat16")
def guard_at_one(x, z):
    p = torch.sigmoid(x).clamp(max=0.9995)  # PLANT
    return torch.log(1 - p).sum()


class Smooth(torch.nn.Module):
    """A module with a constant of its own."""

    def __init__(self):
        super().__init__()
        self.temperature = torch.nn.Parameter(torch.tensor(0.25))

    def forward(self, x, z):
        p = F.softmax(torch.stack([x, -x]) / self.temperature, dim=0)
        return F.nll_loss(torch.log(p).t(), z.long())  # PLANT


@at(-15.0, target=0.0)
def smooth_module(x, z):
    return Smooth()(x, z)


smooth_module.__wrapped__ = Smooth.forward


# Masked gradients, after the rule for them last changed.


@at(0.0, 0.0, target=(0.0, 1.0), fails="grad")
def masked_entropy(x, z):
    inner = torch.log(x)  # PLANT
    share = x * inner
    return torch.where(x > 0, share, torch.zeros_like(x)).sum()


@at(2.0, fails="grad")
def masked_angle(x, z):
    angle = torch.asin(x)  # PLANT
    scaled = angle * 2 + 1
    return torch.where(x.abs() < 1, scaled, x).sum()


@at(-4.0, 4.0, fails="grad")
def masked_power(x, z):
    raised = x**1.5  # PLANT
    small = torch.sigmoid(raised) - 1
    return torch.where(x > 0, small, torch.zeros_like(x)).sum()


@at(0.0, 1.0, fails="grad")
def masked_division(x, z):
    ratio = z / x  # PLANT
    return torch.where(x > 0, ratio, x).sum()


@at(0.0, target=1.0, fails="grad")
def masked_distance(x, z):
    d = ((x - z + 1) ** 2).sum().sqrt()  # PLANT
    return d * (d > 0)


@at(-1.0, 2.0, fails="grad")
def masked_filled(x, z):
    area = torch.acosh(x)  # PLANT
    return area.masked_fill(x < 1, 0.0).exp().sum()
