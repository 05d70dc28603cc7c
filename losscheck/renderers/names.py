"""What rows of one report are called: the implementation, and of the rest what tells its rows apart."""

from __future__ import annotations

from collections.abc import Sequence

from losscheck.core.files import near
from losscheck.core.results import Row, SweepRow

__all__ = ["RowNames", "label"]


class RowNames:
    """Names rows among others: backend, device and layout are said where these rows have several of them."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._backends: dict[tuple[str, str], set[str]] = {}
        for row in rows:
            self._backends.setdefault((row.loss, row.implementation), set()).add(row.backend)
        self._devices = {row.device for row in rows}
        self._layouts = {row.layout for row in rows if isinstance(row, SweepRow)}

    def __call__(self, row: Row, *, backend: bool | None = None) -> str:
        """'stable torch cuda compile'; ``backend`` overrules whether that is said."""
        if backend is None:
            backend = len(self._backends[row.loss, row.implementation]) > 1
        parts = [near(row.implementation), *([row.backend] if backend else [])]
        parts += [row.device] if len(self._devices) > 1 else []
        parts += [row.layout] if isinstance(row, SweepRow) and len(self._layouts) > 1 else []
        parts += [row.mode] if row.mode != "eager" else []
        return " ".join(parts)


def label(row: Row) -> str:
    """'stable (torch, float32, cpu)': in full, for a sentence that stands alone."""
    mode = "" if row.mode == "eager" else f", {row.mode}"
    return f"{near(row.implementation)} ({row.backend}, {row.dtype}, {row.device}{mode})"
