"""Values, errors and points as people read them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from losscheck.core.dtypes import FORMATS, short_hex
from losscheck.core.exact import Exact, Kind
from losscheck.core.registry import word_of
from losscheck.core.results import IN_WORDS, PointRow, Row

__all__ = [
    "counted",
    "deviation_text",
    "end_text",
    "exact_figure",
    "params_text",
    "plain_exact",
    "plain_value",
    "point_text",
    "printable",
    "quantity_name",
    "relative_text",
    "result_text",
    "ulp_size",
    "ulp_text",
    "value_figure",
]

# Significant digits shown of an exact value: one or two more than the dtype can tell apart.
_DIGITS = {"float64": 18, "float32": 10, "float16": 6, "bfloat16": 5}
# Of what a trace shows, where a number need not be one of the dtype: constants of the source stand beside it.
_PLAIN_DIGITS = {"float64": 12, "float32": 9, "float16": 5, "bfloat16": 4}


def value_figure(row: PointRow) -> str:
    return result_text(row.value, row.dtype)


def result_text(value: float | None, dtype: str) -> str:
    """What an implementation returned, in the fewest digits that tell it from its neighbours."""
    if value is None:
        return "-"
    return "NaN" if math.isnan(value) else FORMATS[dtype].shortest(value)


def exact_figure(exact: Exact | None, dtype: str) -> str:
    """The exact value; one whose decimal exponent has more than four digits is given by its logarithm."""
    if exact is None:
        return "-"
    if exact.kind is Kind.UNDECIDED:
        return "undecided"
    if exact.kind is Kind.FINITE and exact.middle[0] and abs(exact.magnitude) > 30000:
        sign = "-" if exact.middle[0] < 0 else ""
        return f"{sign}10^{exact.magnitude * math.log10(2):.4g}"
    mantissa, e, exponent = exact.decimal(_DIGITS[dtype]).partition("e")
    return f"{mantissa}e{int(exponent):+03d}" if e else mantissa


def ulp_text(ulp: float | None) -> str:
    """Signed: '-0.42', '+1.8e+06'."""
    if ulp is None:
        return "-"
    if not math.isfinite(ulp) or ulp == 0:
        return f"{ulp:g}"
    return f"{ulp:+.2f}" if abs(ulp) < 1000 else f"{ulp:+.1e}"


def ulp_size(ulp: float | None) -> str:
    """Of an error that has no sign: '0.42', '1.8e+06'."""
    return ulp_text(ulp).lstrip("+")


def relative_text(relative: float | None) -> str:
    """The size of a relative error: '7.9%'; from ten times on as a factor, '2,300,000 times'."""
    size = abs(relative or 0.0)
    if math.isnan(size):
        return "unknown"
    if math.isinf(size):
        return "infinitely"
    if size < 10:
        return f"{100 * size:.2g}%"
    # Two digits, as in percent; above 10^15 nobody counts the zeros.
    return f"{float(f'{size:.2g}'):,.0f} times" if size < 1e15 else f"10^{math.log10(size):.0f} times"


def deviation_text(deviation: float | None) -> str:
    if deviation is None or math.isnan(deviation):
        return "?"
    if deviation == 0:
        return "0"
    # Ten times as much and more reads better as a factor than as a percentage.
    return f"{100 * deviation:+.3g}%" if abs(deviation) < 10 else f"x{deviation + 1:.3g}"


def point_text(row: PointRow, *, hexadecimal: bool = False) -> str:
    """'logit -15, target 0', or how many points a reduced loss was taken over."""
    if len(row.logits) > 1:
        return f"{len(row.logits)} points"
    logit = row.logits[0]
    shown = end_text(logit, row.given_dtype) if hexadecimal else FORMATS[row.given_dtype].shortest(logit)
    return f"logit {shown}, target {FORMATS[row.dtype].shortest(row.targets[0])}"


def end_text(logit: float, dtype: str) -> str:
    """'-15 (-0x1.ep+3)': both as short as they read back."""
    text = FORMATS[dtype].shortest(logit)
    return f"{text} ({short_hex(logit)})" if math.isfinite(logit) else text


def quantity_name(row: Row) -> str:
    return IN_WORDS.get(row.quantity, "loss")


def params_text(params: Mapping[str, float], dtype: str) -> str:
    return "  ".join(f"{name}={word_of(name, value) or FORMATS[dtype].shortest(value)}" for name, value in params.items())


def counted(count: int, what: str) -> str:
    """'1 element', '2 elements'."""
    return f"{count} {what}{'s' * (count != 1)}"


def printable(text: str, unicode: bool = True) -> str:
    """In one line, and nothing in it that a terminal would obey or a page cannot hold: names and reasons come from anywhere."""
    stand_in = "\N{REPLACEMENT CHARACTER}" if unicode else "?"
    return "".join(character if character.isprintable() else stand_in for character in " ".join(text.splitlines()))


def plain_value(value: Any, dtype: str) -> str:
    """A number beside a dtype, of which it need not be one; as JSON carries it."""
    return _shortened(f"{float(value):.{_PLAIN_DIGITS.get(dtype, 9)}g}")


def plain_exact(text: str | None, dtype: str) -> str:
    """An exact value that was printed; None where it is undecided."""
    if text is None:
        return "undecided"
    exact, digits = Decimal(text), _PLAIN_DIGITS.get(dtype, 9)
    # As Python prints floats: Decimal's own rule writes out what is below 1e-4.
    small = exact.is_finite() and bool(exact) and exact.adjusted() < -4
    return _shortened(f"{exact:.{digits - 1}e}" if small else f"{exact:.{digits}g}".lower())


def _shortened(text: str) -> str:
    mantissa, e, exponent = text.partition("e")
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    return f"{mantissa}e{int(exponent):+03d}" if e else mantissa.replace("infinity", "inf")
