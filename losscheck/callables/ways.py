"""A callable, called in one way, beside one loss: the fits of its values with the parameters that are tried, and what they make it."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from losscheck.callables.adapt import Adapted
from losscheck.callables.conventions import AS_IT_IS, GUARDS, USUAL, Convention, number_of
from losscheck.callables.diagnose import NOTHING, Diagnosis, explained, told
from losscheck.callables.fit import Fit
from losscheck.callables.partly import nearly_words, of_one_class, one_class_words
from losscheck.callables.recognition import HARD, Confidence, Recognition
from losscheck.callables.samples import Samples
from losscheck.core.dtypes import FLOAT64
from losscheck.core.loss import Loss

__all__ = ["Candidate", "Way", "rank"]

ENOUGH = 12  # ordinary points with a value, without which nothing is said


@dataclass(frozen=True)
class Candidate:
    """The callable, called in one way."""

    number: int
    adapted: Adapted
    backend: str
    reduction: str
    samples: Samples

    def beside(self, loss: Loss, given: Mapping[str, float]) -> Way | None:
        """Its values beside a loss; None where there are too few."""
        samples = self.samples.hard() if loss.hard_targets or self.adapted.call_spec.hard else self.samples
        if len(samples.ordinary) < ENOUGH:
            return None
        return Way(self, loss, [Fit(loss.formula, params, samples) for params in _parameters(loss, self.adapted, given)])


@dataclass(frozen=True)
class Way:
    """A callable, called in one way, as one loss: fits with the parameters that are tried, those it states first."""

    candidate: Candidate
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
        for stated in self._of_each_word():
            if diagnosis := self._explained(stated, guarded=False):
                return self._recognition(stated, Confidence.DEVIATES, diagnosis)
        return self._on_classes() or self._in_part() or self._recognition(base, Confidence.NONE)

    def _on_classes(self) -> Recognition | None:
        """What agrees at targets 0 and 1, and with soft ones is something else; None for a loss that has no soft targets."""
        hard = self.candidate.samples.hard()
        if self.loss.hard_targets or len(hard.ordinary) < ENOUGH:
            return None
        fits = [Fit(self.loss.formula, fit.params, hard) for fit in self.fits]
        recognition = Way(self.candidate, self.loss, fits).agreeing()
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
        constants, base = self.candidate.adapted.constants(), self._stated(fit)
        if any(name in constants and not math.isclose(value, fit.params[name], rel_tol=1e-9) for name, value in base.params.items()):
            return self._recognition(base, Confidence.DEVIATES, self._explained(base) or NOTHING)
        diagnosis = self._told(fit, guarded if guarded is not AS_IT_IS else fit.with_guard(AS_IT_IS))
        return self._recognition(fit, Confidence.DEVIATES if diagnosis.sentence else Confidence.AGREES, diagnosis)

    def _stated(self, fit: Fit) -> Fit:
        """The parameters it states, and those of a fit that pick among definitions: nobody states them by the names that we gave."""
        picked = {parameter.name: fit.params[parameter.name] for parameter in self.loss.parameters if parameter.words}
        return Fit(self.loss.formula, {**self.fits[0].params, **picked}, fit.samples) if picked else self.fits[0]

    def _of_each_word(self) -> Iterator[Fit]:
        """The stated parameters with each definition that may be picked, the default first."""
        seen: list[Mapping[str, float]] = []
        for fit in map(self._stated, self.fits):
            if fit.params not in seen:
                seen.append(fit.params)
                yield fit

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
        common = range(len(parameter.words)) if parameter.words else filter(None, USUAL)
        first = dict.fromkeys((stated[parameter.name], parameter.default, *map(float, common), *none))
        usual.append([value for value in first if parameter.takes(value)])
    yield loss.resolve(stated, FLOAT64)
    names = [parameter.name for parameter in loss.parameters]
    grid = [dict(zip(names, values, strict=True)) for values in itertools.product(*usual)]
    # The fewer parameters are changed, the likelier.
    grid.sort(key=lambda params: sum(params[name] != stated[name] for name in names))
    yield from grid[1:]


def rank(way: Way, recognition: Recognition) -> tuple[float, ...]:
    """Sorts the likeliest first: how sure; how many parameters are neither the loss's own nor its own, or how far off; how many of the
    loss's it names; how it is called."""
    sure = list(Confidence).index(recognition.confidence)
    stated = way.candidate.adapted.constants()
    defaults = {parameter.name: parameter.default for parameter in recognition.loss.parameters}
    picks = {parameter.name for parameter in recognition.loss.parameters if parameter.words}
    numbers = {name: value for name, value in recognition.params.items() if name not in picks}
    changed = sum(value not in (defaults[name], number_of(stated.get(name))) for name, value in numbers.items())
    # What it is at soft targets too says more than what it is at 0 and 1, where it takes soft ones.
    narrow = recognition.loss.hard_targets is not way.candidate.adapted.call_spec.hard
    if recognition.confidence is Confidence.AGREES:
        return sure, changed, -len(stated.keys() & defaults.keys()), narrow, way.candidate.number
    return sure, recognition.deviation.changes, recognition.distance, narrow, way.candidate.number
