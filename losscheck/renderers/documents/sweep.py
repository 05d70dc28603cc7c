"""sweep: a row for each implementation and target with a strip over the range, then the failing regions, then the reach."""

from __future__ import annotations

import math
from collections.abc import Iterator
from heapq import nsmallest

from losscheck.core.dtypes import FORMATS, short_hex
from losscheck.core.effect import Effect
from losscheck.core.report import Report
from losscheck.core.results import BitDifference, SweepRow
from losscheck.renderers.document import (
    Appendix,
    Block,
    Cell,
    Column,
    Document,
    Heading,
    Kind,
    Legend,
    Line,
    Listing,
    Paragraph,
    Picture,
    Sentence,
    Table,
)
from losscheck.renderers.figures import end_text, exact_text, params_text, quantity_name, ulp_size, ulp_text, value_text
from losscheck.renderers.names import Names, label
from losscheck.renderers.severity import Severity, severity_of
from losscheck.renderers.strips import strip_of
from losscheck.renderers.trends import Trend, trends

__all__ = ["coverage", "document", "failing_text"]

_MOST_REGIONS = 16  # told on a screen
_LISTED = 400  # in a document: a page has room
_WORST = 3  # cases of each row


def document(report: Report) -> Document:
    blocks: list[Block] = [Picture(report)]
    name = Names(report.sweeps)
    definitions = dict(report.definitions)  # each is told once, before its first number
    for (loss, dtype, params, quantity), rows in _tables(report):
        blocks.append(Heading(f"{loss}  {quantity}  {dtype}", params))
        if definition := definitions.pop(loss, ""):
            blocks.append(Paragraph(definition, quiet=True))
        blocks.append((_table if report.verbose else _summary)(rows, name))
    reach = (*_missing(report), *map(Sentence, coverage(report)), *_behind(report, blocks))
    blocks += [Legend(), _regions(report), Listing(reach), _worst(report, name)]
    return Document("losscheck sweep", tuple(blocks), reproduce=report.reproduce, environment=report.environment)


def _tables(report: Report) -> list[tuple[tuple[str, str, str, str], list[SweepRow]]]:
    """Rows by loss, dtype, parameters and quantity, in the order of first appearance."""
    groups: dict[tuple[str, str, str, str], list[SweepRow]] = {}
    for row in report.sweeps:
        dtype = f"{row.dtype} from {row.logit_dtype} logits" if row.logit_dtype else row.dtype
        groups.setdefault((row.loss, dtype, params_text(row.params, row.given_dtype), quantity_name(row)), []).append(row)
    return list(groups.items())


def _table(rows: list[SweepRow], name: Names) -> Table:
    """Every row: each backend and target."""
    return Table(_columns(rows), tuple(_line([row], name(row)) for row in rows))


def _summary(rows: list[SweepRow], name: Names) -> Table:
    """A line for each implementation: its worst target, the worst of all in each part of its strip; backends that agree share it."""
    lines = []
    for backends in _by_implementation(rows):
        alike = len({tuple(map(_found, group)) for group in backends}) == 1
        lines += [_line(group, name(group[0], backend=not alike)) for group in (backends[:1] if alike else backends)]
    return Table(_columns(rows), tuple(lines))


def _by_implementation(rows: list[SweepRow]) -> list[list[list[SweepRow]]]:
    """Rows of each implementation, device, layout and mode, and of these the rows of each backend."""
    groups: dict[tuple[str, ...], dict[str, list[SweepRow]]] = {}
    for row in rows:
        key = (row.implementation, row.device, row.layout, row.mode)
        groups.setdefault(key, {}).setdefault(row.backend, []).append(row)
    return [list(backends.values()) for backends in groups.values()]


def _found(row: SweepRow) -> tuple[object, ...]:
    """What makes two backends worth two lines, where it differs."""
    return row.target, tuple(row.counts.items()), row.max_ulp, row.reason


def _badness(row: SweepRow) -> tuple[int, int, float]:
    """By what it does to training where that is known, then by outcome, then by error."""
    effect = row.effect.effect.severity if row.effect else len(Effect)
    return effect, row.outcome.severity, -row.max_ulp


def _columns(rows: list[SweepRow]) -> tuple[Column, ...]:
    return (
        Column("implementation", Kind.NAME),
        Column("target"),
        Column("max ulp"),
        Column("failing"),
        Column("severest", Kind.WORD, optional=True),
        Column("strip", Kind.STRIP, ends=(f"{rows[0].low:g}", f"{rows[0].high:g}")),
    )


def _line(rows: list[SweepRow], name: str) -> Line:
    """The figures of the worst row, the strip of them all."""
    row, strip = min(rows, key=_badness), strip_of(*rows)
    severity = severity_of(row.outcome)
    share = row.failures / row.points if row.points else 0.0
    cells = (
        Cell(name, severity),
        Cell(_target(row), severity, key=row.target),
        Cell("-" if row.reason else ulp_size(row.max_ulp), severity, key=row.max_ulp),
        Cell(failing_text(row), severity, key=share),
        Cell(row.outcome.value, severity, signed=True),
        Cell(row.reason, severity) if row.reason else strip,
    )
    return Line(cells, severity, tuple(rows))


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


