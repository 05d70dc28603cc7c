"""A head that ends in a sigmoid, and BCELoss behind it."""

import torch


class HeadLoss(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.activation = torch.nn.Sigmoid()
        self.criterion = torch.nn.BCELoss(reduction="none")

    def forward(self, logits, targets):
        return self.criterion(self.activation(logits), targets)
