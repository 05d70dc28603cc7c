"""CenterNet's loss behind the usual guard, with the constants it is usually written with."""

import torch


def heatmap_loss(logits, targets):
    pred = torch.clamp(torch.sigmoid(logits), min=1e-4, max=1 - 1e-4)
    positive = torch.log(pred) * (1 - pred) ** 2 * targets.eq(1)
    negative = torch.log(1 - pred) * pred**2 * (1 - targets) ** 4 * targets.lt(1)
    return -(positive + negative)
