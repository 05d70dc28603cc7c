"""Of all that failed, the worst that can be traced: the command that shows which line it was."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from losscheck.callables.loading import is_spec
from losscheck.callables.printed import stdout_to_stderr
from losscheck.callables.trace_command import trace_command
from losscheck.core import registry
from losscheck.core.batch_rows import TensorRow
from losscheck.core.call_spec import PLAIN_CALL
from losscheck.core.dtypes import FORMATS
from losscheck.core.effect import Effect, EffectFinding, Truth
from losscheck.core.errors import UserError
from losscheck.core.request import Request
from losscheck.core.results import Row
from losscheck.core.which_points import Dumped

__all__ = ["worst_trace"]

CONTROL = "naive"
ORDINARY, ALIKE = 0.5, 2.0**-6  # a logit that no guard touches, and how near a guard leaves the loss there


def worst_trace(rows: Sequence[Row], request: Request) -> str:
    """The command; "" where nothing fails, or nothing of what fails can be traced."""
    found = [(row, row.effect) for row in rows if row.effect is not None and row.effect.effect is not Effect.SOUND]
    for row, finding in sorted(found, key=lambda pair: (pair[1].effect.severity, _interest(pair[0]), *_badness(pair[1]))):
        for point in _points(row, finding, request):
            command = trace_command(row, point, request.params, request.call_spec)
            if command and _has_a_line(row, finding, request):
                return command
    return ""


def _has_a_line(row: Row, finding: EffectFinding, request: Request) -> bool:
    """Of ours, what is rounded has a line, and what deviates at an ordinary logit too has none: it is another loss, and no guard."""
    if not is_spec(row.implementation):
        if finding.truth is Truth.ROUNDING:
            return True
        if finding.target is not None and _another_loss(row, finding.target):
            return False
    return _shows(row, finding, request)


def _another_loss(row: Row, target: float) -> bool:
    """Does an implementation of ours differ from the definition where no clamp, floor or eps shows?"""
    from losscheck.oracle.refine import Term, exact_value

    formulas = [
        implementation.formula
        for implementation in registry.implementations()
        if (implementation.loss, implementation.name) == (row.loss, row.implementation)
    ]
    if not formulas or formulas[0] is None:
        return False
    dtype, point = FORMATS[row.given_dtype], [Term(ORDINARY, target)]
    own, definition = (
        exact_value(formula, point, row.params, dtype).rounded for formula in (formulas[0], registry.losses()[row.loss].formula)
    )
    return not math.isclose(own, definition, rel_tol=ALIKE)


def _shows(row: Row, finding: EffectFinding, request: Request) -> bool:
    """Does a trace show where it comes from? What is rounded and a clamp have a line; a weight of the other class has none."""
    # The arithmetic of a trace is loaded where one is made.
    from losscheck.callables.traceable import traceable
    from losscheck.tracing import trace

    own = is_spec(row.implementation)
    try:
        of = traceable(
            row.implementation,
            FORMATS[row.given_dtype],
            loss=row.loss if row.loss in registry.losses() else "",
            params=None if own else {name: value for name, value in request.params.items() if name in row.params},
            call_spec=replace(request.call_spec, formula="") if own else PLAIN_CALL,
        )
        with stdout_to_stderr():
            traced = trace(of.function, finding.logit, finding.target, dtype=row.given_dtype)
            return bool(traced.failing or traced.deviations)
    except (UserError, RuntimeError, TypeError, ValueError):
        return False


def _interest(row: Row) -> int:
    """The reader's own code first, the textbook, which is there to fail, last."""
    return 0 if is_spec(row.implementation) else 2 if row.implementation == CONTROL else 1


def _badness(finding: EffectFinding) -> tuple[float, float]:
    """By how much of the logits it covers, then by the error."""
    errors = [error for error in (finding.loss_error, finding.grad_error) if error is not None]
    size = max((math.inf if math.isnan(error) else error for error in errors), default=0.0)
    return -(finding.share or 0.0), -size


def _points(row: Row, finding: EffectFinding, request: Request) -> Iterator[tuple[float, float] | Collection[str]]:
    if isinstance(row, TensorRow) and isinstance(request.points, Dumped) and request.points.files:
        if finding.index:
            _, *dump = replace(request.points, reduction=Dumped().reduction).words()
            yield [*dump, "--index", ",".join(map(str, finding.index))]
    elif finding.logit is not None and finding.target is not None:
        yield finding.logit, finding.target
