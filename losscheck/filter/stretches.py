"""Stretches of neighbouring floats on which a claim is one polynomial in float64, with a proved bound.

A stretch is 2^n floats of one binade of the logit, the first a multiple of 2^n: which ones there are depends on the claim alone,
not on where a scan begins. It is halved until the bound allows the degree. Within a stretch the polynomial is cut into pieces,
see :mod:`losscheck.filter.pieces`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from losscheck.core.dtypes import Format
from losscheck.core.errors import UserError
from losscheck.core.loss import Formula
from losscheck.filter.classify import Limits
from losscheck.filter.pieces import PieceTable, cut, ulp_of
from losscheck.filter.polynomials import fitted

__all__ = ["LEAST", "MOST", "Stretch", "Stretches"]

MOST, LEAST = 23, 13  # log2 of the floats of a stretch
REMEMBERED = 4096
ENOUGH = 2.0**-24  # ulp of what a polynomial may be off by; a float32 keeps as much of 1/2 ulp


@dataclass(frozen=True)
class Stretch:
    """Floats from ordinal ``first`` on; ``table`` is None where no polynomial is known."""

    first: int
    count: int
    table: PieceTable | None = None


class Stretches:
    """The stretches of one claim at one target.

    Args:
        differentiate: the claim is the derivative of the formula.
    """

    def __init__(
        self, formula: Formula, differentiate: bool, target: float, params: Mapping[str, float], dtype: Format, limits: Limits
    ) -> None:
        self.claim = (formula, differentiate)
        self.target, self.params, self.dtype, self.limits = target, params, dtype, limits
        self.never = False  # the formula does something that has no series
        self._known: dict[tuple[bool, int, int], Stretch | None] = {}
        self._last = Stretch(0, 0)

    def over(self, first: int, count: int) -> Iterator[Stretch]:
        """The stretches that hold the floats from an ordinal on, in order."""
        at = first
        while at < first + count:
            stretch = self.at(at)
            yield stretch
            at = stretch.first + stretch.count

    def at(self, ordinal: int) -> Stretch:
        """The stretch that a float lies in."""
        if not self._last.first <= ordinal < self._last.first + self._last.count:
            self._last = self._found(ordinal)
        return self._last

    def _found(self, ordinal: int) -> Stretch:
        negative = ordinal < 0
        bits = -1 - ordinal if negative else ordinal
        if bits >= self.dtype.infinity_ordinal:
            return Stretch(ordinal, 1)
        for level in range(MOST, LEAST - 1, -1):
            key = negative, level, bits >> level
            if key not in self._known:
                if len(self._known) > REMEMBERED:
                    self._known.clear()
                self._known[key] = self._made(*key)
                if level == MOST and self._known[key] is None and self._is_hopeless(*key):
                    first = key[2] << MOST
                    self._known[key] = Stretch(-first - (1 << MOST) if negative else first, 1 << MOST)
            if (stretch := self._known[key]) is not None:
                return stretch
        raise AssertionError("the least stretch is never refused")

    def _is_hopeless(self, negative: bool, level: int, number: int) -> bool:
        """Is there no polynomial even on the least stretches at both ends and in the middle? Asking everywhere would take long."""
        last = (1 << level - LEAST) - 1
        least = [(number << level - LEAST) + at for at in (0, last // 2, last)]
        return all((stretch := self._made(negative, LEAST, at)) is not None and stretch.table is None for at in least)

    def _made(self, negative: bool, level: int, number: int) -> Stretch | None:
        """The stretch; None where it has to be halved."""
        dtype, length = self.dtype, 1 << level
        bits = number << level
        first = -bits - length if negative else bits
        least = level == LEAST
        if self.never:
            return Stretch(first, length)
        low, spacing = dtype.from_ordinal(bits), dtype.from_ordinal(bits + 1) - dtype.from_ordinal(bits)
        middle = low + spacing * (length - 1) / 2
        table = self._table(-middle if negative else middle, spacing * length / 2, length, least)
        if table is None:
            return Stretch(first, length) if least or self.never else None
        return Stretch(first, length, table)

    def _table(self, middle: float, half: float, length: int, least: bool) -> PieceTable | None:
        from losscheck.oracle.local import series_of

        formula, differentiate = self.claim
        try:
            series = series_of(formula, middle, half, self.target, self.params, self.dtype, differentiate)
        except ArithmeticError:
            return None
        except (UserError, TypeError, ValueError, AttributeError):
            self.never = True
            return None
        polynomial = fitted(series, ulp_of(abs(series.coefficients[0]), self.limits) * ENOUGH)
        return None if polynomial is None else cut(*polynomial, length, self.limits, least)
