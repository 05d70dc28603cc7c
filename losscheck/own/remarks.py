"""What is said in words about a callable of the user's: how it was called, what is odd about it, which convention it follows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from losscheck import registry
from losscheck.dtypes import FLOAT64
from losscheck.loss import Implementation, Loss
from losscheck.own.adapt import Adapted
from losscheck.own.manner import Manner
from losscheck.own.typed import value_text

if TYPE_CHECKING:
    from losscheck.question import Question
    from losscheck.ranges import SweepQuestion

__all__ = ["definitions", "remarks_on", "short"]


def definitions(question: Question | SweepQuestion) -> dict[str, str]:
    """The definition of each loss that is asked about, as text."""
    return {loss.name: loss.definition for loss in _losses(question)}


def remarks_on(question: Question | SweepQuestion) -> tuple[str, ...]:
    """Sentences about the callables of a question, after they were judged; none for what is registered."""
    said: dict[str, None] = {}
    losses = _losses(question)
    for one in registry.select(losses, question.impl, question.backends, question.wiring) if losses else []:
        if isinstance(one.function, Adapted):
            loss = next(each for each in losses if each.name == one.loss)
            said |= dict.fromkeys(f"{one.name}: {sentence}" for sentence in _remarks(loss, one, one.function, question))
    return tuple(said)


def short(manner: Manner) -> list[str]:
    """What is odd about it, as the notes of its rows."""
    found = []
    if manner.random:
        found.append("two calls with the same input differ")
    if manner.changed:
        found.append(f"it changes its {' and '.join(manner.changed)} in place")
    if manner.detached:
        found.append("no gradient reaches the logits")
    return found


def _losses(question: Question | SweepQuestion) -> list[Loss]:
    return [each if isinstance(each, Loss) else registry.loss_named(each, question.wiring) for each in question.losses]


def _remarks(loss: Loss, one: Implementation, adapted: Adapted, question: Question | SweepQuestion) -> Iterator[str]:
    from losscheck.own.conventions import recognise

    params = loss.resolve_own(question.params, FLOAT64)
    manners = [*adapted.manners.values()]
    known = _disagreeing(adapted, params)
    explained = "" if any(each.random for each in manners) else recognise(loss, one, params)
    if explained and not any(explained.startswith(f"it looks like {name} is ") for name in known):
        yield explained
    yield from known.values()
    whole = getattr(question, "reduction", "none") == "published"
    yield from dict.fromkeys(sentence for manner in manners for sentence in _odd(manner, loss, whole))
    if adapted.wiring.axes != question.wiring.axes:
        yield f"it refuses logits of one axis, so they were laid out as [{adapted.wiring.axes}]; --axes says another shape."
    yield f"called with {'torch tensors' if one.backends == ('torch',) else 'numpy arrays'} as {_call(adapted)}."


def _disagreeing(adapted: Adapted, params: dict[str, float]) -> dict[str, str]:
    """For each parameter of the definition that the callable has under the same name with another value, a sentence."""
    given, found = dict(adapted.wiring.keywords), {}
    for name, value in adapted.constants().items():
        if name in params and isinstance(value, int | float) and not math.isclose(value, params[name], rel_tol=1e-12):
            whose = f"--kw {name}={value_text(value)}" if name in given else f"its default {name}={value_text(value)}"
            found[name] = (
                f"it is called with {whose}, the definition has {name}={params[name]:g}; "
                f"--param {name}={value_text(value)} or --kw {name}={params[name]:g} makes both agree."
            )
    return found


def _odd(manner: Manner, loss: Loss, whole: bool) -> Iterator[str]:
    judged = "" if whole else "; here every logit was judged as a batch of one"
    if manner.random:
        yield "two calls with the same input differ in bits: it draws random numbers, and its rows will not come out again."
    if manner.changed:
        yield f"it changes its {' and '.join(manner.changed)} in place; it was given copies, a training loop will not do that."
    if manner.detached:
        yield "no gradient reaches the logits (detach, no_grad, .item() or a copy through numpy): training would not move."
    if manner.reduces:
        how = f", the {manner.reduction} of its elements"
        if manner.random:
            how = ""
        elif not manner.reduction:
            how = ", neither the mean nor the sum of its elements"
        elif manner.reduction == "normalised":
            how = ", the sum of its elements over the number of targets equal to 1"
        other = f", where {loss.name} takes the {loss.reduction}" if manner.reduction not in ("", loss.reduction) else ""
        yield f"it returns one number for a batch{how}{other}{judged}."
    if manner.coupled:
        how = "are divided by the number of logits in the batch" if manner.divided else "depend on the other logits of the batch"
        yield f"its losses {how}{judged}."


def _call(adapted: Adapted) -> str:
    """'bce(logits, targets, eps=1e-08)'"""
    wiring = adapted.wiring
    keywords = [f"{name}={value_text(value)}" for name, value in wiring.keywords]
    arguments: list[Any] = []
    for each in wiring.arguments():
        what = each.slot or value_text(each.value)
        if each.slot == "logits" and wiring.input == "probabilities":
            what = "sigmoid(logits)"
        arguments.append(f"{each.name}={what}" if each.name else what)
    built = f"{adapted.own.name}({', '.join(keywords)})" if adapted.is_class else adapted.own.name
    pick = f", of which {wiring.pick} was picked" if wiring.pick else ""
    axes = f", both of the shape [{wiring.axes}]" if wiring.axes else ""
    return f"{built}({', '.join([*arguments, *([] if adapted.is_class else keywords)])}){axes}{pick}"
