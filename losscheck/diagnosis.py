"""What works here and what does not: versions, devices, subnormals, self-checks. Data for `losscheck doctor`."""

from __future__ import annotations

import platform
from collections.abc import Callable
from importlib import metadata
from typing import Any

from losscheck import __version__
from losscheck.backends import backend_named
from losscheck.dtypes import FLOAT32, FORMATS
from losscheck.environment import processor

__all__ = ["diagnose"]

# Distribution, what it is for, and whether anything works without it.
_PACKAGES = (
    ("click", "the command line", True),
    ("rich", "tables", True),
    ("numpy", "the numpy backend", True),
    ("mpmath", "the second oracle", True),
    ("python-flint", "the oracle: proved enclosures", True),
    ("ml_dtypes", "bfloat16 in numpy", True),
    ("torch", "the torch backend, and with it every published PyTorch implementation", True),
)


def diagnose() -> dict[str, Any]:
    """Versions with the cure for what is missing, devices, the subnormal probe of each backend, and a self-check."""
    packages = [_package(*each) for each in _PACKAGES]
    checks = [_check(name, probe) for name, probe in _PROBES.items()]
    return {
        "losscheck": __version__,
        "python": platform.python_version(),
        "cpu": processor(),
        "packages": packages,
        "devices": _devices(),
        "checks": checks,
        "healthy": all(each["version"] or not each["needed"] for each in packages) and all(each["ok"] for each in checks),
    }


def _package(name: str, purpose: str, needed: bool) -> dict[str, Any]:
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        version = ""
    return {"name": name, "version": version, "purpose": purpose, "needed": needed, "cure": "" if version else f"pip install {name}"}


def _devices() -> list[dict[str, str]]:
    pairs = (("numpy", "cpu"), ("torch", "cpu"), ("torch", "cuda"))
    return [{"backend": name, "device": device, "reason": backend_named(name).why_unavailable(device)} for name, device in pairs]


def _check(name: str, probe: Callable[[], tuple[bool, str]]) -> dict[str, Any]:
    try:
        ok, detail = probe()
    except Exception as error:
        # A broken installation fails in ways of its own; the doctor's task is to say so.
        ok, detail = False, f"{type(error).__name__}: {error}"
    return {"name": name, "ok": ok, "detail": detail}


def _oracles_agree() -> tuple[bool, str]:
    from losscheck.oracle.refine import Term, exact_value
    from losscheck.registry import loss_named

    loss = loss_named("bce")
    params = loss.resolve({}, FLOAT32)
    found = [exact_value(loss.formula, [Term(-15.0, 0.0)], params, FLOAT32, oracle=name) for name in ("flint", "mpmath")]
    return found[0].decimal(30) == found[1].decimal(30), f"softplus(-15) = {found[0].decimal(30)} in flint and in mpmath"


def _subnormals(backend: str) -> Callable[[], tuple[bool, str]]:
    def probe() -> tuple[bool, str]:
        if reason := backend_named(backend).why_unavailable("cpu"):
            return True, f"not here: {reason}"
        kept = [name for name in FORMATS if _keeps_subnormals(backend, name)]
        flushed = [name for name in FORMATS if name not in kept]
        return True, f"kept in {', '.join(kept) or 'none'}" + (f"; FLUSHED in {', '.join(flushed)}" if flushed else "")

    return probe


def _keeps_subnormals(backend: str, dtype: str) -> bool:
    """Half the smallest normal number, computed by the backend, is not zero."""
    smallest = FORMATS[dtype].smallest_normal
    if backend == "torch":
        import torch

        return bool((torch.full((64,), smallest, dtype=getattr(torch, dtype)) * 0.5 > 0).all())
    import numpy as np

    from losscheck.backends.numpy import array_dtype

    array = np.full(64, smallest).astype(array_dtype(FORMATS[dtype]))
    return bool((array * array_dtype(FORMATS[dtype]).type(0.5) > 0).all())


_PROBES: dict[str, Callable[[], tuple[bool, str]]] = {
    "both oracles agree to 30 digits": _oracles_agree,
    "numpy on cpu, subnormals": _subnormals("numpy"),
    "torch on cpu, subnormals": _subnormals("torch"),
}
