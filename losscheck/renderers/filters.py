"""What a page can be narrowed to: implementations, targets, effects. Checkboxes and rules of a style sheet, no script.

A thing carries a class for what it is of; a rule hides the class while its checkbox, inside the same root, is not checked.
"""

from __future__ import annotations

from collections.abc import Sequence

from losscheck.core.dtypes import FORMATS
from losscheck.core.effect import Effect
from losscheck.core.ranking import RankedRow
from losscheck.core.results import PointRow, Row, SweepRow
from losscheck.renderers.curves import escape
from losscheck.renderers.severity import severity_of
from losscheck.renderers.standings import Standing

__all__ = ["PALETTE", "ROOT", "Filters"]

PALETTE = 6  # colours and dashes of targets in the style sheet
ROOT = "losscheck"  # the class of the element that holds a report, a page's body or an output of a notebook


class Filters:
    """The choices of one report."""

    def __init__(self, found: Sequence[Standing]) -> None:
        rows = [row for standing in found for row in standing.rows]
        self._implementations = list(dict.fromkeys(row.implementation for row in rows))
        self._targets: dict[float, str] = {}
        for row in rows:
            for target in _targets(row):
                self._targets.setdefault(target, FORMATS[row.given_dtype].shortest(target))
        present = {standing.effect for standing in found}
        self._effects = [effect for effect in Effect if effect in present]
        self._effect_of = {_subject(row): standing.effect for standing in found for row in standing.rows}

    def css(self, rows: Sequence[Row]) -> str:
        """The classes of what tells of these rows: of a target only where it is the only one, the worst effect of its subject."""
        if not rows:
            return ""
        classes = {f"i{self._implementations.index(row.implementation)}" for row in rows}
        targets = {target for row in rows for target in _targets(row)}
        classes |= {self.target_css(target) for target in targets if len(targets) == 1}
        effects = [effect for row in rows if (effect := self._effect_of.get(_subject(row)))]
        classes |= {f"e-{effect.value}" for effect in sorted(effects, key=lambda effect: effect.severity)[:1]}
        return " ".join(sorted(classes))

    def target_number(self, target: float) -> int:
        return list(self._targets).index(target)

    def target_css(self, target: float) -> str:
        return f"t{self.target_number(target)}"

    def rules(self) -> str:
        """The style rules of the checkboxes."""
        names = [box for _, boxes in self._groups() for box, _ in boxes]
        return "\n".join(f".{ROOT}:has(.f-{name}:not(:checked)) .{name} {{ display: none }}" for name in names)

    def html(self) -> str:
        """The checkboxes, all of them checked; a group of one choice is no choice."""
        parts = []
        for title, boxes in self._groups():
            choices = "".join(f'<label><input type="checkbox" class="f-{name}" checked> {shown}</label>' for name, shown in boxes)
            parts.append(f"<fieldset><legend>{title}</legend>{choices}</fieldset>")
        return f'<form class="filters" aria-label="Filter" autocomplete="off">{"".join(parts)}</form>' if parts else ""

    def _groups(self) -> list[tuple[str, list[tuple[str, str]]]]:
        """Title, and of each box its class and what it shows."""
        effects = [(f"e-{effect.value}", _effect_html(effect)) for effect in self._effects]
        targets = [(f"t{n}", f'<span class="key c{n % PALETTE}"></span>{escape(text)}') for n, text in enumerate(self._targets.values())]
        implementations = [(f"i{n}", escape(name)) for n, name in enumerate(self._implementations)]
        groups = [("Effect", effects), ("Target", targets), ("Implementation", implementations)]
        return [(title, boxes) for title, boxes in groups if len(boxes) > 1]


def _effect_html(effect: Effect) -> str:
    severity = severity_of(effect)
    return f'<span class="{severity.name.lower()}">{severity.sign()} {effect.value}</span>'


def _targets(row: Row) -> tuple[float, ...]:
    if isinstance(row, SweepRow):
        return (row.target,)
    if isinstance(row, RankedRow):
        return row.targets if row.curves else ()
    return row.targets if isinstance(row, PointRow) else ()


def _subject(row: Row) -> tuple[object, ...]:
    layout = row.layout if isinstance(row, SweepRow) else ""
    return row.loss, row.subject, tuple(row.params.items()), row.logit_dtype, layout
