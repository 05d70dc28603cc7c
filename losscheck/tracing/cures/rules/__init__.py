"""Oriented identities of exact arithmetic, each a function from a term to another or None.

All hold over the reals (and in the limit at infinities) wherever the left side is defined, except those in HARD, which hold for
targets 0 and 1 alone, and those in MEANING, which are no identities. A cure is checked against the original over the target domain
that it is offered for, whatever its rules are.
"""

from __future__ import annotations

from collections.abc import Callable

from losscheck.tracing.cures.rules.branches import hard_targets, into_where, mask, negated_where, out_of_where, safe_where
from losscheck.tracing.cures.rules.elementary import (
    atanh_of_tanh,
    by_expm1,
    by_log1p,
    fewer_negations,
    log_cosh,
    log_of_exp,
    shifted_expm1,
    square,
    times_one,
)
from losscheck.tracing.cures.rules.fused import bce_of_sigmoid, fused_bce, fused_bce_hard
from losscheck.tracing.cures.rules.meaning import without_clamp, without_eps
from losscheck.tracing.cures.rules.softplus import (
    complement_of_sigmoid,
    log_of_sigmoid,
    name_sigmoid,
    name_softplus,
    power_of_sigmoid,
    shifted_softplus,
    sigmoid_by_log,
    softplus_by_log,
    softplus_by_size,
    split_softplus,
)
from losscheck.tracing.cures.terms import Term

__all__ = ["BASE", "EXTRA", "HARD", "MEANING", "RULES", "Rule", "square"]

Rule = Callable[[Term], "Term | None"]

BASE: tuple[Rule, ...] = (
    name_sigmoid,
    log_of_exp,
    times_one,
    complement_of_sigmoid,
    log_of_sigmoid,
    name_softplus,
    shifted_softplus,
    softplus_by_size,
    split_softplus,
    fused_bce_hard,
    into_where,
    hard_targets,
    out_of_where,
    shifted_expm1,
    mask,
    fewer_negations,
    negated_where,
)
EXTRA: tuple[Rule, ...] = (by_expm1, by_log1p, power_of_sigmoid, sigmoid_by_log)
RULES: tuple[Rule, ...] = (*BASE, *EXTRA, fused_bce, bce_of_sigmoid, safe_where, square, log_cosh, atanh_of_tanh, softplus_by_log)
HARD: tuple[Rule, ...] = (fused_bce_hard, hard_targets)
MEANING: tuple[Rule, ...] = (without_clamp, without_eps)
