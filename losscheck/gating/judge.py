"""Verdicts: what was measured against what a case expects."""

from __future__ import annotations

import math
import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from losscheck.callables.trace_command import trace_command
from losscheck.core.dtypes import Format
from losscheck.core.effect import EffectFinding
from losscheck.core.errors import UserError
from losscheck.core.outcome import Outcome
from losscheck.core.results import PointRow
from losscheck.core.verdict import CaseRow, Verdict
from losscheck.core.which_points import Listed, Range
from losscheck.gating.baseline import FOLDER, Baseline, Recorded, key_of, read_baseline, recorded_of
from losscheck.gating.case import Case
from losscheck.gating.deviations import broken_deviation
from losscheck.gating.effects import broken_effects, refused_effect
from losscheck.gating.load import LoadedCase
from losscheck.gating.measured import Measured, asked_of, measure, place_of
from losscheck.gating.properties import Breach, broken_properties, unequal_bits
from losscheck.gating.values import differs_from_printed
from losscheck.inventory.instructions import environment_class
from losscheck.measure.ask import Asked

__all__ = ["Session", "judge_case"]


@dataclass
class Session:
    """One run of the gate: the baselines it has read, and what it would record.

    Attributes:
        folder: where baselines are; None for the folder ``baseline`` beside each case file.
        update: record instead of comparing; ``allow_worse``: figures that became worse as well.
        asked: the request of each case that could be asked, by its file and name.
    """

    folder: Path | None = None
    update: bool = False
    allow_worse: bool = False
    baselines: dict[Path, Baseline] = field(default_factory=dict)
    found: dict[Path, dict[str, Recorded]] = field(default_factory=dict)
    asked: dict[tuple[Path, str], Asked] = field(default_factory=dict)

    def baseline_of(self, loaded: LoadedCase, measured: Measured) -> Baseline:
        folder = self.folder or loaded.file.parent / FOLDER
        path = folder / f"{environment_class(measured.backend, measured.device)}.json"
        if path not in self.baselines:
            self.baselines[path] = read_baseline(path)
        return self.baselines[path]

    def notes_on(self, loaded: LoadedCase) -> tuple[str, ...]:
        """What is said in words about the callables of a case, after it was judged."""
        asked = self.asked.get((loaded.file, loaded.case.name))
        return asked.remarks() if asked else ()


def judge_case(loaded: LoadedCase, session: Session) -> list[CaseRow]:
    """A row for each quantity of each implementation on each backend, device and dtype; one where what it needs is not installed.

    Raises:
        UserError: for a damaged baseline.
    """
    if absent := [package for package in loaded.case.packages if not is_installed(package)]:
        return [_unmeasured(loaded, f"{' and '.join(absent)} is not installed", Verdict.SKIPPED)]
    try:
        asked = session.asked[loaded.file, loaded.case.name] = asked_of(loaded.case)
        all_measured = measure(loaded.case, asked)
    except UserError as error:
        # A callable that cannot be loaded must not take the other cases with it.
        return [_unmeasured(loaded, f"could not run: {error}", Verdict.UNDECIDED)]
    unequal = unequal_bits(all_measured)
    return [_row(loaded, measured, session, unequal.get(n)) for n, measured in enumerate(all_measured)]


