"""A focal loss on PyTorch's BCE with logits; alpha is looked up by the class number."""

import torch
import torch.nn.functional as F


class WeightedFocalLoss(torch.nn.Module):
    def __init__(self, alpha=0.25, gamma=2):
        super().__init__()
        self.alpha = torch.tensor([alpha, 1 - alpha])
        self.gamma = gamma

    def forward(self, inputs, targets):
        bce = F.binary_cross_entropy_with_logits(inputs, targets, reduction="none")
        at = self.alpha.gather(0, targets.type(torch.long).view(-1))
        pt = torch.exp(-bce)
        return at * (1 - pt) ** self.gamma * bce
