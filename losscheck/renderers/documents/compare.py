"""compare: what harms training first, in sentences; then a table for each point and quantity; then the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from losscheck.core.effect import Effect
from losscheck.core.outcome import Outcome
from losscheck.core.report import Report
from losscheck.core.results import PointRow
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
from losscheck.renderers.effects import at_most
from losscheck.renderers.figures import (
    deviation_text,
    exact_figure,
    params_text,
    point_text,
    quantity_name,
    relative_text,
    ulp_text,
    value_figure,
)
from losscheck.renderers.names import RowNames, label
from losscheck.renderers.severity import Severity, severity_of
from losscheck.renderers.standings import Standing, standings

__all__ = ["document", "findings"]

_AT_MOST = 4  # sentences of each kind
_FEW = 4  # implementations whose lines are shown whatever they say
_MOST_POINTS = 12  # where all is well


def document(report: Report) -> Document:
    answers, rest, whole = _answers(report), _rest(report), _whole(report)
    blocks: list[Block] = []
    fine: list[Sentence] = []
    for (loss, dtype, given, params), rows in _grouped(
        report.rows, lambda row: (row.loss, row.dtype, row.logit_dtype, tuple(row.params.items()))
    ):
        if not whole and all(map(_harmless, rows)):
            fine += [Sentence(f"{loss} {dtype}, {_in_short(point)}") for point in _points(rows)]
            continue
        shown = f"{dtype} from {given} logits" if given else dtype
        blocks.append(Heading(f"{loss}  {shown}", params_text(dict(params), given or dtype)))
        if (definition := report.definitions.get(loss)) and whole:
            blocks.append(Paragraph(definition, quiet=True))
        if report.reduction != "none":
            blocks.append(Paragraph(f"reduction: {report.reduction}"))
        for point in _points(rows):
            blocks += _point(point, whole)
    lead = [Listing(tuple(answers)), Listing(tuple(fine), limit=_MOST_POINTS, what="points: -v shows them.")]
    blocks = [*lead, *blocks, Listing(tuple(rest)), *which_line(report.trace)]
    return Document("losscheck compare", tuple(blocks), reproduce=report.reproduce, environment=report.environment)


def _whole(report: Report) -> bool:
    """Is every row shown? Where somebody chose a few implementations, too."""
    return report.verbose or len({row.implementation for row in report.rows}) <= _FEW


def _points(rows: Sequence[PointRow]) -> Iterator[list[PointRow]]:
    return (point for _, point in _grouped(rows, lambda row: (row.logits, row.targets)))


def _grouped(rows: Sequence[PointRow], key: Callable[[PointRow], Any]) -> Iterator[tuple[Any, list[PointRow]]]:
    """Rows by key, keys in order of first appearance; -0 and +0 are different points."""
    groups: dict[str, tuple[Any, list[PointRow]]] = {}
    for row in rows:
        value = key(row)
        groups.setdefault(repr(value), (value, []))[1].append(row)
    yield from groups.values()


def _point(rows: list[PointRow], whole: bool) -> Iterator[Block]:
    """One point: a table for each quantity with the lines of what harms, or of all; who else is right, in a sentence."""
    quiet = [] if whole else [row for row in rows if _harmless(row)]
    for _, quantity in _grouped(rows, lambda row: row.quantity):
        if told := [pair for pair in _merged(quantity) if pair[1] not in quiet]:
            yield Heading(quantity_name(quantity[0]), f"at {point_text(quantity[0], hexadecimal=True)}", level=2)
            yield _table(told, whole)
    if quiet:
        yield Listing((Sentence(f"the others: {_kinds(quiet)}" if len(quiet) < len(rows) else _in_short(quiet)),))


def _in_short(rows: Sequence[PointRow]) -> str:
    """'logit 1.5, target 1: loss 0.201413278, gradient -0.1824255238; 9 sound'"""
    exact = [
        f"{quantity_name(point[0])} {exact_figure(point[0].definition, point[0].dtype)}"
        for _, point in _grouped(rows, lambda row: row.quantity)
    ]
    return f"{point_text(rows[0])}: {', '.join(exact)}; {_kinds(rows)}"


def _kinds(rows: Sequence[PointRow]) -> str:
    """'9 sound, tails: torch-bce-with-logits'"""
    names: dict[Effect, list[str]] = {}
    for row in rows:
        if row.effect:
            names.setdefault(row.effect.effect, []).append(row.implementation)
    sound, tails = (list(dict.fromkeys(names.get(effect, []))) for effect in (Effect.SOUND, Effect.TAILS))
    told = [f"{len(sound)} sound"] if sound else []
    return ", ".join(told + ([f"tails: {', '.join(tails)}"] if tails else []))


def _harmless(row: PointRow) -> bool:
    return row.effect is not None and not row.effect.effect.harmful


def _table(pairs: Sequence[tuple[str, PointRow]], whole: bool) -> Table:
    deviates = any(row.deviation for _, row in pairs)
    judged = any(row.effect for _, row in pairs)
    columns = [Column("implementation", Holds.NAME), Column("value"), Column("exact"), Column("ulp")]
    columns += [Column("deviation")] if deviates else []
    columns += [Column("outcome", Holds.WORD, optional=judged and not whole)] + ([Column("effect", Holds.WORD)] if judged else [])
    lines = []
    for name, row in pairs:
        severity = _severity(row)
        cells = [name, value_figure(row), exact_figure(row.exact, row.dtype), ulp_text(row.ulp)]
        cells += [deviation_text(row.deviation)] if deviates else []
        signed = Cell(row.outcome.value, severity_of(row.outcome), signed=True)
        if row.effect:
            # What it does to training has the sign: a lost tail is no cross.
            signed = Cell(row.outcome.value, severity)
        effect = [_effect(row)] if judged else []
        lines.append(Line((*(Cell(text, severity) for text in cells), signed, *effect), severity, (row,)))
    return Table(tuple(columns), tuple(lines))


def _effect(row: PointRow) -> Cell:
    return Cell(row.effect.effect.value, severity_of(row.effect.effect), signed=True) if row.effect else Cell("")


def _severity(row: PointRow) -> Severity:
    """Of the whole line: that of its effect; a deviating formula is no rounding error, and no failure of the row."""
    if row.effect is not None:
        return severity_of(row.effect.effect)
    if row.outcome is Outcome.OK and row.deviation:
        return Severity.SLIGHT
    return severity_of(row.outcome)


def _merged(rows: Sequence[PointRow]) -> list[tuple[str, PointRow]]:
    """Rows of one point and quantity with their names; backends whose results agree to the bit share a line."""
    name = RowNames(rows)
    lines: list[tuple[str, PointRow]] = []
    groups: dict[tuple[str, str, str], list[PointRow]] = {}
    for row in rows:
        groups.setdefault((row.implementation, row.device, row.mode), []).append(row)
    for group in groups.values():
        alike = len({(repr(row.value), row.outcome) for row in group}) == 1
        lines += [(name(row, backend=not alike), row) for row in (group[:1] if alike else group)]
    return lines


# Sentences --------------------------------------------------------------------------------------------------------


def findings(report: Report) -> list[Sentence]:
    """What harms training and what fails otherwise, or that all is well; then deviations, then what could not run or be decided."""
    return _answers(report) + _rest(report)


def _rest(report: Report) -> list[Sentence]:
    deviating = _first_of_each(row for row in report.rows if row.deviation)
    deviating.sort(key=lambda row: -abs(row.deviation or 0.0))
    missing = _first_of_each(row for row in report.rows if row.outcome in (Outcome.UNAVAILABLE, Outcome.UNDECIDED))
    sentences: list[Sentence] = []
    if _whole(report):
        failed = sorted((row for row in report.rows if row.failed and row.effect), key=lambda row: row.badness)
        sentences += _limited([Sentence(_failure(row), _severity(row), (row,)) for row in _first_of_each(failed)], "kinds of failure")
    sentences += _limited([Sentence(_deviation(row), Severity.SLIGHT, (row,)) for row in deviating], "deviating implementations")
    sentences += _limited([Sentence(_missing(row), Severity.UNKNOWN, (row,)) for row in missing], "that could not be judged")
    sentences += [
        Sentence(f"{difference.differ} of {difference.rows} rows differ in bits between {difference.device} and {difference.other}.")
        for difference in report.differences
    ]
    return [*sentences, *map(Sentence, report.remarks)]


def _answers(report: Report) -> list[Sentence]:
    """The first lines: what harms training, worst first; what fails where effects are not judged; or that all is well."""
    found = standings(report)
    harmful = [standing for standing in found if standing.effect and standing.harmful]
    harmful.sort(key=lambda standing: standing.effect.severity if standing.effect else 0)
    parts = [{row.loss for row in report.rows}, {row.given_dtype for row in report.rows}]
    apart = [len(values) > 1 for values in parts]
    sentences = [Sentence(_harm(standing, *apart), standing.severity, standing.rows) for standing in harmful]
    failed = sorted((row for row in report.rows if row.failed and row.effect is None), key=lambda row: row.badness)
    sentences += [Sentence(_failure(row), severity_of(row.outcome), (row,)) for row in _first_of_each(failed)]
    return _limited(sentences, "that fail") if sentences else _sound(report, found)


def _harm(standing: Standing, losses: bool, dtypes: bool) -> str:
    """'torch-sigmoid-bceloss dead: gradient 0 where 1 is right, logit 17, target 0.'; with loss and dtype where there are several."""
    row = standing.rows[0]
    told = [*([row.loss] if losses else []), *([row.given_dtype] if dtypes else [])]
    where = f" ({', '.join(told)})" if told else ""
    return f"{standing.name}{where} {standing.word}: {standing.words}."


def _sound(report: Report, found: Sequence[Standing]) -> list[Sentence]:
    judged = [standing for standing in found if standing.effect]
    if not judged:
        count = sum(row.outcome is Outcome.OK for row in report.rows)
        return [Sentence(f"All {count} judged results are within {report.max_ulp:g} ulp of their own formula.")]
    every = "Both" if len(judged) == 2 else f"All {len(judged)}"
    who = f"{every} implementations are" if len(judged) > 1 else f"{judged[0].name} is"
    tails = any(standing.effect is not Effect.SOUND for standing in judged)
    what = "sound or have harmless tails" if tails and len(judged) > 1 else "sound but for harmless tails" if tails else "sound"
    findings = [row.effect for standing in judged for row in standing.rows if row.effect]
    return [Sentence(f"{who} {what} here: {at_most(findings)}.")]


def _failure(row: PointRow) -> str:
    right = exact_figure(row.exact, row.dtype)
    got = value_figure(row)
    what = {
        Outcome.NAN: f"NaN where {right} is right",
        Outcome.INF: f"{got} where {right} is right",
        Outcome.WRONG_SIGN: f"{got} where {right} is right: the wrong sign",
        Outcome.LOST: f"exactly 0 where {right} is right: it is silently lost",
        Outcome.MISSED_INF: f"{got} where {right} is beyond the largest {row.dtype}",
        Outcome.FLUSHED: f"exactly 0 where the subnormal {right} is right",
        Outcome.INACCURATE: f"{got} where {right} is right, off by {abs(row.ulp or 0.0):.3g} ulp ({relative_text(row.relative_error)})",
    }[row.outcome]
    return f"{label(row)}: the {quantity_name(row)} at {point_text(row)} is {what}."


def _deviation(row: PointRow) -> str:
    own, definition = exact_figure(row.exact, row.dtype), exact_figure(row.definition, row.dtype)
    why = f" ({row.note})" if row.note else ""
    return (
        f"{row.implementation}: its own formula gives {own} for the {quantity_name(row)} at {point_text(row)}, "
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


def _limited(sentences: list[Sentence], what: str) -> list[Sentence]:
    if len(sentences) <= _AT_MOST:
        return sentences
    return [*sentences[:_AT_MOST], Sentence(f"... and {len(sentences) - _AT_MOST} more {what}: see the table.")]
