"""Positive and negative terms under a where: the other branch is not used."""

import torch


def bce(logits, targets):
    p = torch.sigmoid(logits)
    return torch.where(targets == 1, -torch.log(p), -torch.log(1 - p))
