"""How a callable of the user's is called: its keywords, the order of its arguments, their shape, what of its result counts."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from losscheck.core.errors import UserError, nearest
from losscheck.core.literals import Value, as_given, read_value, split, value_text

__all__ = [
    "DEFAULT_CALL",
    "FORMS",
    "GRADIENT",
    "HARD_FORMS",
    "INPUTS",
    "PLAIN_CALL",
    "PROGRAM",
    "TARGETS_FIRST",
    "Argument",
    "CallSpec",
    "keywords_of",
    "picked",
]

DEFAULT_CALL = "{logits}, {targets}"
TARGETS_FIRST = "{targets}, {logits}"
INPUTS = ("logits", "probabilities")
GRADIENT = "gradient"  # what is picked of an objective, which returns a gradient and a hessian and no loss
PROGRAM = "program"  # as a formula
# What a callable may insist on instead of floats: {targets:long}, {logits:pair}.
FORMS = {"logits": ("column", "pair"), "targets": ("long", "bool", "signs", "column", "onehot", "dmatrix")}
HARD_FORMS = ("long", "bool", "signs")  # they mean the targets 0 and 1 alone

_NAME = re.compile(r"\s*([A-Za-z_][A-Za-z_0-9]*)\s*=(.*)", re.DOTALL)


@dataclass(frozen=True)
class Argument:
    """One argument of a call: by position when it has no name; the logits or the targets, in a form, when it has a slot."""

    name: str
    slot: str = ""
    value: Value = None
    form: str = ""


@dataclass(frozen=True)
class CallSpec:
    """How a callable is called. Hashable; travels by pickle and, with :meth:`to_json`, in state files.

    Attributes:
        keywords: (name, value) pairs, for a function by every call, for a class when it is built.
        call: the arguments in their order, such as ``{targets}, input={logits}``; constants may stand among them. A form
            follows a colon: ``{logits:pair}, {targets:long}``.
        input: ``logits``, or ``probabilities``: a sigmoid, in the dtype of the logits, is put before it. Of one callable among several
            ``torch.nn:BCELoss=probabilities``; such entries are divided by commas.
        pick: which part of its result is the loss: a key, an index or an attribute; a dotted path of these. ``gradient`` of an
            objective, which returns (gradient, hessian): then there is no loss.
        axes: the shape it insists on, such as ``B,C,H,W``: points along the first axis, the others of size 1.
        formula: ``file.py:function``, its own exact formula; or ``program``: what its own lines say in exact arithmetic is the loss.

    Raises:
        UserError: when one of them cannot be read.
    """

    keywords: tuple[tuple[str, Value], ...] = ()
    call: str = DEFAULT_CALL
    input: str = "logits"
    pick: str = ""
    axes: str = ""
    formula: str = ""

    def __post_init__(self) -> None:
        for _, what in self._inputs():
            if what not in INPUTS:
                raise UserError(f"--input {what!r} is unknown", nearest(what, INPUTS))
        slots = [argument.slot for argument in self.arguments() if argument.slot]
        if sorted(slots) != ["logits", "targets"]:
            raise UserError(
                f"--call {self.call!r} does not name {{logits}} and {{targets}} once each", "for example --call '{targets}, input={logits}'"
            )
        self.shape(1)

    @property
    def by_program(self) -> bool:
        """Is what a callable's own program says in exact arithmetic the loss that it is judged by?"""
        return self.formula == PROGRAM

    def of(self, spec: str) -> CallSpec:
        """How this callable among several is called: what its input is said to be, else what that of all is said to be."""
        inputs = dict(self._inputs())
        return replace(self, input=inputs.get(spec, inputs.get("", INPUTS[0])))

    def check_names(self, specs: Collection[str]) -> None:
        """Refuse an input that is said of a callable that is not there.

        Raises:
            UserError: with the nearest of those that are.
        """
        for name, _ in self._inputs():
            if name and name not in specs:
                raise UserError(f"--input {name}=... is of no callable that is named", nearest(name, specs))

    def _inputs(self) -> list[tuple[str, str]]:
        """(callable, input) pairs; "" is every callable."""
        pairs = [entry.strip().rpartition("=") for entry in self.input.split(",")]
        return [(name, what) for name, _, what in pairs]

    def arguments(self) -> tuple[Argument, ...]:
        """The arguments of :attr:`call`."""
        return tuple(_argument(text, self.call) for text in split(self.call))

    def form(self, slot: str) -> str:
        """The form in which the logits or the targets are handed over; empty for floats in the shape of :attr:`axes`."""
        return next(argument.form for argument in self.arguments() if argument.slot == slot)

    @property
    def hard(self) -> bool:
        """Does it hand over the targets 0 and 1 alone?"""
        return self.form("targets") in HARD_FORMS

    @property
    def objective(self) -> bool:
        """Does it return a gradient and a hessian, and no loss?"""
        return self.pick == GRADIENT

    def bound(self, logits: Any, targets: Any) -> tuple[list[Any], dict[str, Any]]:
        """Positional and named arguments of a call with these logits and targets."""
        given = {"logits": logits, "targets": targets}
        positional, named = [], {}
        for argument in self.arguments():
            value = given[argument.slot] if argument.slot else as_given(argument.value)
            if argument.name:
                named[argument.name] = value
            else:
                positional.append(value)
        return positional, named

    def keyword_values(self) -> dict[str, Any]:
        """The keywords as they are handed over: lists as lists."""
        return {name: as_given(value) for name, value in self.keywords}

    def shape(self, points: int) -> tuple[int, ...]:
        """The shape of so many points: all of them along the first axis with a name, 1 for every other."""
        if not self.axes:
            return (points,)
        names = [axis.strip() for axis in self.axes.split(",")]
        lengthy = [n for n, axis in enumerate(names) if axis != "1"]
        if not lengthy or not all(axis == "1" or axis.isidentifier() for axis in names):
            raise UserError(f"--axes {self.axes!r} is no list of axes", "write names, or 1, with commas: --axes B,C,H,W or --axes 1,N")
        return tuple(points if n == lengthy[0] else 1 for n in range(len(names)))

    def options(self) -> list[str]:
        """The options of a command line that say the same."""
        words = [word for name, value in self.keywords for word in ("--kw", f"{name}={value_text(value)}")]
        for attribute in fields(self):
            value = getattr(self, attribute.name)
            words += [f"--{attribute.name}", value] if attribute.name != "keywords" and value != attribute.default else []
        return words

    def to_json(self) -> dict[str, Any]:
        """Plain text: YAML has words for NaN and the infinities, JSON has none."""
        return {
            "keywords": [f"{name}={value_text(value)}" for name, value in self.keywords],
            **{name: getattr(self, name) for name in ("call", "input", "pick", "axes", "formula")},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> CallSpec:
        """The inverse of :meth:`to_json`; TypeError or UserError for anything else."""
        return cls(**{**data, "keywords": tuple(_keyword(keyword) for keyword in data.get("keywords", ()))})


def _keyword(text: str) -> tuple[str, Value]:
    """'gamma=1.5' -> ('gamma', 1.5).

    Raises:
        UserError: for another form.
    """
    if not (match := _NAME.fullmatch(text)):
        raise UserError(f"--kw {text!r} is not of the form NAME=VALUE", "for example --kw gamma=1.5 or --kw reduction=none")
    return match[1], read_value(match[2])


def _argument(text: str, call: str) -> Argument:
    match = _NAME.fullmatch(text)
    name, what = (match[1], match[2].strip()) if match else ("", text.strip())
    if what.startswith("{"):
        slot, colon, form = what.removeprefix("{").removesuffix("}").partition(":")
        if what != f"{{{slot}{colon}{form}}}" or slot not in FORMS:
            raise UserError(f"--call {call!r} has no place {what}", nearest(slot, FORMS))
        if (colon or form) and form not in FORMS[slot]:
            raise UserError(f"--call {call!r} has no form {form!r} of {slot}", nearest(form, FORMS[slot]))
        return Argument(name, slot, form=form)
    if not what:
        raise UserError(f"--call {call!r} has an empty argument", "for example --call '{targets}, input={logits}'")
    return Argument(name, value=read_value(what))


def keywords_of(texts: Iterable[str]) -> tuple[tuple[str, Value], ...]:
    """All ``--kw``.

    Raises:
        UserError: for another form, or a name given twice.
    """
    keywords: dict[str, Value] = {}
    for text in texts:
        name, value = _keyword(text)
        if name in keywords:
            raise UserError(f"--kw {name} is given twice", "keep one of them")
        keywords[name] = value
    return tuple(keywords.items())


def picked(result: Any, path: str) -> Any:
    """The part of a result that a dotted path of keys, indices and attributes names.

    Raises:
        LookupError: naming what there is instead.
    """
    if path == GRADIENT and isinstance(result, tuple | list) and len(result) == 2:
        return result[0]
    for step in path.split(".") if path else ():
        if isinstance(result, Mapping):
            keys = {str(key): key for key in result}
            if step not in keys:
                raise LookupError(f"its result has no entry {step!r}, only {', '.join(map(repr, keys)) or 'none'}")
            result = result[keys[step]]
        elif isinstance(result, Sequence) and step.lstrip("-").isdigit():
            if not -len(result) <= int(step) < len(result):
                raise LookupError(f"its result has {len(result)} entries and none at index {step}")
            result = result[int(step)]
        elif hasattr(result, step):
            result = getattr(result, step)
        else:
            raise LookupError(f"its result, a {type(result).__name__}, has no {step!r}{_parts(result)}")
    return result


def _parts(result: Any) -> str:
    names = list(getattr(result, "_fields", None) or getattr(result, "__dict__", {}))
    if not names and isinstance(result, Sequence):
        return f", but entries 0 to {len(result) - 1}"
    return f", only {', '.join(names)}" if names else ""


# What a callable gets when nothing was said.
PLAIN_CALL = CallSpec()
