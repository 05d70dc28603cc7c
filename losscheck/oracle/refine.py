"""The exact value of a formula at a point: raise the precision until one float and its ulp distance are decided."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from losscheck.core.dtypes import Format
from losscheck.core.exact import Dyadic, Exact, Kind
from losscheck.core.loss import Formula
from losscheck.oracle import Arithmetic, arithmetic
from losscheck.oracle.asymptotic import LARGE, AsymptoticArithmetic, NoExpansionError
from losscheck.oracle.dual import DualArithmetic
from losscheck.oracle.limits import IndeterminateLimitError, Infinity, LimitArithmetic

__all__ = ["CAP", "Term", "at_precision", "exact_value", "exact_values", "of_enclosure"]

FIRST = 128  # bits of the first try: enough for 30 digits unless the formula cancels
CAP = 2**14  # bits at which the answer becomes `undecided`
DIGITS = 120  # bits to which the enclosure is narrowed for printing, where the cap allows
ASYMPTOTIC = 1024  # bits after which a large logit is asked again on which side of a tie it lies
PINNED = 20  # the ulp distance is known to 2^-20
BESIDE = 5000  # bits below its last one at which a number beside a tie is placed


class Term(NamedTuple):
    """One weighted element of an exact sum: weight * formula(logit, target)."""

    logit: float
    target: float
    weight: Fraction = Fraction(1)


def exact_value(
    formula: Formula,
    terms: list[Term],
    params: Mapping[str, float],
    dtype: Format,
    *,
    oracle: str = "flint",
    differentiate: bool = False,
    printable: bool = True,
) -> Exact:
    """The exact sum of the terms, or with ``differentiate`` of their derivatives by their own logits.

    It always decides the float and pins the ulp distance; only what is ``printable`` is narrowed to 30 digits as well.

    Raises:
        UserError: when the oracle is unknown or not installed.
    """
    for term in terms:
        if term.logit != term.logit:
            return Exact(Kind.NAN, math.nan)
    return _refined(formula, terms, params, dtype, oracle, differentiate, printable)


def exact_values(
    formula: Formula,
    points: Sequence[tuple[float, float]],
    params: Mapping[str, float],
    dtype: Format,
    *,
    oracle: str = "flint",
    differentiate: bool = False,
) -> list[Exact]:
    """What :func:`exact_value` finds at each of some points (logit, target), with nothing to print.

    Nearly all are decided at the first precision: there the arithmetic and the parameters are made once for all of them.

    Raises:
        UserError: when the oracle is unknown or not installed.
    """
    m = arithmetic(oracle, FIRST, dtype)
    element = _element(m, formula, params, differentiate)
    tried = [m.enclosure(element(m.number(logit), target)) if math.isfinite(logit) else None for logit, target in points]
    found = []
    for (logit, target), ends in zip(points, tried, strict=True):
        exact, sided = _decided(ends, dtype, FIRST)
        if exact is None or not sided:
            terms = [Term(logit, target)]
            if math.isfinite(logit):
                exact = _refined(formula, terms, params, dtype, oracle, differentiate, False, ends)
            else:
                exact = exact_value(formula, terms, params, dtype, oracle=oracle, differentiate=differentiate, printable=False)
        found.append(exact)
    return found


_UNTRIED = ((0, 0), (-1, 0))  # no enclosure: its ends are the wrong way round


def _refined(
    formula: Formula,
    terms: list[Term],
    params: Mapping[str, float],
    dtype: Format,
    oracle: str,
    differentiate: bool,
    printable: bool,
    ends: tuple[Dyadic, Dyadic] | None = _UNTRIED,
) -> Exact:
    """The loop of :func:`exact_value`; ``ends`` are those of the first precision, where they have been found already."""
    bits = FIRST
    fallback = None
    while bits <= CAP:
        m = arithmetic(oracle, bits, dtype)
        if bits > FIRST or ends is _UNTRIED:
            try:
                value = _total(m, formula, terms, params, differentiate)
            except IndeterminateLimitError:
                break
            if isinstance(value, Infinity):
                return Exact(Kind.INFINITE, value.sign * math.inf, bits=bits)
            ends = m.enclosure(value)
        exact, sided = _decided(ends, dtype, bits)
        if exact is not None:
            if sided and (not printable or _narrow(exact)):
                return exact
            # Decided, but not yet to 30 digits, or not on which side of a power of two, whose ulps differ; keep the first
            # answer in case that never comes.
            fallback = fallback or exact
        if bits in (FIRST, ASYMPTOTIC) and not sided:
            beside = _beside_a_tie(m, bits, formula, terms, params, differentiate)
            if beside is not None:
                return beside
        bits = _next(bits, ends, terms)
    return fallback or Exact(Kind.UNDECIDED, math.nan, bits=CAP)


def _next(bits: int, ends: tuple[Dyadic, Dyadic] | None, terms: list[Term]) -> int:
    """The precision of the next try: twice as much; beside a tie, which only what is as small as exp(-|logit|) or as a small logit
    decides, enough to see that."""
    if bits > FIRST or ends is None or not _known_well(ends):
        return 2 * bits
    sizes = [abs(term.logit) for term in terms]
    needed = max(max(size / math.log(2), -math.log2(size)) if 0 < size < math.inf else 0.0 for size in sizes)
    most = ASYMPTOTIC if max(sizes) >= LARGE else CAP
    while bits < min(needed, most):
        bits *= 2
    return max(bits, 2 * FIRST)


def _known_well(ends: tuple[Dyadic, Dyadic]) -> bool:
    """To half the bits of the first try: then more of them change nothing about what it is beside."""
    (m0, e0), (m1, e1) = ends
    if not _comparable(e0, e1):
        return False
    low = min(e0, e1)
    m0, m1 = m0 << (e0 - low), m1 << (e1 - low)
    return (m1 - m0).bit_length() + FIRST // 2 < min(m0.bit_length(), m1.bit_length())


def _beside_a_tie(
    m: Arithmetic, bits: int, formula: Formula, terms: list[Term], params: Mapping[str, float], differentiate: bool
) -> Exact | None:
    """The exact value at large logits where it differs from a tie by less than any precision shows."""
    total, signs = Fraction(0), set()
    weighing = [term for term in terms if term.weight]
    for term in weighing:
        if not LARGE <= abs(term.logit) < math.inf:
            return None
        logit = m.number(term.logit)
        expansion = AsymptoticArithmetic(m, logit)
        try:
            sided = expansion.side(_element(expansion, formula, params, differentiate)(logit, term.target))
        except NoExpansionError:
            return None
        if sided is None or abs(sided[0][1]) > CAP:
            return None
        (mantissa, exponent), sign = sided
        element = Fraction(mantissa << exponent) if exponent >= 0 else Fraction(mantissa, 1 << -exponent)
        total += element if term.weight == 1 else term.weight * element
        signs.add(sign)
    if len(signs) != 1 or total == 0 or total.denominator & (total.denominator - 1):
        # Perturbations of both signs, or a sum that is no dyadic number and therefore no tie.
        return None
    # Anything this far below the last bit of the sum rounds, and lies in a binade, as the true distance does.
    beside = (total.numerator << BESIDE) + signs.pop()
    exponent = 1 - total.denominator.bit_length() - BESIDE
    return Exact(Kind.FINITE, m.dtype.round_dyadic(beside, exponent), (beside, exponent), (1, exponent), bits)


def _element(m: Any, formula: Formula, params: Mapping[str, float], differentiate: bool) -> Callable[[Any, float], Any]:
    """The formula or its derivative at a number of the arithmetic and a target; the parameters are made numbers once."""
    number = m.number
    numbers = {name: number(value) for name, value in params.items()}
    if not differentiate:
        return lambda logit, target: formula(m, logit, number(target), **numbers)
    dual = DualArithmetic(m)
    return lambda logit, target: dual.slope(formula(dual, dual.variable(logit), number(target), **numbers))


def at_precision(
    formula: Formula, terms: list[Term], params: Mapping[str, float], dtype: Format, *, bits: int, oracle: str, differentiate: bool = False
) -> float:
    """The same sum at one working precision, right or wrong, rounded to the dtype; NaN where nothing came out."""
    if any(math.isnan(term.logit) for term in terms):
        return math.nan
    m = arithmetic(oracle, bits, dtype)
    value = _total(m, formula, terms, params, differentiate)
    if isinstance(value, Infinity):
        return value.sign * math.inf
    ends = m.enclosure(value)
    if ends is None:
        return math.nan
    (m0, e0), (m1, e1) = ends
    middle = _ball(m0, e0, m1, e1, 0.0, bits).middle if _comparable(e0, e1) else (m1, e1)
    return dtype.round_dyadic(*middle)


def _total(m: Arithmetic, formula: Formula, terms: list[Term], params: Mapping[str, float], differentiate: bool) -> Any:
    if len(terms) == 1 and terms[0].weight == 1:
        return _term(m, formula, terms[0], params, differentiate)
    value = m.number(0)
    for term in terms:
        if term.weight:
            share = _term(m, formula, term, params, differentiate) * m.number(term.weight.numerator) / m.number(term.weight.denominator)
            value = value + share
    return value


def _term(m: Arithmetic, formula: Formula, term: Term, params: Mapping[str, float], differentiate: bool) -> Any:
    if math.isinf(term.logit):
        return _element(LimitArithmetic(m), formula, params, differentiate)(Infinity(1 if term.logit > 0 else -1), term.target)
    return _element(m, formula, params, differentiate)(m.number(term.logit), term.target)


def of_enclosure(enclosure: tuple[Dyadic, Dyadic] | None, dtype: Format, bits: int) -> Exact | None:
    """The exact value, if the enclosure allows one rounding only and pins the ulp distance; else None."""
    return _decided(enclosure, dtype, bits)[0]


def _decided(enclosure: tuple[Dyadic, Dyadic] | None, dtype: Format, bits: int) -> tuple[Exact | None, bool]:
    """The same; and is it known whose ulp counts? That of 1 - e^-x is the one below 1, however near it comes."""
    if enclosure is None:
        return None, False
    if ordinary := _ordinary(*enclosure, dtype, bits):
        return ordinary, True
    (m0, e0), (m1, e1) = enclosure
    least = dtype.least_exponent
    top0, top1 = m0.bit_length() + e0, m1.bit_length() + e1
    ulp0 = dtype.ulp_exponent(top0 - 1) if m0 else least
    ulp1 = dtype.ulp_exponent(top1 - 1) if m1 else least
    sided = ulp0 == ulp1
    rounded = dtype.round_dyadic(m0, e0)
    if (m0, e0) == (m1, e1):
        return Exact(Kind.FINITE, rounded, (m0, e0), (0, 0), bits), sided
    if rounded != dtype.round_dyadic(m1, e1):
        return None, False
    if rounded == 0:
        top = max(top0 if m0 else e1, top1 if m1 else e0)
        if top < least - PINNED - 2:
            # Far below half the least subnormal: its ulp distance is 0 to 2^-20.
            near = _comparable(e0, e1)
            return _ball(m0, e0, m1, e1, rounded, bits) if near else Exact(Kind.FINITE, rounded, (0, 0), (1, top), bits), sided
    if not _comparable(e0, e1):
        return None, False
    exact = _ball(m0, e0, m1, e1, rounded, bits)
    width = exact.radius[0].bit_length() + exact.radius[1] + 1
    return (exact, sided) if width <= min(ulp0, ulp1) - PINNED else (None, False)


def _ordinary(lower: Dyadic, upper: Dyadic, dtype: Format, bits: int) -> Exact | None:
    """What the rules of :func:`_decided` find of nearly all enclosures, found with fewer operations: narrow ones within one binade, below
    the largest, that hold no point where the rounding changes. None of any other."""
    (m0, e0), (m1, e1) = lower, upper
    shift = e0 - e1
    if 0 < shift < FIRST:
        m0, low = m0 << shift, e1
    elif -FIRST < shift <= 0:
        m1, low = m1 << -shift, e0
    else:
        return None
    size, other = (m0, m1) if m0 > 0 else (-m0, -m1)
    if other <= 0 or size == other:
        return None
    length = size.bit_length()
    magnitude, emin, precision = length - 1 + low, dtype.emin, dtype.precision
    if other.bit_length() != length or not emin - precision < magnitude < dtype.emax:
        return None
    width, below = m1 - m0, (magnitude if magnitude > emin else emin) - precision + 1 - low  # an ulp is 2^below of the last bits here
    if width.bit_length() + PINNED > below:
        return None
    half = 1 << (below - 1)
    size, other = size + half, other + half
    rounded = size >> below
    if rounded != other >> below or not rounded or not size & (2 * half - 1) or not other & (2 * half - 1):
        return None
    value = math.ldexp(rounded, below + low)
    return Exact(Kind.FINITE, value if m0 > 0 else -value, (m0 + m1, low - 1), (width, low - 1), bits)


def _comparable(e0: int, e1: int) -> bool:
    """Can the two ends be brought to one exponent without building a giant integer?"""
    return abs(e0 - e1) < 4 * CAP


def _ball(m0: int, e0: int, m1: int, e1: int, rounded: float, bits: int) -> Exact:
    low = min(e0, e1)
    m0, m1 = m0 << (e0 - low), m1 << (e1 - low)
    return Exact(Kind.FINITE, rounded, (m0 + m1, low - 1), (m1 - m0, low - 1), bits)


def _narrow(exact: Exact) -> bool:
    mantissa, exponent = exact.radius
    if mantissa == 0:
        return True
    return exact.middle[0] != 0 and mantissa.bit_length() + exponent <= exact.magnitude - DIGITS
