"""The one pipeline behind every command: run the implementations, ask the oracle, measure, make rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from losscheck.backends import BACKENDS, ON_CUDA, Batch, Result, backend_named
from losscheck.backends.blocks import LANES, SMALL
from losscheck.backends.extras import EXTRAS, missing
from losscheck.callables.loading import reason_of, stdout_to_stderr
from losscheck.callables.selection import select
from losscheck.core import registry
from losscheck.core.dtypes import FORMATS, Format, format_named
from losscheck.core.errors import UserError
from losscheck.core.loss import Implementation
from losscheck.core.request import Request, Subject
from losscheck.core.results import Difference, PointRow
from losscheck.measure.effects import with_effects
from losscheck.measure.point_rows import Answer, PointRows
from losscheck.points.listed import Points, check_domain, pair

__all__ = ["compare", "differences", "evaluate", "left_out", "nothing_runs", "subjects"]

# An answer for every quantity and index (see PointRows).
Answers = dict[tuple[str, int | None], Answer]


def compare(question: Request) -> list[PointRow]:
    """Every selected implementation at every point, beside the exact value.

    Raises:
        UserError: for a selection that matches nothing, and points or parameters outside a loss's domain.
    """
    selected = select(question.losses, question.impl, question.backends, question.call_spec)
    rows: list[PointRow] = []
    for loss in question.losses:
        for dtype in map(format_named, question.dtypes):
            points = pair(question.logits, question.targets, dtype)
            check_domain(points, loss)
            params = loss.resolve_own(question.params, dtype)
            point_rows = PointRows(question, loss, dtype, points, params)
            for subject in subjects(question, [implementation for implementation in selected if implementation.loss == loss.name]):
                answers = _answers(point_rows, subject)
                judged = [point_rows.row(subject, *key, answers[key]) for key in point_rows.asked()]
                rows += with_effects(judged, loss, question.oracle) if question.reduction == "none" else judged
    return rows


def evaluate(
    loss: str, impl: str, *, logit: float, target: float, dtype: str = "float32", quantity: str = "loss", **more: object
) -> PointRow:
    """One implementation at one point; ``more`` are other attributes of :class:`Request`, such as ``params``.

    Raises:
        UserError: as :func:`compare`.
    """
    question = Request(
        losses=(registry.loss_named(loss),),
        logits=(logit,),
        targets=(target,),
        impl=(impl,),
        dtypes=(dtype,),
        quantities=(quantity,),
        **more,  # type: ignore[arg-type]
    )
    return compare(question)[0]


def differences(rows: Iterable[PointRow]) -> list[Difference]:
    """For every further device or mode, how many rows have other bits than on the first one."""
    by_device: dict[str, dict[tuple[object, ...], PointRow]] = {}
    for row in rows:
        key = (row.loss, row.implementation, row.backend, row.dtype, row.quantity, repr(row.logits), row.targets)
        if row.value is not None:
            by_device.setdefault(row.device if row.mode == "eager" else f"{row.device} {row.mode}", {})[key] = row
    (first, here), *others = by_device.items() or [("", {})]
    found = []
    for device, there in others:
        both = [key for key in there if key in here]
        differ = sum(_bits(here[key]) != _bits(there[key]) for key in both)
        if both:  # under autocast another dtype may have come out, which has other bits by nature
            found.append(Difference(first, device, len(both), differ))
    return found


def _bits(row: PointRow) -> str:
    assert row.value is not None
    return row.value.hex()


def subjects(question: Request, implementations: Sequence[Implementation], *, extras: bool = True) -> Iterator[Subject]:
    """Every backend, device and mode an implementation is asked in; numpy and mpmath have the cpu alone, and eager.

    Without ``extras``, TensorFlow and JAX run what is named and runs nowhere else.
    """
    for implementation in implementations:
        for backend in _backends(question, implementation, extras):
            for device in question.devices:
                if device == "cpu" or backend in ON_CUDA:
                    yield from (
                        Subject(implementation, backend, device, mode) for mode in question.modes if mode in backend_named(backend).modes
                    )


def _backends(question: Request, implementation: Implementation, extras: bool) -> list[str]:
    """Where an implementation is run. What is not installed is a row of its own only when it was asked for by name."""
    able = [name for name in BACKENDS if name in implementation.backends]
    if question.backends:
        return [name for name in able if name in question.backends]
    ready = [name for name in able if not missing(implementation, name) and (extras or name not in EXTRAS)]
    return ready or (able if question.impl else [])


def nothing_runs(devices: Sequence[str], modes: Sequence[str]) -> UserError:
    """The error of a selection that no backend, device and mode fit."""
    able = [f"{mode} runs on {', '.join(name for name in BACKENDS if mode in backend_named(name).modes)}" for mode in modes]
    return UserError(
        f"nothing that was selected runs on {' or '.join(devices)} in the mode {' or '.join(modes)}",
        f"{'; '.join(able)}; devices other than the cpu on {', '.join(ON_CUDA)}; see `losscheck list`",
    )


def left_out(question: Request) -> dict[str, list[str]]:
    """Extra to the implementations that nobody named and that would run if it were installed."""
    found: dict[str, list[str]] = {}
    if not question.impl and not question.backends:
        for implementation in registry.registered(question.losses, (), ()):
            if all(missing(implementation, name) for name in implementation.backends):
                found.setdefault(implementation.backends[0], []).append(implementation.name)
    return found


def _answers(point_rows: PointRows, subject: Subject) -> Answers:
    asked = point_rows.asked()
    if reason := _why_not(point_rows, subject):
        return dict.fromkeys(asked, reason)
    together = _attempt(point_rows, subject, point_rows.points)
    if isinstance(together, Result):
        return {key: _value(point_rows.dtype, together, *key) for key in asked}
    if point_rows.question.reduction != "none":
        return dict.fromkeys(asked, together)
    # One logit that an implementation refuses (BCELoss raises on NaN) must not take the others with it.
    alone = [_alone(point_rows, subject, Points((x,), (z,))) for x, z in point_rows.points.pairs()]
    answers: Answers = {}
    for quantity, index in asked:
        result = alone[index or 0]
        answers[quantity, index] = _value(point_rows.dtype, result, quantity, 0) if isinstance(result, Result) else result
    return answers


def _value(asked: Format, result: Result, quantity: str, index: int | None) -> Answer:
    values = result.loss if quantity == "loss" else result.grad
    if not values:
        return result.why_no_grad or f"it has no {quantity} on this backend"
    return values[index or 0], FORMATS[result.dtypes.get(quantity, asked.name)]


def _why_not(point_rows: PointRows, subject: Subject) -> str:
    """Why the subject cannot answer at all; empty when it can."""
    for parameter in point_rows.loss.parameters:
        if parameter.name in subject.implementation.ignores and point_rows.params[parameter.name] != parameter.default:
            return f"{subject.implementation.name} takes no {parameter.name}"
    return missing(subject.implementation, subject.backend) or backend_named(subject.backend).why_unavailable(subject.device, subject.mode)


def _lanes(subject: Subject) -> int:
    """What compiles for the shape it is given gets that of a sweep: XLA's code for another has been seen to have other bits."""
    return SMALL if subject.backend in EXTRAS or subject.mode.startswith("compile") else LANES


