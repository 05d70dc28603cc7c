"""Numbers of the extended arithmetic as exact values of a dtype: when one is known well enough, and which float it rounds to."""

from __future__ import annotations

import math
from typing import Any

from flint import arb

from losscheck.core.dtypes import Format
from losscheck.core.exact import Exact, Kind
from losscheck.oracle.extended import special
from losscheck.oracle.refine import of_enclosure

__all__ = ["exact_of", "settled"]

# 53 bits of a double, 20 of its ulp distance and a few more.
SETTLED = 80


def settled(value: Any) -> bool:
    """Is a number known well enough to be rounded to any format and its ulp distance pinned, in nearly every case?"""
    return type(value) is not arb or value == 0 or value.rel_accuracy_bits() >= SETTLED


def exact_of(value: Any, dtype: Format, bits: int) -> Exact:
    """A number of this arithmetic as an exact value of the dtype; undecided while more than one float could be it."""
    if isinstance(value, bool | int):
        value = arb(int(value))
    if special(value):
        return Exact(Kind.NAN, math.nan) if value != value else Exact(Kind.INFINITE, value)
    if not value.is_finite():
        return Exact(Kind.UNDECIDED, math.nan, bits=bits)
    if value.is_exact():
        end = _dyadic(value)
        return Exact(Kind.FINITE, dtype.round_dyadic(*end), end, (0, 0), bits)
    return of_enclosure((_dyadic(value.lower()), _dyadic(value.upper())), dtype, bits) or Exact(Kind.UNDECIDED, math.nan, bits=bits)


def _dyadic(x: Any) -> tuple[int, int]:
    mantissa, exponent = x.man_exp()
    return int(mantissa), int(exponent)
