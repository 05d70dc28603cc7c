"""The error of one value: right by a second formula, total over everything a float can be, and NaN never passes."""

import itertools
import math
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import dyadics, finite_floats, floats, formats

from losscheck.core.dtypes import BFLOAT16, FLOAT16, FLOAT32, FLOAT64, FORMATS
from losscheck.core.error import absolute_error, classify, deviation, judged_values, relative_error, ulp_error
from losscheck.core.exact import Exact, Kind
from losscheck.core.outcome import FAILURES, Outcome

INF, NAN = math.inf, math.nan
MINUS_INFINITE, INFINITE = Exact(Kind.INFINITE, -INF), Exact(Kind.INFINITE, INF)
NOT_A_NUMBER, UNDECIDED = Exact(Kind.NAN, NAN), Exact(Kind.UNDECIDED, NAN)
HUGE = 10**20


def finite(mantissa, exponent=0, dtype=FLOAT32, radius=(0, 0)):
    """The exact value mantissa * 2^exponent."""
    return Exact(Kind.FINITE, dtype.round_dyadic(mantissa, exponent), (mantissa, exponent), radius)


def real(value, dtype=FLOAT32):
    """The exact value that a float is."""
    numerator, denominator = value.as_integer_ratio()
    return finite(numerator, 1 - denominator.bit_length(), dtype)


def as_fraction(exact):
    mantissa, exponent = exact.middle
    return mantissa * Fraction(2) ** exponent


def ulp_of(number, dtype):
    """The ulp of a real number, by comparing it with powers of two."""
    exponent = number.numerator.bit_length() - number.denominator.bit_length()
    while abs(number) < Fraction(2) ** exponent:
        exponent -= 1
    while abs(number) >= Fraction(2) ** (exponent + 1):
        exponent += 1
    return Fraction(2) ** (max(exponent, dtype.emin) - (dtype.precision - 1))


def everything(dtype):
    """Exact values of every kind and size."""
    sizes = [(0, 0), (1, dtype.least_exponent - 60), (3, dtype.least_exponent - 1), (5, dtype.least_exponent), (3, -1), (1, dtype.emax + 9)]
    finites = [finite(sign * m, e, dtype) for m, e in [*sizes, (1, HUGE), (1, -HUGE)] for sign in (1, -1)]
    unsure = Exact(Kind.FINITE, 0.0, (0, -507), (1, -500))
    return [*finites, unsure, INFINITE, MINUS_INFINITE, NOT_A_NUMBER, UNDECIDED]


def every_value(dtype):
    magnitudes = [0.0, dtype.smallest_subnormal, dtype.smallest_normal, 1.5, dtype.largest, INF]
    return [NAN, *magnitudes, *(-magnitude for magnitude in magnitudes)]


EVERY = pytest.mark.parametrize("dtype", FORMATS.values(), ids=lambda value: value.name)


# ulp ------------------------------------------------------------------------------------------------------------------


@given(st.data())
def test_ulp_agrees_with_plain_fractions(data):
    """An ulp error with a wrong sign, a wrong unit or a rounding of its own."""
    dtype = data.draw(formats())
    exact = finite(*data.draw(dyadics(dtype)), dtype)
    value = data.draw(finite_floats(dtype) | st.integers(-40, 40).map(lambda n: dtype.neighbour(exact.rounded, n)))
    assume(math.isfinite(value))

    number = as_fraction(exact)
    assert ulp_error(value, exact, dtype) == float((Fraction(value) - number) / ulp_of(number, dtype))


@given(st.data())
def test_the_correctly_rounded_value_is_within_half_an_ulp(data):
    """The right answer being blamed, anywhere, also among the subnormals and just below a power of two."""
    dtype = data.draw(formats())
    exact = finite(*data.draw(dyadics(dtype)), dtype)

    ulp = ulp_error(exact.rounded, exact, dtype)
    assert abs(ulp) <= 0.5
    assert classify(exact.rounded, exact, ulp, dtype, 0.5) is Outcome.OK


