"""The operations of the bulk filter on numpy arrays and on torch tensors (any device)."""

from __future__ import annotations

from typing import Any

__all__ = ["ArrayOperations", "repeated_product"]


class ArrayOperations:
    """Eager operations of the module ``xp``, numpy or torch, in float64."""

    def __init__(self, xp: Any) -> None:
        self.xp = xp
        self.clips = xp.__name__ == "torch"  # its minimum and maximum take no plain number; numpy's clip is slow on few

    def where(self, condition: Any, a: Any, b: Any) -> Any:
        if isinstance(a, float) and isinstance(b, float):
            a = self.xp.full_like(condition, a, dtype=self.xp.float64)  # of two floats torch would make float32
        return self.xp.where(condition, a, b)

    def exponent(self, x: Any) -> Any:
        return (x.view(self.xp.int64) >> 52) - 1023

    def power_of_two(self, exponent: Any) -> Any:
        return ((exponent + 1023) << 52).view(self.xp.float64)

    def absolute(self, x: Any) -> Any:
        return abs(x)

    def within(self, x: Any, limit: float) -> bool:
        # A device is not waited for.
        return self.xp.__name__ == "numpy" and len(x) > 0 and float(x.min()) >= -limit and float(x.max()) <= limit

    def minimum(self, a: Any, b: Any) -> Any:
        a, b = (b, a) if isinstance(a, int | float) else (a, b)
        return self.xp.clip(a, None, b) if self.clips and isinstance(b, int | float) else self.xp.minimum(a, b)

    def maximum(self, a: Any, b: Any) -> Any:
        a, b = (b, a) if isinstance(a, int | float) else (a, b)
        return self.xp.clip(a, b, None) if self.clips and isinstance(b, int | float) else self.xp.maximum(a, b)

    def exp(self, x: Any) -> Any:
        return self.xp.exp(x)

    def log(self, x: Any) -> Any:
        return self.xp.log(x)

    def log1p(self, x: Any) -> Any:
        return self.xp.log1p(x)

    def exp_clamped(self, x: Any) -> Any:
        return self.xp.exp(x)

    def expm1_clamped(self, x: Any) -> Any:
        return self.xp.expm1(x)

    def log1p_unit(self, x: Any) -> Any:
        return self.xp.log1p(x)

    def power(self, x: Any, exponent: float) -> Any:
        product = repeated_product(x, exponent)
        return x**exponent if product is None else product


def repeated_product(x: Any, exponent: float) -> Any:
    """x * x * ... for small whole exponents, whose error is known; None for others."""
    if exponent not in (1.0, 2.0, 3.0, 4.0):
        return None
    result = x
    for _ in range(int(exponent) - 1):
        result = result * x
    return result
