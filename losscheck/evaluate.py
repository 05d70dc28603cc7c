"""The one pipeline behind every command: run the implementations, ask the oracle, measure, make rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from losscheck import registry
from losscheck.backends import BACKENDS, Backend, Batch, Result, backend_named
from losscheck.dtypes import Format, format_named
from losscheck.exact import Exact
from losscheck.loss import Formula, Implementation, Loss
from losscheck.measure import absolute_error, classify, deviation, relative_error, ulp_error
from losscheck.oracle.refine import Term, exact_value
from losscheck.points import Points, pair
from losscheck.reductions import exact_weights
from losscheck.report import Difference, Outcome, PointRow

__all__ = ["DEFAULT_MAX_ULP", "Question", "compare", "differences", "evaluate"]

# What a careful implementation reaches in float32 and float64 (the stable ones here; see tests/test_stable.py).
DEFAULT_MAX_ULP = 8.0

# Elementwise points are evaluated inside an array padded to a multiple of this, so that a point alone and the same
# point among many go through the same vector code: PyTorch's scalar tail returns other bits.
LANES = 64


@dataclass(frozen=True)
class Question:
    """What is asked of which implementations.

    Attributes:
        losses: the losses asked about.
        logits, targets: as the user wrote them (text is rounded once, straight to each dtype).
        impl: globs; empty for every implementation.
        backends: empty for every backend.
        params: given parameters; those that a loss does not have are for the others.
        quantities: ``loss``, ``grad`` or both.
        reduction: none, mean, sum, normalised or published.
        shape: the shape the points have for a published whole; empty for one axis.
        oracle: flint or mpmath.
        digits: decimal digits of the mpmath implementations.
        max_ulp: above this a result is ``inaccurate``.
    """

    losses: Sequence[Loss]
    logits: Sequence[str | float]
    targets: Sequence[str | float] = (1.0,)
    impl: Sequence[str] = ()
    backends: Sequence[str] = ()
    dtypes: Sequence[str] = ("float32",)
    devices: Sequence[str] = ("cpu",)
    quantities: Sequence[str] = ("loss", "grad")
    params: Mapping[str, float] = field(default_factory=dict)
    reduction: str = "none"
    shape: tuple[int, ...] = ()
    oracle: str = "flint"
    digits: int = 50
    max_ulp: float = DEFAULT_MAX_ULP


def compare(question: Question) -> list[PointRow]:
    """Every selected implementation at every point, beside the exact value.

    Raises:
        UserError: for a selection that matches nothing, and points or parameters outside a loss's domain.
    """
    selected = registry.select(question.losses, question.impl, question.backends)
    rows: list[PointRow] = []
    for loss in question.losses:
        for dtype in map(format_named, question.dtypes):
            points = pair(question.logits, question.targets, dtype)
            for target in points.targets:
                loss.check_target(target)
            known = {each.name for each in loss.parameters}
            params = loss.resolve({k: v for k, v in question.params.items() if k in known}, dtype)
            judge = Judge(question, loss, dtype, points, params)
            for one in selected:
                if one.loss == loss.name:
                    rows += _one(question, judge, one)
    return rows


def evaluate(loss: str, impl: str, *, logit: float, target: float, dtype: str = "float32", quantity: str = "loss", **more: object) -> PointRow:
    """One implementation at one point; ``more`` are other attributes of :class:`Question`, such as ``params``.

    Raises:
        UserError: as :func:`compare`.
    """
    question = Question(
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
    """For every further device, how many rows have other bits than on the first one."""
    by_device: dict[str, dict[tuple[object, ...], PointRow]] = {}
    for row in rows:
        key = (row.loss, row.implementation, row.backend, row.dtype, row.quantity, row.logits, row.targets)
        if row.value is not None:
            by_device.setdefault(row.device, {})[key] = row
    (first, here), *others = by_device.items() or [("", {})]
    found = []
    for device, there in others:
        both = [key for key in there if key in here]
        differ = sum(_bits(here[key]) != _bits(there[key]) for key in both)
        found.append(Difference(first, device, len(both), differ))
    return found


def _bits(row: PointRow) -> str:
    assert row.value is not None
    return row.value.hex()


class Judge:
    """The oracle's side of one loss, dtype and set of points; every exact value is found once."""

    def __init__(self, question: Question, loss: Loss, dtype: Format, points: Points, params: dict[str, float]) -> None:
        self.question = question
        self.loss = loss
        self.dtype = dtype
        self.points = points
        self.params = params
        self._known: dict[tuple[object, ...], Exact] = {}

    def pair(self, one: Implementation, quantity: str, index: int | None) -> tuple[Exact, Exact]:
        """Its own formula and the definition, exactly, at point ``index``, or reduced over all (None)."""
        definition = self._exact(*self._definition(quantity), self._terms(None, index))
        own, differentiate = self._own(one, quantity)
        exact = self._exact(own, differentiate, self._terms(one, index))
        return exact, definition

    def _definition(self, quantity: str) -> tuple[Formula, bool]:
        return (self.loss.gradient if quantity == "grad" else self.loss.formula), False

    def _own(self, one: Implementation, quantity: str) -> tuple[Formula, bool]:
        if self.question.reduction == "published" and one.published and one.published.formula:
            return one.published.formula, quantity == "grad"
        if one.formula is None:
            return self._definition(quantity)
        if quantity == "grad" and one.formula_gradient:
            return one.formula_gradient, False
        return one.formula, quantity == "grad"

    def _terms(self, one: Implementation | None, index: int | None) -> tuple[Term, ...]:
        pairs = self.points.pairs()
        if self.question.reduction == "none":
            assert index is not None
            return (Term(*pairs[index]),)
        shape = self.question.shape or (len(pairs),)
        weights: Sequence[Fraction] = exact_weights(self.loss, one, self.question.reduction, self.points.targets, shape, self.params)
        terms = tuple(Term(*each, weight) for each, weight in zip(pairs, weights, strict=True))
        return terms if index is None else (terms[index],)

    def _exact(self, formula: Formula, differentiate: bool, terms: tuple[Term, ...]) -> Exact:
        key = (formula, differentiate, terms)
        if key not in self._known:
            self._known[key] = exact_value(
                formula, list(terms), self.params, self.dtype, oracle=self.question.oracle, differentiate=differentiate
            )
        return self._known[key]


