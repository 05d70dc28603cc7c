"""A loss that is none of those known here: what a callable's own lines say in exact arithmetic is its definition.

The program is recorded at float64 logits, or at float32 where the callable takes no others, and confirmed as in program.py; its gradient
is the recorded backward pass. A constant that a narrower dtype rounds away is then an error of that dtype, as it is for who wrote it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import replace

from losscheck.callables.arguments import targets_come_first
from losscheck.callables.implementation import accepted
from losscheck.callables.loading import Own, load
from losscheck.callables.printed import silence
from losscheck.callables.program import OwnProgram
from losscheck.core.call_spec import DEFAULT_CALL, TARGETS_FIRST, CallSpec
from losscheck.core.dtypes import FLOAT32, FLOAT64
from losscheck.core.errors import UserError
from losscheck.core.loss import Loss, logistic_landmarks
from losscheck.oracle.dual import derivative
from losscheck.tracing.formula import Programs, derived_formula, derived_gradient
from losscheck.tracing.own.reading import NoProgramError, Program

__all__ = ["program_loss", "unread_loss"]

TARGETS = (0.0, 0.5, 1.0)


def program_loss(spec: str, call_spec: CallSpec) -> Loss:
    """The loss that a callable's program defines, under the callable's name, at those of the targets 0, 0.5 and 1 at which there is one.

    Raises:
        UserError: when it cannot be loaded or called so, does not run on PyTorch, or no program of it can be read.
    """
    own = load(spec)
    call_spec = replace(call_spec, formula="")
    if call_spec.call == DEFAULT_CALL and targets_come_first(own.target):
        call_spec = replace(call_spec, call=TARGETS_FIRST)
    return _loss(own, call_spec)


def unread_loss(name: str, place: str = "") -> Loss:
    """What is known of such a loss before its program is read: everything but its formula."""
    return Loss(
        name=name,
        title="what its own lines say",
        definition="what its own lines say, in exact arithmetic",
        formula=_unread,
        gradient=_unread,
        parameters=(),
        targets=TARGETS,
        reduction="mean",
        landmarks=logistic_landmarks,
        source=place,
    )


@functools.cache
def _loss(own: Own, call_spec: CallSpec) -> Loss:
    backend, adapted = accepted(own, call_spec, ())
    cure = "say which loss it is with --loss, or state its exact formula: losscheck sweep --impl ... --formula file.py:function"
    if backend != "torch":
        raise UserError(f"{own.spec} runs on {backend}, and programs are read of PyTorch alone", cure)
    if failure := adapted.tried(backend).failure:
        raise UserError(f"{own.spec} cannot be judged: {failure}", "mend that; --call, --kw, --axes and --pick say how it is called")
    bare = unread_loss(own.spec, own.place)
    program = OwnProgram(adapted, bare)
    reasons: list[NoProgramError] = []
    with silence():
        for dtype in (FLOAT64, FLOAT32):
            programs = program.programs(dtype)
            read = dict(_read(programs, reasons))
            if read:
                return _defined(bare, programs, read)
    raise UserError(f"no program of {own.spec} could be read: {reasons[0]}", cure)


def _defined(bare: Loss, programs: Programs, read: dict[float, Program]) -> Loss:
    formula = derived_formula(programs)
    whole = not any(program.no_gradient for program in read.values())
    gradient = derived_gradient(programs) if whole else derivative(formula)
    targets = tuple(read)
    return replace(bare, formula=formula, gradient=gradient, targets=targets, hard_targets=not any(0 < target < 1 for target in targets))


def _read(programs: Programs, reasons: list[NoProgramError]) -> Iterator[tuple[float, Program]]:
    for target in TARGETS:
        try:
            yield target, programs.at(target)
        except NoProgramError as error:
            reasons.append(error)


def _unread(m: object, logit: object, target: object, **params: object) -> None:
    raise AssertionError("the formula of a program is asked for once it was read")
