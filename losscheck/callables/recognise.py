"""Which loss a callable is, when nobody said: the loss, its parameters, and how the callable wants to be called.

It is tried with logits and with probabilities, with its arguments in either order, beside every loss with the usual parameters. What
agrees at ordinary points is confirmed at points held back (samples.py), hard and soft targets alike, before it is believed; what
agrees but for a known change of the definition (diagnose.py) is that loss, and the change is named.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from losscheck.callables.adapt import Adapted
from losscheck.callables.implementation import FORMED, accepted
from losscheck.callables.loading import Own, load, register
from losscheck.callables.recognition import Confidence, Recognition
from losscheck.callables.samples import sample
from losscheck.callables.ways import Candidate, Way, rank
from losscheck.core import registry
from losscheck.core.call_spec import DEFAULT_CALL, GRADIENT, INPUTS, PLAIN_CALL, TARGETS_FIRST, CallSpec
from losscheck.core.errors import UserError
from losscheck.core.loss import Loss

__all__ = ["called_so", "recognise"]

ORDERS = (DEFAULT_CALL, TARGETS_FIRST)
# Two logits, and whole numbers or one-hot rows: tried where nothing agrees with plain floats.
IN_FORMS = tuple(call for calls in FORMED.values() for call in calls if "{logits:pair}" in call)
# Labels -1 and 1: tried where nothing agrees with 0 and 1.
SIGNED = tuple(call for calls in FORMED.values() for call in calls if "{targets:signs}" in call)
OF_A_DMATRIX = "{logits}, {targets:dmatrix}"  # obj(preds, dtrain)


def recognise(
    spec: str | Callable[..., Any],
    losses: Sequence[Loss] | None = None,
    call_spec: CallSpec = PLAIN_CALL,
    params: Mapping[str, float] | None = None,
    backends: Sequence[str] = (),
) -> list[Recognition]:
    """What a callable may be, the likeliest first: each loss once, with the parameters and the call that explain it best.

    What ``call_spec`` says already (keywords, axes, an order of arguments, an input other than the default) is kept, and so are the
    parameters of the losses that ``params`` says. ``backends``: the frameworks to be asked, instead of those that it shows.

    Raises:
        UserError: when it cannot be loaded, built or called in any of the ways that are tried.
    """
    own = load(spec if isinstance(spec, str) else register(spec))
    candidates = list(_candidates(own, call_spec, backends=backends))
    if not call_spec.pick and not any(candidate.samples.ordinary for candidate in candidates):
        candidates = _objectives(own, call_spec) or candidates
    chosen = list(registry.losses().values() if losses is None else losses)
    ways = [way for loss in chosen for candidate in candidates if (way := candidate.beside(loss, params or {}))]
    recognised = [(way, way.agreeing()) for way in ways]
    if not any(recognition.confidence is Confidence.AGREES for _, recognition in recognised):
        # Known changes are many: they are looked for only where nothing agrees as it is.
        recognised = [
            (way, way.deviating() if recognition.confidence is Confidence.NONE else recognition) for way, recognition in recognised
        ]
    forms = _forms_to_try(recognised) if call_spec.call == DEFAULT_CALL else ()
    for candidate in _candidates(own, call_spec, forms, len(candidates), backends) if forms else ():
        agreeing = [(way, way.agreeing()) for loss in chosen if (way := candidate.beside(loss, params or {}))]
        recognised += [(way, recognition) for way, recognition in agreeing if recognition.confidence is Confidence.AGREES]
    best: dict[str, Recognition] = {}
    for _, recognition in sorted(recognised, key=lambda pair: rank(*pair)):
        best.setdefault(recognition.loss.name, recognition)
    return list(best.values())


def called_so(own: Own, call_spec: CallSpec, losses: Sequence[Loss] | None = None, *, deviating: bool = False) -> Recognition | None:
    """The loss that a callable is, called in this one way; None where it agrees with none, or is none but for a named change."""
    chosen = registry.losses().values() if losses is None else losses
    ways = [
        way for candidate in _candidates(own, call_spec, (call_spec.call,), 1) for loss in chosen if (way := candidate.beside(loss, {}))
    ]
    found = [(way, way.deviating() if deviating else way.agreeing()) for way in ways]
    known = [pair for pair in found if pair[1].confidence is not Confidence.NONE]
    return min(known, key=lambda pair: rank(*pair))[1] if known else None


def _forms_to_try(recognised: Sequence[tuple[Way, Recognition]]) -> tuple[str, ...]:
    """The other forms of its arguments that may explain what plain floats do not. What is right for the targets 0 and 1 has no other
    labels."""
    if any(recognition.confidence is Confidence.AGREES or way.agrees_on_classes() for way, recognition in recognised):
        return ()
    return SIGNED if any(recognition.confidence is Confidence.DEVIATES for _, recognition in recognised) else (*SIGNED, *IN_FORMS)


def _candidates(
    own: Own, call_spec: CallSpec, orders: Sequence[str] = ORDERS, first: int = 0, backends: Sequence[str] = ()
) -> Iterator[Candidate]:
    """The ways to call it that it accepts, with its values; logits first. They are numbered from ``first`` on."""
    orders = orders if call_spec.call == DEFAULT_CALL else (call_spec.call,)
    inputs = INPUTS if call_spec.input == INPUTS[0] and not first else (call_spec.input,)
    refusal: UserError | None = None
    tried = 0
    for number, (given, call) in enumerate(itertools.product(inputs, orders), first):
        try:
            backend, adapted = accepted(own, replace(call_spec, input=given, call=call), tuple(backends))
        except UserError as error:
            refusal = refusal or error
            continue
        tried += 1
        probe = adapted.tried(backend)
        if not probe.random:
            yield Candidate(number, adapted, backend, probe.reduction if probe.reduces else "none", sample(adapted, backend))
    if refusal and not tried and not first:
        raise refusal


def _objectives(own: Own, call_spec: CallSpec) -> list[Candidate]:
    """The ways in which it returns two arrays in the shape of the logits: a gradient to them, and a hessian."""
    candidates = _candidates(own, replace(call_spec, pick=GRADIENT), (*ORDERS, OF_A_DMATRIX), first=1)
    return [candidate for candidate in candidates if candidate.samples.ordinary and _has_hessian(candidate.adapted)]


def _has_hessian(adapted: Adapted) -> bool:
    gradient = adapted.tried("numpy")
    second = Adapted(adapted.own, replace(adapted.call_spec, pick="1")).tried("numpy")
    return not (gradient.failure or gradient.reduces or second.failure or second.reduces)
