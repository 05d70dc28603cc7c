"""``nan,inf,lost,ulp>4``: what may not be in a report, and the first that is."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from losscheck.core.errors import UserError, nearest
from losscheck.core.outcome import Outcome

if TYPE_CHECKING:
    from losscheck.core.report import Report

__all__ = ["Rules", "rules_of"]


@dataclass(frozen=True)
class Rules:
    """Outcomes that are refused, and the |ulp| that may not be exceeded."""

    outcomes: frozenset[str] = frozenset()
    ulp: float = math.inf

    def first_match(self, report: Report) -> str:
        """The first thing of a report that a rule refuses, in words; empty when there is none."""
        return next(chain(_points(self, report), _sweeps(self, report), _tensors(self, report)), "")

    def exceeds(self, ulp: float | None) -> bool:
        """Is it beyond the limit? It asks whether the limit holds, so that NaN does not pass."""
        return ulp is not None and self.ulp < math.inf and not abs(ulp) <= self.ulp

    def refused(self, outcomes: set[str]) -> str:
        """Those of some outcomes that are refused, with commas."""
        return ", ".join(sorted(outcomes & self.outcomes))


def rules_of(text: str | None) -> Rules:
    """Rules from text; none from None.

    Raises:
        UserError: for an outcome there is none of, or a limit that is no number.
    """
    known = {outcome.value for outcome in Outcome if outcome is not Outcome.OK}
    outcomes, ulp = set(), math.inf
    for item in (part.strip() for part in (text or "").split(",")):
        if match := re.fullmatch(r"ulp\s*>\s*(\d+(?:\.\d*)?(?:e[+-]?\d+)?)", item):
            ulp = min(ulp, float(match[1]))
        elif item in known:
            outcomes.add(item)
        elif item or text == "":
            raise UserError(f"--fail-on {item!r} is neither an outcome nor ulp>N", nearest(item, {*known, "ulp>4"}))
    return Rules(frozenset(outcomes), ulp)


def _points(rules: Rules, report: Report) -> Iterator[str]:
    for row in report.rows:
        if row.outcome.value in rules.outcomes or rules.exceeds(row.ulp):
            yield f"{row.implementation} {row.dtype} {row.quantity}: {row.outcome.value}, {row.ulp} ulp"


def _sweeps(rules: Rules, report: Report) -> Iterator[str]:
    for row in report.sweeps:
        what = f"{row.implementation} {row.dtype} target {row.target:g} {row.quantity}"
        if hits := rules.refused({outcome.value for outcome, n in row.counts.items() if n} | ({"unavailable"} if row.reason else set())):
            yield f"{what}: {hits}"
        if not row.reason and rules.exceeds(row.max_ulp):
            yield f"{what}: {row.max_ulp:g} ulp"


def _tensors(rules: Rules, report: Report) -> Iterator[str]:
    for row in report.tensors:
        what = f"{row.implementation} {row.dtype} {row.quantity}"
        for element in row.first:
            if element.point.outcome.value in rules.outcomes:
                yield f"{what} of element {list(element.index)}: {element.point.outcome.value}"
        if hits := rules.refused({outcome.value for outcome in row.counts} | ({"unavailable"} if row.reason else set())):
            yield f"{what}: {hits}"
        if row.counts and rules.exceeds(row.max_ulp):
            yield f"{what}: {row.max_ulp:g} ulp"
        if row.whole and row.whole.outcome.value in rules.outcomes:
            yield f"{what} reduced: {row.whole.outcome.value}"
        if row.whole and rules.exceeds(row.whole.ulp):
            yield f"{what} reduced: {row.whole.ulp:g} ulp"
