"""The textbook with a small number in the logarithms, so that they "cannot" become infinite."""

import torch


def bce(logits, targets):
    p = torch.sigmoid(logits)
    return -(targets * torch.log(p + 1e-7) + (1 - targets) * torch.log(1 - p + 1e-7))