@given(st.data())
def test_the_neighbours_of_the_correctly_rounded_value_are_further_off(data):
    """The ulp of the wrong side of the exact value; the neighbours must lie 0.5 to 1.5 ulp away."""
    dtype = data.draw(formats())
    exact = finite(*data.draw(dyadics(dtype)), dtype)
    # Below a power of two the floats lie twice as close as above.
    assume(math.isfinite(exact.rounded) and abs(math.frexp(exact.rounded)[0]) != 0.5 and exact.rounded != 0)
    at = ulp_error(exact.rounded, exact, dtype)
    for steps in (1, -1):
        beside = dtype.neighbour(exact.rounded, steps)
        if math.isfinite(beside):
            ulp = ulp_error(beside, exact, dtype)
            assert 0.5 <= abs(ulp) <= 1.5
            assert abs(ulp) > 0.5 or abs(at) == 0.5
            assert (ulp > 0) == (steps > 0)


@pytest.mark.parametrize(
    ("value", "exact", "dtype", "ulp"),
    [
        (1.0, real(1.0), FLOAT32, 0.0),
        (1 + 2.0**-23, real(1.0), FLOAT32, 1.0),
        (1 - 2.0**-24, real(1.0), FLOAT32, -0.5),
        (-1.0 - 2.0**-23, real(-1.0), FLOAT32, -1.0),
        (0.0, real(1.0), FLOAT32, -(2.0**23)),
        (0.0, real(2.0**-149), FLOAT32, -1.0),
        (2.0**-149, finite(0), FLOAT32, 1.0),
        (0.0, finite(1, -151), FLOAT32, -0.25),
        (-0.0, finite(0), FLOAT32, 0.0),
        (2.0, real(1.0, FLOAT16), FLOAT16, 1024.0),
        (2.0, real(1.0, BFLOAT16), BFLOAT16, 128.0),
        (FLOAT64.largest, real(-FLOAT64.largest, FLOAT64), FLOAT64, 2.0**54 - 2),
    ],
)
def test_ulp_by_hand(value, exact, dtype, ulp):
    """A wrong unit at a power of two, at zero or among the subnormals."""
    assert ulp_error(value, exact, dtype) == ulp


@pytest.mark.parametrize(
    ("value", "exact", "ulp"),
    [
        (INF, INFINITE, 0.0),
        (-INF, INFINITE, -INF),
        (1.0, INFINITE, -INF),
        (1.0, MINUS_INFINITE, INF),
        (INF, real(1.0), INF),
        (-INF, real(1.0), -INF),
        (INF, finite(1, 128), 0.0),
        (-INF, finite(-1, HUGE), 0.0),
        (-INF, finite(1, 128), -INF),
        (NAN, NOT_A_NUMBER, 0.0),
        (NAN, INFINITE, NAN),
        (NAN, real(1.0), NAN),
        (NAN, UNDECIDED, NAN),
        (1.0, UNDECIDED, NAN),
        (1.0, NOT_A_NUMBER, NAN),
        (INF, NOT_A_NUMBER, NAN),
        (FLOAT32.largest, finite(1, 128), -0.5),
    ],
)
def test_ulp_of_infinities_and_nan(value, exact, ulp):
    """An error of 0 where the value is wrong, or of NaN where it is right."""
    found = ulp_error(value, exact, FLOAT32)
    assert found == ulp or (math.isnan(found) and math.isnan(ulp))


# Total ----------------------------------------------------------------------------------------------------------------


@EVERY
def test_every_measure_is_total(dtype):
    """A crash, or a giant integer, on some combination of value and exact value."""
    for value, exact in itertools.product(every_value(dtype), everything(dtype)):
        ulp = ulp_error(value, exact, dtype)
        assert isinstance(ulp, float)
        assert isinstance(classify(value, exact, ulp, dtype, 8.0), Outcome)
        assert isinstance(absolute_error(value, exact), float)
        assert isinstance(relative_error(value, exact), float)


@EVERY
def test_deviation_is_total_and_zero_from_itself(dtype):
    """A crash on some pair of exact values, or a value that deviates from itself."""
    for own, definition in itertools.product(everything(dtype), repeat=2):
        assert isinstance(deviation(own, definition), float)
    assert all(deviation(exact, exact) == 0 for exact in everything(dtype))
    for exact, same in zip(everything(dtype), everything(dtype), strict=True):
        distance = deviation(exact, same)
        assert distance == 0 or (math.isnan(distance) and exact.kind is Kind.UNDECIDED)


@EVERY
def test_the_errors_are_nan_together(dtype):
    """A NaN or an undecided value that has an absolute or a relative error after all."""
    for value, exact in itertools.product(every_value(dtype), everything(dtype)):
        unknown = math.isnan(ulp_error(value, exact, dtype))
        assert math.isnan(absolute_error(value, exact)) == unknown, (value, exact)
        assert math.isnan(relative_error(value, exact)) == unknown, (value, exact)


