"""The oracle: two arithmetics that agree, a third that is neither, limits, slopes, and no answer where none is proved."""

import decimal
import math
import random
from decimal import Decimal
from fractions import Fraction

import flint
import mpmath
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import finite_floats, floats, formats, logits, points, sample_floats, sample_params, sample_target
from whole import tried

from losscheck.core import registry
from losscheck.core.dtypes import BFLOAT16, FLOAT16, FLOAT32, FLOAT64, FORMATS
from losscheck.core.error import deviation, ulp_error
from losscheck.core.errors import UserError
from losscheck.core.exact import Exact, Kind
from losscheck.core.request import listed
from losscheck.measure.compare import compare
from losscheck.oracle import ORACLES, arithmetic
from losscheck.oracle.dual import DualArithmetic
from losscheck.oracle.limits import IndeterminateLimitError, Infinity, LimitArithmetic
from losscheck.oracle.mpmath import Ball, MpmathArithmetic
from losscheck.oracle.refine import CAP, Term, at_precision, exact_value, exact_values, of_enclosure

INF = math.inf
LOSSES = tuple(registry.losses().values())
BCE, FOCAL, HEATMAP = (registry.loss_named(name) for name in ("bce", "weighted-focal", "centernet-heatmap"))
EACH_LOSS = pytest.mark.parametrize("loss", LOSSES, ids=lambda value: value.name)
EACH_DTYPE = pytest.mark.parametrize("dtype", FORMATS.values(), ids=lambda value: value.name)
EACH_ORACLE = pytest.mark.parametrize("oracle", ORACLES)
# A third arithmetic that neither oracle uses: libmpdec, whose exp and ln are correctly rounded.
REFERENCE = decimal.Context(prec=1100, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN)


def softplus(m, logit, target):
    return m.softplus(logit)


def sigmoid(m, logit, target):
    return m.sigmoid(logit)


def at(formula, logit, target=0.0, dtype=FLOAT32, *, oracle="flint", differentiate=False, **params):
    """The exact value of a formula at one point."""
    return exact_value(formula, [Term(logit, target)], params, dtype, oracle=oracle, differentiate=differentiate)


def both(*args, **more):
    return [at(*args, oracle=oracle, **more) for oracle in ORACLES]


def disagreement(one, other):
    """In which of kind, rounded value, 30 digits or enclosure two answers differ; empty when in none."""
    if one.kind is not other.kind:
        return f"{one.kind} and {other.kind}"
    if one.kind in (Kind.NAN, Kind.UNDECIDED):
        return ""
    if one.rounded != other.rounded:
        return f"{one.rounded!r} and {other.rounded!r}"
    if deviation(one, other) != 0:
        return "the enclosures lie apart"
    digits = [exact.decimal(30) for exact in (one, other)]
    # Beside a decimal tie (a dyadic number less some e^-x) two right enclosures may print another last digit.
    return "" if digits[0] == digits[1] or one.decimal(29) == other.decimal(29) else " and ".join(digits)


def as_fraction(dyadic):
    mantissa, exponent = dyadic
    return mantissa * Fraction(2) ** exponent


def encloses(exact, number):
    """Does the enclosure contain a number known to many more digits? Both are Fractions."""
    return abs(as_fraction(exact.middle) - number) <= as_fraction(exact.radius) + abs(number) / 10**300


# The two oracles agree ------------------------------------------------------------------------------------------------


@EACH_DTYPE
@EACH_LOSS
def test_both_oracles_agree_over_the_whole_range(loss, dtype):
    """One of the two arithmetics, or the rounding of its enclosures, being wrong somewhere."""
    rng = random.Random(f"{loss.name} {dtype.name}")
    logits = [*sample_floats(dtype, tried(40, 90), rng), *(dtype.round(rng.uniform(-120, 120)) for _ in range(tried(25, 60)))]
    wrong, undecided = [], 0
    for logit in logits:
        target, params = sample_target(loss, dtype, rng), sample_params(loss, dtype, rng)
        for formula in (loss.formula, loss.gradient):
            one, other = both(formula, logit, target, dtype, **params)
            if said := disagreement(one, other):
                wrong.append((formula.__name__, logit.hex(), target, params, said))
            undecided += one.kind is Kind.UNDECIDED
    assert not wrong, wrong[:3]
    assert undecided == 0


@EACH_DTYPE
@EACH_LOSS
def test_both_oracles_agree_at_the_landmarks(loss, dtype):
    """An answer that is wrong just where implementations change their behaviour."""
    params = loss.resolve({}, dtype)
    marked = [(mark.logit, target) for mark in loss.landmarks(dtype) for target in {dtype.round(target) for target in loss.targets}]
    said = [
        (formula.__name__, point, disagreement(*both(formula, *point, dtype, **params)))
        for point in marked
        for formula in (loss.formula, loss.gradient)
    ]
    wrong = [line for line in said if line[-1]]
    assert not wrong, wrong[:3]


@settings(max_examples=tried(60, 150))
@given(points())
def test_gradients_by_hand_are_the_derivatives_of_the_formulas(point):
    """A gradient derived wrongly, in a branch, a weight or a sign."""
    loss, dtype, logit, target, params = point
    by_hand = at(loss.gradient, logit, target, dtype, **params)
    derived = at(loss.formula, logit, target, dtype, differentiate=True, **params)

    assert not disagreement(derived, by_hand)


@settings(max_examples=40)
@given(points())
def test_mpmath_differentiates_as_flint_does(point):
    """The slopes being right over one of the arithmetics alone."""
    loss, dtype, logit, target, params = point

    assert not disagreement(*both(loss.formula, logit, target, dtype, differentiate=True, **params))


@settings(max_examples=40)
@given(st.data())
def test_many_points_have_the_exact_values_of_each_alone(data):
    """An enclosure, a rounding or a number of bits that is another where many points are asked about together."""
    loss, dtype, logit, target, params = data.draw(points())
    more = data.draw(st.lists(logits(dtype) | floats(dtype) | st.sampled_from([logit, 8192.0, -20.0, math.nan]), max_size=6))
    formula, differentiate = data.draw(st.sampled_from([(loss.formula, False), (loss.gradient, False), (loss.formula, True)]))
    asked = [(x, target) for x in (logit, *more)]
    how = {"oracle": data.draw(st.sampled_from(ORACLES)), "differentiate": differentiate}
    alone = [exact_value(formula, [Term(*point)], params, dtype, printable=False, **how) for point in asked]
    assert list(map(repr, exact_values(formula, asked, params, dtype, **how))) == list(map(repr, alone))


@EACH_ORACLE
def test_the_control_of_the_agreement_is_caught(oracle):
    """The comparison of the two oracles passing whatever they say."""

    def slightly_wrong(m, logit, target, *, pos_weight):
        return BCE.formula(m, logit, target, pos_weight=pos_weight) * (1 + m.number(2.0**-95))

    right = at(BCE.formula, -3.0, 0.25, FLOAT64, pos_weight=1.0)
    wrong = at(slightly_wrong, -3.0, 0.25, FLOAT64, oracle=oracle, pos_weight=1.0)
    assert wrong.rounded == right.rounded
    assert disagreement(right, wrong) == "the enclosures lie apart"
    assert disagreement(right, at(BCE.formula, 3.0, 0.25, FLOAT64, oracle=oracle, pos_weight=1.0))
    assert disagreement(right, at(BCE.formula, INF, 0.25, FLOAT64, oracle=oracle, pos_weight=1.0))


# A third arithmetic ---------------------------------------------------------------------------------------------------


def textbook_bce(p, q, z, *, pos_weight):
    return -pos_weight * z * p.ln() - (1 - z) * q.ln()


def textbook_focal(p, q, z, *, alpha, gamma):
    return -alpha * q**gamma * p.ln() if z == 1 else -(1 - alpha) * p**gamma * q.ln()


def textbook_heatmap(p, q, z, *, alpha, beta):
    return -(q**alpha) * p.ln() if z == 1 else -((1 - z) ** beta) * p**alpha * q.ln()


