"""A tree of expressions in any arithmetic that formulas are written over (losscheck.oracle): balls, the filter, duals, limits."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

from losscheck.tracing.own.expressions import Atom, Factors, Sum, atom_sign, constant_of, number
from losscheck.tracing.own.identities import add
from losscheck.tracing.own.symbols import NoExpressionError
from losscheck.tracing.own.trees import Tree, leaves

__all__ = ["check_constants", "evaluated"]

CHUNK = 53  # bits of a float
MOST_BITS = 1000  # of a constant: its parts have to be floats
NEAR_ONE = -0.25  # log1p is used for arguments above
MOST_FACTORS = 64  # a power of a number whose sign is not known is a product of so many at most


def evaluated(tree: Tree, m: Any, logit: Any, target: Any) -> Any:
    """The value at a logit and a target; NaN, which is enclosed by nothing, where the arithmetic cannot decide."""
    return _Evaluation(m, logit, target).tree(tree)


def check_constants(tree: Tree) -> None:
    """Refuse coefficients that no sum of a few floats is.

    Raises:
        NoExpressionError: for one of more than MOST_BITS bits.
    """
    for leaf in leaves(tree):
        for _, coefficient in leaf.terms:
            if max(coefficient.numerator.bit_length(), coefficient.denominator.bit_length()) > MOST_BITS:
                raise NoExpressionError("a constant of too many digits")


class _Evaluation:
    """One call of a formula; every atom is computed once."""

    def __init__(self, m: Any, logit: Any, target: Any) -> None:
        self.m, self.logit, self.target = m, logit, target
        self.select = getattr(m, "select", None)
        self._sums: dict[Sum, Any] = {}
        self._atoms: dict[Atom, Any] = {}

    def tree(self, tree: Tree) -> Any:
        if tree is None:
            return self.unknown()
        if isinstance(tree, Sum):
            return self.sum(tree)
        about = self.sum(tree.about)
        try:
            side = -1 if about < 0 else 1 if about > 0 else 0
        except TypeError:
            if self.select is None:
                raise
            # The filter compares no logits: it computes both sides and selects.
            return self.select(about, self.m.number(0), self.tree(tree.above), self.tree(tree.below))
        if side:
            return self.tree(tree.above if side > 0 else tree.below)
        return self.tree(tree.at) if about == 0 else self.unknown()

    def unknown(self) -> Any:
        return self.logit * self.m.number(math.nan)

    def sum(self, a: Sum) -> Any:
        if a not in self._sums:
            self._sums[a] = self._sum(a)
        return self._sums[a]

    def _sum(self, a: Sum) -> Any:
        total = None
        for factors, coefficient in a.terms:
            product = self._product(factors, coefficient)
            total = product if total is None else total + product
        return self.m.number(0) if total is None else total

    def _product(self, factors: Factors, coefficient: Fraction) -> Any:
        above: Any = None
        below: Any = None
        for factor, exponent in factors:
            power = self._power(factor, abs(exponent))
            if exponent > 0:
                above = power if above is None else above * power
            else:
                below = power if below is None else below * power
        if above is None or abs(coefficient) != 1:
            size = self.constant(abs(coefficient))
            above = size if above is None else size * above
        result = above if below is None else above / below
        return -result if coefficient < 0 else result

    def _power(self, factor: Atom, exponent: Fraction) -> Any:
        base = self.atom(factor)
        if exponent == 1:
            return base
        if exponent.denominator == 1 and exponent <= MOST_FACTORS and atom_sign(factor) != 1:
            result = base
            for _ in range(exponent.numerator - 1):
                result = result * base
            return result
        if Fraction(float(exponent)) == exponent:
            return self.m.power(base, self.m.number(float(exponent)))
        return self.m.exp(self.constant(exponent) * self.m.log(base))

    def atom(self, factor: Atom) -> Any:
        if factor not in self._atoms:
            self._atoms[factor] = self._atom(factor)
        return self._atoms[factor]

    def _atom(self, factor: Atom) -> Any:
        if factor.argument is None:
            return self.logit if factor.kind == "x" else self.target
        if factor.kind == "log":
            return self._log(factor.argument)
        argument = self.sum(factor.argument)
        if factor.kind == "sum":
            return argument
        if factor.kind == "expm1":
            # tanh(v / 2) = (e^v - 1) / (e^v + 1)
            return self.m.tanh_half(argument) * (self.m.exp(argument) + self.m.number(1))
        return getattr(self.m, factor.kind)(argument)

    def _log(self, a: Sum) -> Any:
        direct = self.m.log(self.sum(a))
        if self.select is None or constant_of(a) is not None:
            return direct
        # Near 1 float64 has lost what the logarithm is made of.
        rest = self.sum(add(a, number(-1)))
        return self.select(rest, self.m.number(NEAR_ONE), self.m.log1p(rest), direct)

    def constant(self, value: Fraction) -> Any:
        """A positive constant, exactly: a quotient of sums of floats."""
        if Fraction(float(value)) == value:
            return self.m.number(float(value))
        above, below = self._whole(value.numerator), self._whole(value.denominator)
        return above / below

    def _whole(self, value: int) -> Any:
        total, shift = None, 0
        while value:
            part = self.m.number(math.ldexp(float(value & (2**CHUNK - 1)), shift))
            total = part if total is None else total + part
            value, shift = value >> CHUNK, shift + CHUNK
        assert total is not None
        return total
