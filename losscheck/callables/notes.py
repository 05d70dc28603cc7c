"""What is said in words about a callable of the user's: how it was called, what is odd about it, which convention it follows."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from losscheck.backends.arrays import arrays_named
from losscheck.callables.adapt import Adapted
from losscheck.callables.implementation import FromProgram
from losscheck.callables.probe import Probe
from losscheck.callables.selection import Selection
from losscheck.core.call_spec import TARGETS_FIRST
from losscheck.core.dtypes import FLOAT64, FORMATS
from losscheck.core.literals import value_text
from losscheck.core.loss import Implementation, Loss

if TYPE_CHECKING:
    from losscheck.callables.read_off import ReadOff
    from losscheck.core.request import Request

__all__ = ["notes_on"]


def notes_on(request: Request, selection: Selection) -> tuple[str, ...]:
    """Sentences about the callables that were selected, after they were judged; none for what is registered."""
    said: dict[str, None] = {}
    for loss in selection.losses:
        for implementation in selection.of(loss):
            if isinstance(adapted := implementation.function, Adapted):
                notes = _notes(loss, implementation, adapted, request)
                said |= dict.fromkeys(f"{implementation.name}: {sentence}" for sentence in notes)
    return tuple(said)


def _notes(loss: Loss, implementation: Implementation, adapted: Adapted, request: Request) -> Iterator[str]:
    from losscheck.callables.diagnose import NOTHING, diagnose
    from losscheck.callables.standing import stands

    params = loss.resolve_own(request.params, FLOAT64)
    dtypes = [FORMATS[name] for name in request.dtypes]
    probes = [*adapted.probes.values()]
    known = _disagreeing(adapted, params)
    told = _read_off(loss, implementation, request)
    yield from told.sentences if told else ()
    if adapted.call_spec.objective:
        yield "it returns a gradient and a hessian: its gradient alone was judged, as d loss / d logit."
    explained = adapted.call_spec.objective or any(probe.random for probe in probes) or (told is not None and told.explained)
    diagnosis = NOTHING if explained else diagnose(loss, implementation, params, dtypes)
    if diagnosis.sentence and not (diagnosis.restated and set(diagnosis.restated) <= set(known)):
        yield f"{stands(loss, implementation, params) if diagnosis.changes else ''}{diagnosis.sentence}"
    yield from known.values()
    whole = request.reduction == "published"
    yield from dict.fromkeys(sentence for probe in probes for sentence in _odd(probe, loss, whole))
    given = [
        word for pair in adapted.call_spec.keywords[len(request.call_spec.keywords) :] for word in ("--kw", "=".join(map(value_text, pair)))
    ]
    if given:
        yield f"it requires more than logits and targets: {shlex.join(given)} was given; the same words give another value."
    if adapted.call_spec.call == TARGETS_FIRST != request.call_spec.call:
        yield "its arguments are named so, or refuse the other order: the targets were given first."
    if adapted.call_spec.axes != request.call_spec.axes:
        yield f"it refuses logits of one axis, so they were laid out as [{adapted.call_spec.axes}]; --axes says another shape."
    if implementation.backends == ("numpy",) and implementation.gradient is None and "grad" in request.quantities:
        yield "numpy arrays carry no gradient: its loss alone was judged."
    yield f"called with {arrays_named(implementation.backends[0]).many} as {_call(adapted)}."


def _read_off(loss: Loss, implementation: Implementation, request: Request) -> ReadOff | None:
    """What its program says, in the dtypes that it was judged in."""
    if not isinstance(implementation.derive, FromProgram):
        return None
    from losscheck.callables.read_off import read_off

    dtypes = [FORMATS[name] for name in request.dtypes]
    return read_off(implementation.derive.program, loss, loss.resolve_own(request.params, FLOAT64), dtypes)


def _disagreeing(adapted: Adapted, params: dict[str, float]) -> dict[str, str]:
    """For each parameter of the definition that the callable has under the same name with another value, a sentence."""
    given, sentences = dict(adapted.call_spec.keywords), {}
    for name, value in adapted.constants().items():
        if name in params and isinstance(value, int | float) and not math.isclose(value, params[name], rel_tol=1e-12):
            whose = f"--kw {name}={value_text(value)}" if name in given else f"its default {name}={value_text(value)}"
            sentences[name] = (
                f"it is called with {whose}, the definition has {name}={params[name]:g}; "
                f"--param {name}={value_text(value)} or --kw {name}={params[name]:g} makes both agree."
            )
    return sentences


def _odd(probe: Probe, loss: Loss, whole: bool) -> Iterator[str]:
    judged = "" if whole else "; here every logit was judged as a batch of one"
    if probe.random:
        yield "two calls with the same input differ in bits: it draws random numbers, and its rows will not come out again."
    if probe.changed:
        yield f"it changes its {' and '.join(probe.changed)} in place; it was given copies, a training loop will not do that."
    if probe.detached:
        yield "no gradient reaches the logits (detach, no_grad, .item() or a copy through numpy): training would not move."
    if probe.reduces:
        how = f", the {probe.reduction} of its elements"
        if probe.random:
            how = ""
        elif not probe.reduction:
            how = ", neither the mean nor the sum of its elements"
        elif probe.reduction == "normalised":
            how = ", the sum of its elements over the number of targets equal to 1"
        other = f", where {loss.name} takes the {loss.reduction}" if probe.reduction not in ("", loss.reduction) else ""
        yield f"it returns one number for a batch{how}{other}{judged}."
    if probe.coupled:
        how = "are divided by the number of logits in the batch" if probe.divided else "depend on the other logits of the batch"
        yield f"its losses {how}{judged}."


def _call(adapted: Adapted) -> str:
    """'bce(logits, targets, eps=1e-08)'"""
    call_spec = adapted.call_spec
    keywords = [f"{name}={value_text(value)}" for name, value in call_spec.keywords]
    arguments: list[Any] = []
    for argument in call_spec.arguments():
        what = argument.slot or value_text(argument.value)
        if argument.slot == "logits" and call_spec.input == "probabilities":
            what = "sigmoid(logits)"
        what = f"{what} as {argument.form}" if argument.form else what
        arguments.append(f"{argument.name}={what}" if argument.name else what)
    built = f"{adapted.own.name}({', '.join(keywords)})" if adapted.is_class else adapted.own.name
    pick = f", of which {call_spec.pick} was picked" if call_spec.pick else ""
    axes = f", both of the shape [{call_spec.axes}]" if call_spec.axes else ""
    return f"{built}({', '.join([*arguments, *([] if adapted.is_class else keywords)])}){axes}{pick}"
