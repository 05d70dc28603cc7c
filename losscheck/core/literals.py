"""Values written on a command line, typed as in YAML 1.2.

``1`` and ``1.5`` are numbers, ``true``, ``null`` and ``[1, 2]`` what they look like; ``none``, ``no`` and anything else are
text; quotes make text of everything. ruamel.yaml reads more than a value into a word: dates, ``1_000``, tags, aliases, comments.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from losscheck.core.errors import UserError

__all__ = ["ONES", "Ones", "TensorValue", "Value", "as_given", "read_value", "split", "value_text"]

# A value of YAML's core schema; lists are held as tuples, so that they can be hashed, and handed over as lists.
Value = Any

_CONSTANTS: dict[str, Value] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
}
_INTEGER = re.compile(r"[-+]?[0-9]+")
_OTHER_BASE = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


class TensorValue(tuple[float, ...]):
    """Numbers that are handed over as a tensor: ``tensor:2`` or ``tensor:[1, 2.5]``."""


class Ones:
    """As many ones as there are logits, in their shape and dtype: ``ones``."""

    def __repr__(self) -> str:
        return "ones"


ONES = Ones()
_TENSOR = "tensor:"


def read_value(text: str) -> Value:
    """A value as YAML 1.2 types it; lists become tuples, ``tensor:2`` and ``tensor:[1, 2]`` tensors, ``ones`` a one for each logit.

    Raises:
        UserError: for a bracket or a quote that is not closed, and a tensor of something else than numbers.
    """
    text = text.strip()
    if text == "ones":
        return ONES
    if text.startswith(_TENSOR):
        inner = read_value(text.removeprefix(_TENSOR))
        numbers = inner if isinstance(inner, tuple) else (inner,)
        if not numbers or not all(isinstance(number, int | float) and not isinstance(number, bool) for number in numbers):
            raise UserError(f"{text!r} is no tensor of numbers", "write tensor:2 or tensor:[1, 2.5]")
        return TensorValue(float(number) for number in numbers)
    if text[:1] == "[":
        if text[-1] != "]":
            raise UserError(f"{text!r} is a list without its end", "write [1, 2]; quote it when it is text")
        return tuple(read_value(item) for item in split(text[1:-1]))
    if text[:1] in ('"', "'"):
        if len(text) < 2 or text[-1] != text[0]:
            raise UserError(f"{text} is a text without its closing quote", "close it, or leave the quotes away")
        return text[1:-1].replace("''", "'") if text[0] == "'" else _unescaped(text)
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _OTHER_BASE.fullmatch(text):
        return int(text, 0)
    return float(text) if _FLOAT.fullmatch(text) else text


def _unescaped(text: str) -> str:
    try:
        return str(json.loads(text))
    except ValueError:
        raise UserError(f"{text} has an escape that is none", "use single quotes for text with backslashes") from None


def value_text(value: Value) -> str:
    """The text that :func:`read_value` reads back as the value."""
    if isinstance(value, Ones):
        return "ones"
    if isinstance(value, TensorValue):
        return _TENSOR + (value_text(value[0]) if len(value) == 1 else value_text(tuple(value)))
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(value_text, value))}]"
    if isinstance(value, str):
        plain = value == value.strip() and read_value(value) == value if not set(value) & set("[]\"',") else False
        return value if plain else json.dumps(value)
    for word in ("null", "true", "false"):
        if value is _CONSTANTS[word]:
            return word
    if isinstance(value, float) and not math.isfinite(value):
        return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
    return repr(value)


def as_given(value: Value) -> Any:
    """The value as a callable gets it: tuples as lists; a tensor is made by who knows the framework (callables/adapt.py)."""
    if isinstance(value, TensorValue):
        return value
    return [as_given(item) for item in value] if isinstance(value, tuple) else value


def split(text: str) -> list[str]:
    """The parts between commas, not counting those inside brackets and quotes; none of blank text."""
    parts, start, depth, quote, escaped = [], 0, 0, "", False
    for n, letter in enumerate(text):
        if quote:
            ends = letter == quote and not escaped
            escaped = quote == '"' and letter == "\\" and not escaped
            quote = "" if ends else quote
        elif letter in "\"'" and text[start:n].rstrip()[-1:] in ("", "=", "[", ","):
            quote = letter
        elif letter in "[]":
            depth += 1 if letter == "[" else -1
        elif letter == "," and depth == 0:
            parts.append(text[start:n])
            start = n + 1
    parts.append(text[start:])
    return parts if text.strip() else []
