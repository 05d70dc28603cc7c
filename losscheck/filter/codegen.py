"""Compiled code for the bulk filter: a formula traced into one loop, judged and counted without leaving the cache.

The rules of carried.py are run once on expressions instead of arrays; what comes out is the source of a function that
numba compiles. Exponential and logarithm are polynomials, because only those vectorise; their truncation errors are far
below the bound that carried.py grants them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from losscheck.core.dtypes import Format
from losscheck.core.effect import Scale, effect_rules
from losscheck.core.loss import Formula
from losscheck.filter.running_error import NoFilterError, RunningErrorArithmetic

__all__ = ["compile_filter", "trace", "trace_effect"]


class Code:
    """The statements of one function; equal expressions are computed once."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._names: dict[str, str] = {}

    def name(self, expression: str) -> Expression:
        if expression not in self._names:
            self._names[expression] = f"t{len(self._names)}"
            self.lines.append(f"{self._names[expression]} = {expression}")
        return Expression(self, self._names[expression])


class Expression:
    """A float64 or truth value in the compiled loop."""

    def __init__(self, code: Code, name: str) -> None:
        self.code, self.name = code, name

    def _binary(self, sign: str, other: Any, swapped: bool = False) -> Expression:
        if not isinstance(other, Expression | int | float):
            return NotImplemented
        a, b = (_text(other), self.name) if swapped else (self.name, _text(other))
        return self.code.name(f"{a} {sign} {b}")

    def __neg__(self) -> Expression:
        return self.code.name(f"-{self.name}")

    def __add__(self, other: Any) -> Expression:
        return self._binary("+", other)

    def __radd__(self, other: Any) -> Expression:
        return self._binary("+", other, swapped=True)

    def __sub__(self, other: Any) -> Expression:
        return self._binary("-", other)

    def __mul__(self, other: Any) -> Expression:
        return self._binary("*", other)

    def __rmul__(self, other: Any) -> Expression:
        return self._binary("*", other, swapped=True)

    def __truediv__(self, other: Any) -> Expression:
        return self._binary("/", other)

    def __rtruediv__(self, other: Any) -> Expression:
        return self._binary("/", other, swapped=True)

    def __gt__(self, other: Any) -> Expression:
        return self._binary(">", other)

    def __le__(self, other: Any) -> Expression:
        return self._binary("<=", other)

    def __lt__(self, other: Any) -> Expression:
        return self._binary("<", other)

    def __ge__(self, other: Any) -> Expression:
        return self._binary(">=", other)


class ExpressionOperations:
    """The operations of carried.py as statements."""

    def __init__(self, code: Code) -> None:
        self.code = code

    def where(self, condition: Any, a: Any, b: Any) -> Any:
        return self.code.name(f"{_text(a)} if {condition.name} else {_text(b)}")

    def absolute(self, x: Any) -> Any:
        return self.code.name(f"abs({x.name})")

    def minimum(self, a: Any, b: Any) -> Any:
        return self.code.name(f"{_text(a)} if {_text(a)} < {_text(b)} else {_text(b)}")

    def maximum(self, a: Any, b: Any) -> Any:
        return self.code.name(f"{_text(a)} if {_text(a)} > {_text(b)} else {_text(b)}")

    def exp(self, x: Any) -> Any:
        return self.code.name(f"exp({x.name})")

    def log(self, x: Any) -> Any:
        return self.code.name(f"log({x.name})")

    def log1p(self, x: Any) -> Any:
        return self.code.name(f"log1p({x.name})")

    def exp_clamped(self, x: Any) -> Any:
        return self.code.name(f"exp_clamped({x.name})")

    def expm1_clamped(self, x: Any) -> Any:
        return self.code.name(f"expm1_clamped({x.name})")

    def log1p_unit(self, x: Any) -> Any:
        return self.code.name(f"log1p_unit({x.name})")

    def power(self, x: Any, exponent: float) -> Any:
        from losscheck.filter.operations import repeated_product

        product = repeated_product(x, exponent)
        return self.code.name(f"pow({x.name}, {exponent!r})") if product is None else product


def trace(formula: Formula, target: float, params: Mapping[str, float], dtype: Format, differentiate: bool = False) -> str:
    """The source of ``filter_values(x) -> (value, bound)`` for one float64 logit.

    Raises:
        NoFilterError: when the formula does something that the filter has no rule for.
    """
    from losscheck.filter.arrays import apply

    code = Code()
    m = RunningErrorArithmetic(ExpressionOperations(code), dtype)
    result = apply(m, formula, Expression(code, "x"), target, params, differentiate)
    body = "".join(f"    {line}\n" for line in code.lines)
    return f"def filter_values(x):\n{body}    return {_text(result.value)}, {_text(result.bound)}\n"


def trace_effect(scale: Scale, *, loss: bool = True, grad: bool = True) -> str:
    """The source of ``effect_code(loss, exact_loss, grad, exact_grad, failed) -> code``, the rules of core/effect.py for float64.

    A quantity that was not asked for is an argument that nothing reads.
    """
    code = Code()
    names = ("loss", "exact_loss", "grad", "exact_grad", "failed")
    value, exact, slope, exact_slope, failed = (Expression(code, name) for name in names)
    result = effect_rules(
        ExpressionOperations(code),
        value if loss else None,
        exact if loss else None,
        slope if grad else None,
        exact_slope if grad else None,
        failed,
        scale,
    )
    body = "".join(f"    {line}\n" for line in code.lines)
    return f"def effect_code({', '.join(names)}):\n{body}    return {_text(result)}\n"


def compile_filter(source: str) -> Callable[..., Any]:
    """The compiled ``judge`` of :mod:`losscheck.filter.kernels` for a traced formula.

    Raises:
        ImportError: when numba is not installed.
    """
    from losscheck.filter import kernels

    scope: dict[str, Any] = dict(kernels.SCOPE)
    exec(compile(source, "<traced formula>", "exec"), scope)
    return kernels.judged(scope["filter_values"])


def _text(x: Any) -> str:
    if isinstance(x, Expression):
        return x.name
    if isinstance(x, int | float):
        x = float(x)
        return ("INF" if x > 0 else "(-INF)") if math.isinf(x) else f"({x!r})"
    raise NoFilterError(f"a formula mixes in a {type(x).__name__}")