def _alone(point_rows: PointRows, subject: Subject, point: Points) -> Result | str:
    """What it returned at one point; a gradient that cannot be taken does not take the loss with it."""
    found = _attempt(point_rows, subject, point)
    if isinstance(found, Result) or not subject.implementation.own or point_rows.question.quantities == ("loss",):
        return found
    bare = _attempt(point_rows, subject, point, gradient=False)
    return replace(bare, why_no_grad=found) if isinstance(bare, Result) else found


def _attempt(point_rows: PointRows, subject: Subject, points: Points, *, gradient: bool = True) -> Result | str:
    """What the implementation returned, or what it raised."""
    question = point_rows.question
    elementwise = question.reduction == "none"
    padding = -len(points) % _lanes(subject) if elementwise else 0
    batch = Batch(
        loss=point_rows.loss,
        implementation=subject.implementation,
        logits=points.logits + points.logits[-1:] * padding,
        targets=points.targets + points.targets[-1:] * padding,
        params=point_rows.params,
        dtype=point_rows.dtype,
        device=subject.device,
        shape=() if elementwise else question.shape,
        reduction=question.reduction,
        digits=question.digits,
        gradient=gradient and "grad" in question.quantities,
        mode=subject.mode,
    )
    try:
        with stdout_to_stderr():
            return backend_named(subject.backend).run(batch)
    except Exception as error:
        return reason_of(error, subject.implementation)
