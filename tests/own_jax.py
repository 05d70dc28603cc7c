"""Callables of JAX as people write them: what test_own_frameworks.py names by --impl."""

import functools

import jax
import jax.numpy as jnp


def bce(logits, targets):
    return jnp.maximum(logits, 0) - logits * targets + jnp.log1p(jnp.exp(-jnp.abs(logits)))


def focal(logits, targets, alpha=0.25, gamma=2.0):
    p_t = jax.nn.sigmoid(jnp.where(targets == 1, logits, -logits))
    return jnp.where(targets == 1, alpha, 1 - alpha) * (1 - p_t) ** gamma * -jnp.log(p_t)


def mean(logits, targets):
    return bce(logits, targets).mean()


def detached(logits, targets):
    return bce(jax.lax.stop_gradient(logits), targets)


def raises(logits, targets):
    if not isinstance(logits, jax.core.Tracer) and (logits > 10).any():
        raise ValueError("too large")
    return bce(logits, targets)


jitted = jax.jit(bce)
part = functools.partial(focal, gamma=1.5)


def shaped(pred, anchors, gt, stride):
    """What stands between its arguments is known to nobody."""
    assert anchors.shape == pred.shape
    return bce(pred, gt) * anchors / stride


def parts(p, z):
    """Probabilities in, and the loss in a dict."""
    assert isinstance(p, jax.core.Tracer) or float(p.min()) >= 0
    return {"n": 3, "cls": -z * jnp.log(p) - (1 - z) * jnp.log(1 - p)}


def signed(scores, y):
    return jax.nn.softplus(-y * scores)
