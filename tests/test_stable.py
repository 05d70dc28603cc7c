"""The `stable` implementations keep the bounds they promise, on numpy and torch, for the loss and its gradient.

Bulk points of the formats narrower than float64 are filtered by the definition evaluated in float64; the worst of
them, and every float64 point, are measured against the exact oracle.
"""

import math
import random
from functools import cache

import numpy as np
import pytest
import torch

from losscheck.backends import Invocation, backend_named
from losscheck.core.dtypes import FLOAT32, FLOAT64, FORMATS
from losscheck.core.error import ulp_error
from losscheck.core.outcome import Outcome
from losscheck.core.registry import implementations, loss_named
from losscheck.core.request import Request
from losscheck.measure.compare import compare
from losscheck.oracle.refine import Term, exact_value

BACKENDS = ("numpy", "torch")
SIXTEEN_BITS = ("float16", "bfloat16")
TARGETS = {
    "bce": (0.0, 0.05, 0.1, 0.5, 0.7, 1.0),
    "weighted-focal": (0.0, 1.0),
    "centernet-heatmap": (0.0, 0.05, 0.1, 0.2, 0.5, 0.7, 0.9, 1.0 - 2.0**-24, 1.0),
}
# What is promised in float32 and float64, and what was measured over every float of the 16-bit formats, rounded up.
PROMISED = {"bce": 4.0, "weighted-focal": 8.0, "centernet-heatmap": 8.0}
MEASURED = {
    "float16": {"bce": 2.2, "weighted-focal": 5.5, "centernet-heatmap": 7.3},
    "bfloat16": {"bce": 2.1, "weighted-focal": 4.4, "centernet-heatmap": 4.6},
}
EXPONENT = {"weighted-focal": "gamma", "centernet-heatmap": "alpha"}
EXPONENTS = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0)

