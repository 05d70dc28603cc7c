"""Arrays of any length in pieces of two lengths: what compiles for each shape it meets then compiles twice and no more."""

from __future__ import annotations

from typing import Any

from losscheck.backends import Call

__all__ = ["LANES", "SMALL", "in_blocks"]

# Elementwise points are evaluated inside an array padded to a multiple of this, so that a point alone and the same point
# among many go through the same vector code: PyTorch's scalar tail returns other bits.
LANES = 64
SMALL, LARGE = 2**10, 2**16
# Shorter arrays are asked for to see what is done with them (`--layout tail`): they go through as they are.
LEAST = 64


def in_blocks(call: Call) -> Call:
    """The same elementwise call; pieces are filled up with their last logit, so that every point meets the same code."""

    def pieces(logits: Any) -> tuple[Any, Any]:
        import numpy as np

        if len(logits) < LEAST:
            return call(logits)
        size = LARGE if len(logits) >= LARGE else SMALL
        parts = []
        for start in range(0, len(logits), size):
            part = logits[start : start + size]
            filled = np.concatenate([part, np.repeat(part[-1:], size - len(part))])
            parts.append(tuple(None if each is None else each[: len(part)] for each in call(filled)))
        losses, grads = zip(*parts, strict=True)
        return np.concatenate(losses), None if grads[0] is None else np.concatenate(grads)

    return pieces
