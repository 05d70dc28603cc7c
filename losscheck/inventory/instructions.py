"""Which machines compute the same bits: kernels differ with the vector instructions that they find."""

from __future__ import annotations

import importlib
import platform

__all__ = ["environment_class"]


def environment_class(backend: str, device: str) -> str:
    """``cpu-x86_64-avx512``, ``cpu-arm64``, ``cuda-9.0``: results of one class can be compared, of two cannot."""
    if device.startswith("cuda"):
        import torch

        return "cuda-{}.{}".format(*torch.cuda.get_device_capability(int(device.partition(":")[2] or "0")))
    machine = {"aarch64": "arm64", "amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    vectors = _torch_vectors() if backend == "torch" else _numpy_vectors()
    return "-".join(["cpu", machine, *([vectors] if vectors else [])])


def _torch_vectors() -> str:
    import torch

    capability = str(torch.backends.cpu.get_cpu_capability()).lower()
    return "" if capability in ("default", "no avx") else capability.replace("_", "")


def _numpy_vectors() -> str:
    try:
        # Public only as text (numpy.show_runtime).
        features = importlib.import_module("numpy._core._multiarray_umath").__cpu_features__
    except (ImportError, AttributeError):
        return ""
    return next((name.lower().partition("_")[0] for name in ("AVX512_SKX", "AVX2", "SVE") if features.get(name)), "")
