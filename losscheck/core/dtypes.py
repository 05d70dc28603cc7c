"""The four floating-point formats: correct rounding, ordinals, ulp, exact text.

A number of any of the formats is held as a Python float, which represents every one of them exactly. Everything
here is integer arithmetic on mantissa and exponent: no array library is needed and nothing is rounded twice.
"""

from __future__ import annotations

import decimal
import functools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction

from losscheck.core.errors import UserError, nearest

__all__ = ["BFLOAT16", "FLOAT16", "FLOAT32", "FLOAT64", "FORMATS", "Format", "format_named", "short_hex"]


@dataclass(frozen=True)
class Format:
    """A binary interchange format: precision ``p`` bits, normal exponents ``emin`` to ``emax`` of 1.f * 2^e.

    Ordinals number all floats, infinities included, in IEEE 754's totalOrder: -0 is -1 and +0 is 0, so that every
    bit pattern but the NaNs has one integer and neighbouring floats have neighbouring integers.
    """

    name: str
    bits: int
    precision: int
    emin: int
    emax: int

    @property
    def largest(self) -> float:
        """The largest finite float."""
        return math.ldexp(2**self.precision - 1, self.emax - self.precision + 1)

    @property
    def smallest_normal(self) -> float:
        return math.ldexp(1.0, self.emin)

    @functools.cached_property
    def least_exponent(self) -> int:
        """The exponent of the smallest subnormal, which is also the ulp of everything below the normal range."""
        return self.emin - self.precision + 1

    @property
    def smallest_subnormal(self) -> float:
        return math.ldexp(1.0, self.least_exponent)

    def ulp_exponent(self, magnitude: int) -> int:
        """Exponent of the ulp of a real r with ``floor(log2 |r|) == magnitude``: max(magnitude, emin) - (p - 1)."""
        return (magnitude if magnitude > self.emin else self.emin) - self.precision + 1

    # Rounding ---------------------------------------------------------------------------------------------------

    def round_dyadic(self, mantissa: int, exponent: int) -> float:
        """``mantissa * 2**exponent`` rounded once, ties to even, with gradual underflow and overflow to infinity.

        The exponent may be astronomically large or small: it is compared before any integer is shifted by it.
        """
        if mantissa == 0:
            return 0.0
        magnitude = mantissa.bit_length() - 1 + exponent
        if magnitude > self.emax:
            return -math.inf if mantissa < 0 else math.inf
        if magnitude < self.least_exponent - 1:
            return -0.0 if mantissa < 0 else 0.0
        unit = self.ulp_exponent(magnitude)
        size = _shift_to_even(abs(mantissa), unit - exponent)
        rounded = math.inf if size.bit_length() + unit > self.emax + 1 else math.ldexp(size, unit)
        return -rounded if mantissa < 0 else rounded

    def round_fraction(self, value: Fraction) -> float:
        """A rational number rounded once, ties to even. Zero comes out as +0."""
        sign = -1.0 if value < 0 else 1.0
        numerator, denominator = abs(value.numerator), value.denominator
        if numerator == 0:
            return 0.0
        # Two bits more than the format holds and one sticky bit decide every tie.
        shift = self.precision + 2 - (numerator.bit_length() - denominator.bit_length())
        quotient, rest = divmod(numerator << max(shift, 0), denominator << max(-shift, 0))
        return sign * self.round_dyadic(2 * quotient + (rest != 0), -shift - 1)

    def round(self, value: float) -> float:
        """A float64 rounded to this format; signed zero, infinities and NaN pass through."""
        if self.bits == 64 or value == 0 or not math.isfinite(value):
            return value
        mantissa, denominator = value.as_integer_ratio()
        return self.round_dyadic(mantissa, 1 - denominator.bit_length())

    def contains(self, value: float) -> bool:
        """Is the float64 ``value`` a number of this format?"""
        return math.isnan(value) or self.round(value) == value

    # Ordinals ---------------------------------------------------------------------------------------------------

    @property
    def infinity_ordinal(self) -> int:
        return ((1 << (self.bits - self.precision)) - 1) << (self.precision - 1)

    def ordinal(self, value: float) -> int:
        """The position of a float of this format among all of them; -0 is -1, +0 is 0.

        Raises:
            ValueError: for NaN, which has no place in the order, and for a number that is not of this format.
        """
        if math.isnan(value) or not self.contains(value):
            raise ValueError(f"{value!r} has no ordinal in {self.name}")
        if math.copysign(1.0, value) < 0:
            return -1 - self.ordinal(-value)
        if math.isinf(value):
            return self.infinity_ordinal
        if value == 0:
            return 0
        fraction, exponent = math.frexp(value)
        unit = self.ulp_exponent(exponent - 1)
        mantissa = int(math.ldexp(fraction, exponent - unit))
        return mantissa + ((unit - self.least_exponent) << (self.precision - 1))

    def from_ordinal(self, ordinal: int) -> float:
        """The float at a position of the order; the inverse of :meth:`ordinal`.

        Raises:
            ValueError: when the position is beyond the infinities.
        """
        if ordinal < 0:
            return -self.from_ordinal(-1 - ordinal)
        if ordinal > self.infinity_ordinal:
            raise ValueError(f"ordinal {ordinal} is beyond infinity in {self.name}")
        if ordinal == self.infinity_ordinal:
            return math.inf
        hidden = 1 << (self.precision - 1)
        biased, mantissa = divmod(ordinal, hidden)
        if biased > 0:
            biased, mantissa = biased - 1, mantissa + hidden
        return math.ldexp(mantissa, biased + self.least_exponent)

    def neighbour(self, value: float, steps: int) -> float:
        """The float ``steps`` places above (below, when negative) ``value``; stops at the infinities."""
        top = self.infinity_ordinal
        return self.from_ordinal(min(max(self.ordinal(value) + steps, -1 - top), top))

    def between(self, low: float, high: float) -> Iterator[float]:
        """Every float from ``low`` to ``high``, both included, in order."""
        return (self.from_ordinal(n) for n in range(self.ordinal(low), self.ordinal(high) + 1))

    # Text -------------------------------------------------------------------------------------------------------

    def shortest(self, value: float) -> str:
        """The shortest decimal that reads back as this very float *in this format* (0.1, not 0.10000000149011612)."""
        if value == 0 or not math.isfinite(value):
            return _plain(repr(value))
        if value.is_integer() and abs(value) <= 2**24:
            return str(int(value))
        return _plain(repr(math.copysign(_shortest(self, abs(value)), value)))

    def parse(self, text: str, what: str = "number") -> float:
        """A decimal, hexadecimal, ``inf`` or ``nan`` literal, rounded once to this format.

        Raises:
            UserError: when it is no number, or a finite number beyond the largest float of the format.
        """
        cleaned = text.strip().lower()
        if cleaned[cleaned[:1] in ("+", "-") :] in ("inf", "infinity", "nan"):
            return float(cleaned)
        value = _exact_literal(text, cleaned, what)
        rounded = self.round_dyadic(*value) if isinstance(value, tuple) else self._round_literal(value)
        if math.isinf(rounded):
            raise UserError(
                f"{what} {text} is beyond the largest {self.name} ({self.shortest(self.largest)})",
                "write 'inf' if infinity is meant, or choose a wider dtype",
            )
        return -0.0 if rounded == 0 and cleaned.startswith("-") else rounded

    def _round_literal(self, value: Decimal) -> float:
        # 10^1000000 must not be built only to learn that it overflows.
        if value and value.adjusted() > 400:
            return math.inf
        return self.round_fraction(Fraction(value)) if value and value.adjusted() >= -400 else 0.0


