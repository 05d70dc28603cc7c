"""The arithmetic that a recorded program runs in to become an expression: what exact ops ask of theirs, over expressions.

What a branch decides depends on the sign of an expression. Where that is not known the run ends with a question; it is run again with
each of the answers (choices.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from losscheck.tracing.own import identities
from losscheck.tracing.own.expressions import ONE, ZERO, Sum, X, atom_sign, constant_of, number, sign_of
from losscheck.tracing.own.identities import UndefinedError

__all__ = ["NoExpressionError", "SignQuestion", "Symbols"]


class NoExpressionError(ArithmeticError):
    """The program does something that has no expression here; the text says what."""


class SignQuestion(Exception):  # noqa: N818 - it is asked, and no error
    """What is the sign of this expression?"""

    def __init__(self, about: Sum) -> None:
        super().__init__(repr(about))
        self.about = about


# An expression, or None: it has no value in exact arithmetic.
SumOrUnknown = Sum | None


class Symbols:
    """Expressions, with what is known of the signs of some of them.

    Args:
        signs: by expression (as :class:`SignQuestion` asks), -1, 0 or 1.
    """

    def __init__(self, signs: dict[Sum, int]) -> None:
        self.signs = signs

    def number(self, value: Any) -> Any:
        if isinstance(value, bool | int):
            return number(int(value))
        if isinstance(value, float):
            return number(Fraction(value)) if math.isfinite(value) else None
        return value

    def truth(self, value: Any) -> bool:
        return value if isinstance(value, bool) else not self.equal(value, ZERO)

    def add(self, a: Any, b: Any) -> SumOrUnknown:
        return self._of(identities.add, a, b)

    def sub(self, a: Any, b: Any) -> SumOrUnknown:
        return self._of(lambda a, b: identities.add(a, identities.negated(b)), a, b)

    def neg(self, a: Any) -> SumOrUnknown:
        return self._of(identities.negated, a)

    def mul(self, a: Any, b: Any) -> SumOrUnknown:
        """What is multiplied by an exact 0 is 0, whatever it is: it has no part in the result."""
        a, b = self.number(a), self.number(b)
        return ZERO if a is ZERO or b is ZERO else self._of(identities.mul, a, b)

    def div(self, a: Any, b: Any) -> SumOrUnknown:
        a = self.number(a)
        return self._of(lambda b: identities.mul(a, identities.power(b, Fraction(-1))), b) if a is not None else None

    def exp(self, x: Any) -> SumOrUnknown:
        return self._of(identities.exp, x)

    def expm1(self, x: Any) -> SumOrUnknown:
        return self._of(lambda x: identities.add(identities.exp(x), number(-1)), x)

    def log(self, x: Any) -> SumOrUnknown:
        return self._of(identities.log, x)

    def log1p(self, x: Any) -> SumOrUnknown:
        return self._of(lambda x: identities.log(identities.add(ONE, x)), x)

    def sqrt(self, x: Any) -> SumOrUnknown:
        return self._of(lambda x: identities.power(x, Fraction(1, 2)), x)

    def sigmoid(self, x: Any) -> SumOrUnknown:
        return self._of(identities.sigmoid, x)

    def softplus(self, x: Any) -> SumOrUnknown:
        return self._of(identities.softplus, x)

    def tanh(self, x: Any) -> SumOrUnknown:
        return self._of(identities.tanh, x)

    def power(self, base: Any, exponent: Any) -> SumOrUnknown:
        exponent = self.number(exponent)
        constant = None if exponent is None else constant_of(exponent)
        if constant is not None:
            return self._of(lambda base: identities.power(base, constant), base)
        # u^v = e^(v log u)
        return self._of(lambda base, exponent: identities.exp(identities.mul(exponent, identities.log(base))), base, exponent)

    def function(self, name: str, x: Any) -> SumOrUnknown:
        if name not in ("cosh", "sinh"):
            raise NoExpressionError(name)
        half, sign = number(Fraction(1, 2)), 1 if name == "cosh" else -1

        def hyperbolic(x: Sum) -> Sum:
            other = identities.scaled(identities.exp(identities.negated(x)), sign)
            return identities.mul(half, identities.add(identities.exp(x), other))

        return self._of(hyperbolic, x)

    def floor(self, x: Any) -> SumOrUnknown:
        """Of a number, and of a target between 0 and 1."""
        x = self.number(x)
        if x is None:
            return None
        if (value := constant_of(x)) is not None:
            return number(math.floor(value))
        if x.has_x or sign_of(x) is None or sign_of(identities.add(x, number(-1))) != -1:
            raise NoExpressionError("floor")
        return ZERO if sign_of(x) == 1 else number(-1) if sign_of(identities.add(x, ONE)) == 1 else self._unknown("floor")

    def detach(self, x: Any) -> SumOrUnknown:
        """The same value; slopes are those of the recorded backward pass."""
        return self.number(x)  # type: ignore[no-any-return]

    def less(self, a: Any, b: Any) -> bool:
        return self._sign(self.sub(a, b)) < 0

    def equal(self, a: Any, b: Any) -> bool:
        if isinstance(a, bool) and isinstance(b, bool):
            return a == b
        return self._sign(self.sub(a, b)) == 0

    def is_nan(self, x: Any) -> bool:
        """Of a finite logit nothing is; what has no value stays without one."""
        return False

    def maximum(self, a: Any, b: Any) -> SumOrUnknown:
        return self.number(b if self.less(a, b) else a)  # type: ignore[no-any-return]

    def minimum(self, a: Any, b: Any) -> SumOrUnknown:
        return self.number(a if self.less(a, b) else b)  # type: ignore[no-any-return]

    def _unknown(self, what: str) -> Sum:
        raise NoExpressionError(what)

    def _of(self, function: Callable[..., Sum], *operands: Any) -> SumOrUnknown:
        lifted = [self.number(operand) for operand in operands]
        if any(operand is None for operand in lifted):
            return None
        try:
            return function(*lifted)
        except UndefinedError:
            return None
        except OverflowError as error:
            raise NoExpressionError(str(error)) from None

    def _sign(self, a: SumOrUnknown) -> int:
        if a is None:
            raise NoExpressionError("a comparison with what is undefined")
        known = sign_of(a)
        if known is not None:
            return known
        about, turn = asked(a)
        if about in self.signs:
            return turn * self.signs[about]
        if sign_of(about) is not None:
            return turn * (sign_of(about) or 0)
        raise SignQuestion(about)


def asked(a: Sum) -> tuple[Sum, int]:
    """The simplest expression that has the sign of another, and whether (1) or not (-1) it is the same."""
    turn = 1
    while len(a.terms) == 1:
        factors, coefficient = a.terms[0]
        turn *= 1 if coefficient > 0 else -1
        open_ = [(factor, exponent) for factor, exponent in factors if atom_sign(factor) is None]
        for factor, _ in factors:
            turn *= atom_sign(factor) or 1
        if len(open_) != 1 or open_[0][1].denominator != 1 or not open_[0][1].numerator % 2:
            return identities.scaled(a, 1 if coefficient > 0 else -1), 1 if coefficient > 0 else -1
        factor = open_[0][0]
        if factor.kind == "x":
            return X, turn
        assert factor.argument is not None
        a = identities.add(factor.argument, number(-1)) if factor.kind == "log" else factor.argument
    sign = 1 if not a.terms or a.terms[0][1] > 0 else -1
    return identities.scaled(a, sign), turn * sign
