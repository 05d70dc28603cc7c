"""A formula of ours, such as a loss's definition, as an expression: two that are one object are equal, and that is a proof."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from losscheck.core.dtypes import Format
from losscheck.core.loss import Formula
from losscheck.tracing.own.choices import tree_of
from losscheck.tracing.own.expressions import Sum, X, constant_of, number
from losscheck.tracing.own.symbols import NoExpressionError, Symbols
from losscheck.tracing.own.trees import Tree

__all__ = ["definition_tree"]


def definition_tree(formula: Formula, target: float, params: Mapping[str, float], dtype: Format) -> Tree:
    """The formula at a target, over the logit.

    Raises:
        NoExpressionError: when it has no expression here.
    """

    def run(symbols: Symbols) -> Sum | None:
        m = _Arithmetic(symbols, dtype)
        numbers = {name: m.number(value) for name, value in params.items()}
        result = formula(m, _Number(symbols, X), m.number(target), **numbers)
        return m.lifted(result).value

    try:
        return tree_of(run)
    except (TypeError, AttributeError, ValueError) as error:
        raise NoExpressionError(str(error)) from error


@dataclass(frozen=True, eq=False)
class _Number:
    """An expression with the operators that formulas use."""

    symbols: Symbols
    value: Sum | None

    def _of(self, operation: str, *operands: Any) -> _Number:
        return _Number(self.symbols, getattr(self.symbols, operation)(*(getattr(operand, "value", operand) for operand in operands)))

    def __neg__(self) -> _Number:
        return self._of("neg", self)

    def __add__(self, other: Any) -> _Number:
        return self._of("add", self, other)

    def __sub__(self, other: Any) -> _Number:
        return self._of("sub", self, other)

    def __rsub__(self, other: Any) -> _Number:
        return self._of("sub", other, self)

    def __mul__(self, other: Any) -> _Number:
        return self._of("mul", self, other)

    def __truediv__(self, other: Any) -> _Number:
        return self._of("div", self, other)

    def __rtruediv__(self, other: Any) -> _Number:
        return self._of("div", other, self)

    def __lt__(self, other: Any) -> bool:
        return self.symbols.less(self.value, getattr(other, "value", other))

    def __gt__(self, other: Any) -> bool:
        return self.symbols.less(getattr(other, "value", other), self.value)

    def __eq__(self, other: object) -> bool:
        return self.symbols.equal(self.value, getattr(other, "value", other))

    __hash__ = None  # type: ignore[assignment]
    __radd__ = __add__
    __rmul__ = __mul__


class _Arithmetic:
    """The arithmetic ``m`` of a formula."""

    def __init__(self, symbols: Symbols, dtype: Format) -> None:
        self.symbols, self.dtype = symbols, dtype

    def number(self, value: float) -> _Number:
        return _Number(self.symbols, number(Fraction(value)))

    def rounded(self, value: float, dtype: Format | None = None) -> _Number:
        return self.number((dtype or self.dtype).round(value))

    def as_float(self, x: Any) -> float:
        value = None if x.value is None else constant_of(x.value)
        if value is None:
            raise NoExpressionError("a constant that is none")
        return float(value)

    def lifted(self, x: Any) -> _Number:
        return x if isinstance(x, _Number) else self.number(x)

    def tanh_half(self, x: Any) -> _Number:
        half = self.lifted(x) * self.number(0.5)
        return _Number(self.symbols, self.symbols.tanh(half.value))

    def __getattr__(self, name: str) -> Any:
        operation = getattr(self.symbols, name)

        def function(*operands: Any) -> _Number:
            return _Number(self.symbols, operation(*(self.lifted(operand).value for operand in operands)))

        return function
