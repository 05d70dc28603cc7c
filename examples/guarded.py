"""Binary cross entropy with its log(0) cut out by `where`: the loss is finite, its gradient is not."""

import torch


def log_or_floor(p):
    return torch.where(p > 0, torch.log(p), torch.full_like(p, -100.0))


def bce(logits, targets):
    p = torch.sigmoid(logits)
    return -(targets * log_or_floor(p) + (1 - targets) * log_or_floor(1 - p))