class Textbook:
    """What a formula takes for its arithmetic: decimal numbers, everything through the probability, nothing in one-sign form."""

    def sigmoid(self, x):
        return 1 / (1 + (-x).exp())

    def softplus(self, x):
        return -(1 - self.sigmoid(x)).ln()

    def tanh_half(self, x):
        return 2 * self.sigmoid(x) - 1

    def power(self, base, exponent):
        return base**exponent if exponent else Decimal(1)

    def maximum(self, a, b):
        return max(a, b)

    def minimum(self, a, b):
        return min(a, b)

    def number(self, value):
        return Decimal(value)

    rounded = number

    def exp(self, x):
        return x.exp()

    def log(self, x):
        return x.ln()

    def log1p(self, x):
        return (1 + x).ln()


# Typed once more; of a loss that is not here the formula itself is evaluated through the probability.
TEXTBOOK = {"bce": textbook_bce, "weighted-focal": textbook_focal, "centernet-heatmap": textbook_heatmap}


def by_textbook(loss, x, z, params):
    """The loss through the probability as the papers print it, at 1100 digits: 1 - p may cancel 430 of them."""
    numbers = {name: Decimal(value) for name, value in params.items()}
    if loss.name not in TEXTBOOK:
        return loss.formula(Textbook(), x, Decimal(z), **numbers)
    p = 1 / (1 + (-x).exp())
    return TEXTBOOK[loss.name](p, 1 - p, Decimal(z), **numbers)


@pytest.mark.parametrize("name", TEXTBOOK)
def test_what_is_typed_once_more_is_the_formula(name):
    """The formula of a loss mistyped, or the arithmetic that stands in for a typed one."""
    loss, rng = registry.loss_named(name), random.Random(name)
    with decimal.localcontext(REFERENCE):
        for _ in range(10):
            x, target, params = rng.uniform(-30, 30), sample_target(loss, FLOAT64, rng), sample_params(loss, FLOAT64, rng)
            numbers = {key: Decimal(value) for key, value in params.items()}
            through_the_formula = loss.formula(Textbook(), Decimal(x), Decimal(target), **numbers)
            assert abs(by_textbook(loss, Decimal(x), target, params) / through_the_formula - 1) < Decimal(10) ** -300


@EACH_LOSS
def test_the_naive_implementation_is_the_definition_where_it_does_not_break(loss):
    """A formula, or its gradient, mistyped: the textbook lines of the same file, in float64, give something else."""
    rows = []
    for target in loss.targets:
        rows += compare(
            listed((loss.name,), (-3.0, -0.5, 0.25, 2.0), (target,), impl=("naive",), backends=("numpy", "torch"), dtypes=("float64",))
        )
    assert rows
    for row in rows:
        assert abs(row.value - row.exact.rounded) <= 1e-11 * max(abs(row.exact.rounded), 1e-3), row


@EACH_LOSS
def test_exact_values_are_those_of_a_third_arithmetic(loss):
    """Both oracles and the formula they share being wrong together."""
    rng = random.Random(loss.name)
    with decimal.localcontext(REFERENCE):
        for dtype in FORMATS.values():
            for limit in (2, 30, 950, 950):
                logit = dtype.round(rng.uniform(-limit, limit))
                target, params = sample_target(loss, dtype, rng), sample_params(loss, dtype, rng)
                right = Fraction(by_textbook(loss, Decimal(logit), target, params))
                for exact in both(loss.formula, logit, target, dtype, **params):
                    assert encloses(exact, right), (logit, target, params)
                    assert exact.rounded == dtype.round_fraction(right)


@EACH_LOSS
def test_exact_gradients_are_difference_quotients_of_a_third_arithmetic(loss):
    """The gradient by hand and the derivative of the formula being wrong together."""
    rng = random.Random(loss.name)
    with decimal.localcontext(REFERENCE):
        step = Decimal(10) ** -160
        for limit in (2, 30, 400):
            logit = rng.uniform(-limit, limit)
            target, params = sample_target(loss, FLOAT64, rng), sample_params(loss, FLOAT64, rng)
            above, below = (by_textbook(loss, Decimal(logit) + shift, target, params) for shift in (step, -step))
            right = Fraction((above - below) / (2 * step))
            for exact in both(loss.gradient, logit, target, FLOAT64, **params):
                assert abs(as_fraction(exact.middle) / right - 1) < Fraction(1, 10**34), (logit, target, params)
                assert exact.rounded == FLOAT64.round_fraction(right)


# Traps ----------------------------------------------------------------------------------------------------------------


def digits(number, count=30):
    """A Decimal to ``count`` digits, as :meth:`Exact.decimal` writes it."""
    mantissa, exponent = f"{number:.{count - 1}e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent):+d}"


@EACH_ORACLE
@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64])
@pytest.mark.parametrize("logit", [-700.0, -1000.0, -100000.0])
def test_a_tiny_softplus_is_not_zero(logit, dtype, oracle):
    """log(1 + exp(-1000)) is 0 at 53, 100, 200 and 1100 bits alike: agreement of two precisions is no proof."""
    exact = at(softplus, logit, dtype=dtype, oracle=oracle)
    with decimal.localcontext(REFERENCE):
        right = Decimal(logit).exp()  # softplus(x) = e^x - e^2x / 2 + ..., equal to 300 digits

    assert exact.decimal(30) == digits(right)
    assert exact.rounded == dtype.round_fraction(Fraction(right))
    assert (exact.rounded == 0) == (dtype is FLOAT32 or logit <= -1000)
    assert exact.middle[0] != 0


@EACH_ORACLE
@EACH_DTYPE
def test_the_largest_logits(dtype, oracle):
    """2^(1.4e308) built as an integer, or the exponent of a tiny value lost."""
    high = at(softplus, dtype.largest, dtype=dtype, oracle=oracle)
    low = at(softplus, -dtype.largest, dtype=dtype, oracle=oracle)
    with decimal.localcontext(REFERENCE):
        power = Decimal(-dtype.largest) / Decimal(10).ln()
        exponent = math.floor(power)
        mantissa = digits(10 ** (power - exponent)).removesuffix("e+0")

    assert high.rounded == dtype.largest
    assert low.rounded == 0
    assert low.decimal(30) == f"{mantissa}e{exponent}"
    assert at(sigmoid, dtype.largest, dtype=dtype, oracle=oracle).rounded == 1
    assert at(sigmoid, -dtype.largest, dtype=dtype, oracle=oracle).decimal(30) == f"{mantissa}e{exponent}"


@EACH_ORACLE
@EACH_DTYPE
def test_zero_and_subnormal_logits(dtype, oracle):
    """softplus(0) = ln 2 and s(0) = 1/2 not being exact to the last bit, or a subnormal logit taken for another."""
    ln2 = Fraction(Decimal(2).ln(REFERENCE))
    for logit in (0.0, -0.0, dtype.smallest_subnormal, -dtype.smallest_subnormal):
        assert at(softplus, logit, dtype=dtype, oracle=oracle).rounded == dtype.round_fraction(ln2 + Fraction(logit) / 2)
        assert at(sigmoid, logit, dtype=dtype, oracle=oracle).rounded == dtype.round_fraction(Fraction(1, 2) + Fraction(logit) / 4)
    assert encloses(at(softplus, -0.0, dtype=dtype, oracle=oracle), ln2)


@EACH_ORACLE
@EACH_DTYPE
@pytest.mark.parametrize("logit", [1.0, -1.0])
def test_a_soft_gradient_beside_its_zero_is_decided_with_many_bits(logit, dtype, oracle):
    """(1-z) s(x) - z s(-x) = x/4 - x^3/48 + ... at z = 1/2 being lost in the cancellation of its two terms."""
    logit *= 64 * dtype.smallest_subnormal
    by_hand = at(BCE.gradient, logit, 0.5, dtype, oracle=oracle, pos_weight=1.0)
    derived = at(BCE.formula, logit, 0.5, dtype, oracle=oracle, differentiate=True, pos_weight=1.0)

    assert by_hand.rounded == derived.rounded == logit / 4
    assert by_hand.decimal(30) == derived.decimal(30)
    assert dtype is FLOAT16 or derived.decimal(30) == digits(Decimal(logit / 4))
    assert derived.bits > 64 - dtype.least_exponent