@functools.lru_cache(maxsize=2**14)
def _shortest(dtype: Format, size: float) -> float:
    """The decimal of fewest digits that rounds to a finite float above 0, as a float64. A report writes the same logits again and again."""
    doubtful = 2 * math.ldexp(1.0, dtype.ulp_exponent(math.frexp(size)[1] - 1))
    for digits in range(1, 18):
        text = f"{size:.{digits - 1}e}"
        step = 10.0 ** (int(text.rpartition("e")[2]) - digits + 1)
        if abs(float(text) - size) > doubtful and abs(float(text) + step - size) > doubtful:
            continue  # nowhere near, also as float64 has it
        near = Decimal(text)
        for decimal_number in (near, decimal.Context(prec=digits).next_plus(near)):
            if dtype.round_fraction(Fraction(decimal_number)) == size:
                # Below a power of two the floats lie closer: there the next decimal may do where the nearest does not.
                return float(decimal_number)
    raise AssertionError(f"{size!r} did not survive 17 digits")


def _shift_to_even(mantissa: int, shift: int) -> int:
    """``mantissa / 2**shift`` to the nearest integer, ties to even."""
    if shift <= 0:
        return mantissa << -shift
    quotient, half = mantissa >> shift, 1 << (shift - 1)
    rest = mantissa & ((1 << shift) - 1)
    return quotient + (rest > half or (rest == half and quotient & 1 == 1))


