"""What `check` does: names and callables become sweeps over the loss's own targets, and those a ranking."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from losscheck.advice.judged_as import judged_as
from losscheck.advice.next_steps import next_steps
from losscheck.advice.ranking import ranked
from losscheck.callables.calling import call_alone
from losscheck.callables.loading import is_spec
from losscheck.callables.printed import stdout_to_stderr
from losscheck.callables.recognition import Confidence, Recognition
from losscheck.callables.refusal import reason_of
from losscheck.core.call_spec import PLAIN_CALL, CallSpec
from losscheck.core.dtypes import FORMATS
from losscheck.core.effect import EffectFinding
from losscheck.core.files import near
from losscheck.core.ranking import RankedRow
from losscheck.core.results import SweepRow
from losscheck.core.which_points import Listed, Range
from losscheck.measure.ask import Asked, ask
from losscheck.measure.compare import compare
from losscheck.measure.engines import References
from losscheck.measure.onset import search_harm
from losscheck.measure.sweep import run_tasks, tasks_of
from losscheck.measure.sweep_rows import rows_of
from losscheck.measure.task import Finding, Task
from losscheck.points.grid import Grid, sampled_grid

__all__ = ["Checked", "check"]

SAMPLE = 300  # logits of a float32 range besides the landmarks; regions have exact ends whatever it is
RANGE = ("-100", "100")


@dataclass(frozen=True)
class Checked:
    """What was found: the ranking, its definitions, sentences about callables, and what a callable was recognised as."""

    rows: tuple[RankedRow, ...]
    definitions: dict[str, str]
    remarks: tuple[str, ...]
    devices: tuple[str, ...]


def check(
    what: Sequence[str],
    *,
    loss: Sequence[str] = (),
    dtype: Sequence[str] = (),
    device: Sequence[str] = ("cpu",),
    backend: Sequence[str] = (),
    call_spec: CallSpec = PLAIN_CALL,
    params: dict[str, Any] | None = None,
    say: Callable[[str], None] = lambda words: None,
) -> Checked:
    """Judge implementations by what they do to training.

    Args:
        what: names or globs of implementations, and specs of callables; all that ship and run here when there is none.
        loss: only of these losses; for callables, instead of recognising which loss they are.
        dtype: float32 for everything there is, float32, bfloat16 and float16 for what is named.
        backend: on which to run, instead of all that an implementation runs on, or of the framework that a callable shows.
        call_spec, params: how a callable is called, and parameters of the loss, where recognising them is not wanted.
        say: is told what is being done.

    Raises:
        UserError: for a name there is none of, and a callable that cannot be called or is recognised as no loss.
    """
    dtypes = tuple(dtype) or (("float32", "bfloat16", "float16") if what else ("float32",))
    specs = [name for name in what if is_spec(name)]
    names = [name for name in what if not is_spec(name)]
    call_spec.check_names(specs)
    where: dict[str, Any] = {"dtype": tuple(dtypes), "device": tuple(device), "backend": tuple(backend)}
    asked: list[tuple[Asked, Recognition | None]] = []
    remarks: list[str] = []
    if names or not specs:
        asked.append((_asked(loss, names, where, PLAIN_CALL, params), None))
    for spec in specs:
        say(f"which loss is {near(spec)}?")
        known = judged_as(spec, loss, call_spec.of(spec), params or {}, backend)
        given = {**known.params, **(params or {})}
        asked.append((_asked((known.loss.name,), (spec,), where, known.call_spec, given), known))
    rows: list[RankedRow] = []
    for request, recognition in asked:
        tasks = _tasks(request, every_float=bool(dtype))
        first, *others = dict.fromkeys(near(task.subject.implementation.name) for task in tasks)
        say(f"judging {first}{f' and {len(others)} more' if others else ''}")
        found = ranked(_swept(tasks, searched=bool(what)))
        rows += [_told(_nearest_to_zero(row, request), recognition, request) for row in found]
    if what:
        say("looking for what to write instead")
        rows = _advised(rows, asked)
    rows = [replace(row, commands=next_steps(row, _request_of(row, asked))) for row in rows]
    definitions: dict[str, str] = {}
    for request, _ in asked:
        definitions |= request.selection.definitions()
        remarks += request.remarks()
    return Checked(tuple(_in_order(rows)), definitions, tuple(dict.fromkeys(remarks)), tuple(device))


def _asked(
    loss: Sequence[str],
    impl: Sequence[str],
    where: dict[str, Any],
    call_spec: CallSpec,
    params: dict[str, Any] | None,
) -> Asked:
    """The request about the usual range; ``where``: dtypes, devices and backends."""
    return ask(Range(*RANGE, points=SAMPLE), loss=tuple(loss), impl=tuple(impl), params=params, call_spec=call_spec, **where)


def _tasks(asked: Asked, *, every_float: bool = False) -> list[Task]:
    """What is swept: every float of the 16-bit dtypes, but where that would be a hundred thousand calls and nobody asked for it."""
    tasks = tasks_of(asked.request, asked.selection)
    return [task if every_float or not (task.grid.exhaustive and _loops(task)) else replace(task, grid=_sample(task)) for task in tasks]


def _loops(task: Task) -> bool:
    """Does every logit of a callable take a call of its own, because no batch can be made of them in this dtype?"""
    subject = task.subject
    return call_alone(subject.implementation.function, subject.backend, task.grid.dtype, subject.device)


def _sample(task: Task) -> Grid:
    marks = [mark.logit for mark in task.loss.landmarks(task.grid.dtype)]
    return sampled_grid(task.grid.dtype, task.grid.low, task.grid.high, SAMPLE, "both", marks)


def _swept(tasks: Sequence[Task], *, searched: bool = False) -> list[SweepRow]:
    """Their rows; ``searched``: what harms is looked for before the floats where it was found to begin."""
    findings = [Finding() for _ in tasks]
    run_tasks(tasks, findings)
    if searched:
        references = References()
        for task, finding in zip(tasks, findings, strict=True):
            if finding.summaries:
                _search(task, finding, references)
    return rows_of(tasks, findings)


def _search(task: Task, finding: Finding, references: References) -> None:
    try:
        with stdout_to_stderr():
            search_harm(task, finding.summaries, references)
    except Exception as error:
        reason_of(error, task.subject.implementation)  # a bug of ours goes on; code of the reader's that takes no such batch stays bisected


def _nearest_to_zero(row: RankedRow, asked: Asked) -> RankedRow:
    """A row that poisons, shown where it begins to: at the logit nearest to 0 that gives no number, and not at the far end."""
    ends = [end for span in row.spans for end in span]
    return (_alone(row, min(ends, key=abs), asked) or row) if ends else row


def _at_far_end(row: RankedRow, asked: Asked) -> RankedRow | None:
    """The same at the far end, for a trace that shows nothing where it begins: kernels take other instructions for one number alone than
    inside an array, and may fail there a little later."""
    ends = [end for span in row.spans for end in span]
    return _alone(row, max(ends, key=abs), asked) if ends else None


def _alone(row: RankedRow, logit: float, asked: Asked) -> RankedRow | None:
    """The row with what one logit by itself shows; None where that is not its effect."""
    worst = row.effect
    if worst is None or worst.target is None:
        return None
    dtype = FORMATS[row.given_dtype]
    point = Listed((dtype.shortest(logit),), (dtype.shortest(worst.target),))
    request = replace(
        asked.request,
        points=point,
        losses=(row.loss,),
        impl=(row.implementation,),
        backends=(row.backend,),
        dtypes=(row.given_dtype,),
        quantities=("loss", "grad"),
    )
    effects = [point.effect for point in compare(request) if point.effect is not None]
    if not effects or effects[0].effect is not worst.effect:
        return None
    there = replace(worst, quantity=effects[0].quantity, value=effects[0].value, exact=effects[0].exact, logit=logit)
    return replace(row, effect=there, findings=(there, *row.findings[1:]))


def _told(row: RankedRow, recognition: Recognition | None, asked: Asked) -> RankedRow:
    """With what is known of the callable beside it."""
    if recognition is None:
        return row
    sure = recognition.confidence in (Confidence.AGREES, Confidence.OWN)
    deviation = recognition.deviation.sentence if not sure else ""
    if deviation and recognition.deviation.changes:
        from losscheck.callables.diagnose import diagnose
        from losscheck.callables.standing import stands

        (implementation,) = asked.selection.of(recognition.loss)
        dtype = FORMATS[row.given_dtype]
        if dtype.bits == 16:  # what a guard does in the dtype that it was found in, 16 bits may round away
            deviation = diagnose(recognition.loss, implementation, recognition.params, (dtype,)).sentence or deviation
        deviation = f"{stands(recognition.loss, implementation, recognition.params)}{deviation}"
    return replace(row, recognised=recognition.words, sure=sure, note=deviation or row.note)


def _advised(rows: Sequence[RankedRow], asked: Sequence[tuple[Asked, Recognition | None]]) -> list[RankedRow]:
    """Why and what to write, for each implementation that harms, in the first dtype in which it does."""
    from losscheck.advice.why import advice_on, blame_on, with_why_of

    advised: set[tuple[str, str]] = set()
    result = []
    for row in rows:
        key = (row.loss, row.implementation)
        if row.harmful and key not in advised and "torch" in row.backends:
            advised.add(key)
            request = _request_of(row, asked)
            (implementation,) = (other for other in request.selection.implementations if (other.loss, other.name) == key)
            soft = next(loss.soft_targets for loss in request.selection.losses if loss.name == row.loss)
            advice = advice_on(row, implementation, soft=soft, again=partial(_again, row, request))
            if (
                not (advice and advice.why)
                and (far := _at_far_end(row, request))
                and (blame := blame_on(far, implementation))
                and blame.why
            ):
                row, advice = far, with_why_of(advice, blame)
            row = replace(row, advice=advice)
        result.append(row)
    return result


def _request_of(row: RankedRow, asked: Sequence[tuple[Asked, Recognition | None]]) -> Asked:
    """The request that a row answers."""
    key = (row.loss, row.implementation)
    return next(request for request, _ in asked if any((other.loss, other.name) == key for other in request.selection.implementations))


def _again(row: RankedRow, asked: Asked) -> EffectFinding | None:
    """What the implementation of a row does now, as it stands in memory."""
    tasks = [
        task
        for task in _tasks(asked, every_float=row.exhaustive)
        if (task.loss.name, task.subject.implementation.name) == (row.loss, row.implementation)
        and (task.subject.backend, task.subject.device, task.grid.dtype.name) == ("torch", row.device, row.given_dtype)
    ]
    return next((again.effect for again in ranked(_swept(tasks))), None)


def _in_order(rows: Sequence[RankedRow]) -> list[RankedRow]:
    """By loss, then dtype, as they came; the best first within each, callables and registered ones together."""
    keys = list(dict.fromkeys((row.loss, row.given_dtype) for row in rows))
    return [row for key in keys for row in sorted((row for row in rows if (row.loss, row.given_dtype) == key), key=lambda row: row.rank)]