def _worst(report: Report, name: Names) -> Appendix:
    """The worst logits of each row, with what came out there."""
    words, figures = ("loss", "implementation", "dtype", "quantity"), ("target", "logit", "value", "exact", "ulp")
    columns = [*(Column(heading, Kind.WORD) for heading in words), *map(Column, figures), Column("outcome", Kind.WORD)]
    lines = []
    for row in report.sweeps:
        for point in row.worst[:_WORST]:
            severity = severity_of(point.outcome)
            texts = [row.loss, name(row), row.dtype, quantity_name(row), _target(row), end_text(point.logits[0], row.given_dtype)]
            texts += [value_text(point), exact_text(point.exact, point.dtype), ulp_text(point.ulp)]
            lines.append(Line((*map(Cell, texts), Cell(point.outcome.value, severity, signed=True)), severity, (row,)))
    return Appendix("Worst cases", Table(tuple(columns), tuple(lines)))


# Sentences --------------------------------------------------------------------------------------------------------


def _regions(report: Report) -> Listing:
    """Regions of one trend are told as one; with -v each is told."""
    told = [(row, trend) for row in report.sweeps for trend in (_each(row) if report.verbose else trends(row.regions))]
    worst = nsmallest(_LISTED, told, key=lambda pair: (pair[1].outcome.severity, -pair[1].points))
    items = tuple(Sentence(_region(row, trend), severity_of(trend.outcome), (row,)) for row, trend in worst)
    title = "Failures, severest and largest first" if told else "No failure was found."
    return Listing(items, title, None if report.verbose else _MOST_REGIONS, len(told), "regions: --format json lists them all.")


def _each(row: SweepRow) -> list[Trend]:
    return [trend for region in row.regions for trend in trends([region])]


def _region(row: SweepRow, trend: Trend) -> str:
    ends = " to ".join(end_text(logit, row.given_dtype) for logit in (trend.first, trend.last))
    count = f"{trend.floats} floats" if trend.floats > 1 else "1 float"
    if trend.points != trend.floats:
        count = f"{trend.points} of {count}"
    if trend.regions > 1:
        count += f" in {trend.regions} regions"
    where = f" {row.device}" if row.device != "cpu" else ""
    where += f" {row.layout}" if row.layout != "body" else ""
    where += f" {row.mode}" if row.mode != "eager" else ""
    return (
        f"{row.loss} {row.implementation} {row.backend}{where} {row.dtype} target {_target(row)}: "
        f"{quantity_name(row)} {trend.outcome.value} from {ends}, {count}."
    )


def _missing(report: Report) -> list[Sentence]:
    told = dict.fromkeys(f"{label(row)}: unavailable, {row.reason}." for row in report.sweeps if row.reason)
    return [Sentence(text, Severity.UNKNOWN) for text in told]


def _behind(report: Report, blocks: list[Block]) -> list[Sentence]:
    """How much of the tables is not shown."""
    lines = sum(len(block.lines) for block in blocks if isinstance(block, Table))
    if lines == len(report.sweeps):
        return []
    return [Sentence(f"{len(report.sweeps)} rows in {lines} lines, the worst target of each; -v shows every backend and target.")]


def coverage(report: Report) -> list[str]:
    """What was remarked about callables of the user's; what the sweep claims to have covered, and how it was checked."""
    return list(dict.fromkeys([*report.remarks, *_covered(report)]))


def _covered(report: Report) -> Iterator[str]:
    yield from map(_extent, report.sweeps)
    checked, wrong = sum(row.checked for row in report.sweeps), sum(row.wrong for row in report.sweeps)
    if checked:
        yield f"{checked} points spread over the ranges were checked against the exact oracle: {wrong} disagreements."
    nans = [row for row in report.sweeps if row.nan_points]
    if nans:
        yield f"All {nans[0].nan_points} NaN logits were tried as well: {sum(row.nan_wrong for row in nans)} gave a number."
    for difference in report.bit_differences:
        yield f"{difference.what}: {difference.differ} of {difference.points} logits differ in bits.{_most_different(difference)}"


def _extent(row: SweepRow) -> str:
    given = row.given_dtype
    ends = " to ".join(FORMATS[given].shortest(logit) for logit in (row.low, row.high))
    if not row.exhaustive:
        return (
            f"{given}: {row.points} logits from {ends}; the ends of each region are exact floats, found by bisection, "
            "but between its samples it was only sampled."
        )
    joined = any(region.points != region.floats for region in row.regions)
    complete = "the counts are complete; of too many regions close ones were joined" if joined else "the regions are complete"
    return f"{given}: every float from {ends}, {row.points} of them, so {complete}."


def _most_different(difference: BitDifference) -> str:
    logit = difference.worst_logit
    if logit is None:
        return ""
    shown = f"{logit!r} ({short_hex(logit)})" if math.isfinite(logit) else repr(logit)
    return f" Most at {shown}: {difference.value!r} against {difference.other_value!r}."
