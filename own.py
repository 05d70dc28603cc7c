import torch.nn.functional as F


def own(x, z):
    return F.binary_cross_entropy_with_logits(x, z) * 3
