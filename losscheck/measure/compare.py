"""The one pipeline behind every command: run the implementations, ask the oracle, measure, make rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from losscheck.backends import BACKENDS, ON_CUDA, backend_named
from losscheck.backends.extras import EXTRAS, missing
from losscheck.callables.selection import select
from losscheck.core import registry
from losscheck.core.dtypes import format_named
from losscheck.core.errors import UserError
from losscheck.core.loss import Implementation
from losscheck.core.request import Request, Subject
from losscheck.core.results import Difference, PointRow
from losscheck.measure.call import Caller, Piece, no_gradient, why_not
from losscheck.measure.effects import with_effects
from losscheck.measure.exact_side import Answer, Judge
from losscheck.points.listed import check_domain, pair

__all__ = ["compare", "differences", "evaluate", "left_out", "nothing_runs", "subjects"]

# An answer for every quantity and index (see Judge).
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
            judge = Judge(question, loss, dtype, points, params)
            for subject in subjects(question, [one for one in selected if one.loss == loss.name]):
                answers = _answers(judge, subject)
                judged = [judge.row(subject, *key, answers[key]) for key in judge.asked()]
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
    for one in implementations:
        for backend in _backends(question, one, extras):
            for device in question.devices:
                if device == "cpu" or backend in ON_CUDA:
                    yield from (Subject(one, backend, device, mode) for mode in question.modes if mode in backend_named(backend).modes)


def _backends(question: Request, one: Implementation, extras: bool) -> list[str]:
    """Where an implementation is run. What is not installed is a row of its own only when it was asked for by name."""
    able = [name for name in BACKENDS if name in one.backends]
    if question.backends:
        return [name for name in able if name in question.backends]
    ready = [name for name in able if not missing(one, name) and (extras or name not in EXTRAS)]
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
        for one in registry.registered(question.losses, (), ()):
            if all(missing(one, name) for name in one.backends):
                found.setdefault(one.backends[0], []).append(one.name)
    return found


def _answers(judge: Judge, subject: Subject) -> Answers:
    """An answer for everything that is asked of a subject."""
    asked = judge.asked()
    if refusal := why_not(judge.loss, subject, judge.params):
        return dict.fromkeys(asked, refusal)
    question = judge.question
    caller = Caller(judge.loss, subject, judge.params, judge.dtype, gradient="grad" in question.quantities, digits=question.digits)
    answers: Answers = {}
    for piece in caller.pieces(judge.points.logits, judge.points.targets) if question.reduction == "none" else [_whole(judge, caller)]:
        for quantity, index in asked:
            if index is None or piece.start <= index < piece.stop:
                answers[quantity, index] = _answer(piece, quantity, (index or 0) - piece.start)
    return answers


def _whole(judge: Judge, caller: Caller) -> Piece:
    """The reduced loss of all points, and the gradient of it to each."""
    points, question = judge.points, judge.question
    try:
        output = caller.whole(points.logits, points.targets, question.reduction, question.shape)
    except Exception as error:
        refusal = caller.refusal(error)
        return Piece(0, len(points), None, refusal, refusal)
    return Piece(0, len(points), output, no_gradient=no_gradient(caller.subject) if output.grad is None else None)


def _answer(piece: Piece, quantity: str, index: int) -> Answer:
    lacking = piece.no_gradient if quantity == "grad" else piece.refusal
    if lacking or piece.output is None:
        assert lacking
        return lacking
    if quantity == "grad":
        return float(piece.output.grad[index]), piece.output.grad_dtype
    return float(piece.output.loss[index]), piece.output.loss_dtype
