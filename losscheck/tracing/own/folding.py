"""Sums of several terms brought to terms of one sign: identities between a term and its neighbours.

A sum is held by what depends on x: {factors with x: their coefficient, which is an expression in z}. Every fold looks for a term with a
known function f and for the same term without it, or with the function of the opposite argument.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from losscheck.tracing.own.expressions import ZERO, Atom, Factors, Sum, atom, combined, sign_of, summed

__all__ = ["folded"]

Groups = dict[Factors, Sum]
MOST_FOLDS = 100


def folded(terms: dict[Factors, Fraction]) -> Sum:
    """The sum of terms that have no factors in common twice."""
    if len(terms) < 2 or not any(factor.has_x for factors in terms for factor, _ in factors):
        return summed(terms)
    groups: Groups = {}
    for factors, coefficient in terms.items():
        with_x = tuple(pair for pair in factors if pair[0].has_x)
        without = tuple(pair for pair in factors if not pair[0].has_x)
        _give(groups, with_x, summed({without: coefficient}))
    for _ in range(MOST_FOLDS):
        if not _fold(groups):
            break
    return summed(combined(_term(factors, coefficient) for factors, coefficient in groups.items()))


def _fold(groups: Groups) -> bool:
    """One fold, if there is any."""
    for factors, coefficient in groups.items():
        for factor, exponent in factors:
            if exponent >= 1 and factor.kind in FOLDS and FOLDS[factor.kind](groups, factors, factor, coefficient):
                return True
    return False


def _sigmoid(groups: Groups, factors: Factors, factor: Atom, a: Sum) -> bool:
    """c + a s(u) + b s(-u), c and a of opposite sign = (a + c) s(u) + (b + c) s(-u); s(u) - s(-u) = tanh(u / 2); s(u) + s(-u) = 1"""
    rest = _times(factors, factor, -1)
    other = _times(rest, atom("sigmoid", _minus(factor.argument)), 1)
    b, c = groups.get(other), groups.get(rest)
    if c is not None and (sign_of(c) or 0) * (sign_of(a) or 0) < 0:
        del groups[rest]
        _give(groups, factors, c)
        _give(groups, other, c)
        return True
    if b is None:
        return _squares(groups, factors, factor, a)
    if not (b is a or _plus(a, b) is ZERO):
        return False
    del groups[factors], groups[other]
    if b is a:
        _give(groups, rest, a)
    else:
        argument, sign = _oriented(factor.argument)
        _give(groups, _times(rest, atom("tanh_half", argument), 1), _by(a, sign))
    return True


def _squares(groups: Groups, factors: Factors, factor: Atom, a: Sum) -> bool:
    """s(u)^2 - s(-u)^2 = s(u) - s(-u)"""
    rest = _times(factors, factor, -2)
    opposite = atom("sigmoid", _minus(factor.argument))
    other = _times(rest, opposite, 2)
    b = groups.get(other)
    if other == factors or b is None or _plus(a, b) is not ZERO:
        return False
    del groups[factors], groups[other]
    _give(groups, _times(rest, factor, 1), a)
    _give(groups, _times(rest, opposite, 1), b)
    return True


def _softplus(groups: Groups, factors: Factors, factor: Atom, a: Sum) -> bool:
    """a softplus(u) + b softplus(-u) + c u = (a + c) softplus(u) + (b - c) softplus(-u), where that has one sign"""
    assert factor.argument is not None
    if len(factor.argument.terms) != 1:
        return False
    rest = _times(factors, factor, -1)
    (linear, k) = factor.argument.terms[0]
    for linear_factor, exponent in linear:
        rest_linear = _times(rest, linear_factor, exponent)
        break
    if len(linear) != 1:
        return False
    other = _times(rest, atom("softplus", _minus(factor.argument)), 1)
    b, c = groups.get(other, ZERO), groups.get(rest_linear)
    if c is not None:
        c = _by(c, 1 / k)
        here, there = _plus(a, c), _plus(b, _by(c, Fraction(-1)))
        signs = {sign_of(here), sign_of(there)} - {0}
        if len(signs) > 1 or None in signs:
            return False
        del groups[rest_linear]
        _give(groups, factors, c)
        _give(groups, other, _by(c, Fraction(-1)))
        return True
    if b is not ZERO and _plus(a, b) is ZERO:
        del groups[factors], groups[other]
        _give(groups, rest_linear, _by(a, k))
        return True
    return False


def _exp(groups: Groups, factors: Factors, factor: Atom, a: Sum) -> bool:
    """e^u - 1 = expm1(u)"""
    rest = _times(factors, factor, -1)
    c = groups.get(rest)
    if c is None or _plus(a, c) is not ZERO:
        return False
    del groups[rest], groups[factors]
    _give(groups, _times(rest, atom("expm1", factor.argument), 1), a)
    return True


def _tanh(groups: Groups, factors: Factors, factor: Atom, a: Sum) -> bool:
    """1 + tanh(u / 2) = 2 s(u); 1 - tanh(u / 2)^2 = 4 s(u) s(-u)"""
    sides = [atom("sigmoid", argument) for argument in (factor.argument, _minus(factor.argument))]
    rest = _times(factors, factor, -1)
    c = groups.get(rest)
    for side, of in zip(sides, (a, _by(a, Fraction(-1))), strict=True):
        if c is not None and c is of:
            del groups[rest], groups[factors]
            _give(groups, _times(rest, side, 1), _by(c, Fraction(2)))
            return True
    square = _times(rest, factor, -1)
    c = groups.get(square)
    if c is None or _plus(a, c) is not ZERO or dict(factors)[factor] < 2:
        return False
    del groups[square], groups[factors]
    _give(groups, _times(_times(square, sides[0], 1), sides[1], 1), _by(c, Fraction(4)))
    return True


FOLDS: dict[str, Callable[[Groups, Factors, Atom, Sum], bool]] = {
    "sigmoid": _sigmoid,
    "softplus": _softplus,
    "exp": _exp,
    "tanh_half": _tanh,
}


def _give(groups: Groups, factors: Factors, coefficient: Sum) -> None:
    total = _plus(groups[factors], coefficient) if factors in groups else coefficient
    if total is ZERO:
        groups.pop(factors, None)
    else:
        groups[factors] = total


def _times(factors: Factors, factor: Atom, exponent: Fraction | int) -> Factors:
    exponents = dict(factors)
    exponents[factor] = exponents.get(factor, Fraction(0)) + exponent
    return tuple(sorted(((base, power) for base, power in exponents.items() if power), key=lambda pair: pair[0].order))


def _plus(a: Sum, b: Sum) -> Sum:
    """Of expressions in z, sums in parentheses opened."""
    return summed(combined([*_opened(a), *_opened(b)]))


def _opened(a: Sum) -> list[tuple[Factors, Fraction]]:
    terms: list[tuple[Factors, Fraction]] = []
    for factors, coefficient in a.terms:
        inner = factors[0][0].argument if len(factors) == 1 and factors[0][0].kind == "sum" and factors[0][1] == 1 else None
        terms += [(factors, coefficient)] if inner is None else [(of, coefficient * c) for of, c in inner.terms]
    return terms


def _by(a: Sum, value: Fraction) -> Sum:
    return summed({factors: coefficient * value for factors, coefficient in a.terms})


def _minus(a: Sum | None) -> Sum:
    assert a is not None
    return _by(a, Fraction(-1))


def _oriented(a: Sum | None) -> tuple[Sum, Fraction]:
    """An argument with a positive first coefficient, and the sign that this took."""
    assert a is not None
    sign = Fraction(1 if a.terms[0][1] > 0 else -1)
    return _by(a, sign), sign


def _term(factors: Factors, coefficient: Sum) -> tuple[Factors, Fraction]:
    """coefficient * factors as one product."""
    if len(coefficient.terms) == 1:
        of_z, number = coefficient.terms[0]
        return tuple(sorted([*factors, *of_z], key=lambda pair: pair[0].order)), number
    sign = sign_of(coefficient) or (1 if coefficient.terms[0][1] > 0 else -1)
    return _times(factors, atom("sum", _by(coefficient, Fraction(sign))), 1), Fraction(sign)