@EACH_ORACLE
def test_a_soft_gradient_beside_a_zero_elsewhere_is_decided(oracle):
    """The neighbours of x = -log 3, where 3 z s(-x) = (1-z) s(x) at z = 1/2 is met by no float."""
    with decimal.localcontext(REFERENCE):
        for steps in (-1, 0, 1):
            logit = FLOAT64.neighbour(math.log(3), steps)
            odds = Decimal(logit).exp()
            right = Fraction((odds - 3) / (1 + odds) / 2)
            exact = at(BCE.gradient, logit, 0.5, FLOAT64, oracle=oracle, pos_weight=3.0)
            assert exact.rounded == FLOAT64.round_fraction(right)
            assert encloses(exact, right)


@EACH_ORACLE
def test_a_gradient_that_is_exactly_zero(oracle):
    """A zero-initialised head with soft targets: 0 coming out undecided, or as a relative error of infinity."""
    exact = at(BCE.gradient, 0.0, 0.5, FLOAT32, oracle=oracle, pos_weight=1.0)

    assert exact.kind is Kind.FINITE
    assert exact.rounded == 0
    assert exact.decimal() == "0"


@EACH_ORACLE
def test_a_tie_is_rounded_to_even_when_the_formula_is_exact(oracle):
    """An exact midpoint that is never decided, or decided upwards."""
    for number, right in ((1 + 2.0**-24, 1.0), (1 + 3 * 2.0**-24, 1 + 2.0**-22), (2.0**-150, 0.0), (3 * 2.0**-150, 2 * 2.0**-149)):
        exact = at(lambda m, logit, target, number=number: m.number(number), 0.0, oracle=oracle)
        assert exact.rounded == right
        assert exact.radius == (0, 0)


@EACH_ORACLE
def test_a_tie_that_is_only_enclosed_is_undecided(oracle):
    """A guess at a midpoint: log(exp(1 + 2^-24)) is one, and no enclosure of it rounds to one float."""
    exact = at(lambda m, logit, target: m.log(m.exp(m.number(1 + 2.0**-24))), 0.0, oracle=oracle)

    assert exact.kind is Kind.UNDECIDED
    assert math.isnan(exact.rounded)
    assert exact.bits == CAP


NUDGE = Fraction(1, 2**5000)


@EACH_ORACLE
@pytest.mark.parametrize(
    ("formula", "params", "target", "factor", "side"),
    [
        (FOCAL.formula, {"alpha": 0.25, "gamma": 2.0}, 0.0, Fraction(3, 4), -1),
        (FOCAL.formula, {"alpha": 0.25, "gamma": 2.0}, 1.0, Fraction(1, 4), -1),
        (FOCAL.formula, {"alpha": 0.25, "gamma": 0.0}, 0.0, Fraction(3, 4), 1),
        (FOCAL.formula, {"alpha": 0.25, "gamma": 0.5}, 0.0, Fraction(3, 4), -1),
        (FOCAL.formula, {"alpha": 0.75, "gamma": 1.5}, 1.0, Fraction(3, 4), -1),
        (BCE.formula, {"pos_weight": 1.0}, 0.25, Fraction(3, 4), 1),
        (BCE.formula, {"pos_weight": 5.0}, 1.0, Fraction(5), 1),
        (HEATMAP.formula, {"alpha": 2.0, "beta": 2.0}, 0.25, Fraction(9, 16), -1),
        (HEATMAP.formula, {"alpha": 0.0, "beta": 1.0}, 0.25, Fraction(3, 4), 1),
    ],
)
def test_large_logits_beside_a_tie_are_rounded_to_the_side_they_lie_on(formula, params, target, factor, side, oracle):
    """A tie taken for exact: 0.75 softplus(x) s(x)^2 is 0.75 x less some 2^-1.44x, which no precision shows."""
    rng, ties = random.Random(5), 0
    for dtype in (FLOAT16, BFLOAT16, FLOAT32, FLOAT64):
        low, high = dtype.ordinal(dtype.round(6500.0)), dtype.ordinal(dtype.largest / 8)
        for _ in range(30):
            size = dtype.from_ordinal(rng.randrange(low, high))
            limit = factor * Fraction(size)
            right = dtype.round_fraction(limit + side * NUDGE)
            ties += right != dtype.round_fraction(limit - side * NUDGE)
            exact = at(formula, -size if target == 1 else size, target, dtype, oracle=oracle, **params)
            assert (exact.kind, exact.rounded) == (Kind.FINITE, right), (dtype.name, size)
            assert abs(as_fraction(exact.middle) - limit) < Fraction(1, 2**2000)
    assert ties >= 10 or factor == Fraction(1, 4)


@EACH_ORACLE
@pytest.mark.parametrize(
    ("loss", "params", "target", "limit", "side"),
    [
        (BCE, {"pos_weight": 1.0}, 2.0**-25, 1 - Fraction(1, 2**25), -1),
        (BCE, {"pos_weight": 1.0}, 3 * 2.0**-25, 1 - Fraction(3, 2**25), -1),
        (BCE, {"pos_weight": 2.0**25 - 1}, 2.0**-25, 1 - Fraction(1, 2**25), -1),
        (FOCAL, {"alpha": 2.0**-25, "gamma": 2.0}, 0.0, 1 - Fraction(1, 2**25), 1),
        (FOCAL, {"alpha": 3 * 2.0**-25, "gamma": 2.0}, 0.0, 1 - Fraction(3, 2**25), 1),
        (FOCAL, {"alpha": 3 * 2.0**-25, "gamma": 0.0}, 0.0, 1 - Fraction(3, 2**25), -1),
        (HEATMAP, {"alpha": 2.0, "beta": 1.0}, 3 * 2.0**-25, 1 - Fraction(3, 2**25), 1),
    ],
)
@pytest.mark.parametrize("logit", [7000.0, 1e38])
def test_gradients_of_large_logits_beside_a_tie_are_rounded_to_the_side_they_lie_on(loss, params, target, limit, side, logit, oracle):
    """A gradient on its way to a tie that never gets there rounded as if it did, by hand or as a derivative."""
    right = FLOAT32.round_fraction(limit + side * NUDGE)

    assert right != FLOAT32.round_fraction(limit - side * NUDGE)
    assert at(loss.gradient, logit, target, oracle=oracle, **params).rounded == right
    assert at(loss.formula, logit, target, oracle=oracle, differentiate=True, **params).rounded == right


@EACH_ORACLE
@pytest.mark.parametrize(("dtype", "logit"), [(FLOAT32, 29843180.0), (FLOAT32, 29843182.0), (FLOAT64, 2.0**53 + 2), (FLOAT64, 2.0**53 + 4)])
def test_beside_a_tie_the_second_order_decides_where_the_first_cancels(dtype, logit, oracle):
    """poly-1 at its default, softplus(x) + sigmoid(x) = x + 1 + e^2 / 2 - ..., undecided at every float whose ulp is 2."""
    poly = registry.loss_named("poly1-bce")
    for sign, target in ((1, 0.0), (-1, 1.0)):
        exact = at(poly.formula, sign * logit, target, dtype, oracle=oracle, epsilon=1.0)
        slope = at(poly.gradient, sign * logit, target, dtype, oracle=oracle, epsilon=1.0)

        assert (exact.kind, exact.rounded) == (Kind.FINITE, logit + 2)
        assert 0 < as_fraction(exact.middle) - Fraction(logit) - 1 < Fraction(1, 2**2000)
        assert 0 < 1 - abs(as_fraction(slope.middle)) < Fraction(1, 2**2000)


@EACH_ORACLE
@pytest.mark.parametrize("logit", [7000.0, 1e30])
def test_beside_a_tie_the_largest_term_decides(logit, oracle):
    """A root of e^-x counted as less than e^-x, or its square as more."""
    tie, above, below = 1 + 2.0**-24, 1 + 2.0**-23, 1.0

    def beside(rest):
        return at(lambda m, x, z: m.number(tie) + rest(m, x, m.sigmoid(-x)), logit, oracle=oracle)

    assert beside(lambda m, x, s: s - 5 * m.power(s, m.number(2))).rounded == above
    assert beside(lambda m, x, s: 5 * m.power(s, m.number(2.5)) - s).rounded == below
    assert beside(lambda m, x, s: m.maximum(s, 3 * s) - 2 * s).rounded == above
    assert beside(lambda m, x, s: m.minimum(s, 3 * s) - 2 * s).rounded == below
    root = beside(lambda m, x, s: m.power(s, m.number(0.5)) - 5 * s)
    assert root.rounded == above or root.kind is Kind.UNDECIDED


