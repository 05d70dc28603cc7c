"""Logits where probabilities are meant, and probabilities where logits are: said where trying it has shown it, and nowhere else."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from losscheck.tracing.cures.evaluate import supported
from losscheck.tracing.cures.measured import prove_equal
from losscheck.tracing.cures.remedy import terms_of
from losscheck.tracing.cures.rewriting import normalised
from losscheck.tracing.cures.rules.softplus import name_sigmoid
from losscheck.tracing.cures.terms import LEAVES, LOGIT, TARGET, Term, term
from losscheck.tracing.notes import NoteKind
from losscheck.tracing.report import Cause, CauseKind, Deviation, DeviationKind, Trace

__all__ = ["BEYOND", "takes_probabilities", "with_mistakes"]

# (number, target): between 0 and 1 a loss of probabilities has a value, beyond either end it has none.
INSIDE = tuple((number, target) for number in (0.05, 0.3, 0.6, 0.9) for target in (0.0, 1.0))
OUTSIDE = ((-0.5, 1.0), (-4.0, 1.0), (1.5, 0.0), (5.0, 0.0))
BEYOND = {1.0: -4.0, 0.0: 5.0}  # by target, a number that is no probability
# What takes a logit: the sigmoid is a part of it.
OF_LOGITS = frozenset({"sigmoid", "log_sigmoid_forward", "softplus", "binary_cross_entropy_with_logits"})
CROSS_ENTROPY = term("binary_cross_entropy_with_logits", LOGIT, TARGET)
PROVED_AT = (0.0, 0.25, 0.5, 1.0), (-97.0, -17.25, -2.5, -1e-3, 0.5, 3.75, 24.5, 88.0)
MOST_OPS = 200


def with_mistakes(function: Callable[[Any, Any], Any], traced: Trace) -> Trace:
    """The trace, and these among its causes and deviations."""
    if _fails_outside(traced) and takes_probabilities(function, len(traced.logits)):
        raised = next((note.place for note in traced.notes if note.kind is NoteKind.RAISED), None)
        if raised is not None:
            cause = Cause(CauseKind.LOGITS_AS_PROBABILITIES, None, None, None, (), place=raised)
            return replace(traced, causes=(cause,))
        # What else is NaN is so by the first.
        return replace(traced, causes=(replace(traced.causes[0], kind=CauseKind.LOGITS_AS_PROBABILITIES),))
    if (op := _first_of_two(traced)) is not None and _is_cross_entropy_without(function, traced.dtype):
        return replace(traced, deviations=(Deviation(DeviationKind.DOUBLE_SIGMOID, op), *traced.deviations))
    return traced


# Logits where probabilities are meant ---------------------------------------------------------------------------------


def _fails_outside(traced: Trace) -> bool:
    """Is a number beyond [0, 1] there, and does the callable raise, or have no value in exact arithmetic either?"""
    if all(0 <= logit <= 1 for logit in traced.logits):
        return False
    raised = any(note.kind is NoteKind.RAISED for note in traced.notes)
    return raised or (bool(traced.causes) and traced.causes[0].kind is CauseKind.UNDEFINED)


def takes_probabilities(function: Callable[[Any, Any], Any], count: int = 1) -> bool:
    """Has it a value between 0 and 1, and none beyond? Of so many numbers at a time."""
    return all(_has_value(function, pair, count) for pair in INSIDE) and not any(_has_value(function, pair, count) for pair in OUTSIDE)


def _has_value(function: Callable[[Any, Any], Any], pair: tuple[float, float], count: int) -> bool:
    import torch

    try:
        with torch.no_grad():
            result = function(*(torch.full((count,), number, dtype=torch.float32) for number in pair))
        return all(map(math.isfinite, torch.as_tensor(result).reshape(-1).tolist()))
    except (Exception, SystemExit):  # whatever a callable of somebody's raises for numbers that it does not take
        return False


# A sigmoid of a sigmoid -----------------------------------------------------------------------------------------------


def _first_of_two(traced: Trace) -> int | None:
    """The first sigmoid of which something is made that has a sigmoid of its own, as far as ops show."""
    if traced.forward_ops > MOST_OPS:
        return None
    made_of: dict[int, set[int]] = {}  # by op, the sigmoids before it
    for op in (op for op in traced.ops if not op.backward):
        before = set().union(*(made_of.get(index, set()) for index in op.takes))
        if before and op.name in OF_LOGITS:
            return min(before)
        made_of[op.index] = before | ({op.index} if op.name == "sigmoid" else set())
    return None


def _is_cross_entropy_without(function: Callable[[Any, Any], Any], dtype: str) -> bool:
    """With its inner sigmoid left out, is it binary cross entropy, in balls?"""
    extracted = terms_of(function, dtype)
    if extracted is None or len(extracted.roots) != 1:
        return False
    whole = normalised(extracted.roots[0].term, (name_sigmoid,))
    # In what takes logits, or wherever it stands: softplus(p) - z p takes them too.
    left = [_replaced(whole, term("sigmoid", LOGIT), inside=inside) for inside in (False, True)]
    # -(...).mean() sums the negative.
    signed = [sign for without in left if without is not whole and supported(without) for sign in (without, term("neg", without))]
    return any(prove_equal(sign, CROSS_ENTROPY, *PROVED_AT) for sign in signed)


def _replaced(root: Term, old: Term, *, inside: bool) -> Term:
    """The logit in place of its sigmoid, inside of what takes logits."""
    if root is old and inside:
        return LOGIT
    if root.op in LEAVES:
        return root
    args = [_replaced(argument, old, inside=inside or root.op in OF_LOGITS) for argument in root.args]
    return term(root.op, *args, value=root.value, source=root.source)
