"""A request about callables of which nobody said which loss they are: it is found out, as `check` does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from losscheck.callables.loading import is_spec
from losscheck.core.call_spec import INPUTS, CallSpec
from losscheck.core.errors import UserError
from losscheck.core.files import near
from losscheck.core.which_points import Points
from losscheck.measure.ask import Asked, ask

if TYPE_CHECKING:
    from losscheck.callables.recognition import Recognition

__all__ = ["ask_recognising"]

Activity: TypeAlias = Callable[[], AbstractContextManager[Callable[[str], None]]]


def ask_recognising(points: Points, options: Mapping[str, Any], activity: Activity) -> Asked:
    """What :func:`losscheck.measure.ask.ask` makes of the same arguments; where they name callables and neither a loss nor a formula,
    with the loss that these are, its parameters and their call, which the remarks say.

    Args:
        activity: a context manager whose value is told what is being done.

    Raises:
        UserError: as ``ask``; for a callable that cannot be called, and several that are not one loss, or are called differently.
    """
    call_spec: CallSpec = options["call_spec"]
    specs = [name for name in options["impl"] if is_spec(name)]
    if not specs or options["loss"] or call_spec.formula:
        return ask(points, **options)
    from losscheck.advice.judged_as import judged_as

    given = options["params"] or {}
    known: dict[str, Recognition] = {}
    with activity() as say:
        for spec in specs:
            say(f"which loss is {near(spec)}?")
            known[spec] = judged_as(spec, (), call_spec.of(spec), given, options["backend"])
    _refuse_different(known)
    first = known[specs[0]]
    usual = {parameter.name: parameter.default for parameter in first.loss.parameters}
    told = {
        "loss": tuple(dict.fromkeys(recognition.loss.name for recognition in known.values())),
        "params": {name: value for name, value in {**first.params, **given}.items() if name in given or value != usual[name]},
        "call_spec": replace(first.call_spec, input=_input(known)),
    }
    return replace(ask(points, **{**options, **told}), recognised=tuple(f"{spec}: {_words(known[spec])}" for spec in specs))


def _words(recognition: Recognition) -> str:
    """'it is bce with pos_weight=1; --loss NAME judges it as another.'"""
    from losscheck.callables.recognition import Confidence

    return f"it is {recognition.words}; --loss NAME judges it as {'one' if recognition.confidence is Confidence.OWN else 'another'}."


def _refuse_different(known: Mapping[str, Recognition]) -> None:
    """One request has one loss with one set of parameters, and one way to call but for what is handed over."""
    if len({_kind(recognition) for recognition in known.values()}) > 1:
        words = "; ".join(f"{near(spec)} is {recognition.words}" for spec, recognition in known.items())
        ranked = f"losscheck check {' '.join(map(near, known))}"
        raise UserError(f"not one loss: {words}", f"name one at a time, or add --loss; {ranked} judges each by its own")


def _kind(recognition: Recognition) -> tuple[Any, ...]:
    call_spec = replace(recognition.call_spec, input=INPUTS[0])
    if call_spec.by_program:
        return (call_spec,)
    return recognition.loss.name, tuple(sorted(recognition.params.items())), call_spec


def _input(known: Mapping[str, Recognition]) -> str:
    """Logits or probabilities, said of each callable where they differ."""
    inputs = {spec: recognition.call_spec.input for spec, recognition in known.items()}
    first, *others = dict.fromkeys(inputs.values())
    return ",".join(f"{spec}={what}" for spec, what in inputs.items()) if others else first
