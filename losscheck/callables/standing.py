"""Where a convention stands in the source: the sub-expressions of a callable's program that set it apart from the definition."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from losscheck.callables.implementation import FromProgram
from losscheck.callables.program import OwnProgram
from losscheck.callables.samples import HELD_ORDINARY, HELD_TARGETS
from losscheck.core.dtypes import FLOAT64
from losscheck.core.loss import Formula, Implementation, Loss
from losscheck.oracle.refine import Term, exact_value
from losscheck.tracing.own.differing import Question, Right, detaching_op, differing_ops
from losscheck.tracing.own.guards import guards_of
from losscheck.tracing.own.reading import NoProgramError, Program
from losscheck.tracing.own.symbols import NoExpressionError
from losscheck.tracing.places import Place
from losscheck.tracing.tape import Operation

__all__ = ["places_apart", "places_in_words", "shortened", "stands", "where"]

LONGEST = 72  # of a sub-expression that is quoted


def stands(loss: Loss, implementation: Implementation, params: Mapping[str, float]) -> str:
    """'loss.py:12: `alpha * z`: ', to stand before what a convention is called; "" where no program of its own shows it."""
    if not isinstance(implementation.derive, FromProgram):
        return ""
    places = places_apart(implementation.derive.program, loss, params)
    return f"{places_in_words(places)}: " if places else ""


def places_apart(program: OwnProgram, loss: Loss, params: Mapping[str, float]) -> tuple[Place, ...]:
    """The places that, changed, make the callable the definition: tried at logits and targets that it was not recognised by.

    Guards are told by themselves (read_off.py) and are left out here. Nothing where the definition has what the program lacks, or the
    program cannot be followed.
    """
    hard = (0.0, 1.0)
    for targets in (hard,) if loss.hard_targets else (HELD_TARGETS, hard):
        try:
            programs = {target: program.programs(FLOAT64).at(target) for target in targets}
            ops = _apart(programs, loss, params)
        except (NoProgramError, NoExpressionError):
            return ()
        if places := dict.fromkeys(op.place for op in ops if op.place.file and op.place.text):
            return tuple(places)
    return ()


def _apart(programs: Mapping[float, Program], loss: Loss, params: Mapping[str, float]) -> list[Operation]:
    """Of the loss; where it is the definition's, of the gradient."""
    found = []
    for target, program in programs.items():
        guards = tuple(guard.op.index for guard in guards_of(program, target))
        question = Question(program.recording, target, HELD_ORDINARY, _exactly(loss.formula, params, target), left_out=guards)
        found.append(differing_ops(question, [*params.values()], parts=len(programs) > 2))
    if all(found) and not any(ops for (ops, *_) in found):
        for target, program in programs.items():
            right = _exactly(loss.gradient, params, target)
            detaching = detaching_op(program.recording, target, right, HELD_ORDINARY)
            if detaching is None and len(program.recording.gradient) != 1:
                return []
            question = Question(program.recording, target, HELD_ORDINARY, right, gradient=True)
            found.append([(detaching,)] if detaching else differing_ops(question, ()))
    return _common(found)


def _common(found: list[list[tuple[Operation, ...]]]) -> list[Operation]:
    """One explanation of each target: the same for all, where there is one."""
    differing = [explanations for explanations in found if explanations != [()]]
    if not all(differing):
        return []
    for explanation in differing[0] if differing else ():
        if all(_places(explanation) in map(_places, others) for others in differing):
            return [*explanation]
    return [op for explanations in differing for op in explanations[0]]


def _places(ops: tuple[Operation, ...]) -> tuple[Place, ...]:
    return tuple(op.place for op in ops)


def _exactly(formula: Formula, params: Mapping[str, float], target: float) -> Right:
    return lambda logit: exact_value(formula, [Term(logit, target)], params, FLOAT64, printable=False).rounded


def places_in_words(places: tuple[Place, ...]) -> str:
    """'loss.py:12: `alpha * z` and `(1 - alpha) * (1 - z)`'"""
    by_line: dict[str, list[str]] = {}
    for place in sorted(places, key=lambda place: (place.file, place.line, place.column)):
        by_line.setdefault(where(place), []).append(f"`{shortened(place.text)}`")
    return "; ".join(f"{line}: {' and '.join(dict.fromkeys(texts))}" for line, texts in by_line.items())


def where(place: Place) -> str:
    """'loss.py:12', from here; "" for no place."""
    if not place.file:
        return ""
    path = Path(place.file)
    near = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else Path(*path.parts[-2:])
    return f"{near}:{place.line}"


def shortened(text: str) -> str:
    """A sub-expression that is quoted."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
