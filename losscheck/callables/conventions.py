"""The ways in which people change a definition: candidates, as data. Nothing here is believed before fit.py has confirmed it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from losscheck.callables.plain import NO_GUARD, Guard, PlainArithmetic
from losscheck.core.dtypes import Format
from losscheck.core.loss import Formula, Loss

__all__ = [
    "AS_IT_IS",
    "GUARDS",
    "USUAL",
    "Adjustment",
    "Change",
    "Convention",
    "Definition",
    "conventions_of",
    "number_of",
    "times",
    "weight_of",
]

# Values that people give the parameters of these losses.
USUAL = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0)
GUARDS = tuple(
    Guard(kind, size)
    for size in (*(10.0**-n for n in range(1, 17)), 5e-4, 5e-5, 5e-7, 5e-8, 2.0**-23, 2.0**-52)
    for kind in ("eps", "clamp", "log-clamp")
) + tuple(Guard(kind, size) for size in (5.0, 10.0, 15.0, 16.0, 20.0, 30.0, 50.0, 88.0, 100.0) for kind in ("floor", "logit-clamp"))
THRESHOLDS = (0.99, 0.5)


@dataclass(frozen=True)
class Definition:
    """A formula with its parameters, as a function of plain floats; ``naive`` as in PlainArithmetic."""

    formula: Formula
    params: Mapping[str, float]
    guard: Guard = NO_GUARD
    naive: Format | None = None

    def __call__(self, logit: float, target: float, **changed: float) -> float:
        """Its value at a point, with some parameters changed; NaN where it has none."""
        limit = self.guard.size if self.guard.kind == "logit-clamp" else math.inf
        x = max(-limit, min(limit, logit))
        try:
            return float(self.formula(PlainArithmetic(self.guard, self.naive, x), x, target, **{**self.params, **changed}))
        except (ArithmeticError, ValueError):
            return math.nan


# change(definition, logit, target): the changed definition at a point.
Change = Callable[[Definition, float, float], float]


@dataclass(frozen=True)
class Adjustment:
    """Options that are to make a callable and the definition agree: parameters of the definition, or another call of the callable."""

    params: Mapping[str, float] = field(default_factory=dict)
    keywords: Mapping[str, float] = field(default_factory=dict)
    input: str = ""
    call: str = ""


@dataclass(frozen=True)
class Convention:
    """A way to change a definition.

    Attributes:
        says: what it is, to follow "it looks like".
        change: the definition so changed.
        cures: options that may make both agree; each is run before it is told.
        advice: what else there is to say, of what no option can change.
        where: the points at which it has a meaning; at the others it explains nothing and nothing speaks against it.
        guard: that of its logarithms.
        restated: the parameters of which it says that their values are others, and nothing else.
        changes: how many changes of the definition it tells; the more, the less likely.
    """

    says: str
    change: Change
    cures: tuple[Adjustment, ...] = ()
    advice: str = ""
    where: Callable[[float, float], bool] = lambda x, z: True
    guard: Guard = NO_GUARD
    restated: tuple[str, ...] = ()
    changes: int = 1


SIGNED = (Adjustment(call="{logits}, {targets:signs}"), Adjustment(call="{targets:signs}, {logits}"))
AS_IT_IS = Convention("the definition", lambda d, x, z: d(x, z), changes=0)


def conventions_of(loss: Loss, takes: Mapping[str, Any], params: Mapping[str, float], given: str) -> Iterator[Convention]:
    """All that are known of, the likelier first.

    Args:
        takes: the callable's own parameters by name; params: those of the definition; given: what it is given, logits or probabilities.
    """
    if params.get("pos_weight", 1) != 1:
        yield Convention("pos_weight is left out", lambda d, x, z: d(x, z, pos_weight=1.0), (Adjustment({"pos_weight": 1.0}),))
    yield from _other_parameters(loss, takes, params)
    yield from _of_the_targets(loss)
    yield from _of_the_logits(given)
    if exponent := next((name for name in ("gamma", "alpha") if name in params and name != weight_of(loss)), ""):
        yield Convention(
            f"{exponent} is the exponent of p_t and not of 1 - p_t: what is easy counts most",
            lambda d, x, z: d(x, z) * math.exp(-d.params[exponent] * (-x if z == 1 else x)),
            where=lambda x, z: abs(x) < 100,
        )


def _of_the_targets(loss: Loss) -> Iterator[Convention]:
    soft = not loss.hard_targets
    if soft:
        hard = "hard targets are not affected"
        yield Convention("targets are truncated: a soft one counts as 0", lambda d, x, z: d(x, math.floor(z)), advice=hard)
        yield Convention("any target above 0 counts as 1", lambda d, x, z: d(x, math.ceil(z)), advice=hard)
        for threshold in THRESHOLDS:
            above = f"targets above {threshold:g} count as 1"
            yield Convention(above, _above(threshold, lambda z: z), advice=hard)
            told = "targets are rounded: a soft one counts as 0 or 1" if threshold == 0.5 else f"{above}, and all others as 0"
            yield Convention(told, _above(threshold, lambda z: 0.0), advice=hard)
        halfway = "labels are -1 and 1: target 0 is taken for halfway between the classes"
        yield Convention(halfway, lambda d, x, z: d(x, (1 + z) / 2), SIGNED)
    yield Convention("labels are -1 and 1: at target 0 it does not look at the logit", lambda d, x, z: d(x * z, 1.0), SIGNED)
    yield Convention("targets 0 and 1 are swapped", lambda d, x, z: d(x, 1 - z))
    yield Convention("only the term of the positives is there: 0 at target 0", lambda d, x, z: z * d(x, 1.0))
    yield Convention("only the term of the negatives is there: 0 at target 1", lambda d, x, z: (1 - z) * d(x, 0.0))
    yield Convention("targets are ignored: each counts as 1", lambda d, x, z: d(x, 1.0))
    yield Convention("targets are ignored: each counts as 0", lambda d, x, z: d(x, 0.0))


def _above(threshold: float, other: Callable[[float], float]) -> Change:
    return lambda d, x, z: d(x, 1.0 if z > threshold else other(z))


def _of_the_logits(given: str) -> Iterator[Convention]:
    yield Convention("the sign of the logit is flipped", lambda d, x, z: d(-x, z))
    # Another reading of the logit counts as two changes, for it is the less likely.
    if given != "probabilities":
        yield Convention(
            "logits are taken for probabilities",
            lambda d, x, z: d(math.log(x / (1 - x)), z),
            (Adjustment(input="probabilities"),),
            where=lambda x, z: 0 < x < 1,
            changes=2,
        )
    cures, advice = ((Adjustment(input="logits"),), "") if given == "probabilities" else ((), "one of them has to go")
    changes = 3 if given == "probabilities" else 2
    yield Convention("a sigmoid is applied twice", lambda d, x, z: d(1 / (1 + math.exp(-x)), z), cures, advice, changes=changes)


def weight_of(loss: Loss) -> str:
    """The parameter that is a share: the weight of class 1 beside 1 minus it of class 0; "" for a loss without one."""
    return next((parameter.name for parameter in loss.parameters if parameter.high == 1), "")


def _other_parameters(loss: Loss, takes: Mapping[str, Any], params: Mapping[str, float]) -> Iterator[Convention]:
    names = [parameter.name for parameter in loss.parameters if not parameter.words]
    for a, b in itertools.combinations(names, 2):
        if params[a] != params[b]:
            swapped = {a: params[b], b: params[a]}
            yield _with(swapped, f"{a} and {b} are swapped ({a}={params[a]:g}, {b}={params[b]:g})", takes, params)
    for parameter in loss.parameters:
        if parameter.words:
            for value in (float(value) for value in range(len(parameter.words)) if value != params[parameter.name]):
                says = f"{parameter.name} is {parameter.text(value)} and not {parameter.text(params[parameter.name])}"
                yield _with({parameter.name: value}, says, {}, params, (parameter.name,))
            continue
        now, theirs = params[parameter.name], number_of(takes.get(parameter.name))
        share = parameter.name == weight_of(loss)
        if parameter.none is not None and now != parameter.none and theirs != 1:  # an alpha of 1 may as well weigh both classes
            yield _with({parameter.name: parameter.none}, _left_out(parameter.name, now), takes, params)
        usual = [*([] if theirs is None else [float(theirs)]), *([1 - now] if share else []), *USUAL]
        for value in (value for value in dict.fromkeys(usual) if value != now and parameter.takes(value)):
            other = {parameter.name: value}
            if share and value == 1 - now and theirs != value:
                yield _with(other, _swapped(parameter.name, now), takes, params)
            else:
                yield _with(other, f"{parameter.name} is {value:g} and not {now:g}", takes, params, (parameter.name,))
    for first, second in itertools.combinations([parameter for parameter in loss.parameters if not parameter.words], 2):
        for pair in itertools.product(USUAL, USUAL):
            both = {first.name: pair[0], second.name: pair[1]}
            if all(p.low <= both[p.name] <= p.high and both[p.name] != params[p.name] for p in (first, second)):
                says = " and ".join(f"{name} is {value:g} and not {params[name]:g}" for name, value in both.items())
                yield _with(both, says, takes, params, tuple(both))


def _with(
    changed: Mapping[str, float], says: str, takes: Mapping[str, Any], params: Mapping[str, float], restated: tuple[str, ...] = ()
) -> Convention:
    """Other parameters: either side can give way, --param for the definition or --kw for the callable that takes it."""
    cures = [Adjustment(changed)]
    (name, value), *more = changed.items()
    theirs = number_of(takes.get(name))
    if not more and theirs is not None:
        # Its own value explains it: let it take the definition's. Or it takes the definition's and turns it round.
        cures.append(Adjustment(keywords={name: params[name] if math.isclose(theirs, value) else value}))
    elif not more and name in takes:  # alpha=None
        cures.append(Adjustment(keywords={name: params[name]}))
    return Convention(says, lambda d, x, z: d(x, z, **changed), tuple(cures), restated=restated)


def _left_out(name: str, now: float) -> str:
    factors = f": {times(1 / now)} the definition for target 1, {times(1 / (1 - now))} for target 0" if 0 < now < 1 else ""
    return f"{name} is left out{factors} ({name}={now:g})"


def _swapped(name: str, now: float) -> str:
    """A weight of class 1 that was given to class 0."""
    factors = f": {times((1 - now) / now)} the definition for target 1, {times(now / (1 - now))} for target 0" if 0 < now < 1 else ""
    return f"{name} and 1 - {name} are swapped{factors} ({name}={now:g})"


def number_of(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def times(factor: float) -> str:
    """'3 x', '4/3 x' or '0.217 x', with as many digits as tell it from 1"""
    near = Fraction(factor).limit_denominator(20)
    if math.isclose(factor, float(near), rel_tol=1e-9) or (near != 1 and math.isclose(factor, float(near), rel_tol=1e-6)):
        return f"{near} x"
    return f"{factor:.4g} x" if abs(factor - 1) > 1e-3 else f"{factor:.9g} x"
