"""The Python API: what the commands do, on functions as well as on names, with results as plain frozen data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

from losscheck.core.call_spec import DEFAULT_CALL, CallSpec
from losscheck.core.dtypes import format_named
from losscheck.core.errors import UserError
from losscheck.core.exact import Exact
from losscheck.core.loss import Loss
from losscheck.core.report import Report
from losscheck.core.request import DEFAULT_MAX_ULP, Request

__all__ = ["Implementations", "compare", "exact", "render", "sweep"]

T = TypeVar("T")
# One or several of a type.
Some: TypeAlias = T | Sequence[T]
# A name, a glob, package.module:function, path/to/file.py:function, or a callable itself.
Implementations: TypeAlias = str | Callable[..., Any] | Sequence[str | Callable[..., Any]]


def compare(
    impl: Implementations = (),
    *,
    logit: Some[float | str],
    loss: Some[str] = (),
    target: Some[float | str] = 1.0,
    dtype: Some[str] = "float32",
    device: Some[str] = "cpu",
    mode: Some[str] = "eager",
    backend: Some[str] = (),
    quantity: Some[str] = ("loss", "grad"),
    params: Mapping[str, float] | None = None,
    reduction: str = "none",
    shape: Sequence[int] = (),
    oracle: str = "flint",
    digits: int = 50,
    max_ulp: float = DEFAULT_MAX_ULP,
    **calling: Any,
) -> Report:
    """Implementations at given logits, beside the exact value, as ``losscheck compare``.

    Args:
        impl: names or globs of implementations, ``package.module:function``, ``file.py:function``, or callables; all by default.
        logit: numbers, or text in decimal or hex, which is rounded once to the dtype.
        loss: names of losses; all by default. Needed where a callable of your own is judged, unless it has a ``formula``.
        target: one for all logits, or one for each.
        params: parameters of the loss, such as ``{"gamma": 1.5}``.
        reduction, shape: as --reduction and --shape.
        calling: how callables of your own are called: ``keywords`` (a mapping), ``call``, ``input``, ``pick``, ``axes``,
            ``formula``, as the options of those names (``keywords`` is --kw).

    Returns:
        A report: ``rows`` are :class:`losscheck.core.results.PointRow`, ``remarks`` what is said about callables.

    Raises:
        UserError: for an unknown name, a logit or target outside the domain, a selection that matches nothing.
    """
    from losscheck.callables.notes import definitions, notes_on
    from losscheck.inventory.environment import describe
    from losscheck.measure.compare import compare as compare_rows
    from losscheck.measure.compare import differences

    call_spec = call_spec_of(calling)
    specs = specs_of(impl)
    question = Request(
        losses=tuple(_losses(_many(loss), specs, call_spec)),
        logits=_many(logit),
        targets=_many(target),
        impl=specs,
        backends=_many(backend),
        dtypes=_dtypes(dtype),
        devices=_many(device),
        quantities=_quantities(quantity),
        params=dict(params or {}),
        reduction=_reduction(reduction),
        shape=tuple(shape),
        oracle=oracle,
        digits=digits,
        max_ulp=_limit(max_ulp),
        call_spec=call_spec,
        modes=_modes(mode),
    )
    rows = compare_rows(question)
    return Report(
        command="compare",
        environment=describe(question.devices),
        reproduce="",
        rows=tuple(rows),
        reduction=reduction,
        max_ulp=question.max_ulp,
        differences=tuple(differences(rows)),
        definitions=definitions(question),
        remarks=notes_on(question),
    )


def sweep(
    impl: Implementations = (),
    *,
    loss: Some[str] = (),
    range: tuple[float | str, float | str] = (-100.0, 100.0),
    target: Some[float | str] = (),
    dtype: Some[str] = "float32",
    device: Some[str] = "cpu",
    mode: Some[str] = "eager",
    backend: Some[str] = (),
    quantity: Some[str] = ("loss", "grad"),
    params: Mapping[str, float] | None = None,
    points: int = 1000,
    spacing: str = "both",
    exhaustive: bool = False,
    layout: str = "body",
    oracle: str = "flint",
    digits: int = 50,
    max_ulp: float = DEFAULT_MAX_ULP,
    **calling: Any,
) -> Report:
    """A range of logits, sampled or every float, as ``losscheck sweep`` in one process.

    Args:
        impl, loss, params, calling: as of :func:`compare`.
        range: the ends, both included.
        target: several at once; by default the loss's own, such as 0, 0.5 and 1.
        points, spacing: of a sample; ``exhaustive`` takes every float, and 16-bit dtypes always do.

    Returns:
        A report: ``sweeps`` are :class:`losscheck.core.results.SweepRow`, one for each implementation, target and quantity.

    Raises:
        UserError: as :func:`compare`, and for an empty range.
    """
    from losscheck.callables.notes import definitions, notes_on
    from losscheck.core.request import SweepQuestion
    from losscheck.inventory.environment import describe
    from losscheck.measure.sweep import run_tasks, tasks_of
    from losscheck.measure.sweep_rows import bit_differences, rows_of
    from losscheck.measure.task import Finding

    call_spec = call_spec_of(calling)
    specs = specs_of(impl)
    low, high = (_text(each) for each in range)
    question = SweepQuestion(
        losses=tuple(each.name for each in _losses(_many(loss), specs, call_spec)),
        low=low,
        high=high,
        impl=specs,
        backends=_many(backend),
        targets=tuple(_text(each) for each in _many(target)),
        dtypes=_dtypes(dtype),
        devices=_many(device),
        quantities=_quantities(quantity),
        params=dict(params or {}),
        points=points,
        spacing=spacing,
        exhaustive=exhaustive,
        layout=layout,
        oracle=oracle,
        digits=digits,
        max_ulp=_limit(max_ulp),
        call_spec=call_spec,
        modes=_modes(mode),
    )
    tasks = tasks_of(question)
    findings = [Finding() for _ in tasks]
    run_tasks(tasks, findings)
    return Report(
        command="sweep",
        environment=describe(question.devices),
        reproduce="",
        sweeps=tuple(rows_of(tasks, findings)),
        bit_differences=tuple(bit_differences(tasks, findings)),
        max_ulp=question.max_ulp,
        definitions=definitions(question),
        remarks=notes_on(question),
    )


def exact(
    loss: str,
    *,
    logit: float | str,
    target: float | str = 1.0,
    dtype: str = "float64",
    quantity: str = "loss",
    params: Mapping[str, float] | None = None,
    oracle: str = "flint",
) -> Exact:
    """The exact value of a loss's definition, or of its gradient, at a point whose numbers are rounded to the dtype first.

    Returns:
        Its ``rounded`` is the one float of the dtype, ``decimal(n)`` the value to n digits.

    Raises:
        UserError: for an unknown name, and a point or parameters outside the domain.
    """
    from losscheck.core import registry
    from losscheck.measure.exact_side import definition_of
    from losscheck.oracle.refine import Term, exact_value
    from losscheck.points.listed import check_domain, pair

    _quantities(quantity)
    of, form = registry.loss_named(loss), format_named(_dtypes(dtype)[0])
    points = pair([logit], [target], form)
    check_domain(points, of)
    formula, differentiate = definition_of(of, quantity)
    values = of.resolve(dict(params or {}), form)
    return exact_value(formula, [Term(*points.pairs()[0])], values, form, oracle=oracle, differentiate=differentiate)


def render(report: Report, format: str = "table", *, width: int = 80, color: bool = False) -> str:
    """A report as text: table, json, csv, markdown or html.

    Raises:
        UserError: for another format.
    """
    from losscheck.core.errors import nearest
    from losscheck.renderers import FORMATS, Style
    from losscheck.renderers import render as rendered

    if format not in FORMATS:
        raise UserError(f"unknown format {format!r}", nearest(format, FORMATS))
    return rendered(format, report, Style(width=width, color=color))


def call_spec_of(calling: Mapping[str, Any]) -> CallSpec:
    """How callables are called, from keyword arguments.

    Raises:
        UserError: for an argument there is none of.
    """
    from losscheck.core.errors import nearest

    known = ("keywords", "call", "input", "pick", "axes", "formula")
    for name in calling:
        if name not in known:
            raise UserError(f"there is no argument {name!r}", nearest(name, known))
    keywords = dict(calling.get("keywords") or {})
    held = tuple((name, tuple(value) if isinstance(value, list) else value) for name, value in keywords.items())
    texts = {name: calling.get(name) or "" for name in ("pick", "axes", "formula")}
    return CallSpec(held, calling.get("call") or DEFAULT_CALL, calling.get("input") or "logits", **texts)


def specs_of(impl: Implementations) -> tuple[str, ...]:
    """Names as they are; a callable gets one, under which it is found again in this process."""
    from losscheck.callables.loading import register

    several = [impl] if isinstance(impl, str) or callable(impl) else list(impl)
    return tuple(each if isinstance(each, str) else register(each) for each in several)


def _losses(names: Sequence[str], specs: Sequence[str], call_spec: CallSpec) -> list[Loss]:
    from losscheck.callables.loading import is_spec
    from losscheck.callables.selection import loss_of, select
    from losscheck.core import registry

    names = list(names) or ([call_spec.formula] if call_spec.formula else [])
    if names:
        return [loss_of(name, call_spec) for name in names]
    if any(map(is_spec, specs)):
        raise UserError("a callable of your own needs the loss it is to compute", f"add loss=, one of {', '.join(registry.losses())}")
    chosen = select(registry.losses().values(), specs)
    return [each for name, each in registry.losses().items() if any(one.loss == name for one in chosen)]


def _modes(mode: Some[str]) -> tuple[str, ...]:
    from losscheck.backends import parse_mode

    return tuple(parse_mode(each) for each in _many(mode))


def _dtypes(dtype: Any) -> tuple[str, ...]:
    """Names; the dtypes of torch and numpy have them."""
    names = (str(getattr(each, "__name__", each)).removeprefix("torch.") for each in _many(dtype))
    return tuple(format_named(name).name for name in names)


def _quantities(quantity: Some[str]) -> tuple[str, ...]:
    for each in _many(quantity):
        if each not in ("loss", "grad"):
            raise UserError(f"unknown quantity {each!r}", "it is loss or grad, d loss / d logit")
    return _many(quantity)


def _reduction(name: str) -> str:
    from losscheck.core.errors import nearest
    from losscheck.core.reductions import REDUCTIONS

    known = ("none", "published", *REDUCTIONS)
    if name not in known:
        raise UserError(f"unknown reduction {name!r}", nearest(name, known))
    return name


def _limit(max_ulp: float) -> float:
    if not max_ulp >= 0:
        raise UserError(f"max_ulp {max_ulp} is not a limit", "give a number of at least 0")
    return max_ulp


def _many(value: Any) -> tuple[Any, ...]:
    if hasattr(value, "tolist"):  # an array or a tensor
        value = value.tolist()
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else (value,)


def _text(value: float | str) -> str:
    return value if isinstance(value, str) else repr(float(value))
