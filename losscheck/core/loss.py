"""What a loss and an implementation of one are. Plain data: no framework and no precision policy lives here."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from losscheck.core.dtypes import FLOAT64, Format
from losscheck.core.errors import UserError, nearest

__all__ = [
    "ARRAYS",
    "EVERY_LOSS",
    "Implementation",
    "Landmark",
    "Loss",
    "OwnFormulas",
    "Parameter",
    "Promise",
    "Published",
    "implementation",
    "logistic_landmarks",
]

# formula(m, logit, target, **params): `m` is the arithmetic (oracle/), the rest are its numbers.
Formula = Callable[..., Any]
# The share each element has in a reduced loss: reduced = sum of weights[i] * element[i], exactly.
Weights = Callable[..., Sequence[Fraction]]

# An implementation of this "loss" is one of every loss there is (the mpmath definition).
EVERY_LOSS = "*"

# The backends whose arrays one function of elementary operations can serve alike.
ARRAYS = ("numpy", "torch", "jax")


@dataclass(frozen=True)
class Parameter:
    """A parameter of a loss, with the closed interval of values it may take.

    Attributes:
        none: the number that stands for ``none``, the parameter left out, where it may be; outside of the interval.
        words: for one that picks among definitions, what its values 0, 1, 2, ... are called.
    """

    name: str
    default: float
    low: float
    high: float
    meaning: str
    none: float | None = None
    words: tuple[str, ...] = ()

    def takes(self, value: float) -> bool:
        if self.words:
            return value in range(len(self.words))
        return self.low <= value <= self.high or value == self.none

    def text(self, value: float) -> str:
        """A value as it is written: a word where it stands for one."""
        return "none" if value == self.none else self.word(value) or f"{value:g}"

    def word(self, value: float) -> str:
        """The word of a value that picks among definitions; "" for a number."""
        return self.words[int(value)] if self.words and self.takes(value) else ""

    def read(self, text: str) -> float:
        """The value that a text says: a word of its, or a number, which may be out of its range.

        Raises:
            UserError: for what is neither.
        """
        if text.lower() == "none" and self.none is not None:
            return self.none
        if text.lower() in self.words:
            return float(self.words.index(text.lower()))
        if text.replace("-", "").isalpha() and text.lower().lstrip("+-") not in ("inf", "infinity", "nan"):
            raise self._out_of_range(text)
        return float(FLOAT64.parse(text, f"parameter {self.name}"))

    def check(self, value: float) -> None:
        if not self.takes(value):
            raise self._out_of_range(f"{value:g}")

    def _out_of_range(self, text: str) -> UserError:
        return UserError(f"parameter {self.name}={text} is out of its range", f"{self.name} ({self.meaning}) must be {self.valid}")

    @property
    def valid(self) -> str:
        if self.words:
            return f"one of {', '.join(self.words)}"
        if math.isinf(self.high):
            return f"finite and at least {self.low:g}"
        return f"in [{self.low:g}, {self.high:g}]" + ("" if self.none is None else f", or none ({self.none:g})")


@dataclass(frozen=True)
class Landmark:
    """A logit where something changes, and what."""

    name: str
    logit: float


@dataclass(frozen=True)
class Loss:
    """A loss: its definition, gradient, parameters, domain and landmarks.

    Attributes:
        name: as given on the command line.
        title: one line that says what it is.
        definition: the formula as text.
        formula: ``formula(m, logit, target, **params)``, the exact definition of one element.
        gradient: the same for d loss / d logit, by hand, every term of one sign where the mathematics allows it.
        parameters: in the order they are shown.
        targets: the values swept by default, all of them in the domain.
        reduction: the reduction that belongs to the definition (a name in ``losscheck.core.reductions``).
        hard_targets: only 0 and 1 are in the domain; otherwise all of [0, 1] is.
        why_hard: what to do instead, for who gives a soft target.
        mostly_hard: soft targets are in its domain, and those of most who use it are 0 and 1: code that is right for these alone is
            offered where nothing better is known.
        soft_minimum: at a soft target the loss has its minimum at a finite logit, beside which its gradient is ill conditioned.
        landmarks: ``landmarks(format, **params)``, where implementations of this loss change behaviour.
        source: where the definition comes from.
    """

    name: str
    title: str
    definition: str
    formula: Formula
    gradient: Formula
    parameters: tuple[Parameter, ...]
    targets: tuple[float, ...]
    reduction: str
    landmarks: Callable[[Format], Sequence[Landmark]]
    source: str
    hard_targets: bool = False
    why_hard: str = ""
    soft_minimum: bool = False
    mostly_hard: bool = False

    @property
    def soft_targets(self) -> bool | None:
        """Do targets between 0 and 1 occur? None where that is not known."""
        return None if self.mostly_hard else not self.hard_targets

    def resolve(self, given: Mapping[str, float], dtype: Format) -> dict[str, float]:
        """All parameters, defaults filled in, rounded to the dtype so that everyone uses the same constants.

        Raises:
            UserError: for an unknown name or a value out of range.
        """
        known = {parameter.name: parameter for parameter in self.parameters}
        for name in given:
            if name not in known:
                raise UserError(f"{self.name} has no parameter {name!r}", nearest(name, known))
        values = {}
        for name, parameter in known.items():
            value = dtype.round(given.get(name, parameter.default))
            parameter.check(value)
            if not math.isfinite(value):
                raise UserError(f"parameter {name}={given[name]:g} is not finite in {dtype.name}", f"it must be {parameter.valid}")
            values[name] = value
        return values

    def resolve_own(self, given: Mapping[str, float], dtype: Format) -> dict[str, float]:
        """As :meth:`resolve`, with parameters that belong to other losses left aside.

        Raises:
            UserError: for a value out of range.
        """
        known = {parameter.name for parameter in self.parameters}
        return self.resolve({name: value for name, value in given.items() if name in known}, dtype)

    def check_target(self, target: float) -> None:
        """Refuse a target outside the domain.

        Raises:
            UserError: saying why, and what to do instead.
        """
        if not 0 <= target <= 1:
            raise UserError(f"target {target:g} is outside [0, 1]", "a target is a label or a heatmap value between 0 and 1")
        if self.hard_targets and target not in (0.0, 1.0):
            raise UserError(f"{self.name} takes no soft target {target:g}", self.why_hard)


@dataclass(frozen=True)
class Published:
    """An implementation as it was published: a whole batch in, one number out.

    Attributes:
        function: ``function(xp, logits, targets, **params)`` -> scalar; shapes as the user gave them.
        weights: the reduction's name, or ``weights(targets, shape, **params)`` for one of its own: the exact share of
            each element's ``formula`` in the result.
        formula: the exact element that ``weights`` weighs; None for the implementation's own.
        note: in words, how its reduction differs from the loss's definition.
    """

    function: Callable[..., Any]
    weights: str | Weights
    formula: Formula | None = None
    note: str = ""


@dataclass(frozen=True)
class Promise:
    """How accurate an implementation is: the largest |ulp| of loss and gradient, on numpy and by PyTorch's autograd.

    The tests hold it to that at every target, wherever the exact value is a normal number. At soft targets of a loss with a
    ``soft_minimum`` the bound is multiplied by 1 + c, c = |x f'(x) / f(x)| being the condition of the quantity f: one ulp of
    the logit moves it by c ulp, whatever the implementation.

    Attributes:
        ulp: by dtype, at the default parameters.
        why: where the figures come from.
        other: ``other(**params)``, the bound in float32 at any other parameters; None where nothing is promised.
    """

    ulp: Mapping[str, float] = field(hash=False)  # implementations are keys of what is remembered
    why: str
    other: Callable[..., float] | None = None


@dataclass(frozen=True)
class OwnFormulas:
    """A callable's own exact formulas of the loss and of its slope; None where the definition serves."""

    loss: Formula | None = None
    gradient: Formula | None = None


