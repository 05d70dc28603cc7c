"""Focal losses that were published with a fault, written anew so that they behave as they did: what each is about is in bugs.yaml."""

import torch
import torch.nn.functional as F  # noqa: N812


def power_without_eps(logits, targets, alpha=0.25, gamma=0.5, eps=1e-8):
    """The logarithms have an eps, the powers none: the slope of a root at 0 is infinite."""
    p = torch.sigmoid(logits)
    positive = -alpha * (1 - p) ** gamma * targets * torch.log(p + eps)
    return positive - (1 - alpha) * p**gamma * (1 - targets) * torch.log(1 - p + eps)


def both_logarithms(logits, targets, alpha=0.25, gamma=2.0):
    """0 times the logarithm of 0, for the class that is not asked."""
    p, q = torch.sigmoid(logits), torch.sigmoid(-logits)
    return -alpha * q**gamma * targets * torch.log(p) - (1 - alpha) * p**gamma * (1 - targets) * torch.log(q)


def power_of_zero(logits, labels, alpha=None, gamma=0.0):
    """JAX differentiates (1 - p_t)^0.0 at p_t = 1 to 0 * inf."""
    import jax.numpy as jnp
    from jax import nn

    p = nn.sigmoid(logits)
    cross_entropy = -labels * nn.log_sigmoid(logits) - (1 - labels) * nn.log_sigmoid(-logits)
    p_t = p * labels + (1 - p) * (1 - labels)
    loss = cross_entropy * (1 - p_t) ** jnp.asarray(gamma, logits.dtype)
    return loss if alpha is None else (alpha * labels + (1 - alpha) * (1 - labels)) * loss


def power_of_zero_in_tensorflow(y_true, logits, gamma=0.0):
    """The same in TensorFlow, whose slope of a power is gamma * x^(gamma - 1)."""
    import tensorflow as tf

    p = tf.sigmoid(logits)
    p_t = y_true * p + (1 - y_true) * (1 - p)
    return tf.pow(1 - p_t, tf.constant(gamma, p_t.dtype)) * tf.nn.sigmoid_cross_entropy_with_logits(labels=y_true, logits=logits)


class PowerOfGammaMinusOne(torch.autograd.Function):
    """A backward pass by hand: (1 - p_t)^(gamma - 1) comes first, what would cancel it later."""

    @staticmethod
    def forward(ctx, logits, targets, gamma):
        ctx.save_for_backward(logits, targets)
        ctx.gamma = gamma
        p = torch.sigmoid(logits)
        p_t = p * targets + (1 - p) * (1 - targets)
        return (1 - p_t) ** gamma * F.binary_cross_entropy_with_logits(logits, targets, reduction="none")

    @staticmethod
    def backward(ctx, grad):
        logits, targets = ctx.saved_tensors
        p = torch.sigmoid(logits)
        p_t = p * targets + (1 - p) * (1 - targets)
        loss = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        power = (1 - p_t) ** (ctx.gamma - 1)
        slope = -ctx.gamma * power * loss * p * (1 - p) * (2 * targets - 1)
        return grad * (slope + power * (1 - p_t) * (p - targets)), None, None


def hand_made_backward(logits, targets, gamma=0.0):
    """With gamma 0 it should be cross entropy."""
    return PowerOfGammaMinusOne.apply(logits, targets, gamma)


class SmallestFloat(torch.autograd.Function):
    """The floor is the smallest float32 (1.18e-38), cast to the dtype of the logits: 0 in float16."""

    @staticmethod
    def forward(ctx, logits, targets, alpha, gamma):
        ctx.save_for_backward(logits, targets)
        ctx.constants = alpha, gamma
        p = 1 / (1 + torch.exp(-logits.float()).to(logits.dtype))
        tiny = torch.tensor(torch.finfo(torch.float32).tiny).to(logits.dtype)
        positive = (1 - p) ** gamma * torch.log(torch.maximum(p, tiny))
        negative = p**gamma * torch.log(torch.maximum(1 - p, tiny))
        return -targets * alpha * positive - (1 - targets) * (1 - alpha) * negative

    @staticmethod
    def backward(ctx, grad):
        logits, targets = ctx.saved_tensors
        alpha, gamma = ctx.constants
        p = 1 / (1 + torch.exp(-logits.float()).to(logits.dtype))
        tiny = torch.tensor(torch.finfo(torch.float32).tiny).to(logits.dtype)
        positive = (1 - p) ** gamma * (1 - p - gamma * p * torch.log(torch.maximum(p, tiny)))
        negative = p**gamma * (gamma * (1 - p) * torch.log(torch.maximum(1 - p, tiny)) - p)
        return grad * (-targets * alpha * positive - (1 - targets) * (1 - alpha) * negative), None, None, None


def smallest_float32_in_half(logits, targets, alpha=0.25, gamma=2.0):
    """A kernel of its own, forward and backward."""
    return SmallestFloat.apply(logits, targets, alpha, gamma)


def root_of_one_minus_p(scores, classes, gamma=0.5):
    """Two logits and a class number; the slope of the root of 1 - exp(-CE) at 0 is infinite."""
    loss = F.cross_entropy(scores, classes, reduction="none")
    return ((1 - torch.exp(-loss)) ** gamma * loss).mean()


