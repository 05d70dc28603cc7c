"""A range in a line of characters: a letter for what fails, a height for the error of what does not."""

from __future__ import annotations

import math
from collections.abc import Sequence

from losscheck.core.outcome import Outcome
from losscheck.core.results import SweepRow
from losscheck.renderers.document import Strip

__all__ = ["LETTERS", "axis", "draw", "legend", "strip_of"]

LETTERS = {
    Outcome.NAN: "N",
    Outcome.INF: "I",
    Outcome.WRONG_SIGN: "W",
    Outcome.LOST: "L",
    Outcome.MISSED_INF: "M",
    Outcome.FLUSHED: "F",
    Outcome.INACCURATE: "x",
    Outcome.UNDECIDED: "?",
}
_LEVELS = ((0.5, "▁", "."), (1.0, "▂", "."), (2.0, "▃", ":"), (4.0, "▄", ":"), (math.inf, "▅", "-"))


def strip_of(*rows: SweepRow) -> Strip:
    """Of a row; of several over one range the worst in each cell."""
    first = rows[0]
    below = sum(logit < 0 for logit, _, _ in first.profile)
    zero = below / len(first.profile) if first.low < 0 < first.high and first.profile else None
    profiles = [row.profile for row in rows if row.profile]
    cells = [(max(ulp for _, ulp, _ in cell), _severest([outcome for _, _, outcome in cell])) for cell in zip(*profiles, strict=False)]
    return Strip(tuple(cells), zero)


def _severest(outcomes: Sequence[Outcome | None]) -> Outcome | None:
    """None where there is no point."""
    seen = [outcome for outcome in outcomes if outcome is not None]
    return min(seen, key=lambda outcome: outcome.severity, default=None)


def draw(strip: Strip, width: int, unicode: bool = True) -> str:
    """The range in ``width`` characters: the severest outcome of each part by its letter, else the height of its ulp."""
    count = len(strip.cells)
    shown = []
    for place in range(width):
        start = place * count // width
        part = strip.cells[start : max((place + 1) * count // width, start + 1)]
        worst = _severest([outcome for _, outcome in part])
        if worst is None:
            shown.append(" ")
            continue
        shown.append(LETTERS.get(worst) or _height(max(ulp for ulp, _ in part), unicode))
    return "".join(shown)


def _height(ulp: float, unicode: bool) -> str:
    tall, flat = next(((tall, flat) for limit, tall, flat in _LEVELS if ulp <= limit), _LEVELS[-1][1:])
    return tall if unicode else flat


def axis(strip: Strip, ends: tuple[str, str], width: int) -> str:
    """'-100       0       100': the ends of the range, and 0 above its place where there is room for it."""
    low, high = ends
    line = list(low + " " * max(1, width - len(low) - len(high)) + high)
    if strip.zero is not None:
        place = min(round(strip.zero * width), width - 1)
        if len(low) < place < width - len(high) - 1:
            line[place] = "0"
    return "".join(line)


def legend(unicode: bool) -> str:
    letters = ", ".join(f"{letter} {outcome.value}" for outcome, letter in LETTERS.items())
    levels = "▁ to 1/2 ulp, ▂ 1, ▃ 2, ▄ 4, ▅ more" if unicode else ". to 1 ulp, : to 4, - more"
    return f"strip, low to high logits: {levels}; {letters}"
