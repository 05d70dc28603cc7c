"""What a callable of the user's does instead of returning losses."""

from __future__ import annotations

__all__ = ["OwnCallError"]


class OwnCallError(RuntimeError):
    """What a callable of the user's did instead of returning losses; the whole text is for people."""
