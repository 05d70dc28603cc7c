"""Binary cross entropy as it is often written: a sigmoid, two logarithms, and an eps against log(0)."""

import torch


def bce(logits, targets, eps=1e-8):
    p = torch.sigmoid(logits)
    return -(targets * torch.log(p + eps) + (1 - targets) * torch.log(1 - p + eps))