@dataclass(frozen=True)
class Implementation:
    """One way to compute a loss in floating point.

    Attributes:
        loss: name of the loss it claims to compute.
        name: unique among the implementations of that loss.
        function: ``function(xp, logit, target, **params)``, elementwise on arrays of one dtype; ``xp`` is the
            ``numpy``, ``torch``, ``tensorflow`` or ``jax.numpy`` module.
        source: where it was published.
        backends: which of numpy, torch, tensorflow, jax, mpmath can run it.
        gradient: the same signature, for backends without automatic differentiation.
        formula: its own exact formula where that is not the loss's definition.
        formula_gradient: the exact gradient it really computes where that is not the derivative of ``formula``.
        published: the whole as published, when it is more than the elements under the loss's own reduction.
        ignores: parameters of the loss that it has no way to take.
        always: parameters of the loss that it has no way to leave out, where the loss may.
        note: in words, how its formula differs from the definition.
        promise: how accurate it is, for one that the tests hold to it; every loss has such a ``stable``.
        library: the module given as ``xp`` where it is not the backend's own: optax on jax.
        module: where it is defined.
        own: a callable of the user's, named on the command line: whatever it raises is an answer about it.
        derive: the formulas of such a callable for logits of a dtype, read off its program when something is judged by them.
    """

    loss: str
    name: str
    function: Callable[..., Any]
    source: str
    backends: tuple[str, ...]
    gradient: Callable[..., Any] | None = None
    formula: Formula | None = None
    formula_gradient: Formula | None = None
    published: Published | None = None
    ignores: tuple[str, ...] = ()
    always: tuple[str, ...] = ()
    note: str = ""
    promise: Promise | None = None
    library: str = ""
    module: str = field(default="", compare=False)
    own: bool = False
    derive: Callable[[Format], OwnFormulas] | None = field(default=None, compare=False)


