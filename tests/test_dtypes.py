"""The formats: rounding against independent roundings, ordinals against bit patterns, text against numpy."""

import itertools
import math
import random
import re
import struct
from fractions import Fraction

import gmpy2
import ml_dtypes
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import dyadics, finite_floats, floats, formats, sample_floats

from losscheck.core.dtypes import BFLOAT16, FLOAT16, FLOAT32, FLOAT64, FORMATS, format_named, short_hex
from losscheck.core.errors import UserError

NUMPY = {FLOAT64: np.float64, FLOAT32: np.float32, FLOAT16: np.float16, BFLOAT16: ml_dtypes.bfloat16}
UNSIGNED = {FLOAT64: np.uint64, FLOAT32: np.uint32, FLOAT16: np.uint16, BFLOAT16: np.uint16}
# MPFR counts exponents of 0.1f * 2^e, one more than 1.f * 2^e has.
MPFR = {
    dtype: gmpy2.context(precision=dtype.precision, emin=dtype.least_exponent + 1, emax=dtype.emax + 1, subnormalize=True)
    for dtype in (FLOAT64, FLOAT32)
}
MPFR_EXACT = gmpy2.context(precision=4000)
HUGE = 10**20
BOTH_16_BIT = pytest.mark.parametrize("dtype", [FLOAT16, BFLOAT16], ids=lambda value: value.name)
WIDE = pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64], ids=lambda value: value.name)
EVERY = pytest.mark.parametrize("dtype", FORMATS.values(), ids=lambda value: value.name)


def same(a, b):
    """The same number with the same sign of zero, or both NaN."""
    return (math.isnan(a) and math.isnan(b)) or (a == b and math.copysign(1.0, a) == math.copysign(1.0, b))


def non_negative(dtype):
    """Every finite non-negative float of a 16-bit format, in order, from its bit patterns alone."""
    patterns = np.arange(0, dtype.infinity_ordinal, dtype=np.uint16)
    return patterns.view(NUMPY[dtype]).astype(np.float64).tolist()


def dyadic_of(value):
    numerator, denominator = value.as_integer_ratio()
    return numerator, 1 - denominator.bit_length()


def by_mpfr(dtype, mantissa, exponent):
    """mantissa * 2^exponent rounded by MPFR, with its subnormalisation."""
    with gmpy2.context(MPFR_EXACT):
        exact = gmpy2.mul_2exp(gmpy2.mpfr(mantissa), exponent) if exponent >= 0 else gmpy2.div_2exp(gmpy2.mpfr(mantissa), -exponent)
        assert int(gmpy2.mpfr(mantissa)) == mantissa
    with gmpy2.context(MPFR[dtype]):
        return float(+exact)


# Rounding -----------------------------------------------------------------------------------------------------------


@BOTH_16_BIT
def test_every_16_bit_float_and_every_midpoint_rounds_right(dtype):
    """A wrong tie, a wrong carry or a wrong subnormal anywhere in the 16-bit formats."""
    values = [*non_negative(dtype), 2.0 ** (dtype.emax + 1)]
    wrong = []
    for n, (low, high) in enumerate(itertools.pairwise(values)):
        after = high if high <= dtype.largest else math.inf
        mantissa, exponent = dyadic_of((low + high) / 2)
        wide = mantissa << 200
        cases = [
            (dyadic_of(low), low),
            ((mantissa, exponent), low if n % 2 == 0 else after),
            ((wide - 1, exponent - 200), low),
            ((wide + 1, exponent - 200), after),
        ]
        wrong += [
            (sign * m, e, sign * right)
            for (m, e), right in cases
            for sign in (1, -1)
            if not same(dtype.round_dyadic(sign * m, e), sign * right if m else 0.0)
        ]
    assert not wrong, wrong[:5]