@EVERY
def test_nan_is_right_for_nan_alone(dtype):
    """NaN passing a comparison: `error > limit` is false for NaN."""
    for exact in everything(dtype):
        outcome = classify(NAN, exact, ulp_error(NAN, exact, dtype), dtype, INF)
        expected = {Kind.NAN: Outcome.OK, Kind.UNDECIDED: Outcome.UNDECIDED}.get(exact.kind, Outcome.NAN)
        assert outcome is expected, exact


@given(st.data())
def test_a_value_is_ok_only_when_it_is_near(data):
    """A value outside the limit classified as ok by some path."""
    dtype = data.draw(formats())
    exact = data.draw(st.sampled_from(everything(dtype)) | dyadics(dtype).map(lambda pair: finite(*pair, dtype)))
    value, limit = data.draw(floats(dtype)), data.draw(st.sampled_from([0.0, 0.5, 8.0]))

    ulp = ulp_error(value, exact, dtype)
    if classify(value, exact, ulp, dtype, limit) is Outcome.OK:
        assert abs(ulp) <= limit


@given(st.data())
def test_many_values_are_judged_as_each_alone(data):
    """An outcome or an ulp that is found otherwise, to the bit, where many values are judged together."""
    dtype, limit = data.draw(formats()), data.draw(st.sampled_from([0.0, 0.5, 8.0]))
    of_any_kind = st.sampled_from(everything(dtype)) | dyadics(dtype).map(lambda pair: finite(*pair, dtype))
    near = of_any_kind.flatmap(
        lambda exact: st.tuples(floats(dtype) | st.sampled_from([exact.rounded, -exact.rounded, NAN]), st.just(exact))
    )
    pairs = data.draw(st.lists(near, max_size=8))
    alone = []
    for value, exact in pairs:
        ulp = ulp_error(value, exact, dtype)
        alone.append((classify(value, exact, ulp, dtype, limit), ulp.hex()))
    together = judged_values([value for value, _ in pairs], [exact for _, exact in pairs], dtype, limit)
    assert [(outcome, ulp.hex()) for outcome, ulp in together] == alone


# Outcomes -------------------------------------------------------------------------------------------------------------

SUBNORMAL, NORMAL = FLOAT32.smallest_subnormal, FLOAT32.smallest_normal


@pytest.mark.parametrize(
    ("value", "exact", "outcome"),
    [
        (1.0, real(1.0), Outcome.OK),
        (1 + 8 * 2.0**-23, real(1.0), Outcome.OK),
        (1 - 8 * 2.0**-23, real(1.0), Outcome.OK),
        (1 + 9 * 2.0**-23, real(1.0), Outcome.INACCURATE),
        (-1 - 9 * 2.0**-23, real(-1.0), Outcome.INACCURATE),
        (100.0, real(17.0), Outcome.INACCURATE),
        (NAN, real(1.0), Outcome.NAN),
        (NAN, finite(0), Outcome.NAN),
        (NAN, INFINITE, Outcome.NAN),
        (NAN, finite(1, 128), Outcome.NAN),
        (NAN, NOT_A_NUMBER, Outcome.OK),
        (1.0, NOT_A_NUMBER, Outcome.INACCURATE),
        (INF, NOT_A_NUMBER, Outcome.INACCURATE),
        (0.0, NOT_A_NUMBER, Outcome.INACCURATE),
        (INF, real(1.0), Outcome.INF),
        (INF, real(FLOAT32.largest), Outcome.INF),
        (INF, finite(0), Outcome.INF),
        (-INF, finite(0), Outcome.INF),
        (INF, INFINITE, Outcome.OK),
        (INF, finite(1, 128), Outcome.OK),
        (-INF, finite(-1, HUGE), Outcome.OK),
        (FLOAT32.largest, finite(1, 128), Outcome.MISSED_INF),
        (FLOAT32.largest, INFINITE, Outcome.MISSED_INF),
        (0.0, INFINITE, Outcome.MISSED_INF),
        (-INF, INFINITE, Outcome.WRONG_SIGN),
        (-INF, real(1.0), Outcome.WRONG_SIGN),
        (-1.0, real(1.0), Outcome.WRONG_SIGN),
        (1.0, real(-1.0), Outcome.WRONG_SIGN),
        (-SUBNORMAL, real(SUBNORMAL), Outcome.WRONG_SIGN),
        (0.0, real(1.0), Outcome.LOST),
        (-0.0, real(1.0), Outcome.LOST),
        (0.0, real(-1.0), Outcome.LOST),
        (0.0, real(NORMAL), Outcome.LOST),
        (0.0, finite(2**60 - 1, -126 - 60), Outcome.LOST),
        (0.0, real(NORMAL - SUBNORMAL), Outcome.FLUSHED),
        (0.0, real(SUBNORMAL), Outcome.FLUSHED),
        (0.0, finite(-3, -151), Outcome.FLUSHED),
        (0.0, finite(1, -150), Outcome.OK),
        (0.0, finite(1, -HUGE), Outcome.OK),
        (-0.0, finite(1, -HUGE), Outcome.OK),
        (SUBNORMAL, finite(1, -HUGE), Outcome.OK),
        (9 * SUBNORMAL, finite(0), Outcome.INACCURATE),
        (1.0, finite(0), Outcome.INACCURATE),
        (1.0, UNDECIDED, Outcome.UNDECIDED),
        (NAN, UNDECIDED, Outcome.UNDECIDED),
        (INF, UNDECIDED, Outcome.UNDECIDED),
    ],
)
def test_outcomes(value, exact, outcome):
    """A failure that gets another name, or none."""
    assert classify(value, exact, ulp_error(value, exact, FLOAT32), FLOAT32, 8.0) is outcome


