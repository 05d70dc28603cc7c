"""What finds the exact value: arithmetics that enclose, and the loop that refines until one float is decided.

An arithmetic `m` is what a formula takes as its first argument. It makes numbers that know +, -, *, / and comparison
with exact constants, and the functions below. Everything it returns encloses the true value.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Protocol

from losscheck.core.dtypes import Format
from losscheck.core.errors import UserError, nearest
from losscheck.core.exact import Dyadic

__all__ = ["ORACLES", "Arithmetic", "arithmetic"]

ORACLES = ("flint", "mpmath")


class Arithmetic(Protocol):
    """The numbers a formula is written in.

    ``rounded(c)`` is the float c as the dtype under test (or another) holds it; ``as_float`` gives back the float that
    an exact number was made from, for constants that a program computes in float64.
    """

    dtype: Format

    def number(self, value: float) -> Any: ...
    def rounded(self, value: float, dtype: Format | None = None) -> Any: ...
    def as_float(self, x: Any) -> float: ...
    def exp(self, x: Any) -> Any: ...
    def log(self, x: Any) -> Any: ...
    def log1p(self, x: Any) -> Any: ...
    def softplus(self, x: Any) -> Any: ...
    def sigmoid(self, x: Any) -> Any: ...
    def tanh_half(self, x: Any) -> Any:
        """tanh(x / 2) = sigmoid(x) - sigmoid(-x)"""
        ...

    def power(self, base: Any, exponent: Any) -> Any: ...
    def minimum(self, a: Any, b: Any) -> Any: ...
    def maximum(self, a: Any, b: Any) -> Any: ...
    def detach(self, x: Any) -> Any:
        """The same number; where it is differentiated, a constant."""
        ...

    def enclosure(self, x: Any) -> tuple[Dyadic, Dyadic] | None:
        """The lower and the upper end of a number, or None while it is not enclosed in a finite interval."""
        ...


def arithmetic(oracle: str, bits: int, dtype: Format) -> Arithmetic:
    """The arithmetic of an oracle at a working precision.

    Raises:
        UserError: for an unknown oracle, or one whose library is not installed.
    """
    if oracle == "mpmath":
        from losscheck.oracle.mpmath import MpmathArithmetic

        return MpmathArithmetic(bits, dtype)
    if oracle != "flint":
        raise UserError(f"unknown oracle {oracle!r}", nearest(oracle, ORACLES))
    return _flint()(bits, dtype)


@functools.cache
def _flint() -> Callable[[int, Format], Arithmetic]:
    try:
        from losscheck.oracle.flint import FlintArithmetic
    except ImportError as error:
        raise UserError(f"the flint oracle cannot be loaded ({error})", "pip install python-flint, or use --oracle mpmath") from None
    return FlintArithmetic