@EACH_ORACLE
def test_ordinary_logits_are_not_expanded(oracle):
    """The first order in e^-x taken for the value where e^-x is not small."""

    def beside(m, x, z):
        tiny = m.number(2.0**-1000) * 2.0**-1000
        return m.number(1 + 2.0**-24) + tiny * ((1 - m.sigmoid(x)) - 0.95 * m.exp(-x))

    assert at(beside, 2.0, oracle=oracle).rounded == 1
    assert at(beside, 10.0, oracle=oracle).rounded == 1 + 2.0**-23


@EACH_ORACLE
def test_a_weighted_tie_is_right_or_undecided(oracle):
    """The weight of an element, or the other elements, forgotten beside a tie."""
    size = FLOAT32.neighbour(2.0**40, 1)
    params = {"alpha": 0.25, "gamma": 2.0}
    for terms in ([Term(size, 0.0, Fraction(1, 2))], [Term(size, 0.0), Term(size, 0.0)], [Term(size, 0.0), Term(size, 1.0)]):
        limit = sum(term.weight * Fraction(3, 4) * Fraction(size) for term in terms if term.target == 0)
        exact = exact_value(FOCAL.formula, terms, params, FLOAT32, oracle=oracle)
        assert exact.kind is Kind.UNDECIDED or exact.rounded == FLOAT32.round_fraction(limit - NUDGE)


@EACH_ORACLE
def test_a_small_rest_of_a_cancellation_at_a_large_logit_is_zero(oracle):
    """softplus(x) - x = e^-7000 and its like taken for some number beside 0."""
    formulas = [
        lambda m, x, z: m.softplus(x) - x,
        lambda m, x, z: m.softplus(-x) - m.softplus(x) + x,
        lambda m, x, z: 1 - m.sigmoid(x),
        lambda m, x, z: x * (1 - m.sigmoid(x)),
    ]
    for formula in formulas:
        for logit in (5900.0, 7000.0, 2.0**60, 1e300):
            exact = at(formula, logit, dtype=FLOAT64, oracle=oracle)
            assert (exact.kind, exact.rounded) in ((Kind.FINITE, 0.0), (Kind.UNDECIDED, exact.rounded)), logit


@EACH_ORACLE
def test_a_cancellation_beyond_the_cap_is_undecided(oracle):
    """A guess where the working precision ends: e^20000 hides the 1 that is left."""
    cancels = at(lambda m, logit, target: (m.exp(logit) + 1) - m.exp(logit), 20000.0, dtype=FLOAT64, oracle=oracle)
    within = at(lambda m, logit, target: (m.exp(logit) + 1) - m.exp(logit), 11000.0, dtype=FLOAT64, oracle=oracle)

    assert cancels.kind is Kind.UNDECIDED
    assert within.rounded == 1
    assert within.bits == CAP


@settings(max_examples=tried(100, 300))
@given(st.data())
def test_an_enclosure_is_decided_where_its_ends_round_alike_and_lie_close(data):
    """A rounding that only one end has, a tie taken for decided, or an enclosure wider than 2^-20 ulp."""
    dtype, sign = data.draw(formats()), data.draw(st.sampled_from([1, -1]))
    near = abs(data.draw(finite_floats(dtype)))
    fine = data.draw(st.integers(24, 90))  # the ends are whole numbers of 2^-fine ulp
    unit = dtype.ulp_exponent(math.frexp(near)[1] - 1) - fine if near else dtype.least_exponent - fine
    middle = int(Fraction(near) / Fraction(2) ** unit) + data.draw(st.sampled_from([1 << (fine - 1), 0]))
    low, high = (middle + data.draw(st.integers(0, 1) | st.integers(-(2**70), 2**70)) for _ in range(2))
    low, high = sorted((sign * low, sign * high))
    shift = data.draw(st.integers(0, 5))
    found = of_enclosure(((low << shift, unit - shift), (high, unit)), dtype, 128)
    rounded = [dtype.round_fraction(Fraction(end) * Fraction(2) ** unit) for end in (low, high)]
    if rounded[0] != rounded[1]:
        assert found is None
    elif found is not None:
        assert found.rounded == rounded[0]
        assert as_fraction(found.middle) == Fraction(low + high, 2) * Fraction(2) ** unit
        assert as_fraction(found.radius) == Fraction(high - low, 2) * Fraction(2) ** unit or rounded[0] == 0
    if rounded[0] == rounded[1] != 0 and math.isfinite(rounded[0]):
        assert found is not None or (high - low) * 2**22 > 2**fine
        assert found is None or (high - low) * 2**20 <= 2**fine


@EACH_ORACLE
def test_what_is_decided_is_pinned_to_a_millionth_of_an_ulp(oracle):
    """A value decided just before the cap whose distance in ulp is not known: one float, and 2^-20 of its ulp."""
    found = [at(lambda m, x, z: (m.exp(x) + 1.25) - m.exp(x), 11324.0 + 2 * n, dtype=FLOAT16, oracle=oracle) for n in range(14)]
    decided = [exact for exact in found if exact.kind is Kind.FINITE]

    assert 0 < len(decided) < len(found)
    assert all(exact.rounded == 1.25 and as_fraction(exact.radius) <= Fraction(1, 2**30) for exact in decided)


@EACH_ORACLE
@EACH_DTYPE
@pytest.mark.parametrize("size", [88.0, 144.0, 700.0, 5000.0, 6500.0, 30000.0])
def test_the_ulp_beside_a_power_of_two_is_that_of_the_side_the_value_lies_on(size, dtype, oracle):
    """1 - e^-x measured in the ulp of 1 and up, twice as large, where the enclosure still straddled 1."""
    size = dtype.round(size)
    above = at(lambda m, x, z: m.sigmoid(x) + 2 * m.sigmoid(-x), size, dtype=dtype, oracle=oracle)
    below = at(BCE.gradient, size, 0.0, dtype, oracle=oracle, pos_weight=1.0)
    halved = at(BCE.gradient, -size, 0.5, dtype, oracle=oracle, pos_weight=1.0)
    step = 2.0 ** (1 - dtype.precision)

    assert (above.magnitude, below.magnitude, halved.magnitude) == (0, -1, -2)
    assert ulp_error(1 + step, above, dtype) == pytest.approx(1, abs=1e-6)
    assert ulp_error(1 - step, below, dtype) == pytest.approx(-2, abs=1e-6)
    assert ulp_error(-0.5 + step, halved, dtype) == pytest.approx(4, abs=1e-6)


@EACH_ORACLE
def test_a_power_of_two_that_is_only_enclosed_is_decided_all_the_same(oracle):
    """log(exp(1)), on neither side of 1 at any precision, coming out undecided."""
    exact = at(lambda m, x, z: m.log(m.exp(m.number(1))), 0.0, oracle=oracle)

    assert (exact.kind, exact.rounded) == (Kind.FINITE, 1.0)


@EACH_ORACLE
def test_an_exact_quotient_is_exact(oracle):
    """1 / (1 + 1) enclosed and not known, so that the tie 1 + 2^-24 that it makes stays undecided (a poly-1 gradient at 0)."""
    m = arithmetic(oracle, 128, FLOAT32)
    half, third = 1 / (1 + m.number(1)), m.number(1) / 3
    tie = at(lambda m, x, z: m.sigmoid(x) + m.sigmoid(-x) + m.number(2.0**-24), 0.0, oracle=oracle)

    assert m.enclosure(half) == ((1, -1), (1, -1))
    assert m.enclosure(third)[0] != m.enclosure(third)[1]
    assert (tie.rounded, tie.radius) == (1.0, (0, 0))