# The worst float32 logits of scans over every float with 1/8 <= |x| < 32, for one loss, target or another.
HARD_LOGITS = tuple(
    sign * logit
    for logit in (
        0.837043046951294, 0.9962648153305054, 1.0364259481430054, 1.902883768081665, 1.9899518489837646, 2.042401075363159,
        2.358194589614868, 2.7124569416046143, 3.1044435501098633, 3.435073614120483, 3.457028865814209, 3.9815897941589355,
        4.051512241363525, 4.140314579010010, 4.755973815917969, 4.765820980072021, 4.780684947967529, 4.8397369384765625,
        5.138786792755127, 5.183896064758301, 5.887099266052246, 5.887829303741455, 6.539066791534424, 6.568946361541748,
        6.79461145401001, 7.214520454406738, 7.232179164886475, 8.231042861938477, 9.008486747741700, 9.703000068664551,
        12.121321678161621, 12.430581092834473, 15.019034385681152, 86.72606658935547,
    )
    for sign in (1.0, -1.0)
)  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread():
    """Arrays of a few 10,000 elements: with more threads than free cores PyTorch takes ten times as long."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# Points and values -----------------------------------------------------------------------------------------------


@cache
def logits(dtype_name):
    """Every float in 16 bits; else landmarks with neighbours, floats uniform over ordinals, dense linear ranges."""
    dtype = FORMATS[dtype_name]
    top = dtype.infinity_ordinal
    if dtype.bits == 16:
        return tuple(dtype.from_ordinal(n) for n in range(-top, top))
    many, near = (10_000, 20) if dtype is FLOAT32 else (700, 3)
    rng = random.Random(20)
    width = 2 * top // many
    found = [dtype.from_ordinal(-top + n * width + rng.randrange(width)) for n in range(many)]
    for edge in (4.0, 20.0, -dtype.emin * math.log(2.0) * 1.1):
        found += [dtype.round(edge * (2 * rng.random() - 1)) for _ in range(many)]
    for mark in loss_named("bce").landmarks(dtype):
        found += [dtype.neighbour(mark.logit, steps) for steps in range(-near, near + 1)]
    found += [dtype.round(each) for each in HARD_LOGITS]
    return tuple(each for each in found if math.isfinite(each))


def run(loss_name, name, backend, dtype_name, xs, z, params=None):
    """(losses, gradients, parameters) of an implementation at the logits, as the tool itself computes them."""
    loss, dtype = loss_named(loss_name), FORMATS[dtype_name]
    one = next(each for each in implementations() if (each.loss, each.name) == (loss_name, name))
    resolved = loss.resolve(params or {}, dtype)
    padding = -len(xs) % 64
    logits = (*xs, *xs[-1:] * padding)
    result = backend_named(backend).prepare(Invocation(loss, one, resolved, dtype))(logits, z)
    return np.array(result.loss[: len(xs)]), np.array(result.grad[: len(xs)]), resolved


def softplus(y):
    return np.maximum(y, 0) + np.log1p(np.exp(-np.abs(y)))


def sigmoid(y):
    e = np.exp(-np.abs(y))
    return np.where(y > 0, 1.0, e) / (1 + e)


def power_of_sigmoid(y, exponent):
    return np.where(y > 0, 1.0, np.exp(exponent * np.minimum(y, 0))) / (1 + np.exp(-np.abs(y))) ** exponent


def definition(loss_name, quantity, xs, z, params):
    """The definition in float64: within a few 2^-53 of exact, which is nothing in ulp of a narrower format."""
    x = np.array(xs)
    if loss_name == "bce":
        positive, negative = params["pos_weight"] * z, 1 - z
        if quantity == "grad":
            return negative * sigmoid(x) - positive * sigmoid(-x)
        return (positive * softplus(-x) if positive else 0 * x) + (negative * softplus(x) if negative else 0)
    exponent = params[EXPONENT[loss_name]]
    if loss_name == "weighted-focal":
        weight = params["alpha"] if z == 1 else 1 - params["alpha"]
    else:
        weight = 1.0 if z == 1 else (1 - z) ** params["beta"]
    wrong = -x if z == 1 else x
    if quantity == "loss":
        return weight * power_of_sigmoid(wrong, exponent) * softplus(wrong)
    held = np.minimum(wrong, 800.0)
    slope = power_of_sigmoid(wrong, exponent) * (exponent * sigmoid(-held) * softplus(held) + sigmoid(wrong))
    return (-weight if z == 1 else weight) * slope


def ulps_filtered(values, exact, dtype):
    """|error| in ulp of the float64 definition where that is a normal number of the dtype, 0 elsewhere; NaN is inf."""
    magnitude = np.maximum(np.frexp(exact)[1] - 1, dtype.emin)
    with np.errstate(all="ignore"):
        error = np.abs(values - exact) / np.ldexp(1.0, magnitude - (dtype.precision - 1))
    error = np.where(np.isnan(error), np.inf, error)
    return np.where((np.abs(exact) >= dtype.smallest_normal) & (np.abs(exact) <= dtype.largest), error, 0.0)


def exactly(loss_name, quantity, x, z, params, dtype):
    loss = loss_named(loss_name)
    return exact_value(loss.gradient if quantity == "grad" else loss.formula, [Term(x, z)], params, dtype)


def worst_narrow(loss_name, name, backend, dtype_name, z, params=None, quantities=("loss", "grad")):
    """(ulp, logit, quantity) of the worst point, its error taken from the exact oracle."""
    dtype = FORMATS[dtype_name]
    xs, z = logits(dtype_name), dtype.round(z)
    *values, resolved = run(loss_name, name, backend, dtype_name, xs, z, params)
    found = []
    for quantity, got in zip(("loss", "grad"), values, strict=True):
        if quantity in quantities:
            filtered = ulps_filtered(got, definition(loss_name, quantity, xs, z, resolved), dtype)
            for index in np.argsort(filtered)[-3:]:
                exact = exactly(loss_name, quantity, xs[index], z, resolved, dtype)
                error = abs(ulp_error(float(got[index]), exact, dtype))
                assert error == pytest.approx(filtered[index], abs=0.01) or not error < 1e5
                found.append((math.inf if math.isnan(error) else error, xs[index], quantity))
    return max(found)


@cache
def exact_float64(loss_name, quantity, z):
    loss = loss_named(loss_name)
    params = loss.resolve({}, FLOAT64)
    return tuple(exactly(loss_name, quantity, x, z, params, FLOAT64) for x in logits("float64"))


def worst_float64(loss_name, name, backend, z, quantities=("loss", "grad")):
    """(ulp, logit, quantity) of the worst float64 point with a normal exact value, each against the exact oracle."""
    xs = logits("float64")
    *values, _ = run(loss_name, name, backend, "float64", xs, z)
    found = [(0.0, 0.0, "")]
    for quantity, got in zip(("loss", "grad"), values, strict=True):
        if quantity in quantities:
            for x, value, exact in zip(xs, got.tolist(), exact_float64(loss_name, quantity, z), strict=True):
                if FLOAT64.smallest_normal <= abs(exact.rounded) < math.inf:
                    error = abs(ulp_error(value, exact, FLOAT64))
                    found.append((math.inf if math.isnan(error) else error, x, quantity))
    return max(found)


def judged(loss_name, z):
    """The gradient of bce at a soft target has a zero, beside which it is ill-conditioned; see the larger-term test."""
    return ("loss",) if loss_name == "bce" and 0 < z < 1 else ("loss", "grad")


def every_target(*, sixteen_bits=False):
    """Every loss, target and backend; in 16 bits 1 - 2^-24 is 1."""
    return [
        pytest.param(loss, z, backend, id=f"{loss}-{z:.9g}-{backend}")
        for loss in TARGETS
        for z in TARGETS[loss]
        for backend in BACKENDS
        if not (sixteen_bits and 0.99 < z < 1)
    ]


# The promise ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("loss", "z", "backend"), every_target())
def test_stable_keeps_its_promise_in_float32(loss, z, backend):
    """4 ulp (bce) and 8 ulp (focal) of exact, loss and gradient, wherever the exact value is a normal float32."""
    error, logit, quantity = worst_narrow(loss, "stable", backend, "float32", z, quantities=judged(loss, z))

    assert error <= PROMISED[loss], f"{quantity} at {logit.hex()}"


@pytest.mark.parametrize(("loss", "z", "backend"), every_target())
def test_stable_keeps_its_promise_in_float64(loss, z, backend):
    """The same in float64, every point against the exact oracle."""
    error, logit, quantity = worst_float64(loss, "stable", backend, z, judged(loss, z))

    assert error <= PROMISED[loss], f"{quantity} at {logit.hex()}"


@pytest.mark.parametrize("dtype", SIXTEEN_BITS)
@pytest.mark.parametrize(("loss", "z", "backend"), every_target(sixteen_bits=True))
def test_stable_keeps_its_measured_bound_at_every_16_bit_float(loss, z, backend, dtype):
    """Every finite 16-bit logit whose exact value is a normal number stays within the bound measured for its format."""
    error, logit, quantity = worst_narrow(loss, "stable", backend, dtype, z, quantities=judged(loss, z))

    assert error <= MEASURED[dtype][loss], f"{quantity} at {logit.hex()}"


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("loss", TARGETS)
def test_the_naive_control_breaks_every_bound(loss, backend):
    """The same checks catch the textbook formula, in every format and for both quantities."""
    for z in (0.0, 1.0):
        for quantity in ("loss", "grad"):
            assert worst_float64(loss, "naive", backend, z, (quantity,))[0] > 1e6
            for dtype in ("float32", *SIXTEEN_BITS):
                assert worst_narrow(loss, "naive", backend, dtype, z, quantities=(quantity,))[0] > 100


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("exponent", EXPONENTS)
@pytest.mark.parametrize("loss", EXPONENT)
def test_other_focusing_exponents_cost_three_ulp_for_each_power(loss, exponent, backend):
    """6 + 3 g ulp in float32: a power multiplies the relative error of the sigmoid by its exponent."""
    for z in TARGETS[loss]:
        error, logit, quantity = worst_narrow(loss, "stable", backend, "float32", z, {EXPONENT[loss]: exponent})

        assert error <= 6 + 3 * exponent, f"{quantity} at {logit.hex()}, target {z}"


# Class weights, and the soft gradient of bce ----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", *SIXTEEN_BITS])
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("pos_weight", [0.0, 0.3, 1.0, 2.5, 1000.0])
def test_a_class_weight_costs_no_accuracy_until_the_unweighted_term_is_subnormal(pos_weight, backend, dtype):
    """Within 4 ulp while w = 1 gives a normal number; below that, w times the two least subnormals it may be off by more."""
    form = FORMATS[dtype]
    xs = logits(dtype)
    for z in (0.0, 1.0):
        *values, params = run("bce", "stable", backend, dtype, xs, z, {"pos_weight": pos_weight})
        for quantity, got in zip(("loss", "grad"), values, strict=True):
            exact = definition("bce", quantity, xs, z, params)
            plain = definition("bce", quantity, xs, z, {"pos_weight": 1.0})
            finite = np.abs(exact) <= form.largest
            unit = np.ldexp(1.0, np.maximum(np.frexp(exact)[1] - 1, form.emin) - (form.precision - 1))
            allowed = 4 * unit + (np.abs(plain) < form.smallest_normal) * 2 * params["pos_weight"] * form.smallest_subnormal

            assert np.all(np.abs(got - exact)[finite] <= allowed[finite])


@pytest.mark.parametrize("dtype", ["float32", *SIXTEEN_BITS])
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("pos_weight", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("z", [0.1, 0.5, 0.7, 0.999])
def test_the_soft_gradient_of_bce_is_within_4_ulp_of_its_larger_term(z, pos_weight, backend, dtype):
    """|error| <= 4 ulp of max((1-z) s(x), w z s(-x)): beside its zero the difference itself allows no better bound."""
    form = FORMATS[dtype]
    xs, z = logits(dtype), form.round(z)
    _, got, params = run("bce", "stable", backend, dtype, xs, z, {"pos_weight": pos_weight})
    x = np.array(xs)
    larger = np.maximum((1 - z) * sigmoid(x), params["pos_weight"] * z * sigmoid(-x))
    unit = np.ldexp(1.0, np.maximum(np.frexp(larger)[1] - 1, form.emin) - (form.precision - 1))

    assert np.all(np.abs(got - definition("bce", "grad", xs, z, params)) <= 4 * unit)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("z", [0.1, 0.7])
def test_the_soft_gradient_of_bce_is_within_4_ulp_of_its_larger_term_in_float64(z, backend):
    """The same in float64, against the exact oracle, with points close to the gradient's zero."""
    zero = math.log(z / (1 - z))
    xs = (*logits("float64"), *(FLOAT64.neighbour(zero, steps) for steps in range(-50, 51)))
    _, got, params = run("bce", "stable", backend, "float64", xs, z)
    for x, value in zip(xs, got.tolist(), strict=True):
        exact = exactly("bce", "grad", x, z, params, FLOAT64)
        larger = float(max((1 - z) * sigmoid(x), z * sigmoid(-x)))
        unit = math.ldexp(1.0, FLOAT64.ulp_exponent(math.frexp(larger)[1] - 1))

        assert abs(ulp_error(value, exact, FLOAT64)) * math.ldexp(1.0, FLOAT64.ulp_exponent(exact.magnitude)) <= 4 * unit, x.hex()


