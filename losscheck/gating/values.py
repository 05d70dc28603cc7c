"""Results against values as they are printed in a paper or a blog: right to the digits that are there."""

from __future__ import annotations

import math
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction

from losscheck.core.dtypes import FLOAT64
from losscheck.gating.measured import Measured

__all__ = ["agrees", "differs_from_printed"]


def agrees(value: float, printed: str) -> bool:
    """Is the printed number the value, rounded to the digits printed? Half a unit of the last one is within it."""
    if "0x" in printed.lower() or not math.isfinite(value) or not math.isfinite(expected := FLOAT64.parse(printed)):
        expected = FLOAT64.parse(printed)
        return value == expected or (math.isnan(value) and math.isnan(expected))
    decimal = Decimal(printed.strip())
    exponent = decimal.as_tuple().exponent
    assert isinstance(exponent, int)
    return abs(Fraction(value) - Fraction(decimal)) <= Fraction(10) ** exponent / 2


def differs_from_printed(measured: Measured) -> Iterator[str]:
    """A sentence for each result that is not what the case prints."""
    printed = measured.case.expect.value
    for n, row in enumerate(measured.rows):
        expected = printed[n if len(printed) > 1 else 0]
        if row.value is not None and not agrees(row.value, expected):
            yield f"got {measured.dtype.shortest(row.value)}, printed {expected}"