def is_installed(package: str) -> bool:
    """Is a distribution of that name here? Nothing is imported."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        distribution(package)
    except PackageNotFoundError:
        return False
    return True


def _unmeasured(loaded: LoadedCase, reason: str, verdict: Verdict) -> CaseRow:
    case = loaded.case
    return CaseRow(
        case=case.name,
        file=str(loaded.file),
        line=loaded.line,
        loss=case.loss,
        implementation=", ".join(case.implementations),
        backend=", ".join(case.backends) or "any",
        device=", ".join(case.devices),
        dtype=", ".join(case.dtypes),
        quantity=", ".join(case.quantities),
        verdict=verdict,
        reason=reason,
        reproduce=_gate_again(loaded),
    )


def _row(loaded: LoadedCase, measured: Measured, session: Session, unequal: Breach | None) -> CaseRow:
    case = measured.case
    row = CaseRow(
        case=case.name,
        file=str(loaded.file),
        line=loaded.line,
        loss=case.loss,
        implementation=measured.implementation,
        backend=measured.backend,
        device=measured.device,
        mode=measured.mode,
        dtype=measured.dtype.name,
        quantity=measured.quantity,
        verdict=Verdict.PASS,
        points=measured.points,
        counts=measured.counts,
        max_ulp=measured.max_ulp,
        limit=case.expect.limit(measured.dtype.name, measured.quantity) if case.expect.limits_floats else math.inf,
        exhaustive=measured.exhaustive,
        effect=measured.effect,
        source=place_of(case, measured.implementation),
        reproduce=_gate_again(loaded),
    )
    if measured.missing:
        return replace(row, verdict=Verdict.SKIPPED, reason=measured.missing, points=0, counts={})
    if reason := _unjudgeable(measured):
        return replace(row, verdict=Verdict.UNDECIDED, reason=reason, points=0 if measured.failure else row.points)
    breaches, worst, largest = _breaches(measured)
    breaches += [unequal] if unequal else []
    row = replace(row, failing=max((breach.points for breach in breaches), default=0), worst=worst, deviation=largest)
    harmful = refused_effect(measured)
    if worst and breaches and (breaches[0].points or harmful) and case.reduction == "none":
        row = replace(row, reproduce=_compare_again(worst, measured, case.quantities if harmful else [worst.quantity]))
    if worst and breaches and len(worst.logits) == 1:
        request = measured.asked.request
        row = replace(row, trace=trace_command(worst, (worst.logits[0], worst.targets[0]), request.params, request.call_spec))
    if case.known_failure:
        return _known(row, case, measured, breaches)
    if breaches:
        return replace(row, verdict=Verdict.FAIL, reason="; ".join(breach.reason for breach in breaches))
    return _against_baseline(row, loaded, measured, session) if case.expect.recorded else row


def _unjudgeable(measured: Measured) -> str:
    """Why no verdict is possible although the backend and the device are there."""
    if measured.failure:
        return f"could not run: {measured.failure}"
    if not measured.points:
        return "there was nothing to judge"
    if undecided := measured.counts.get(Outcome.UNDECIDED, 0):
        return f"the oracle could not decide {undecided} of {measured.points} points"
    if measured.case.expect.effects and measured.effect is None:
        return "no effect could be judged: reductions, and logits that are infinite or NaN, have none"
    if any(sweep.wrong for sweep in measured.sweeps):
        return "the float64 filter disagreed with the oracle at a checked point: a bug in losscheck, please report it"
    return ""


def _breaches(measured: Measured) -> tuple[list[Breach], PointRow | None, float | None]:
    """Everything broken, beginning with the outcomes; the worst point; the largest deviation where it is judged."""
    expect = measured.case.expect
    bad = {outcome: n for outcome, n in measured.counts.items() if outcome.failed and not expect.allows(outcome.value)}
    breaches, worst = [], _worst(measured, bad)
    if not bad and (effect := refused_effect(measured)):
        worst = _point_of(effect, measured) or worst
    if bad:
        what = ", ".join(f"{n} {outcome.value}" for outcome, n in sorted(bad.items(), key=lambda item: item[0].severity))
        breaches.append(Breach(f"{what} of {measured.points} points, which the case does not allow", sum(bad.values())))
    breaches += broken_effects(measured)
    if numbers := sum(sweep.nan_wrong for sweep in measured.sweeps):
        breaches.append(Breach(f"a number came out for {numbers} NaN logits", numbers))
    if expect.value:
        breaches += [Breach(text, 1) for text in differs_from_printed(measured)]
    deviating, largest = broken_deviation(measured)
    breaches += deviating
    return [*breaches, *broken_properties(measured)], worst, largest


def _worst(measured: Measured, bad: Collection[Outcome]) -> PointRow | None:
    """The worst point of a bad outcome; without any, the worst of all."""
    rows = sorted((row for row in measured.rows if row.value is not None), key=lambda row: row.badness)
    for row in rows:
        if row.outcome in bad:
            return row
    # A range keeps its worst points only, which may all be of an allowed outcome: its regions tell where the others are.
    for sweep in measured.sweeps:
        for region in sweep.regions:
            if region.outcome in bad:
                return measured.again([region.first], [sweep.target])[0]
    if not measured.case.expect.limits_floats:
        return rows[0] if rows else None
    return max(rows, key=lambda row: abs(row.ulp or 0.0)) if rows and not bad else None


def _point_of(effect: EffectFinding, measured: Measured) -> PointRow | None:
    """The point that has the effect."""
    if effect.logit is None or effect.target is None:
        return None
    return measured.again([effect.logit], [effect.target])[0]


def _known(row: CaseRow, case: Case, measured: Measured, breaches: Sequence[Breach]) -> CaseRow:
    known = case.known_failure
    assert known is not None
    if not breaches:
        return replace(
            row,
            verdict=Verdict.FAIL,
            reason=f"a known failure holds now: delete known_failure, or narrow the case to what still fails ({known.link})",
        )
    failed = {outcome.value for outcome, n in measured.counts.items() if n and outcome.failed} - set(case.expect.outcomes)
    if known.outcomes and (new := sorted(failed - set(known.outcomes))):
        what = f"`{', '.join(new)}` is new: it is known to fail with `{', '.join(known.outcomes)}`"
        return replace(row, verdict=Verdict.FAIL, reason=what)
    if known.outcomes and not failed:
        what = f"the known failure (`{', '.join(known.outcomes)}`) is gone, and this is left: {breaches[0].reason}"
        return replace(row, verdict=Verdict.FAIL, reason=what)
    if known.effects and measured.effect and measured.effect.effect.value not in known.effects:
        what = f"`{measured.effect.effect.value}` is new: it is known to be `{', '.join(known.effects)}`"
        return replace(row, verdict=Verdict.FAIL, reason=what)
    return replace(row, verdict=Verdict.KNOWN_FAILURE, reason=f"{known.reason} ({known.link})")


def _against_baseline(row: CaseRow, loaded: LoadedCase, measured: Measured, session: Session) -> CaseRow:
    baseline, now = session.baseline_of(loaded, measured), recorded_of(measured)
    before = baseline.rows.get(key_of(measured))
    if session.update:
        session.found.setdefault(baseline.path, {})[key_of(measured)] = now
        comparable = before is not None and before.question == now.question
        if before and comparable and not session.allow_worse and (worse := now.worse(before)):
            what = f"{', '.join(worse)} for {baseline.name}: nothing was recorded; mend it, or add --allow-worse"
            return replace(row, verdict=Verdict.FAIL, reason=what)
        return row
    if before is None:
        what = f"nothing is recorded for {baseline.name}: run `losscheck gate --update-baseline` on such a machine"
        return replace(row, verdict=Verdict.NOT_COMPARABLE, reason=what)
    if (before.points, before.question) != (now.points, now.question):
        what = "other points or parameters are recorded than are judged: run `losscheck gate --update-baseline`"
        return replace(row, verdict=Verdict.NOT_COMPARABLE, reason=what)
    if worse := now.worse(before):
        return replace(row, verdict=Verdict.FAIL, reason=f"{', '.join(worse)} for {baseline.name}{_measured_on(baseline)}")
    if measured.exhaustive and (better := now.better(before)):
        what = f"{', '.join(better)} for {baseline.name}: tighten it with `losscheck gate --update-baseline`"
        return replace(row, verdict=Verdict.BETTER, reason=what)
    return row


def _measured_on(baseline: Baseline) -> str:
    frameworks = baseline.environment.get("frameworks")
    versions = ", ".join(f"{name} {version}" for name, version in frameworks.items()) if isinstance(frameworks, dict) else ""
    return f" (recorded on {baseline.environment.get('cpu', 'another machine')}; {versions})" if versions else ""


def _gate_again(loaded: LoadedCase) -> str:
    return shlex.join(["losscheck", "gate", str(loaded.file), "--case", loaded.case.name, "-v"])


def _compare_again(worst: PointRow, measured: Measured, quantities: Sequence[str]) -> str:
    """The command that shows one point; a tail of three elements is not what compare evaluates."""
    dtype: Format = measured.dtype
    layouts = {sweep.layout for sweep in measured.sweeps if sweep.target == worst.targets[0]}
    logit, target = dtype.shortest(worst.logits[0]), dtype.shortest(worst.targets[0])
    request = replace(
        measured.asked.request,
        points=Range(logit, logit, (target,), layout="tail") if layouts == {"tail"} else Listed((logit,), (target,)),
        impl=(worst.implementation,),
        backends=(worst.backend,),
        dtypes=(dtype.name,),
        devices=(worst.device,),
        modes=(measured.mode,),
        quantities=tuple(quantities),
        max_ulp=measured.case.expect.limit(dtype.name, worst.quantity),
    )
    return request.command_line(always=("dtype", "quantity"))
