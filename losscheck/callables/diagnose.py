"""Which convention makes a callable differ from a loss's definition: alpha swapped, a factor, an eps, a clamp, hard targets.

A callable has no formula of its own, so that one that computes something else is millions of ulp wrong. Here its values at a few
well-conditioned logits, in float64 where it runs there, are compared with the definition changed in every way that is listed
below, simplest first. What agrees with all of them, and with values held back that it was not found with, is named; what does not is
not said. What already agrees with the definition needs no explanation.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from losscheck.callables.adapt import Adapted
from losscheck.callables.plain import NO_GUARD, Guard, PlainArithmetic
from losscheck.callables.samples import Sample, Samples, sample
from losscheck.core.loss import Formula, Implementation, Loss

__all__ = ["AS_IT_IS", "USUAL", "Convention", "Diagnosis", "Fit", "diagnose", "explained"]

# Values that people give the parameters of these losses.
USUAL = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0)
GUARDS = tuple(
    Guard(kind, size)
    for size in (*(10.0**-n for n in range(1, 17)), 5e-4, 5e-5, 5e-7, 5e-8, 2.0**-23, 2.0**-52)
    for kind in ("eps", "clamp", "log-clamp")
) + tuple(Guard(kind, size) for size in (5.0, 10.0, 15.0, 16.0, 20.0, 30.0, 50.0, 88.0, 100.0) for kind in ("floor", "logit-clamp"))
SMOOTHINGS = (0.1, 0.05, 0.2, 0.01, 0.02, 0.15, 0.3)
RATE = "training takes such a factor for another learning rate"
FACTORS = {
    2.0: f"twice the definition, everywhere: {RATE}",
    0.5: f"half the definition, everywhere: {RATE}",
    -1.0: "the definition with its sign flipped: training would climb",
    1 / math.log(2.0): f"the definition with logarithms to base 2: {RATE}",
}


def _unchanged(value: float) -> float:
    return value


@dataclass(frozen=True)
class Convention:
    """A way to change a definition: other parameters, another reading of the logit or the target, a guard in its logarithms.

    Attributes:
        says: what it is, to follow "it looks like".
        cure: what makes both agree; "" when only the code can.
        where: the logits at which it has a meaning; at the others it explains nothing and nothing speaks against it.
        restated: the parameters of which it says that their values are others, and nothing else.
    """

    says: str
    cure: str = ""
    params: Mapping[str, float] = field(default_factory=dict)
    logit: Callable[[float], float] = _unchanged
    target: Callable[[float], float] = _unchanged
    where: Callable[[float], bool] = lambda x: True
    guard: Guard = NO_GUARD
    restated: tuple[str, ...] = ()

    @property
    def changes(self) -> int:
        return 0 if self is AS_IT_IS else 2 if self.logit is not _unchanged else 1

    def value(self, formula: Formula, point: Sample, params: Mapping[str, float]) -> float:
        """The changed definition at a point; NaN where it has none."""
        m = PlainArithmetic(self.guard)
        x = self.logit(point.logit)
        limit = self.guard.size if self.guard.kind == "logit-clamp" else math.inf
        try:
            return float(formula(m, max(-limit, min(limit, x)), self.target(point.target), **{**params, **self.params}))
        except (ArithmeticError, ValueError):
            return math.nan


AS_IT_IS = Convention("the definition")
LEAST = 6  # points that a convention has to explain


@dataclass(frozen=True)
class Diagnosis:
    """A sentence that explains how the values differ from the definition, "" for none.

    Attributes:
        restated: the parameters of which it says no more than that their values are others.
        changes: how many changes of the definition it tells; another reading of the logit counts as two, for it is the less likely.
    """

    sentence: str = ""
    restated: tuple[str, ...] = ()
    changes: int = 0


NOTHING = Diagnosis()


def diagnose(loss: Loss, implementation: Implementation, params: Mapping[str, float]) -> Diagnosis:
    """What explains a callable's values; nothing when they do not differ, or nothing is known of them.

    The definition is the callable's own formula where ``--formula`` gave one.
    """
    adapted = implementation.function
    assert isinstance(adapted, Adapted)
    samples = sample(adapted, implementation.backends[0])
    if not any(0 < target < 1 for target in loss.targets):
        samples = samples.hard()
    if not samples.ordinary:
        return NOTHING
    fit = Fit(implementation.formula or loss.formula, params, samples)
    if fit.holds(AS_IT_IS):
        guard = fit.guard_of(AS_IT_IS)
        return _said(AS_IT_IS, guard) if guard != NO_GUARD else NOTHING
    return explained(fit, loss, adapted) or Diagnosis(_unexplained(fit))


def explained(fit: Fit, loss: Loss, adapted: Adapted, *, guarded: bool = True) -> Diagnosis | None:
    """The simplest change of the definition that agrees with the samples and was confirmed at those held back; ``guarded`` ones,
    which are many, are tried as well."""
    conventions = list(_conventions(loss, adapted, fit.params))
    for convention in conventions:
        if fit.holds(convention):
            return _said(convention, fit.guard_of(convention))
    for convention in (AS_IT_IS, *conventions):
        if text := _factor(fit, convention, loss):
            return Diagnosis(text, changes=1 + convention.changes)
    for guard in GUARDS if guarded else ():
        for convention in (AS_IT_IS, *conventions):
            if fit.holds(replace(convention, guard=guard)):
                return _said(convention, guard)
    return None


class Fit:
    """Values beside a definition, and how close to it they have to be."""

    def __init__(self, formula: Formula, params: Mapping[str, float], samples: Samples) -> None:
        self.formula, self.params, self.samples = formula, params, samples

    def of(self, convention: Convention, point: Sample) -> float:
        return convention.value(self.formula, point, self.params)

    def agrees(self, convention: Convention, points: Sequence[Sample]) -> bool:
        """Does it explain all points? NaN explains nothing, and neither do a few points."""
        explains = 0
        for point in points:
            if convention.where(point.logit):
                if not self.samples.close(point, self.of(convention, point)):
                    return False
                explains += 1
        return explains >= LEAST

    def holds(self, convention: Convention) -> bool:
        """Does it explain the samples, and those held back too? One with a guard explains the far ones as well."""
        samples, guarded = self.samples, convention.guard != NO_GUARD
        found_with = samples.ordinary + (samples.far if guarded else ())
        held_back = samples.held_ordinary + (samples.held_far if guarded else ())
        return self.agrees(convention, found_with) and self.agrees(convention, held_back)

    def guard_of(self, convention: Convention) -> Guard:
        """The guard that explains far values where the convention alone does not."""
        samples = self.samples
        if not samples.far or (self.agrees(convention, samples.far) and self.agrees(convention, samples.held_far)):
            return NO_GUARD
        return next((guard for guard in GUARDS if self.holds(replace(convention, guard=guard))), NO_GUARD)

    def ratio(self, base: Convention, of_class: Callable[[Sample], bool] = lambda point: True) -> float | None:
        """The constant by which all values of a class differ from a convention, those held back too; None when it is none."""
        points = [point for point in self.samples.ordinary if base.where(point.logit) and of_class(point)]
        held = [point for point in self.samples.held_ordinary if base.where(point.logit) and of_class(point)]
        if len(points) < LEAST or len(held) < LEAST:
            return None
        ratios = [point.value / right if (right := self.of(base, point)) else math.nan for point in (*points, *held)]
        same = all(math.isclose(ratio, ratios[0], rel_tol=self.samples.precision.ordinary) for ratio in ratios)
        return ratios[0] if same and ratios[0] else None


def _conventions(loss: Loss, adapted: Adapted, params: Mapping[str, float]) -> Iterator[Convention]:
    """All that is known of, the likelier first."""
    takes = adapted.constants()
    if "pos_weight" in params and params["pos_weight"] != 1:
        yield Convention("pos_weight is left out", "--param pos_weight=1", {"pos_weight": 1.0})
    yield from _other_parameters(loss, takes, params)
    truncated = "targets are truncated: a soft one counts as 0"
    yield Convention(truncated, "hard targets are not affected", target=math.floor)
    yield Convention("targets are rounded: a soft one counts as 0 or 1", "hard targets are not affected", target=lambda z: float(z >= 0.5))
    yield from map(_smoothing, SMOOTHINGS)
    yield Convention("targets 0 and 1 are swapped", target=lambda z: 1 - z)
    yield Convention("the sign of the logit is flipped", logit=lambda x: -x)
    probabilities = adapted.call_spec.input == "probabilities"
    if not probabilities:
        cure = "--input probabilities puts a sigmoid before it"
        yield Convention("logits are taken for probabilities", cure, logit=_logit, where=lambda x: 0 < x < 1)
    cure = "--input logits: it applies a sigmoid of its own" if probabilities else "one of them has to go"
    yield Convention("a sigmoid is applied twice", cure, logit=lambda x: 1 / (1 + math.exp(-x)))


def _smoothing(amount: float) -> Convention:
    says = f"targets are smoothed by {amount:g}: z becomes {1 - amount:g} z + {amount / 2:g}"
    return Convention(says, "it is the definition of smoothed targets", target=lambda z: z * (1 - amount) + amount / 2)


def _other_parameters(loss: Loss, takes: Mapping[str, Any], params: Mapping[str, float]) -> Iterator[Convention]:
    names = [parameter.name for parameter in loss.parameters]
    for a, b in itertools.combinations(names, 2):
        if params[a] != params[b]:
            swapped = {a: params[b], b: params[a]}
            yield Convention(f"{a} and {b} are swapped ({a}={params[a]:g}, {b}={params[b]:g})", _cure(swapped, takes, params), swapped)
    for parameter in loss.parameters:
        now = params[parameter.name]
        theirs = takes.get(parameter.name)
        usual = [*([float(theirs)] if isinstance(theirs, int | float) else []), *([1 - now] if parameter.high == 1 else []), *USUAL]
        for value in (value for value in dict.fromkeys(usual) if value != now and parameter.low <= value <= parameter.high):
            other = {parameter.name: value}
            if parameter.high == 1 and value == 1 - now and theirs != value:
                yield Convention(_swapped(parameter.name, now), _cure(other, takes, params), other)
            else:
                says = f"{parameter.name} is {value:g} and not {now:g}"
                yield Convention(says, _cure(other, takes, params), other, restated=(parameter.name,))
    for first, second in itertools.combinations(loss.parameters, 2):
        for pair in itertools.product(USUAL, USUAL):
            both = {first.name: pair[0], second.name: pair[1]}
            if all(p.low <= both[p.name] <= p.high and both[p.name] != params[p.name] for p in (first, second)):
                says = " and ".join(f"{name} is {value:g} and not {params[name]:g}" for name, value in both.items())
                yield Convention(says, _cure(both, takes, params), both, restated=tuple(both))


def _swapped(name: str, now: float) -> str:
    """A weight of class 1 that was given to class 0."""
    factors = f": {_times((1 - now) / now)} the definition for target 1, {_times(now / (1 - now))} for target 0" if 0 < now < 1 else ""
    return f"{name} and 1 - {name} are swapped{factors} ({name}={now:g})"


def _cure(changed: Mapping[str, float], takes: Mapping[str, Any], params: Mapping[str, float]) -> str:
    """--param for the definition, or --kw for the callable that takes it: either side can give way."""
    cure = " ".join(f"--param {name}={value:g}" for name, value in changed.items())
    (name, value), *more = changed.items()
    theirs = takes.get(name)
    if not more and isinstance(theirs, int | float):
        # Its own value explains it: let it take the definition's. Or it takes the definition's and turns it round.
        cure += f" or --kw {name}={(params[name] if math.isclose(theirs, value) else value):g}"
    return f"{cure} makes both agree"


def _factor(fit: Fit, base: Convention, loss: Loss) -> str:
    """A constant factor, or one for each class, between the values and a convention."""
    start = "it looks like " + (f"{base.says}, and " if base is not AS_IT_IS else "")
    if constant := fit.ratio(base):
        told = next((text for value, text in FACTORS.items() if math.isclose(value, constant, rel_tol=1e-6)), "")
        return f"{start}{told or f'{_times(constant)} the definition, everywhere: {RATE}'}."
    # Soft targets go with the negatives, as in CenterNet; where they do not, no factor for each class explains them.
    positive, negative = fit.ratio(base, lambda point: point.target == 1), fit.ratio(base, lambda point: point.target != 1)
    if not positive or not negative or math.isclose(positive, negative):
        return ""
    told = f"{_times(positive)} the definition for target 1, {_times(negative)} for target 0"
    alpha = fit.params.get("alpha", math.nan)
    if loss.parameters and loss.parameters[0].high == 1 and 0 < alpha < 1 and "alpha" not in base.params:
        return f"{start}{_weights(positive * alpha, negative * (1 - alpha), alpha)}: {told} (alpha={alpha:g})."
    return f"{start}the classes have other weights: {told}."


def _weights(of_one: float, of_zero: float, alpha: float) -> str:
    """What became of alpha, the weight of class 1 beside 1 - alpha of class 0, where the classes have these weights."""

    def is_near(a: float, b: float) -> bool:
        return math.isclose(a, b, rel_tol=1e-6)

    if is_near(of_one, of_zero):
        if is_near(of_one, 1):
            return "alpha is left out"
        return "alpha weighs both classes" if is_near(of_one, alpha) else f"both classes have the weight {of_one:.4g}"
    if is_near(of_one, alpha) and is_near(of_zero, 1):
        return "alpha weighs class 1 alone and class 0 has the weight 1"
    return "the classes have other weights"


def _unexplained(fit: Fit) -> str:
    """The point furthest off, in figures."""
    worst = max(fit.samples.ordinary, key=lambda point: abs(point.value - fit.of(AS_IT_IS, point)))
    hard = Fit(fit.formula, fit.params, fit.samples.hard())
    what = "it treats soft targets in a way of its own" if hard.holds(AS_IT_IS) else "it computes something else"
    return (
        f"{what}: {worst.value:.6g} at logit {worst.logit:g}, target {worst.target:g}, where the definition has "
        f"{fit.of(AS_IT_IS, worst):.6g}, and no known convention explains it; --formula file.py:function states its own formula."
    )


def _said(convention: Convention, guard: Guard) -> Diagnosis:
    cure = f"; {convention.cure}" if convention.cure else ""
    if guard == NO_GUARD:
        return Diagnosis(f"it looks like {convention.says}{cure}.", convention.restated, convention.changes)
    if convention is AS_IT_IS:
        return Diagnosis(f"it looks like {guard.words}.", changes=1)
    return Diagnosis(f"it looks like {convention.says}, and {guard.words}{cure}.", changes=1 + convention.changes)


def _logit(p: float) -> float:
    return math.log(p / (1 - p)) if 0 < p < 1 else math.nan


def _times(factor: float) -> str:
    """'3 x', '4/3 x' or '0.217 x'"""
    near = Fraction(factor).limit_denominator(20)
    exact = math.isclose(factor, float(near), rel_tol=1e-6)
    return f"{near} x" if exact else f"{factor:.4g} x"
