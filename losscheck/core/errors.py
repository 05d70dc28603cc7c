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

    def __reduce__(self) -> tuple[type[UserError], tuple[str, str, tuple[str, ...]]]:
        """From a worker it comes back whole: exceptions travel as their ``args``, which are the text alone."""
        return type(self), (self.problem, self.cure, self.details)


class PluginWarning(UserWarning):
    """Someone else's package that cannot be used: it is named, and everything else goes on without it."""


def nearest(name: str, known: Iterable[str]) -> str:
    """'did you mean ...?' with the closest known names, or all of them when none is close.

    Close is a slip of the finger, or a part of the name: a wrong guess is worse than the list.
    """
    import difflib

    names = sorted(set(known))
    asked = name.lower()
    parts = [other for other in names if len(asked) > 2 and (asked in other.lower() or (len(other) > 2 and other.lower() in asked))]
    lower = {other.lower(): other for other in names}
    slips = [lower[other] for other in difflib.get_close_matches(asked, lower, n=3, cutoff=0.65)]
    if close := list(dict.fromkeys([*slips, *parts]))[:4]:
        return f"did you mean {' or '.join(close)}?"
    return f"known: {', '.join(names)}" if names else "none is known"
