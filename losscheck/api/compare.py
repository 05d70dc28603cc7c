"""Single points, or the batch that a training loop dumped: every implementation beside the exact value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from losscheck.api.arguments import SILENT, Implementations, Listener, Some, common, many
from losscheck.api.dumps import dump_of, files_of
from losscheck.api.report import Report
from losscheck.core.errors import UserError
from losscheck.core.fail_on import Rules, rules_of
from losscheck.core.which_points import Dumped, Listed

if TYPE_CHECKING:
    from losscheck.measure.ask import Asked

__all__ = ["compare"]


def compare(
    impl: Implementations = (),
    *,
    logit: Some[float | str] = (),
    target: Some[float | str] | None = None,
    tensors: Any = None,
    names: str | Mapping[str, str] | None = None,
    loss: Some[str] = (),
    dtype: Some[str] | None = None,
    device: Some[str] = "cpu",
    mode: Some[str] = "eager",
    backend: Some[str] = (),
    quantity: Some[str] = "both",
    params: Mapping[str, float | str] | None = None,
    reduction: str | None = None,
    shape: Sequence[int] = (),
    oracle: str = "flint",
    digits: int = 50,
    max_ulp: float | None = None,
    fail_on: str | None = None,
    verbose: bool = False,
    listener: Listener = SILENT,
    **calling: Any,
) -> Report:
    """Implementations at given logits or on a batch, beside the exact value, as ``losscheck compare``.

    Args:
        impl: names or globs of implementations, ``package.module:function``, ``file.py:function``, or callables; all by default.
        logit: numbers, or text in decimal or hex, which is rounded once to the dtype.
        target: one for all logits, or one for each; 1 by default.
        tensors: a batch instead of logits: the path of a dump or of two, ``{"logits": ..., "targets": ...}`` or
            ``(logits, targets)`` of tensors or arrays in memory.
        names: of the tensors in a dump, ``{"logits": "pred"}`` or as --names.
        loss: names of losses; by default all, or the one that callables of your own are recognised as, which the remarks say.
        dtype: float32 by default; of a batch, its own.
        params: parameters of the loss, such as ``{"gamma": 1.5}``.
        reduction, shape: as --reduction and --shape; of a batch, ``published`` by default.
        verbose: every row is shown as text; the data always have them.
        fail_on: as --fail-on; the report's ``matched`` says what matches first.
        calling: how callables of your own are called: ``keywords`` (a mapping), ``call``, ``input``, ``pick``, ``axes``,
            ``formula``, as the options of those names (``keywords`` is --kw).

    Returns:
        A report: ``rows`` are :class:`losscheck.core.results.PointRow`, of a batch ``tensors``
        :class:`losscheck.core.batch_rows.TensorRow`; ``remarks`` what is said about callables.

    Raises:
        UserError: for an unknown name, a logit or target outside the domain, a selection that matches nothing, and a
            dump that cannot be read.
    """
    options = {
        "impl": impl, "loss": loss, "dtype": dtype, "device": device, "mode": mode, "backend": backend, "quantity": quantity,
        "params": params, "oracle": oracle, "digits": digits, "max_ulp": max_ulp,
    }  # fmt: skip
    rules = rules_of(fail_on)
    logits = many(logit)
    if tensors is not None or names is not None:
        _refuse_points(tensors, logits, target, shape, mode)
        return replace(_batch(tensors, names, reduction, common(options, calling), (rules, fail_on), listener), verbose=verbose)
    if not logits:
        raise UserError("no logit was given", "add --logit, for example --logit 1.5")
    points = Listed(logits, many(target) or ("1",), reduction or "none", tuple(shape))
    options["dtype"] = dtype or "float32"
    return replace(_points(points, common(options, calling), (rules, fail_on), listener), verbose=verbose)


def _points(points: Listed, options: dict[str, Any], rules: tuple[Rules, str | None], listener: Listener) -> Report:
    from losscheck.advice.recognised import ask_recognising
    from losscheck.measure.compare import compare as rows_of
    from losscheck.measure.compare import different_bits, nothing_runs

    asked = ask_recognising(points, options, listener.activity)
    _tell(asked, listener)
    request = asked.request
    rows = rows_of(request, asked.selection)
    if not rows:
        raise nothing_runs(request.devices, request.modes)
    return _report(asked, listener, rules, rows=tuple(rows), differences=tuple(different_bits(rows)))


def _refuse_points(tensors: Any, logits: Sequence[Any], target: Any, shape: Sequence[int], mode: Some[str]) -> None:
    if tensors is None:
        raise UserError("--names is about the tensors of a file, and none was given", "add --tensors FILE")
    if logits:
        raise UserError("--tensors and --logit were both given", "keep one of them: a dump brings its own logits")
    if many(target):
        raise UserError("--target was given with --tensors", "leave it away: every element of a dump has its own target")
    if shape:
        raise UserError("--shape was given with --tensors", "leave it away: a dump has the shape it was dumped with")
    if any(name != "eager" for name in many(mode)):
        raise UserError("--mode was given with --tensors", "leave it away: a dump is judged eagerly; --logit takes all modes")


def _batch(
    tensors: Any,
    names: str | Mapping[str, str] | None,
    reduction: str | None,
    options: dict[str, Any],
    rules: tuple[Rules, str | None],
    listener: Listener,
) -> Report:
    from losscheck.advice.culprit import advised
    from losscheck.advice.recognised import ask_recognising
    from losscheck.measure.batch import amount_of_work, judge_dump
    from losscheck.points.load import parse_names

    roles = dict(names) if isinstance(names, Mapping) else parse_names(names)
    files = files_of(tensors)
    points = Dumped(files, tuple(roles.items()), reduction or "published")
    # Spelling mistakes are told before a file of a gigabyte is read.
    asked = ask_recognising(points, {**options, "dtype": options["dtype"] or ("float32",)}, listener.activity)
    dump = dump_of(tensors, files, roles)
    soft = dump.targets[(dump.targets > 0) & (dump.targets < 1)]
    asked = asked.taking([float(soft[0])] if len(soft) else [])
    if not options["dtype"]:
        # The dump's own dtype is what the training loop computed in.
        asked = replace(asked, request=replace(asked.request, dtypes=(dump.dtype.name,)))
    _tell(asked, listener)
    with listener.progress(amount_of_work(asked.request, asked.selection, dump)) as advance:
        batches, rows = judge_dump(asked.request, asked.selection, dump, advance)
    return _report(asked, listener, rules, batches=tuple(batches), tensors=tuple(advised(rows, asked)))


def _tell(asked: Asked, listener: Listener) -> None:
    """What was left out, and which autocast changes nothing."""
    for sentence in (*asked.notes, *asked.autocast_notes()):
        listener.note(sentence)


def _report(asked: Asked, listener: Listener, rules: tuple[Rules, str | None], **rows: Any) -> Report:
    from losscheck.advice.worst import worst_trace
    from losscheck.inventory.environment import describe

    request = asked.request
    report = Report(
        command="compare",
        environment=describe(request.devices),
        reproduce=asked.command_line(listener.always, rules[1]),
        reduction=request.reduction,
        max_ulp=request.max_ulp,
        definitions=asked.selection.definitions(),
        remarks=asked.remarks(),
        trace=worst_trace((*rows.get("rows", ()), *rows.get("tensors", ())), request),
        **rows,
    )
    return replace(report, matched=rules[0].first_match(report))
