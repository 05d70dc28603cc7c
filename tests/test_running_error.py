"""The bulk filter's arithmetic: whatever it computes, the exact value lies within the bound it carries."""

import functools
import itertools
import math
import random
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from asked import select
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import sample_floats

from losscheck.core import registry
from losscheck.core.dtypes import BFLOAT16, FLOAT16, FLOAT32
from losscheck.core.exact import Kind
from losscheck.filter import kernels
from losscheck.filter.arrays import filter_arrays
from losscheck.filter.classify import UNDECIDED, UNKNOWN, buckets
from losscheck.filter.codegen import Expression, LoopBody, loop_source, trace
from losscheck.filter.operations import ArrayOperations
from losscheck.filter.running_error import CLAMP, ELEMENTARY, Bounded, NoFilterError, RunningErrorArithmetic
from losscheck.measure.engine import Stream, judge
from losscheck.measure.reference import Claim, Reference, formula_of
from losscheck.oracle.refine import Term, exact_value

ALLOWED = 2.0**-49  # half of what running_error.py grants an elementary function


def values_of(parameter):
    """The default, an end of the range, and values below and above 1 that are no powers of two; all of those that have words."""
    if parameter.words:
        return tuple(map(float, range(len(parameter.words))))
    inside = [value for value in (parameter.low, 0.3, 0.5, 0.9, 1.0, 2.5, 7.5) if parameter.low <= value <= parameter.high]
    return tuple(dict.fromkeys([parameter.default, *inside]))


PARAMS = {name: {parameter.name: values_of(parameter) for parameter in loss.parameters} for name, loss in registry.losses().items()}


def formulas():
    """Each loss's definition and each own formula, as value and as gradient; the definitions also differentiated."""
    found = {}
    for implementation in registry.implementations():
        loss = registry.loss_named(implementation.loss)
        for quantity in ("loss", "grad"):
            formula, differentiate = formula_of(loss, implementation, quantity, FLOAT32)
            found[formula, differentiate] = (loss, formula, differentiate)
        found[loss.formula, True] = (loss, loss.formula, True)
    return list(found.values())


EACH_FORMULA = pytest.mark.parametrize(
    ("loss", "formula", "differentiate"),
    formulas(),
    ids=lambda value: getattr(value, "name", None) or getattr(value, "__name__", str(value)),
)


def logits_of(dtype, count, rng):
    """All sizes alike, and as many of those that training meets."""
    return sample_floats(dtype, count, rng) + [dtype.round(rng.uniform(-120, 120)) for _ in range(count)] + [0.0, -0.0, 9.21, -9.21][:2]


def dyadic(number):
    mantissa, exponent = number
    return Fraction(mantissa) * Fraction(2) ** exponent


def holds(value, bound, exact):
    """|value - exact| <= bound |value|, exactly; None where the filter claims nothing."""
    value, bound = float(value), float(bound)
    if not (math.isfinite(value) and math.isfinite(bound)) or exact.kind is not Kind.FINITE:
        return None
    if abs(value) < 2.0**-900:
        return exact.magnitude < -300  # far below half the least subnormal of every dtype that is filtered
    if exact.magnitude < -(2**14):
        return bound >= 1  # nothing beside the value, and its digits would not fit into memory
    mantissa, exponent = exact.radius
    radius = mantissa, max(exponent, -(2**14))  # that of 1 - s(-1e30) would not fit into memory
    return abs(Fraction(value) - dyadic(exact.middle)) <= Fraction(bound) * abs(Fraction(value)) + dyadic(radius)


def combinations(loss, rng, count):
    """Some of all combinations of parameters, the defaults among them."""
    names = list(PARAMS[loss.name])
    every = list(itertools.product(*PARAMS[loss.name].values()))
    chosen = [every[0], *rng.sample(every[1:], min(count, len(every) - 1))]
    return [dict(zip(names, values, strict=True)) for values in chosen]


def traced(formula, logits, target, params, dtype, differentiate):
    """The statements that become compiled code, run one logit at a time with the compiled functions."""
    scope, code = dict(kernels.SCOPE), LoopBody()
    scope.update(exp=np.exp, log=np.log, log1p=np.log1p, pow=np.power)
    value, bound = trace(code, formula, Expression(code, "logit"), target, params, dtype, differentiate)
    exec(loop_source(code, ("logit",), {"value": value.name, "bound": bound.name}), scope)
    values, bounds = np.empty(len(logits)), np.empty(len(logits))
    scope["loop"](np.array(logits), values, bounds)
    return values.tolist(), bounds.tolist()


