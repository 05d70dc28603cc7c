"""compare --tensors: the poisoned element first; then what is in the batch, outcomes, reduced losses, failing elements, the reach."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from losscheck.core.batch_rows import Element, Few, TensorBatch, TensorRow
from losscheck.core.dtypes import FORMATS, short_hex
from losscheck.core.outcome import Outcome
from losscheck.core.report import Report
from losscheck.renderers.document import (
    Block,
    Cell,
    Column,
    Document,
    Heading,
    Holds,
    Line,
    Listing,
    Paragraph,
    Sentence,
    Table,
    which_line,
)
from losscheck.renderers.documents.culprits import culprits
from losscheck.renderers.documents.reduced import reduced_blocks, reduced_findings
from losscheck.renderers.figures import (
    counted,
    deviation_text,
    exact_figure,
    params_text,
    quantity_name,
    result_text,
    ulp_size,
    ulp_text,
    value_figure,
)
from losscheck.renderers.names import RowNames
from losscheck.renderers.severity import Severity, severity_of
from losscheck.renderers.standings import standings

__all__ = ["document"]

_MOST_ELEMENTS = 10
_MOST_REDUCED = 6
# Wrong by as much as itself, whatever its size; the others are relative, and told where they show an effect.
_ABSOLUTE = (Outcome.NAN, Outcome.INF, Outcome.WRONG_SIGN, Outcome.MISSED_INF)


def document(report: Report) -> Document:
    name = RowNames(report.tensors)
    blocks: list[Block] = [*culprits(report)]
    for batch in report.batches:
        blocks += map(Paragraph, _contents(batch))
    for (loss, dtype, params), rows in _tables(report):
        # What each does to training, unless the counts of elements were asked for or are all there is.
        counts = report.verbose or not any(row.effect for row in rows)
        blocks += [Heading(f"{loss}  {dtype}", params), _outcomes(rows, name) if counts else _effects(rows, report)]
        if any(row.whole for row in rows):
            blocks += [Heading("reduction:", report.reduction, level=2), *reduced_blocks(rows, name, whole=report.verbose)]
    failing = tuple(_failing(report, name))
    title = "Failing elements, severest first" if failing else "" if any(row.failures for row in report.tensors) else "No element fails."
    blocks.append(Listing(failing, title, _MOST_ELEMENTS, what="like these: --format json has them all."))
    if reduced := tuple(reduced_findings(report, name)):
        blocks.append(Listing(reduced, "Reduced losses", _MOST_REDUCED, what="see the table."))
    blocks.append(Listing((*_behind(report), *map(Sentence, report.remarks), *_reach(report, name))))
    blocks += which_line(report.trace)
    return Document("losscheck compare --tensors", tuple(blocks), reproduce=report.reproduce, environment=report.environment)


def _shown(report: Report, row: TensorRow, element: Element) -> bool:
    """Does an element matter, or was everything asked for? What is only relatively wrong harms nobody."""
    if report.verbose or row.effect is None:
        return True
    return row.effect.effect.harmful and (element.index == row.effect.index or element.point.outcome in _ABSOLUTE)


def _behind(report: Report) -> list[Sentence]:
    hidden = [row.implementation for row in report.tensors if not all(_shown(report, row, element) for element in row.first)]
    if not hidden:
        return []
    text = f"Elements that fail and harm no training (of {', '.join(dict.fromkeys(hidden))}): -v."
    return [Sentence(text, Severity.SLIGHT)]


def _contents(batch: TensorBatch) -> Iterator[str]:
    """What is in the dump, before any loss is asked; what could be the culprit itself comes first."""
    shown = FORMATS[batch.dtype].shortest
    where = f"{' and '.join(batch.files) or 'the batch'}: {batch.elements} elements {list(batch.shape)}, {batch.dtype}"
    yield f"{where}, logits {shown(batch.low)} to {shown(batch.high)}." if math.isfinite(batch.low) else f"{where}, no finite logit."
    if batch.nan.count:
        yield f"NaN logits: {_few(batch.nan)}. No loss can mend them: what made the logits made the NaN."
    if batch.inf.count:
        yield f"Infinite logits: {_few(batch.inf)}."
    kinds = ((batch.positives, "are 1"), (batch.negatives, "are 0"), (batch.soft, "lie between"))
    yield "Targets: " + ", ".join(f"{count} {what}" for count, what in kinds if count) + "."
    if batch.outside.count:
        yield f"Targets outside [0, 1]: {_few(batch.outside)}. These elements are not judged."
    if batch.dumped != batch.dtype:
        yield f"The logits were dumped as {batch.dumped} and rounded once to {batch.dtype}, which changed {batch.rounded_logits}."
    if batch.became_infinite.count:
        yield f"Finite logits that {batch.dtype} makes infinite: {_few(batch.became_infinite)}."
    if batch.target_kind != batch.dtype:
        changed = f"which changed {batch.rounded_targets}" if batch.rounded_targets else "exactly"
        yield f"The targets were dumped as {batch.target_kind} and converted to {batch.dtype}, {changed}."
    if batch.became_one.count:
        yield f"Soft targets that this made 1, and with it positives: {_few(batch.became_one)}."


def _few(few: Few) -> str:
    return f"{few.count}, at {list(few.first)}" if few.count == 1 else f"{few.count}, the first at {list(few.first)}"


def _tables(report: Report) -> list[tuple[tuple[str, str, str], list[TensorRow]]]:
    """Rows by loss, dtype and parameters, in the order of first appearance."""
    groups: dict[tuple[str, str, str], list[TensorRow]] = {}
    for row in report.tensors:
        groups.setdefault((row.loss, row.dtype, params_text(row.params, row.dtype)), []).append(row)
    return list(groups.items())


def _effects(rows: Sequence[TensorRow], report: Report) -> Table:
    """A line for each implementation, loss and gradient together, the worst effect first; backends that do the same share one."""
    lines = []
    for standing in standings(replace(report, tensors=tuple(rows))):
        words = f"{standing.word}: {standing.words}" if standing.words else standing.word
        cells = Cell(standing.name, standing.severity, signed=True), Cell(words, standing.severity)
        lines.append(Line(cells, standing.severity, standing.rows))
    return Table((Column("implementation", Holds.NAME), Column("effect on training", Holds.WORDS)), tuple(lines), ranking=True)


def _outcomes(rows: list[TensorRow], name: RowNames) -> Table:
    """A line for each implementation and quantity."""
    judged = any(row.effect for row in rows)
    also = any(_also(row) for row in rows)
    columns = [Column("implementation", Holds.NAME), Column("of", Holds.WORD), Column("failing"), Column("max ulp")]
    columns += (
        [Column("severest", Holds.WORD)] + [Column("effect", Holds.WORD)] * judged + [Column("also", Holds.WORDS, optional=True)] * also
    )
    lines = []
    for row in rows:
        effect = row.effect.effect if row.effect else None
        severity = severity_of(effect or row.outcome)
        texts = (name(row), quantity_name(row), str(row.failures) if row.counts else "-", ulp_size(row.max_ulp) if row.counts else "-")
        cells = [*(Cell(text, severity) for text in texts), Cell(row.outcome.value, severity, signed=effect is None)]
        cells += [Cell(effect.value if effect else "", severity, signed=effect is not None)] * judged + [Cell(_also(row), severity)] * also
        lines.append(Line(tuple(cells), severity, (row,)))
    return Table(tuple(columns), tuple(lines))


def _also(row: TensorRow) -> str:
    """What else went wrong: '3 lost, 17 inaccurate'."""
    others = [outcome for outcome in row.counts if outcome not in (row.outcome, Outcome.OK)]
    return ", ".join(f"{row.counts[outcome]} {outcome.value}" for outcome in sorted(others, key=lambda outcome: outcome.severity))


# Sentences --------------------------------------------------------------------------------------------------------


def _failing(report: Report, name: RowNames) -> list[Sentence]:
    """Failing elements by severity: of each row and outcome the first, and the worst where that is another."""
    pairs = [(row, first) for row in report.tensors for first in row.first if _shown(report, row, first)]
    pairs.sort(key=lambda pair: pair[1].point.outcome.severity)
    return [Sentence(_element(row, first, name), severity_of(first.point.outcome), (row,)) for row, first in pairs]


def _element(row: TensorRow, first: Element, name: RowNames) -> str:
    outcome = first.point.outcome
    count = row.counts.get(outcome, 0)
    at = "element" if count == 1 else f"{count} elements, the first"
    line = f"{row.loss} {name(row)} {row.dtype}: {quantity_name(row)} {outcome.value} at {at} {list(first.index)}{_there(row, first)}"
    worst = next((element for element in row.worst if element.point.outcome is outcome), None)
    if worst is not None and worst.index != first.index and worst.point.badness < first.point.badness:
        line += f"; the worst {list(worst.index)}{_there(row, worst)}"
    return line + "."


def _there(row: TensorRow, element: Element) -> str:
    shown, point = FORMATS[row.dtype].shortest, element.point
    logit = point.logits[0]
    text = f" (logit {shown(logit)}{f' = {short_hex(logit)}' if math.isfinite(logit) else ''}, target {shown(point.targets[0])}): "
    text += f"got {value_figure(point)}, exact {exact_figure(point.exact, row.dtype)}"
    if point.outcome is Outcome.INACCURATE:
        text += f", {ulp_text(point.ulp)} ulp"
    if row.quantity == "loss" and element.gradient is not None:
        text += f", its gradient {result_text(element.gradient, row.dtype)}"
    return text


def _reach(report: Report, name: RowNames) -> Iterator[Sentence]:
    """Deviating formulas, what could not run, how far the report's word goes."""
    rows = report.tensors
    yield from _once(Severity.SLIGHT, (_deviation(row, row.deviation) for row in rows if row.deviation is not None))
    yield from _once(Severity.UNKNOWN, (f"{name(row)}: {_unavailable(row)}" for row in rows if row.reason))
    yield from _once(Severity.FINE, (f"{name(row)}: {_sample(row)}" for row in rows if row.sampled))
    unasked = [row for row in rows if row.unasked]
    yield from _once(
        Severity.UNKNOWN,
        (
            f"{dtype}: up to {max(row.unasked for row in unasked if row.dtype == dtype)} elements of a row are undecided: the filter alone "
            "cannot grade them, and to end in time the oracle was asked about a sample. The filter saw no failure in the others."
            for dtype in dict.fromkeys(row.dtype for row in unasked)
        ),
    )
    checked, wrong = sum(row.checked for row in rows), sum(row.wrong for row in rows)
    if checked:
        yield Sentence(f"{checked} results spread over the batch were checked against the exact oracle: {wrong} disagreements.")
    methods = (row.whole.method for row in rows if row.whole and row.whole.method)
    yield from _once(Severity.FINE, (f"Reduced losses: the exact sums were taken {method}." for method in methods))


def _deviation(row: TensorRow, farthest: Element) -> str:
    why = f": {farthest.point.note}" if farthest.point.note else ""
    return (
        f"{row.implementation}: its own {quantity_name(row)} formula deviates from the definition at {row.deviating} of {row.judged} "
        f"elements, most at {list(farthest.index)} ({deviation_text(farthest.point.deviation)}){why}."
    )


def _unavailable(row: TensorRow) -> str:
    count = row.counts.get(Outcome.UNAVAILABLE, 0)
    return f"it refuses {counted(count, 'element')} ({row.reason})." if count else f"unavailable, {row.reason}."


def _sample(row: TensorRow) -> str:
    return (
        f"it returns one number for a batch, so each element is a call of its own: {row.judged} were judged, "
        "those with the largest |logit| and an even sample of the others."
    )


def _once(severity: Severity, lines: Iterable[str]) -> Iterator[Sentence]:
    return (Sentence(line, severity) for line in dict.fromkeys(lines))
