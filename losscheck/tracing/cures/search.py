"""The search for a cure: rewrites accepted by measurement and proved equal, one round after the other."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from losscheck.tracing.cures import rules
from losscheck.tracing.cures.evaluate import is_whole, supported
from losscheck.tracing.cures.measured import Grid, Measured, Truth, grid_logits, measure, prove_equal, truth_on
from losscheck.tracing.cures.rewriting import normalised, rewritten
from losscheck.tracing.cures.rules import Rule
from losscheck.tracing.cures.terms import Term, subterms

__all__ = ["Cure", "Step", "apply", "find_cure", "without_guards"]

ROUNDS = 4
WORTHWHILE = 0.25
# What changes the meaning has to be right at least: a few digits of a float32 at its worst point.
GOOD = 256.0
# A longer term has to earn its length: a bit lost at one point of the grid is worth a hundred ops.
LENGTH = 0.01
PROOF_LOGITS = (-97.0, -60.5, -17.25, -9.0, -2.5, -1e-3, 0.0, 0.5, 3.75, 11.0, 24.5, 88.0)
SOFT_TARGETS = (0.25, 0.5, 0.9375)

# One rule, or several together to a fixpoint.
Step = tuple[Rule, ...]


@dataclass(frozen=True)
class Cure:
    """A term that measures better, and is proved equal wherever the original is defined.

    Where the original is undefined in exact arithmetic, or undecided, there is nothing to be equal to.

    Attributes:
        before, after: the terms.
        steps: the rewrites that lead from one to the other (:func:`apply`).
        measured_before, measured_after: errors on the grid it was chosen on.
        hard: holds for targets 0 and 1 alone.
        meaning: what it changes is the meaning (a clamp or an eps is left out), and its measure is that of the new one.
    """

    before: Term
    after: Term
    steps: tuple[Step, ...]
    measured_before: Measured
    measured_after: Measured
    hard: bool
    meaning: bool = False

    @property
    def worthwhile(self) -> bool:
        """Does it lose at most a quarter of the bits that were lost before, or settle the loss or the gradient for good at no cost to
        the other? Less is not worth anybody's change."""
        worst = list(zip(self.measured_before.worst(), self.measured_after.worst(), strict=True))
        settled = all(after <= before for before, after in worst) and any(after <= GOOD < before / GOOD for before, after in worst)
        return settled or self.measured_after.score <= WORTHWHILE * self.measured_before.score


def apply(steps: Sequence[Step], root: Term) -> Term:
    """The steps on any term, such as that of one statement."""
    for step in steps:
        root = rewritten(root, step[0]) if len(step) == 1 else normalised(root, step)
    return root


def find_cure(root: Term, dtype: str, targets: Sequence[float], *, soft: bool) -> Cure | None:
    """The best equal term found, or None: when nothing measures better, or the term has an op that is not known here.

    Args:
        targets: what is measured on, such as 0 and 1.
        soft: targets in between occur too; identities that hold for 0 and 1 alone are then not used.
    """
    if not supported(root):
        return None
    grid = Grid.of(dtype, targets)
    truth = truth_on(grid, root)
    before = measure(grid, root, truth)
    if before is None:
        return None
    allowed = [rule for rule in rules.RULES if not (soft and rule in rules.HARD)]
    domain = [*dict.fromkeys([*targets, *(SOFT_TARGETS if soft else ())])]
    best, steps = _searched(root, grid, truth, before, allowed, domain)
    if best is root:
        return None
    after = measure(grid, best, truth)
    assert after is not None
    if after.score >= before.score:
        return None  # shorter, and no better
    whole = not soft and any(map(is_whole, subterms(root)))
    return Cure(root, best, steps, before, after, hard=whole or any(rule in rules.HARD for step in steps for rule in step))


def _searched(
    root: Term, grid: Grid, truth: tuple[Truth, Truth], before: Measured, allowed: Sequence[Rule], domain: Sequence[float]
) -> tuple[Term, tuple[Step, ...]]:
    best, score = root, _cost(before, root)
    steps: tuple[Step, ...] = ()
    seen = {root}
    for _ in range(ROUNDS):
        ranked: list[tuple[float, int, Term, tuple[Step, ...]]] = []
        for candidate, path in _candidates(best, allowed).items():
            if candidate in seen:
                continue
            seen.add(candidate)
            measured = measure(grid, candidate, truth)
            if measured is not None and (cost := _cost(measured, candidate)) < score - 1e-9:
                ranked.append((cost, len(ranked), candidate, path))
        for cost, _, candidate, path in sorted(ranked):
            if prove_equal(root, candidate, domain, PROOF_LOGITS):
                best, score, steps = candidate, cost, (*steps, *path)
                break
        else:
            break
    return best, steps


def _candidates(root: Term, allowed: Sequence[Rule]) -> dict[Term, tuple[Step, ...]]:
    """One rule, two rules, or a fixpoint of the base with one of them left out and one more at the end."""
    found: dict[Term, tuple[Step, ...]] = {}
    layer: dict[Term, tuple[Step, ...]] = {root: ()}
    for _ in range(2):
        following: dict[Term, tuple[Step, ...]] = {}
        for candidate, path in layer.items():
            for rule in allowed:
                changed = rewritten(candidate, rule)
                if changed is not candidate and changed is not root:
                    following.setdefault(changed, (*path, (rule,)))
        layer = {candidate: path for candidate, path in following.items() if candidate not in found}
        found.update(layer)
    for path in _fixpoints(allowed):
        changed = apply(path, root)
        if changed is not root:
            found.setdefault(changed, path)
    return found


def _fixpoints(allowed: Sequence[Rule]) -> Iterator[tuple[Step, ...]]:
    base = [rule for rule in rules.BASE if rule in allowed]
    endings: list[tuple[Step, ...]] = [(), *(((rules.square,), (rule,)) for rule in rules.EXTRA)]
    for dropped in (None, *base):
        fixpoint: Step = tuple(rule for rule in base if rule is not dropped)
        for ending in endings:
            yield (fixpoint, *ending)


def _cost(measured: Measured, candidate: Term) -> float:
    score = measured.score
    return score + LENGTH * sum(1 for _ in subterms(candidate)) if math.isfinite(score) else math.inf


def without_guards(root: Term, dtype: str, targets: Sequence[float], *, soft: bool) -> Cure | None:
    """A cure that changes the meaning: clamps and small constants left out, and the rest made to hold without them."""
    bare = normalised(root, rules.MEANING) if supported(root) else root
    if bare is root:
        return None
    cured = find_cure(bare, dtype, targets, soft=soft)
    after = cured.after if cured else bare
    grid = Grid.of(dtype, targets, grid_logits())
    truth = truth_on(grid, bare)
    before, measured = measure(grid, root, truth), measure(grid, after, truth)
    if before is None or measured is None or measured.score > WORTHWHILE * before.score or not max(measured.worst()) <= GOOD:
        return None
    steps: tuple[Step, ...] = (rules.MEANING, *(cured.steps if cured else ()))
    return Cure(root, after, steps, before, measured, hard=bool(cured and cured.hard), meaning=True)