@EACH_FORMULA
@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT16, BFLOAT16], ids=lambda value: value.name)
def test_the_exact_value_lies_within_the_bound(loss, formula, differentiate, dtype):
    """A rule of the arithmetic that promises more than it keeps, by arrays or by compiled statements."""
    rng = random.Random(f"{formula.__module__} {formula.__name__} {differentiate} {dtype.name}")
    claimed = asked = 0
    for chosen in combinations(loss, rng, 4):
        params = loss.resolve(chosen, dtype)
        for target in {0.0, 1.0} if loss.hard_targets else {0.0, 1.0, dtype.round(rng.random())}:
            logits = logits_of(dtype, 35, rng)
            with np.errstate(all="ignore"):
                found = filter_arrays(np, formula, np.array(logits), target, params, dtype, differentiate)
                again = traced(formula, logits, target, params, dtype, differentiate)
            for n, x in enumerate(logits):
                exact = exact_value(formula, [Term(x, target)], params, dtype, differentiate=differentiate)
                verdicts = [holds(run[0][n], run[1][n], exact) for run in (found, again)]
                assert False not in verdicts, (x.hex(), target, params, [run[0][n] for run in (found, again)], exact.decimal())
                claimed += sum(verdict is True for verdict in verdicts)
                asked += 2

    assert claimed > asked / 4


@pytest.mark.parametrize("loss", PARAMS)
@pytest.mark.parametrize("quantity", ["loss", "grad"])
def test_the_filter_decides_nearly_every_value_of_a_definition(loss, quantity):
    """Bounds so wide that every float has to go to the oracle."""
    chosen = registry.loss_named(loss)
    (one,) = select([chosen], ["stable"])
    rng = random.Random(3)
    for target in chosen.targets if quantity == "loss" else (0.0, 1.0):
        claim, reference = formula_of(chosen, one, quantity, FLOAT32), Reference(chosen.resolve({}, FLOAT32), FLOAT32, "flint", 8.0)
        logits = np.array([FLOAT32.round(rng.uniform(-60, 15)) for _ in range(2000)])
        values = np.array([reference.at(claim, x, target).rounded for x in logits.tolist()])
        judged = reference.classify(np, values, reference.filter(np, claim, logits, target))

        # Poly-1 meets a tie at half the floats below each power of two, and there the oracle is asked.
        assert (judged.codes == UNDECIDED).mean() < 0.02, target


# Any formula at all ----------------------------------------------------------------------------------------------------


def tree(rng, depth):
    """A random formula as a function of the arithmetic and the logit; ``positive`` trees are safe to take a log of."""
    if depth == 0:
        constant = rng.choice([-3.0, -0.5, 0.1, 1.0, 2.5])
        return rng.choice([lambda m, x: x, lambda m, x: x, lambda m, x: m.number(constant), lambda m, x: x * m.rounded(constant)])
    a, b = tree(rng, depth - 1), tree(rng, depth - 1)
    gamma = rng.choice([0.5, 1.5, 2, 3, 5])
    return rng.choice(
        [
            lambda m, x: a(m, x) + b(m, x),
            lambda m, x: a(m, x) - b(m, x),
            lambda m, x: a(m, x) * b(m, x),
            lambda m, x: a(m, x) / (1 + m.softplus(b(m, x))),
            lambda m, x: m.softplus(a(m, x)),
            lambda m, x: m.sigmoid(a(m, x)),
            lambda m, x: m.tanh_half(a(m, x)),
            lambda m, x: m.exp(-m.softplus(a(m, x))),
            lambda m, x: m.log(1 + m.softplus(a(m, x))),
            lambda m, x: m.log1p(m.sigmoid(a(m, x)) * m.number(rng_constant)),
            lambda m, x: m.power(m.sigmoid(a(m, x)), m.number(gamma)),
            lambda m, x: m.minimum(a(m, x), b(m, x)),
            lambda m, x: m.maximum(a(m, x), b(m, x)),
        ]
    )


rng_constant = 0.75


