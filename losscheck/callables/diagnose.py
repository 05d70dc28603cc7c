"""Which convention makes a callable differ from a loss's definition: alpha swapped, a factor, an eps, a clamp, hard targets.

A callable has no formula of its own, so that one that computes something else is millions of ulp wrong. Here its values at a few
well-conditioned logits, in float64 where it runs there, are compared with the definition changed in every way that is listed
below, simplest first. What agrees with all of them is named. What already agrees with the definition needs no explanation.
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

__all__ = ["Convention", "recognise"]

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


@dataclass(frozen=True)
class Convention:
    """A way to change a definition: other parameters, another reading of the logit or the target, a guard in its logarithms.

    Attributes:
        says: what it is, to follow "it looks like".
        cure: what makes both agree; "" when only the code can.
        where: the logits at which it has a meaning; at the others it explains nothing and nothing speaks against it.
    """

    says: str
    cure: str = ""
    params: Mapping[str, float] = field(default_factory=dict)
    logit: Callable[[float], float] = lambda x: x
    target: Callable[[float], float] = lambda z: z
    where: Callable[[float], bool] = lambda x: True
    guard: Guard = NO_GUARD

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


def recognise(loss: Loss, one: Implementation, params: Mapping[str, float]) -> str:
    """One sentence that explains how the values differ from the definition; "" when they do not, or nothing is known of them.

    The definition is the callable's own formula where ``--formula`` gave one.
    """
    adapted = one.function
    assert isinstance(adapted, Adapted)
    formula = one.formula or loss.formula
    soft = any(0 < target < 1 for target in loss.targets)
    seen = sample(adapted, one.backends[0], (0.0, 0.25, 0.75, 1.0) if soft else (0.0, 1.0))
    if not seen.ordinary:
        return ""
    fitting = Fit(formula, params, seen)
    if fitting.agrees(AS_IT_IS, seen.ordinary):
        return _guarded(fitting)
    for convention in _conventions(loss, adapted, params):
        if fitting.agrees(convention, seen.ordinary):
            return _sentence(convention, _guard_of(fitting, convention))
    for convention in (AS_IT_IS, *_conventions(loss, adapted, params)):
        if text := _factor(fitting, convention, loss, params):
            return text
    for guard in GUARDS:
        for convention in (AS_IT_IS, *_conventions(loss, adapted, params)):
            if fitting.agrees(replace(convention, guard=guard), seen.ordinary + seen.far):
                return _sentence(convention, guard)
    return _unexplained(fitting)


class Fit:
    """Values beside a definition, and how close to it they have to be."""

    def __init__(self, formula: Formula, params: Mapping[str, float], seen: Samples) -> None:
        self.formula, self.params, self.seen = formula, params, seen

    def of(self, convention: Convention, point: Sample) -> float:
        return convention.value(self.formula, point, self.params)

    def agrees(self, convention: Convention, points: Sequence[Sample]) -> bool:
        """Does it explain all points? NaN explains nothing, and neither do a few points."""
        meant = [each for each in points if convention.where(each.logit)]
        return len(meant) >= LEAST and all(self.seen.close(each, self.of(convention, each)) for each in meant)

    def ratio(self, base: Convention, points: Sequence[Sample]) -> float | None:
        """The constant by which all values differ from a convention, or None when it is none."""
        points = [each for each in points if base.where(each.logit)]
        if len(points) < LEAST:
            return None
        ratios = [each.value / right if (right := self.of(base, each)) else math.nan for each in points]
        same = bool(ratios) and all(math.isclose(each, ratios[0], rel_tol=self.seen.precision.ordinary) for each in ratios)
        return ratios[0] if same and ratios[0] else None


def _conventions(loss: Loss, adapted: Adapted, params: Mapping[str, float]) -> Iterator[Convention]:
    """All that is known of, the likelier first."""
    takes = adapted.constants()
    if "pos_weight" in params and params["pos_weight"] != 1:
        yield Convention("pos_weight is left out", "--param pos_weight=1", {"pos_weight": 1.0})
    yield from _other_parameters(loss, takes, params)
    truncated = "targets are truncated (cast to long): a soft one counts as 0"
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
    names = [each.name for each in loss.parameters]
    for a, b in itertools.combinations(names, 2):
        if params[a] != params[b]:
            swapped = {a: params[b], b: params[a]}
            yield Convention(f"{a} and {b} are swapped ({a}={params[a]:g}, {b}={params[b]:g})", _cure(swapped, takes, params), swapped)
    for each in loss.parameters:
        now = params[each.name]
        theirs = takes.get(each.name)
        usual = [*([float(theirs)] if isinstance(theirs, int | float) else []), *([1 - now] if each.high == 1 else []), *USUAL]
        for value in (value for value in dict.fromkeys(usual) if value != now and each.low <= value <= each.high):
            other = {each.name: value}
            says = f"{each.name} is {value:g} and not {now:g}"
            if each.high == 1 and value == 1 - now and theirs != value:
                factors = [_times((1 - now) / now), _times(now / (1 - now))] if 0 < now < 1 else []
                told = f": {factors[0]} the definition for target 1, {factors[1]} for target 0" if factors else ""
                says = f"{each.name} and 1 - {each.name} are swapped{told} ({each.name}={now:g})"
            yield Convention(says, _cure(other, takes, params), other)
    for each, other_one in itertools.combinations(loss.parameters, 2):
        for pair in itertools.product(USUAL, USUAL):
            both = {each.name: pair[0], other_one.name: pair[1]}
            if all(p.low <= both[p.name] <= p.high and both[p.name] != params[p.name] for p in (each, other_one)):
                yield Convention(
                    " and ".join(f"{k} is {v:g} and not {params[k]:g}" for k, v in both.items()), _cure(both, takes, params), both
                )


def _cure(changed: Mapping[str, float], takes: Mapping[str, Any], params: Mapping[str, float]) -> str:
    """--param for the definition, or --kw for the callable that takes it: either side can give way."""
    cure = " ".join(f"--param {name}={value:g}" for name, value in changed.items())
    (name, value), *more = changed.items()
    theirs = takes.get(name)
    if not more and isinstance(theirs, int | float):
        # Its own value explains it: let it take the definition's. Or it takes the definition's and turns it round.
        cure += f" or --kw {name}={(params[name] if math.isclose(theirs, value) else value):g}"
    return f"{cure} makes both agree"


def _factor(fitting: Fit, base: Convention, loss: Loss, params: Mapping[str, float]) -> str:
    """A constant factor, or one for each class, between the values and a convention."""
    points = fitting.seen.ordinary
    start = "it looks like " + (f"{base.says}, and " if base is not AS_IT_IS else "")
    if constant := fitting.ratio(base, points):
        told = next((text for value, text in FACTORS.items() if math.isclose(value, constant, rel_tol=1e-6)), "")
        return f"{start}{told or f'{_times(constant)} the definition, everywhere: {RATE}'}."
    # Soft targets go with the negatives, as in CenterNet; where they do not, no factor for each class explains them.
    positive, negative = (fitting.ratio(base, [each for each in points if (each.target == 1) == whole]) for whole in (True, False))
    if not positive or not negative or math.isclose(positive, negative):
        return ""
    told = f"{_times(positive)} the definition for target 1, {_times(negative)} for target 0"
    alpha = params.get("alpha", math.nan)
    if loss.parameters and loss.parameters[0].high == 1 and 0 < alpha < 1 and "alpha" not in base.params:
        if math.isclose(positive * alpha, negative * (1 - alpha), rel_tol=1e-6):
            return f"{start}alpha is left out: {told} (alpha={alpha:g})."
        if math.isclose(positive, 1, rel_tol=1e-6) and math.isclose(negative * (1 - alpha), 1, rel_tol=1e-6):
            return f"{start}alpha weighs class 1 alone and class 0 has the weight 1: {told} (alpha={alpha:g})."
    return f"{start}the classes have other weights: {told}."


def _unexplained(fitting: Fit) -> str:
    """The point furthest off, in figures."""
    worst = max(fitting.seen.ordinary, key=lambda each: abs(each.value - fitting.of(AS_IT_IS, each)))
    hard = [each for each in fitting.seen.ordinary if each.target in (0.0, 1.0)]
    what = "it treats soft targets in a way of its own" if fitting.agrees(AS_IT_IS, hard) else "it computes something else"
    return (
        f"{what}: {worst.value:.6g} at logit {worst.logit:g}, target {worst.target:g}, where the definition has "
        f"{fitting.of(AS_IT_IS, worst):.6g}, and no known convention explains it; --formula file.py:function states its own formula."
    )


def _guarded(fitting: Fit) -> str:
    """What agrees at ordinary logits may be held at far ones."""
    guard = _guard_of(fitting, AS_IT_IS)
    return _sentence(AS_IT_IS, guard) if guard != NO_GUARD else ""


def _guard_of(fitting: Fit, convention: Convention) -> Guard:
    seen = fitting.seen
    if not seen.far or fitting.agrees(convention, seen.far):
        return NO_GUARD
    for guard in GUARDS:
        if fitting.agrees(replace(convention, guard=guard), seen.ordinary + seen.far):
            return guard
    return NO_GUARD


def _sentence(convention: Convention, guard: Guard) -> str:
    cure = f"; {convention.cure}" if convention.cure else ""
    if guard == NO_GUARD:
        return f"it looks like {convention.says}{cure}."
    if convention.says == AS_IT_IS.says:
        return f"it looks like {guard.words}."
    return f"it looks like {convention.says}, and {guard.words}{cure}."


def _logit(p: float) -> float:
    return math.log(p / (1 - p)) if 0 < p < 1 else math.nan


def _times(factor: float) -> str:
    """'3 x', '4/3 x' or '0.217 x'"""
    near = Fraction(factor).limit_denominator(20)
    exact = math.isclose(factor, float(near), rel_tol=1e-6)
    return f"{near} x" if exact else f"{factor:.4g} x"
