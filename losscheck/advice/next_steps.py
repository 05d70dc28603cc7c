"""What to ask next about an implementation that was judged: commands as they can be copied, with the call that was found out."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import replace

from losscheck.callables.loading import is_spec
from losscheck.core.call_spec import PROGRAM
from losscheck.core.dtypes import FORMATS
from losscheck.core.effect import Truth
from losscheck.core.files import near
from losscheck.core.ranking import RankedRow
from losscheck.core.which_points import Range
from losscheck.measure.ask import Asked

__all__ = ["next_steps"]


def next_steps(row: RankedRow, asked: Asked) -> tuple[tuple[str, str], ...]:
    """(what it shows, the command): every region; and for code of the user's that harms, how it does by its own formula where the
    definition blames that, op by op and how to have it changed."""
    return tuple(_steps(row, asked))


def _steps(row: RankedRow, asked: Asked) -> Iterator[tuple[str, str]]:
    points = asked.request.points
    assert isinstance(points, Range)
    parameters = next(loss.parameters for loss in asked.selection.losses if loss.name == row.loss)
    defaults = {parameter.name: parameter.default for parameter in parameters}
    request = replace(
        asked.request,
        points=Range(points.low, points.high),
        losses=(row.loss,),
        impl=(near(row.implementation),),
        dtypes=(row.given_dtype,),
        params={name: value for name, value in asked.request.params.items() if defaults.get(name) != value},
    )
    command = request.command_line()
    # The range is the one that a sweep has by itself.
    yield "every region", f"{command.replace(f' --range {points.low} {points.high}', '')} --regions"
    finding = row.effect
    if not (row.harmful and is_spec(row.implementation) and "torch" in row.backends) or finding is None or finding.logit is None:
        return
    if finding.truth is Truth.DEVIATION and not asked.request.call_spec.by_program:
        meant = replace(asked.request.call_spec, formula=PROGRAM).options()
        yield "if it is meant", shlex.join(["losscheck", "check", near(row.implementation), *meant])
    shortest = FORMATS[row.given_dtype].shortest
    dtype = [] if row.given_dtype == "float32" else ["--dtype", row.given_dtype]
    called = [*replace(asked.request.call_spec, formula="").options(), *dtype]
    target = [] if finding.target is None else ["--target", shortest(finding.target)]
    yield "op by op", shlex.join(["losscheck", "trace", near(row.implementation), shortest(finding.logit), *target, *called])
    if row.advice and row.advice.diff and not row.advice.changes_meaning:
        yield "have it changed", shlex.join(["losscheck", "trace", near(row.implementation), *called, "--fix"])