@pytest.mark.parametrize("seed", range(8))
def test_random_formulas_stay_within_their_bounds(seed):
    """A rule that is right for the shipped formulas only, or a slope whose bound is not that of its terms."""
    torch = pytest.importorskip("torch")
    rng = random.Random(seed)
    claimed = 0
    for _ in range(20):
        body = tree(rng, rng.choice([1, 2, 3]))
        formula = functools.partial(lambda body, m, logit, target: body(m, logit) + 0 * target, body)
        logits = logits_of(FLOAT32, 6, rng)
        for differentiate in (False, True):
            with np.errstate(all="ignore"):
                values, bounds = filter_arrays(np, formula, np.array(logits), 0.0, {}, FLOAT32, differentiate)
                tensors = filter_arrays(torch, formula, torch.tensor(logits, dtype=torch.float64), 0.0, {}, FLOAT32, differentiate)
            pairs = [*zip(values, bounds, strict=True), *zip(*(tensor.tolist() for tensor in tensors), strict=True)]
            for x, (value, bound) in zip(logits + logits, pairs, strict=True):
                if not (math.isfinite(value) and math.isfinite(bound)) or abs(x) > 1e6:
                    continue
                exact = exact_value(formula, [Term(x, 0.0)], {}, FLOAT32, differentiate=differentiate)
                verdict = holds(value, bound, exact)
                assert verdict is not False, (seed, x.hex(), float(value), float(bound), exact.decimal())
                claimed += verdict is True

    assert claimed > 100


def test_a_clamp_with_constant_slopes_keeps_their_float64_values():
    """Slopes of 0.1 and 0.3 that torch's ``where`` makes float32 numbers of."""
    torch = pytest.importorskip("torch")

    def leaky(m, logit, target):
        return m.maximum(logit * 0.1, logit * 0.3)

    logits = [-2.0, 3.0]
    values, bounds = filter_arrays(torch, leaky, torch.tensor(logits, dtype=torch.float64), 0.0, {}, FLOAT32, True)

    assert values.dtype == torch.float64
    assert values.tolist() == [0.1, 0.3] and max(bounds.tolist()) < 1e-15


# The elementary functions ----------------------------------------------------------------------------------------------


def relative_error(value, exact):
    value = float(value)
    return 0.0 if value == exact else float(abs((mpmath.mpf(value) - exact) / exact)) if exact else math.inf


def dense(low, high, count=3000):
    """Points evenly spread, close to both ends, and of every size towards 0."""
    rng = random.Random(1)
    points = [low + (high - low) * rng.random() for _ in range(count)] + [low, high]
    sizes = [math.ldexp(1 + rng.random(), -k) for k in range(1, 300)]
    near = [sign * size for sign in (1, -1) for size in sizes if low <= sign * size <= high]
    ties = [n * math.log(2) / 2 + step for n in range(-2000, 1) for step in (0.0, 1e-13, -1e-13)]
    return points + near + [x for x in ties if low <= x <= high]


