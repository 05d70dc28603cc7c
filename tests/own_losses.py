"""Callables as people write them, and as they should not: what test_callables.py and test_conventions.py name by --impl."""

import dataclasses
import sys
from collections import namedtuple

import numpy as np
import torch
import torch.nn.functional as F

Pair = namedtuple("Pair", "loss aux")


def good(logits, targets):
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none")


def focal(logits, targets, alpha=0.25, gamma=2.0):
    """Right in every convention; its 1 - pt cancels."""
    bce = good(logits, targets)
    weight = torch.where(targets == 1, torch.full_like(bce, alpha), torch.full_like(bce, 1 - alpha))
    return weight * (1 - torch.exp(-bce)) ** gamma * bce


def heatmap(logits, targets, alpha=2.0, beta=4.0):
    p = torch.sigmoid(logits)
    negative = (1 - targets) ** beta * p**alpha * F.softplus(logits)
    return torch.where(targets == 1, (1 - p) ** alpha * F.softplus(-logits), negative)


def on_probabilities(p, targets):
    return F.binary_cross_entropy(p, targets, reduction="none")


def by_hand(p, targets):
    """On probabilities, and it does not mind what is none."""
    return -(targets * torch.log(p) + (1 - targets) * torch.log(1 - p))


def neg_loss(pred, gt):
    """CenterNet's, whose masks promote 16-bit probabilities to float32; without its sums."""
    positive, negative = gt.eq(1).float(), gt.lt(1).float()
    pos = torch.log(pred) * torch.pow(1 - pred, 2) * positive
    return -(pos + torch.log(1 - pred) * torch.pow(pred, 2) * torch.pow(1 - gt, 4) * negative)


def in_numpy(logits, targets):
    return np.logaddexp(logits.dtype.type(0), logits) - logits * targets


# Shapes and results ----------------------------------------------------------------------------------------------------


def mean(logits, targets):
    return good(logits, targets).mean()


def total(logits, targets):
    return good(logits, targets).sum()


def per_positive(logits, targets):
    return good(logits, targets).sum() / max(int((targets == 1).sum()), 1)


def branching(logits, targets):
    """Reduces, and looks at a value on the way, which vmap cannot."""
    return good(logits, targets).sum() if targets.sum() > 0 else good(logits, targets).mean()


def averaged(logits, targets):
    return good(logits, targets) / len(logits)


def coupled(logits, targets):
    return good(logits, targets) + 0.001 * (logits - logits.mean())


def images(logits, targets):
    """[B, C, H, W] or nothing."""
    _, c, h, w = logits.shape
    return good(logits, targets).sum(dim=(1, 2, 3)) / (c * h * w)


def squares(logits, targets):
    """Reduces; a batch of them has the bits of each alone."""
    return ((logits - targets) ** 2).mean()


def tables(logits, targets):
    """[N, N] for flat logits and for those of one column."""
    return torch.zeros(len(logits), len(logits)) + good(logits, targets).sum()


def as_dict(logits, targets):
    return {"loss": good(logits, targets), "aux": 1.0}


def as_tuple(logits, targets):
    return 1.0, Pair(good(logits, targets), 2.0)


@dataclasses.dataclass
class Losses:
    cls: torch.Tensor


def as_object(logits, targets):
    return {"all": Losses(good(logits, targets))}


def turned_round(targets, *, input, scale=1.0, sizes=None):  # noqa: A002  the name is the point
    assert sizes is None or sizes == [1, [2, "a"]]
    return scale * good(input, targets)


class Module(torch.nn.Module):
    """Has a buffer, which has to follow the dtype of the logits."""

    def __init__(self, scale=1.0):
        super().__init__()
        self.register_buffer("scale", torch.tensor([scale]))

    def forward(self, logits, targets):
        return self.scale * good(logits, targets)


class Plain:
    def __init__(self, scale):
        self.scale = scale

    def __call__(self, logits, targets):
        return self.scale * good(logits, targets)


class Unbuildable:
    def __init__(self):
        raise OSError("no weights here")


class Uncallable:
    pass


INSTANCE = Module()


# Faults ----------------------------------------------------------------------------------------------------------------


class Odd(Exception):
    """An exception that no framework raises."""


def raises(logits, targets):
    raise Odd("first line\nsecond line")


class _Speechless(Exception):
    def __str__(self):
        raise ValueError("not even a text")


def speechless(logits, targets):
    raise _Speechless


def recurses(logits, targets):
    return recurses(logits, targets)


def as_list(logits, targets):
    return list(good(logits, targets))


def booleans(logits, targets):
    return good(logits, targets) > 0


def raises_above_ten(logits, targets):
    if (logits > 10).any():
        raise KeyError("too large")
    return good(logits, targets)


def leaves(logits, targets):
    sys.exit(0)


class _Backward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, g):
        print("from the backward pass")
        raise Odd("no way back")


def raises_backward(logits, targets):
    return _Backward.apply(good(logits, targets))


def prints(logits, targets):
    print("a word from the loss")
    return good(logits, targets)


def noisy(logits, targets):
    return good(logits, targets) + 1e-3 * torch.rand_like(logits)


def writes_logits(logits, targets):
    return good(logits.clamp_(-50, 2), targets)


def writes_targets(logits, targets):
    targets.mul_(0.9).add_(0.05)
    return good(logits, targets)


def detaches(logits, targets):
    return good(logits.detach(), targets)


def detaches_but_learns(logits, targets, weight=torch.nn.Parameter(torch.ones(()))):  # noqa: B008
    return weight * good(logits.detach(), targets)


def widens(logits, targets):
    return good(logits.double(), targets.double())


def narrows(logits, targets):
    return good(logits, targets).half()


def item(logits, targets):
    return good(logits, targets).mean().item()


# Formulas --------------------------------------------------------------------------------------------------------------


def exact_eps(m, logit, target, *, eps=1e-8):
    p, q = m.sigmoid(logit), m.sigmoid(-logit)
    return -target * m.log(p + eps) - (1 - target) * m.log(q + eps)


def exact_unweighted(m, logit, target, *, gamma):
    """z=1: s(-x)^g softplus(-x); z=0: s(x)^g softplus(x)"""
    wrong = -logit if target == 1 else logit
    return m.power(m.sigmoid(wrong), gamma) * m.softplus(wrong)


def exact_scaled(m, logit, target, *, alpha, gamma):
    """The focal loss as `focal` here has it."""
    weight = alpha if target == 1 else 1 - alpha
    return weight * exact_unweighted(m, logit, target, gamma=gamma)


def exact_and_broken(m, logit, target):
    return m.relu(logit)


def no_formula(logit):
    return logit


def unweighted(logits, targets, gamma=2.0):
    bce = good(logits, targets)
    return (1 - torch.exp(-bce)) ** gamma * bce


def eps_in_logs(logits, targets, eps=1e-8):
    p = torch.sigmoid(logits)
    return -(targets * torch.log(p + eps) + (1 - targets) * torch.log(1 - p + eps))
