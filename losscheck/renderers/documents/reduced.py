"""The reduced losses of a dumped batch: a table, and why one is off: its elements, its reduction, its weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from losscheck.core.batch_rows import TensorRow, Whole
from losscheck.core.dtypes import FORMATS
from losscheck.core.exact import Exact, Kind
from losscheck.core.outcome import Outcome
from losscheck.core.report import Report
from losscheck.renderers.document import Block, Cell, Column, Holds, Line, Listing, Sentence, Table
from losscheck.renderers.figures import deviation_text, exact_figure, result_text, ulp_text
from losscheck.renderers.names import RowNames
from losscheck.renderers.severity import Severity, severity_of

__all__ = ["reduced_blocks", "reduced_findings"]

_FEW = 3  # rows that are all shown


def reduced_blocks(rows: Sequence[TensorRow], name: RowNames, *, whole: bool) -> Iterator[Block]:
    """A table of those that are not right, and who else is; of all of them with ``whole`` or where they are few."""
    judged = [row for row in rows if row.whole]
    right = [row for row in judged if row.whole and row.whole.outcome is Outcome.OK and not row.whole.deviation]
    if whole or len(judged) <= _FEW:
        right = []
    if len(right) < len(judged):
        yield _table([row for row in judged if row not in right], name)
    if right:
        yield Listing((Sentence(f"{'the others: ' if len(right) < len(judged) else ''}{_in_short(right)}"),))


def _in_short(right: Sequence[TensorRow]) -> str:
    """'11 within 0.2 ulp of 1.732615138'"""
    wholes = [row.whole for row in right if row.whole]
    errors = [abs(whole.ulp) for whole in wholes if whole.ulp is not None]
    return f"{len(right)} within {max(errors, default=0.5):.2g} ulp of {_exact(wholes[0].exact, right[0].dtype)}"


def _table(rows: Sequence[TensorRow], name: RowNames) -> Table:
    columns = [Column("reduced", Holds.NAME), *map(Column, ("value", "exact", "ulp", "elements", "reduction"))]
    lines = []
    for row in rows:
        if (whole := row.whole) is None:
            continue
        severity = severity_of(whole.outcome)
        ulps = (ulp_text(ulp) for ulp in (whole.ulp, whole.element_ulp, whole.reduction_ulp))
        texts = (name(row), _value(row, whole), _exact(whole.exact, row.dtype), *ulps)
        lines.append(Line((*(Cell(text, severity) for text in texts), Cell(whole.outcome.value, severity, signed=True)), severity))
    return Table((*columns, Column("outcome", Holds.WORD)), tuple(lines))


def reduced_findings(report: Report, name: RowNames) -> list[Sentence]:
    """What is wrong with a reduced loss, severest first; then what could not be judged; then what deviates."""
    ordered: list[tuple[int, float, str, Severity]] = []
    for row in report.tensors:
        whole = row.whole
        if whole is None:
            continue
        where = f"{row.loss} {name(row)} {row.dtype}: the reduced loss"
        if text := _judged(row, whole):
            failed = whole.outcome not in (Outcome.OK, Outcome.UNDECIDED, Outcome.UNAVAILABLE)
            ordered.append((0 if failed else 1, whole.outcome.severity, f"{where} {text}.", severity_of(whole.outcome)))
        if whole.deviation:
            why = f" ({whole.note})" if whole.note else ""
            right = _exact(whole.definition, row.dtype)
            text = f"{where} deviates from the definition's {right} by {deviation_text(whole.deviation)}{why}."
            ordered.append((2, -abs(whole.deviation), text, Severity.SLIGHT))
    ordered.sort(key=lambda finding: finding[:3])
    return [Sentence(text, severity) for _, _, text, severity in ordered]


def _judged(row: TensorRow, whole: Whole) -> str:
    """What is to be said of its rounding; empty where it is right."""
    right = _exact(whole.exact, row.dtype)
    if whole.reason:
        return f"is not judged: {whole.reason}"
    if whole.outcome is Outcome.UNDECIDED:
        return f"cannot be told from the exact {right}, of which these digits are proved"
    if whole.outcome is not Outcome.OK:
        return f"is {whole.outcome.value}: {_value(row, whole)} where {right} is right{_blame(row, whole)}"
    if whole.exact is not None and whole.exact.kind is Kind.FINITE and math.isinf(whole.exact.rounded):
        largest = FORMATS[row.dtype].shortest(FORMATS[row.dtype].largest)
        return f"is rightly infinite: {right} is beyond the largest {row.dtype}, {largest}"
    return ""


def _blame(row: TensorRow, whole: Whole) -> str:
    """Which of the two brought the error: the elements, or their reduction."""
    if whole.element_ulp is None or whole.reduction_ulp is None:
        return ""
    if not math.isfinite(whole.element_ulp):
        return f"; its elements alone make it {result_text(whole.element_ulp, row.dtype)}"
    if abs(whole.element_ulp) >= abs(whole.reduction_ulp):
        return f"; the elements bring {ulp_text(whole.element_ulp)} ulp of it, the reduction {ulp_text(whole.reduction_ulp)}"
    sound = FORMATS[row.dtype].shortest(whole.elements or 0.0)
    if not math.isfinite(whole.reduction_ulp):
        return f"; the reduction makes it so: the same elements, reduced exactly, give {sound}"
    return f"; the reduction brings {ulp_text(whole.reduction_ulp)} ulp of it: the same elements, reduced exactly, give {sound}"


def _value(row: TensorRow, whole: Whole) -> str:
    return result_text(whole.value, row.dtype)


def _exact(exact: Exact | None, dtype: str) -> str:
    """As many digits as are proved."""
    if exact is None or exact.kind is not Kind.FINITE:
        return exact_figure(exact, dtype)
    digits = min(34, exact.proved_digits)
    return exact_figure(exact, dtype) if digits >= 18 or dtype != "float64" else exact.decimal(digits)
