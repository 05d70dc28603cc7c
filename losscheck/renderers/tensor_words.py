"""A dumped batch in words and figures for people: what the text formats share."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from losscheck.core.batch_rows import Element, Few, TensorBatch, TensorRow, Whole
from losscheck.core.dtypes import FORMATS, short_hex
from losscheck.core.exact import Exact, Kind
from losscheck.core.outcome import Outcome
from losscheck.core.report import Report
from losscheck.renderers.words import deviation_text, exact_text, ulp_text, value_text

__all__ = [
    "batch_lines",
    "by_loss",
    "element_lines",
    "failing_count",
    "full_name",
    "reach_lines",
    "row_ulp",
    "whole_cells",
    "whole_lines",
]


def batch_lines(batch: TensorBatch) -> list[str]:
    """What is in the dump, before any loss is asked; what could be the culprit itself comes first."""
    shown = FORMATS[batch.dtype].shortest
    where = f"{' and '.join(batch.files)}: {batch.elements} elements {list(batch.shape)}, {batch.dtype}"
    lines = [f"{where}, logits {shown(batch.low)} to {shown(batch.high)}." if math.isfinite(batch.low) else f"{where}, no finite logit."]
    if batch.nan.count:
        lines.append(f"NaN logits: {_few(batch.nan)}. No loss can mend them: what made the logits made the NaN.")
    if batch.inf.count:
        lines.append(f"Infinite logits: {_few(batch.inf)}.")
    kinds = ((batch.positives, "are 1"), (batch.negatives, "are 0"), (batch.soft, "lie between"))
    lines.append("Targets: " + ", ".join(f"{count} {what}" for count, what in kinds if count) + ".")
    if batch.outside.count:
        lines.append(f"Targets outside [0, 1]: {_few(batch.outside)}. These elements are not judged.")
    if batch.dumped != batch.dtype:
        lines.append(f"The logits were dumped as {batch.dumped} and rounded once to {batch.dtype}, which changed {batch.rounded_logits}.")
    if batch.became_infinite.count:
        lines.append(f"Finite logits that {batch.dtype} makes infinite: {_few(batch.became_infinite)}.")
    if batch.target_kind != batch.dtype:
        changed = f"which changed {batch.rounded_targets}" if batch.rounded_targets else "exactly"
        lines.append(f"The targets were dumped as {batch.target_kind} and converted to {batch.dtype}, {changed}.")
    if batch.became_one.count:
        lines.append(f"Soft targets that this made 1, and with it positives: {_few(batch.became_one)}.")
    return lines


def _few(few: Few) -> str:
    return f"{few.count}, at {list(few.first)}" if few.count == 1 else f"{few.count}, the first at {list(few.first)}"


def by_loss(report: Report) -> list[tuple[tuple[str, str, str], list[TensorRow]]]:
    """Rows by loss, dtype and parameters, in the order of first appearance."""
    groups: dict[tuple[str, str, str], list[TensorRow]] = {}
    for row in report.tensors:
        params = "  ".join(f"{name}={FORMATS[row.dtype].shortest(value)}" for name, value in row.params.items())
        groups.setdefault((row.loss, row.dtype, params), []).append(row)
    return list(groups.items())


def full_name(row: TensorRow, report: Report) -> str:
    """The implementation, with its backend and device where the report has several of them."""
    alike = [each for each in report.tensors if (each.loss, each.implementation) == (row.loss, row.implementation)]
    name = row.implementation
    if len({each.backend for each in alike}) > 1:
        name += f" {row.backend}"
    if len({each.device for each in report.tensors}) > 1:
        name += f" {row.device}"
    return name


def failing_count(row: TensorRow) -> str:
    return "-" if not row.counts else str(row.failures)


def row_ulp(row: TensorRow) -> str:
    return "-" if not row.counts else ulp_text(row.max_ulp).lstrip("+")


def whole_cells(row: TensorRow, whole: Whole) -> tuple[str, ...]:
    """value, exact, ulp, and the ulp of elements and reduction."""
    value = "-" if whole.value is None else FORMATS[row.dtype].shortest(whole.value)
    return (value, _exact(whole.exact, row.dtype), *(ulp_text(each) for each in (whole.ulp, whole.element_ulp, whole.reduction_ulp)))


def _exact(exact: Exact | None, dtype: str) -> str:
    if exact is None or exact.kind is not Kind.FINITE:
        return exact_text(exact, dtype)
    digits = min(34, exact.proved_digits)
    return exact_text(exact, dtype) if digits >= 18 or dtype != "float64" else exact.decimal(digits)


def element_lines(report: Report, most: int) -> list[str]:
    """Failing elements by severity: of each row and outcome the first, and the worst where that is another."""
    found: list[tuple[tuple[int, int], str]] = []
    for place, row in enumerate(report.tensors):
        for first in row.first:
            outcome = first.point.outcome
            worst = next((each for each in row.worst if each.point.outcome is outcome), None)
            count = row.counts.get(outcome, 0)
            found.append(((outcome.severity, place), _element_line(row, report, first, worst, count)))
    lines = [line for _, line in sorted(found, key=lambda each: each[0])]
    return lines if len(lines) <= most else [*lines[:most], f"... and {len(lines) - most} more like these: --format json has them all."]


def _element_line(row: TensorRow, report: Report, first: Element, worst: Element | None, count: int) -> str:
    quantity = "gradient" if row.quantity == "grad" else "loss"
    where = f"{row.loss} {full_name(row, report)} {row.dtype}"
    line = f"{where}: {quantity} {first.point.outcome.value} at {_elements(count)} {list(first.index)}{_told(row, first)}"
    if worst is not None and worst.index != first.index and worst.point.badness < first.point.badness:
        line += f"; the worst {list(worst.index)}{_told(row, worst)}"
    return line + "."


def _elements(count: int) -> str:
    return "element" if count == 1 else f"{count} elements, the first"


def _told(row: TensorRow, element: Element) -> str:
    shown, point = FORMATS[row.dtype].shortest, element.point
    logit = point.logits[0]
    text = f" (logit {shown(logit)}{f' = {short_hex(logit)}' if math.isfinite(logit) else ''}, target {shown(point.targets[0])}): "
    text += f"got {value_text(point)}, exact {exact_text(point.exact, row.dtype)}"
    if point.outcome is Outcome.INACCURATE:
        text += f", {ulp_text(point.ulp)} ulp"
    if row.quantity == "loss" and element.gradient is not None:
        text += f", its gradient {shown(element.gradient)}"
    return text


def whole_lines(report: Report, most: int) -> list[str]:
    """Why a reduced loss is off: its elements, its reduction, its weights. The severest first."""
    found = []
    for row in report.tensors:
        whole = row.whole
        if whole is None:
            continue
        where = f"{row.loss} {full_name(row, report)} {row.dtype}: the reduced loss"
        right = _exact(whole.exact, row.dtype)
        if whole.reason:
            found.append((1, 0.0, f"{where} is not judged: {whole.reason}."))
        elif whole.outcome is Outcome.UNDECIDED:
            found.append((1, 1.0, f"{where} cannot be told from the exact {right}, of which these digits are proved."))
        elif whole.outcome is Outcome.OK and _overflows(whole):
            largest = FORMATS[row.dtype].shortest(FORMATS[row.dtype].largest)
            found.append((0, 99.0, f"{where} is rightly infinite: {right} is beyond the largest {row.dtype}, {largest}."))
        elif whole.outcome is not Outcome.OK:
            found.append((0, float(whole.outcome.severity), f"{where} is {whole.outcome.value}{_blame(row, whole)}."))
        if whole.deviation:
            why = f" ({whole.note})" if whole.note else ""
            right = _exact(whole.definition, row.dtype)
            found.append(
                (2, -abs(whole.deviation), f"{where} deviates from the definition's {right} by {deviation_text(whole.deviation)}{why}.")
            )
    lines = [line for *_, line in sorted(found)]
    return lines if len(lines) <= most else [*lines[:most], f"... and {len(lines) - most} more: see the table."]


def _overflows(whole: Whole) -> bool:
    return whole.exact is not None and whole.exact.kind is Kind.FINITE and math.isinf(whole.exact.rounded)


def _blame(row: TensorRow, whole: Whole) -> str:
    value = "-" if whole.value is None else FORMATS[row.dtype].shortest(whole.value)
    told = f": {value} where {_exact(whole.exact, row.dtype)} is right"
    if whole.element_ulp is None:
        return told
    if not math.isfinite(whole.element_ulp):
        return f"{told}; its elements alone make it {whole.element_ulp:g}"
    assert whole.reduction_ulp is not None
    if abs(whole.element_ulp) >= abs(whole.reduction_ulp):
        return f"{told}; the elements bring {ulp_text(whole.element_ulp)} ulp of it, the reduction {ulp_text(whole.reduction_ulp)}"
    sound = FORMATS[row.dtype].shortest(whole.elements or 0.0)
    if not math.isfinite(whole.reduction_ulp):
        return f"{told}; the reduction makes it so: the same elements, reduced exactly, give {sound}"
    return f"{told}; the reduction brings {ulp_text(whole.reduction_ulp)} ulp of it: the same elements, reduced exactly, give {sound}"


def reach_lines(report: Report) -> list[str]:
    """What is odd about callables of the user's, deviating formulas, what could not run, how far the report's word goes."""
    rows = report.tensors
    lines = _once(
        f"{row.implementation}: its own {'gradient' if row.quantity == 'grad' else 'loss'} formula deviates from the definition at "
        f"{row.deviating} of {row.judged} elements, most at {list(row.deviation.index)} "
        f"({deviation_text(row.deviation.point.deviation)}){f': {row.deviation.point.note}' if row.deviation.point.note else ''}."
        for row in rows
        if row.deviation is not None
    )
    lines += _once(f"{full_name(row, report)}: {_unavailable(row)}" for row in rows if row.reason)
    lines += _once(
        f"{full_name(row, report)}: it returns one number for a batch, so each element is a call of its own: {row.judged} were judged, "
        "those with the largest |logit| and an even sample of the others."
        for row in rows
        if row.sampled
    )
    unasked = [row for row in rows if row.unasked]
    lines += _once(
        f"{dtype}: up to {max(row.unasked for row in unasked if row.dtype == dtype)} elements of a row are undecided: the filter alone "
        "cannot grade them, and to end in time the oracle was asked about a sample. The filter saw no failure in the others."
        for dtype in dict.fromkeys(row.dtype for row in unasked)
    )
    checked, wrong = sum(row.checked for row in rows), sum(row.wrong for row in rows)
    if checked:
        lines.append(f"{checked} results spread over the batch were checked against the exact oracle: {wrong} disagreements.")
    methods: Sequence[str] = [row.whole.method for row in rows if row.whole and row.whole.method]
    lines += _once(f"Reduced losses: the exact sums were taken {method}." for method in methods)
    return [*report.remarks, *lines]


def _unavailable(row: TensorRow) -> str:
    count = row.counts.get(Outcome.UNAVAILABLE, 0)
    return f"it refuses {_count(count)} ({row.reason})." if count else f"unavailable, {row.reason}."


def _count(elements: int) -> str:
    return "1 element" if elements == 1 else f"{elements} elements"


def _once(lines: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(lines))