def eps_below_half(logits, targets, alpha=0.25, gamma=2.0, eps=1e-8):
    """1e-8 is 0 in float16."""
    p = torch.sigmoid(logits)
    positive = alpha * (1 - p) ** gamma * -torch.log(p + eps)
    negative = (1 - alpha) * p**gamma * -torch.log(1 - p + eps)
    return targets * positive + (1 - targets) * negative


def asymmetric(logits, targets, eps, gamma=2.0):
    """The asymmetric loss with one gamma for both classes and no shift: the focal loss without alpha."""
    p = torch.sigmoid(logits)
    loss = targets * torch.log(p.clamp(min=eps)) + (1 - targets) * torch.log((1 - p).clamp(min=eps))
    p_t = p * targets + (1 - p) * (1 - targets)
    return -loss * (1 - p_t) ** gamma


def asymmetric_without_eps(logits, targets):
    """log(0) times 0."""
    return asymmetric(logits, targets, eps=0.0)


def asymmetric_in_half(logits, targets):
    """Its eps of 1e-8 is 0 in float16."""
    return asymmetric(logits, targets, eps=1e-8)


def times_gamma(logits, labels, alpha=0.75, gamma=2.0):
    """(1 - p) * gamma where (1 - p) ** gamma is due, for the positives."""
    p = torch.sigmoid(logits)
    return -labels * (1 - alpha) * (1 - p) * gamma * torch.log(p) - (1 - labels) * alpha * p**gamma * torch.log(1 - p)


def focused_on_the_easy(logits, targets, alpha=0.25, gamma=2.0):
    """The negatives are weighed by (1 - p)^gamma: the right ones are heard, the wrong ones are not."""
    p = torch.sigmoid(logits)
    return -targets * alpha * (1 - p) ** gamma * torch.log(p) - (1 - targets) * (1 - alpha) * (1 - p) ** gamma * torch.log(1 - p)


def by_position(gt, pr, gamma=2.0, alpha=0.25, eps=1e-7):
    """The focal loss that the next function calls with its two constants in the other order."""
    p = pr.clamp(eps, 1 - eps)
    return -gt * alpha * (1 - p) ** gamma * torch.log(p) - (1 - gt) * (1 - alpha) * p**gamma * torch.log(1 - p)


def arguments_in_the_other_order(y_true, logits, alpha=0.25, gamma=2.0):
    """alpha is taken for gamma and gamma for alpha."""
    return by_position(y_true, torch.sigmoid(logits), alpha, gamma)


def smoothed_before_alpha(y_true, logits, alpha=0.25, gamma=2.0, label_smoothing=0.1):
    """Smoothed labels are never 1, so that every class gets the weight of the negatives."""
    labels = y_true * (1 - label_smoothing) + 0.5 * label_smoothing
    p = torch.sigmoid(logits)
    weight = torch.where(labels == 1, alpha, 1 - alpha)
    p_t = labels * p + (1 - labels) * (1 - p)
    return weight * (1 - p_t) ** gamma * F.binary_cross_entropy_with_logits(logits, labels, reduction="none")


def clipped_probabilities(y_true, logits, alpha=0.25, gamma=2.0, eps=1e-7):
    """The cross entropy of clipped probabilities: its gradient stops at the clip."""
    p = torch.sigmoid(logits)
    clipped = p.clamp(eps, 1 - eps)
    cross_entropy = -(y_true * torch.log(clipped) + (1 - y_true) * torch.log(1 - clipped))
    p_t = y_true * p + (1 - y_true) * (1 - p)
    return (y_true * alpha + (1 - y_true) * (1 - alpha)) * (1 - p_t) ** gamma * cross_entropy


def logarithm_of_zero(y_true, logits, alpha=0.25, gamma=2.0):
    """Summed, with a bare logarithm for each class."""
    p = torch.sigmoid(logits)
    p_1 = torch.where(y_true == 1, p, torch.ones_like(p))
    p_0 = torch.where(y_true == 0, p, torch.zeros_like(p))
    positive = (alpha * (1 - p_1) ** gamma * torch.log(p_1)).sum()
    return -positive - ((1 - alpha) * p_0**gamma * torch.log(1 - p_0)).sum()


def clamped_retinanet(logits, targets, alpha=0.25, gamma=2.0):
    """Clamped to [1e-4, 1 - 1e-4], as many RetinaNets and EfficientDets are."""
    p = torch.sigmoid(logits).clamp(1e-4, 1 - 1e-4)
    weight = torch.where(targets == 1, alpha, 1 - alpha)
    focus = torch.where(targets == 1, 1 - p, p)
    return weight * focus**gamma * -(targets * torch.log(p) + (1 - targets) * torch.log(1 - p))


def unclamped_retinanet(logits, targets, alpha=0.25, gamma=2.0):
    """The same without the clamp: 0 times the logarithm of 0."""
    p = torch.sigmoid(logits)
    weight = torch.where(targets == 1, alpha, 1 - alpha)
    focus = torch.where(targets == 1, 1 - p, p)
    return weight * focus**gamma * -(targets * torch.log(p) + (1 - targets) * torch.log(1 - p))
