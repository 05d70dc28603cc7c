"""Focal loss with a focusing exponent below 1."""

import torch
import torch.nn.functional as F


def focal(logits, targets, alpha=0.25, gamma=0.5):
    bce = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    pt = torch.exp(-bce)
    at = alpha * targets + (1 - alpha) * (1 - targets)
    return at * (1 - pt) ** gamma * bce