def test_the_gradient_of_bce_beside_its_zero_at_0_is_not_lost():
    """At z = 1/2 it is tanh(x/2)/2: x/4 at x = 2^-36, which s(x)/2 - s(-x)/2 loses altogether."""
    question = Request((loss_named("bce"),), (2.0**-36, -(2.0**-120)), (0.5,), impl=("stable",), quantities=("grad",))

    assert {(row.logits[0], row.value) for row in compare(question)} == {(2.0**-36, 2.0**-38), (-(2.0**-120), -(2.0**-122))}


# Where formulas break ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_the_gradient_of_bce_at_both_zeros_is_one_half(zero, dtype, backend):
    """1/2 for target 0 and -1/2 for target 1, not the 1 and 0 of clamp and abs; the loss is log 2."""
    for z, slope in ((0.0, 0.5), (1.0, -0.5), (0.5, 0.0)):
        loss, grad, _ = run("bce", "stable", backend, dtype, (zero,), z)

        assert grad[0] == slope
        assert loss[0] == FORMATS[dtype].round(math.log(2.0))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("loss", EXPONENT)
def test_the_focal_losses_are_right_at_both_zeros(loss, dtype, backend):
    """At +0 and -0 the loss and the gradient are within the bound of their format."""
    rows = compare(
        Request((loss_named(loss),), (0.0, -0.0), (0.0,), impl=("stable",), backends=(backend,), dtypes=(dtype,), max_ulp=PROMISED[loss])
    )
    rows += compare(
        Request((loss_named(loss),), (0.0, -0.0), (1.0,), impl=("stable",), backends=(backend,), dtypes=(dtype,), max_ulp=PROMISED[loss])
    )

    assert len(rows) == 8
    assert {row.outcome for row in rows} == {Outcome.OK}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", SIXTEEN_BITS)