@EACH_ORACLE
@settings(max_examples=60)
@given(st.integers(0, BFLOAT16.ordinal(1.0)))
def test_a_tiny_class_weight_costs_no_precision(oracle, ordinal):
    """5 s for one value: with pos_weight 2^-124 at logit -28 the two terms of bce are 2^80 and more apart."""
    target = BFLOAT16.from_ordinal(ordinal)
    for formula, differentiate in ((BCE.formula, False), (BCE.gradient, False), (BCE.formula, True)):
        exact = at(formula, -28.0, target, BFLOAT16, oracle=oracle, differentiate=differentiate, pos_weight=2.0**-124)
        assert exact.kind is Kind.FINITE
        assert exact.bits <= 256


@EACH_ORACLE
def test_what_is_certainly_below_half_the_least_subnormal_is_zero(oracle):
    """(x + 2^-1442695) - x undecided, though every number in its enclosure rounds to zero."""
    exact = at(lambda m, logit, target: (logit + m.exp(m.number(-1e6))) - logit, 1.0, dtype=FLOAT64, oracle=oracle)

    assert exact.kind is Kind.FINITE
    assert exact.rounded == 0


@EACH_ORACLE
def test_a_value_beyond_the_largest_float_keeps_its_digits(oracle):
    """A finite exact value that overflows the dtype reported as a limit."""
    exact = at(BCE.formula, 60000.0, 0.0, FLOAT16, oracle=oracle, pos_weight=1.0)
    doubled = at(lambda m, logit, target: 2 * m.softplus(logit), 60000.0, dtype=FLOAT16, oracle=oracle)

    assert exact.rounded == 60000
    assert doubled.kind is Kind.FINITE
    assert doubled.rounded == INF
    assert doubled.decimal(30) == "120000"


@EACH_ORACLE
@pytest.mark.parametrize("gamma", [1e4, 1e30, 1e300])
def test_an_enormous_exponent_keeps_its_decimal_exponent(gamma, oracle):
    """s(x)^gamma printed as 0, though it is 10^-(10^33) or so."""
    exact = at(FOCAL.formula, -1000.0, 0.0, FLOAT64, oracle=oracle, alpha=0.25, gamma=gamma)
    with decimal.localcontext(REFERENCE):
        exponent = math.floor(-1000 * (Decimal(gamma) + 1) / Decimal(10).ln() + Decimal("0.75").log10())

    assert exact.rounded == 0
    assert exact.decimal(30).partition("e")[2] == str(exponent)


def test_the_precision_of_the_users_mpmath_is_left_alone():
    """A caller of mpmath who gets 128 bits, or 50 digits lost, after an oracle ran."""
    before = mpmath.mp.prec
    at(softplus, -1000.0, oracle="mpmath")
    assert mpmath.mp.prec == before


def test_an_unknown_oracle_names_the_nearest():
    """A spelling mistake answered without the cure."""
    with pytest.raises(UserError, match=r"unknown oracle 'flnt'.*did you mean flint"):
        at(softplus, 0.0, oracle="flnt")


# Limits ---------------------------------------------------------------------------------------------------------------


@EACH_ORACLE
@pytest.mark.parametrize(
    ("loss", "params", "logit", "target", "value", "slope"),
    [
        (BCE, {"pos_weight": 3.0}, INF, 0.0, INF, 1.0),
        (BCE, {"pos_weight": 3.0}, INF, 0.5, INF, 0.5),
        (BCE, {"pos_weight": 3.0}, INF, 1.0, 0.0, 0.0),
        (BCE, {"pos_weight": 3.0}, -INF, 0.0, 0.0, 0.0),
        (BCE, {"pos_weight": 3.0}, -INF, 0.5, INF, -1.5),
        (BCE, {"pos_weight": 3.0}, -INF, 1.0, INF, -3.0),
        (BCE, {"pos_weight": 0.0}, -INF, 1.0, 0.0, 0.0),
        (BCE, {"pos_weight": 0.0}, -INF, 0.5, 0.0, 0.0),
        (FOCAL, {"alpha": 0.25, "gamma": 2.0}, INF, 0.0, INF, 0.75),
        (FOCAL, {"alpha": 0.25, "gamma": 2.0}, -INF, 0.0, 0.0, 0.0),
        (FOCAL, {"alpha": 0.25, "gamma": 2.0}, -INF, 1.0, INF, -0.25),
        (FOCAL, {"alpha": 0.25, "gamma": 2.0}, INF, 1.0, 0.0, 0.0),
        (FOCAL, {"alpha": 1.0, "gamma": 2.0}, INF, 0.0, 0.0, 0.0),
        (FOCAL, {"alpha": 0.0, "gamma": 2.0}, -INF, 1.0, 0.0, 0.0),
        (FOCAL, {"alpha": 0.25, "gamma": 0.0}, INF, 0.0, INF, 0.75),
        (FOCAL, {"alpha": 0.25, "gamma": 0.0}, -INF, 0.0, 0.0, 0.0),
        (FOCAL, {"alpha": 0.25, "gamma": 0.5}, -INF, 0.0, 0.0, 0.0),
        (FOCAL, {"alpha": 0.25, "gamma": 1.0}, INF, 1.0, 0.0, 0.0),
        (HEATMAP, {"alpha": 2.0, "beta": 4.0}, INF, 0.5, INF, 0.0625),
        (HEATMAP, {"alpha": 2.0, "beta": 4.0}, -INF, 0.5, 0.0, 0.0),
        (HEATMAP, {"alpha": 2.0, "beta": 4.0}, -INF, 1.0, INF, -1.0),
        (HEATMAP, {"alpha": 0.5, "beta": 4.0}, INF, 1.0, 0.0, 0.0),
        (HEATMAP, {"alpha": 0.0, "beta": 0.0}, INF, 0.5, INF, 1.0),
    ],
)
def test_limits_at_an_infinite_logit(loss, params, logit, target, value, slope, oracle):
    """A limit that is NaN by 0 * inf, or the infinity of a term whose weight is exactly 0; also of the derivative."""
    exact = at(loss.formula, logit, target, oracle=oracle, **params)
    assert exact.rounded == value
    assert exact.kind is (Kind.INFINITE if math.isinf(value) else Kind.FINITE)
    assert at(loss.gradient, logit, target, oracle=oracle, **params).rounded == slope
    assert at(loss.formula, logit, target, oracle=oracle, differentiate=True, **params).rounded == slope


@EACH_ORACLE
@EACH_LOSS
def test_nan_makes_nan_right(loss, oracle):
    """A number being the exact answer to NaN."""
    params = loss.resolve({}, FLOAT32)
    for formula, differentiate in ((loss.formula, False), (loss.gradient, False), (loss.formula, True)):
        exact = at(formula, math.nan, 1.0, oracle=oracle, differentiate=differentiate, **params)
        assert exact.kind is Kind.NAN
        assert math.isnan(exact.rounded)


@EACH_ORACLE
def test_a_limit_of_undecided_sign_is_not_guessed(oracle):
    """inf * (a ball around 0) taken for -inf: (1 + e^-1000) - 1 is positive, and 128 bits do not show it."""
    grows = at(lambda m, logit, target: logit * ((1 + m.exp(m.number(-1000.0))) - 1), INF, oracle=oracle)
    shrinks = at(lambda m, logit, target: logit / ((1 + m.exp(m.number(-1000.0))) - 1), INF, oracle=oracle)

    assert grows.rounded == INF
    assert shrinks.rounded == INF


@EACH_ORACLE
def test_indeterminate_forms_are_undecided(oracle):
    """inf - inf or inf / inf coming out as a number."""
    assert at(lambda m, logit, target: logit - m.softplus(logit), INF, oracle=oracle).kind is Kind.UNDECIDED
    assert at(lambda m, logit, target: m.exp(logit) / (1 + m.exp(logit)), INF, oracle=oracle).kind is Kind.UNDECIDED
    assert at(lambda m, logit, target: m.log(logit), -INF, oracle=oracle).kind is Kind.UNDECIDED