@BOTH_16_BIT
def test_every_16_bit_midpoint_as_a_fraction_and_as_a_float_rounds_right(dtype):
    """round_fraction or round losing the sticky bit, or disagreeing with round_dyadic on a tie."""
    values = [*non_negative(dtype), 2.0 ** (dtype.emax + 1)]
    # A third is no dyadic: the quotient is cut off, and only the sticky bit tells it from a tie.
    tiny = Fraction(1, 3 * 2**400)
    wrong = []
    for n, (low, high) in enumerate(itertools.pairwise(values)):
        after = high if high <= dtype.largest else math.inf
        middle = (low + high) / 2
        tie = low if n % 2 == 0 else after
        exact = Fraction(middle)
        found = [
            dtype.round(middle),
            dtype.round(-middle),
            dtype.round(math.nextafter(middle, 0.0)),
            dtype.round(math.nextafter(middle, math.inf)),
            dtype.round_fraction(exact),
            dtype.round_fraction(exact - tiny),
            dtype.round_fraction(exact + tiny),
            dtype.round_fraction(-exact - tiny),
        ]
        if found != [tie, -tie, low, after, tie, low, after, -after]:
            wrong.append((middle, found))
    assert not wrong, wrong[:5]


@WIDE
@given(data=st.data())
def test_rounding_agrees_with_mpfr(dtype, data):
    """A double rounding or a wrong subnormal in float32 and float64, which are too large to try in full."""
    mantissa, exponent = data.draw(dyadics(dtype))
    right = by_mpfr(dtype, mantissa, exponent)

    assert same(dtype.round_dyadic(mantissa, exponent), right)
    assert same(dtype.round_fraction(Fraction(mantissa) * Fraction(2) ** exponent), right)


@WIDE
@given(data=st.data())
def test_rounding_beside_a_midpoint_agrees_with_mpfr(dtype, data):
    """A tie decided by bits that were dropped on the way."""
    value = data.draw(finite_floats(dtype).filter(lambda value: value != 0))
    offset = data.draw(st.sampled_from([-1, 0, 1]))
    unit = dtype.ulp_exponent(math.frexp(value)[1] - 1)
    half_ulps = 2 * int(Fraction(value) / Fraction(2) ** unit) + (1 if value > 0 else -1)
    beside = ((half_ulps << 300) + offset, unit - 301)

    assert same(dtype.round_dyadic(*beside), by_mpfr(dtype, *beside))


