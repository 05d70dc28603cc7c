"""sweep: the implementations ranked by what they do to training, a line each; every row and region behind it; then the reach."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from heapq import nsmallest
from itertools import groupby

from losscheck.core.deferred import Deferred
from losscheck.core.dtypes import FORMATS, short_hex
from losscheck.core.outcome import Outcome
from losscheck.core.report import Report
from losscheck.core.results import BitDifference, SweepRow
from losscheck.core.which_points import BISECTED
from losscheck.renderers.document import (
    Appendix,
    Block,
    Cell,
    Column,
    Document,
    Heading,
    Holds,
    Legend,
    Line,
    Listing,
    Paragraph,
    Picture,
    Sentence,
    Table,
    which_line,
)
from losscheck.renderers.figures import counted, end_text, exact_figure, params_text, quantity_name, ulp_size, ulp_text, value_figure
from losscheck.renderers.names import RowNames, label
from losscheck.renderers.onsets import first_failing_text, kind_of
from losscheck.renderers.severity import Severity, severity_of
from losscheck.renderers.standings import Standing, answer, standings
from losscheck.renderers.strips import strip_of
from losscheck.renderers.trends import Trend, trends

__all__ = ["coverage", "document", "failing_text"]

_LISTED = 400  # in a page's table of regions
_FEW = 4  # implementations of a loss, below which there is room for its definition
_WORST = 3  # cases of each row


def document(report: Report) -> Document:
    name = RowNames(report.sweeps)
    found = standings(report)
    blocks: list[Block] = [Picture(report)]
    if len(found) > 1 and (sentence := answer(found)):
        blocks.append(Heading(sentence))
    ran = [standing for standing in found if not all(isinstance(row, SweepRow) and not row.counts for row in standing.rows)]
    for _, group in groupby(ran, key=lambda standing: standing.heading):
        blocks += _ranking(list(group), report)
    blocks.append(Legend(effects=any(row.effects for row in report.sweeps)))
    if report.verbose:
        blocks += _every_row(report, name)
    if report.verbose or report.regions:
        blocks.append(_regions(report))
    blocks.append(Listing((*_missing(report), *map(Sentence, coverage(report)), *_behind(report))))
    blocks += [*which_line(report.trace), _region_table(report, name), _worst(report, name)]
    return Document("losscheck sweep", tuple(blocks), reproduce=report.reproduce, environment=report.environment)


def _ranking(found: Sequence[Standing], report: Report) -> Iterator[Block]:
    """One loss: a line for each implementation, all targets, loss and gradient together; the worst effect first."""
    first = found[0].rows[0]
    assert isinstance(first, SweepRow)
    yield Heading(f"{first.loss}  {_dtype(first)}", params_text(first.params, first.given_dtype))
    few = len(found) <= _FEW and len(report.definitions) == 1
    if (report.verbose or few) and (definition := report.definitions.get(first.loss)):
        yield Paragraph(definition, quiet=True)
    ends = (f"{first.low:g}", f"{first.high:g}")
    columns = (Column("implementation", Holds.NAME), Column("strip", Holds.STRIP, ends=ends), Column("effect on training", Holds.WORDS))
    yield Table(columns, tuple(_standing(standing) for standing in found))


def _standing(standing: Standing) -> Line:
    rows = [row for row in standing.rows if isinstance(row, SweepRow)]
    severity = standing.severity
    words = f"{standing.word}: {standing.words}" if standing.words else standing.word
    strip = strip_of(*rows, effects=True) if any(row.profile for row in rows) else Cell("")
    return Line((Cell(standing.name, severity, signed=True), strip, Cell(words, severity)), severity, standing.rows)


def _dtype(row: SweepRow) -> str:
    return f"{row.dtype} from {row.logit_dtype} logits" if row.logit_dtype else row.dtype


def _every_row(report: Report, name: RowNames) -> Iterator[Block]:
    """Every backend, target and quantity with its outcomes."""
    groups: dict[tuple[str, str, str, str], list[SweepRow]] = {}
    for row in report.sweeps:
        key = (row.loss, _dtype(row), params_text(row.params, row.given_dtype), quantity_name(row))
        groups.setdefault(key, []).append(row)
    for (loss, dtype, params, quantity), rows in groups.items():
        yield Heading(f"{loss}  {quantity}  {dtype}", params)
        yield Table(_columns(rows), tuple(_line(row, name(row)) for row in rows))
    yield Legend()


def _columns(rows: list[SweepRow]) -> tuple[Column, ...]:
    return (
        Column("implementation", Holds.NAME),
        Column("target"),
        Column("max ulp"),
        Column("failing"),
        Column("severest", Holds.WORD, optional=True),
        Column("strip", Holds.STRIP, ends=(f"{rows[0].low:g}", f"{rows[0].high:g}")),
    )


def _line(row: SweepRow, name: str) -> Line:
    severity = severity_of(row.outcome)
    share = row.failures / row.points if row.points else 0.0
    cells = (
        Cell(name, severity),
        Cell(_target(row), severity, key=row.target),
        Cell("-" if row.reason else ulp_size(row.max_ulp), severity, key=row.max_ulp),
        Cell(failing_text(row), severity, key=share),
        Cell(row.outcome.value, severity, signed=True),
        Cell(row.reason, severity) if row.reason else strip_of(row),
    )
    return Line(cells, severity, (row,))


def _target(row: SweepRow) -> str:
    return FORMATS[row.given_dtype].shortest(row.target)


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


def _worst(report: Report, name: RowNames) -> Appendix:
    """The worst logits of each row, with what came out there."""
    words, figures = ("loss", "implementation", "dtype", "quantity"), ("target", "logit", "value", "exact", "ulp")
    columns = [*(Column(heading, Holds.WORD) for heading in words), *map(Column, figures), Column("outcome", Holds.WORD)]
    return Appendix("Worst cases", Table(tuple(columns), Deferred(lambda: [*_worst_lines(report, name)])))


def _worst_lines(report: Report, name: RowNames) -> Iterator[Line]:
    for row in report.sweeps:
        for point in row.worst[:_WORST]:
            severity = severity_of(point.outcome)
            texts = [row.loss, name(row), row.dtype, quantity_name(row), _target(row), end_text(point.logits[0], row.given_dtype)]
            texts += [value_figure(point), exact_figure(point.exact, point.dtype), ulp_text(point.ulp)]
            yield Line((*map(Cell, texts), Cell(point.outcome.value, severity, signed=True)), severity, (row,))


# Sentences --------------------------------------------------------------------------------------------------------


def _regions(report: Report) -> Listing:
    """Each run of failing floats with its exact ends, severest and largest first."""
    told = [(row, trend) for row in report.sweeps for trend in _each(row)]
    told.sort(key=lambda pair: (pair[1].outcome.severity, -pair[1].points))
    items = tuple(Sentence(_region(row, trend), severity_of(trend.outcome), (row,)) for row, trend in told)
    return Listing(items, "Regions, severest and largest first" if told else "No failure was found.")


def _region_table(report: Report, name: RowNames) -> Appendix:
    """Regions of one trend as one line, for a page."""
    words = [Column(heading, Holds.WORD) for heading in ("loss", "implementation", "dtype", "quantity")]
    columns = [*words, Column("target"), Column("outcome", Holds.WORD), Column("from"), Column("to"), Column("floats"), Column("regions")]
    return Appendix("Failing regions", Table(tuple(columns), Deferred(lambda: [*_region_lines(report, name)])))


def _region_lines(report: Report, name: RowNames) -> Iterator[Line]:
    told = [(row, trend) for row in report.sweeps for trend in trends(row.regions)]
    for row, trend in nsmallest(_LISTED, told, key=lambda pair: (pair[1].outcome.severity, -pair[1].points)):
        severity = severity_of(trend.outcome)
        cells = [Cell(text) for text in (row.loss, name(row), row.dtype, quantity_name(row), _target(row))]
        cells.append(Cell(trend.outcome.value, severity, signed=True))
        cells += [Cell(end_text(logit, row.given_dtype), key=logit) for logit in (trend.first, trend.last)]
        cells += [Cell(str(count), key=count) for count in (trend.floats, trend.regions)]
        yield Line(tuple(cells), severity, (row,))


def _each(row: SweepRow) -> list[Trend]:
    return [trend for region in row.regions for trend in trends([region])]


def _region(row: SweepRow, trend: Trend) -> str:
    ends = " to ".join(end_text(logit, row.given_dtype) for logit in (trend.first, trend.last))
    count = f"{trend.floats} floats" if trend.floats > 1 else "1 float"
    if trend.points != trend.floats:
        count = f"{trend.points} of {count}"
    if trend.regions > 1:
        count += f" in {trend.regions} regions"
    kind = next((kind_of(onset) for onset in row.onsets if trend.first <= onset.logit <= trend.last), "")
    begins = f"; its first failing float is {kind}" if kind not in ("", BISECTED) and not row.exhaustive else ""
    where = f" {row.device}" if row.device != "cpu" else ""
    where += f" {row.layout}" if row.layout != "body" else ""
    where += f" {row.mode}" if row.mode != "eager" else ""
    return (
        f"{row.loss} {row.implementation} {row.backend}{where} {row.dtype} target {_target(row)}: "
        f"{quantity_name(row)} {trend.outcome.value} from {ends}, {count}{begins}."
    )


def _missing(report: Report) -> list[Sentence]:
    told = dict.fromkeys(f"{label(row)}: unavailable, {row.reason}." for row in report.sweeps if row.reason)
    told |= dict.fromkeys(_refused(row) for row in report.sweeps if row.refusal)
    return [Sentence(text, Severity.UNKNOWN) for text in told]


def _refused(row: SweepRow) -> str:
    """At which logits it raised instead of returning a result, and what."""
    regions = [region for region in row.regions if region.outcome is Outcome.UNAVAILABLE]
    ends = [end_text(logit, row.given_dtype) for region in regions[:1] for logit in (region.first, region.last)]
    more = f", and {counted(len(regions) - 1, 'more region')}" if len(regions) > 1 else ""
    where = f"from {ends[0]} to {ends[1]}" if ends and ends[0] != ends[1] else f"at {ends[0]}" if ends else "at some logits"
    return f"{label(row)}: the {quantity_name(row)} is unavailable {where}{more}, target {_target(row)}: {row.refusal}."


def _behind(report: Report) -> list[Sentence]:
    """What is not shown, and how to see it."""
    regions = sum(len(row.regions) for row in report.sweeps)
    if report.verbose:
        return []
    told = f"; {counted(regions, 'region')}, exact ends: --regions" if regions and not report.regions else ""
    return [Sentence(f"{counted(len(report.sweeps), 'row')} with outcome and ulp: -v{told}.")]


def coverage(report: Report) -> list[str]:
    """What was remarked about callables of the user's; what the sweep claims to have covered, and how it was checked."""
    return list(dict.fromkeys([*report.remarks, *_covered(report)]))


