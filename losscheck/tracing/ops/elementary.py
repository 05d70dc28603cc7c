"""The four operations, powers, exponentials, logarithms and the other elementary functions."""

from __future__ import annotations

from typing import Any

from losscheck.tracing.ops.table import pointwise

# Functions that the arithmetic has by its own or by flint's name, with the domain that their test draws from.
OWN = {"neg": "real", "exp": "real", "expm1": "real", "log": "positive", "log1p": "positive", "sqrt": "positive", "tanh": "real"}
NAMED = {
    "lgamma": "positive",
    "digamma": "positive",
    "sin": "real",
    "cos": "real",
    "tan": "open",
    "sinh": "real",
    "cosh": "real",
    "asinh": "real",
    "acosh": "above one",
    "atan": "real",
    "atanh": "open",
    "asin": "open",
    "acos": "open",
    "erf": "real",
    "erfc": "real",
}


def _own(name: str) -> None:
    @pointwise(name, x=OWN[name])
    def function(m: Any, x: Any) -> Any:
        return getattr(m, name)(x)


def _named(name: str) -> None:
    @pointwise(name, x=NAMED[name])
    def function(m: Any, x: Any) -> Any:
        return m.function(name, x)


for _name in OWN:
    _own(_name)
for _name in NAMED:
    _named(_name)


@pointwise("add", alpha=2)
def add(m: Any, x: Any, other: Any, alpha: Any) -> Any:
    return m.add(x, other if alpha == 1 else m.mul(other, alpha))


@pointwise("sub", alpha=2)
def sub(m: Any, x: Any, other: Any, alpha: Any) -> Any:
    return m.sub(x, other if alpha == 1 else m.mul(other, alpha))


@pointwise("rsub", alpha=2)
def rsub(m: Any, x: Any, other: Any, alpha: Any) -> Any:
    return m.sub(other, x if alpha == 1 else m.mul(x, alpha))


@pointwise("mul")
def mul(m: Any, x: Any, other: Any) -> Any:
    return m.mul(x, other)


@pointwise("div", other="positive")
def div(m: Any, x: Any, other: Any) -> Any:
    return m.div(x, other)


@pointwise("reciprocal", x="positive")
def reciprocal(m: Any, x: Any) -> Any:
    return m.div(m.number(1), x)


@pointwise("pow", x="positive")
def power(m: Any, x: Any, exponent: Any) -> Any:
    return m.power(x, exponent)


@pointwise("square")
def square(m: Any, x: Any) -> Any:
    return m.mul(x, x)


@pointwise("rsqrt", x="positive")
def rsqrt(m: Any, x: Any) -> Any:
    return m.div(m.number(1), m.sqrt(x))


@pointwise("log2", x="positive")
def log2(m: Any, x: Any) -> Any:
    return m.div(m.log(x), m.log(m.number(2)))


@pointwise("log10", x="positive")
def log10(m: Any, x: Any) -> Any:
    return m.div(m.log(x), m.log(m.number(10)))


@pointwise("exp2")
def exp2(m: Any, x: Any) -> Any:
    return m.power(m.number(2), x)


@pointwise("lerp", weight="unit")
def lerp(m: Any, x: Any, end: Any, weight: Any) -> Any:
    return m.add(x, m.mul(weight, m.sub(end, x)))


@pointwise("addcmul", value=0.5)
def addcmul(m: Any, x: Any, tensor1: Any, tensor2: Any, value: Any) -> Any:
    return m.add(x, m.mul(value, m.mul(tensor1, tensor2)))


@pointwise("addcdiv", value=0.5, tensor2="positive")
def addcdiv(m: Any, x: Any, tensor1: Any, tensor2: Any, value: Any) -> Any:
    return m.add(x, m.mul(value, m.div(tensor1, tensor2)))


@pointwise("logaddexp")
def logaddexp(m: Any, x: Any, other: Any) -> Any:
    """x + softplus(other - x); an infinite x is larger or smaller than everything."""
    if m.less(x, other):
        x, other = other, x
    return m.add(x, m.softplus(m.sub(other, x))) if m.less(x, m.number(float("inf"))) else x


@pointwise("xlogy", x="unit", other="positive")
def xlogy(m: Any, x: Any, other: Any) -> Any:
    return m.mul(m.number(0), x) if m.equal(x, m.number(0)) and not m.is_nan(other) else m.mul(x, m.log(other))


@pointwise("special_xlog1py", x="unit", other="positive")
def xlog1py(m: Any, x: Any, other: Any) -> Any:
    return m.mul(m.number(0), x) if m.equal(x, m.number(0)) and not m.is_nan(other) else m.mul(x, m.log1p(other))


@pointwise("special_entr", x="positive")
def entr(m: Any, x: Any) -> Any:
    if m.equal(x, m.number(0)):
        return m.number(0)
    return m.number(float("-inf")) if m.less(x, m.number(0)) else m.neg(m.mul(x, m.log(x)))


@pointwise("polygamma", n=1, x="positive")
def polygamma(m: Any, n: Any, x: Any) -> Any:
    if n not in (0, 1):
        raise NotImplementedError("polygamma beyond the first")
    return m.function("digamma" if n == 0 else "trigamma", x)


@pointwise("hypot", x="positive")
def hypot(m: Any, x: Any, other: Any) -> Any:
    return m.sqrt(m.add(m.mul(x, x), m.mul(other, other)))