FUNCTIONS = {
    "exp_clamped": (mpmath.exp, -CLAMP, 0.0),
    "expm1_clamped": (mpmath.expm1, -CLAMP, 0.0),
    "log1p_unit": (mpmath.log1p, 0.0, 1.0),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_compiled_functions_are_as_good_as_granted(name):
    """A polynomial with one coefficient off, or a reduction that loses the last bits."""
    exact, low, high = FUNCTIONS[name]
    compiled = kernels.SCOPE[name]
    with mpmath.workprec(140):
        worst = max((relative_error(compiled(x), exact(mpmath.mpf(x))), x) for x in dense(low, high))

    assert worst[0] <= ALLOWED < ELEMENTARY, worst


EDGES = [2.0**n for n in (-125, -2, 0, 127, 128, 999)] + [FLOAT32.largest, UNKNOWN]


@given(st.floats(min_value=2.0**-120) | st.sampled_from([near for edge in EDGES for near in (math.nextafter(edge, 0), edge, edge * 2)]))
@example(0.0)
@example(math.inf)
@example(math.nan)
def test_an_error_kept_as_float32_stays_in_its_bucket(ulp):
    """An |ulp| of exactly the largest float32, or beyond it, counted as infinite; one rounded up into the next bucket."""
    kept = kernels.SCOPE["narrowed"](ulp)

    assert buckets(np, np.array([kept])) == buckets(np, np.array([ulp]))
    assert math.isinf(kept) if not ulp < UNKNOWN else kept <= ulp and kept == FLOAT32.round(kept) < math.inf


@pytest.mark.parametrize("module", ["numpy", "torch"])
@pytest.mark.parametrize(
    ("name", "exact", "low", "high"),
    [
        *((name, *rest) for name, rest in FUNCTIONS.items()),
        ("exp", mpmath.exp, -CLAMP, CLAMP),
        ("log", mpmath.log, 2.0**-60, 1000.0),
        ("log1p", mpmath.log1p, -0.5, 3.0),
    ],
)
def test_the_functions_of_the_array_libraries_are_as_good_as_granted(module, name, exact, low, high):
    """A library whose float64 functions are rougher than the bound that stands on them."""
    xp = pytest.importorskip(module)
    points = dense(low, high, 1500)
    with np.errstate(all="ignore"):
        given = np.array(points) if module == "numpy" else xp.tensor(points, dtype=xp.float64)
        values = getattr(ArrayOperations(xp), name)(given).tolist()
    with mpmath.workprec(140):
        worst = max((relative_error(value, exact(mpmath.mpf(x))), x) for x, value in zip(points, values, strict=True))

    assert worst[0] <= ALLOWED, worst


@pytest.mark.parametrize("module", ["numpy", "torch"])
@pytest.mark.parametrize("exponent", [0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.25])
def test_powers_are_as_good_as_granted(module, exponent):
    """A power by repeated products counted as one rounding."""
    xp = pytest.importorskip(module)
    points = [x for x in dense(0.0, 1.0, 400) if x > 2.0**-100]
    given = np.array(points) if module == "numpy" else xp.tensor(points, dtype=xp.float64)
    values = ArrayOperations(xp).power(given, exponent).tolist()
    with mpmath.workprec(140):
        worst = max(relative_error(value, mpmath.mpf(x) ** exponent) for x, value in zip(points, values, strict=True))

    assert worst <= ALLOWED


RULES = {
    "exp": (lambda m, x: m.exp(x), math.exp),
    "softplus": (lambda m, x: m.softplus(x), lambda x: math.log1p(math.exp(x))),
    "sigmoid": (lambda m, x: m.sigmoid(x), lambda x: 1 / (1 + math.exp(-x))),
    "tanh_half": (lambda m, x: m.tanh_half(x), lambda x: math.tanh(x / 2)),
    "log1p of a square": (lambda m, x: m.log1p(x * x), lambda x: math.log1p(x * x)),
    "a quotient": (lambda m, x: 1 / (x * x), lambda x: 1 / (x * x)),
    "a difference": (lambda m, x: x - 0.75, lambda x: x - 0.75),
    "a sum": (lambda m, x: x * x + 0.75, lambda x: x * x + 0.75),
    "a maximum": (lambda m, x: m.maximum(x, m.number(-0.9)), lambda x: max(x, -0.9)),
    **{f"power {g}": (lambda m, x, g=g: m.power(x * x, m.number(g)), lambda x, g=g: (x * x) ** g) for g in (0.5, 1.5, 2, 3, 5, 7.25)},
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("r", [2.0**-12, 2.0**-6, 0.05])
def test_an_error_of_the_argument_is_carried_through_every_rule(rule, r):
    """A rule that forgets the error of what it is given, too small to show where all arguments are exact."""
    through, exactly = RULES[rule]
    m = arithmetic()
    points = np.array([-6.0, -1.0, -0.8, 0.3, 0.7, 1.0, 4.0])
    result = through(m, Bounded(m, points, np.full_like(points, r)))
    margin = 1e-12
    for n, x in enumerate(points.tolist()):
        for end in (x * (1 - r), x * (1 + r)):
            value, bound = float(result.value[n]), float(result.bound[n])
            assert abs(exactly(end) - value) <= bound * abs(value) + margin * abs(value), (x, end)
    assert np.isfinite(result.bound).sum() >= 3


# What it refuses, and what it never claims -----------------------------------------------------------------------------


def arithmetic():
    return RunningErrorArithmetic(ArrayOperations(np), FLOAT32)


@pytest.mark.parametrize(
    "formula",
    [
        lambda m, x: x > 0,
        lambda m, x: x < 1,
        lambda m, x: x == 0,
        lambda m, x: m.number(1) > x,
        lambda m, x: m.power(m.number(2), x),
        lambda m, x: m.exp("text"),
    ],
)
def test_a_formula_that_branches_on_its_logit_is_refused(formula):
    """One branch taken for a whole array of logits."""
    m = arithmetic()
    with pytest.raises(NoFilterError):
        formula(m, m.variable(np.array([1.0, 2.0])))
    with pytest.raises(NoFilterError):
        code = LoopBody()
        trace(code, lambda m, logit, target: formula(m, logit), Expression(code, "logit"), 0.0, {}, FLOAT32)


def test_what_the_filter_refuses_is_left_to_the_oracle():
    """A formula without a filter that is judged anyway."""

    def branching(m, logit, target):
        return logit * 2 if logit > 1 else logit * 3

    stream = Stream(Reference({}, FLOAT32, "flint", 8.0), Claim(branching, False), 0.0)
    logits = np.array([0.5, 1.0, 1.5, 2.0])
    undecided = stream.reference.classify(np, 2 * logits, stream.reference.filter(np, stream.claim, logits, 0.0))
    judged = judge(np, stream, logits, np.array([1.5, 2.0, 3.0, 4.0]), stream.reference.filter(np, stream.claim, logits, 0.0))

    assert (undecided.codes == UNDECIDED).all() and judged.settled == 4
    assert (judged.codes != judged.codes[0]).tolist() == [False, True, False, False] and judged.ulps[1] < -8


def test_a_difference_that_cancels_is_not_decided():
    """x - x (1 + tiny) taken for an exact 0."""
    m = arithmetic()
    x = m.variable(np.array([1.0, 100.0]))
    s = m.sigmoid(x)
    difference = s * 3 - (s + s + s)

    assert (abs(difference.value) < 1e-15).all() and (difference.bound > 0.1).all()


def test_division_by_what_may_be_zero_claims_nothing():
    """1 / (1 - r) taken for 1 + r, or a bound above 1/2 passed on."""
    m = arithmetic()
    x = m.variable(np.array([-800.0, -1.0]))
    quotient = 1 / m.sigmoid(x)

    assert quotient.bound[0] == math.inf and quotient.bound[1] < 1e-13


def test_a_weight_of_zero_silences_an_infinite_term():
    """0 * inf that makes NaN of a term whose weight is exactly 0."""
    m = arithmetic()
    x = m.variable(np.array([math.inf, 1.0]))

    assert (m.number(0) * x).value == 0 and (m.number(0) * x).bound == 0
    assert (x * m.number(1)).value is x.value


@pytest.mark.parametrize(("x", "right"), [(-800.0, 0.0), (-1e30, 0.0)])
@pytest.mark.parametrize("name", ["exp", "sigmoid", "softplus"])
def test_exponentials_are_held_and_not_zero(name, x, right):
    """An underflow to 0 with a relative bound, which would claim an exact 0."""
    m = arithmetic()
    result = getattr(m, name)(m.variable(np.array([x])))

    assert 0 < result.value[0] < 1e-300 and result.bound[0] == 1.0
    assert abs(result.value[0] - right) <= result.bound[0] * result.value[0]


def test_constants_follow_the_dtype():
    """A guard of float32 used for bfloat16, where 1 - 1e-4 is 1."""
    for dtype in (FLOAT32, FLOAT16, BFLOAT16):
        m = RunningErrorArithmetic(ArrayOperations(np), dtype)
        assert m.rounded(1 - 1e-4).value == dtype.round(1 - 1e-4)
        assert m.rounded(1 - 1e-4, FLOAT32).value == FLOAT32.round(1 - 1e-4)
        assert m.as_float(m.number(0.3)) == 0.3


def test_a_logarithm_of_large_numbers_is_known_as_well_as_of_small_ones():
    """log1p(e^x) at 80 has no more error than at -1: the slope of the logarithm falls as its argument grows."""
    logits = np.array([-1.0, 1.0, 20.0, 80.0])
    bound = filter_arrays(np, lambda m, x, z: m.log1p(m.exp(x)), logits, 0.0, {}, FLOAT32)[1]

    assert (bound <= 2.0**-42).all()
