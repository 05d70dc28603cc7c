"""An exact value as the oracle found it: an enclosure of a real number, and the one float it rounds to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

__all__ = ["Dyadic", "Exact", "Kind"]

# A real number mantissa * 2**exponent, exactly. The exponent may be beyond any machine integer.
Dyadic = tuple[int, int]


class Kind(Enum):
    """What sort of thing an exact value is."""

    FINITE = "finite"
    INFINITE = "infinite"
    NAN = "nan"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Exact:
    """An exact value: an enclosure of it, and the one float of the dtype that it rounds to.

    Attributes:
        kind: finite (a real number, of any size), infinite (a limit), nan, or undecided.
        rounded: the correctly rounded float; infinite when a finite value overflows; NaN when undecided.
        middle: the middle of the enclosure, exactly, as mantissa and exponent; (0, 0) unless finite.
        radius: half its width.
        bits: the working precision that decided it.
    """

    kind: Kind
    rounded: float
    middle: Dyadic = (0, 0)
    radius: Dyadic = (0, 0)
    bits: int = 0

    @property
    def magnitude(self) -> int:
        """floor(log2 |value|); of zero, an exponent below every format's.

        The oracle places the middle on that side of a power of two on which the value lies.
        """
        mantissa, exponent = self.middle
        return mantissa.bit_length() - 1 + exponent if mantissa else -(2**62)

    @property
    def proved_digits(self) -> int:
        """The significant digits that the enclosure proves; 10000, which is more than anyone asks, where it is one number."""
        mantissa, exponent = self.radius
        if self.kind is not Kind.FINITE or not mantissa:
            return 10000
        return max(1, int((self.magnitude - mantissa.bit_length() - exponent) * math.log10(2)))

    def decimal(self, digits: int = 34) -> str:
        """The value to ``digits`` significant digits, or nan, inf, -inf. Digits that are not proved are left away."""
        digits = min(digits, self.proved_digits)
        if self.kind is not Kind.FINITE:
            return str(self.rounded)
        if self.middle[0] == 0:
            return "0"
        from mpmath.libmp import from_man_exp, to_str

        return str(to_str(from_man_exp(*self.middle), digits, strip_zeros=True, min_fixed=-5, max_fixed=21)).removesuffix(".0")
