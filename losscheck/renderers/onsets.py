"""Where failing begins, in words, and how far that is known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from losscheck.core.effect import Onset
from losscheck.core.which_points import BISECTED, PROVED, SEARCHED
from losscheck.renderers.figures import end_text

__all__ = ["begins_text", "first_failing_text", "kind_of"]

_KINDS = {
    PROVED: "proved, every float from 0 to it holds",
    SEARCHED: "searched, many floats before it hold",
    BISECTED: "bisected between two floats of the sample, and one before it may fail (--ends proved)",
}


def kind_of(onset: Onset) -> str:
    """How far it is known that nothing before it fails."""
    return PROVED if onset.proved else BISECTED if onset.held_from is None else SEARCHED


def begins_text(onsets: Sequence[Onset], dtype: str) -> str:
    """'begins at -88.722839 (proved) and 16.635532 (bisected)'; nothing without one."""
    places = [f"{end_text(onset.logit, dtype)} ({kind_of(onset)})" for onset in onsets]
    return f"begins at {' and '.join(places)}" if places else ""


def first_failing_text(onsets: Iterable[Onset]) -> str:
    """'Of the first failing floats 3 are proved, every float ...; 1 is searched ...'; nothing where none was searched for."""
    told = [*onsets]
    if all(onset.held_from in (None, onset.logit) for onset in told):
        return ""
    kinds = [kind_of(onset) for onset in told]
    counts = [(kinds.count(kind), words) for kind, words in _KINDS.items() if kind in kinds]
    words = "; ".join(f"{count} {'is' if count == 1 else 'are'} {words}" for count, words in counts)
    return f"Of the first failing floats below and above 0 {words}."
