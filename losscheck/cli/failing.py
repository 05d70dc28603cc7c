"""``--fail-on nan,inf,lost,ulp>4``: exit 1 when anything of a report matches."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from losscheck.core.errors import UserError, nearest

__all__ = ["Rules", "fail_on", "failed"]


@dataclass(frozen=True)
class Rules:
    """Outcomes that are refused, and the |ulp| that may not be exceeded."""

    outcomes: frozenset[str]
    ulp: float = float("inf")


def fail_on(text: str | None) -> Rules:
    """Read the option.

    Raises:
        UserError: for an outcome there is none of, or a limit that is no number.
    """
    from losscheck.core.outcome import Outcome

    known = {each.value for each in Outcome if each is not Outcome.OK}
    outcomes, ulp = set(), float("inf")
    for item in (each.strip() for each in (text or "").split(",")):
        if match := re.fullmatch(r"ulp\s*>\s*(\d+(?:\.\d*)?(?:e[+-]?\d+)?)", item):
            ulp = min(ulp, float(match[1]))
        elif item in known:
            outcomes.add(item)
        elif item or text == "":
            raise UserError(f"--fail-on {item!r} is neither an outcome nor ulp>N", nearest(item, {*known, "ulp>4"}))
    return Rules(frozenset(outcomes), ulp)


def failed(report: Any, rules: Rules) -> int:
    """1 when a row matches the rules, else 0. Every comparison asks whether it holds, so that NaN fails."""
    import sys

    for row in report.rows:
        if row.outcome.value in rules.outcomes or (row.ulp is not None and rules.ulp < float("inf") and not abs(row.ulp) <= rules.ulp):
            return _say(f"{row.implementation} {row.dtype} {row.quantity}: {row.outcome.value}, {row.ulp} ulp", sys.stderr)
    for row in report.sweeps:
        found = {outcome.value for outcome, n in row.counts.items() if n} | ({"unavailable"} if row.reason else set())
        if hits := sorted(found & rules.outcomes):
            return _say(f"{row.implementation} {row.dtype} target {row.target:g} {row.quantity}: {', '.join(hits)}", sys.stderr)
        if rules.ulp < float("inf") and not row.reason and not row.max_ulp <= rules.ulp:
            return _say(f"{row.implementation} {row.dtype} target {row.target:g} {row.quantity}: {row.max_ulp:g} ulp", sys.stderr)
    return _failed_tensors(report, rules)


def _failed_tensors(report: Any, rules: Rules) -> int:
    import sys

    for row in report.tensors:
        what = f"{row.implementation} {row.dtype} {row.quantity}"
        for element in row.first:
            if element.point.outcome.value in rules.outcomes:
                return _say(f"{what} of element {list(element.index)}: {element.point.outcome.value}", sys.stderr)
        found = {outcome.value for outcome in row.counts} | ({"unavailable"} if row.reason else set())
        if hits := sorted(found & rules.outcomes):
            return _say(f"{what}: {', '.join(hits)}", sys.stderr)
        limited = rules.ulp < float("inf")
        if limited and row.counts and not row.max_ulp <= rules.ulp:
            return _say(f"{what}: {row.max_ulp:g} ulp", sys.stderr)
        whole = row.whole
        if whole and whole.outcome.value in rules.outcomes:
            return _say(f"{what} reduced: {whole.outcome.value}", sys.stderr)
        if whole and limited and whole.ulp is not None and not abs(whole.ulp) <= rules.ulp:
            return _say(f"{what} reduced: {whole.ulp:g} ulp", sys.stderr)
    return 0


def _say(what: str, stream: Any) -> int:
    print(f"losscheck: --fail-on matches, first at {what}", file=stream)
    return 1
