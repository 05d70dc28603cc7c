"""The error of one quantity over the logits, as a picture in SVG: a line for each target, and marks that tell their numbers.

No script is needed. A mark holds its numbers twice: in a <title>, which browsers show when it is pointed at and screen readers
read, and as lines below the picture that a style sheet shows while the mark is pointed at or has the keyboard's focus.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape as escape_tags

from losscheck.renderers.axes import LogitAxis, ulp_ticks
from losscheck.renderers.figures import printable

__all__ = ["Curve", "Mark", "picture"]

# In units of the view box: whole numbers of them are exact enough, and short.
WIDTH, HEIGHT = 800, 470
LEFT, RIGHT, TOP, BOTTOM = 116, 120, 22, 118
LANE = 34  # above the axis, for what has no distance: NaN and infinities
NEAR = 26  # labels nearer than this would lie on one another
RADIUS, SMALLER, LEAST = 9, 2, 5  # of marks: one drawn later leaves a rim of those below it


@dataclass(frozen=True)
class Mark:
    """A point of a curve with what a reader wants to know of it.

    Attributes:
        ulp: |ulp|; infinite or NaN where no number came out or none is right.
        failed: its outcome is a failure.
        lines: logit, got, exact, ulp, outcome and effect, in two lines.
        stop: does the keyboard stop at it?
    """

    logit: float
    ulp: float
    failed: bool
    lines: tuple[str, str]
    stop: bool = False


@dataclass(frozen=True)
class Curve:
    """One target: ``line`` are (logit, |ulp|) from low to high, -1 where nothing was measured; ``css``: its classes."""

    css: str
    line: Sequence[tuple[float, float]]
    marks: Sequence[Mark]


def picture(title: str, curves: Sequence[Curve], axis: LogitAxis, precision: int, limit: float) -> str:
    """The picture as an <svg> element; ``precision`` are the bits of the dtype that came out."""
    frame = _Frame(axis, precision)
    parts = [f'<svg class="curves" viewBox="0 0 {WIDTH} {HEIGHT}" role="group" aria-label="{escape(title)}">']
    parts += frame.drawn(limit)
    for number, curve in enumerate(curves):
        radius = max(RADIUS - SMALLER * number, LEAST)
        paths = "".join(f'<path d="{_path(frame, piece)}"/>' for piece in _pieces(curve.line))
        marks = "".join(_mark(frame, mark, radius) for mark in curve.marks)
        parts.append(f'<g class="curve {curve.css}">{paths}{marks}</g>')
    return "".join([*parts, "</svg>"])


@dataclass(frozen=True)
class _Frame:
    """Where things stand in the view box."""

    axis: LogitAxis
    precision: int

    def x(self, logit: float) -> int:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * self.axis.share(logit))

    def y(self, ulp: float) -> int:
        """From half an ulp at the bottom to 2^(p + 2) in steps of factors; above that what has no distance."""
        if not math.isfinite(ulp):
            return TOP
        least, most = -1.0, self.precision + 2.0
        share = (min(max(math.log2(max(ulp, 0.5)), least), most) - least) / (most - least)
        bottom = HEIGHT - BOTTOM
        return round(bottom - (bottom - TOP - LANE) * share)

    def drawn(self, limit: float) -> Iterable[str]:
        end, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
        yield from self._level(TOP, "", "NaN, inf")
        last = bottom + NEAR
        for tick in ulp_ticks(self.precision, limit):
            height = self.y(tick.ulp)
            if last - height < NEAR:  # few bits leave little between 1 % and 100 %
                continue
            last = height
            yield from self._level(height, tick.figures, tick.words)
        for logit, text in self.axis.ticks():
            where = self.x(logit)
            css = ' class="zero"' if logit == 0 else ""
            yield f'<path{css} d="M{where} {TOP}V{bottom}"/>'
            yield f'<text x="{where}" y="{bottom + 26}" text-anchor="middle">{escape(text)}</text>'
        yield f'<text x="{end}" y="{bottom + 52}" text-anchor="end">{escape(self.axis.title)}</text>'

    def _level(self, height: int, figures: str, words: str) -> Iterable[str]:
        """A line, what it means at its left, its figures at its right."""
        end = WIDTH - RIGHT
        yield f'<path d="M{LEFT} {height}H{end}"/>'
        yield f'<text x="{LEFT - 12}" y="{height + 7}" text-anchor="end">{escape(words)}</text>'
        if figures:
            yield f'<text x="{end + 10}" y="{height + 7}">{escape(figures)}</text>'


def _pieces(line: Sequence[tuple[float, float]]) -> Iterable[list[tuple[float, float]]]:
    """The line in pieces, without the cells that hold no point."""
    piece: list[tuple[float, float]] = []
    for logit, ulp in line:
        if ulp < 0:
            if piece:
                yield piece
            piece = []
        else:
            piece.append((logit, ulp))
    if piece:
        yield piece


def _path(frame: _Frame, piece: Sequence[tuple[float, float]]) -> str:
    """Corners alone, as steps from one to the next; a piece of one cell is a dash."""
    places = [(frame.x(logit), frame.y(ulp)) for logit, ulp in piece]
    corners = [place for n, place in enumerate(places) if not _straight(places, n)]
    if len(corners) == 1:
        corners.append((corners[0][0] + 2, corners[0][1]))
    steps = [f"{b[0] - a[0]}{b[1] - a[1]:+d}" for a, b in itertools.pairwise(corners)]
    return f"M{corners[0][0]} {corners[0][1]}l{' '.join(steps)}"


def _straight(places: Sequence[tuple[int, int]], n: int) -> bool:
    return 0 < n < len(places) - 1 and places[n - 1][1] == places[n][1] == places[n + 1][1]


def _mark(frame: _Frame, mark: Mark, radius: int) -> str:
    css = "mark bad" if mark.failed else "mark"
    stop = ' tabindex="0"' if mark.stop else ""
    first, second = map(escape, mark.lines)
    told = f'<text y="{HEIGHT - 36}">{first}</text><text y="{HEIGHT - 8}">{second}</text>'
    circle = f'<circle cx="{frame.x(mark.logit)}" cy="{frame.y(mark.ulp)}" r="{radius}"/>'
    return f'<g class="{css}"{stop} role="img"><title>{first}; {second}</title>{circle}{told}</g>'


def escape(text: str) -> str:
    return escape_tags(printable(text))
