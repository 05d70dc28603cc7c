"""Which points are asked: listed one by one, a range of them, or a batch that was dumped; each says the options that name it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import isfinite
from typing import TypeAlias

from losscheck.core.reductions import REDUCTIONS

__all__ = [
    "BISECTED",
    "CHOICES",
    "ENDS",
    "KINDS",
    "LAYOUTS",
    "PROVED",
    "REDUCTION_NAMES",
    "SEARCHED",
    "SPACINGS",
    "Dumped",
    "Listed",
    "Points",
    "Range",
    "exact_text",
    "repeated_option",
]

REDUCTION_NAMES = ("none", *REDUCTIONS, "published")
SPACINGS = ("linear", "ulp", "both")
LAYOUTS = ("body", "tail", "both")
ENDS = BISECTED, SEARCHED, PROVED = "bisected", "searched", "proved"


@dataclass(frozen=True)
class Listed:
    """Single points.

    Attributes:
        logits, targets: as the user wrote them (text is rounded once, straight to each dtype); one target for all, or one each.
        reduction: none, mean, sum, normalised or published.
        shape: the shape the points have for a reduction; empty for one axis.
    """

    logits: tuple[str | float, ...]
    targets: tuple[str | float, ...] = ("1",)
    reduction: str = "none"
    shape: tuple[int, ...] = ()

    def words(self, always: Collection[str] = ()) -> Iterator[str]:
        """The command and its options that name these points."""
        yield "compare"
        yield from repeated_option("--logit", self.logits)
        # What is written out beside a single logit reads better whole.
        yield from repeated_option("--target", self.targets)
        if self.reduction != "none" or "reduction" in always:
            yield from ("--reduction", self.reduction)
        if self.shape and self.shape != (len(self.logits),):
            yield from ("--shape", ",".join(map(str, self.shape)))


@dataclass(frozen=True)
class Range:
    """A grid of logits from low to high, both included, at each target.

    Attributes:
        low, high: the ends, as written.
        targets: as written; empty for each loss's own.
        points, spacing: of a sample; every float with ``exhaustive``, and always of the 16-bit dtypes.
        layout: body (long tensors), tail (tensors of three elements) or both.
        ends: how the first failing float on each side of 0 is found in a sample: bisected between two floats of it, searched (the floats
            before it are judged until 2^20 of them hold) or proved (all floats before it are).
    """

    low: str
    high: str
    targets: tuple[str, ...] = ()
    points: int = 1000
    spacing: str = "both"
    exhaustive: bool = False
    layout: str = "body"
    ends: str = BISECTED
    reduction = "none"
    shape = ()

    def words(self, always: Collection[str] = ()) -> Iterator[str]:
        """The command and its options that name these points."""
        yield from ("sweep", "--range", self.low, self.high)
        yield from repeated_option("--target", self.targets)
        for name in ("points", "spacing", "layout", "ends"):
            if getattr(self, name) != getattr(Range, name) or name in always:
                yield from (f"--{name}", str(getattr(self, name)))
        if self.exhaustive:
            yield "--exhaustive"


@dataclass(frozen=True)
class Dumped:
    """A batch that lies in one file or two, or in memory.

    Attributes:
        files: one that holds logits and targets, or two with one tensor each; empty for tensors in memory.
        names: (role, name of the tensor) pairs, the roles logits and targets.
        reduction: as of :class:`Listed`.
        shape: known once it is loaded.
    """

    files: tuple[str, ...] = ()
    names: tuple[tuple[str, str], ...] = ()
    reduction: str = "published"
    shape: tuple[int, ...] = ()

    def words(self, always: Collection[str] = ()) -> Iterator[str]:
        """The command and its options that name this batch."""
        yield "compare"
        yield from repeated_option("--tensors", self.files)
        if self.names:
            yield from ("--names", ",".join(f"{role}={name}" for role, name in self.names))
        if self.reduction != "published" or "reduction" in always:
            yield from ("--reduction", self.reduction)


CHOICES = {"spacing": SPACINGS, "layout": LAYOUTS, "ends": ENDS}
Points: TypeAlias = Listed | Range | Dumped
KINDS: dict[str, type[Listed] | type[Range] | type[Dumped]] = {"listed": Listed, "range": Range, "dumped": Dumped}


def exact_text(value: str | float) -> str:
    """Text as it is; a float as text that reads back as itself and as nothing else, straight into any dtype.

    The shortest decimal of a float64 beside a tie of float32 may lie on its other side: such a one is written in hex.
    """
    if isinstance(value, str):
        return value
    text = repr(float(value))
    return text if not isfinite(value) or Fraction(text) == Fraction(value) else float(value).hex()


def repeated_option(option: str, values: Collection[str | float]) -> Iterator[str]:
    """The words of an option that is given once for each value."""
    for value in values:
        yield from (option, exact_text(value))
