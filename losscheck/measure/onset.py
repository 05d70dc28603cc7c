"""Where failing begins in a sampled sweep: the floats before each first failing one are judged without a gap.

Near the limit rounding noise decides: some floats fail between others that hold, and a sample meets one of them late. A float is called
the first failing one on its side of 0 when those before it were tried: many of them, or every one from 0 on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from losscheck.callables.calling import call_alone
from losscheck.core.effect import Onset
from losscheck.filter.classify import FAILING
from losscheck.measure.effect_stream import EFFECT, EFFECT_KEPT, TAILS
from losscheck.measure.engine import Engine
from losscheck.measure.engines import References, call_of, dense_engine, effects_of, streams_of
from losscheck.measure.harm import HarmEngine
from losscheck.measure.reference import ENOUGH
from losscheck.measure.summary import Summary, united
from losscheck.measure.task import Task
from losscheck.points.grid import Grid

__all__ = ["onsets_of", "search_harm", "search_onsets"]

SEARCHED = 2**20  # floats that must hold before a first failing one
SEARCHED_FOR_HARM = 2**17  # the same where nobody asked for it, and seconds count; harm begins where rounding does not decide
TRIED, MOSTLY = 256, 0.9  # logits at which the filter is asked beforehand, and the share of them that it has to know
SIDES = (1, -1)
# Where the largest error is as near to the limit as this, a float that was not in the sample may be beyond it.
NEAR = 0.25
MOST_NEAR = 2**22  # floats of a cell of the profile that are judged for being near the limit


def onsets_of(task: Task, quantity: str, summary: Summary) -> tuple[Onset, ...]:
    """Where failing begins below and above 0, from low to high logits; of effects where the severest begins."""
    found = []
    for side in reversed(SIDES):
        line = _Line(task.grid, side)
        distance = line.nearest(summary, _codes(quantity, summary))
        if distance is None:
            continue
        held = line.near if task.grid.exhaustive else summary.held.get(side, distance if distance == line.near else None)
        logits = (None if at is None else task.grid.dtype.from_ordinal(line.ordinal(at)) for at in (distance, held))
        logit, held_from = logits
        assert logit is not None
        found.append(Onset(logit, held_from, proved=held == line.near))
    return tuple(found)


def search_onsets(task: Task, summaries: dict[str, Summary], references: References, *, proved: bool) -> None:
    """Move the first failing floats of a sampled scan to where SEARCHED floats before each hold, or all from 0 on.

    Changes the summaries: regions and worst points found on the way are added, the counts stay those of the sample. Does nothing for
    float64, which has too many floats, and where each logit takes a call of its own.
    """
    if _searchable(task):
        grid = _every_float(task)
        _Search(task, summaries, dense_engine(task, references, grid), grid.points if proved else SEARCHED).run()


def search_harm(task: Task, summaries: dict[str, Summary], references: References) -> None:
    """The same of the severest effect alone, where it harms: SEARCHED_FOR_HARM floats before it."""
    if _searchable(task) and min(_codes(EFFECT, summaries[EFFECT]), default=TAILS) < TAILS:
        engine = HarmEngine(call_of(task), streams_of(task, references), _every_float(task), effects_of(task, references))
        if _known_to_the_filter(engine):
            _Search(task, {EFFECT: summaries[EFFECT]}, engine, SEARCHED_FOR_HARM).run()


def _known_to_the_filter(engine: Engine) -> bool:
    """Does float64 know the definition nearly everywhere? Else the oracle would be asked about each of a hundred thousand floats."""
    import numpy as np

    assert engine.effects is not None
    logits = engine.grid.some_logits(TRIED).astype(np.float64)
    for quantity, stream in engine.streams.items():
        bound = stream.reference.filter(np, engine.effects.definition(quantity), logits, stream.target)[1]
        if np.mean(bound <= ENOUGH) < MOSTLY:
            return False
    return True


def _searchable(task: Task) -> bool:
    subject = task.subject
    if task.grid.exhaustive or task.grid.dtype.bits != 32:
        return False
    return not call_alone(subject.implementation.function, subject.backend, task.grid.dtype, subject.device, subject.mode)


def _every_float(task: Task) -> Grid:
    return Grid(task.grid.dtype, task.grid.first, task.grid.last)


class _Line:
    """The floats on one side of 0, by their distance from it in floats."""

    def __init__(self, grid: Grid, side: int) -> None:
        self.side = side
        low, high = (grid.first, grid.last) if side > 0 else (-1 - grid.last, -1 - grid.first)
        self.near, self.far = max(low, 0), high

    def ordinal(self, distance: int) -> int:
        return distance if self.side > 0 else -1 - distance

    def ordinals(self, first: int, last: int) -> tuple[int, int]:
        """The ends of a stretch, from low to high."""
        return (first, last) if self.side > 0 else (-1 - last, -1 - first)

    def nearest(self, summary: Summary, codes: Collection[int]) -> int | None:
        """The distance of the nearest float in the segments of some codes."""
        distances = []
        for code in codes:
            for segment in summary.segments.get(code, []):
                first, last = self.ordinals(int(segment[0]), int(segment[1]))
                if last >= self.near:
                    distances.append(max(first, self.near))
        return min(distances, default=None)


class _Search:
    """The scans of one task, so that ``most`` floats hold before each first failing one."""

    def __init__(self, task: Task, summaries: dict[str, Summary], engine: Engine, most: int) -> None:
        self.task, self.summaries, self.engine, self.most = task, summaries, engine, most
        self.grid = engine.grid
        self.lines = {side: _Line(self.grid, side) for side in SIDES}
        self.scanned: dict[int, tuple[int, int]] = {}
        self.begun: set[tuple[str, int]] = set()
        self.codes: dict[str, frozenset[int]] = {}

    def run(self) -> None:
        sides = [(quantity, side) for quantity in self.summaries for side in SIDES]
        # What is judged for one may be the first failing float of another.
        while sum(self.before(quantity, side) for quantity, side in sides):
            pass

    def before(self, quantity: str, side: int) -> bool:
        """Judge what lies before the first failing float on a side, until enough of it holds. Was anything scanned?"""
        line, summary = self.lines[side], self.summaries[quantity]
        judged = False
        if self.most < self.grid.points and quantity != EFFECT and (quantity, side) not in self.begun:
            self.begun.add((quantity, side))
            for first, last in self._nearly_failing(quantity, side):
                judged |= self._scan(side, first, last)
        while (distance := line.nearest(summary, codes := _codes(quantity, summary))) is not None:
            if codes != self.codes.get(quantity):
                # A float that turned up is worse than all of the sample: it is asked where that begins.
                self.codes[quantity] = codes
                summary.held.clear()
            held = min(summary.held.get(side, distance), distance)
            goal = max(line.near, distance - self.most)
            if held <= goal:
                break
            judged |= self._scan(side, goal, held - 1)
            summary.held[side] = goal
        return judged

    def _nearly_failing(self, quantity: str, side: int) -> Iterator[tuple[int, int]]:
        """Cells of the profile nearer to 0 than any failing float, whose largest error comes near the limit."""
        line, summary = self.lines[side], self.summaries[quantity]
        limit = self.task.question.max_ulp
        starts = self.grid.cell_starts
        for cell in sorted(range(len(summary.profile_ulp)), key=lambda cell: abs(starts[cell])):
            first, last = line.ordinals(starts[cell], starts[cell + 1] - 1)
            first = max(first, line.near)
            failing = line.nearest(summary, _codes(quantity, summary))
            if failing is not None:
                last = min(last, failing - 1)
            if NEAR * limit <= summary.profile_ulp[cell] <= limit and 0 <= last - first < MOST_NEAR:
                yield first, last

    def _scan(self, side: int, first: int, last: int) -> bool:
        known = self.scanned.get(side)
        if known and known[0] <= first and last <= known[1]:
            return False
        found = self.engine.scan(*self.lines[side].ordinals(first, last))
        for quantity, part in found.items():
            _add(self.summaries[quantity], part, nearest=0 if side > 0 else -1)
        self.scanned[side] = first, last
        return True


def _add(summary: Summary, part: Summary, nearest: int) -> None:
    """Add what was found in a stretch: of each code the run nearest to 0, which stands in row ``nearest``, and the worst points."""
    import numpy as np

    for code, segments in part.segments.items():
        every = np.concatenate([summary.segments.get(code, segments[:0]), segments[nearest:][:1]])
        summary.segments[code] = united(every, summary.gap)
    kept_points = {kept_point.position: kept_point for kept_point in (*summary.worst, *part.worst)}
    summary.worst = summary.the_worst(list(kept_points.values()))
    for name in ("top", "loss_error", "grad_error"):
        setattr(summary, name, max(getattr(summary, name), getattr(part, name)))
    summary.refusal = summary.refusal or part.refusal


def _codes(quantity: str, summary: Summary) -> frozenset[int]:
    """The failing outcomes, or the severest effect."""
    return EFFECT_KEPT & {kept_point.code for kept_point in summary.worst[:1]} if quantity == EFFECT else FAILING