@given(st.data())
def test_a_nan_ulp_is_never_ok_for_a_number(data):
    """A limit check written so that NaN passes it."""
    dtype = data.draw(formats())
    value = data.draw(finite_floats(dtype).filter(lambda value: value != 0))

    assert classify(value, real(value, dtype), NAN, dtype, 8.0) is Outcome.INACCURATE
    assert classify(value, real(value, dtype), 0.0, dtype, NAN) is Outcome.INACCURATE


def test_what_counts_as_a_failure():
    """An outcome that a gate would let through: undecided and unavailable are no verdict, ok is the only pass."""
    assert set(Outcome) - FAILURES == {Outcome.OK, Outcome.UNDECIDED, Outcome.UNAVAILABLE}
    assert max(Outcome, key=lambda outcome: outcome.severity) is Outcome.OK
    assert min(Outcome, key=lambda outcome: outcome.severity) is Outcome.NAN
    assert all(outcome.failed == (outcome in FAILURES) for outcome in Outcome)


# Absolute and relative ------------------------------------------------------------------------------------------------


@given(st.data())
def test_absolute_and_relative_error_agree_with_plain_fractions(data):
    """An error rounded twice, or with the sign of the exact value in it."""
    dtype = data.draw(formats())
    exact = finite(*data.draw(dyadics(dtype)), dtype)
    value = data.draw(finite_floats(dtype) | st.integers(-40, 40).map(lambda n: dtype.neighbour(exact.rounded, n)))
    assume(math.isfinite(value))

    number = as_fraction(exact)
    assert absolute_error(value, exact) == FLOAT64.round_fraction(Fraction(value) - number)
    assert relative_error(value, exact) == FLOAT64.round_fraction((Fraction(value) - number) / abs(number))


@pytest.mark.parametrize(
    ("value", "exact", "absolute", "relative"),
    [
        (1.0, real(-2.0), 3.0, 1.5),
        (-3.0, real(-2.0), -1.0, -0.5),
        (0.0, real(5.0), -5.0, -1.0),
        (0.0, finite(0), 0.0, 0.0),
        (0.0, Exact(Kind.FINITE, 0.0, (0, -507), (1, -500)), 0.0, 0.0),
        (1.0, finite(0), 1.0, INF),
        (-1.0, finite(0), -1.0, -INF),
        (0.0, finite(1, -HUGE), 0.0, -1.0),
        (1.0, finite(1, -HUGE), 1.0, INF),
        (1.0, finite(1, HUGE), -INF, -1.0),
        (1.0, finite(-1, HUGE), INF, 1.0),
        (INF, real(1.0), INF, INF),
        (-INF, real(1.0), -INF, -INF),
        (INF, INFINITE, 0.0, 0.0),
        (1.0, INFINITE, -INF, -INF),
        (1.0, MINUS_INFINITE, INF, INF),
        (NAN, NOT_A_NUMBER, 0.0, 0.0),
    ],
)
def test_absolute_and_relative_error_by_hand(value, exact, absolute, relative):
    """A wrong convention at zero, at infinity, or for a negative exact value."""
    assert absolute_error(value, exact) == absolute
    assert relative_error(value, exact) == relative


