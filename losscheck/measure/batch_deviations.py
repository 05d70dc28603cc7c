"""Which elements of a dumped batch the own formulas of its implementations put elsewhere than the definition does."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from losscheck.core.loss import Loss
from losscheck.measure.reference import Claim, definition_of

__all__ = ["Deviations", "Farthest"]

DEVIATING = 1e-9  # own / definition - 1 beyond which an element counts as deviating


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


class Deviations:
    """Of one loss, by what is claimed of a quantity; blocks are added one after the other."""

    def __init__(self, loss: Loss) -> None:
        self.loss = loss
        self._farthest: dict[tuple[Claim, str], Farthest] = {}

    def add(self, quantity: str, claims: Iterable[Claim], places: Any, seen: Callable[[Claim], tuple[Any, Any]]) -> None:
        """A block: its places, and what gives the filter's values and bounds of a claim there."""
        import numpy as np

        definition = definition_of(self.loss, quantity)
        for claim in {*claims} - {definition}:
            (own, own_bound), (right, right_bound) = seen(claim), seen(definition)
            with np.errstate(all="ignore"):
                size = abs(own / right - 1)
                sure = size > DEVIATING + 2 * (own_bound + right_bound)
                size = np.where(sure & (own_bound < 0.5) & (right_bound < 0.5), size, 0.0)
            self._farthest.setdefault((claim, quantity), Farthest()).add(size, places)

    def farthest(self, claim: Claim, quantity: str) -> Farthest:
        """The one that deviates most; none where the claim is the definition."""
        return self._farthest.get((claim, quantity), Farthest())
