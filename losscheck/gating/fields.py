"""The values of a case file, one at a time: how each is read from YAML, what is refused, and its JSON Schema."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from losscheck.core.dtypes import FLOAT64
from losscheck.core.errors import UserError
from losscheck.core.literals import read_value
from losscheck.gating.tree import Number

__all__ = [
    "DTYPES",
    "MOST_POINTS",
    "QUANTITIES",
    "AllowedEffect",
    "AllowedOutcome",
    "Budgets",
    "Constant",
    "Count",
    "DType",
    "FailedOutcome",
    "Flag",
    "HarmfulEffect",
    "Limit",
    "Link",
    "Parameter",
    "QuantityName",
    "Real",
    "Reals",
    "Size",
    "Text",
    "Texts",
    "shown",
]

MOST_POINTS = 10**6  # that a shape may hold: each of them is a row
DType = Literal["float64", "float32", "float16", "bfloat16"]
QuantityName = Literal["loss", "grad"]
# Never allowed: `undecided` and `unavailable` are no results, and `inaccurate` is what max_ulp is for.
AllowedOutcome = Literal["ok", "nan", "inf", "wrong-sign", "lost", "missed-inf", "flushed"]
DTYPES: tuple[str, ...] = get_args(DType)
QUANTITIES: tuple[str, ...] = get_args(QuantityName)
# Never allowed: one that poisons is all there can be.
AllowedEffect = Literal["misdirects", "dead", "misstates", "tails", "sound"]
HarmfulEffect = Literal["poisons", "misdirects", "dead", "misstates", "tails"]
FailedOutcome = Literal["nan", "inf", "wrong-sign", "lost", "missed-inf", "flushed", "inaccurate"]


# A hex float, inf or nan; also a decimal that someone put into quotes.
_MAGNITUDE = r"(0[xX][0-9a-fA-F]*\.?[0-9a-fA-F]*([pP][+-]?[0-9]+)?|(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][+-]?[0-9]+)?)"
_QUOTED_NUMBER = rf"[+-]?{_MAGNITUDE}|[+-]?inf|nan"
_WORD = r"[A-Za-z]+(-[A-Za-z]+)*"


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


def _parameter(value: Any) -> str:
    """A number, or a word that picks among definitions."""
    words = isinstance(value, str) and not isinstance(value, Number) and not re.fullmatch(_QUOTED_NUMBER, value)
    return str(value) if words and re.fullmatch(_WORD, value) else _number(value)


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
    if isinstance(value, Number) or (isinstance(value, str) and value.startswith("tensor:")):
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
_PARAMETER_SCHEMA: dict[str, Any] = {"anyOf": [*_NUMBER_SCHEMA["anyOf"], {"type": "string", "pattern": f"^{_WORD}$"}]}
_LIMIT_SCHEMA: dict[str, Any] = {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": rf"^\+?{_MAGNITUDE}$"}]}

Real = Annotated[str, BeforeValidator(_number), WithJsonSchema(_NUMBER_SCHEMA)]
Parameter = Annotated[str, BeforeValidator(_parameter), WithJsonSchema(_PARAMETER_SCHEMA)]
Limit = Annotated[float, BeforeValidator(_at_least_zero), WithJsonSchema(_LIMIT_SCHEMA)]
Text = Annotated[str, BeforeValidator(_text), WithJsonSchema({"type": "string", "minLength": 1})]
Link = Annotated[str, BeforeValidator(_text), Field(pattern=r"^https?://\S+$")]
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
