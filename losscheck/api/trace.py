"""Which op of a callable did it, and what to write instead."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from losscheck.api.arguments import call_spec_of, dtype_name, many
from losscheck.core.errors import UserError

if TYPE_CHECKING:
    from losscheck.tracing.advice import TraceAdvice

__all__ = ["trace"]


def trace(
    what: str | Callable[..., Any],
    logit: Any = None,
    target: Any = None,
    *,
    tensors: Any = None,
    names: str | Mapping[str, str] | None = None,
    index: Sequence[int] | int | str | None = None,
    dtype: Any = None,
    loss: str = "",
    params: Mapping[str, float | str] | None = None,
    **calling: Any,
) -> TraceAdvice:
    """One call of a PyTorch loss, forward and backward, op by op beside exact arithmetic, as ``losscheck trace``.

    Args:
        what: a callable on torch tensors, its ``package.module:function`` or ``file.py:function``, or the name of an implementation.
        logit, target: numbers, text that is rounded once, sequences or tensors; without logits the worst point that a small sweep finds.
        tensors, names: a dumped batch instead of logits, as of :func:`losscheck.compare`.
        index: of the element of it to trace, (0, 17, 63, 5); without it the whole batch is looked at, and the element that fails worst
            is traced.
        dtype: float32 by default; of a tensor or a batch, its own.
        loss: which loss an implementation is meant for that is there for several; says which targets a callable of your own gets.
        params: parameters of an implementation's loss.
        calling: how a callable of your own is called: ``keywords``, ``call``, ``input``, ``pick``, ``axes``.

    Returns:
        An advice: its ``trace`` has the ops and causes, ``remedies`` what to write instead, ``batch`` what is known of a dumped batch,
        ``explain()`` says it in words.

    Raises:
        UserError: for an unknown name, points that are no numbers, and a callable that returns no tensor.
    """
    from losscheck.advice.batch import advise_on_batch
    from losscheck.api.arguments import specs_of
    from losscheck.api.dumps import dump_of, files_of
    from losscheck.callables.traceable import traceable
    from losscheck.core.dtypes import FLOAT64, format_named
    from losscheck.points.load import parse_names
    from losscheck.tracing.advice import advise

    _refuse_points(tensors, names, index, logit, target)
    roles = dict(names) if isinstance(names, Mapping) else parse_names(names)
    files = files_of(tensors) if tensors is not None else ()
    dump = None if tensors is None else dump_of(tensors, files, roles)
    form = format_named(dtype_name(dtype)) if dtype is not None else dump.dtype if dump else format_named(_dtype_of(logit))
    call_spec = call_spec_of(calling)
    values = {name: FLOAT64.parse(str(value), f"parameter {name}") for name, value in (params or {}).items()}
    (spec,) = specs_of(what)
    of = traceable(spec, form, loss=loss, params=values, call_spec=call_spec)
    if dump is not None:
        return advise_on_batch(of.function, dump, dtype=form, files=files, index=_index(index), soft=of.soft, name=of.name)
    logits, targets = _points(logit, target, form)
    return advise(of.function, logits, targets, dtype=form.name, soft=of.soft, name=of.name)


def _refuse_points(tensors: Any, names: Any, index: Any, logit: Any, target: Any) -> None:
    if tensors is None and (names is not None or index is not None):
        raise UserError("--names and --index are about a dumped batch, and none was given", "add --tensors FILE")
    if tensors is not None and (many(logit) or many(target)):
        raise UserError(
            "--tensors was given with a logit or a target", "keep one of them: a dump brings its own; --index takes one element"
        )


def _index(index: Any) -> tuple[int, ...] | None:
    """'0,17,63,5', 7 or (0, 17) as numbers.

    Raises:
        UserError: for anything else.
    """
    if index is None:
        return None
    try:
        return tuple(int(number) for number in (index.split(",") if isinstance(index, str) else many(index)))
    except (TypeError, ValueError):
        raise UserError(f"--index {index} is no index", "whole numbers with commas, such as 0,17,63,5") from None


def _dtype_of(logit: Any) -> str:
    name = str(getattr(logit, "dtype", "float32")).removeprefix("torch.")
    return name if "float" in name else "float32"


def _points(logit: Any, target: Any, form: Any) -> tuple[Any, Any]:
    """Numbers rounded to the dtype; None for no logits."""
    from losscheck.points.listed import pair

    if not many(logit):
        targets = many(target)
        if len(targets) > 1:
            raise UserError(f"{len(targets)} targets were given and no logit", "give the logits, or one target")
        return None, form.parse(str(targets[0]), "target") if targets else None
    points = pair(many(logit), many(target) or ("1",), form)
    return list(points.logits), list(points.targets)
