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