def implementation(
    loss: Loss | str, name: str, *, source: str, backends: tuple[str, ...] = ("numpy", "torch"), **more: Any
) -> Callable[..., Implementation]:
    """Make the decorated elementwise function an :class:`Implementation`; ``more`` are its other attributes."""

    def decorate(function: Callable[..., Any]) -> Implementation:
        of = loss.name if isinstance(loss, Loss) else loss
        return Implementation(of, name, function, source, backends, module=function.__module__, **more)

    return decorate


def logistic_landmarks(dtype: Format) -> list[Landmark]:
    """Where exp, log1p and the sigmoid change behaviour in a format; every loss here is built from them.

    At ``+-p ln 2`` 1 + e^-|x| rounds to 1; at ``(emax + 1) ln 2`` e^x overflows; at ``emin ln 2`` it leaves the
    normal range and at ``(emin - p) ln 2`` it rounds to zero. Squares do all this at half the logit.
    """
    ln2 = math.log(2.0)
    sides = [
        ("1 + exp(-|x|) rounds to 1", dtype.precision * ln2),
        ("exp overflows", (dtype.emax + 1) * ln2),
        ("exp becomes subnormal", -dtype.emin * ln2),
        ("exp rounds to 0", (dtype.precision - dtype.emin) * ln2),
        ("exp squared becomes subnormal", -dtype.emin * ln2 / 2),
        ("exp squared rounds to 0", (dtype.precision - dtype.emin) * ln2 / 2),
        ("softplus becomes the identity in PyTorch", 20.0),
        ("log is floored in BCELoss", 100.0),
        ("smallest subnormal", dtype.smallest_subnormal),
        ("smallest normal", dtype.smallest_normal),
        ("one", 1.0),
        ("largest float", dtype.largest),
    ]
    marks = [Landmark("zero", 0.0)]
    for name, logit in sides:
        rounded = dtype.round(logit)
        if math.isfinite(rounded):
            marks += [Landmark(name, rounded), Landmark(name, -rounded)]
    return marks
