"""An effect in words: what came out where what is right, and over which logits."""

from __future__ import annotations

import math
from collections.abc import Sequence

from losscheck.core.dtypes import FORMATS
from losscheck.core.effect import Effect, EffectFinding, Truth
from losscheck.core.outcome import Outcome
from losscheck.core.ranking import Advice
from losscheck.core.request import DEFAULT_MAX_ULP
from losscheck.core.results import SweepRow

__all__ = ["at_most", "effect_sentence", "finding_text", "judged", "left_by", "refused_text", "rough", "spans_text", "where_text"]

MANY_CELLS = 1e6  # as many easy cells as a few heatmaps have


def rough(value: float | None) -> str:
    """A number to two or three digits, as people say it: 0.0155, 4.8e-07, 100, -inf, NaN."""
    if value is None:
        return "?"
    if math.isnan(value):
        return "NaN"
    if not math.isfinite(value):
        return repr(value)
    text = f"{value:.3g}" if 1e-4 <= abs(value) < 1e6 else f"{value:.2g}"
    return "0" if value == 0 else text


def where_text(finding: EffectFinding, low: float, high: float, dtype: str) -> str:
    """'logits above 16.64, target 0': where a range shows the effect; a point where there is no range."""
    shortest = FORMATS[dtype].shortest
    target = "" if finding.target is None else f", target {shortest(finding.target)}"
    first, last = finding.first, finding.last
    if first is None or last is None:
        return "" if finding.logit is None else f"logit {shortest(finding.logit)}{target}"
    if first == last:
        return f"logit {shortest(abs(first) if first == 0 else first)}{target}"
    if first <= low and last >= high:
        return f"everywhere{target}" if (finding.share or 0.0) > 0.99 else f"logits {rough(first)} to {rough(last)}, in parts{target}"
    if last >= high:
        return f"logits above {_end(first)}{target}"
    if first <= low:
        return f"logits below {_end(last)}{target}"
    return f"logits {_end(first)} to {_end(last)}{target}"


def spans_text(spans: Sequence[tuple[float, float]], low: float, high: float) -> str:
    """'logits below -88.72 and above 16.64'"""
    parts = []
    for first, last in spans:
        below, above = first <= low, last >= high
        parts.append("everywhere" if below and above else f"below {_end(last)}" if below else f"above {_end(first)}" if above else "")
        parts[-1] = parts[-1] or (_end(first) if first == last else f"{_end(first)} to {_end(last)}")
    shown = parts[:2] if len(parts) <= 2 else [parts[0], f"in {len(parts) - 1} more runs"]
    return "" if not parts else " and ".join(shown) if parts == ["everywhere"] else f"logits {' and '.join(shown)}"


def refused_text(rows: Sequence[SweepRow], low: float, high: float) -> str:
    """'logits below -60.02 and above 60.02: ValueError: too large (mine.py:10)', at the targets that have most; "" where none is."""
    refusing = [row for row in rows if row.refusal]
    if not refusing:
        return ""
    spans = [[(region.first, region.last) for region in row.regions if region.outcome is Outcome.UNAVAILABLE] for row in refusing]
    longest = max(spans, key=lambda ends: sum(last - first for first, last in ends))
    return f"{spans_text(longest, low, high)}: {refusing[0].refusal}"


def effect_sentence(
    finding: EffectFinding, low: float, high: float, dtype: str, max_ulp: float = 0.0, spans: Sequence[tuple[float, float]] = ()
) -> str:
    """One line: 'gradient 0 where 1 is right, logits above 16.64, target 0'.

    Of ``tails`` and ``sound``, how far off the worst is; ``max_ulp``: the largest error of a sound one; ``spans``: where,
    when it is in several runs.
    """
    if finding.effect is Effect.SOUND:
        return f"every result within {rough(max(max_ulp, 0.5))} ulp" if math.isfinite(max_ulp) else "every result is right"
    if finding.effect is Effect.TAILS:
        return _tails(finding)
    name = "gradient" if finding.quantity == "grad" else "loss"
    what = f"{name} {rough(finding.value)} where {rough(finding.exact)} is right"
    blame = ", by its own formula" if finding.truth is Truth.DEVIATION else ""
    where = where_text(finding, low, high, dtype)
    if spans and finding.target is not None:
        where = f"{spans_text(spans, low, high)}, target {FORMATS[dtype].shortest(finding.target)}"
    return ", ".join(filter(None, (what, where))) + blame


