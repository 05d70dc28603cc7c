"""The operations on expressions, each of which leaves the normal form: exact identities of the logistic functions, cancelled once for all.

    1 - s(u) = s(-u)      log s(u) = -softplus(-u)      log(1 + e^u) = softplus(u)      1 / (1 + e^-u) = s(u)
    u + softplus(-u) = softplus(u)      e^u - 1 = expm1(u)      s(u) - s(-u) = tanh(u / 2)      e^u s(-u) = s(u)

A sum of a constant and a sigmoid, or of the logit and a softplus, is written with terms of one sign where it can be. So what was
`1 - sigmoid(x)` in a program is known to full precision at any logit.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from fractions import Fraction

from losscheck.tracing.own.expressions import (
    ONE,
    ZERO,
    Atom,
    Factors,
    Sum,
    atom,
    atom_sign,
    combined,
    constant_of,
    number,
    of_atom,
    sign_of,
    summed,
)
from losscheck.tracing.own.folding import folded

__all__ = ["UndefinedError", "add", "exp", "log", "mul", "negated", "power", "scaled", "sigmoid", "softplus", "tanh"]

MOST_TERMS = 6  # of a sum that is multiplied out
MOST_BITS = 900  # of a coefficient: what is longer is no float's


class UndefinedError(ArithmeticError):
    """The expression has no value in exact arithmetic: the log of 0, a division by 0."""


@functools.cache
def add(*sums: Sum) -> Sum:
    """The sum."""
    beside_a_constant = any(not factors for a in sums for factors, _ in a.terms)
    return folded(combined(term for a in sums for term in _opened(a, beside_a_constant)))


def _opened(a: Sum, beside_a_constant: bool) -> Iterator[tuple[Factors, Fraction]]:
    """The terms of a sum, those of a sum in parentheses among them, and 1 + e^-u for 1 / s(u) where a constant may meet the 1."""
    for factors, coefficient in a.terms:
        if len(factors) == 1:
            (factor, exponent), argument = factors[0], factors[0][0].argument
            if factor.kind == "sum" and exponent == 1:
                assert argument is not None
                yield from ((inner, coefficient * of) for inner, of in argument.terms)
                continue
            if beside_a_constant and factor.kind == "sigmoid" and exponent == -1:
                assert argument is not None
                yield (), coefficient
                yield from scaled(exp(negated(argument)), coefficient).terms
                continue
        yield factors, coefficient


def scaled(a: Sum, by: Fraction | int) -> Sum:
    """A multiple."""
    return summed({factors: coefficient * by for factors, coefficient in a.terms}) if by else ZERO


def negated(a: Sum) -> Sum:
    return scaled(a, -1)


@functools.cache
def mul(a: Sum, b: Sum) -> Sum:
    """The product. A sum in x is multiplied out with one product in x, so that both may cancel; other sums stay together."""
    for factor, other in ((a, b), (b, a)):
        if (value := constant_of(factor)) is not None:
            return scaled(other, value)
    (first, c), (second, d) = _as_product(a), _as_product(b)
    for single, factors, other in ((a, first, b), (b, second, a)):
        if single.has_x and other.has_x and len(single.terms) == 1 and 1 < len(other.terms) <= MOST_TERMS and _one_plus_exp(other) is None:
            return add(*(scaled(_product([*factors, *of]), single.terms[0][1] * value) for of, value in other.terms))
    return scaled(_product([*first, *second]), c * d)


def _as_product(a: Sum) -> tuple[Factors, Fraction]:
    """A sum as one product: what it is, a known function, or the sum in parentheses, positive where that is known."""
    if len(a.terms) == 1:
        return a.terms[0]
    if (known := _one_plus_exp(a)) is not None:
        return known
    sign = sign_of(a) or (1 if a.terms[0][1] > 0 else -1)
    return ((atom("sum", scaled(a, sign)), Fraction(1)),), Fraction(sign)


def _one_plus_exp(a: Sum) -> tuple[Factors, Fraction] | None:
    """c + c e^u = c / s(-u)"""
    if len(a.terms) != 2:
        return None
    (first, c), (second, d) = sorted(a.terms, key=lambda term: len(term[0]))
    if first or c != d or len(second) != 1 or second[0][0].kind != "exp" or second[0][1] != 1:
        return None
    argument = second[0][0].argument
    assert argument is not None
    (factors, coefficient) = sigmoid(negated(argument)).terms[0]
    return tuple((factor, -exponent) for factor, exponent in factors), c / coefficient


def _product(factors: Iterable[tuple[Atom, Fraction]]) -> Sum:
    """The product of powers of atoms."""
    exponents: dict[Atom, Fraction] = {}
    for factor, exponent in factors:
        exponents[factor] = exponents.get(factor, Fraction(0)) + exponent
    exponents = {factor: exponent for factor, exponent in exponents.items() if exponent}
    exponentials = [factor for factor in exponents if factor.kind == "exp"]
    if len(exponentials) > 1 or any(exponents[factor] != 1 for factor in exponentials):
        total = add(*(scaled(_argument(factor), exponents.pop(factor)) for factor in exponentials))
        return mul(exp(total), _product(exponents.items()))
    for exponential in exponentials:
        if (turned := _by_sigmoids(exponents, exponential)) is not None:
            return _product(turned.items())
    return summed({tuple(sorted(exponents.items(), key=lambda pair: pair[0].order)): Fraction(1)})


def _by_sigmoids(exponents: dict[Atom, Fraction], exponential: Atom) -> dict[Atom, Fraction] | None:
    """e^(k u) = (s(u) / s(-u))^k, where a sigmoid of u is there and neither is left in the denominator."""
    argument = _argument(exponential)
    for factor in exponents:
        if factor.kind == "sigmoid" and (k := _multiple(argument, _argument(factor))) is not None:
            other = atom("sigmoid", negated(_argument(factor)))
            turned = {base: power for base, power in exponents.items() if base is not exponential}
            turned |= {factor: turned[factor] + k, other: turned.get(other, Fraction(0)) - k}
            if turned[factor] >= 0 and turned[other] >= 0:
                return turned
    return None


def _multiple(a: Sum, of: Sum) -> Fraction | None:
    """k where a is k times the other."""
    k = a.terms[0][1] / of.terms[0][1]
    return k if scaled(of, k) is a else None


def _argument(factor: Atom) -> Sum:
    assert factor.argument is not None
    return factor.argument


@functools.cache
def power(a: Sum, exponent: Fraction) -> Sum:
    """a^exponent, 0^0 = 1.

    Raises:
        UndefinedError: for a negative power of 0, and another than a whole power of a negative number.
    """
    if exponent == 0:
        return ONE
    if exponent == 1:
        return a
    if a is ZERO:
        if exponent < 0:
            raise UndefinedError("a division by 0")
        return ZERO
    factors, coefficient = _as_product(a)
    if exponent.denominator == 1:
        return scaled(_product((factor, of * exponent) for factor, of in factors), _whole_power(coefficient, exponent.numerator))
    if not factors and coefficient < 0:
        raise UndefinedError("a root of a negative number")
    if coefficient < 0 or any(atom_sign(factor) != 1 for factor, _ in factors):
        # Of unknown sign, it is not taken apart: (u^2)^(1/2) is not u.
        return of_atom(atom("sum", a), exponent)
    constant = ONE if coefficient == 1 else of_atom(atom("sum", number(coefficient)), exponent)
    return mul(constant, _product((factor, of * exponent) for factor, of in factors))


def _whole_power(coefficient: Fraction, exponent: int) -> Fraction:
    if abs(exponent) * max(coefficient.numerator.bit_length(), coefficient.denominator.bit_length()) > MOST_BITS:
        raise OverflowError("a constant of too many digits")
    return coefficient**exponent


@functools.cache
def exp(a: Sum) -> Sum:
    """e^a; e^(-g softplus(u)) = s(-u)^g, and e^(g log u) = u^g."""
    if a is ZERO:
        return ONE
    rest: list[Sum] = []
    result = ONE
    for factors, coefficient in a.terms:
        factor = factors[0][0] if len(factors) == 1 and factors[0][1] == 1 else None
        if factor is not None and factor.kind == "log":
            result = mul(result, power(_argument(factor), coefficient))
        elif factor is not None and factor.kind == "softplus" and len(a.terms) == 1:
            return power(sigmoid(negated(_argument(factor))), -coefficient)
        else:
            rest.append(summed({factors: coefficient}))
    remaining = add(*rest)
    return result if remaining is ZERO else mul(result, of_atom(atom("exp", remaining)))


@functools.cache
def log(a: Sum) -> Sum:
    """log a; the logarithm of a product of positive factors is the sum of theirs.

    Raises:
        UndefinedError: where a is known not to be positive.
    """
    sign = sign_of(a)
    if sign is not None and sign <= 0:
        raise UndefinedError("the log of a number that is not positive")
    if a is ONE:
        return ZERO
    factors, coefficient = _as_product(a)
    if sign is None or not factors or (len(factors) == 1 and factors[0][0].kind == "sum" and factors[0][1] == 1):
        return of_atom(atom("log", a))
    parts = [ZERO if coefficient == 1 else of_atom(atom("log", number(coefficient)))]
    for factor, exponent in factors:
        if factor.kind == "sigmoid":
            part = negated(softplus(negated(_argument(factor))))
        else:
            part = _argument(factor) if factor.kind == "exp" else of_atom(atom("log", of_atom(factor)))
        parts.append(scaled(part, exponent))
    return add(*parts)


def sigmoid(u: Sum) -> Sum:
    return number(Fraction(1, 2)) if u is ZERO else of_atom(atom("sigmoid", u))


def softplus(u: Sum) -> Sum:
    return log(number(2)) if u is ZERO else of_atom(atom("softplus", u))


def tanh(u: Sum) -> Sum:
    """s(2u) - s(-2u)"""
    return add(sigmoid(scaled(u, 2)), negated(sigmoid(scaled(u, -2))))
