"""What works here and what does not: versions, devices, subnormals, self-checks. Data for `losscheck doctor`."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Callable
from importlib import metadata
from typing import Any

from losscheck.backends import backend_named
from losscheck.backends.extras import EXTRAS, how_to_get, installed
from losscheck.core.dtypes import FLOAT32
from losscheck.core.version import __version__
from losscheck.inventory.environment import processor
from losscheck.inventory.subnormals import treatment_text

__all__ = ["examine_machine"]

# Distribution, what it is for, and whether anything works without it.
_PACKAGES = (
    ("click", "the command line", True),
    ("rich", "tables", True),
    ("numpy", "the numpy backend", True),
    ("mpmath", "the second oracle", True),
    ("python-flint", "the oracle: proved enclosures", True),
    ("ml_dtypes", "bfloat16 in numpy", True),
    ("torch", "the torch backend, and with it every published PyTorch implementation", True),
    ("numba", "exhaustive sweeps at full speed", True),
    ("ruamel.yaml", "case files", True),
    ("ruamel.yaml.clib", "case files at full speed", True),
    ("pydantic", "case files", True),
    ("tensorflow", "its own losses", False),
    ("jax", "a fourth framework", False),
    ("optax", "its losses, on jax", False),
)
# One module is published as several distributions.
_ALSO_AS = {"tensorflow": ("tensorflow-cpu", "tensorflow-intel", "tensorflow-macos", "tf-nightly")}


def examine_machine() -> dict[str, Any]:
    """Versions with the cure for what is missing, devices, the subnormal probe of each backend, and a self-check."""
    packages = [_package(*package) for package in _PACKAGES]
    checks = [_check(name, probe) for name, probe in _PROBES.items()]
    return {
        "losscheck": __version__,
        "python": platform.python_version(),
        "cpu": processor(),
        "packages": packages,
        "devices": _devices(),
        "checks": checks,
        "healthy": all(item["version"] or not item["needed"] for item in packages) and all(item["ok"] for item in checks),
    }


def _package(name: str, purpose: str, needed: bool) -> dict[str, Any]:
    version = ""
    for distribution in (name, *_ALSO_AS.get(name, ())):
        with contextlib.suppress(metadata.PackageNotFoundError):
            version = version or metadata.version(distribution)
    cure = "" if version or (installed(name) and not needed) else how_to_get(name)
    return {"name": name, "version": version, "purpose": purpose, "needed": needed, "cure": cure}


def _devices() -> list[dict[str, str]]:
    names = ("torch", *(name for name in EXTRAS if installed(name)))
    pairs = [("numpy", "cpu"), *((name, device) for name in names for device in ("cpu", "cuda"))]
    return [{"backend": name, "device": device, "reason": backend_named(name).why_unavailable(device)} for name, device in pairs]


def _check(name: str, probe: Callable[[], tuple[bool, str]]) -> dict[str, Any]:
    try:
        ok, detail = probe()
    except Exception as error:
        # A broken installation fails in ways of its own; the doctor's task is to say so.
        ok, detail = False, f"{type(error).__name__}: {error}"
    return {"name": name, "ok": ok, "detail": detail}


def _oracles_agree() -> tuple[bool, str]:
    from losscheck.core.registry import loss_named
    from losscheck.oracle.refine import Term, exact_value

    loss = loss_named("bce")
    params = loss.resolve({}, FLOAT32)
    values = [exact_value(loss.formula, [Term(-15.0, 0.0)], params, FLOAT32, oracle=name) for name in ("flint", "mpmath")]
    return values[0].decimal(30) == values[1].decimal(30), f"softplus(-15) = {values[0].decimal(30)} in flint and in mpmath"


def _subnormals(backend: str) -> Callable[[], tuple[bool, str]]:
    def probe() -> tuple[bool, str]:
        reason = backend_named(backend).why_unavailable("cpu")
        return True, f"not here: {reason}" if reason else treatment_text(backend)

    return probe


_PROBES: dict[str, Callable[[], tuple[bool, str]]] = {
    "both oracles agree to 30 digits": _oracles_agree,
    "numpy on cpu, subnormals": _subnormals("numpy"),
    "torch on cpu, subnormals": _subnormals("torch"),
    "tensorflow on cpu, subnormals": _subnormals("tensorflow"),
    "jax on cpu, subnormals": _subnormals("jax"),
}
