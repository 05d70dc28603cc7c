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


def shaped(pred, anchors, gt, stride):
    """What stands between its arguments is known to nobody."""
    assert anchors.shape == pred.shape
    return tf.nn.sigmoid_cross_entropy_with_logits(labels=gt, logits=pred) * anchors / stride


def parts(p, z):
    """Probabilities in, and the loss in a dict."""
    tf.debugging.assert_greater_equal(p, tf.zeros_like(p))
    return {"n": 3, "cls": -z * tf.math.log(p) - (1 - z) * tf.math.log(1 - p)}


def signed(scores, y):
    tf.debugging.assert_equal(tf.abs(y), tf.ones_like(y))
    return tf.math.softplus(-y * scores)