@EACH_ORACLE
@pytest.mark.parametrize("sign", [1, -1])
def test_infinities_among_themselves_and_with_numbers(sign, oracle):
    """A sign or an order lost in the arithmetic of infinities."""
    m = LimitArithmetic(arithmetic(oracle, 128, FLOAT32))
    here, there, two = Infinity(sign), Infinity(-sign), m.number(2)

    for sum_ in (here + 1, 1 + here, here + two, two + here, here - two, here + here, here - there):
        assert sum_.sign == sign
    assert (1 - here).sign == (two - here).sign == (-here).sign == -sign
    for product in (here * 2, 2 * here, here * two, two * here, here / two, here * Infinity(1), there * m.number(-2)):
        assert product.sign == sign
    assert m.enclosure(here * m.number(0)) == ((0, 0), (0, 0))
    assert m.enclosure(two / here) == ((0, 0), (0, 0))
    assert m.enclosure(here) is None
    for indeterminate in (lambda: here - here, lambda: here + there, lambda: here / here, lambda: here / there):
        with pytest.raises(IndeterminateLimitError):
            indeterminate()


@EACH_ORACLE
def test_infinities_are_ordered(oracle):
    """A clamp at an infinite logit that takes the wrong side, or a comparison that cannot be made."""
    two, plus, minus = arithmetic(oracle, 128, FLOAT32).number(2), Infinity(1), Infinity(-1)

    assert plus > two > minus
    assert minus < two < plus
    assert plus > minus
    assert minus < plus
    assert not minus > plus
    assert not plus < minus
    assert not plus > plus
    assert not minus > minus
    assert not plus < plus
    assert not minus < minus


@EACH_ORACLE
def test_functions_at_infinity(oracle):
    """A limit of an elementary function, or of a clamp, with a wrong value."""
    m = LimitArithmetic(arithmetic(oracle, 128, FLOAT32))
    plus, minus, zero, one, two = Infinity(1), Infinity(-1), ((0, 0), (0, 0)), ((1, 0), (1, 0)), m.number(2)

    assert all(m.enclosure(value) == zero for value in (m.exp(minus), m.softplus(minus), m.sigmoid(minus), m.power(plus, m.number(-1))))
    assert (m.enclosure(m.tanh_half(plus)), m.enclosure(m.tanh_half(minus))) == (one, ((-1, 0), (-1, 0)))
    assert m.enclosure(m.sigmoid(plus)) == m.enclosure(m.power(plus, m.number(0))) == one
    grows = [m.exp(plus), m.log(plus), m.log1p(plus), m.softplus(plus), m.power(plus, two), m.maximum(plus, two), m.maximum(two, plus)]
    assert all(value.sign == 1 for value in [*grows, m.minimum(plus, plus), m.maximum(minus, plus), m.maximum(plus, minus)])
    assert all(value.sign == -1 for value in (m.log(m.number(0)), m.minimum(minus, two), m.minimum(two, minus), m.minimum(minus, plus)))
    assert m.minimum(plus, two) is m.minimum(two, plus) is m.maximum(minus, two) is m.maximum(two, minus) is two
    for function in (m.log, m.log1p):
        with pytest.raises(IndeterminateLimitError):
            function(minus)


# Sums and working precisions ------------------------------------------------------------------------------------------


@EACH_ORACLE
def test_sums_are_exact_in_their_weights(oracle):
    """A mean whose 1/3 was rounded, or that leaves an element out."""
    terms = [Term(-15.0, 0.0, Fraction(1, 3)), Term(2.5, 1.0, Fraction(1, 3)), Term(0.1, 0.5, Fraction(2, 7))]
    exact = exact_value(BCE.formula, terms, {"pos_weight": 2.0}, FLOAT64, oracle=oracle)
    slope = exact_value(BCE.formula, terms, {"pos_weight": 2.0}, FLOAT64, oracle=oracle, differentiate=True)
    by_hand = exact_value(BCE.gradient, terms, {"pos_weight": 2.0}, FLOAT64, oracle=oracle)
    with decimal.localcontext(REFERENCE):
        elements = [Fraction(by_textbook(BCE, Decimal(term.logit), term.target, {"pos_weight": 2.0})) for term in terms]

    assert encloses(exact, sum(term.weight * element for term, element in zip(terms, elements, strict=True)))
    assert not disagreement(slope, by_hand)


@EACH_ORACLE
def test_weights_larger_than_the_working_precision_are_held_exactly(oracle):
    """A weight rounded to the first working precision without a radius."""
    large = 10**60
    cancelling = [Term(-3.0, 0.0, Fraction(large + 1)), Term(-3.0, 0.0, Fraction(-large))]

    once = at(softplus, -3.0, dtype=FLOAT64, oracle=oracle)
    assert not disagreement(exact_value(softplus, cancelling, {}, FLOAT64, oracle=oracle), once)


@EACH_ORACLE
def test_sums_with_infinite_and_with_weightless_terms(oracle):
    """An element of weight 0 deciding a sum, or an infinite one getting lost in it."""
    infinite, finite = Term(INF, 0.0, Fraction(1, 2)), Term(1.0, 0.0, Fraction(1, 2))
    weightless = Term(INF, 0.0, Fraction(0))
    minus = Term(INF, 0.0, Fraction(-1, 2))

    assert exact_value(softplus, [finite, infinite], {}, FLOAT32, oracle=oracle).rounded == INF
    assert exact_value(softplus, [finite, minus], {}, FLOAT32, oracle=oracle).rounded == -INF
    assert exact_value(softplus, [infinite, minus], {}, FLOAT32, oracle=oracle).kind is Kind.UNDECIDED
    assert not disagreement(exact_value(softplus, [weightless, Term(1.0, 0.0)], {}, FLOAT32, oracle=oracle), at(softplus, 1.0))
    assert exact_value(lambda m, x, z: x - m.softplus(x), [weightless], {}, FLOAT32, oracle=oracle).rounded == 0
    assert exact_value(softplus, [finite, Term(math.nan, 0.0)], {}, FLOAT32, oracle=oracle).kind is Kind.NAN


@EACH_ORACLE
def test_a_few_bits_are_inaccurate_and_many_are_right(oracle):
    """The mpmath implementation silently answering with the refined value: it is there to be judged."""

    def through_one_plus(m, logit, target):
        return m.log(1 + m.exp(logit))

    def found(formula, logit, bits):
        return at_precision(formula, [Term(logit, 0.0)], {}, FLOAT64, bits=bits, oracle=oracle, differentiate=False)

    right = at(softplus, -30.25, dtype=FLOAT64).rounded
    assert abs(found(softplus, -30.25, 12) / right - 1) > 1e-6
    assert found(softplus, -30.25, 200) == right
    assert abs(found(through_one_plus, -30.25, 46) / right - 1) > 1e-3
    assert found(through_one_plus, -700.0, 200) < 0.5 * at(softplus, -700.0, dtype=FLOAT64).rounded
    assert found(softplus, INF, 12) == INF
    assert math.isnan(found(softplus, math.nan, 12))


# The balls of the mpmath oracle ---------------------------------------------------------------------------------------


@st.composite
def balls(draw, positive=False):
    """A ball's middle and radius, and a number of that ball: (middle, radius, number), exact Fractions."""
    middle = Fraction(draw(st.integers(1, 2**20)) * (1 if positive else draw(st.sampled_from([1, -1])))) * Fraction(2) ** draw(
        st.integers(-70, -11)
    )
    radius = draw(st.integers(0, 255)) * Fraction(2) ** draw(st.integers(-80, -9))
    place = draw(st.sampled_from([-1, 1, 0, Fraction(-1, 2), Fraction(3, 4)]))
    return middle, radius, middle + place * radius


ARITHMETICS = st.sampled_from([24, 60, 128]).map(lambda bits: MpmathArithmetic(bits, FLOAT64))


def ball(m, middle, radius):
    """The Ball of exactly this middle and radius; both have fewer bits than the precision."""
    return Ball(*(m.number(float(part)).middle for part in (middle, radius)))


def holds(m, result, true, *, width=None):
    """The enclosure of ``result`` contains the arb ``true``, and is no wider than ``width`` relative to it."""
    ends = m.enclosure(result)
    if ends is None:
        return width is None
    low, high = (exactly(as_fraction(end)) for end in ends)
    return not true < low and not true > high and (width is None or not high - low > abs(true) * width)


