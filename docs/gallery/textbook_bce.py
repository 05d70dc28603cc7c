"""Binary cross entropy as the textbook has it, on logits."""

import torch


def bce(logits, targets):
    p = torch.sigmoid(logits)
    return -(targets * torch.log(p) + (1 - targets) * torch.log(1 - p))
