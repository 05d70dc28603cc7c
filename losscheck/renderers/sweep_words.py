"""Sweeps in words and strips for people: what the text formats and the page share."""

from __future__ import annotations

import math
from collections.abc import Sequence

from losscheck.core.dtypes import FORMATS, short_hex
from losscheck.core.outcome import Outcome
from losscheck.core.report import Report
from losscheck.core.results import PointRow, Region, SweepRow
from losscheck.renderers.words import exact_text, ulp_text, value_text

__all__ = [
    "LETTERS",
    "by_table",
    "coverage",
    "failing_text",
    "legend",
    "region_lines",
    "row_name",
    "several",
    "strip",
    "target_text",
    "worst_text",
]

LETTERS = {
    Outcome.NAN: "N",
    Outcome.INF: "I",
    Outcome.WRONG_SIGN: "W",
    Outcome.LOST: "L",
    Outcome.MISSED_INF: "M",
    Outcome.FLUSHED: "F",
    Outcome.INACCURATE: "x",
    Outcome.UNDECIDED: "?",
}
_LEVELS = ((0.5, "▁", "."), (1.0, "▂", "."), (2.0, "▃", ":"), (4.0, "▄", ":"), (math.inf, "▅", "-"))


def strip(row: SweepRow, width: int, unicode: bool) -> str:
    """The range in ``width`` characters: the severest outcome of each part by its letter, else the height of its ulp."""
    cells = len(row.profile)
    shown = []
    for n in range(width):
        part = row.profile[n * cells // width : max((n + 1) * cells // width, n * cells // width + 1)]
        outcomes = [outcome for _, _, outcome in part if outcome is not None]
        if not outcomes:
            shown.append(" ")
            continue
        worst = min(outcomes, key=lambda each: each.severity)
        top = max(ulp for _, ulp, _ in part)
        level = next((tall, flat) for limit, tall, flat in _LEVELS if top <= limit or math.isnan(top) or limit == math.inf)
        shown.append(LETTERS.get(worst) or level[0 if unicode else 1])
    return "".join(shown)


def legend(unicode: bool) -> str:
    letters = ", ".join(f"{letter} {outcome.value}" for outcome, letter in LETTERS.items())
    levels = "▁ to 1/2 ulp, ▂ 1, ▃ 2, ▄ 4, ▅ more" if unicode else ". to 1 ulp, : to 4, - more"
    return f"strip, low to high logits: {levels}; {letters}"


def row_name(row: SweepRow, *, device: bool, layout: bool) -> str:
    """'stable torch', with device and layout where the sweep has several, and the mode where it is not eager."""
    parts = [row.implementation] if row.implementation.startswith((f"{row.backend}-", "optax-")) else [row.implementation, row.backend]
    parts += [*([row.device] if device else []), *([row.layout] if layout else [])]
    return " ".join([*parts, *([row.mode] if row.mode != "eager" else [])])


def target_text(row: SweepRow) -> str:
    return FORMATS[row.logit_dtype or row.dtype].shortest(row.target)


def failing_text(row: SweepRow) -> str:
    """The share of failing points; never 0% when one fails, nor 100% when one does not."""
    if row.reason:
        return "-"
    if not row.failures:
        return "0"
    percent = 100 * row.failures / row.points
    if percent < 0.1:
        return f"{row.failures}" if row.failures < 1000 else "<0.1%"
    return ">99.9%" if 99.9 < percent < 100 else f"{percent:.3g}%"


def coverage(report: Report) -> list[str]:
    """What was remarked about callables of the user's; what the sweep claims to have covered, and how it was checked."""
    found: dict[str, None] = dict.fromkeys(report.remarks)
    for row in report.sweeps:
        given = row.logit_dtype or row.dtype
        ends = " to ".join(FORMATS[given].shortest(each) for each in (row.low, row.high))
        if row.exhaustive:
            joined = any(region.points != region.floats for region in row.regions)
            complete = (
                "so the regions are complete." if not joined else "so the counts are complete; of too many regions close ones were joined."
            )
            found[f"{given}: every float from {ends}, {row.points} of them, {complete}"] = None
        else:
            found[
                f"{given}: {row.points} logits from {ends}; the ends of each region are exact floats, found by bisection, "
                "but between its samples it was only sampled."
            ] = None
    checked, wrong = sum(row.checked for row in report.sweeps), sum(row.wrong for row in report.sweeps)
    if checked:
        found[f"{checked} points spread over the ranges were checked against the exact oracle: {wrong} disagreements."] = None
    nans = [row for row in report.sweeps if row.nan_points]
    if nans:
        wrongs = sum(row.nan_wrong for row in nans)
        found[f"All {nans[0].nan_points} NaN logits were tried as well: {wrongs} gave a number."] = None
    for each in report.bit_differences:
        found[f"{each.what}: {each.differ} of {each.points} logits differ in bits." + _worst_difference(each)] = None
    return list(found)


def _worst_difference(each: object) -> str:
    logit = getattr(each, "worst_logit", None)
    if logit is None:
        return ""
    return f" Most at {logit!r} ({short_hex(logit)}): {getattr(each, 'value', None)!r} against {getattr(each, 'other_value', None)!r}."


def region_lines(report: Report, most: int) -> list[str]:
    """Failures as regions with exact ends, severest and largest first."""
    found = [(row, region) for row in report.sweeps for region in row.regions]
    found.sort(key=lambda each: (each[1].outcome.severity, -each[1].points))
    lines = [_region(row, region) for row, region in found[:most]]
    if len(found) > most:
        lines.append(f"... and {len(found) - most} more regions: --format json lists them all.")
    missing = dict.fromkeys(
        f"{row.implementation} ({row.backend}, {row.device}{'' if row.mode == 'eager' else ', ' + row.mode}): unavailable, {row.reason}."
        for row in report.sweeps
        if row.reason
    )
    return lines + list(missing)


def _region(row: SweepRow, region: Region) -> str:
    name = "gradient" if row.quantity == "grad" else "loss"
    ends = " to ".join(_end(each, row.logit_dtype or row.dtype) for each in (region.first, region.last))
    count = f"{region.floats} floats" if region.floats > 1 else "1 float"
    if region.points != region.floats:
        count = f"{region.points} of {count}"
    where = f" {row.device}" if row.device != "cpu" else ""
    where += f" {row.layout}" if row.layout != "body" else ""
    where += f" {row.mode}" if row.mode != "eager" else ""
    return (
        f"{row.loss} {row.implementation} {row.backend}{where} {row.dtype} target {target_text(row)}: "
        f"{name} {region.outcome.value} from {ends}, {count}."
    )


def _end(value: float, dtype: str) -> str:
    text = FORMATS[dtype].shortest(value)
    return f"{text} ({short_hex(value)})" if math.isfinite(value) else text


def worst_text(row: PointRow) -> str:
    logit = _end(row.logits[0], row.logit_dtype or row.dtype)
    return f"{logit}: got {value_text(row)}, exact {exact_text(row.exact, row.dtype)}, {ulp_text(row.ulp)} ulp ({row.outcome.value})"


def by_table(report: Report) -> list[tuple[tuple[str, str, str, str], list[SweepRow]]]:
    """Rows by loss, dtype, parameters and quantity, in the order of first appearance."""
    groups: dict[tuple[str, str, str, str], list[SweepRow]] = {}
    for row in report.sweeps:
        params = "  ".join(f"{name}={FORMATS[row.logit_dtype or row.dtype].shortest(value)}" for name, value in row.params.items())
        dtype = f"{row.dtype} from {row.logit_dtype} logits" if row.logit_dtype else row.dtype
        groups.setdefault((row.loss, dtype, params, row.quantity), []).append(row)
    return list(groups.items())


def several(report: Report, attribute: str) -> bool:
    """Has the sweep more than one device, or layout?"""
    values: Sequence[str] = [getattr(row, attribute) for row in report.sweeps]
    return len(set(values)) > 1