@pytest.mark.parametrize(
    ("dtype", "value", "right"),
    [
        (FLOAT32, 1 + Fraction(1, 2**24) + Fraction(1, 2**60), 1 + 2.0**-23),
        (FLOAT32, 1 + Fraction(1, 2**24), 1.0),
        (FLOAT32, 1 + Fraction(3, 2**24), 1 + 2.0**-22),
        (FLOAT64, 1 + Fraction(1, 2**53) + Fraction(1, 2**200), 1 + 2.0**-52),
        (FLOAT32, Fraction(3, 4) / 2**149, 2.0**-149),
        (FLOAT32, (Fraction(7, 2) - Fraction(1, 2**40)) / 2**149, 3 * 2.0**-149),
        (FLOAT32, Fraction(7, 2) / 2**149, 4 * 2.0**-149),
        (FLOAT64, (Fraction(7, 2) - Fraction(1, 2**80)) / 2**1074, 3 * 2.0**-1074),
        (FLOAT64, Fraction(5, 2) / 2**1074, 2 * 2.0**-1074),
        (FLOAT32, 2**128 - Fraction(2**103) - Fraction(1, 2**60), FLOAT32.largest),
        (FLOAT64, 2**1024 - Fraction(2**970) - Fraction(1, 2**60), FLOAT64.largest),
    ],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_hand_made_roundings(dtype, value, right, sign):
    """The values that two roundings in a row get wrong."""
    power = value.denominator.bit_length() - 1

    assert dtype.round_fraction(sign * value) == sign * right
    assert dtype.round_dyadic(sign * value.numerator, -power) == sign * right


@EVERY
@pytest.mark.parametrize("sign", [1, -1])
def test_both_ends_of_the_range(dtype, sign):
    """Half the least subnormal, or largest + half an ulp, rounding to the wrong side."""
    least, last_unit = dtype.least_exponent, dtype.emax - dtype.precision + 1
    threshold = 2 ** (dtype.precision + 1) - 1  # largest + half an ulp, in half ulps
    tie_to_zero, above, below = (sign, least - 1), (sign * (2**90 + 1), least - 91), (sign * (2**90 - 1), least - 91)

    assert same(dtype.round_dyadic(*tie_to_zero), sign * 0.0)
    assert same(dtype.round_dyadic(*below), sign * 0.0)
    assert dtype.round_dyadic(*above) == sign * dtype.smallest_subnormal
    assert dtype.round_dyadic(sign * 3, least - 1) == sign * 2 * dtype.smallest_subnormal
    assert dtype.round_dyadic(sign * threshold, last_unit - 1) == sign * math.inf
    assert dtype.round_dyadic(sign * ((threshold << 90) - 1), last_unit - 91) == sign * dtype.largest


@EVERY
def test_astronomic_exponents_return_at_once(dtype):
    """A shift by the exponent before it is compared: exp(-1e20) would build 2^(1.4e20)."""
    assert dtype.round_dyadic(1, HUGE) == math.inf
    assert dtype.round_dyadic(-3, HUGE) == -math.inf
    assert same(dtype.round_dyadic(1, -HUGE), 0.0)
    assert same(dtype.round_dyadic(-3, -HUGE), -0.0)
    assert dtype.round_dyadic(0, HUGE) == 0.0


# ml_dtypes casts float64 to bfloat16 by way of float32, so that cast is asked about floats of float32 alone.
@pytest.mark.parametrize(("wide", "dtype"), [(FLOAT64, FLOAT32), (FLOAT64, FLOAT16), (FLOAT32, FLOAT16), (FLOAT32, BFLOAT16)])
def test_round_agrees_with_the_casts_of_numpy_and_ml_dtypes(wide, dtype):
    """A float64 that becomes another float here than in the arrays of the backends."""
    rng = random.Random(2024)
    middles = [(x + dtype.neighbour(x, 1)) / 2 for x in sample_floats(dtype, 4000, rng)]
    middles = [x for x in middles if wide.contains(x) and math.isfinite(x)]
    beside = [wide.neighbour(x, rng.choice([-1, 1])) for x in middles]
    values = [*sample_floats(wide, 4000, rng), *sample_floats(dtype, 2000, rng), *middles, *beside]
    with np.errstate(all="ignore"):
        casts = np.array(values).astype(NUMPY[wide]).astype(NUMPY[dtype]).astype(np.float64).tolist()

    wrong = [(x, cast) for x, cast in zip(values, casts, strict=True) if not same(dtype.round(x), cast)]
    assert len(middles) > 3000
    assert not wrong, wrong[:5]


@EVERY
@pytest.mark.parametrize("value", [0.0, -0.0, math.inf, -math.inf, math.nan])
def test_round_passes_zeros_infinities_and_nan_through(dtype, value):
    """-0 losing its sign, or an infinity or NaN becoming an error."""
    assert same(dtype.round(value), value)


@given(formats(), st.floats(allow_nan=False))
def test_contains_is_being_a_fixed_point_of_numpy(dtype, value):
    """A number taken for one of the format that its arrays cannot hold, or refused though they can."""
    with np.errstate(all="ignore"):
        held = float(np.float64(value).astype(NUMPY[dtype])) == value

    assert dtype.contains(value) == held


@EVERY
def test_contains_its_own_floats_and_nothing_between(dtype):
    """The domain check of ordinal() being open for numbers of a wider format."""
    assert dtype.contains(dtype.largest)
    assert dtype.contains(dtype.smallest_subnormal)
    assert dtype.contains(math.nan)
    assert dtype.contains(-math.inf)
    assert dtype is FLOAT64 or not dtype.contains(1 + 2.0**-52)
    assert dtype is FLOAT64 or not dtype.contains(dtype.smallest_subnormal / 2)


# The formats themselves -----------------------------------------------------------------------------------------------


@EVERY
def test_limits_are_those_of_numpy(dtype):
    """A wrong constant in a format: everything measured in its ulps would be off."""
    info = ml_dtypes.finfo(NUMPY[dtype])

    assert dtype.largest == float(info.max)
    assert dtype.smallest_normal == float(info.smallest_normal)
    assert dtype.smallest_subnormal == float(info.smallest_subnormal)
    assert dtype.bits == info.bits
    assert dtype.precision == info.nmant + 1


@given(st.data())
def test_the_ulp_is_the_distance_to_the_next_float_away_from_zero(data):
    """The unit all errors are given in being off by a factor of two, or too small below the normal range."""
    dtype = data.draw(formats())
    value = abs(data.draw(finite_floats(dtype).filter(lambda value: 0 < abs(value) < dtype.largest)))

    unit = Fraction(2) ** dtype.ulp_exponent(math.frexp(value)[1] - 1)
    assert unit == Fraction(dtype.neighbour(value, 1)) - Fraction(value)


@pytest.mark.parametrize(("magnitude", "unit"), [(0, -23), (1, -22), (-1, -24), (127, 104), (-126, -149), (-127, -149), (-(2**62), -149)])
def test_ulp_exponents_of_float32(magnitude, unit):
    """ulp(r) = 2^(max(floor(log2 |r|), emin) - (p - 1)) with any of its three numbers wrong."""
    assert FLOAT32.ulp_exponent(magnitude) == unit


# Ordinals -------------------------------------------------------------------------------------------------------------


@BOTH_16_BIT
def test_every_16_bit_ordinal_is_its_bit_pattern(dtype):
    """The order of the floats having a gap, a repetition or a swap; -0 is -1 and +0 is 0."""
    values = [*non_negative(dtype), math.inf]

    assert [dtype.ordinal(value) for value in values] == list(range(len(values)))
    assert [dtype.ordinal(-value) for value in values] == [-1 - n for n in range(len(values))]
    assert all(same(dtype.from_ordinal(n), value) and same(dtype.from_ordinal(-1 - n), -value) for n, value in enumerate(values))


@WIDE
def test_ordinals_are_the_bit_patterns(dtype):
    """An ordinal that is not the bit pattern in float32 or float64: regions would have wrong edges and counts."""
    codes = {FLOAT32: ("<f", "<I"), FLOAT64: ("<d", "<Q")}[dtype]
    for value in [*sample_floats(dtype, 3000, random.Random(7)), dtype.largest, dtype.smallest_normal, math.inf]:
        (pattern,) = struct.unpack(codes[1], struct.pack(codes[0], abs(value)))
        assert dtype.ordinal(abs(value)) == pattern
        assert dtype.ordinal(-abs(value)) == -1 - pattern


@given(st.data())
def test_ordinals_are_bijective_and_monotone(data):
    """from_ordinal not undoing ordinal, or a larger float coming before a smaller one."""
    dtype = data.draw(formats())
    a, b = (data.draw(floats(dtype).filter(lambda value: not math.isnan(value))) for _ in range(2))

    assert same(dtype.from_ordinal(dtype.ordinal(a)), a)
    if a != b:
        assert (dtype.ordinal(a) < dtype.ordinal(b)) == (a < b)


@EVERY
def test_the_two_zeros_are_neighbours(dtype):
    """The zeros sharing a place, or another number lying between them."""
    assert dtype.ordinal(-0.0) == -1
    assert dtype.ordinal(0.0) == 0
    assert same(dtype.neighbour(-0.0, 1), 0.0)
    assert same(dtype.neighbour(0.0, -1), -0.0)
    assert dtype.neighbour(0.0, 1) == dtype.smallest_subnormal
    assert dtype.neighbour(dtype.largest, 1) == math.inf


@WIDE
@given(data=st.data())
def test_neighbour_agrees_with_nextafter(dtype, data):
    """A float skipped or named twice on the way from one to the next."""
    value = data.draw(finite_floats(dtype).filter(lambda value: value != 0))
    scalar = NUMPY[dtype](value)
    with np.errstate(all="ignore"):
        above, below = np.nextafter(scalar, NUMPY[dtype](np.inf)), np.nextafter(scalar, NUMPY[dtype](-np.inf))

    assert dtype.neighbour(value, 1) == float(above)
    assert dtype.neighbour(value, -1) == float(below)


@EVERY
def test_neighbour_stops_at_the_infinities(dtype):
    """A walk off the end raising, or wrapping round to NaN patterns."""
    assert dtype.neighbour(math.inf, 5) == math.inf
    assert dtype.neighbour(dtype.largest, 10**30) == math.inf
    assert dtype.neighbour(-math.inf, -1) == -math.inf
    assert dtype.neighbour(math.inf, -1) == dtype.largest


@EVERY
def test_what_has_no_ordinal_is_refused(dtype):
    """NaN or a number of a wider format quietly getting some place in the order."""
    with pytest.raises(ValueError, match="no ordinal"):
        dtype.ordinal(math.nan)
    with pytest.raises(ValueError, match="beyond infinity"):
        dtype.from_ordinal(dtype.infinity_ordinal + 1)
    with pytest.raises(ValueError, match="beyond infinity"):
        dtype.from_ordinal(-2 - dtype.infinity_ordinal)
    if dtype is not FLOAT64:
        with pytest.raises(ValueError, match="no ordinal"):
            dtype.ordinal(0.1)


@EVERY
def test_between_includes_both_ends_and_both_zeros(dtype):
    """A range that leaves out its last float, or counts zero once."""
    tiny = dtype.smallest_subnormal
    found = list(dtype.between(-tiny, 2 * tiny))

    assert list(map(repr, found)) == list(map(repr, [-tiny, -0.0, 0.0, tiny, 2 * tiny]))


# Text -----------------------------------------------------------------------------------------------------------------


def significant(text):
    """How many digits a decimal literal needs: without sign, point, exponent, leading and trailing zeros."""
    return len(re.sub(r"e.*", "", text).replace("-", "").replace(".", "").strip("0"))


@given(st.data())
def test_shortest_reads_back_as_the_same_float(data):
    """A logit printed so that the printed command does not reproduce the row."""
    dtype = data.draw(formats())
    value = data.draw(floats(dtype))

    assert same(dtype.parse(dtype.shortest(value)), value)


@BOTH_16_BIT
def test_shortest_of_every_16_bit_float_reads_back_and_no_shorter_one_does(dtype):
    """A digit too few or too many in any 16-bit float that is no integer."""
    for value in non_negative(dtype)[1:]:
        text = dtype.shortest(value)
        digits = significant(text)
        assert dtype.parse(text) == value
        if not value.is_integer() and digits > 1:
            # The nearest decimals of one digit less, on both sides.
            unit = Fraction(10) ** (math.floor(math.log10(value)) - digits + 2)
            below = Fraction(value) // unit * unit
            assert dtype.round_fraction(below) != value, text
            assert dtype.round_fraction(below + unit) != value, text


@WIDE
def test_shortest_of_fractions_is_as_short_as_numpys(dtype):
    """A float that is no integer printed with more digits than tell it from its neighbours."""
    powers = [2.0**n for n in range(dtype.least_exponent, 0)]
    values = [x for x in [*powers, *sample_floats(dtype, 4000, random.Random(11))] if not x.is_integer()]
    texts = [(dtype.shortest(x), str(NUMPY[dtype](x))) for x in values]

    longer = [(text, theirs) for text, theirs in texts if significant(text) > significant(theirs)]
    assert not longer, longer[:5]
    assert all(NUMPY[dtype](text) == NUMPY[dtype](theirs) for text, theirs in texts)


@WIDE
def test_shortest_of_integers_is_as_short_as_numpys(dtype):
    """An integer beyond the format's precision printed with digits that its neighbours share."""
    values = [2.0**n for n in range(70)] + [float(NUMPY[dtype](10.0**n)) for n in range(25)]
    texts = [(dtype.shortest(x), str(NUMPY[dtype](x))) for x in values]

    longer = [(text, theirs) for text, theirs in texts if significant(text) > significant(theirs)]
    assert not longer, longer[:5]


@pytest.mark.parametrize(
    ("dtype", "value", "text"),
    [
        (FLOAT32, FLOAT32.round(0.1), "0.1"),
        (FLOAT64, 0.1, "0.1"),
        (FLOAT64, FLOAT32.round(0.1), "0.10000000149011612"),
        (BFLOAT16, BFLOAT16.round(0.1), "0.1"),
        (FLOAT32, -15.0, "-15"),
        (FLOAT32, 2.0**-149, "1e-45"),
        (FLOAT64, 2.0**-44, "5.684341886080802e-14"),
        (FLOAT32, 0.0, "0"),
        (FLOAT32, -0.0, "-0"),
        (FLOAT32, -math.inf, "-inf"),
        (FLOAT32, math.nan, "nan"),
    ],
)
def test_shortest_as_people_read_it(dtype, value, text):
    """float32 printed through float64, an integer with a point, or a zero without its sign."""
    assert dtype.shortest(value) == text


@given(st.data())
def test_short_hex_reads_back_and_has_no_trailing_zeros(data):
    """A hexadecimal edge of a region that is another float than the one found."""
    dtype = data.draw(formats())
    value = data.draw(finite_floats(dtype))

    text = short_hex(value)
    assert same(float.fromhex(text), value)
    assert "0p" not in text or text.lstrip("-") == "0x0p+0"


@given(st.data())
def test_hex_is_parsed_to_the_very_float(data):
    """A logit copied from a report in hex being read as another one."""
    dtype = data.draw(formats())
    value = data.draw(finite_floats(dtype))

    assert same(dtype.parse(value.hex()), value)
    assert same(dtype.parse(short_hex(value).upper()), value)


@given(st.data())
def test_parse_of_a_decimal_is_one_rounding(data):
    """A decimal read through float64 first."""
    dtype = data.draw(formats())
    digits = data.draw(st.integers(0, 10**40))
    exponent = data.draw(st.integers(-85, -5))
    text = f"{digits}e{exponent}"

    right = dtype.round_fraction(Fraction(digits) * Fraction(10) ** exponent)
    if math.isfinite(right):
        assert dtype.parse(text) == right


@pytest.mark.parametrize(
    ("dtype", "text", "value"),
    [
        (FLOAT32, "1.5", 1.5),
        (FLOAT32, "  -3e-7 ", -float(np.float32("3e-7"))),
        (FLOAT32, "1.00000005960464477540", 1 + 2.0**-23),
        (FLOAT32, "1.000000059604644775390625", 1.0),
        (FLOAT32, "0x1.000001p+0", 1.0),
        (FLOAT32, "0x1.00000100000000000000001p+0", 1 + 2.0**-23),
        (FLOAT32, "-0x1.00000100000000000000001p+0", -1 - 2.0**-23),
        (FLOAT64, "0x1.00000000000008p0", 1.0),
        (FLOAT64, "0x1.000000000000080000000000000000000001p0", 1 + 2.0**-52),
        (FLOAT16, "65519.99", 65504.0),
        (FLOAT32, "1e-46", 0.0),
        (FLOAT32, "-1e-46", -0.0),
        (FLOAT32, "-0", -0.0),
        (FLOAT32, "0x0p0", 0.0),
        (FLOAT64, "0x1p-1075", 0.0),
        (FLOAT64, "0x1.8p-1075", 2.0**-1074),
        (FLOAT64, "1e-999999999", 0.0),
        (FLOAT64, "0x1p-30000", 0.0),
        (FLOAT64, "0e999999999", 0.0),
        (FLOAT32, "inf", math.inf),
        (FLOAT32, "-Infinity", -math.inf),
        (FLOAT32, "NaN", math.nan),
    ],
)
def test_what_parse_reads(dtype, text, value):
    """A literal read as another number than it says, or a huge exponent built as an integer."""
    assert same(dtype.parse(text), value)


NO_NUMBERS = ["abc", "", " ", "0x", "0xp1", "1.5.2", "1,5", "--1", "--inf", "+-nan", "snan", "nan2", "1e"]
NO_HEX_NUMBERS = ["10x1", "0x-1", "5 0x", "0x 1", "0x1.8.8", "0x1p", "0x1p+-3", "-0x-1"]


@pytest.mark.parametrize("text", [*NO_NUMBERS, *NO_HEX_NUMBERS])
def test_what_is_no_number_is_a_user_error(text):
    """A typing mistake reaching the user as a traceback, or taken for a number."""
    with pytest.raises(UserError, match="is not a number"):
        FLOAT32.parse(text, "logit")


@pytest.mark.parametrize(
    ("dtype", "text"),
    [
        (FLOAT64, "1e400"),
        (FLOAT64, "-1e400"),
        (FLOAT64, "1e999999999"),
        (FLOAT64, "0x1p1024"),
        (FLOAT64, "0x1p+30000"),
        (FLOAT32, "3.5e38"),
        (FLOAT16, "65520"),
        (BFLOAT16, "3.4e38"),
    ],
)
def test_a_finite_number_beyond_the_largest_is_a_user_error(dtype, text):
    """1e400 meant as a number being taken for infinity."""
    with pytest.raises(UserError, match="beyond the largest") as caught:
        dtype.parse(text, "logit")
    assert text in caught.value.problem
    assert "inf" in caught.value.cure


def test_an_error_names_the_option_and_the_text():
    """A message that does not say which of the numbers was wrong."""
    with pytest.raises(UserError) as caught:
        FLOAT32.parse("abc", "target")
    assert caught.value.problem == "target 'abc' is not a number"


def test_literals_of_thousands_of_digits_are_read_or_refused():
    """Python's own limit on int() of 4300 digits reaching the user."""
    assert FLOAT64.parse("0." + "3" * 4000) == 1 / 3
    assert FLOAT64.parse("0x0." + "5" * 4000) == FLOAT64.round_fraction(Fraction(1, 3))
    with pytest.raises(UserError):
        FLOAT64.parse("1" * 6000)


@pytest.mark.parametrize(("name", "meant"), [("float23", "float32"), ("bfloat", "bfloat16")])
def test_an_unknown_dtype_names_the_nearest(name, meant):
    """A spelling mistake answered without the cure."""
    with pytest.raises(UserError) as caught:
        format_named(name)
    assert name in caught.value.problem
    assert meant in caught.value.cure


def test_every_format_is_found_by_its_name():
    """A format left out of the table that the options look in."""
    assert [format_named(name).name for name in ("float64", "float32", "float16", "bfloat16")] == list(FORMATS)


@example(FLOAT32, Fraction(1, 3))
@given(formats(), st.fractions(min_value=-(10**6), max_value=10**6))
def test_round_fraction_is_the_nearest_float(dtype, value):
    """A rational rounded to a float that has a nearer neighbour."""
    rounded = dtype.round_fraction(value)
    distance = abs(Fraction(rounded) - value) if math.isfinite(rounded) else None
    if distance is not None:
        beside = (dtype.neighbour(rounded, steps) for steps in (-2, -1, 1, 2))
        assert all(abs(Fraction(neighbour) - value) >= distance for neighbour in beside if math.isfinite(neighbour))
