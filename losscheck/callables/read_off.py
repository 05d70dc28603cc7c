"""What a callable's program says about it, with the place where it says so: the guards in its source, and why it has no formula.

Nothing is guessed: a guard is told where the loss is another without it, and that the rest is the loss's definition only where both are one
expression.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from losscheck.callables.program import OwnProgram
from losscheck.callables.standing import shortened, where
from losscheck.core.dtypes import Format
from losscheck.core.loss import Loss
from losscheck.tracing.own.definition import definition_tree
from losscheck.tracing.own.guards import GuardOp, ceiling, flat_beyond, guards_of, without
from losscheck.tracing.own.reading import Hindrance, NoProgramError, Program
from losscheck.tracing.own.symbols import NoExpressionError
from losscheck.tracing.places import Place
from losscheck.tracing.report import DeviationKind

__all__ = ["ReadOff", "read_off"]


@dataclass(frozen=True)
class ReadOff:
    """Sentences, and whether they explain all of what sets the callable apart from the definition."""

    sentences: tuple[str, ...]
    explained: bool


def read_off(program: OwnProgram, loss: Loss, params: Mapping[str, float], dtypes: Sequence[Format]) -> ReadOff:
    """What is known of a callable that was judged on logits of some dtypes: of the first, and what is otherwise in the others.

    Args:
        params: the loss's, as they were judged by.
    """
    first, *others = dtypes
    found, explained = _guards(program, loss, params, first)
    elsewhere = {dtype.name: _guards(program, loss, params, dtype)[0] for dtype in others}
    told = []
    for place, (guard, programs) in found.items():
        told.append(_guard(guard, programs, {name: guards.get(place) for name, guards in elsewhere.items()}))
    if told and explained:
        told[-1] += f" Without {'it' if len(told) == 1 else 'these'}, it is the definition exactly."
    return ReadOff((*told, *dict.fromkeys(_reasons(program, first))), explained)


# A guard, and the programs by the targets at which it shows.
_Found = tuple[GuardOp, dict[float, Program]]


def _guards(program: OwnProgram, loss: Loss, params: Mapping[str, float], dtype: Format) -> tuple[dict[Place, _Found], bool]:
    """The guards by place, and whether the loss without them is the definition, with a gradient that is its own where there are none."""
    found: dict[Place, _Found] = {}
    explained = True
    params = {name: dtype.round(value) for name, value in params.items()}
    for target in dict.fromkeys(map(dtype.round, loss.targets)):
        try:
            at = program.programs(dtype).at(target)
            guards = list(guards_of(at, target))
            rest = without(at, [guard.op.index for guard in guards], target)
            explained = explained and rest is definition_tree(loss.formula, target, params, dtype)
            explained = explained and (bool(guards) or at.gradient is definition_tree(loss.gradient, target, params, dtype))
        except (NoProgramError, NoExpressionError):
            explained = False
            continue
        for guard in guards:
            found.setdefault(guard.op.place, (guard, {}))[1][target] = at
    return found, explained


def _guard(guard: GuardOp, programs: Mapping[float, Program], elsewhere: Mapping[str, _Found | None]) -> str:
    start = f"{where(guard.op.place)}: " if guard.op.place.file else ""
    what = f"`{shortened(guard.op.place.text)}`" if guard.op.place.text else f"its {guard.op.name}"
    says = {
        DeviationKind.CLAMP: "is a bound that the loss reaches",
        DeviationKind.EPSILON: f"adds {', '.join(f'{constant:.3g}' for constant in guard.constants)}, which the loss shows",
        DeviationKind.FLOOR: "floors its logarithms at -100, and its backward pass divides by at least 1e-12",
    }[guard.kind]
    shown = _shown(guard, programs)
    text = f"{start}{what} {says}{f': {shown}' if shown else ''}"
    for name, there in elsewhere.items():
        other = _shown(*there) if there else ""
        if other != shown:
            text += f"; in {name}, as that holds its constants, {other or 'it does nothing'}"
    return f"{text}."


def _shown(guard: GuardOp, programs: Mapping[float, Program]) -> str:
    """How far the loss goes, and where the gradient is 0."""
    shown = []
    ceilings = [ceiling(program, target) for target, program in programs.items()]
    if guard.kind is not DeviationKind.FLOOR and None not in ceilings:
        shown.append(f"no loss is above {max(filter(None, ceilings), default=0.0):.4g}")
    if guard.kind is DeviationKind.CLAMP and (flat := _flat(programs)):
        shown.append(f"the gradient is 0 for {flat}")
    return " and ".join(shown)


def _flat(programs: Mapping[float, Program]) -> str:
    """'logits below -9.21 and above 9.21', with the targets where these differ"""
    targets: dict[str, list[str]] = {}
    for target, program in programs.items():
        ends = [f"{word} {end:.4g}" for word, end in zip(("below", "above"), flat_beyond(program, target), strict=True) if end is not None]
        targets.setdefault(" and ".join(ends), []).append(f"{target:g}")
    if list(targets) == [""]:
        return ""
    which = {ends: f" (target {', '.join(of)})" if len(targets) > 1 else "" for ends, of in targets.items()}
    parts = [f"{ends}{which[ends]}" for ends in targets if ends]
    return f"logits {', '.join(parts)}"


def _reasons(program: OwnProgram, dtype: Format) -> Iterator[str]:
    reasons = {target: reason for (name, target), reason in program.reasons.items() if name == dtype.name}
    if not reasons:
        return
    by_words: dict[str, list[float]] = {}
    for target, reason in reasons.items():
        by_words.setdefault(_reason(reason), []).append(target)
    for words, targets in by_words.items():
        every = len(targets) == len(dict.fromkeys(map(dtype.round, program.loss.targets)))
        limited = "" if every else f" at target {', '.join(f'{target:g}' for target in targets)}"
        yield f"no formula of its own could be read off its program{limited} ({words}): there it is judged by the definition."


def _reason(reason: NoProgramError) -> str:
    words = {
        Hindrance.UNKNOWN_OP: f"{reason.detail} has no exact definition here",
        Hindrance.NO_EXPRESSION: f"{reason.detail} has no expression here",
    }.get(reason.hindrance, reason.hindrance.value)
    place = where(reason.place)
    return f"{words}, {place}" if place else words
