"""Proved enclosures: python-flint's real balls (Arb). Formulas work on plain `arb` objects, at C speed."""

from __future__ import annotations

from typing import Any

from flint import arb, ctx

from losscheck.core.dtypes import Format

__all__ = ["FlintArithmetic"]


class FlintArithmetic:
    """Ball arithmetic at ``bits`` of working precision. The precision is flint's, so one arithmetic works at a time."""

    def __init__(self, bits: int, dtype: Format) -> None:
        ctx.prec = bits
        self.dtype = dtype

    def number(self, value: float) -> Any:
        return arb(value)

    def rounded(self, value: float, dtype: Format | None = None) -> Any:
        return arb((dtype or self.dtype).round(value))

    def as_float(self, x: Any) -> float:
        return float(x)

    def exp(self, x: Any) -> Any:
        return x.exp()

    def log(self, x: Any) -> Any:
        return x.log()

    def log1p(self, x: Any) -> Any:
        return x.log1p()

    def softplus(self, x: Any) -> Any:
        """Either branch is right for every x; the sign of x decides which one loses no precision."""
        return x + (-x).exp().log1p() if x > 0 else x.exp().log1p()

    def sigmoid(self, x: Any) -> Any:
        if x > 0:
            return 1 / (1 + (-x).exp())
        e = x.exp()
        return e / (1 + e)

    def tanh_half(self, x: Any) -> Any:
        return (x / 2).tanh()

    def power(self, base: Any, exponent: Any) -> Any:
        return base**exponent

    def minimum(self, a: Any, b: Any) -> Any:
        return arb(a).min(b)

    def detach(self, x: Any) -> Any:
        return x

    def maximum(self, a: Any, b: Any) -> Any:
        return arb(a).max(b)

    def enclosure(self, x: Any) -> tuple[tuple[int, int], tuple[int, int]] | None:
        x = arb(x)
        if not x.is_finite():
            return None
        if x.is_exact():
            return (exact := _dyadic(x), exact)
        return _dyadic(x.lower()), _dyadic(x.upper())


def _dyadic(x: Any) -> tuple[int, int]:
    mantissa, exponent = x.man_exp()
    return int(mantissa), int(exponent)
