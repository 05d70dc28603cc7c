"""The compiled loop of the bulk filter: formulas and classification traced into one function that stays in the cache.

The rules of running_error.py and classify.py are run once on expressions instead of arrays; what comes out is the source of
a loop that numba compiles. Exponential and logarithm are polynomials, because only those vectorise; their truncation errors
are far below the bound that running_error.py grants them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from losscheck.core.dtypes import Format
from losscheck.core.loss import Formula
from losscheck.filter.arrays import apply
from losscheck.filter.operations import repeated_product
from losscheck.filter.running_error import NoFilterError, RunningErrorArithmetic

__all__ = ["Expression", "ExpressionOperations", "LoopBody", "compile_loop", "trace"]


class LoopBody:
    """The statements of one loop body; equal expressions are computed once."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._names: dict[str, str] = {}

    def name(self, expression: str) -> Expression:
        if expression not in self._names:
            self._names[expression] = f"t{len(self._names)}"
            self.lines.append(f"{self._names[expression]} = {expression}")
        return Expression(self, self._names[expression])


class Expression:
    """A float64, an integer or a truth value in the compiled loop."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, code: LoopBody, name: str) -> None:
        self.code, self.name = code, name

    def _binary(self, sign: str, other: Any, swapped: bool = False) -> Expression:
        if not isinstance(other, Expression | int | float):
            return NotImplemented
        a, b = (_text(other), self.name) if swapped else (self.name, _text(other))
        return self.code.name(f"{a} {sign} {b}")

    def __abs__(self) -> Expression:
        return self.code.name(f"abs({self.name})")

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

    def __rsub__(self, other: Any) -> Expression:
        return self._binary("-", other, swapped=True)

    def __rtruediv__(self, other: Any) -> Expression:
        return self._binary("/", other, swapped=True)

    def __gt__(self, other: Any) -> Expression:
        return self._binary(">", other)

    def __ge__(self, other: Any) -> Expression:
        return self._binary(">=", other)

    def __lt__(self, other: Any) -> Expression:
        return self._binary("<", other)

    def __le__(self, other: Any) -> Expression:
        return self._binary("<=", other)

    def __eq__(self, other: Any) -> Expression:  # type: ignore[override]
        return self._binary("==", other)

    def __ne__(self, other: Any) -> Expression:  # type: ignore[override]
        return self._binary("!=", other)

    def __and__(self, other: Expression) -> Expression:
        return self._binary("&", other)

    def __or__(self, other: Expression) -> Expression:
        return self._binary("|", other)

    def __xor__(self, other: Expression) -> Expression:
        return self._binary("!=", other)

    def __invert__(self) -> Expression:
        return self.code.name(f"not {self.name}")


class ExpressionOperations:
    """The operations of running_error.py as statements."""

    def __init__(self, code: LoopBody) -> None:
        self.code = code

    def where(self, condition: Any, a: Any, b: Any) -> Any:
        return self.code.name(f"{_text(a)} if {condition.name} else {_text(b)}")

    def absolute(self, x: Any) -> Any:
        return self.code.name(f"abs({x.name})")

    def within(self, x: Any, limit: float) -> bool:
        return False

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
        product = repeated_product(x, exponent)
        return self.code.name(f"pow({x.name}, {exponent!r})") if product is None else product

    def exponent(self, x: Any) -> Any:
        return self.code.name(f"exponent({x.name})")

    def power_of_two(self, exponent: Any) -> Any:
        return self.code.name(f"power_of_two({exponent.name})")


def trace(
    code: LoopBody,
    formula: Formula,
    logit: Expression,
    target: float,
    params: Mapping[str, float],
    dtype: Format,
    differentiate: bool = False,
) -> tuple[Expression, Expression]:
    """Value and relative error bound of a formula at one float64 logit, as statements of ``code``.

    Raises:
        NoFilterError: when the formula does something that the filter has no rule for.
    """
    m = RunningErrorArithmetic(ExpressionOperations(code), dtype)
    result = apply(m, formula, logit, target, params, differentiate)
    value, bound = (x if isinstance(x, Expression) else code.name(_text(x)) for x in (result.value, result.bound))
    return value, bound


def loop_source(code: LoopBody, inputs: Sequence[str], outputs: Mapping[str, str]) -> str:
    """The function ``loop(inputs..., outputs...)`` over arrays: every input one name of the body, every output one expression."""
    lines = [f"{name} = float64({name}_at[i])" for name in inputs] + code.lines
    lines += [f"{name}_at[i] = {expression}" for name, expression in outputs.items()]
    arrays = ", ".join(f"{name}_at" for name in (*inputs, *outputs))
    body = "".join(f"        {line}\n" for line in lines)
    return f"def loop({arrays}):\n    for i in range({inputs[0]}_at.size):\n{body}"


def compile_loop(code: LoopBody, inputs: Sequence[str], outputs: Mapping[str, str], contract: bool = True) -> Callable[..., None]:
    """The compiled function of :func:`loop_source`; with ``contract`` a product and a sum may be rounded as one.

    Raises:
        ImportError: when numba is not installed.
    """
    from losscheck.filter import kernels

    return kernels.compiled(loop_source(code, inputs, outputs), contract)


def _text(x: Any) -> str:
    if isinstance(x, Expression):
        return x.name
    if isinstance(x, int):
        return f"({x})"
    if isinstance(x, float):
        return ("INF" if x > 0 else "(-INF)") if math.isinf(x) else f"({x!r})"
    raise NoFilterError(f"a formula mixes in a {type(x).__name__}")
