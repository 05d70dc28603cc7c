"""A range in a line of characters: a letter for what fails, a height for the error of what does not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

from losscheck.core.effect import Effect
from losscheck.core.outcome import Outcome
from losscheck.core.results import SweepRow
from losscheck.renderers.document import Strip
from losscheck.renderers.severity import Severity, severity_of

__all__ = ["LETTERS", "axis", "draw_strip", "legend", "painted", "strip_of"]

Judgement = TypeVar("Judgement", Effect, Outcome)

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


def strip_of(*rows: SweepRow, effects: bool = False) -> Strip:
    """Of a row; of several over one range the worst in each cell. ``effects``: told by what it does to training."""
    first = next((row for row in rows if row.profile), rows[0])
    below = sum(logit < 0 for logit, _, _ in first.profile)
    zero = below / len(first.profile) if first.low < 0 < first.high and first.profile else None
    profiles = [row.profile for row in rows if row.profile]
    ulps = zip(*([ulp for _, ulp, _ in profile] for profile in profiles), strict=False)
    outcomes = zip(*([outcome for _, _, outcome in profile] for profile in profiles), strict=False)
    cells = [(max(of_cell), _severest(told)) for of_cell, told in zip(ulps, outcomes, strict=True)]
    judged = [row.effects for row in rows if row.effects] if effects else []
    worst = tuple(_severest(cell) for cell in zip(*judged, strict=False))
    return Strip(tuple(cells), zero, worst)


def _severest(judgements: Sequence[Judgement | None]) -> Judgement | None:
    """None where there is no point."""
    first = judgements[0] if judgements else None
    if judgements.count(first) == len(judgements):
        return first
    seen = [judgement for judgement in judgements if judgement is not None]
    return min(seen, key=lambda judgement: judgement.severity, default=None)


def draw_strip(strip: Strip, width: int, unicode: bool = True) -> str:
    """The range in ``width`` characters: of each part the sign of its severest effect, or the letter of its severest outcome
    where the strip tells outcomes; else the height of its ulp."""
    return "".join(character for character, _ in painted(strip, width, unicode))


def painted(strip: Strip, width: int, unicode: bool = True) -> list[tuple[str, Severity]]:
    """The characters of :func:`draw_strip`, each with its severity."""
    count = len(strip.cells)
    shown = []
    for place in range(width):
        start = place * count // width
        part = slice(start, max((place + 1) * count // width, start + 1))
        worst = _severest([outcome for _, outcome in strip.cells[part]])
        effect = _severest(strip.effects[part])
        if worst is None:
            shown.append((" ", Severity.FINE))
        elif effect is not None and effect is not Effect.SOUND:
            shown.append((severity_of(effect).sign(unicode), severity_of(effect)))
        elif worst in LETTERS and not strip.effects:
            shown.append((LETTERS[worst], severity_of(worst)))
        else:
            shown.append((_height(max(ulp for ulp, _ in strip.cells[part]), unicode), Severity.FINE))
    return shown


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


def legend(unicode: bool, effects: bool = False) -> str:
    if effects:
        signs = [severity_of(effect).sign(unicode) for effect in (Effect.POISONS, Effect.MISSTATES, Effect.TAILS)]
        levels = "▁▂▃▄▅ up to 1/2, 1, 2, 4, more" if unicode else ".:- up to 1, 4, more"
        return "strip: {} harms, {} misstates, {} tails, else {} ulp".format(*signs, levels)
    levels = "▁ to 1/2 ulp, ▂ 1, ▃ 2, ▄ 4, ▅ more" if unicode else ". to 1 ulp, : to 4, - more"
    letters = ", ".join(f"{letter} {outcome.value}" for outcome, letter in LETTERS.items())
    return f"strip, low to high logits: {levels}; {letters}"
