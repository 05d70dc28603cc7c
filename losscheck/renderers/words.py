"""Rows in words and figures for people: what the text formats share."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from losscheck.core.dtypes import FORMATS, short_hex
from losscheck.core.exact import Exact, Kind
from losscheck.core.outcome import Outcome
from losscheck.core.report import Report
from losscheck.core.results import PointRow

__all__ = ["deviation_text", "exact_text", "label", "meaning", "merged", "point_text", "ulp_text", "value_text"]

# Significant digits shown of an exact value: one or two more than the dtype can tell apart.
_DIGITS = {"float64": 18, "float32": 10, "float16": 6, "bfloat16": 5}
_AT_MOST = 4  # sentences of each kind


def value_text(row: PointRow) -> str:
    return "-" if row.value is None else FORMATS[row.dtype].shortest(row.value)


def exact_text(exact: Exact | None, dtype: str) -> str:
    """The exact value; one whose decimal exponent has more than four digits is given by its logarithm."""
    if exact is None:
        return "-"
    if exact.kind is Kind.UNDECIDED:
        return "undecided"
    if exact.kind is Kind.FINITE and exact.middle[0] and abs(exact.magnitude) > 30000:
        sign = "-" if exact.middle[0] < 0 else ""
        return f"{sign}10^{exact.magnitude * math.log10(2):.4g}"
    mantissa, e, exponent = exact.decimal(_DIGITS[dtype]).partition("e")
    return f"{mantissa}e{int(exponent):+03d}" if e else mantissa


def ulp_text(ulp: float | None) -> str:
    if ulp is None:
        return "-"
    if not math.isfinite(ulp) or ulp == 0:
        return f"{ulp:g}"
    return f"{ulp:+.2f}" if abs(ulp) < 1000 else f"{ulp:+.1e}"


def deviation_text(deviation: float | None) -> str:
    if deviation is None or math.isnan(deviation):
        return "?"
    if deviation == 0:
        return "0"
    # Ten times as much and more reads better as a factor than as a percentage.
    return f"{100 * deviation:+.3g}%" if abs(deviation) < 10 else f"x{deviation + 1:.3g}"


def point_text(row: PointRow, *, hexadecimal: bool = False) -> str:
    """'logit -15, target 0', or how many points a reduced loss was taken over."""
    if len(row.logits) > 1:
        return f"{len(row.logits)} points"
    logit = FORMATS[row.logit_dtype or row.dtype].shortest(row.logits[0])
    shown = f"{logit} ({short_hex(row.logits[0])})" if hexadecimal and math.isfinite(row.logits[0]) else logit
    return f"logit {shown}, target {FORMATS[row.dtype].shortest(row.targets[0])}"


def merged(rows: Sequence[PointRow]) -> list[tuple[str, PointRow]]:
    """Rows of one point and quantity with their labels; backends whose results agree to the bit share a line."""
    devices = {row.device for row in rows}
    lines: list[tuple[str, PointRow]] = []
    by_name: dict[tuple[str, str, str], list[PointRow]] = {}
    for row in rows:
        by_name.setdefault((row.implementation, row.device, row.mode), []).append(row)
    for (name, device, mode), group in by_name.items():
        where = (f" {device}" if len(devices) > 1 else "") + ("" if mode == "eager" else f" {mode}")
        alike = len({(repr(row.value), row.outcome) for row in group}) == 1
        if alike:
            lines.append((name + where, group[0]))
        else:
            lines += [(f"{name} {row.backend}{where}", row) for row in group]
    return lines


def label(row: PointRow) -> str:
    mode = "" if row.mode == "eager" else f", {row.mode}"
    return f"{row.implementation} ({row.backend}, {row.dtype}, {row.device}{mode})"


def meaning(report: Report) -> list[str]:
    """What the worst rows mean, in sentences: failures, then deviations, then what could not run or be decided."""
    failed = sorted((row for row in report.rows if row.outcome.failed), key=lambda row: row.badness)
    deviating = _first_of_each(row for row in report.rows if row.deviation)
    deviating.sort(key=lambda row: -abs(row.deviation or 0.0))
    missing = _first_of_each(row for row in report.rows if row.outcome in (Outcome.UNAVAILABLE, Outcome.UNDECIDED))
    sentences = _limited([_failure(row) for row in _first_of_each(failed)], "kinds of failure")
    sentences += _limited([_deviation(row) for row in deviating], "deviating implementations")
    sentences += _limited([_missing(row) for row in missing], "that could not be judged")
    if not failed:
        judged = sum(row.outcome is Outcome.OK for row in report.rows)
        sentences.insert(0, f"All {judged} judged results are within {report.max_ulp:g} ulp of their own formula.")
    sentences += [
        f"{each.differ} of {each.rows} rows differ in bits between {each.device} and {each.other}." for each in report.differences
    ]
    return [*sentences, *report.remarks]


def _failure(row: PointRow) -> str:
    right = exact_text(row.exact, row.dtype)
    got = value_text(row)
    what = {
        Outcome.NAN: f"NaN where {right} is right",
        Outcome.INF: f"{got} where {right} is right",
        Outcome.WRONG_SIGN: f"{got} where {right} is right: the wrong sign",
        Outcome.LOST: f"exactly 0 where {right} is right: it is silently lost",
        Outcome.MISSED_INF: f"{got} where {right} is beyond the largest {row.dtype}",
        Outcome.FLUSHED: f"exactly 0 where the subnormal {right} is right",
        Outcome.INACCURATE: f"{got} where {right} is right, {_times(row)}",
    }[row.outcome]
    name = "the gradient" if row.quantity == "grad" else "the loss"
    return f"{label(row)}: {name} at {point_text(row)} is {what}."


def _times(row: PointRow) -> str:
    percent = abs(row.relative_error or 0.0) * 100
    share = f"{percent:.2g}%" if math.isfinite(percent) else "infinitely"
    return f"off by {abs(row.ulp or 0.0):.3g} ulp ({share})"


def _deviation(row: PointRow) -> str:
    own, definition = exact_text(row.exact, row.dtype), exact_text(row.definition, row.dtype)
    name = "gradient" if row.quantity == "grad" else "loss"
    why = f" ({row.note})" if row.note else ""
    return (
        f"{row.implementation}: its own formula gives {own} for the {name} at {point_text(row)}, "
        f"the definition {definition}: a deviation of {deviation_text(row.deviation)}{why}."
    )


def _missing(row: PointRow) -> str:
    if row.outcome is Outcome.UNDECIDED:
        return f"{label(row)}: the {row.quantity} at {point_text(row)} is undecided {row.reason or 'at the precision cap'}."
    return f"{label(row)}: unavailable, {row.reason}."


def _first_of_each(rows: Iterable[PointRow]) -> list[PointRow]:
    """One row for each implementation and outcome: the first, which is the worst when they come sorted."""
    seen: dict[tuple[str, str, str, str, Outcome], PointRow] = {}
    for row in rows:
        seen.setdefault((row.loss, row.implementation, row.device, row.mode, row.outcome), row)
    return list(seen.values())


def _limited(sentences: list[str], what: str) -> list[str]:
    if len(sentences) <= _AT_MOST:
        return sentences
    return [*sentences[:_AT_MOST], f"... and {len(sentences) - _AT_MOST} more {what}: see the table."]
