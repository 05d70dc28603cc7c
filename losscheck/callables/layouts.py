"""The ways to call a callable, one after the other, until one gives the values of a known loss; and why the others did not.

A way is a call spec: the forms of logits and targets, their order, their shape, what extra arguments get, which part of the result counts.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from losscheck.callables.adapt import Adapted
from losscheck.callables.arguments import REQUIRED, named_places, required
from losscheck.callables.implementation import accepted
from losscheck.callables.loading import Own
from losscheck.callables.recognise import called_so
from losscheck.callables.recognition import Recognition
from losscheck.callables.refusal import OwnCallError
from losscheck.core.call_spec import DEFAULT_CALL, INPUTS, TARGETS_FIRST, CallSpec
from losscheck.core.errors import UserError
from losscheck.core.literals import ONES, Value, value_text
from losscheck.core.loss import Loss

__all__ = ["Attempt", "Search", "layout_words", "search"]

# (form of the logits, form of the targets, axes), the usual ones first.
LAYOUTS = (
    ("", "", ""),
    ("", "long", ""),
    ("", "bool", ""),
    ("", "signs", ""),
    ("pair", "long", ""),
    ("pair", "onehot", ""),
    ("", "", "N,C"),
    ("", "", "B,C,H,W"),
    ("column", "", ""),
    ("column", "signs", ""),
    ("column", "long", ""),
    ("", "onehot", ""),
    ("", "", "1,N"),
)
RESTRICTING = ("long", "bool")  # they change no value of what takes floats: they only leave the soft targets out
# What an argument of an unknown name is given: of a call, and of a class that is built.
OF_A_CALL: tuple[Value, ...] = (None, ONES, 1.0, 0.0)
OF_A_CLASS: tuple[Value, ...] = (2, 1, None, 1.0)
MOST_VALUES = 16
MOST_DEVIATING = 8  # ways that are looked at for a known change of a definition
PARTS = 4  # of a result that is a dict, a tuple or an object, which are tried as the loss


@dataclass(frozen=True)
class Attempt:
    """A way that was tried, and why it does not serve."""

    call_spec: CallSpec
    failure: str
    returned: bool = False  # numbers, and those of no loss


@dataclass(frozen=True)
class Search:
    """What came out: the loss it is and the way it is called, None where no way serves; and the ways before.

    Attributes:
        guessed: values given to arguments whose names told nothing.
        missing: names of arguments that it requires and nobody knows a value for.
    """

    recognition: Recognition | None
    attempts: tuple[Attempt, ...]
    guessed: Mapping[str, Value]
    missing: tuple[str, ...]


def search(own: Own, call_spec: CallSpec, losses: Sequence[Loss] | None = None, *, restricting: bool = True) -> Search:
    """Try the ways to call it until one agrees with a loss at every point, those held back among them.

    Args:
        own: the callable.
        call_spec: what is known of the call; keywords in it are kept.
        losses: those it may be; all by default.
        restricting: are forms tried as well that merely leave the soft targets out?
    """
    attempts: list[Attempt] = []
    first_missing: tuple[str, ...] | None = None
    for call in _calls(own, call_spec):
        missing = tuple(name for name in required(own.target, replace(call_spec, call=call)) if name not in REQUIRED)
        first_missing = missing if first_missing is None else first_missing
        for values in _values(own, missing):
            with_values = replace(call_spec, call=call, keywords=(*call_spec.keywords, *values.items()))
            if recognition := _agreeing(own, list(_ways(with_values, restricting)), losses, attempts):
                return Search(recognition, tuple(attempts), values, missing)
    missing = first_missing or ()
    if restricting:
        # None agrees: the first that is a loss but for a change that has a name, of those that return numbers.
        for attempt in [attempt for attempt in attempts if attempt.returned][:MOST_DEVIATING]:
            if recognition := called_so(own, attempt.call_spec, losses, deviating=True):
                guessed = {name: value for name, value in attempt.call_spec.keywords if name in missing}
                return Search(recognition, tuple(other for other in attempts if not other.returned), guessed, missing)
    return Search(None, tuple(attempts), {}, missing)


def _agreeing(own: Own, todo: list[CallSpec], losses: Sequence[Loss] | None, attempts: list[Attempt]) -> Recognition | None:
    """The first of some ways that agrees; the others become attempts. Where the result holds several things, each is tried."""
    parts_seen = False
    while todo:
        way = todo.pop(0)
        recognition, attempt, parts = _tried(own, way, losses)
        if recognition is not None:
            return recognition
        attempts.append(attempt)
        if parts and not parts_seen:
            parts_seen = True
            todo[:0] = [replace(other, pick=part) for other in (way, *todo) for part in parts]
    return None


def layout_words(call_spec: CallSpec) -> str:
    """'targets as signs, anchors=null'"""
    slots = [argument for argument in call_spec.arguments() if argument.slot]
    words = ["targets first"] * (slots[0].slot == "targets")
    words += [f"{argument.slot} as {argument.form}" for argument in slots if argument.form]
    words += [f"shape {call_spec.axes}"] * bool(call_spec.axes)
    words += ["probabilities"] * (call_spec.input == "probabilities")
    words += [f"{name}={value_text(value)}" for name, value in call_spec.keywords]
    words += [f"its {call_spec.pick}"] * bool(call_spec.pick)
    return ", ".join(words) or "plain logits and targets"


class _Parted(Adapted):
    """A callable that keeps in mind what its result consists of, where that is no array."""

    parts: tuple[str, ...] = ()

    def _checked(self, arrays: Any, result: Any, x: Any) -> Any:
        if not arrays.is_array(result) and not self.parts:
            self.parts = _parts(result)
        return super()._checked(arrays, result, x)


def _parts(result: Any) -> tuple[str, ...]:
    if isinstance(result, Mapping):
        return tuple(map(str, result))[:PARTS]
    if isinstance(result, tuple | list):
        return tuple(map(str, range(len(result))))[:PARTS]
    return tuple(getattr(result, "__dict__", {}))[:PARTS]


def _tried(own: Own, way: CallSpec, losses: Sequence[Loss] | None) -> tuple[Recognition | None, Attempt, tuple[str, ...]]:
    """The loss it is, called so; else why it is none, and the parts of what it returned."""
    try:
        backend, adapted = accepted(own, way, ())
        if failure := adapted.tried(backend).failure:
            parted = _Parted(own, adapted.call_spec)
            parted.tried(backend)
            return None, Attempt(way, failure), () if way.pick else parted.parts
        recognition = called_so(own, way, losses)
    except UserError as error:
        return None, Attempt(way, error.problem), ()
    except OwnCallError as error:
        return None, Attempt(way, str(error)), ()
    return recognition, Attempt(way, "it returns numbers, and they are those of no loss that is known here", returned=True), ()


def _ways(call_spec: CallSpec, restricting: bool) -> Iterator[CallSpec]:
    """Every layout with logits, then with probabilities."""
    for given, (logits, targets, axes) in itertools.product(INPUTS, LAYOUTS):
        if restricting or targets not in RESTRICTING:
            call = call_spec.call.replace("{logits}", f"{{logits:{logits}}}") if logits else call_spec.call
            call = call.replace("{targets}", f"{{targets:{targets}}}") if targets else call
            yield replace(call_spec, call=call, input=given, axes=axes)


def _calls(own: Own, call_spec: CallSpec) -> tuple[str, ...]:
    """Both orders of the arguments, by their names where others stand between them."""
    if call_spec.call != DEFAULT_CALL:
        return (call_spec.call,)
    logits, targets = named_places(own.target)
    if not logits:
        return DEFAULT_CALL, TARGETS_FIRST
    return f"{logits}={{logits}}, {targets}={{targets}}", f"{logits}={{targets}}, {targets}={{logits}}"


def _values(own: Own, missing: Sequence[str]) -> Iterator[dict[str, Value]]:
    """Values for arguments of unknown names: every combination where they are few, else the same for all."""
    choices = OF_A_CLASS if inspect.isclass(own.target) else OF_A_CALL
    if len(choices) ** len(missing) <= MOST_VALUES:
        combinations = itertools.product(choices, repeat=len(missing))
    else:
        combinations = ((choice,) * len(missing) for choice in choices)  # type: ignore[assignment]
    for values in combinations:
        yield dict(zip(missing, values, strict=True))