# Deviation ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "definition", "expected"),
    [
        (real(3.0), real(1.0), 2.0),
        (real(-3.0), real(-1.0), 2.0),
        (real(1.0), real(4.0), -0.75),
        (real(-1.0), real(-4.0), -0.75),
        (real(-1.0), real(1.0), -2.0),
        (real(1.0), real(-1.0), -2.0),
        (finite(0), real(5.0), -1.0),
        (finite(0), real(-5.0), -1.0),
        (finite(0), finite(0), 0.0),
        (real(2.0), finite(0), INF),
        (real(-2.0), finite(0), -INF),
        (finite(3, HUGE), finite(1, HUGE), 2.0),
        (finite(3, -HUGE), finite(1, -HUGE), 2.0),
        (finite(1, -HUGE), real(1.0), -1.0),
        (INFINITE, INFINITE, 0.0),
        (MINUS_INFINITE, MINUS_INFINITE, 0.0),
        (NOT_A_NUMBER, Exact(Kind.NAN, NAN), 0.0),
        (INFINITE, real(3.0), INF),
        (MINUS_INFINITE, real(-3.0), INF),
        (INFINITE, real(-3.0), -INF),
        (MINUS_INFINITE, real(3.0), -INF),
        (real(3.0), INFINITE, -1.0),
        (real(3.0), MINUS_INFINITE, -1.0),
        (INFINITE, MINUS_INFINITE, -INF),
        (NOT_A_NUMBER, real(1.0), NAN),
        (real(1.0), NOT_A_NUMBER, NAN),
        (INFINITE, NOT_A_NUMBER, NAN),
        (UNDECIDED, real(1.0), NAN),
        (real(1.0), UNDECIDED, NAN),
        (NOT_A_NUMBER, UNDECIDED, NAN),
        (UNDECIDED, INFINITE, NAN),
    ],
)
def test_deviations_by_hand(own, definition, expected):
    """own / definition - 1 with another sign, for a negative gradient, at zero or at infinity."""
    found = deviation(own, definition)
    assert found == expected or (math.isnan(found) and math.isnan(expected))


def test_the_same_exact_value_does_not_deviate():
    """An implementation without a formula of its own deviating where the oracle did not decide."""
    assert deviation(UNDECIDED, UNDECIDED) == 0


def test_enclosures_that_overlap_do_not_deviate():
    """Two precisions of one number reported as a deviation; two numbers that differ reported as one."""
    third = finite((2**200) // 3, -200, radius=(1, -199))
    coarse = finite((2**100) // 3, -100, radius=(1, -99))
    other = finite((2**200) // 3 + 2**40, -200, radius=(1, -199))

    assert deviation(third, coarse) == 0
    assert deviation(coarse, third) == 0
    assert deviation(other, third) == pytest.approx(3 * 2.0**-160)
    assert deviation(third, other) == pytest.approx(-3 * 2.0**-160)


def test_enclosures_that_touch_do_not_deviate():
    """The boundary case of overlap counted as apart."""
    assert deviation(finite(3, 0, radius=(1, -1)), finite(4, 0, radius=(1, -1))) == 0
    assert deviation(finite(3, 0, radius=(1, -2)), finite(4, 0, radius=(1, -1))) == -0.25


@given(st.data())
def test_deviation_is_own_over_definition_minus_one(data):
    """A deviation rounded more than once, or with a sign of its own."""
    dtype = data.draw(formats())
    own, definition = (finite(*data.draw(dyadics(dtype)), dtype) for _ in range(2))

    right = as_fraction(own) / as_fraction(definition) - 1
    assert deviation(own, definition) == FLOAT64.round_fraction(right)


@given(st.data())
def test_deviation_does_not_depend_on_the_format_of_the_rounded_value(data):
    """A deviation taken from the rounded floats instead of the exact values."""
    dyadic = data.draw(dyadics(FLOAT16))
    own = data.draw(dyadics(FLOAT16))

    found = {deviation(finite(*own, dtype), finite(*dyadic, dtype)) for dtype in (FLOAT16, FLOAT32, FLOAT64)}
    assert len(found) == 1
