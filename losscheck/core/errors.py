"""The one error a user can cause, and the sentence that names the nearest known names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["PluginWarning", "UserError", "nearest"]


class UserError(Exception):
    """Something only the user can mend: what is wrong, and the cure. The command line prints it and exits 2.

    ``details`` come first, a line each: places in files, which editors and CI find by their form.
    """

    def __init__(self, problem: str, cure: str = "", details: Sequence[str] = ()) -> None:
        super().__init__("\n".join([*details, f"{problem}: {cure}" if cure else problem]))
        self.problem = problem
        self.cure = cure
        self.details = tuple(details)


class PluginWarning(UserWarning):
    """Someone else's package that cannot be used: it is named, and everything else goes on without it."""


def nearest(name: str, known: Iterable[str]) -> str:
    """'did you mean ...?' with the closest known names, or all of them when none is close."""
    import difflib

    names = sorted(set(known))
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"known: {', '.join(names)}" if names else "none is known"
