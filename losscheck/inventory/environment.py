"""What the figures were measured on: versions and processors. Only what is already loaded is asked for its version."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable
from pathlib import Path

from losscheck.core.version import __version__

__all__ = ["describe", "processor"]

# Distributions named in a report when their module has been imported in this run.
_MODULES = {
    **{name: name for name in ("numpy", "torch", "tensorflow", "jax", "jaxlib", "optax", "mpmath", "ml_dtypes")},
    "python-flint": "flint",
}


def describe(devices: Iterable[str] = ("cpu",)) -> dict[str, object]:
    """The environment of a report: versions of what ran, the processor, and the names of the CUDA devices used."""
    frameworks = {name: str(getattr(sys.modules[module], "__version__", "?")) for name, module in _MODULES.items() if module in sys.modules}
    return {
        "losscheck": __version__,
        "python": platform.python_version(),
        "frameworks": frameworks,
        "cpu": processor(),
        "devices": {device: _device_name(device) for device in devices},
    }


def processor() -> str:
    """The processor's name and architecture."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return f"{line.partition(':')[2].strip()} ({platform.machine()})"
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _device_name(device: str) -> str:
    if device == "cpu":
        return processor()
    torch = sys.modules.get("torch")
    index = int(device.partition(":")[2] or "0")
    if torch is None or not torch.cuda.is_available():
        return _named_by_others(index)
    if index >= torch.cuda.device_count():
        return "unavailable"
    major, minor = torch.cuda.get_device_capability(index)
    return f"{torch.cuda.get_device_name(index)} (compute capability {major}.{minor})"


def _named_by_others(index: int) -> str:
    """The name of a CUDA device that JAX or TensorFlow found where torch is not loaded, or finds none."""
    from losscheck.backends import backend_named

    for name in ("jax", "tensorflow"):
        if name in sys.modules and not backend_named(name).why_unavailable(f"cuda:{index}"):
            if name == "jax":
                return str(sys.modules["jax"].devices("cuda")[index].device_kind)
            config = sys.modules["tensorflow"].config
            return str(config.experimental.get_device_details(config.list_physical_devices("GPU")[index]).get("device_name", "?"))
    return "unavailable"
