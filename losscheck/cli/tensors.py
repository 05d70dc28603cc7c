"""``losscheck compare --tensors``: the batch that a training loop dumped."""

from __future__ import annotations

from typing import Any

import click
from click.core import ParameterSource

from losscheck.cli import options
from losscheck.cli.asking import asked_losses, max_ulp, reproduce
from losscheck.cli.failing import fail_on, failed
from losscheck.cli.writing import progress_bar, screen, write
from losscheck.core.errors import UserError

__all__ = ["run"]


def run(command: click.Command, **given: Any) -> int:
    """Load, judge, report; ``given`` are the options of compare.

    Raises:
        UserError: for options that contradict a dump, and whatever loading and judging refuse.
    """
    from losscheck.callables.notes import definitions, notes_on
    from losscheck.core.report import Report
    from losscheck.inventory.environment import describe
    from losscheck.measure.batch import judge_dump, work
    from losscheck.points.load import load, parse_names
    from losscheck.renderers import render

    _refuse_points(given)
    rules = fail_on(given["fail_on"])
    names = parse_names(given["names"])
    _read_devices(given)
    dump = load(given["tensors"], names)
    question = _question(given, dump)
    with progress_bar(work(question, dump), given["quiet"]) as advance:
        batches, rows = judge_dump(question, dump, given["tensors"], advance)
    if all(row.reason and not row.counts for row in rows):
        reasons = "; ".join(dict.fromkeys(f"{row.device}: {row.reason}" for row in rows))
        raise UserError(f"nothing could run ({reasons[:300]})", "change what it names, or select another --impl, --device or --backend")
    report = Report(
        command="compare",
        environment=describe(question.devices),
        reproduce=reproduce(command, given),
        batches=tuple(batches),
        tensors=tuple(rows),
        reduction=question.reduction,
        max_ulp=question.max_ulp,
        definitions=definitions(question),
        remarks=notes_on(question),
    )
    write(render(options.chosen_format(given["format"], given["output"]), report, screen(given["output"])), given["output"])
    if any(row.wrong for row in rows):
        raise UserError(
            "the float64 filter disagreed with the exact oracle on a checked element",
            "this is a bug in losscheck: please report the command",
        )
    return failed(report, rules)


def _refuse_points(given: dict[str, Any]) -> None:
    if not given["tensors"]:
        raise UserError("--names is about the tensors of a file, and none was given", "add --tensors FILE")
    if given["logit"]:
        raise UserError("--tensors and --logit were both given", "keep one of them: a dump brings its own logits")
    if _was_given("target"):
        raise UserError("--target was given with --tensors", "leave it away: every element of a dump has its own target")
    if given["shape"]:
        raise UserError("--shape was given with --tensors", "leave it away: a dump has the shape it was dumped with")
    if any(mode != "eager" for mode in given["mode"]):
        raise UserError("--mode was given with --tensors", "leave it away: a dump is judged eagerly; --logit takes all modes")


def _was_given(name: str) -> bool:
    return click.get_current_context().get_parameter_source(name) is not ParameterSource.DEFAULT


def _read_devices(given: dict[str, Any]) -> None:
    """Spelling mistakes are told before a file of a gigabyte is read."""
    from losscheck.backends import parse_device
    from losscheck.core.dtypes import format_named

    given["device"] = tuple(dict.fromkeys(parse_device(each) for each in given["device"]))
    for name in given["dtype"]:
        format_named(name)
    asked_losses({**given, "quiet": True}, [])


def _question(given: dict[str, Any], dump: Any) -> Any:
    from losscheck.core.request import Request

    losses = _losses(given, dump)
    return Request(
        losses=tuple(losses),
        logits=(),
        impl=given["impl"],
        backends=given["backend"],
        # The dump's own dtype is what the training loop computed in.
        dtypes=tuple(dict.fromkeys(given["dtype"])) if _was_given("dtype") else (dump.dtype.name,),
        devices=given["device"],
        quantities=options.quantities(given["quantity"]),
        params=options.parse_params(given["param"], losses),
        reduction=given["reduction"] if _was_given("reduction") else "published",
        oracle=given["oracle"],
        digits=given["digits"],
        max_ulp=max_ulp(given),
        call_spec=options.call_spec_of(given),
    )


def _losses(given: dict[str, Any], dump: Any) -> list[Any]:
    """The losses asked for; those for hard targets alone are left out, or refused when named, if one target is soft."""
    soft = dump.targets[(dump.targets > 0) & (dump.targets < 1)]
    return asked_losses(given, [float(soft[0])] if len(soft) else [])
