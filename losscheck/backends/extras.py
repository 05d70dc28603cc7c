"""Frameworks that come as extras of the same name: what is installed, asked without importing it."""

from __future__ import annotations

import importlib.util

from losscheck.core.loss import Implementation

__all__ = ["EXTRAS", "how_to_get", "installed", "missing", "why_missing"]

# Extra and backend -> what people call it. Importing one of them takes seconds: nobody waits who has not asked.
EXTRAS = {"tensorflow": "TensorFlow", "jax": "JAX", "paddle": "PaddlePaddle"}
# What pip is asked for: an extra of ours could not be found on a package index.
_PACKAGES = {"jax": "jax optax", "optax": "jax optax", "paddle": "paddlepaddle"}


def installed(module: str) -> bool:
    """Could the module be imported?"""
    try:
        return importlib.util.find_spec(module) is not None
    except ValueError:  # something stands in its place that was never imported
        return False


def why_missing(module: str) -> str:
    """That it is not installed, with the cure; empty when it is."""
    if installed(module):
        return ""
    return f"{EXTRAS.get(module, module)} is not installed; {how_to_get(module)}"


def how_to_get(module: str) -> str:
    """The command that installs it."""
    return f"pip install {_PACKAGES.get(module, module)}"


def missing(implementation: Implementation, backend: str) -> str:
    """Why an implementation cannot run on a backend for want of a package; empty when nothing is missing."""
    needed = [name for name in (backend if backend in EXTRAS else "", implementation.library) if name]
    return next((reason for reason in map(why_missing, needed) if reason), "")
