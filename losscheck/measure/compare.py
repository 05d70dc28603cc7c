"""The one pipeline behind every command: run the implementations, ask the oracle, measure, make rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from losscheck.backends import BACKENDS, ON_CUDA, backend_named
from losscheck.backends.extras import EXTRAS, missing
from losscheck.callables.selection import Selection, select
from losscheck.core.dtypes import format_named
from losscheck.core.errors import UserError
from losscheck.core.loss import Implementation
from losscheck.core.request import Request, Subject, listed
from losscheck.core.results import Difference, PointRow
from losscheck.core.which_points import Listed
from losscheck.measure.absent import lacks, no_gradient, why_unavailable
from losscheck.measure.call import Caller, Piece
from losscheck.measure.effects import with_effects
from losscheck.measure.point_rows import PointRows, ValueOrReason
from losscheck.points.listed import check_domain, pair

__all__ = ["compare", "different_bits", "evaluate", "nothing_runs", "subjects"]

# An answer for every quantity and index (see PointRows).
Answers = dict[tuple[str, int | None], ValueOrReason]


def compare(question: Request, selection: Selection | None = None) -> list[PointRow]:
    """Every selected implementation at every listed point, beside the exact value.

    Raises:
        UserError: for a selection that matches nothing, and points or parameters outside a loss's domain.
    """
    assert isinstance(question.points, Listed)
    selection = selection or select(question)
    rows: list[PointRow] = []
    for loss in selection.losses:
        for dtype in map(format_named, question.dtypes):
            points = pair(question.points.logits, question.points.targets, dtype)
            check_domain(points, loss)
            params = loss.resolve_own(question.params, dtype)
            point_rows = PointRows(question, loss, dtype, points, params)
            for subject in subjects(question, selection.of(loss)):
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
    asked: dict[str, Any] = {"impl": (impl,), "dtypes": (dtype,), "quantities": (quantity,), **more}
    return compare(listed((loss,), (logit,), (target,), **asked))[0]


def different_bits(rows: Iterable[PointRow]) -> list[Difference]:
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
            modes = [mode for mode in question.modes if mode in backend_named(backend).modes]
            for device in question.devices:
                if device == "cpu" or backend in ON_CUDA:
                    yield from (Subject(implementation, backend, device, mode) for mode in modes)


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


def _answers(point_rows: PointRows, subject: Subject) -> Answers:
    """An answer for everything that is asked of a subject."""
    asked = point_rows.asked()
    if refusal := why_unavailable(point_rows.loss, subject, point_rows.params):
        return dict.fromkeys(asked, refusal)
    question = point_rows.question
    gradient = "grad" in question.quantities
    if (no_loss := lacks(subject, "loss")) and question.reduction != "none":
        return dict.fromkeys(asked, no_loss)
    caller = Caller(point_rows.loss, subject, point_rows.params, point_rows.dtype, gradient=gradient, digits=question.digits)
    answers: Answers = {}
    elementwise, points = question.reduction == "none", point_rows.points
    for piece in caller.pieces(points.logits, points.targets) if elementwise else [_whole(point_rows, caller)]:
        for quantity, index in asked:
            if index is None or piece.start <= index < piece.stop:
                answers[quantity, index] = (no_loss if quantity == "loss" else None) or _answer(piece, quantity, (index or 0) - piece.start)
    return answers


def _whole(point_rows: PointRows, caller: Caller) -> Piece:
    """The reduced loss of all points, and the gradient of it to each."""
    points, question = point_rows.points, point_rows.question
    try:
        output = caller.whole(points.logits, points.targets, question.reduction, question.shape)
    except Exception as error:
        refusal = caller.refusal(error)
        return Piece(0, len(points), None, refusal, refusal)
    return Piece(0, len(points), output, no_gradient=no_gradient(caller.subject) if output.grad is None else None)


def _answer(piece: Piece, quantity: str, index: int) -> ValueOrReason:
    lacking = piece.no_gradient if quantity == "grad" else piece.refusal
    if lacking or piece.output is None:
        assert lacking
        return lacking
    if quantity == "grad":
        return float(piece.output.grad[index]), piece.output.grad_dtype
    return float(piece.output.loss[index]), piece.output.loss_dtype
