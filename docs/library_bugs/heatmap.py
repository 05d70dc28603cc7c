"""Heatmap losses that were published with a fault, written anew so that they behave as they did: what each is about is in bugs.yaml."""

import torch


def penalty_reduced(p, heatmap):
    """The loss of CornerNet of probabilities, over the number of centres."""
    centres = (heatmap == 1).to(p.dtype)
    positive = (torch.log(p) * (1 - p) ** 2 * centres).sum()
    negative = (torch.log(1 - p) * p**2 * (1 - heatmap) ** 4 * (1 - centres)).sum()
    return -(positive + negative) / centres.sum().clamp(min=1)


def bare_logarithms(logits, heatmap):
    """No clamp: the logarithm of a sigmoid that became 0 or 1."""
    return penalty_reduced(torch.sigmoid(logits), heatmap)


def clamped_sigmoid(logits, heatmap):
    """A sigmoid held in [1e-4, 1 - 1e-4]: no gradient beyond."""
    return penalty_reduced(torch.sigmoid(logits).clamp(1e-4, 1 - 1e-4), heatmap)


def clipped_elementwise(prediction_tensor, target_tensor, alpha=2.0, beta=4.0, clip=1e-4):
    """The same clip in an elementwise loss, whose users raised and lowered it."""
    p = torch.sigmoid(prediction_tensor).clamp(clip, 1 - clip)
    positive = -((1 - p) ** alpha) * torch.log(p)
    negative = -((1 - target_tensor) ** beta) * p**alpha * torch.log(1 - p)
    return torch.where(target_tensor == 1, positive, negative)
