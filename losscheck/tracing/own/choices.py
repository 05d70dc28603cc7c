"""A program run branch by branch.

Questions depend on each other: where x < 0, x - 64 is not above 0. An answer that none of many sampled points gives is not followed; a
float that gives it all the same finds None there, which is undecided and never wrong.
"""

from __future__ import annotations

from collections.abc import Callable

from losscheck.tracing.own.expressions import Sum
from losscheck.tracing.own.sampling import SamplePairs
from losscheck.tracing.own.symbols import NoExpressionError, SignQuestion, Symbols
from losscheck.tracing.own.trees import Tree, choice

__all__ = ["tree_of"]

MOST_RUNS = 24
# With answers left out, when all of them are too many.
MOST_RUNS_SAMPLED = 200


def tree_of(run: Callable[[Symbols], Sum | None]) -> Tree:
    """All answers of a program, or all that any sampled point gives.

    Raises:
        NoExpressionError: when it does something that has no expression, or asks too much.
    """
    try:
        return _Exploration(run, MOST_RUNS).tree({}, None)
    except _TooManyError:
        return _Exploration(run, MOST_RUNS_SAMPLED).tree({}, SamplePairs.everywhere())


class _TooManyError(NoExpressionError):
    """More runs than are worth it."""


class _Exploration:
    def __init__(self, run: Callable[[Symbols], Sum | None], most: int) -> None:
        self.run, self.left = run, most

    def tree(self, signs: dict[Sum, int], samples: SamplePairs | None) -> Tree:
        """The tree below the answers given so far; ``samples`` are the points that give them, None where all answers are followed."""
        self.left -= 1
        if self.left < 0:
            raise _TooManyError("too many branches")
        try:
            return self.run(Symbols(signs))
        except SignQuestion as question:
            about = question.about
        below, above = self._branch(signs, about, -1, samples), self._branch(signs, about, 1, samples)
        at = None
        if _algebraic(about) and below is not None and above is not None:
            at = self.tree({**signs, about: 0}, samples and samples.at_root(about))
        return choice(about, below, at, above)

    def _branch(self, signs: dict[Sum, int], about: Sum, sign: int, samples: SamplePairs | None) -> Tree:
        if samples is None:
            return self.tree({**signs, about: sign}, None)
        there = samples.where(about, sign)
        return self.tree({**signs, about: sign}, there) if there.count else None


def _algebraic(a: Sum) -> bool:
    """Can it be 0 at a float? A sigmoid, a log or an exp of one is a float nowhere but at 0, which `asked` sees."""
    return all(
        factor.kind in ("x", "z") or (factor.kind == "sum" and factor.argument is not None and _algebraic(factor.argument))
        for factors, _ in a.terms
        for factor, _ in factors
    )
