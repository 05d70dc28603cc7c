"""What `check` ranks: one implementation in one dtype, its loss and gradient together, at its worst over the targets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from losscheck.core.effect import Effect, EffectFinding
from losscheck.core.outcome import Outcome
from losscheck.core.results import Row, SweepRow

__all__ = ["Advice", "RankedRow"]


@dataclass(frozen=True)
class Advice:
    """Why an implementation does what it does, and what to write instead; each sentence has been tried.

    Attributes:
        why: the cause in words; place: 'blog.py:7', where it is known.
        write: the lines to write, with the names of the user's; empty where nothing measured better.
        before, after: the largest errors of loss and gradient in ulp, of what is there and of what to write.
        after_effect: what the changed source does to training, by the loss's definition; None where it could not be tried.
        changes_meaning: what to write computes something else: a clamp or an eps is left out.
        hard_targets_only: what to write is the same for the targets 0 and 1, and something else at those between, which the loss takes.
        diff: the same as a change of the user's file.
        graph: the call at its worst point as a graph of ops (``losscheck.tracing.graph``), for a page.
        cause: the cause in one word, which `losscheck explain` knows; code: the sub-expression; both empty where they are not known.
    """

    why: str = ""
    place: str = ""
    write: tuple[str, ...] = ()
    before: tuple[float, float] | None = None
    after: tuple[float, float] | None = None
    after_effect: EffectFinding | None = None
    changes_meaning: bool = False
    hard_targets_only: bool = False
    diff: str = ""
    graph: Mapping[str, Any] | None = field(default=None, compare=False)
    cause: str = ""
    code: str = ""


@dataclass(frozen=True, kw_only=True)
class RankedRow(Row):
    """One line of a ranking. ``quantity`` is ``both``, ``effect`` the worst of its findings.

    Attributes:
        backends: on which it was judged with this very result.
        targets: all that were judged; those that were swept where none was.
        low, high: the range; points: logits of it that were judged; exhaustive: they are all there are.
        findings: the effect at each target, the worst first.
        spans: where NaN and infinities came out at the worst target, from low to high; only of what poisons.
        outcomes: which occurred, the severest first.
        max_ulp: the largest |ulp| of loss and gradient; infinite when a result was NaN or infinite.
        recognised: what a callable was recognised as, in words; empty for a registered implementation.
        sure: was that confirmed at points held back?
        advice: for one that harms.
        commands: (what it shows, the command), of what to ask about it next.
        curves: the sweeps it was made of, for what can draw them.
    """

    backends: tuple[str, ...]
    targets: tuple[float, ...]
    low: float
    high: float
    points: int = 0
    exhaustive: bool = False
    findings: tuple[EffectFinding, ...] = ()
    spans: tuple[tuple[float, float], ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    max_ulp: float = 0.0
    recognised: str = ""
    sure: bool = True
    note: str = ""
    advice: Advice | None = None
    commands: tuple[tuple[str, str], ...] = ()
    curves: tuple[SweepRow, ...] = ()

    @property
    def outcome(self) -> Outcome:
        """The severest; unavailable where nothing was judged."""
        return self.outcomes[0] if self.outcomes else Outcome.UNAVAILABLE

    @property
    def harmful(self) -> bool:
        return self.effect is not None and self.effect.effect.harmful

    @property
    def share(self) -> float:
        """The part of the logit axis, over all targets, at which it has its effect."""
        effect = self.effect.effect if self.effect else Effect.SOUND
        shares = [finding.share or 0.0 for finding in self.findings if finding.effect is effect]
        return sum(shares) / len(self.targets) if self.targets else 0.0

    @property
    def loss_error(self) -> float:
        """The largest |loss - definition|."""
        return max((finding.loss_error or 0.0 for finding in self.findings), default=0.0)

    @property
    def grad_error(self) -> float:
        """The largest |gradient - definition|."""
        return max((finding.grad_error or 0.0 for finding in self.findings), default=0.0)

    @property
    def rank(self) -> tuple[int, float, float, str]:
        """Sorts the best first: by effect, by the axis it covers, by ulp, by name. What was not judged comes last."""
        severity = -self.effect.effect.severity if self.effect else 1
        return severity, self.share, self.max_ulp, self.implementation