def _exact_literal(text: str, cleaned: str, what: str) -> Decimal | tuple[int, int]:
    try:
        if "0x" in cleaned:
            return _hexadecimal(cleaned)
        value = Decimal(cleaned)
        if value.is_finite() and len(text) <= 5000:
            return value
    except (InvalidOperation, ValueError, OverflowError):
        pass
    raise UserError(f"{what} {text[:60]!r} is not a number", "write a decimal (-1.5, 3e-7), a hex float (0x1.8p+0), inf or nan")


def _hexadecimal(cleaned: str) -> tuple[int, int]:
    """A hex float of any length as mantissa and exponent: float.fromhex alone would round to float64 first."""
    match = re.fullmatch(r"([+-]?)0x([0-9a-f]*)\.?([0-9a-f]*)(?:p([+-]?[0-9]+))?", cleaned)
    if match is None:
        raise ValueError("no hex float")
    sign, whole, fraction, power = match.groups()
    return int(sign + whole + fraction, 16), int(power or "0") - 4 * len(fraction)


def short_hex(value: float) -> str:
    """``float.hex`` without its trailing zeros: 0x1.8p+0."""
    mantissa, p, exponent = value.hex().partition("p")
    return mantissa.rstrip("0").removesuffix(".") + p + exponent if "." in mantissa else value.hex()


def _plain(text: str) -> str:
    return text.removesuffix(".0")


FLOAT64 = Format("float64", bits=64, precision=53, emin=-1022, emax=1023)
FLOAT32 = Format("float32", bits=32, precision=24, emin=-126, emax=127)
FLOAT16 = Format("float16", bits=16, precision=11, emin=-14, emax=15)
BFLOAT16 = Format("bfloat16", bits=16, precision=8, emin=-126, emax=127)
FORMATS = {dtype.name: dtype for dtype in (FLOAT64, FLOAT32, FLOAT16, BFLOAT16)}


# What people write -> its name here.
ALIASES = {
    "double": "float64",
    "fp64": "float64",
    "single": "float32",
    "float": "float32",
    "fp32": "float32",
    "half": "float16",
    "fp16": "float16",
    "bf16": "bfloat16",
}


def format_named(name: str) -> Format:
    """The format of that name, as PyTorch, numpy or people call it.

    Raises:
        UserError: when there is none, with the nearest known names.
    """
    known = ALIASES.get(name.lower(), name.lower())
    if known in FORMATS:
        return FORMATS[known]
    raise UserError(f"unknown dtype {name!r}", nearest(name, FORMATS))