def _one(question: Question, judge: Judge, one: Implementation) -> list[PointRow]:
    """The rows of one implementation: every backend and device it can be asked on."""
    rows = []
    for backend in (name for name in BACKENDS if name in one.backends):
        if question.backends and backend not in question.backends:
            continue
        for device in question.devices:
            if device == "cpu" or backend == "torch":
                result, reason = _run(question, judge, one, backend_named(backend), device)
                rows += _rows(question, judge, one, backend, device, result, reason)
    return rows


def _run(question: Question, judge: Judge, one: Implementation, backend: Backend, device: str) -> tuple[Result | None, str]:
    reason = backend.why_unavailable(device)
    for name in one.ignores:
        default = next(each.default for each in judge.loss.parameters if each.name == name)
        if judge.params[name] != default:
            reason = reason or f"{one.name} takes no {name}"
    if reason:
        return None, reason
    points = judge.points
    padding = -len(points) % LANES if question.reduction == "none" else 0
    batch = Batch(
        loss=judge.loss,
        implementation=one,
        logits=points.logits + points.logits[-1:] * padding,
        targets=points.targets + points.targets[-1:] * padding,
        params=judge.params,
        dtype=judge.dtype,
        device=device,
        shape=question.shape if question.reduction != "none" else (),
        reduction=question.reduction,
        digits=question.digits,
        gradient="grad" in question.quantities,
    )
    try:
        return backend.run(batch), ""
    except (RuntimeError, TypeError, NotImplementedError, ValueError) as error:
        # A framework that has no kernel for a dtype says so by raising; that is an answer about it, not our crash.
        return None, f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"


def _rows(
    question: Question, judge: Judge, one: Implementation, backend: str, device: str, result: Result | None, reason: str
) -> list[PointRow]:
    rows = []
    for quantity in question.quantities:
        reduced = quantity == "loss" and question.reduction != "none"
        for index in [None] if reduced else range(len(judge.points)):
            rows.append(_row(question, judge, one, backend, device, quantity, index, result, reason))
    return rows


def _row(
    question: Question,
    judge: Judge,
    one: Implementation,
    backend: str,
    device: str,
    quantity: str,
    index: int | None,
    result: Result | None,
    reason: str,
) -> PointRow:
    exact, definition = judge.pair(one, quantity, index)
    chosen = slice(None) if index is None else slice(index, index + 1)
    row = PointRow(
        loss=judge.loss.name,
        implementation=one.name,
        backend=backend,
        device=device,
        dtype=judge.dtype.name,
        quantity=quantity,
        params=judge.params,
        logits=judge.points.logits[chosen],
        targets=judge.points.targets[chosen],
        outcome=Outcome.UNAVAILABLE,
        exact=exact,
        definition=definition,
        deviation=deviation(exact, definition),
        reason=reason,
        note=one.note,
    )
    values = [] if result is None else result.loss if quantity == "loss" else result.grad
    if not values:
        return row if reason else _replace(row, reason=f"no {quantity} on the {backend} backend")
    value = values[index or 0]
    ulp = ulp_error(value, exact, judge.dtype)
    return _replace(
        row,
        value=value,
        ulp=ulp,
        outcome=classify(value, exact, ulp, judge.dtype, question.max_ulp),
        absolute_error=absolute_error(value, exact),
        relative_error=relative_error(value, exact),
    )


def _replace(row: PointRow, **changes: object) -> PointRow:
    from dataclasses import replace

    return replace(row, **changes)  # type: ignore[arg-type]
