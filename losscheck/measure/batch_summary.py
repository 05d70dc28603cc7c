"""What the blocks of one row add up to: counts, the first element of each outcome, the worst elements. Blocks may come in any cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from losscheck.measure.batch_resolve import UNASKED, Settled
from losscheck.measure.summary import FAILING

__all__ = ["WORST", "Farthest", "Hit", "Tally"]

WORST = 10


@dataclass(frozen=True)
class Hit:
    """An element by its place in the flattened batch, its outcome's code, and |ulp| as the filter saw it (NaN as infinite)."""

    place: int
    code: int
    size: float
    loss: float | None
    gradient: float | None

    @property
    def key(self) -> tuple[int, float, int]:
        """Sorts the worst first."""
        return (self.code, -self.size, self.place)


@dataclass
class Tally:
    """Blocks are added in the order of their elements."""

    counts: list[int] = field(default_factory=lambda: [0] * (UNASKED + 1))
    first: dict[int, Hit] = field(default_factory=dict)
    worst: list[Hit] = field(default_factory=list)
    top: float = 0.0
    settled: int = 0
    checked: int = 0
    wrong: int = 0

    def add(self, settled: Settled, places: Any, results: Sequence[Any]) -> None:
        """A block's outcomes, the places of its elements, and the losses and gradients returned (None for not asked)."""
        import numpy as np

        codes, self.settled = settled.codes, self.settled + settled.settled
        size = np.where(np.isnan(settled.ulps), np.inf, abs(settled.ulps))
        size[codes == UNASKED] = -1.0
        self.top = max(self.top, float(size.max(initial=0.0)))
        present = np.bincount(codes, minlength=UNASKED + 1)
        self.counts = [a + b for a, b in zip(self.counts, present.tolist(), strict=True)]

        def hit(n: int) -> Hit:
            loss, gradient = (None if each is None else float(each[n]) for each in results)
            return Hit(int(places[n]), int(codes[n]), float(size[n]), loss, gradient)

        new: list[Hit] = []
        for code in np.flatnonzero(present).tolist():
            mine = np.flatnonzero(codes == code)
            if code in FAILING and code not in self.first:
                self.first[code] = hit(mine[0])
            if code != UNASKED and (len(self.worst) < WORST or code <= self.worst[-1].code):
                new += [hit(n) for n in mine[_largest(size[mine], WORST)]]
        self.worst = sorted(self.worst + new, key=lambda each: each.key)[:WORST]

    def refuse(self, code: int, count: int) -> None:
        """Elements for which nothing came out."""
        self.counts[code] += count


@dataclass
class Farthest:
    """How many elements deviate, and where the most."""

    count: int = 0
    size: float = 0.0
    place: int = -1

    def add(self, size: Any, places: Any) -> None:
        """|own / definition - 1| of a block, 0 where it is not known to deviate."""
        import numpy as np

        self.count += int((size > 0).sum())
        n = int(np.argmax(size)) if len(size) else 0
        if len(size) and size[n] > self.size:
            self.size, self.place = float(size[n]), int(places[n])


def _largest(size: Any, most: int) -> Any:
    """The positions of the ``most`` greatest, ties by position."""
    import numpy as np

    if len(size) <= most:
        return np.arange(len(size))
    threshold = np.partition(size, len(size) - most)[len(size) - most]
    above = np.flatnonzero(size > threshold)
    return np.concatenate([above, np.flatnonzero(size == threshold)[: most - len(above)]])
