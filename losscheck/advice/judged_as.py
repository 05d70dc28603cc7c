"""By which definition a callable is judged: that of the loss it is recognised as, or what its own lines say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from losscheck.backends import backend_named
from losscheck.callables.arguments import probabilities_by_name
from losscheck.callables.frameworks import choose_keras_backend
from losscheck.callables.implementation import accepted
from losscheck.callables.loading import load
from losscheck.callables.recognise import recognise
from losscheck.callables.recognition import Confidence, Recognition
from losscheck.callables.samples import sample
from losscheck.callables.selection import loss_of
from losscheck.core.call_spec import INPUTS, PROGRAM, CallSpec
from losscheck.core.errors import UserError
from losscheck.core.registry import loss_named
from losscheck.measure.ask import parameters

__all__ = ["judged_as"]


def judged_as(spec: str, loss: Sequence[str], call_spec: CallSpec, params: Mapping[str, Any], backends: Sequence[str] = ()) -> Recognition:
    """The likeliest of some losses, or of all; of none, what its own program says in exact arithmetic.

    Args:
        backends: the frameworks to be asked, instead of those that it shows.

    Raises:
        UserError: for a callable that cannot be called, and one that is no loss known here and has no program to be read.
    """
    backends = tuple(backend_named(name.lower()).name for name in backends)
    choose_keras_backend(backends)  # before the callable's file imports it
    if call_spec.by_program and not loss:
        return replace(_by_program(spec, call_spec), asked=True)
    losses = [loss_named(name) for name in loss] or None
    given = parameters(params, losses) if losses and params else None
    best = next(iter(recognise(spec, losses, call_spec, given, backends)), None)
    if best is not None and (best.confidence is not Confidence.NONE or losses):
        return best
    if best is None and (failure := _failure(spec, call_spec, backends)):
        raise UserError(f"{spec} cannot be judged: {failure}", "mend that; --call, --kw, --axes and --pick say how it is called")
    nearest = f"; the nearest is {best.words}, off by {best.distance:.2g} of itself" if best else ""
    try:
        return _by_program(spec, call_spec)
    except UserError as error:
        torch = best is None or best.backend == "torch"
        traced = f"; `losscheck trace {spec} LOGIT` shows every op, whichever loss it is" if torch else ""
        raise UserError(f"{spec} agrees with no loss that is known here{nearest}; {error.problem}", error.cure + traced) from None


def _by_program(spec: str, call_spec: CallSpec) -> Recognition:
    """On what gives more numbers, logits or probabilities; where both do, by the name of its argument."""
    inputs = INPUTS[::-1] if probabilities_by_name(load(spec).target) else INPUTS
    ways = [call_spec] if call_spec.input != INPUTS[0] else [replace(call_spec, input=given) for given in inputs]
    called = replace(max(ways, key=lambda way: _numbers(spec, way)), formula=PROGRAM)
    return Recognition(loss_of(spec, called), {}, called, "torch", "", Confidence.OWN)


def _numbers(spec: str, call_spec: CallSpec) -> int:
    """At how many ordinary points it returns a number when it is called so."""
    try:
        backend, adapted = accepted(load(spec), call_spec, ())
        return len(sample(adapted, backend).ordinary)
    except UserError:
        return 0


def _failure(spec: str, call_spec: CallSpec, backends: Sequence[str]) -> str:
    """What a callable did when it was tried, instead of returning losses; empty when it returned some."""
    backend, adapted = accepted(load(spec), call_spec, tuple(backends))
    return adapted.tried(backend).failure
