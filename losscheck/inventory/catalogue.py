"""What there is: losses, implementations, backends and devices, as plain data for `losscheck list`."""

from __future__ import annotations

import inspect
from typing import Any

from losscheck.backends import BACKENDS, ON_CUDA, backend_named
from losscheck.core import registry
from losscheck.core.loss import Implementation, Loss

__all__ = ["catalogue"]


def catalogue() -> dict[str, Any]:
    """Losses with their implementations, and backends with their devices or the reason why they cannot run."""
    return {
        "losses": [_loss(loss) for loss in registry.losses().values()],
        "backends": [_backend(name) for name in BACKENDS],
    }


def _loss(loss: Loss) -> dict[str, Any]:
    return {
        "name": loss.name,
        "title": loss.title,
        "definition": loss.definition,
        "source": loss.source,
        "targets": "0 and 1" if loss.hard_targets else "[0, 1]",
        "reduction": loss.reduction,
        "parameters": [
            {"name": parameter.name, "default": parameter.default, "valid": parameter.valid, "meaning": parameter.meaning}
            for parameter in loss.parameters
        ],
        "implementations": [
            _implementation(implementation) for implementation in registry.implementations() if implementation.loss == loss.name
        ],
    }


def _implementation(implementation: Implementation) -> dict[str, Any]:
    return {
        "name": implementation.name,
        "backends": list(implementation.backends),
        "source": implementation.source,
        "about": (inspect.getdoc(implementation.function) or "").partition("\n")[0],
        "own_formula": implementation.formula is not None,
        "note": implementation.note,
        "published_note": implementation.published.note if implementation.published else "",
        "module": implementation.module,
    }


def _backend(name: str) -> dict[str, Any]:
    backend = backend_named(name)
    reason = backend.why_unavailable("cpu")
    devices = [] if reason else backend.devices()
    cuda = backend.why_unavailable("cuda") if name in ON_CUDA and not reason else ""
    return {"name": name, "devices": devices, "modes": list(backend.modes), "reason": reason or cuda}
