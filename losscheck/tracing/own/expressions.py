"""Exact expressions over the logit x and the target z in one normal form: a sum of products of powers of atoms.

Equal normal forms are one object, so that they compare and hash by identity. Coefficients and exponents are exact fractions. An atom is
x, z, a function of a sum, or a sum in parentheses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

__all__ = ["ONE", "ZERO", "Atom", "Factors", "Sum", "X", "Z", "atom", "constant_of", "number", "of_atom", "sign_of", "summed"]

# Products of these are positive for every x, and for 0 < z < 1.
POSITIVE = frozenset({"z", "sigmoid", "softplus", "exp"})


@dataclass(frozen=True, eq=False, slots=True)
class Atom:
    """What products are made of.

    Attributes:
        kind: x, z, sigmoid, softplus, tanh_half, exp, expm1, log, or sum (its argument in parentheses).
        order: in which they came into being; factors are sorted by it.
    """

    kind: str
    argument: Sum | None
    order: int
    has_x: bool

    def __repr__(self) -> str:
        return self.kind if self.argument is None else f"{self.kind if self.kind != 'sum' else ''}({self.argument!r})"


# ((atom, exponent), ...), by the order of the atoms.
Factors = tuple[tuple[Atom, Fraction], ...]


@dataclass(frozen=True, eq=False, slots=True)
class Sum:
    """((factors, coefficient), ...): the sum of coefficient * product of factors. No factors twice, no coefficient 0."""

    terms: tuple[tuple[Factors, Fraction], ...]
    has_x: bool

    def __repr__(self) -> str:
        return " + ".join("*".join([str(c), *(f"{a!r}^{e}" if e != 1 else repr(a) for a, e in f)]) for f, c in self.terms) or "0"


_ATOMS: dict[tuple[str, Sum | None], Atom] = {}
_SUMS: dict[tuple[tuple[Factors, Fraction], ...], Sum] = {}


def atom(kind: str, argument: Sum | None = None) -> Atom:
    """The one atom of this kind and argument."""
    key = kind, argument
    if key not in _ATOMS:
        _ATOMS[key] = Atom(kind, argument, len(_ATOMS), kind == "x" or (argument is not None and argument.has_x))
    return _ATOMS[key]


def summed(terms: Mapping[Factors, Fraction]) -> Sum:
    """The one sum of these terms."""
    kept = [(factors, coefficient) for factors, coefficient in terms.items() if coefficient]
    key = tuple(sorted(kept, key=lambda term: [(factor.order, exponent) for factor, exponent in term[0]]))
    if key not in _SUMS:
        _SUMS[key] = Sum(key, any(factor.has_x for factors, _ in key for factor, _ in factors))
    return _SUMS[key]


def number(value: Fraction | int) -> Sum:
    """A constant."""
    return summed({(): Fraction(value)})


def of_atom(factor: Atom, exponent: Fraction | int = 1) -> Sum:
    """A power of an atom."""
    return summed({((factor, Fraction(exponent)),): Fraction(1)})


ZERO, ONE = number(0), number(1)
X, Z = of_atom(atom("x")), of_atom(atom("z"))


def constant_of(a: Sum) -> Fraction | None:
    """The number that a sum is; None when it is none."""
    if not a.terms:
        return Fraction(0)
    return a.terms[0][1] if len(a.terms) == 1 and not a.terms[0][0] else None


def sign_of(a: Sum) -> int | None:
    """-1, 0 or 1 where that is known of every x and every 0 < z < 1."""
    if not a.terms:
        return 0
    signs = {product_sign(factors, coefficient) for factors, coefficient in a.terms}
    if len(signs) == 1:
        return signs.pop()
    return None if a.has_x else _sign_over_targets(a)


def product_sign(factors: Factors, coefficient: Fraction) -> int | None:
    """The sign of one product."""
    sign = 1 if coefficient > 0 else -1
    for factor, exponent in factors:
        known = atom_sign(factor)
        if known is None:
            return None  # an even power too: it may be 0
        sign *= 1 if exponent.denominator == 1 and exponent.numerator % 2 == 0 else known
    return sign


def atom_sign(factor: Atom) -> int | None:
    """1 or -1 where that is known of every x and every 0 < z < 1."""
    if factor.kind in POSITIVE:
        return 1
    if factor.argument is None:
        return None
    inner = sign_of(factor.argument)
    if factor.kind in ("sum", "tanh_half", "expm1"):
        return inner or None
    if factor.kind == "log" and (value := constant_of(factor.argument)) is not None:
        return (value > 1) - (value < 1) or None
    return None


def _sign_over_targets(a: Sum) -> int | None:
    """Of a + b z: by its ends."""
    linear = {(): Fraction(0), ((Z.terms[0][0][0][0], Fraction(1)),): Fraction(0)}
    if any(factors not in linear for factors, _ in a.terms):
        return None
    linear |= dict(a.terms)
    start, slope = linear.values()
    if min(start, start + slope) >= 0:
        return 1
    return -1 if max(start, start + slope) <= 0 else None


def combined(terms: Iterable[tuple[Factors, Fraction]]) -> dict[Factors, Fraction]:
    """Terms of the same factors added up."""
    found: dict[Factors, Fraction] = {}
    for factors, coefficient in terms:
        found[factors] = found.get(factors, Fraction(0)) + coefficient
    return {factors: coefficient for factors, coefficient in found.items() if coefficient}
