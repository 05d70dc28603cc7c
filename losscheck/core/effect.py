"""What a wrong float does to training: the effects, their thresholds, and the one classification of a point.

Outcomes are relative, effects absolute: training adds gradients up, so that a gradient of 1e-8 may be wrong in all of its
bits and harm nobody. Two constants of a loss and its parameters make the scale (:class:`Scale`). The rules are written once
(:func:`effect_rules`), over a namespace with ``where`` and ``absolute``: arrays of numpy and torch, floats, and expressions
that become compiled code all go through them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from losscheck.core.dtypes import Format

__all__ = [
    "EFFECTS",
    "MOST_PARTS",
    "Effect",
    "EffectFinding",
    "Onset",
    "Scale",
    "Truth",
    "blamed",
    "effect_codes",
    "effect_of",
    "effect_rules",
]

# A batch has a thousand elements or more: below this part of the steepest gradient, one that is lost does not show.
MATERIAL_GRADIENT = 2.0**-10
# A correctly rounded result is within u of itself and a careful chain of operations within some u: that is no fault.
NOISE = 4.0
# The default limit, 8 ulp, is at most 16u of a number: what a careful implementation reaches is no fault. It binds in bfloat16 alone.
CAREFUL = 16.0
# Off by this part, a curve that somebody watches, or a step that an optimiser takes, reads as another.
MATERIAL_ERROR = 0.01
# Off by more than half of itself, a gradient is a step of another kind: the wrong way, half as far, half as far again.
MISDIRECTING = 0.5
# As many regions can be told in a sentence.
MOST_PARTS = 3


class Effect(Enum):
    """What a point, or the worst point of an implementation, does to training. The order is the severity, worst first."""

    POISONS = "poisons"
    MISDIRECTS = "misdirects"
    DEAD = "dead"
    MISSTATES = "misstates"
    TAILS = "tails"
    SOUND = "sound"

    __hash__ = object.__hash__  # that of Enum is Python code, and an effect is looked up for every cell

    @property
    def severity(self) -> int:
        """0 is the worst; also the code that :func:`effect_codes` gives it."""
        return _SEVERITY[self]

    @property
    def words(self) -> str:
        """The meaning in one clause."""
        return _WORDS[self]

    @property
    def harmful(self) -> bool:
        """Does it change training? All but ``tails`` and ``sound`` do."""
        return self.severity <= Effect.MISSTATES.severity


EFFECTS = tuple(Effect)
_SEVERITY = {effect: code for code, effect in enumerate(EFFECTS)}
_WORDS = {
    Effect.POISONS: "one such element makes the whole batch NaN or infinite",
    Effect.MISDIRECTS: "the gradient pushes the wrong way, or far too hard or too little",
    Effect.DEAD: "the gradient is 0: nothing is learned where most is to be learned",
    Effect.MISSTATES: "the loss you watch, or the step you take, is visibly off",
    Effect.TAILS: "what is lost is far below what counts; harmless alone",
    Effect.SOUND: "every result is as good as the dtype allows",
}


class Truth(Enum):
    """What an effect is blamed on: the arithmetic against its own formula, or that formula against the definition."""

    ROUNDING = "rounding"
    DEVIATION = "deviation"


@dataclass(frozen=True)
class Scale:
    """What counts: two constants of a loss and its parameters, and the noise of the dtypes that came out.

    Attributes:
        steepest: G, the largest |exact gradient| over logits in [-100, 100] and the loss's own targets.
        loss_at_zero: L0, the largest exact loss at logit 0 over the loss's own targets.
        loss_dtype, grad_dtype: the dtypes that came out (autocast may give two).
    """

    steepest: float
    loss_at_zero: float
    loss_dtype: Format
    grad_dtype: Format

    @property
    def material_gradient(self) -> float:
        """The least |exact gradient| that training would miss: G max(2^-10, 4u)."""
        return self.steepest * max(MATERIAL_GRADIENT, NOISE * _noise(self.grad_dtype))

    @property
    def gradient_tolerance(self) -> float:
        """The largest error of a gradient that does not show: G max(1 %, 4u)."""
        return self.steepest * max(MATERIAL_ERROR, NOISE * _noise(self.grad_dtype))

    @property
    def loss_tolerance(self) -> float:
        """The largest error of a loss that does not show, as a part of max(exact loss, L0): max(1 %, 4u)."""
        return max(MATERIAL_ERROR, NOISE * _noise(self.loss_dtype))


@dataclass(frozen=True)
class Onset:
    """Where failing begins on one side of 0: of the floats known to fail, or to have an effect, the nearest to 0.

    Attributes:
        logit: that float.
        held_from: every float from here up to it was judged, and none fails; None where only a sample of them was.
        proved: is that every float of the range from 0 on, so that it is the first failing one?
    """

    logit: float
    held_from: float | None = None
    proved: bool = False


@dataclass(frozen=True)
class EffectFinding:
    """The effect of a point, or of the worst point of a row, with the facts that a sentence about it is made of.

    Attributes:
        truth: what it is blamed on; None for ``sound``.
        quantity: what shows it, ``loss`` or ``grad``; empty for ``sound``.
        value, exact: what came out there, and the definition's exact value as a float64.
        logit, target: the point; None for a reduced loss.
        first, last: the lowest and the highest logit of a range that have the effect; share: the part of the range, in
            logits, that the regions of the effect cover; None for single points, batches and infinite ranges.
        parts: the ends of these regions where they are at most MOST_PARTS; index: of the element of a batch.
        onsets: where the effect begins below and above 0.
        loss_error, grad_error: the largest |value - definition| of each quantity; None where it was not asked for.
    """

    effect: Effect
    truth: Truth | None = None
    quantity: str = ""
    value: float | None = None
    exact: float | None = None
    logit: float | None = None
    target: float | None = None
    loss_error: float | None = None
    grad_error: float | None = None
    first: float | None = None
    last: float | None = None
    share: float | None = None
    parts: tuple[tuple[float, float], ...] = ()
    index: tuple[int, ...] = ()
    onsets: tuple[Onset, ...] = ()


class Namespace(Protocol):
    """What the rules need of an engine beyond comparisons and - *."""

    def where(self, condition: Any, a: Any, b: Any) -> Any: ...
    def absolute(self, x: Any) -> Any: ...


def effect_codes(xp: Any, loss: Any, exact_loss: Any, grad: Any, exact_grad: Any, failed: Any, scale: Scale) -> Any:
    """The effects of whole arrays, as int8 codes: ``EFFECTS[code]``, 0 is the worst.

    Args:
        xp: the module numpy or torch.
        loss, exact_loss: float64 arrays of one shape, the values and what they are judged by; both None when the loss was
            not asked for, and likewise ``grad`` and ``exact_grad``. Values of finite logits only. An exact value beyond the
            dtype's range may be given as it is or as an infinity. An unknown one is NaN, and never reads as harmless.
        failed: a bool array, whether some outcome of the point failed.
        scale: of the loss, its parameters and the dtypes that came out.
    """
    return xp.asarray(effect_rules(xp, loss, exact_loss, grad, exact_grad, failed, scale), dtype=xp.int8)


def effect_of(
    loss: float | None, exact_loss: float | None, grad: float | None, exact_grad: float | None, failed: bool, scale: Scale
) -> Effect:
    """The effect of one point; the arguments are those of :func:`effect_codes`, as floats."""
    code: int = effect_rules(_Floats, loss, exact_loss, grad, exact_grad, failed, scale)
    return EFFECTS[code]


def blamed(effect: Effect, own: Effect) -> Truth | None:
    """What an effect is blamed on, given the one that the same value has when judged by its own formula."""
    if effect is Effect.SOUND:
        return None
    return Truth.ROUNDING if own.severity <= effect.severity else Truth.DEVIATION


def effect_rules(xp: Namespace, loss: Any, exact_loss: Any, grad: Any, exact_grad: Any, failed: Any, scale: Scale) -> Any:
    """The classification itself. Nested ``where`` and comparisons that ask whether they pass, so that NaN fails."""
    code = xp.where(failed, _code(Effect.TAILS), _code(Effect.SOUND))
    if loss is not None:
        code = _severer(xp, code, _loss_code(xp, loss, exact_loss, scale))
    if grad is not None:
        code = _severer(xp, code, _gradient_code(xp, grad, exact_grad, scale))
    return code


def _loss_code(xp: Namespace, value: Any, exact: Any, scale: Scale) -> Any:
    size, error = xp.absolute(exact), xp.absolute(value - exact)
    counted = xp.where(size <= scale.loss_at_zero, scale.loss_at_zero, size)
    code = _misstated(xp, error, size, scale.loss_tolerance * counted, scale.loss_dtype)
    return _finite(xp, value, exact, code, scale.loss_dtype)


def _gradient_code(xp: Namespace, value: Any, exact: Any, scale: Scale) -> Any:
    size, error = xp.absolute(exact), xp.absolute(value - exact)
    code = _misstated(xp, error, size, scale.gradient_tolerance, scale.grad_dtype)
    # A gradient of the wrong sign is off by more than all of itself, hence by more than half.
    wrong = xp.where(xp.absolute(value) <= 0.0, _code(Effect.DEAD), _code(Effect.MISDIRECTS))
    aimed = xp.where(error <= MISDIRECTING * size, code, wrong)
    return _finite(xp, value, exact, xp.where(size >= scale.material_gradient, aimed, code), scale.grad_dtype)


def _misstated(xp: Namespace, error: Any, size: Any, tolerance: Any, dtype: Format) -> Any:
    careful = xp.where(error <= CAREFUL * _noise(dtype) * size, _code(Effect.SOUND), _code(Effect.MISSTATES))
    return xp.where(error <= tolerance, _code(Effect.SOUND), careful)


def _finite(xp: Namespace, value: Any, exact: Any, code: Any, dtype: Format) -> Any:
    """``code`` of a finite value; otherwise SOUND where it is the infinity that the exact value rounds to, else POISONS."""
    largest, sound, poisons = dtype.largest, _code(Effect.SOUND), _code(Effect.POISONS)
    overflow = 2.0**dtype.emax * (2.0 - 2.0**-dtype.precision)  # from here on an exact value rounds to infinity
    code = xp.where(xp.absolute(value) <= largest, code, poisons)
    above = xp.where(value > largest, sound, code)
    below = xp.where(value < -largest, sound, code)
    return xp.where(exact >= overflow, above, xp.where(exact <= -overflow, below, code))


def _severer(xp: Namespace, a: Any, b: Any) -> Any:
    return xp.where(a <= b, a, b)


def _code(effect: Effect) -> int:
    return _SEVERITY[effect]


def _noise(dtype: Format) -> float:
    """u = 2^-p: half the distance between 1 and the next float."""
    return math.ldexp(1.0, -dtype.precision)


class _Floats:
    """The namespace of Python floats."""

    @staticmethod
    def where(condition: bool, a: Any, b: Any) -> Any:
        return a if condition else b

    @staticmethod
    def absolute(x: float) -> float:
        return abs(x)
