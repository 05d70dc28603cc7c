"""CenterNet's heatmap loss behind its clamp, as it runs under autocast: the head's logits are then float16 or bfloat16."""

import torch


def heatmap_loss(logits, heatmap):
    p = torch.clamp(torch.sigmoid(logits), min=1e-4, max=1 - 1e-4)
    positive = heatmap.eq(1)
    cells = torch.where(
        positive,
        torch.log(p) * (1 - p) ** 2,
        torch.log(1 - p) * p**2 * (1 - heatmap) ** 4,
    )
    return -cells.sum() / positive.sum().clamp(min=1)
