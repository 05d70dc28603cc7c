"""Focal loss on the probabilities of a sigmoid."""

import torch


def focal(logits, targets, alpha=0.25, gamma=2):
    p = torch.sigmoid(logits)
    positive = -alpha * (1 - p) ** gamma * targets * torch.log(p)
    negative = -(1 - alpha) * p**gamma * (1 - targets) * torch.log(1 - p)
    return positive + negative
