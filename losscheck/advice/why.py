"""Why an implementation harms, and what to write instead: one call of it traced at its worst point, and its terms cured."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from losscheck.callables.adapt import Adapted
from losscheck.callables.printed import stdout_to_stderr
from losscheck.core.effect import Effect, EffectFinding, Truth
from losscheck.core.errors import UserError
from losscheck.core.explanations import page_of
from losscheck.core.files import near
from losscheck.core.loss import Implementation
from losscheck.core.ranking import Advice
from losscheck.core.results import Row
from losscheck.tracing import trace
from losscheck.tracing.cures.remedy import Remedy, Rewritten, remedies
from losscheck.tracing.cures.trial import CannotTryError, patched
from losscheck.tracing.graph import graph_of
from losscheck.tracing.report import Cause, CauseKind, Deviation, DeviationKind, Op, Trace

__all__ = ["advice_on", "blame_on", "with_why_of"]

OURS = str(Path(__file__).parents[1])
MOST_LINES = 8  # of the change that are shown; all of it is in the diff


def advice_on(
    row: Row, implementation: Implementation, *, soft: bool | None, again: Callable[[], EffectFinding | None] = lambda: None
) -> Advice | None:
    """What one call at the worst point tells, and the cure that measured better; None where PyTorch cannot run it.

    Args:
        row: one whose implementation runs on torch; its effect names the point.
        soft: the loss takes targets between 0 and 1: identities for 0 and 1 alone are no cure then, or the second choice where it is None.
        again: judges the implementation as it stands in memory, by the definition: it is asked while the cure is in force.
    """
    blame = blame_on(row, implementation)
    finding = row.effect
    if blame is None or finding is None:
        return None
    with stdout_to_stderr():
        try:
            found = remedies(_callable(implementation, row), row.given_dtype, soft=soft, call=(finding.logit, finding.target))
        except (UserError, RuntimeError, TypeError, ValueError):
            return None
    remedy = found.cure or found.meaning
    if remedy is None or not all(map(math.isfinite, remedy.after)):  # what still gives no number somewhere is not worth writing
        return blame if blame.why else None
    write, diff = _written(remedy)
    return replace(
        blame,
        write=write,
        before=remedy.before,
        after=remedy.after,
        after_effect=_tried(remedy, again),
        changes_meaning=remedy.meaning,
        hard_targets_only=remedy.hard and soft is None,
        diff=diff,
    )


def blame_on(row: Row, implementation: Implementation) -> Advice | None:
    """Why alone: what one call at the worst point tells, and its graph; None where PyTorch cannot run it."""
    finding = row.effect
    if finding is None or finding.logit is None or finding.target is None:
        return None
    with stdout_to_stderr():
        try:
            traced = trace(_callable(implementation, row), [finding.logit], [finding.target], dtype=row.given_dtype)
        except (UserError, RuntimeError, TypeError, ValueError):
            return None  # what does not run alone, or returns no tensor, is told by its row
    return replace(_why(traced, finding), graph=graph_of(traced))


def with_why_of(advice: Advice | None, blame: Advice) -> Advice:
    """What is to be written of one point, with the why of another."""
    return replace(advice or blame, why=blame.why, place=blame.place, cause=blame.cause, code=blame.code, graph=blame.graph)


def _tried(remedy: Remedy, again: Callable[[], EffectFinding | None]) -> EffectFinding | None:
    """What the changed source does: a cure of the rounding leaves a formula that is not the loss's what it is."""
    if not remedy.patches:
        return None
    try:
        with patched(remedy.patches):
            return again()
    except (CannotTryError, UserError, RuntimeError, TypeError, ValueError):
        return None


def _callable(implementation: Implementation, row: Row) -> Callable[[Any, Any], Any]:
    import torch

    if isinstance(implementation.function, Adapted):
        adapted = implementation.function
        return lambda x, z: adapted.result(torch, x, z)
    return lambda x, z: implementation.function(torch, x, z, **row.params)


def _why(traced: Trace, finding: EffectFinding) -> Advice:
    """The first cause, or the guard that is active, with the sub-expression and its place; empty where there is neither.

    What makes no number comes before what only loses digits, where it is a number that is missing; a guard comes before both where
    the formula itself is blamed, and not how it is computed.
    """
    poisons = finding.effect is Effect.POISONS
    causes = [_cause(cause, traced.ops) for cause in sorted(traced.causes, key=lambda cause: poisons and cause.kind.loses_digits)]
    guards = [_guard(deviation, traced.ops) for deviation in traced.deviations if deviation.op is not None]
    told = [*guards, *causes] if finding.truth is Truth.DEVIATION else [*causes, *guards]
    return next(iter(told), Advice())


def _guard(deviation: Deviation, ops: tuple[Op, ...]) -> Advice:
    op = _at(ops, deviation.op)
    return _blame(f"{_code(op)}{deviation.kind.value}", deviation.kind, op)


def _cause(cause: Cause, ops: tuple[Op, ...]) -> Advice:
    blamed, lost, needed = (_at(ops, index) for index in (cause.blamed, cause.lost, cause.needed))
    words = f"{_code(blamed)}{cause.kind.value}"
    other = lost if blamed is needed else needed
    if other is not None and other.place.text and blamed is not None and other.place.text != blamed.place.text:
        words += f"; {'lost at' if other is lost else 'needed at'} `{other.place.text}`"
    elif other is not None and not other.place.text and other is not blamed:
        words += f"; {'lost at' if other is lost else 'needed at'} {_nameless(other)}"
    return _blame(words, cause.kind, blamed)


def _blame(words: str, kind: CauseKind | DeviationKind, op: Op | None) -> Advice:
    return Advice(words, _where(op), cause=page_of(kind.name).word, code=op.place.text if op else "")


def _at(ops: tuple[Op, ...], index: int | None) -> Op | None:
    return next((op for op in ops if op.index == index), None)


def _code(op: Op | None) -> str:
    if op is None:
        return ""
    return f"`{op.place.text}`: " if op.place.text else f"{_nameless(op)}: "


def _nameless(op: Op) -> str:
    """An op that no line of the source makes."""
    return "the sigmoid that makes probabilities of logits" if op.name == "sigmoid" else f"{op.name}, in no line of the source"


def _where(op: Op | None) -> str:
    if op is None or not op.place.file:
        return ""
    return f"{near(op.place.file)}:{op.place.line}"


def _written(remedy: Remedy) -> tuple[tuple[str, ...], str]:
    """The lines to write, from the change of their file where there is one, else the terms over the logit x and the target z, each
    with what it stands for: a sign or a factor before that stays."""
    theirs = [patch for patch in remedy.patches if not patch.file.startswith(OURS)]
    if theirs:
        diffs = [patch.diff().splitlines() for patch in theirs]
        added = [line[1:] for diff in diffs for line in diff if line.startswith("+") and line[:3] != "+++"]
        added = textwrap.dedent("\n".join(added)).splitlines()
        shown = added if len(added) <= MOST_LINES else [*added[: MOST_LINES - 1], f"# ... and {len(added) - MOST_LINES + 1} more lines"]
        return tuple(shown), "".join(patch.diff() for patch in theirs)
    return tuple(line for rewritten in remedy.rewritten for line in (*_instead_of(rewritten), rewritten.after)), ""


def _instead_of(rewritten: Rewritten) -> tuple[str, ...]:
    place = rewritten.place
    if not place.text or place.file.startswith(OURS):  # an implementation of ours returns the whole
        return ()
    return (f"# instead of {near(place.file)}:{place.line} `{place.text}`",)
