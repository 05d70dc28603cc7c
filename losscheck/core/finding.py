"""The effect of one point, with the facts that a sentence about it is made of."""

from __future__ import annotations

from dataclasses import dataclass, replace

from losscheck.core.effect import Effect, EffectFinding, Scale, blamed, effect_of

__all__ = ["Side", "finding"]


@dataclass(frozen=True)
class Side:
    """One quantity at a point: what came out, the exact values of the own formula and of the definition as float64, and
    whether its outcome failed."""

    value: float
    own: float
    definition: float
    failed: bool


def finding(
    loss: Side | None, grad: Side | None, scale: Scale, *, logit: float | None = None, target: float | None = None
) -> EffectFinding:
    """The effect of a point whose loss, gradient or both are given.

    Effects are judged by the definition, outcomes by the own formula; what the blame falls on is told apart by judging the
    same value by the own formula as well. Of two quantities that show the effect the loss is named.
    """
    sides = {name: side for name, side in (("loss", loss), ("grad", grad)) if side is not None}
    effects = {name: _effect({name: side}, scale, own=False) for name, side in sides.items()}
    effect = min(effects.values(), key=lambda effect: effect.severity)
    at = EffectFinding(effect, logit=logit, target=target, loss_error=_error(loss), grad_error=_error(grad))
    if effect is Effect.SOUND:
        return at
    shown = next(name for name in sides if effects[name] is effect)
    truth = blamed(effect, _effect(sides, scale, own=True))
    return replace(at, truth=truth, quantity=shown, value=sides[shown].value, exact=sides[shown].definition)


def _error(side: Side | None) -> float | None:
    return None if side is None else abs(side.value - side.definition)


def _effect(sides: dict[str, Side], scale: Scale, *, own: bool) -> Effect:
    arguments: list[float | None] = []
    for name in ("loss", "grad"):
        side = sides.get(name)
        arguments += [None, None] if side is None else [side.value, side.own if own else side.definition]
    loss, exact_loss, grad, exact_grad = arguments
    return effect_of(loss, exact_loss, grad, exact_grad, any(side.failed for side in sides.values()), scale)
