"""Callables of TensorFlow as people write them: what test_own_frameworks.py names by --impl."""

import tensorflow as tf


def bce(logits, targets):
    return tf.nn.sigmoid_cross_entropy_with_logits(labels=targets, logits=logits)


def mean(logits, targets):
    return tf.reduce_mean(bce(logits, targets))


def branching(logits, targets):
    """AutoGraph turns the branch into one of the graph."""
    if tf.reduce_sum(targets) > 0:
        return bce(logits, targets) + 0
    return bce(logits, targets)


def on_probabilities(p, targets):
    return -targets * tf.math.log(p + 1e-7) - (1 - targets) * tf.math.log(1 - p + 1e-7)


class Module(tf.Module):
    def __init__(self, scale=1.0):
        super().__init__()
        self.scale = scale

    def __call__(self, logits, targets):
        return self.scale * bce(logits, targets)


graph = tf.function(bce)
