"""Which loss a callable is, when nobody said: the loss, its parameters, and how the callable wants to be called.

It is tried with logits and with probabilities, with its arguments in either order, beside every loss with the usual parameters. What
agrees at ordinary points is confirmed at points held back (samples.py), hard and soft targets alike, before it is believed; what
agrees but for a known change of the definition (diagnose.py) is that loss, and the change is named.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from losscheck.callables.adapt import Adapted
from losscheck.callables.conventions import AS_IT_IS, GUARDS, USUAL, Convention, number_of
from losscheck.callables.diagnose import NOTHING, Diagnosis, explained, told
from losscheck.callables.fit import Fit
from losscheck.callables.implementation import FORMED, accepted
from losscheck.callables.loading import Own, load, register
from losscheck.callables.partly import nearly_words, of_one_class, one_class_words
from losscheck.callables.samples import Samples, sample
from losscheck.core import registry
from losscheck.core.call_spec import DEFAULT_CALL, GRADIENT, INPUTS, PLAIN_CALL, TARGETS_FIRST, CallSpec
from losscheck.core.dtypes import FLOAT64
from losscheck.core.errors import UserError
from losscheck.core.loss import Loss

__all__ = ["Confidence", "Recognition", "called_so", "recognise"]

ORDERS = (DEFAULT_CALL, TARGETS_FIRST)
# Two logits, and whole numbers or one-hot rows: tried where nothing agrees with plain floats.
IN_FORMS = tuple(call for calls in FORMED.values() for call in calls if "{logits:pair}" in call)
# Labels -1 and 1: tried where nothing agrees with 0 and 1.
SIGNED = tuple(call for calls in FORMED.values() for call in calls if "{targets:signs}" in call)
OF_A_DMATRIX = "{logits}, {targets:dmatrix}"  # obj(preds, dtrain)
ENOUGH = 12  # ordinary points with a value, without which nothing is said


HARD = Diagnosis("for targets 0 and 1 it is the definition; with a soft target it is something else.", changes=1)
REDUCED = {
    "mean": "the mean of its elements",
    "sum": "the sum of its elements",
    "normalised": "their sum divided by the number of positives",
}


class Confidence(Enum):
    """How sure it is that a callable is a loss; the surest first."""

    AGREES = "agrees everywhere"
    DEVIATES = "agrees but for a named deviation"
    NONE = "does not agree"


@dataclass(frozen=True)
class Recognition:
    """A loss that a callable may be.

    Attributes:
        params: the loss's parameters that explain it best.
        call_spec: how it wants to be called: logits or probabilities, the order of its arguments, its axes.
        backend: torch or numpy.
        reduction: how it reduces a batch: none, mean, sum, normalised, or "" for one that is none of these.
        deviation: how it differs from the definition with these parameters; nothing where it agrees.
        distance: the median relative distance from that definition.
    """

    loss: Loss
    params: Mapping[str, float]
    call_spec: CallSpec
    backend: str
    reduction: str
    confidence: Confidence
    deviation: Diagnosis = NOTHING
    distance: float = 0.0

    @property
    def words(self) -> str:
        """'weighted-focal with alpha=0.25, gamma=2, on probabilities, the mean of its elements'"""
        params = ", ".join(f"{parameter.name}={parameter.text(self.params[parameter.name])}" for parameter in self.loss.parameters)
        parts = [f"{self.loss.name}{f' with {params}' if params else ''}"]
        parts += ["on probabilities"] * (self.call_spec.input == "probabilities")
        slots = [argument for argument in self.call_spec.arguments() if argument.slot]
        parts += ["targets first"] * (slots[0].slot == "targets")
        parts += [f"{argument.slot} as {argument.form}" for argument in slots if argument.form]
        parts += ["a gradient and a hessian without a loss"] * self.call_spec.objective
        parts += [REDUCED[self.reduction]] if self.reduction in REDUCED else []
        return ", ".join(parts)


def recognise(
    spec: str | Callable[..., Any],
    losses: Sequence[Loss] | None = None,
    call_spec: CallSpec = PLAIN_CALL,
    params: Mapping[str, float] | None = None,
) -> list[Recognition]:
    """What a callable may be, the likeliest first: each loss once, with the parameters and the call that explain it best.

    What ``call_spec`` says already (keywords, axes, an order of arguments, an input other than the default) is kept, and so are the
    parameters of the losses that ``params`` says.

    Raises:
        UserError: when it cannot be loaded, built or called in any of the ways that are tried.
    """
    own = load(spec if isinstance(spec, str) else register(spec))
    candidates = list(_candidates(own, call_spec))
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
    for candidate in _candidates(own, call_spec, forms, len(candidates)) if forms else ():
        agreeing = [(way, way.agreeing()) for loss in chosen if (way := candidate.beside(loss, params or {}))]
        recognised += [(way, recognition) for way, recognition in agreeing if recognition.confidence is Confidence.AGREES]
    best: dict[str, Recognition] = {}
    for _, recognition in sorted(recognised, key=lambda pair: _rank(*pair)):
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
    return min(known, key=lambda pair: _rank(*pair))[1] if known else None


def _forms_to_try(recognised: Sequence[tuple[_Way, Recognition]]) -> tuple[str, ...]:
    """The other forms of its arguments that may explain what plain floats do not. What is right for the targets 0 and 1 has no other
    labels."""
    if any(recognition.confidence is Confidence.AGREES or way.agrees_on_classes() for way, recognition in recognised):
        return ()
    return SIGNED if any(recognition.confidence is Confidence.DEVIATES for _, recognition in recognised) else (*SIGNED, *IN_FORMS)


@dataclass(frozen=True)
class _Candidate:
    """The callable, called in one way."""

    number: int
    adapted: Adapted
    backend: str
    reduction: str
    samples: Samples

    def beside(self, loss: Loss, given: Mapping[str, float]) -> _Way | None:
        """Its values beside a loss; None where there are too few."""
        samples = self.samples.hard() if loss.hard_targets or self.adapted.call_spec.hard else self.samples
        if len(samples.ordinary) < ENOUGH:
            return None
        return _Way(self, loss, [Fit(loss.formula, params, samples) for params in _parameters(loss, self.adapted, given)])


@dataclass(frozen=True)
class _Way:
    """A callable, called in one way, as one loss: fits with the parameters that are tried, those it states first."""

    candidate: _Candidate
    loss: Loss
    fits: list[Fit]

    def agreeing(self) -> Recognition:
        """What it is with parameters that explain it as it is."""
        if self.candidate.adapted.call_spec.objective:
            # Its values are gradients.
            fit = next((fit for fit in self.fits if fit.slopes(AS_IT_IS)), None)
            return self._recognition(fit or self.fits[0], Confidence.AGREES if fit else Confidence.NONE)
        fit = next((fit for fit in self.fits if fit.holds(AS_IT_IS)), None)
        return self._with(fit) if fit else self._recognition(self.fits[0], Confidence.NONE)

    def deviating(self) -> Recognition:
        """What it is but for a guard, or another known change of the definition."""
        base = self.fits[0]
        if self.candidate.adapted.call_spec.objective:
            return self._on_classes() or self._recognition(base, Confidence.NONE)
        for guard in GUARDS:
            guarded = replace(AS_IT_IS, guard=guard)
            if fit := next((fit for fit in self.fits if fit.holds(guarded)), None):
                return self._with(fit, guarded)
        if diagnosis := self._explained(base, guarded=False):
            return self._recognition(base, Confidence.DEVIATES, diagnosis)
        return self._on_classes() or self._in_part() or self._recognition(base, Confidence.NONE)

    def _on_classes(self) -> Recognition | None:
        """What agrees at targets 0 and 1, and with soft ones is something else; None for a loss that has no soft targets."""
        hard = self.candidate.samples.hard()
        if self.loss.hard_targets or len(hard.ordinary) < ENOUGH:
            return None
        fits = [Fit(self.loss.formula, fit.params, hard) for fit in self.fits]
        recognition = _Way(self.candidate, self.loss, fits).agreeing()
        return replace(recognition, confidence=Confidence.DEVIATES, deviation=HARD) if recognition.confidence is Confidence.AGREES else None

    def agrees_on_classes(self) -> bool:
        """Does it agree at the targets 0 and 1, whatever it does with others?"""
        return self._on_classes() is not None

    def _in_part(self) -> Recognition | None:
        """What it is but for a little, or for one of the classes."""
        if fit := next((fit for fit in self.fits if nearly_words(fit)), None):
            return self._recognition(fit, Confidence.DEVIATES, Diagnosis(nearly_words(fit), changes=2))
        if fit := of_one_class(self.fits):
            return self._recognition(fit, Confidence.DEVIATES, Diagnosis(one_class_words(fit), changes=2))
        return None

    def _with(self, fit: Fit, guarded: Convention = AS_IT_IS) -> Recognition:
        """With the parameters of a fit. Where it states others under the same names, that is how it deviates."""
        constants, base = self.candidate.adapted.constants(), self.fits[0]
        if any(name in constants and not math.isclose(value, fit.params[name], rel_tol=1e-9) for name, value in base.params.items()):
            return self._recognition(base, Confidence.DEVIATES, self._explained(base) or NOTHING)
        diagnosis = self._told(fit, guarded if guarded is not AS_IT_IS else fit.with_guard(AS_IT_IS))
        return self._recognition(fit, Confidence.DEVIATES if diagnosis.sentence else Confidence.AGREES, diagnosis)

    def _explained(self, fit: Fit, guarded: bool = True) -> Diagnosis | None:
        return explained(fit, self.loss, self.candidate.adapted, self.candidate.backend, guarded=guarded)

    def _told(self, fit: Fit, convention: Convention) -> Diagnosis:
        return told(fit, self.loss, self.candidate.adapted, self.candidate.backend, convention)

    def _recognition(self, fit: Fit, confidence: Confidence, deviation: Diagnosis = NOTHING) -> Recognition:
        points = fit.samples.ordinary + fit.samples.held_ordinary
        beside = fit.slope if self.candidate.adapted.call_spec.objective else fit.of
        distances = [abs(point.value - right) / (abs(right) or 1.0) for point in points if (right := beside(AS_IT_IS, point)) == right]
        distance = statistics.median(distances) if distances else math.inf
        call_spec = self.candidate.adapted.call_spec
        return Recognition(
            self.loss, fit.params, call_spec, self.candidate.backend, self.candidate.reduction, confidence, deviation, distance
        )


def _candidates(own: Own, call_spec: CallSpec, orders: Sequence[str] = ORDERS, first: int = 0) -> Iterator[_Candidate]:
    """The ways to call it that it accepts, with its values; logits first. They are numbered from ``first`` on."""
    orders = orders if call_spec.call == DEFAULT_CALL else (call_spec.call,)
    inputs = INPUTS if call_spec.input == INPUTS[0] and not first else (call_spec.input,)
    refusal: UserError | None = None
    tried = 0
    for number, (given, call) in enumerate(itertools.product(inputs, orders), first):
        try:
            backend, adapted = accepted(own, replace(call_spec, input=given, call=call), ())
        except UserError as error:
            refusal = refusal or error
            continue
        tried += 1
        probe = adapted.tried(backend)
        if not probe.random:
            yield _Candidate(number, adapted, backend, probe.reduction if probe.reduces else "none", sample(adapted, backend))
    if refusal and not tried and not first:
        raise refusal


def _objectives(own: Own, call_spec: CallSpec) -> list[_Candidate]:
    """The ways in which it returns two arrays in the shape of the logits: a gradient to them, and a hessian."""
    candidates = _candidates(own, replace(call_spec, pick=GRADIENT), (*ORDERS, OF_A_DMATRIX), first=1)
    return [candidate for candidate in candidates if candidate.samples.ordinary and _has_hessian(candidate.adapted)]


def _has_hessian(adapted: Adapted) -> bool:
    gradient = adapted.tried("numpy")
    second = Adapted(adapted.own, replace(adapted.call_spec, pick="1")).tried("numpy")
    return not (gradient.failure or gradient.reduces or second.failure or second.reduces)


def _parameters(loss: Loss, adapted: Adapted, given: Mapping[str, float]) -> Iterator[dict[str, float]]:
    """Parameters to try: those given, else those that the callable states under the same names, else the loss's defaults; then the
    usual ones of what was not given."""
    constants = adapted.constants()
    stated, usual = {}, []
    for parameter in loss.parameters:
        if parameter.name in given:
            stated[parameter.name] = given[parameter.name]
            usual.append([given[parameter.name]])
            continue
        value = constants.get(parameter.name, parameter.default)
        value = parameter.none if value is None else number_of(value)
        stated[parameter.name] = value if value is not None and parameter.takes(value) else parameter.default
        # An exponent of 0 makes one loss of another: it is believed only where it is stated.
        none = () if parameter.none is None else (parameter.none,)
        first = dict.fromkeys((stated[parameter.name], parameter.default, *filter(None, USUAL), *none))
        usual.append([value for value in first if parameter.takes(value)])
    yield loss.resolve(stated, FLOAT64)
    names = [parameter.name for parameter in loss.parameters]
    grid = [dict(zip(names, values, strict=True)) for values in itertools.product(*usual)]
    # The fewer parameters are changed, the likelier.
    grid.sort(key=lambda params: sum(params[name] != stated[name] for name in names))
    yield from grid[1:]


def _rank(way: _Way, recognition: Recognition) -> tuple[float, ...]:
    """Sorts the likeliest first: how sure; how many parameters are neither the loss's own nor its own, or how far off; how many of the
    loss's it names; how it is called."""
    sure = list(Confidence).index(recognition.confidence)
    stated = way.candidate.adapted.constants()
    defaults = {parameter.name: parameter.default for parameter in recognition.loss.parameters}
    changed = sum(value not in (defaults[name], number_of(stated.get(name))) for name, value in recognition.params.items())
    if recognition.confidence is Confidence.AGREES:
        return sure, changed, -len(stated.keys() & defaults.keys()), way.candidate.number
    return sure, recognition.deviation.changes, recognition.distance, way.candidate.number
