"""The focal loss of a walk-through: alpha gathered by the class, pt from the cross entropy, the mean of all."""

import torch
import torch.nn.functional as F


def focal_loss(logits, targets, alpha=0.25, gamma=2.0):
    bce = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    at = torch.tensor([alpha, 1 - alpha], dtype=logits.dtype).gather(0, targets.long().view(-1))
    pt = torch.exp(-bce)
    return (at * (1 - pt) ** gamma * bce).mean()