@pytest.mark.parametrize("exponent", EXPONENTS)
@pytest.mark.parametrize("loss", EXPONENT)
def test_every_16_bit_logit_with_a_finite_exact_value_gives_a_finite_one(loss, exponent, dtype, backend):
    """All logits, all targets, gamma 0, 0.1, 0.5, 1, 2 and 5: no NaN and no infinity that exact arithmetic does not have."""
    xs = logits(dtype)
    for z in {FORMATS[dtype].round(each) for each in TARGETS[loss]}:
        *values, params = run(loss, "stable", backend, dtype, xs, z, {EXPONENT[loss]: exponent})
        for quantity, got in zip(("loss", "grad"), values, strict=True):
            finite = np.abs(definition(loss, quantity, xs, z, params)) <= FORMATS[dtype].largest

            assert finite.all()
            assert np.isfinite(got).all()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", FORMATS)
def test_bce_is_finite_wherever_its_exact_value_is(dtype, backend):
    """Up to the largest float; a class weight that carries the exact loss past it gives inf there and nowhere else."""
    form = FORMATS[dtype]
    xs = logits(dtype)
    for z in (0.0, 0.1, 0.5, 1.0):
        for pos_weight in (1.0, 2.5):
            rounded = form.round(z)
            loss, grad, params = run("bce", "stable", backend, dtype, xs, rounded, {"pos_weight": pos_weight})
            with np.errstate(over="ignore"):
                exact = np.abs(definition("bce", "loss", xs, rounded, params))

            assert np.isfinite(loss[exact < form.largest * (1 - 2.0**-6)]).all()
            assert not np.isnan(loss).any()
            assert np.isfinite(grad).all()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("exponent", EXPONENTS)
