"""losscheck: where loss implementations break, exactly.

The functions of the command line for Python: :func:`compare`, :func:`sweep`, :func:`merge`, :func:`gate`, :func:`trace`,
:func:`check`, :func:`adapt`, :func:`exact` and :func:`render`; for test suites :func:`losscheck.testing.assert_accurate`.
Importing this package loads no framework, and nothing else before it is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from losscheck import testing
    from losscheck.api.adapt import adapt
    from losscheck.api.check import check
    from losscheck.api.compare import compare
    from losscheck.api.exact import exact, render
    from losscheck.api.gate import gate
    from losscheck.api.sweep import merge, sweep
    from losscheck.api.trace import trace

from losscheck.core.version import __version__

__all__ = ["__version__", "adapt", "check", "compare", "exact", "gate", "merge", "render", "sweep", "testing", "trace"]

# Name -> the module it is in.
_FUNCTIONS = {
    "adapt": "adapt",
    "check": "check",
    "compare": "compare",
    "exact": "exact",
    "render": "exact",
    "gate": "gate",
    "sweep": "sweep",
    "merge": "sweep",
    "trace": "trace",
}


def __getattr__(name: str) -> Any:
    if name == "testing":
        return importlib.import_module("losscheck.testing")
    if name in _FUNCTIONS:
        return getattr(importlib.import_module(f"losscheck.api.{_FUNCTIONS[name]}"), name)
    raise AttributeError(f"module 'losscheck' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
