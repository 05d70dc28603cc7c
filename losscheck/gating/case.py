"""What a case file may say: the model that reads it and from which its JSON Schema is made.

Everything here is about one value at a time. What needs to know the losses, or more than one value, is in check.py.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from losscheck.core.call_spec import DEFAULT_CALL, PLAIN_CALL, CallSpec
from losscheck.core.dtypes import FLOAT64
from losscheck.core.effect import Effect
from losscheck.core.errors import UserError
from losscheck.core.literals import read_value
from losscheck.gating.tree import Number

__all__ = [
    "DTYPES",
    "MOST_POINTS",
    "QUANTITIES",
    "Budgets",
    "Case",
    "CaseCallable",
    "CaseExhaustive",
    "CaseFile",
    "CasePoints",
    "CaseRange",
    "Expect",
    "KnownFailure",
    "shown",
]

MOST_POINTS = 10**6  # that a shape may hold: each of them is a row
DType = Literal["float64", "float32", "float16", "bfloat16"]
Quantity = Literal["loss", "grad"]
# Never allowed: `undecided` and `unavailable` are no results, and `inaccurate` is what max_ulp is for.
AllowedOutcome = Literal["ok", "nan", "inf", "wrong-sign", "lost", "missed-inf", "flushed"]
DTYPES: tuple[str, ...] = get_args(DType)
QUANTITIES: tuple[str, ...] = get_args(Quantity)
# Never allowed: one that poisons is all there can be.
AllowedEffect = Literal["misdirects", "dead", "misstates", "tails", "sound"]
HarmfulEffect = Literal["poisons", "misdirects", "dead", "misstates", "tails"]
FailedOutcome = Literal["nan", "inf", "wrong-sign", "lost", "missed-inf", "flushed", "inaccurate"]


# A hex float, inf or nan; also a decimal that someone put into quotes.
_MAGNITUDE = r"(0[xX][0-9a-fA-F]*\.?[0-9a-fA-F]*([pP][+-]?[0-9]+)?|(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][+-]?[0-9]+)?)"
_QUOTED_NUMBER = rf"[+-]?{_MAGNITUDE}|[+-]?inf|nan"


def _wrong(message: str) -> PydanticCustomError:
    # pydantic reads braces as its own placeholders.
    return PydanticCustomError("losscheck", "{message}", {"message": message})


def _number(value: Any) -> str:
    """A number as it was written: decimal, or a hex float."""
    if not isinstance(value, str):
        raise _wrong(f"{shown(value)} is not a number: write a decimal (-1.5, 3e-7), a quoted hex float ('0x1.8p+0'), inf or -inf")
    text = str(value)
    if not isinstance(value, Number) and not re.fullmatch(_QUOTED_NUMBER, text):
        # Python would read more: 1_000, and digits of other scripts.
        raise _wrong(f"{shown(value)} is not a number: write a decimal (-1.5, 3e-7), a quoted hex float ('0x1.8p+0'), inf or nan")
    if isinstance(value, Number):
        text = text.replace(".inf", "inf").replace(".Inf", "inf").replace(".INF", "inf").lower().replace(".nan", "nan")
    try:
        FLOAT64.parse(text)
    except UserError as error:
        raise _wrong(str(error)) from None
    return text


def _at_least_zero(value: Any) -> float:
    """A limit. NaN compares false to everything: it is asked whether it is one."""
    number = float(FLOAT64.parse(_number(value)))
    if not 0 <= number < math.inf:
        raise _wrong(f"{shown(value)} is no limit: give a finite number of at least 0")
    return number


def _text(value: Any) -> str:
    if isinstance(value, Number):
        raise _wrong(f"{value} is a number where text is asked for: quote it")
    if not isinstance(value, str) or not value.strip():
        raise _wrong(f"{shown(value)} is no text: write a word or a sentence")
    return value


def _count(value: Any) -> int:
    if not _whole(value, 10**7):
        raise _wrong(f"{shown(value)} is no number of points: give a whole number from 1 to 10000000")
    return int(value)


def _sizes(value: Any) -> int:
    if not _whole(value, MOST_POINTS):
        raise _wrong(f"{shown(value)} is no size: give a whole number from 1 to {MOST_POINTS}")
    return int(value)


def _whole(value: Any, most: int) -> bool:
    """Python refuses to read a number of thousands of digits at all."""
    return isinstance(value, Number) and value.isdigit() and len(value) <= 20 and 1 <= int(value) <= most


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _wrong(f"{shown(value)} is neither true nor false")
    return value


def _constant(value: Any) -> Any:
    """A keyword as YAML 1.2 types it; lists as tuples, which can be hashed."""
    if isinstance(value, list):
        return tuple(_constant(item) for item in value)
    if isinstance(value, Number):
        return read_value(value)
    if value is None or isinstance(value, bool | str):
        return value
    raise _wrong(f"{shown(value)} is no keyword: give a number, true, false, text, or a list of these")


def _many(value: Any) -> Any:
    """One value for a list of one."""
    return value if isinstance(value, list) else [value]


def _limits(value: Any) -> Any:
    """Limits by key and key within it, "" for all: a number, one for each dtype or quantity, or one for each of both."""
    if not isinstance(value, dict):
        return {"": {"": value}}
    for names in (value, *(inner for inner in value.values() if isinstance(inner, dict))):
        if "" in names:
            raise _wrong("an empty key names no dtype and no quantity")
        if set(names) & set(DTYPES) and set(names) & set(QUANTITIES):
            raise _wrong(
                "mixes dtypes and quantities, and both would limit the same results: write {loss: {float32: 5, float16: 2}, grad: 3}"
            )
    return {name: inner if isinstance(inner, dict) else {"": inner} for name, inner in value.items()}


def shown(value: Any) -> str:
    """A value as a message quotes it."""
    if value is None:
        return "an empty value"
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


_NUMBER_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "number"},
        {"type": "string", "pattern": f"^({_QUOTED_NUMBER})$"},
    ]
}
_LIMIT_SCHEMA: dict[str, Any] = {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": rf"^\+?{_MAGNITUDE}$"}]}

Real = Annotated[str, BeforeValidator(_number), WithJsonSchema(_NUMBER_SCHEMA)]
Limit = Annotated[float, BeforeValidator(_at_least_zero), WithJsonSchema(_LIMIT_SCHEMA)]
Text = Annotated[str, BeforeValidator(_text), WithJsonSchema({"type": "string", "minLength": 1})]
Count = Annotated[int, BeforeValidator(_count), WithJsonSchema({"type": "integer", "minimum": 1, "maximum": 10**7})]
Size = Annotated[int, BeforeValidator(_sizes), WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MOST_POINTS})]
Constant = Annotated[Any, BeforeValidator(_constant), WithJsonSchema({"type": ["number", "boolean", "string", "array"]})]
Flag = Annotated[bool, BeforeValidator(_flag), WithJsonSchema({"type": "boolean"})]
# A key says by itself whether it is a dtype or a quantity.
_LimitKey = Literal["", "float64", "float32", "float16", "bfloat16", "loss", "grad"]


def _by_name(names: tuple[str, ...], limit: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": dict.fromkeys(names, limit), "additionalProperties": False}


def _either(names: tuple[str, ...], within: tuple[str, ...]) -> dict[str, Any]:
    return _by_name(names, {"anyOf": [_LIMIT_SCHEMA, _by_name(within, _LIMIT_SCHEMA)]})


Budgets = Annotated[
    dict[_LimitKey, dict[_LimitKey, Limit]],
    BeforeValidator(_limits),
    WithJsonSchema({"anyOf": [_LIMIT_SCHEMA, _either(DTYPES, QUANTITIES), _either(QUANTITIES, DTYPES)]}),
]


def _list_schema(item: dict[str, Any]) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [item, {"type": "array", "items": item, "minItems": 1}]})


Reals = Annotated[list[Real], BeforeValidator(_many), Field(min_length=1), _list_schema(_NUMBER_SCHEMA)]
Texts = Annotated[list[Text], BeforeValidator(_many), Field(min_length=1), _list_schema({"type": "string", "minLength": 1})]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class CasePoints(_Model):
    """Single points: one target for all logits, or one each; rounded once to each dtype."""

    logits: Reals = Field(description="Decimal or hex numbers. A single one fills `shape`.")
    targets: Reals = Field(description="One for all logits, or one for each.")
    shape: list[Size] = Field(default=[], min_length=1, description="The shape of the points for a reduction; default: one axis.")


class CaseRange(_Model):
    """A sample of a range, its ends, its landmarks and their neighbours; every float of a 16-bit dtype."""

    low: Real
    high: Real
    targets: Reals = Field(default=[], description="Default: the loss's own, such as 0, 0.5 and 1.")
    count: Count = Field(default=1000, description="Logits in the sample.")
    spacing: Literal["linear", "ulp", "both"] = Field(default="both", description="Even in value, in floats, or half each.")
    layout: Literal["body", "tail", "both"] = Field(default="body", description="Long tensors, tensors of 3, or both.")


class CaseExhaustive(_Model):
    """Every float between two ends."""

    low: Real = "-inf"
    high: Real = "inf"
    targets: Reals = Field(default=[], description="Default: the loss's own, such as 0, 0.5 and 1.")


class Expect(_Model):
    """What must hold. What is not named is judged all the same: no outcome but `ok`, and no more than 8 ulp.

    With `recorded: true` or `effects`, and neither `max_ulp` nor `outcomes`, the record or the effects alone judge.
    """

    value: Reals = Field(default=[], description="The result, right to the digits printed here: one, or one for each point.")
    max_ulp: Budgets = Field(default={}, description="The largest |ulp|; a number, or one for each dtype or quantity.")
    outcomes: list[AllowedOutcome] = Field(default=["ok"], min_length=1, description="Outcomes that are allowed beside `ok`.")
    effects: list[AllowedEffect] = Field(
        default=[], min_length=1, description="What the worst point may do to training: these effects and all that are milder."
    )
    max_deviation: Limit | None = Field(default=None, description="The largest |deviation| of the own formula from the definition.")
    monotone: Literal["increasing", "decreasing"] | None = Field(default=None, description="In the logit, for each target.")
    non_negative: Flag = Field(default=False, description="The loss is never below 0.")
    symmetric: Flag = Field(default=False, description="f(x, z) and f(-x, 1 - z) have the same bits, gradients with the other sign.")
    equal_bits: list[Literal["implementations", "backends", "devices"]] = Field(
        default=[], min_length=1, description="Results have the same bits across all of these."
    )
    recorded: Flag = Field(default=False, description="No worse than the baseline recorded for this kind of machine.")

    @property
    def limits_floats(self) -> bool:
        """Does it limit outcomes and ulp? Without a word about them the record and the effects do, where they are asked for."""
        return bool(self.model_fields_set & {"max_ulp", "outcomes"}) or not (self.recorded or self.effects)

    @property
    def worst_effect(self) -> Effect:
        """The severest effect that is allowed; without a word about effects, any."""
        return min((Effect(name) for name in self.effects), key=lambda effect: effect.severity, default=Effect.POISONS)

    def allows(self, outcome: str) -> bool:
        return not self.limits_floats or outcome in self.outcomes

    def allows_effect(self, effect: Effect) -> bool:
        return effect.severity >= self.worst_effect.severity

    def limit(self, dtype: str, quantity: str) -> float:
        """The |ulp| allowed of a quantity in a dtype."""
        from losscheck.core.request import DEFAULT_MAX_ULP

        limits: dict[str, dict[str, float]] = dict(self.max_ulp)  # type: ignore[arg-type]
        if not limits:
            # The record needs none. Effects do: what is beyond it, and harms nobody, is `tails` and not `sound`.
            return DEFAULT_MAX_ULP if self.limits_floats or self.effects else math.inf
        # The keys of one level are of one kind, and "" is alone.
        inner = next((limits[key] for key in (quantity, dtype, "") if key in limits), {})
        return next((inner[key] for key in (quantity, dtype, "") if key in inner), DEFAULT_MAX_ULP)


class KnownFailure(_Model):
    """The case fails, and is known to. It becomes a failure of the gate when it starts to hold."""

    reason: Text
    link: Annotated[str, BeforeValidator(_text), Field(pattern=r"^https?://\S+$")]
    outcomes: list[FailedOutcome] = Field(default=[], min_length=1, description="What it fails with; anything else is a new failure.")
    effects: list[HarmfulEffect] = Field(default=[], min_length=1, description="What it does to training; anything else is a new failure.")


class CaseCallable(_Model):
    """How callables of your own are called; the same as the options of compare."""

    keywords: dict[str, Constant] = Field(default={}, description="Such as {gamma: 1.5, reduction: none}; of a class, when it is built.")
    call: Text = Field(default=DEFAULT_CALL, description="Order and names of the arguments, such as '{targets}, input={logits}'.")
    input: Literal["logits", "probabilities"] = Field(default="logits", description="A sigmoid is put before probabilities.")
    pick: Text | None = Field(default=None, description="Which part of its result: a key, an index or an attribute.")
    axes: Text | None = Field(default=None, description="The shape it insists on, such as 'B,C,H,W'.")


class Case(_Model):
    """One claim about implementations of a loss."""

    name: Text = Field(description="Unique among all case files.")
    about: Text | None = Field(default=None, description="Where the claim comes from.")
    loss: Text
    implementations: Texts = Field(description="Names, globs, or package.module:function.")
    callable: CaseCallable | None = None
    params: dict[str, Real] = Field(default={}, description="Parameters of the loss; defaults where none is given.")
    backends: list[Text] = Field(default=[], min_length=1, description="Default: all that an implementation runs on.")
    dtypes: list[DType] = Field(default=["float32"], min_length=1)
    devices: list[Text] = Field(default=["cpu"], min_length=1, description="cpu, cuda, cuda:1.")
    modes: list[Text] = Field(default=["eager"], min_length=1, description="eager, compile, vmap, autocast:bfloat16.")
    quantities: list[Quantity] = Field(default=["loss", "grad"], min_length=1)
    reduction: Literal["none", "mean", "sum", "normalised", "published"] = "none"
    points: CasePoints | None = None
    range: CaseRange | None = None
    exhaustive: CaseExhaustive | None = None
    expect: Expect = Field(default_factory=Expect)
    known_failure: KnownFailure | None = None

    def call_spec(self) -> CallSpec:
        """How its callables are called.

        Raises:
            UserError: when that cannot be read.
        """
        if self.callable is None:
            return PLAIN_CALL
        given = self.callable
        keywords = tuple(given.keywords.items())
        return CallSpec(keywords, given.call, given.input, given.pick or "", given.axes or "")


class CaseFile(_Model):
    """Cases of `losscheck gate`."""

    cases: list[Case] = Field(min_length=1)
