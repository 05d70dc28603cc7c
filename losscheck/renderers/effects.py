"""An effect in words: what came out where what is right, and over which logits."""

from __future__ import annotations

import math
from collections.abc import Sequence

from losscheck.core.dtypes import FORMATS
from losscheck.core.effect import Effect, EffectFinding, Truth

__all__ = ["at_most", "effect_sentence", "effect_word", "finding_text", "rough", "where_text", "worst_finding"]

MANY_CELLS = 1e6  # as many easy cells as a few heatmaps have


def rough(value: float | None) -> str:
    """A number to two or three digits, as people say it: 0.0155, 4.8e-07, 100, -inf."""
    if value is None:
        return "?"
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else repr(value)
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
        return f"logit {shortest(first)}{target}"
    if first <= low and last >= high and (finding.share or 0.0) > 0.99:
        return f"everywhere{target}"
    parts = finding.parts or ((first, last),)
    told = " and ".join(_part(*part, low, high) for part in parts)
    dotted = ", in parts" if (first, last) == parts[0] and _has_gaps(finding, low, high) else ""
    return f"logits {told}{dotted}{target}"


def _part(first: float, last: float, low: float, high: float) -> str:
    if first == last:
        return _end(first)
    if last >= high > first > low:
        return f"above {_end(first)}"
    return f"below {_end(last)}" if first <= low < last < high else f"{_end(first)} to {_end(last)}"


def _has_gaps(finding: EffectFinding, low: float, high: float) -> bool:
    """Is what its regions cover less than what lies between their ends?"""
    if finding.share is None or finding.first is None or finding.last is None:
        return False
    return finding.share * (high - low) < 0.99 * (finding.last - finding.first)


def effect_sentence(finding: EffectFinding, low: float, high: float, dtype: str, max_ulp: float = 0.0) -> str:
    """One line: 'gradient 0 where 1 is right, logits above 16.64, target 0'.

    Of ``tails`` and ``sound``, how far off the worst is; ``max_ulp``: the largest error of a sound one.
    """
    if finding.effect is Effect.SOUND:
        return f"within {rough(max(max_ulp, 0.5))} ulp" if math.isfinite(max_ulp) else "every result is right"
    if finding.effect is Effect.TAILS:
        total = f"; a million such elements add up to {rough(finding.loss_error * MANY_CELLS)}" if finding.loss_error else ""
        return at_most([finding]) + total
    name = "gradient" if finding.quantity == "grad" else "loss"
    # Beside a NaN it does not matter which number is right.
    right = "" if finding.effect is Effect.POISONS else f" where {rough(finding.exact)} is right"
    what = f"{name} {rough(finding.value)}{right}"
    blame = ", by its formula" if finding.truth is Truth.DEVIATION else ""
    return ", ".join(filter(None, (what, where_text(finding, low, high, dtype)))) + blame


def effect_word(effect: Effect | None) -> str:
    return effect.value if effect else "not judged"


def worst_finding(findings: Sequence[EffectFinding]) -> EffectFinding | None:
    """The severest effect; of several findings that have it the one that covers most of the logits, then the largest error."""
    return min(findings, key=lambda finding: (finding.effect.severity, -(finding.share or 0.0), -_error(finding)), default=None)


def _error(finding: EffectFinding) -> float:
    if finding.value is None or finding.exact is None:
        return max(finding.loss_error or 0.0, finding.grad_error or 0.0)
    error = abs(finding.value - finding.exact)
    return math.inf if math.isnan(error) else error


def finding_text(
    findings: Sequence[EffectFinding], low: float = math.nan, high: float = math.nan, dtype: str = "float64", max_ulp: float = math.nan
) -> str:
    """One line about an implementation: as :func:`effect_sentence` of its worst finding; of what is harmless, how far off all are.

    Args:
        findings: one for each target or point.
        low, high: the range that was swept; NaN for single points.
        max_ulp: the largest error of all; NaN where it is not to be told.
    """
    worst = worst_finding(findings)
    if worst is None:
        return ""
    if worst.effect is Effect.SOUND and not math.isnan(max_ulp):
        return effect_sentence(worst, low, high, dtype, max_ulp)
    return effect_sentence(worst, low, high, dtype) if worst.effect.harmful else at_most(findings)


def at_most(findings: Sequence[EffectFinding]) -> str:
    """'loss off by at most 4.8e-07, gradient by 8.8e-08'"""
    parts: list[str] = []
    for name in ("loss", "gradient"):
        errors = [finding.loss_error if name == "loss" else finding.grad_error for finding in findings]
        known = [error for error in errors if error is not None]
        if known:
            parts.append(f"{name} {'by' if parts else 'off by at most'} {rough(max(known))}")
    return ", ".join(parts)


def _end(logit: float) -> str:
    """The end of a region to four digits: exact ends are with -v and in JSON."""
    return f"{logit:.4g}"