def exactly(number):
    return flint.arb(flint.fmpq(number.numerator, number.denominator))


BINARY = {
    "+": lambda m, a, b: a + b,
    "-": lambda m, a, b: a - b,
    "*": lambda m, a, b: a * b,
    "/": lambda m, a, b: a / b,
    "minimum": lambda m, a, b: m.minimum(a, b),
    "maximum": lambda m, a, b: m.maximum(a, b),
}
UNARY = {
    "negative": (lambda m, x: -x, lambda x: -x),
    "1 - x": (lambda m, x: 1 - x, lambda x: 1 - x),
    "x - 3": (lambda m, x: x - 3, lambda x: x - 3),
    "0.1 x": (lambda m, x: 0.1 * x, lambda x: flint.arb(0.1) * x),
    "x / 3": (lambda m, x: x / 3, lambda x: x / 3),
    "1 / x": (lambda m, x: 1 / x, lambda x: 1 / x),
    "exp": (lambda m, x: m.exp(x), lambda x: x.exp()),
    "log": (lambda m, x: m.log(x), lambda x: x.log()),
    "log1p": (lambda m, x: m.log1p(x), lambda x: x.log1p()),
    "softplus": (lambda m, x: m.softplus(x), lambda x: x.exp().log1p()),
    "sigmoid": (lambda m, x: m.sigmoid(x), lambda x: 1 / (1 + (-x).exp())),
    "tanh_half": (lambda m, x: m.tanh_half(x), lambda x: (x / 2).tanh()),
    "power 2": (lambda m, x: m.power(x, m.number(2)), lambda x: x**2),
    "power 0.3": (lambda m, x: m.power(x, m.number(0.3)), lambda x: x ** flint.arb(0.3)),
    "power -1.5": (lambda m, x: m.power(x, m.number(-1.5)), lambda x: x ** flint.arb(-1.5)),
}
ARB = {"minimum": lambda a, b: a.min(b), "maximum": lambda a, b: a.max(b)}


@pytest.mark.parametrize("name", BINARY)
@given(ARITHMETICS, balls(), balls())
def test_binary_operations_enclose_every_pair_of_their_balls(name, m, a, b):
    """A radius that forgets a term, or a rounding error that nobody counted."""
    result = BINARY[name](m, ball(m, *a[:2]), ball(m, *b[:2]))
    with flint.ctx.workprec(600):
        x, y = exactly(a[2]), exactly(b[2])
        if name == "/" and b[2] == 0:
            assert m.enclosure(result) is None
        else:
            assert holds(m, result, ARB[name](x, y) if name in ARB else BINARY[name](None, x, y))


@pytest.mark.parametrize("name", UNARY)
@given(ARITHMETICS, balls())
def test_functions_enclose_every_number_of_their_ball(name, m, x):
    """An enclosure that leaves out an end of its ball: the second oracle would decide wrongly."""
    function, reference = UNARY[name]
    if name == "0.1 x" and m.enclosure(m.number(0.1)) != ((0xCCCCCCCCCCCCD, -55),) * 2:
        return  # fewer bits than 0.1 has
    result = function(m, ball(m, *x[:2]))
    with flint.ctx.workprec(600):
        true = reference(exactly(x[2]))
        assert holds(m, result, true) if true.is_finite() else m.enclosure(result) is None


@pytest.mark.parametrize("name", UNARY)
@given(x=balls(positive=True))
def test_functions_of_exact_numbers_are_enclosed_narrowly(name, x):
    """Enclosures so wide that the second oracle decides nothing, or that no enclosure comes out at all."""
    m = MpmathArithmetic(128, FLOAT64)
    function, reference = UNARY[name]
    result = function(m, ball(m, x[0], Fraction(0)))
    with flint.ctx.workprec(600):
        true = reference(exactly(x[0]))
        if true != 0:
            assert holds(m, result, true, width=flint.arb(2) ** -108)


@EACH_ORACLE
def test_what_is_unknown_stays_unknown(oracle):
    """max(1, -2 log(ball around 0)) taken for 1: a NaN radius is dropped by Python's max."""
    m = arithmetic(oracle, 128, FLOAT32)
    around_zero = (1 + m.exp(m.number(-1000.0))) - 1
    unknown = -2 * m.log(around_zero)
    for unsure in (unknown, m.maximum(m.number(1), unknown), m.maximum(unknown, m.number(1)), m.minimum(m.number(1), -unknown)):
        assert m.enclosure(unsure) is None
    for unsure in (1 / around_zero, m.exp(unknown), unknown + 1, unknown * 0, m.power(around_zero, m.number(0.5))):
        ends = m.enclosure(unsure)
        assert ends is None or as_fraction(ends[0]) <= 0 < as_fraction(ends[1])


@EACH_ORACLE
def test_a_clamp_of_something_not_yet_known_is_refined(oracle):
    """A clamp that decides by the part it knows: max(1, -2 log((1 + e^-1000) - 1)) is 2000."""

    def floored(m, logit, target):
        return m.maximum(m.number(1), -2 * m.log((1 + m.exp(logit)) - 1))

    assert at(floored, -1000.0, oracle=oracle).rounded == 2000


@EACH_ORACLE
def test_comparisons_are_certain_or_false(oracle):
    """A branch of a formula taken because two balls overlap."""
    m = arithmetic(oracle, 128, FLOAT32)
    fuzzy = m.exp(m.log(m.number(2)))

    assert m.number(3) > fuzzy > m.number(1)
    assert m.number(1) < fuzzy < m.number(3)
    assert not fuzzy > 2
    assert not fuzzy < 2
    assert (fuzzy == 2) is False
    assert m.number(2) == 2
    assert (m.number(2) == 3) is False


@EACH_ORACLE
def test_constants_are_those_of_the_dtype(oracle):
    """The guard 1 - 1e-4 of a float16 implementation taken as a float64 constant: in float16 it is 1."""
    for dtype, right in ((FLOAT64, 1 - 1e-4), (FLOAT32, FLOAT32.round(1 - 1e-4)), (FLOAT16, 1.0), (BFLOAT16, 1.0)):
        m = arithmetic(oracle, 128, dtype)
        assert m.rounded(1 - 1e-4) == m.number(right)
        assert m.rounded(1 - 1e-4, FLOAT32) == m.number(FLOAT32.round(1 - 1e-4))
        assert m.as_float(m.number(0.1)) == 0.1


# Slopes ---------------------------------------------------------------------------------------------------------------

SLOPES = {
    "exp": lambda m, x: m.exp(x),
    "log": lambda m, x: m.log(x),
    "log1p": lambda m, x: m.log1p(x),
    "softplus": lambda m, x: m.softplus(x),
    "softplus of -x": lambda m, x: m.softplus(-x),
    "sigmoid": lambda m, x: m.sigmoid(x),
    "sigmoid of -x": lambda m, x: m.sigmoid(-x),
    "tanh_half": lambda m, x: m.tanh_half(x),
    "tanh_half of -x": lambda m, x: m.tanh_half(-x),
    "power 2": lambda m, x: m.power(x, m.number(2)),
    "power 0.3": lambda m, x: m.power(x, m.number(0.3)),
    "power 0": lambda m, x: m.power(x, m.number(0)) * x,
    "minimum": lambda m, x: m.minimum(x * x, m.number(1)),
    "maximum": lambda m, x: m.maximum(m.number(1), x * x),
    "maximum of two": lambda m, x: m.maximum(x * x * x, 2 * x),
    "x + c": lambda m, x: (x + 3) + (3 + x) + (x + x),
    "x - c": lambda m, x: (x - 3) * (3 - x) - (x - x * x),
    "x * c": lambda m, x: (3 * x) * (x * 3),
    "x / c": lambda m, x: (x / 3) / (x + 1),
    "c / x": lambda m, x: 3 / x - m.number(2) / (1 + x * x),
    "chain": lambda m, x: m.log1p(m.exp(-x * m.sigmoid(2 * x))) / m.power(1 + x, m.number(1.5)),
}