def finding_text(findings: Sequence[EffectFinding], low: float, high: float, dtype: str, max_ulp: float = 0.0) -> str:
    """One short line about an implementation, of the findings of its targets or points, the one to be told first; nothing
    without one. As :func:`effect_sentence`, but that beside a NaN it does not matter which number is right."""
    if not findings:
        return ""
    worst = findings[0]
    if worst.effect is Effect.SOUND:
        return f"within {rough(max(max_ulp, 0.5))} ulp" if math.isfinite(max_ulp) else at_most(findings)
    if not worst.effect.harmful:
        return at_most(findings)
    name = "gradient" if worst.quantity == "grad" else "loss"
    right = "" if worst.effect is Effect.POISONS else f" where {rough(worst.exact)} is right"
    where = where_text(worst, low, high, dtype)
    if len(worst.parts) > 1 and worst.target is not None:
        where = f"{spans_text(worst.parts, low, high)}, target {FORMATS[dtype].shortest(worst.target)}"
    blame = ", by its formula" if worst.truth is Truth.DEVIATION else ""
    return f"{name} {rough(worst.value)}{right}{f', {where}' if where else ''}{blame}"


def at_most(findings: Sequence[EffectFinding]) -> str:
    """'loss off by at most 4.8e-07, gradient by 8.8e-08'; 'exact' where nothing is off"""
    parts: list[str] = []
    exact = True
    for name in ("loss", "gradient"):
        errors = [finding.loss_error if name == "loss" else finding.grad_error for finding in findings]
        known = [error for error in errors if error is not None]
        if known:
            parts.append(f"{name} {'by' if parts else 'off by at most'} {rough(max(known))}")
            exact &= max(known) == 0
    return "exact" if parts and exact else ", ".join(parts)


def _tails(finding: EffectFinding) -> str:
    loss = finding.loss_error
    total = f"; a million such elements add up to {rough(loss * MANY_CELLS)}" if loss else ""
    return at_most([finding]) + total


def _end(logit: float) -> str:
    """The end of a region to four digits: exact ends are with -v and in JSON."""
    return "0" if logit == 0 else f"{logit:.4g}"


# What was measured of what is to be written ---------------------------------------------------------------------------


def judged(finding: EffectFinding | None, advice: Advice) -> str:
    """'judged: within 1.45 ulp in the loss, 1.3 in the gradient', and what it does not mend of a finding."""
    if advice.after is None:
        return ""
    # Many ulp that harm nobody need a word; few do not.
    after = advice.after_effect if max(advice.after) > DEFAULT_MAX_ULP else None
    tails = "harmless tails, " if after is not None and after.effect is Effect.TAILS else ""
    within = f"judged: {tails}within {rough(advice.after[0])} ulp in the loss, {rough(advice.after[1])} in the gradient"
    if advice.changes_meaning:
        within += ", of the loss without its guard"
    if not advice.diff:
        within += "; x is the logit, z the target"
    if advice.hard_targets_only:
        return f"{within}; for targets 0 and 1: at soft ones it is something else"
    left = left_by(advice, finding)
    if left is None:
        return within
    part, whose = ("the rounding alone", " by its own formula") if left.truth is Truth.DEVIATION else ("a part of it", "")
    return f"{within}; it mends {part}, and still {_VERBS[left.effect]}{whose}"


def left_by(advice: Advice, finding: EffectFinding | None) -> EffectFinding | None:
    """The harm that what is to be written leaves, as it was tried: a formula that is not the loss's stays what it is."""
    left = advice.after_effect
    return left if left is not None and finding is not None and left.effect is finding.effect and left.effect.harmful else None


_VERBS = {
    Effect.POISONS: "poisons",
    Effect.MISDIRECTS: "misdirects",
    Effect.DEAD: "leaves it dead",
    Effect.MISSTATES: "misstates",
}
