"""The elements of a dumped batch that harm training: index, logit and target, what came out and what is right, why, and the
command that shows one alone. The first lines of a report, and of an AssertionError in a training loop."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from losscheck.core.batch_rows import Element, TensorRow
from losscheck.core.dtypes import FORMATS
from losscheck.core.effect import Effect, EffectFinding, Truth
from losscheck.core.outcome import Outcome
from losscheck.core.ranking import Advice
from losscheck.core.report import Report
from losscheck.renderers.document import Block, Entry, Listing, Sentence
from losscheck.renderers.effects import at_most, judged, left_by, rough
from losscheck.renderers.severity import severity_of
from losscheck.renderers.standings import Standing, standings

__all__ = ["culprits"]

_MOST = 3  # told in full
# Options of a report's command that single out a batch or a subject, each with its value.
_OF_A_BATCH = ("--tensors", "--names", "--reduction", "--fail-on", "--loss", "--impl", "--backend", "--dtype", "--quantity")


def culprits(report: Report) -> Iterator[Block]:
    """An entry for each implementation that harms training, worst first; one sentence where none does."""
    found = [standing for standing in standings(report) if standing.effect]
    harmful = sorted((standing for standing in found if standing.harmful), key=lambda standing: _severity(standing.finding))
    yield from (_entry(report, standing) for standing in harmful[:_MOST])
    if left := harmful[_MOST:]:
        names = ", ".join(dict.fromkeys(f"{standing.name} ({standing.word})" for standing in left))
        yield Listing((Sentence(f"... and {len(left)} more that harm training: {names}.", left[0].severity),))
    if found and not harmful:
        findings = [row.effect for row in report.tensors if row.effect]
        who = f"None of {len(found)} implementations harms" if len(found) > 1 else f"{found[0].name} does not harm"
        yield Listing((Sentence(f"{who} training on this batch: {at_most(findings)}."),))


def _severity(finding: EffectFinding | None) -> int:
    return finding.effect.severity if finding else 0


def _entry(report: Report, standing: Standing) -> Entry:
    rows = [row for row in standing.rows if isinstance(row, TensorRow)]
    row = next(row for row in rows if row.effect == standing.finding)
    finding = row.effect
    assert finding is not None and finding.logit is not None and finding.target is not None
    shortest = FORMATS[row.given_dtype].shortest
    quantity = "gradient" if finding.quantity == "grad" else "loss"
    advice = next((row.advice for row in rows if row.advice), Advice())
    at = f"logit {shortest(finding.logit)}, target {shortest(finding.target)}"
    # The first three lines answer: what came out, where and what to write; all of the why comes after.
    blamed = f"{advice.place} `{advice.code}`: {advice.cause}" if advice.place and advice.code else ""
    first = f"{'; '.join(filter(None, (at, blamed or _instead(report, standing))))}."
    after = [f"{judged(finding, advice)}."] if advice.write else []
    after += [f"why: {_cause(advice) or finding.effect.words}{_why(rows, finding)}."]
    place = f"element {list(finding.index)}" if finding.index else "one element"
    return Entry(
        finding.effect.value,
        f"{standing.name}, {place}" if len({row.loss for row in report.tensors}) == 1 else f"{row.loss} {standing.name}, {place}",
        f"{quantity} {rough(finding.value)} where {rough(finding.exact)} is right",
        (first,),
        _alone(report, row, finding),
        severity_of(finding.effect),
        advice.write,
        "besides" if left_by(advice, finding) else "write",
        tuple(after),
    )


def _cause(advice: Advice) -> str:
    return ": ".join(filter(None, (advice.place, advice.why)))


def _instead(report: Report, standing: Standing) -> str:
    """What there is that harms nobody on this batch, where several were judged."""
    others = [other for other in standings(report) if other.heading == standing.heading and other.effect and not other.harmful]
    best = min(others, key=lambda other: (-other.effect.severity if other.effect else 0, other.name), default=None)
    return f"instead: {best.name}, which is {'sound' if best.effect is Effect.SOUND else 'harmless'} on this batch" if best else ""


def _why(rows: Sequence[TensorRow], finding: EffectFinding) -> str:
    """Whose fault it is: the formula's, with its note where there is one, or the arithmetic's; and how many elements are like it."""
    if finding.truth is Truth.DEVIATION:
        note = next((element.point.note for row in rows if (element := row.deviation) and element.point.note), "")
        return f"; by its own formula, not by rounding{f' ({note})' if note else ''}"
    element = _element(rows, finding)
    if element is None:
        return ""
    outcome = element.point.outcome
    count = next((row.counts.get(outcome, 0) for row in rows if element in (*row.first, *row.worst)), 0)
    return f"; {count} elements are {outcome.value}" if count > 1 and outcome is not Outcome.OK else ""


def _element(rows: Sequence[TensorRow], finding: EffectFinding) -> Element | None:
    quantity = [row for row in rows if row.quantity == finding.quantity]
    elements = (element for row in quantity for element in (*row.first, *row.worst))
    return next((element for element in elements if element.index == finding.index), None)


def _alone(report: Report, row: TensorRow, finding: EffectFinding) -> str:
    """The report's own command with one point for the batch; nothing where it cannot be typed: a callable of this process."""
    if not (report.batches and report.batches[0].files):
        return ""
    words = iter(shlex.split(report.reproduce))
    kept: list[str] = []
    for word in words:
        if word in _OF_A_BATCH:
            next(words, None)
        else:
            kept.append(word)
    assert finding.logit is not None and finding.target is not None
    shortest = FORMATS[row.given_dtype].shortest
    point = ["--logit", shortest(finding.logit), "--target", shortest(finding.target), "--loss", row.loss, "--impl", row.implementation]
    return shlex.join([*kept, *point, "--backend", row.backend, "--dtype", row.given_dtype])