@EACH_ORACLE
@pytest.mark.parametrize("name", SLOPES)
@pytest.mark.parametrize("x", [0.3, 0.9, 1.7, 30.0])
def test_slopes_are_difference_quotients(name, x, oracle):
    """A rule of differentiation with a wrong sign, factor or branch."""
    function = SLOPES[name]
    m = DualArithmetic(arithmetic(oracle, 600, FLOAT64))
    ends = m.enclosure(m.slope(function(m, m.variable(m.number(x)))))
    base = arithmetic("flint", 1200, FLOAT64)
    step = flint.arb(2) ** -300
    quotient = (function(base, flint.arb(x) + step) - function(base, flint.arb(x) - step)) / (2 * step)

    assert ends is not None
    for end in ends:
        assert abs(exactly(as_fraction(end)) - quotient) < flint.arb(2) ** -400


@EACH_ORACLE
def test_slopes_at_a_tie_are_those_of_what_depends_on_the_logit(oracle):
    """A clamp that meets its bound exactly: PyTorch passes the gradient there."""

    def at_one(formula):
        return at(formula, 1.0, oracle=oracle, differentiate=True).rounded

    assert at_one(lambda m, x, z: m.maximum(x, m.number(1))) == 1
    assert at_one(lambda m, x, z: m.maximum(m.number(1), x)) == 1
    assert at_one(lambda m, x, z: m.minimum(x, m.number(1))) == 1
    assert at_one(lambda m, x, z: m.minimum(m.number(1), x)) == 1
    assert at_one(lambda m, x, z: m.maximum(m.number(3), m.number(2))) == 0
    assert at_one(lambda m, x, z: m.maximum(x, m.number(2))) == 0
    assert at_one(lambda m, x, z: m.minimum(m.number(2), x)) == 1


@EACH_ORACLE
def test_the_slope_of_an_undecided_clamp_is_undecided(oracle):
    """The slope of either side guessed while it is open which is larger."""
    exact = at(lambda m, x, z: m.maximum(m.log(m.exp(x)), m.number(1)), 1.0, oracle=oracle, differentiate=True)

    assert exact.kind is Kind.UNDECIDED


@EACH_ORACLE
def test_the_slope_of_a_constant_is_zero(oracle):
    """A formula that does not depend on the logit being an error."""
    assert at(lambda m, x, z: m.number(3), 1.0, oracle=oracle, differentiate=True).rounded == 0
    assert at(lambda m, x, z: m.softplus(m.number(3)) * z, INF, oracle=oracle, differentiate=True).rounded == 0


# Formulas of the implementations' own ---------------------------------------------------------------------------------

MODERATE = [-6.0, -2.5, -0.5, 0.75, 3.0, 6.5]
OWN = [
    implementation
    for implementation in registry.implementations()
    if implementation.formula is not None and "torch" in implementation.backends
]


def rows(one, logits, target, dtype, **more):
    return compare(listed(losses=(one.loss,), impl=(one.name,), logits=logits, targets=(target,), dtypes=(dtype,), **more))


def named(name):
    (one,) = (implementation for implementation in OWN if implementation.name == name)
    return one


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-4)])
@pytest.mark.parametrize("one", OWN, ids=lambda value: value.name)
def test_own_formulas_are_what_the_implementations_compute(one, dtype, tolerance):
    """An implementation blamed for rounding where its formula was copied wrongly."""
    loss = registry.loss_named(one.loss)
    for target in loss.targets:
        for row in rows(one, MODERATE, target, dtype):
            # Beside a zero of the gradient its two terms cancel, in the implementation alone.
            floor = tolerance * 1e-2 if 0 < target < 1 else 0.0
            assert abs(row.value - row.exact.rounded) <= tolerance * abs(row.exact.rounded) + floor, row


# Where 1 - p cancels the implementation is far off its own formula; elsewhere a wrong constant would show.
NEAR, CANCELLED = {"float64": 1e-14, "float32": 1e-6}, {"float64": 1e-11, "float32": 1e-3}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    ("name", "quantity", "logits", "target", "tolerance"),
    [
        ("centernet-neg-loss-clamped", "loss", [11.0, 14.0], 0.0, NEAR),
        ("centernet-neg-loss-clamped", "loss", [-11.0, -14.0], 0.0, CANCELLED),
        ("centernet-neg-loss-clamped", "loss", [-11.0, -14.0], 1.0, NEAR),
        ("centernet-neg-loss-clamped", "loss", [11.0, 14.0], 1.0, CANCELLED),
        ("centernet-neg-loss-clamped", "grad", [-14.0, -11.0, 11.0, 14.0], 0.0, NEAR),
        ("centernet-neg-loss-clamped", "grad", [-14.0, -11.0, 11.0, 14.0], 1.0, NEAR),
        ("torch-sigmoid-bceloss", "loss", [-200.0, -80.0, -34.0], 1.0, NEAR),
        ("torch-sigmoid-bceloss", "loss", [200.0], 0.0, NEAR),
        ("torch-sigmoid-bceloss", "grad", [-80.0, -34.0, -30.0, -28.0], 0.0, NEAR),
        ("torch-sigmoid-bceloss", "grad", [-80.0, -34.0, -30.0, -28.0], 1.0, NEAR),
    ],
)
def test_own_formulas_hold_where_they_deviate(name, quantity, logits, target, tolerance, dtype):
    """A clamp or a floor with another constant than the implementation really uses in that dtype."""
    for row in rows(named(name), logits, target, dtype, quantities=(quantity,)):
        assert abs(row.value - row.exact.rounded) <= tolerance[dtype] * abs(row.exact.rounded), row
        assert row.deviation != 0 or name == "torch-sigmoid-bceloss"


def test_own_formulas_deviate_as_their_notes_say():
    """A deviation hidden because the formula is the definition after all, or shown where there is none."""
    by_class = [rows(named("weighted-focal-loss"), [2.0], target, "float64")[0].deviation for target in (0.0, 1.0)]
    clamped = {row.logits[0]: row.deviation for row in rows(named("centernet-neg-loss-clamped"), [-9.0, 9.0, 12.0], 0.0, "float64")}
    floored = [row.deviation for row in rows(named("torch-sigmoid-bceloss"), [-50.0, -200.0], 1.0, "float64", quantities=("loss",))]

    assert by_class == [pytest.approx(-2 / 3, rel=1e-6), pytest.approx(2.0, rel=1e-6)]
    assert clamped[-9.0] == clamped[9.0] == 0
    assert clamped[12.0] == -1.0
    assert floored == [0.0, -0.5]


@EACH_DTYPE
@pytest.mark.parametrize("one", OWN, ids=lambda value: value.name)
def test_both_oracles_agree_on_own_formulas(one, dtype):
    """A formula that one arithmetic cannot evaluate: at clamps, floors, and infinite logits."""
    loss = registry.loss_named(one.loss)
    logits = [-INF, INF, *(mark.logit for mark in loss.landmarks(dtype) if abs(mark.logit) >= 1e-3)]
    wrong = []
    for target in {dtype.round(target) for target in loss.targets}:
        for params in (loss.resolve({}, dtype), _sharp(loss, dtype)):
            for logit in logits:
                for formula, differentiate in ((one.formula, False), (one.formula_gradient or one.formula, one.formula_gradient is None)):
                    if said := _said(formula, logit, target, dtype, differentiate, params):
                        wrong.append((formula.__name__, differentiate, logit, target, params, said))
    assert not wrong, wrong[:3]


def _sharp(loss, dtype):
    """The defaults with an exponent below 1, whose slope at 0 is infinite."""
    return loss.resolve({parameter.name: 0.5 for parameter in loss.parameters}, dtype)


def _said(formula, logit, target, dtype, differentiate, params):
    try:
        return disagreement(*both(formula, logit, target, dtype, differentiate=differentiate, **params))
    except AssertionError as error:
        return repr(error)


def test_enclosures_are_narrow_enough_for_thirty_digits():
    """Digits printed that the enclosure does not hold."""
    for logit in (-1000.0, -15.0, 0.0, 3.0, 700.0):
        for exact in both(BCE.formula, logit, 0.25, FLOAT32, pos_weight=1.0):
            assert isinstance(exact, Exact)
            assert as_fraction(exact.radius) <= abs(as_fraction(exact.middle)) * Fraction(1, 10**35)