def _covered(report: Report) -> Iterator[str]:
    begins = first_failing_text(onset for row in report.sweeps if not row.exhaustive for onset in row.onsets)
    for row in report.sweeps:
        yield _extent(row, "regions end at exact floats" if begins else "ends bisected (--ends proved)")
    if begins:
        yield begins
    checked, wrong = sum(row.checked for row in report.sweeps), sum(row.wrong for row in report.sweeps)
    if checked:
        yield f"{checked} points were checked against the exact oracle: {wrong} disagreements."
    nans = [row for row in report.sweeps if row.nan_points]
    if nans:
        yield f"All {nans[0].nan_points} NaN logits were tried as well: {sum(row.nan_wrong for row in nans)} gave a number."
    for difference in report.bit_differences:
        yield f"{difference.what}: {difference.differ} of {difference.points} logits differ in bits.{_most_different(difference)}"


def _extent(row: SweepRow, exact: str) -> str:
    given = row.given_dtype
    ends = " to ".join(FORMATS[given].shortest(logit) for logit in (row.low, row.high))
    if not row.exhaustive:
        return f"{given}: {row.points} logits sampled from {ends}; {exact}."
    joined = any(region.points != region.floats for region in row.regions)
    complete = "the counts are complete; of too many regions close ones were joined" if joined else "the regions are complete"
    return f"{given}: every float from {ends}, {row.points} of them, so {complete}."


def _most_different(difference: BitDifference) -> str:
    logit = difference.worst_logit
    if logit is None:
        return ""
    shown = f"{logit!r} ({short_hex(logit)})" if math.isfinite(logit) else repr(logit)
    return f" Most at {shown}: {difference.value!r} against {difference.other_value!r}."
