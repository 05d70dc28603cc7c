"""log(1 + e^x) - x z: the algebra is right."""

import torch


def bce(logits, targets):
    return torch.log(1 + torch.exp(logits)) - logits * targets
