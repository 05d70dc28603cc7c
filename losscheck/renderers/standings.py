"""How the implementations of a report stand: one standing each, worst effect first. The verdict of a page and of a notebook."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from losscheck.core.effect import Effect, EffectFinding
from losscheck.core.outcome import Outcome
from losscheck.core.ranking import RankedRow
from losscheck.core.report import Report
from losscheck.core.results import CountedRow, PointRow, Row, SweepRow
from losscheck.renderers.effects import finding_text
from losscheck.renderers.figures import params_text
from losscheck.renderers.names import RowNames
from losscheck.renderers.severity import Severity, severity_of

__all__ = ["Standing", "answer", "standings"]

_NAMED = 4  # in one sentence


@dataclass(frozen=True)
class Standing:
    """One implementation, on the backends that stand alike.

    Attributes:
        heading: loss, dtype and parameters, which it shares with those it is compared with.
        effect: the worst of its rows; None where none was judged.
        outcome: the severest of its rows.
        words: what shows it.
    """

    heading: str
    name: str
    effect: Effect | None
    outcome: Outcome
    words: str
    rows: tuple[Row, ...]

    @property
    def severity(self) -> Severity:
        return severity_of(self.effect or self.outcome)

    @property
    def finding(self) -> EffectFinding | None:
        """The effect with its facts, as its row has it."""
        return next(iter(_by_severity(self.rows)), None)

    @property
    def harmful(self) -> bool:
        return self.effect is not None and self.effect.harmful

    @property
    def drawable(self) -> list[SweepRow]:
        """The sweeps that have a curve: its rows, or what its ranking was made of."""
        sweeps = [sweep for row in self.rows for sweep in (row.curves if isinstance(row, RankedRow) else (row,))]
        return [sweep for sweep in sweeps if isinstance(sweep, SweepRow) and sweep.profile]

    @property
    def word(self) -> str:
        """The effect, or the outcome where effects were not judged."""
        return self.effect.value if self.effect else self.outcome.value


def standings(report: Report) -> list[Standing]:
    """By heading in the order of first appearance, and within one the worst effect first, then what covers most logits."""
    rows: Sequence[Row] = (*report.rows, *report.sweeps, *report.tensors, *report.ranking)
    name, heading = RowNames(rows), _headings(rows)
    subjects: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        layout = row.layout if isinstance(row, SweepRow) else ""
        subjects.setdefault((heading[_judged_together(row)], row.implementation, row.device, layout, row.mode, row.backend), []).append(row)
    alike: dict[tuple[object, ...], list[Row]] = {}
    for (*key, _), group in subjects.items():
        worst = _worst(group)
        # What does the same to training is told once, by the worse of them, though the digits of its error differ.
        agree = (worst.effect, worst.truth) if worst else (min(map(_outcome, group), key=lambda outcome: outcome.severity), _words(group))
        alike.setdefault((*key, *agree), []).extend(group)
    several = {key[:5] for key in alike if sum(other[:5] == key[:5] for other in alike) > 1}
    found = [_standing(str(key[0]), key[:5] in several, group, name) for key, group in alike.items()]
    order = list(dict.fromkeys(standing.heading for standing in found))
    return sorted(found, key=lambda standing: (order.index(standing.heading), *_badness(standing)))


def answer(found: Sequence[Standing]) -> str:
    """One sentence: the best of them, and how many harm training; empty where no effect was judged."""
    worst: dict[tuple[str, str], Effect] = {}  # of one name over its dtypes
    for standing in found:
        if standing.effect:
            key = standing.rows[0].loss, standing.name
            worst[key] = min(worst.get(key, standing.effect), standing.effect, key=lambda effect: effect.severity)
    judged = [(name, effect) for (_, name), effect in worst.items()]
    if not judged:
        return ""
    best = max((effect for _, effect in judged), key=lambda effect: effect.severity)
    names = list(dict.fromkeys(name for name, effect in judged if effect is best))
    shown = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    harm = sum(effect.harmful for _, effect in judged)
    if len(judged) == 1:
        return f"{shown} {'harms training' if harm else 'is harmless'}: {best.value}."
    if harm == len(judged):
        return f"{'Both' if harm == 2 else f'All {harm}'} harm training; the mildest: {shown} ({best.value})."
    return f"Best here: {shown} ({best.value}). {harm or 'None'} of {len(judged)} {'harms' if harm == 1 else 'harm'} training."


def heading_of(row: Row) -> str:
    """'bce, float32, pos_weight=1'"""
    dtype = f"{row.dtype} from {row.logit_dtype} logits" if row.logit_dtype else row.dtype
    params = params_text(row.params, row.given_dtype).replace("  ", ", ")
    return ", ".join(part for part in (row.loss, dtype, params) if part)


def _headings(rows: Sequence[Row]) -> dict[tuple[object, ...], str]:
    """Of each loss with its gradient: a loss that is wider than its logits gives the name, whatever its gradient is."""
    headings: dict[tuple[object, ...], str] = {}
    for row in sorted(rows, key=lambda row: not row.logit_dtype):
        headings.setdefault(_judged_together(row), heading_of(row))
    return headings


def _judged_together(row: Row) -> tuple[object, ...]:
    return row.loss, row.implementation, row.backend, row.device, row.mode, row.given_dtype, tuple(row.params.items())


def _standing(heading: str, tell_backends: bool, group: Sequence[Row], name: RowNames) -> Standing:
    worst = _worst(group)
    outcome = min((_outcome(row) for row in group), key=lambda outcome: outcome.severity)
    backends = list(dict.fromkeys(row.backend for row in group))
    shown = name(group[0], backend=tell_backends and len(backends) == 1)
    if tell_backends and len(backends) > 1:
        shown += f" ({', '.join(backends)})"
    return Standing(heading, shown, worst.effect if worst else None, outcome, _words(group), tuple(group))


def _outcome(row: Row) -> Outcome:
    assert isinstance(row, PointRow | CountedRow | RankedRow)
    return row.outcome


def _worst(rows: Sequence[Row]) -> EffectFinding | None:
    """The severest effect; of several findings that have it the one that covers most logits, with the largest errors of all."""
    findings = _by_severity(rows)
    if not findings:
        return None
    worst = findings[0]
    loss = [finding.loss_error for finding in findings if finding.loss_error is not None]
    grad = [finding.grad_error for finding in findings if finding.grad_error is not None]
    return replace(worst, loss_error=max(loss, default=None), grad_error=max(grad, default=None))


def _by_severity(rows: Sequence[Row]) -> list[EffectFinding]:
    """The worst first; of one effect what covers most of the logits, then the largest error."""
    findings = [row.effect for row in rows if row.effect]
    return sorted(findings, key=lambda finding: (finding.effect.severity, -(finding.share or 0.0), -_error(finding)))


def _error(finding: EffectFinding) -> float:
    if finding.value is None or finding.exact is None:
        return max(finding.loss_error or 0.0, finding.grad_error or 0.0)
    error = abs(finding.value - finding.exact)
    return math.inf if math.isnan(error) else error


def _words(group: Sequence[Row]) -> str:
    worst = _worst(group)
    if worst is None:
        return next((row.reason for row in group if row.reason), "")
    ranges = [(row.low, row.high) for row in group if isinstance(row, SweepRow | RankedRow)]
    low, high = ranges[0] if ranges else (math.nan, math.nan)
    findings = _by_severity(group)
    others = [finding.effect.value for finding in findings if finding.effect.harmful and finding.effect is not worst.effect]
    also = f"; also {others[0]}" if others else ""
    return finding_text(findings, low, high, group[0].given_dtype, max(map(_max_ulp, group))) + also


def _max_ulp(row: Row) -> float:
    if isinstance(row, PointRow):
        return math.inf if row.ulp is not None and math.isnan(row.ulp) else abs(row.ulp or 0.0)
    return row.max_ulp if isinstance(row, CountedRow | RankedRow) else 0.0


def _badness(standing: Standing) -> tuple[float, ...]:
    worst = _worst(standing.rows)
    effect = worst.effect.severity if worst else len(Effect)
    return effect, -(worst.share or 0.0) if worst else 0.0, standing.outcome.severity, -max(map(_max_ulp, standing.rows))
