"""The exact ops over the arithmetics that formulas are written in (losscheck.oracle): flint, mpmath, duals, the filter, the limits."""

from __future__ import annotations

import math
from typing import Any

from losscheck.core.errors import UserError
from losscheck.oracle.extended import UndecidedError

__all__ = ["Operators"]


class Operators:
    """What an exact op asks of its arithmetic, by the operators and functions of a formula's."""

    def __init__(self, m: Any) -> None:
        self.m = m

    def number(self, value: Any) -> Any:
        return self.m.number(float(value)) if isinstance(value, bool | int | float) else value

    def truth(self, value: Any) -> bool:
        return value if isinstance(value, bool) else not self.equal(value, self.number(0))

    def add(self, a: Any, b: Any) -> Any:
        return self._lifted(a) + self._lifted(b)

    def sub(self, a: Any, b: Any) -> Any:
        return self._lifted(a) - self._lifted(b)

    def neg(self, a: Any) -> Any:
        return -self._lifted(a)

    def mul(self, a: Any, b: Any) -> Any:
        return self._lifted(a) * self._lifted(b)

    def div(self, a: Any, b: Any) -> Any:
        return self._lifted(a) / self._lifted(b)

    def exp(self, x: Any) -> Any:
        return self.m.exp(x)

    def expm1(self, x: Any) -> Any:
        return self.m.exp(x) - self.number(1)

    def log(self, x: Any) -> Any:
        return self.m.log(x)

    def log1p(self, x: Any) -> Any:
        return self.m.log1p(x)

    def sqrt(self, x: Any) -> Any:
        return self.m.power(x, self.number(0.5))

    def sigmoid(self, x: Any) -> Any:
        return self.m.sigmoid(x)

    def softplus(self, x: Any) -> Any:
        return self.m.softplus(x)

    def tanh(self, x: Any) -> Any:
        return self.m.tanh_half(x + x)

    def power(self, base: Any, exponent: Any) -> Any:
        return self.m.power(self._lifted(base), exponent)

    def function(self, name: str, x: Any) -> Any:
        known = {"cosh": lambda x: (self.exp(x) + self.exp(-x)) / 2, "sinh": lambda x: (self.exp(x) - self.exp(-x)) / 2}
        if name not in known:
            raise UserError(f"a formula has no {name}", "write the formula by hand over what m has")
        return known[name](x)

    def floor(self, x: Any) -> Any:
        return self.number(math.floor(self.m.as_float(x)))

    def detach(self, x: Any) -> Any:
        """The value alone, of a number that carries a slope."""
        while hasattr(x, "slope") and hasattr(x, "value"):
            x = x.value
        return x

    def less(self, a: Any, b: Any) -> bool:
        """Raises UndecidedError where the enclosures overlap."""
        a, b = self.detach(self._lifted(a)), self.detach(self._lifted(b))
        if a < b:
            return True
        if a > b or a == b:
            return False
        raise UndecidedError

    def equal(self, a: Any, b: Any) -> bool:
        """Raises UndecidedError where the enclosures overlap."""
        a, b = self.detach(self._lifted(a)), self.detach(self._lifted(b))
        if a == b:
            return True
        if a < b or a > b:
            return False
        raise UndecidedError

    def is_nan(self, x: Any) -> bool:
        return False

    def maximum(self, a: Any, b: Any) -> Any:
        return self.m.maximum(self._lifted(a), self._lifted(b))

    def minimum(self, a: Any, b: Any) -> Any:
        return self.m.minimum(self._lifted(a), self._lifted(b))

    def _lifted(self, x: Any) -> Any:
        return self.number(x) if isinstance(x, bool | int | float) else x