@pytest.mark.parametrize("loss", EXPONENT)
def test_the_focal_losses_are_finite_up_to_the_largest_float(loss, exponent, dtype, backend):
    """Landmarks, ordinals and both largest floats give finite losses and gradients for every exponent."""
    largest = FORMATS[dtype].largest
    for z in TARGETS[loss]:
        *values, _ = run(
            loss, "stable", backend, dtype, (*logits(dtype), largest, -largest), FORMATS[dtype].round(z), {EXPONENT[loss]: exponent}
        )

        assert all(np.isfinite(got).all() for got in values)


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("loss", TARGETS)
def test_an_infinite_logit_gives_the_limit(loss, dtype):
    """At +inf and -inf both quantities are the limit of the definition, to the bit where no soft weight is rounded."""
    given = [{EXPONENT[loss]: each} for each in EXPONENTS] if loss in EXPONENT else [{"pos_weight": each} for each in (0.0, 1.0, 2.5)]
    for params in given:
        for z in TARGETS[loss]:
            rows = compare(Request((loss_named(loss),), ("inf", "-inf"), (z,), impl=("stable",), dtypes=(dtype,), params=params))

            assert len(rows) == 8
            for row in rows:
                assert row.outcome is Outcome.OK
                assert row.value == row.exact.rounded or (0 < z < 1 and abs(row.ulp) <= 4), (row.backend, row.quantity, row.logits, z)


@pytest.mark.parametrize("loss", TARGETS)
def test_a_nan_logit_gives_nan(loss):
    """NaN in, NaN out, and that is `ok`."""
    rows = compare(Request((loss_named(loss),), ("nan",), (1.0,), impl=("stable",)))

    assert len(rows) == 4
    assert all(math.isnan(row.value) and row.outcome is Outcome.OK for row in rows)


# The check itself -------------------------------------------------------------------------------------------------


def test_the_logits_reach_every_range_of_ordinals():
    """A sampler stuck on one point would make every bound above hold."""
    for name, dtype in FORMATS.items():
        runs = {100 * dtype.ordinal(x) // (dtype.infinity_ordinal + 1) for x in logits(name)}

        assert runs == set(range(-100, 100))
        assert {0.0, dtype.largest, -dtype.largest, dtype.smallest_subnormal} <= set(logits(name))


@pytest.mark.parametrize("loss", TARGETS)
def test_the_float64_filter_agrees_with_the_oracle(loss):
    """Over a stratified sample the filter's reference and the exact value are within 2^-40 of each other."""
    params = loss_named(loss).resolve({}, FLOAT32)
    for z in TARGETS[loss]:
        rounded, xs = FLOAT32.round(z), sorted(logits("float32"))[::997]
        for quantity in judged(loss, z):
            for x, filtered in zip(xs, definition(loss, quantity, xs, rounded, params).tolist(), strict=True):
                exact = exactly(loss, quantity, x, rounded, params, FLOAT64)
                if FLOAT64.smallest_normal <= abs(exact.rounded) < math.inf:
                    assert abs(ulp_error(filtered, exact, FLOAT64)) < 2**12
