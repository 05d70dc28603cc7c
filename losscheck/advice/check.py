"""What `check` does: names and callables become sweeps over the loss's own targets, and those a ranking."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from losscheck.advice.ranking import ranked
from losscheck.callables.adapt import Adapted
from losscheck.callables.implementation import accepted, tried_in
from losscheck.callables.loading import is_spec, load
from losscheck.callables.recognise import Confidence, Recognition, recognise
from losscheck.core.call_spec import PLAIN_CALL, CallSpec
from losscheck.core.dtypes import FORMATS
from losscheck.core.errors import UserError
from losscheck.core.ranking import RankedRow
from losscheck.core.registry import loss_named
from losscheck.core.request import Listed, Range
from losscheck.core.results import SweepRow
from losscheck.measure.ask import Asked, ask
from losscheck.measure.compare import compare
from losscheck.measure.sweep import run_tasks, tasks_of
from losscheck.measure.sweep_rows import rows_of
from losscheck.measure.task import Finding

__all__ = ["Checked", "check"]

SAMPLE = 300  # logits of a float32 range besides the landmarks; regions have exact ends whatever it is
RANGE = ("-100", "100")
ONE_BY_ONE = "judged in float32 alone, because every logit takes a call of its own; --dtype bfloat16 takes a minute"


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
    call_spec: CallSpec = PLAIN_CALL,
    params: dict[str, Any] | None = None,
    progress: Callable[[int], Any] | None = None,
) -> Checked:
    """Judge implementations by what they do to training.

    Args:
        what: names or globs of implementations, and specs of callables; all that ship and run here when there is none.
        loss: only of these losses; for callables, instead of recognising which loss they are.
        dtype: float32 for everything there is, float32, bfloat16 and float16 for what is named.
        call_spec, params: how a callable is called, and parameters of the loss, where recognising them is not wanted.

    Raises:
        UserError: for a name there is none of, and a callable that cannot be called or is recognised as no loss.
    """
    dtypes = tuple(dtype) or (("float32", "bfloat16", "float16") if what else ("float32",))
    specs = [name for name in what if is_spec(name)]
    names = [name for name in what if not is_spec(name)]
    asked: list[tuple[Asked, Recognition | None]] = []
    remarks: list[str] = []
    if names or not specs:
        asked.append((_asked(loss, names, dtypes, device, PLAIN_CALL, params), None))
    for spec in specs:
        recognition = _recognised(spec, loss, call_spec)
        given = {**recognition.params, **(params or {})}
        request = _asked((recognition.loss.name,), (spec,), dtypes[:1], device, recognition.call_spec, given)
        if not dtype and _loops(request):
            remarks.append(f"{spec}: {ONE_BY_ONE}")
        else:
            request = replace(request, request=replace(request.request, dtypes=dtypes))
        asked.append((request, recognition))
    rows = [
        _told(_nearest_to_zero(row, request), recognition) for request, recognition in asked for row in ranked(_swept(request, progress))
    ]
    if what:
        rows = _advised(rows, [request for request, _ in asked])
    definitions: dict[str, str] = {}
    for request, _ in asked:
        definitions |= request.selection.definitions()
        remarks += request.remarks()
    return Checked(tuple(_in_order(rows)), definitions, tuple(dict.fromkeys(remarks)), tuple(device))


def _asked(
    loss: Sequence[str],
    impl: Sequence[str],
    dtypes: Sequence[str],
    device: Sequence[str],
    call_spec: CallSpec,
    params: dict[str, Any] | None,
) -> Asked:
    points = Range(*RANGE, points=SAMPLE)
    return ask(points, loss=tuple(loss), impl=tuple(impl), dtype=tuple(dtypes), device=tuple(device), params=params, call_spec=call_spec)


def _recognised(spec: str, loss: Sequence[str], call_spec: CallSpec) -> Recognition:
    losses = [loss_named(name) for name in loss] or None
    found = recognise(spec, losses, call_spec)
    best = found[0] if found else None
    if best is not None and (best.confidence is not Confidence.NONE or losses):
        return best
    if best is None and (failure := _failure(spec, call_spec)):
        raise UserError(f"{spec} cannot be judged: {failure}", "mend that; --call, --kw, --axes and --pick say how it is called")
    nearest = f"; the nearest is {best.words}, off by {best.distance:.2g} of itself" if best else ""
    raise UserError(
        f"{spec} agrees with no loss that is known here{nearest}",
        "say which it is to be with --loss, or give its own exact formula: losscheck sweep --impl ... --formula file.py:function",
    )


def _failure(spec: str, call_spec: CallSpec) -> str:
    """What a callable did when it was tried, instead of returning losses; empty when it returned some."""
    backend, adapted = accepted(load(spec), call_spec, ())
    return adapted.probe(*tried_in(backend)).failure


def _loops(asked: Asked) -> bool:
    """Does every logit of a callable take a call of its own? Every float of a 16-bit dtype would be a hundred thousand of them."""
    import importlib

    for implementation in asked.selection.implementations:
        if isinstance(implementation.function, Adapted):
            xp = importlib.import_module(implementation.backends[0])
            if implementation.function.loops(xp, xp.zeros(1, dtype=xp.float32)):
                return True
    return False


def _swept(asked: Asked, progress: Callable[[int], Any] | None) -> list[SweepRow]:
    tasks = tasks_of(asked.request, asked.selection)
    findings = [Finding() for _ in tasks]
    run_tasks(tasks, findings, progress=progress or (lambda points: None))
    return rows_of(tasks, findings)


def _nearest_to_zero(row: RankedRow, asked: Asked) -> RankedRow:
    """A row that poisons, shown where it begins to: at the logit nearest to 0 that gives no number, and not at the far end."""
    worst = row.effect
    if not row.spans or worst is None or worst.target is None:
        return row
    logit = min((end for span in row.spans for end in span), key=abs)
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
    effects = [found.effect for found in compare(request) if found.effect is not None]
    if not effects or effects[0].effect is not worst.effect:
        return row
    there = replace(worst, quantity=effects[0].quantity, value=effects[0].value, exact=effects[0].exact, logit=logit)
    return replace(row, effect=there, findings=(there, *row.findings[1:]))


def _told(row: RankedRow, recognition: Recognition | None) -> RankedRow:
    """With what is known of the callable beside it."""
    if recognition is None:
        return row
    sure = recognition.confidence is Confidence.AGREES
    deviation = recognition.deviation.sentence if not sure else ""
    return replace(row, recognised=recognition.words, sure=sure, note=deviation or row.note)


def _advised(rows: Sequence[RankedRow], asked: Sequence[Asked]) -> list[RankedRow]:
    """Why and what to write, for each implementation that harms, in the first dtype in which it does."""
    from losscheck.advice.why import advice_on

    known = {(each.loss, each.name): each for request in asked for each in request.selection.implementations}
    soft = {loss.name: not loss.hard_targets for request in asked for loss in request.selection.losses}
    advised: set[tuple[str, str]] = set()
    result = []
    for row in rows:
        key = (row.loss, row.implementation)
        if row.harmful and key not in advised and "torch" in row.backends:
            advised.add(key)
            row = replace(row, advice=advice_on(row, known[key], soft=soft[row.loss]))
        result.append(row)
    return result


def _in_order(rows: Sequence[RankedRow]) -> list[RankedRow]:
    """By loss, then dtype, as they came; the best first within each, callables and registered ones together."""
    keys = list(dict.fromkeys((row.loss, row.given_dtype) for row in rows))
    return [row for key in keys for row in sorted((row for row in rows if (row.loss, row.given_dtype) == key), key=lambda row: row.rank)]
