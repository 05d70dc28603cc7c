"""Is a worker what this process is? Results of other versions, and of other vector instructions, cannot stand in one report."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version

from losscheck.core.version import __version__
from losscheck.inventory.instructions import environment_class

__all__ = ["differences", "surroundings"]

_ALWAYS = ("numpy", "ml_dtypes", "mpmath", "python-flint", "numba")
_OF_BACKEND = {"torch": ("torch",), "tensorflow": ("tensorflow", "tensorflow-cpu"), "jax": ("jax", "jaxlib", "optax")}


def surroundings(runs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """What decides the figures of some (backend, device) pairs: versions, and the kind of processor or device."""
    pairs = sorted(set(runs))
    packages = [*_ALWAYS, *(package for backend in dict(pairs) for package in _OF_BACKEND.get(backend, ()))]
    return {
        "losscheck": __version__,
        "Python": platform.python_version(),
        **{package: _version(package) for package in packages},
        **{f"kernels of {backend} on {device.partition(':')[0]}": _kernels(backend, device) for backend, device in pairs},
    }


def differences(there: Mapping[str, str], here: Mapping[str, str]) -> list[str]:
    """In words, what differs between two surroundings."""
    return [f"{name} {here.get(name, 'none')} and not {wanted}" for name, wanted in there.items() if here.get(name, "none") != wanted]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def _kernels(backend: str, device: str) -> str:
    try:
        return environment_class(backend, device)
    except Exception:  # no such framework, no such device: the rows say so
        return "none"
