"""Differentiation backwards: a formula is run once, then one sweep gives its slope by every variable.

A slope that is exactly 0 stays 0 whatever it meets (0 * inf = 0): what a mask or a `where` leaves out has no slope.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from losscheck.oracle.extended import Extended

__all__ = ["Reverse", "ReverseNode"]

# d/dx of the functions that Extended.function knows, over that arithmetic.
SLOPES: dict[str, Callable[[Extended, Any], Any]] = {
    "lgamma": lambda m, x: m.function("digamma", x),
    "digamma": lambda m, x: m.function("trigamma", x),
    "trigamma": lambda m, x: m.mul(m.number(-2), m.function("hurwitz 3", x)),
    "sin": lambda m, x: m.function("cos", x),
    "cos": lambda m, x: m.neg(m.function("sin", x)),
    "tan": lambda m, x: m.add(m.number(1), _square(m, m.function("tan", x))),
    "sinh": lambda m, x: m.function("cosh", x),
    "cosh": lambda m, x: m.function("sinh", x),
    "asinh": lambda m, x: _over(m, m.sqrt(m.add(_square(m, x), m.number(1)))),
    "acosh": lambda m, x: _over(m, m.sqrt(m.sub(_square(m, x), m.number(1)))),
    "atan": lambda m, x: _over(m, m.add(m.number(1), _square(m, x))),
    "atanh": lambda m, x: _over(m, m.sub(m.number(1), _square(m, x))),
    "asin": lambda m, x: _over(m, m.sqrt(m.sub(m.number(1), _square(m, x)))),
    "acos": lambda m, x: m.neg(_over(m, m.sqrt(m.sub(m.number(1), _square(m, x))))),
    "erf": lambda m, x: _gaussian(m, x),
    "erfc": lambda m, x: m.neg(_gaussian(m, x)),
}


def _square(m: Extended, x: Any) -> Any:
    return m.mul(x, x)


def _over(m: Extended, x: Any) -> Any:
    return m.div(m.number(1), x)


def _gaussian(m: Extended, x: Any) -> Any:
    """2 / sqrt(pi) e^(-x^2), with pi = 4 atan 1"""
    pi = m.mul(m.number(4), m.function("atan", m.number(1)))
    return m.div(m.mul(m.number(2), m.exp(m.neg(_square(m, x)))), m.sqrt(pi))


class ReverseNode:
    """A value that depends on a variable, and on what, with which slopes."""

    __slots__ = ("adjoint", "parents", "value")

    def __init__(self, value: Any, parents: tuple[tuple[ReverseNode, Any], ...] = ()) -> None:
        self.value = value
        self.parents = parents
        self.adjoint: Any = None


class Reverse:
    """The arithmetic ``base`` with every operation on a variable remembered; numbers without a variable stay plain."""

    def __init__(self, base: Extended) -> None:
        self.base = base
        self.nodes: list[ReverseNode] = []

    def variable(self, value: Any) -> ReverseNode:
        return self._node(value)

    def sweep(self, results: list[tuple[Any, Any]]) -> None:
        """The slope of sum(weight * result) by every node, into its ``adjoint``; None where it does not depend on it."""
        for result, weight in results:
            if isinstance(result, ReverseNode):
                self._give(result, weight)
        for node in reversed(self.nodes):
            if node.adjoint is None or _zero(node.adjoint):
                continue
            for parent, slope in node.parents:
                if not _zero(slope):
                    self._give(parent, self.base.mul(node.adjoint, slope))

    def _give(self, node: ReverseNode, share: Any) -> None:
        node.adjoint = share if node.adjoint is None else self.base.add(node.adjoint, share)

    def _node(self, value: Any, *parents: tuple[ReverseNode, Any]) -> ReverseNode:
        node = ReverseNode(value, parents)
        self.nodes.append(node)
        return node

    def _chain(self, x: Any, function: Callable[[Any], Any], slope: Callable[[Any, Any], Any]) -> Any:
        if not isinstance(x, ReverseNode):
            return function(x)
        value = function(x.value)
        return self._node(value, (x, slope(x.value, value)))

    def _binary(self, value: Any, a: Any, slope_a: Any, b: Any, slope_b: Any) -> Any:
        parents = [(x, slope) for x, slope in ((a, slope_a), (b, slope_b)) if isinstance(x, ReverseNode)]
        return self._node(value, *parents) if parents else value

    # The four operations ----------------------------------------------------------------------------------------

    def number(self, value: Any) -> Any:
        return value if isinstance(value, ReverseNode) else self.base.number(value)

    def truth(self, value: Any) -> Any:
        return self.base.truth(_value(value))

    def add(self, a: Any, b: Any) -> Any:
        one = self.base.number(1)
        return self._binary(self.base.add(_value(a), _value(b)), a, one, b, one)

    def sub(self, a: Any, b: Any) -> Any:
        one = self.base.number(1)
        return self._binary(self.base.sub(_value(a), _value(b)), a, one, b, -one)

    def neg(self, a: Any) -> Any:
        return self._chain(a, self.base.neg, lambda x, value: self.base.number(-1))

    def mul(self, a: Any, b: Any) -> Any:
        return self._binary(self.base.mul(_value(a), _value(b)), a, _value(b), b, _value(a))

    def div(self, a: Any, b: Any) -> Any:
        m, ratio = self.base, self.base.div(_value(a), _value(b))
        if not (isinstance(a, ReverseNode) or isinstance(b, ReverseNode)):
            return ratio
        inverse = _over(m, _value(b))
        return self._binary(ratio, a, inverse, b, m.neg(m.mul(ratio, inverse)))

    # Functions --------------------------------------------------------------------------------------------------

    def exp(self, x: Any) -> Any:
        return self._chain(x, self.base.exp, lambda x, value: value)

    def expm1(self, x: Any) -> Any:
        return self._chain(x, self.base.expm1, lambda x, value: self.base.exp(x))

    def log(self, x: Any) -> Any:
        return self._chain(x, self.base.log, lambda x, value: _over(self.base, x))

    def log1p(self, x: Any) -> Any:
        return self._chain(x, self.base.log1p, lambda x, value: _over(self.base, self.base.add(x, self.base.number(1))))

    def sqrt(self, x: Any) -> Any:
        return self._chain(x, self.base.sqrt, lambda x, value: _over(self.base, self.base.add(value, value)))

    def sigmoid(self, x: Any) -> Any:
        m = self.base
        return self._chain(x, m.sigmoid, lambda x, value: m.mul(value, m.sigmoid(m.neg(x))))

    def softplus(self, x: Any) -> Any:
        return self._chain(x, self.base.softplus, lambda x, value: self.base.sigmoid(x))

    def tanh(self, x: Any) -> Any:
        m = self.base
        return self._chain(x, m.tanh, lambda x, value: m.sub(m.number(1), _square(m, value)))

    def power(self, base: Any, exponent: Any) -> Any:
        m, b, e = self.base, _value(base), _value(exponent)
        value = m.power(b, e)
        by_base = by_exponent = m.number(0)
        if isinstance(base, ReverseNode) and not _zero(e):
            by_base = m.mul(e, m.power(b, m.sub(e, m.number(1))))
        if isinstance(exponent, ReverseNode) and not _zero(value):
            by_exponent = m.mul(value, m.log(b))
        return self._binary(value, base, by_base, exponent, by_exponent)

    def function(self, name: str, x: Any) -> Any:
        return self._chain(x, lambda x: self.base.function(name, x), lambda x, value: SLOPES[name](self.base, x))

    def floor(self, x: Any) -> Any:
        return self.base.floor(_value(x))

    def detach(self, x: Any) -> Any:
        return _value(x)

    # Decisions --------------------------------------------------------------------------------------------------

    def less(self, a: Any, b: Any) -> bool:
        return self.base.less(_value(a), _value(b))

    def equal(self, a: Any, b: Any) -> bool:
        return self.base.equal(_value(a), _value(b))

    def is_nan(self, x: Any) -> bool:
        return self.base.is_nan(_value(x))

    def maximum(self, a: Any, b: Any) -> Any:
        """At a tie half of the slope goes to each, as torch.maximum has it."""
        value = self.base.maximum(_value(a), _value(b))
        if not (isinstance(a, ReverseNode) or isinstance(b, ReverseNode)):
            return value
        one, half = self.base.number(1), self.base.number(0.5)
        if self.equal(a, b):
            return self._binary(value, a, half, b, half)
        less = self.less(a, b)
        return self._binary(value, a, one - one if less else one, b, one if less else one - one)

    def minimum(self, a: Any, b: Any) -> Any:
        return self.neg(self.maximum(self.neg(a), self.neg(b)))


def _value(x: Any) -> Any:
    return x.value if isinstance(x, ReverseNode) else x


def _zero(x: Any) -> bool:
    return not isinstance(x, float) and bool(x == 0)
