"""Every implementation that promises an accuracy keeps it, on numpy and torch, for the loss and its gradient.

All of it is generated from the registry: losses, targets, parameters and promises. The definition with a running error bound
(filter/) finds the worst points; those, what it does not decide, and every float64 point are measured against the exact oracle.
"""

import math
import random
from functools import cache, lru_cache

import numpy as np
import pytest
from whole import tried

from losscheck.backends import Invocation, backend_named
from losscheck.core.dtypes import FLOAT32, FLOAT64, FORMATS
from losscheck.core.error import ulp_error
from losscheck.core.outcome import Outcome
from losscheck.core.registry import implementations, loss_named
from losscheck.core.request import listed
from losscheck.filter.arrays import filter_arrays
from losscheck.measure.compare import compare
from losscheck.oracle.refine import Term, exact_value

BACKENDS = ("numpy", "torch")
QUANTITIES = ("loss", "grad")
SIXTEEN_BITS = ("float16", "bfloat16")
SOFT = (0.05, 0.1, 0.2, 0.5, 0.7, 0.9)
PROMISING = [implementation for implementation in implementations() if implementation.promise]
NAIVE = [implementation for implementation in implementations() if implementation.name == "naive"]
BCE = loss_named("bce")
STABLE_BCE = next(implementation for implementation in PROMISING if (implementation.loss, implementation.name) == ("bce", "stable"))
# What the filter leaves open by more than this is asked of the oracle.
DECIDED = 2.0**-40

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


# Points and values -----------------------------------------------------------------------------------------------


def targets_of(loss):
    """The loss's own targets, and more soft ones where it takes them."""
    return tuple(sorted({*loss.targets, *(() if loss.hard_targets else SOFT)}))


def other_parameters(loss):
    """The defaults with one parameter changed: to the end of its range, to what is no power of two, to 1/2 and to 5; in each of the
    ways that a parameter with words picks. Of values times ways a third, each way among them; all where LOSSCHECK_WHOLE is set."""
    ways = [{parameter.name: float(value)} for parameter in loss.parameters for value in range(len(parameter.words))]
    changes = [
        {parameter.name: value, **way}
        for parameter in loss.parameters
        for value in (() if parameter.words else (parameter.low, 0.1, 0.5, 5.0))
        if parameter.takes(value)
        for way in ways or [{}]
    ]
    return [*ways, *changes[:: tried(3, 1) if ways else 1]]


def named(implementation):
    return f"{implementation.loss}-{implementation.name}"


def on_its_backends(chosen):
    """Each implementation on each of numpy and torch that it has."""
    return [
        pytest.param(implementation, backend, id=f"{named(implementation)}-{backend}")
        for implementation in chosen
        for backend in backends_of(implementation)
    ]


def backends_of(implementation):
    return [backend for backend in BACKENDS if backend in implementation.backends]


@cache
def logits(dtype_name):
    """Every float in 16 bits; else landmarks with neighbours, floats uniform over ordinals, dense linear ranges."""
    dtype = FORMATS[dtype_name]
    top = dtype.infinity_ordinal
    if dtype.bits == 16:
        return tuple(dtype.from_ordinal(n) for n in range(-top, top))
    many, near = (10_000, 20) if dtype is FLOAT32 else (400, 3)
    rng = random.Random(20)
    width = 2 * top // many
    found = [dtype.from_ordinal(-top + n * width + rng.randrange(width)) for n in range(many)]
    for edge in (4.0, 20.0, -dtype.emin * math.log(2.0) * 1.1):
        found += [dtype.round(edge * (2 * rng.random() - 1)) for _ in range(many)]
    for mark in loss_named("bce").landmarks(dtype):
        found += [dtype.neighbour(mark.logit, steps) for steps in range(-near, near + 1)]
    found += [dtype.round(logit) for logit in HARD_LOGITS]
    return tuple(logit for logit in found if math.isfinite(logit))


def run(loss, implementation, backend, dtype_name, xs, z, params=None):
    """(losses, gradients, parameters) of an implementation at the logits, as the tool itself computes them."""
    dtype = FORMATS[dtype_name]
    resolved = loss.resolve(params or {}, dtype)
    padding = -len(xs) % 64
    logits = (*xs, *xs[-1:] * padding)
    result = backend_named(backend).prepare(Invocation(loss, implementation, resolved, dtype))(logits, z)
    return np.array(result.loss[: len(xs)]), np.array(result.grad[: len(xs)]), resolved


def formula_of(loss, quantity):
    return loss.gradient if quantity == "grad" else loss.formula


def definition(loss, quantity, xs, z, params, dtype, *, slope=False):
    """The definition, or its slope, in float64 with a bound of its relative error."""
    with np.errstate(all="ignore"):
        return filter_arrays(np, formula_of(loss, quantity), np.array(xs), z, params, dtype, slope)


def exactly(loss, quantity, x, z, params, dtype):
    return _exactly(loss.name, quantity, x, z, tuple(params.items()), dtype)


@cache
def _exactly(loss_name, quantity, x, z, params, dtype):
    """Each backend meets the same points."""
    return exact_value(formula_of(loss_named(loss_name), quantity), [Term(x, z)], dict(params), dtype, printable=False)


@lru_cache(maxsize=64)
def everywhere(loss_name, quantity, z, params, dtype):
    """(definition, its bound, its conditions) at all logits of a dtype, for every backend."""
    loss, xs, params = loss_named(loss_name), logits(dtype.name), dict(params)
    right, bound = definition(loss, quantity, xs, z, params, dtype)
    return right, bound, conditions(loss, quantity, xs, z, params, dtype, right)


def conditions(loss, quantity, xs, z, params, dtype, values):
    """1 + |x f'(x) / f(x)| where the loss has a soft minimum and z is soft; 1 elsewhere."""
    if not (loss.soft_minimum and 0 < z < 1):
        return np.ones(len(xs))
    slope, _ = definition(loss, quantity, xs, z, params, dtype, slope=True)
    with np.errstate(all="ignore"):
        condition = 1 + np.abs(np.array(xs) * slope / values)
    return np.where(condition > 1, condition, 1.0)


def excesses(values, xs, loss, quantity, z, params, dtype):
    """|ulp| against the oracle in units of the condition; 0 where the exact value is no normal number, infinite for NaN."""
    exacts = [exactly(loss, quantity, x, z, params, dtype) for x in xs]
    unit = conditions(loss, quantity, xs, z, params, dtype, np.array([exact.rounded for exact in exacts]))
    for value, exact, condition in zip(values, exacts, unit.tolist(), strict=True):
        normal = dtype.smallest_normal <= abs(exact.rounded) < math.inf
        error = abs(ulp_error(value, exact, dtype)) / condition if normal else 0.0
        yield math.inf if math.isnan(error) else float(error)


def worst_narrow(implementation, backend, dtype_name, z, params=None, quantities=QUANTITIES):
    """(ulp over condition, logit, quantity) of the worst point of a format narrower than float64."""
    loss, dtype = loss_named(implementation.loss), FORMATS[dtype_name]
    xs, z = logits(dtype_name), dtype.round(z)
    *values, resolved = run(loss, implementation, backend, dtype_name, xs, z, params)
    worst = [(0.0, 0.0, "")]
    for quantity, got in zip(QUANTITIES, values, strict=True):
        if quantity in quantities:
            right, bound, condition = everywhere(loss.name, quantity, z, tuple(resolved.items()), dtype)
            size = np.abs(right)
            with np.errstate(all="ignore"):
                unit = np.ldexp(1.0, np.maximum(np.frexp(right)[1] - 1, dtype.emin) - (dtype.precision - 1))
                ulps = np.abs(got - right) / unit / condition
            ulps = np.where(np.isnan(ulps), np.inf, ulps)
            ulps = np.where((size >= dtype.smallest_normal) & (size <= dtype.largest), ulps, 0.0)
            with np.errstate(invalid="ignore"):  # 0 with an infinite bound
                open_ = ~(bound <= DECIDED) & ~(size * (1 + bound) < dtype.smallest_normal) & np.isfinite(right)
            ulps = np.where(open_, -1.0, ulps)
            asked = [*np.argsort(ulps)[-3:], *np.flatnonzero(open_)[:: max(1, int(open_.sum()) // 300)]]
            points = [xs[n] for n in asked]
            errors = excesses(got[asked].tolist(), points, loss, quantity, z, resolved, dtype)
            worst += [(error, x, quantity) for error, x in zip(errors, points, strict=True)]
    return max(worst)


@cache
def exact_float64(loss_name, quantity, z):
    """The exact values at all float64 logits, and the conditions there."""
    loss, xs = loss_named(loss_name), logits("float64")
    params = loss.resolve({}, FLOAT64)
    found = [exactly(loss, quantity, x, z, params, FLOAT64) for x in xs]
    return found, conditions(loss, quantity, xs, z, params, FLOAT64, np.array([exact.rounded for exact in found]))


def worst_float64(implementation, backend, z, quantities=QUANTITIES):
    """(ulp over condition, logit, quantity) of the worst float64 point, each against the exact oracle."""
    loss, xs = loss_named(implementation.loss), logits("float64")
    *values, _ = run(loss, implementation, backend, "float64", xs, z)
    worst = [(0.0, 0.0, "")]
    for quantity, got in zip(QUANTITIES, values, strict=True):
        if quantity in quantities:
            for x, value, exact, condition in zip(xs, got.tolist(), *exact_float64(loss.name, quantity, z), strict=True):
                if FLOAT64.smallest_normal <= abs(exact.rounded) < math.inf:
                    error = abs(ulp_error(value, exact, FLOAT64)) / condition
                    worst.append((math.inf if math.isnan(error) else error, x, quantity))
    return max(worst)


def softplus(y):
    return np.maximum(y, 0) + np.log1p(np.exp(-np.abs(y)))


def sigmoid(y):
    e = np.exp(-np.abs(y))
    return np.where(y > 0, 1.0, e) / (1 + e)


def bce_definition(quantity, xs, z, params):
    """The definition of bce typed once more: within a few 2^-53 of exact, which is nothing in ulp of a narrower format."""
    x = np.array(xs)
    positive, negative = params["pos_weight"] * z, 1 - z
    if quantity == "grad":
        return negative * sigmoid(x) - positive * sigmoid(-x)
    return (positive * softplus(-x) if positive else 0 * x) + (negative * softplus(x) if negative else 0)


# The promise ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", sorted({implementation.loss for implementation in implementations()}))
def test_every_loss_has_a_stable_implementation_that_promises(loss):
    """A loss without a model answer, or one whose accuracy nobody stated and nothing tests."""
    (stable,) = (implementation for implementation in PROMISING if (implementation.loss, implementation.name) == (loss, "stable"))

    assert set(stable.promise.ulp) == set(FORMATS)
    assert all(0.5 <= bound <= 16 for bound in stable.promise.ulp.values())
    assert stable.promise.why
    assert set(BACKENDS) <= set(stable.backends)


@pytest.mark.parametrize("dtype", ["float32", *SIXTEEN_BITS])
@pytest.mark.parametrize(("implementation", "backend"), on_its_backends(PROMISING))
def test_a_promise_is_kept(implementation, backend, dtype):
    """Loss and gradient, every target, wherever the exact value is a normal number; in 16 bits at every float there is."""
    for z in sorted({FORMATS[dtype].round(target) for target in targets_of(loss_named(implementation.loss))}):
        error, logit, quantity = worst_narrow(implementation, backend, dtype, z)

        assert error <= implementation.promise.ulp[dtype], f"{quantity} at {logit.hex()}, target {z}"


@pytest.mark.parametrize(("implementation", "backend"), on_its_backends(PROMISING))
def test_a_promise_is_kept_in_float64(implementation, backend):
    """The same in float64, every point against the exact oracle."""
    for z in targets_of(loss_named(implementation.loss)):
        error, logit, quantity = worst_float64(implementation, backend, z)

        assert error <= implementation.promise.ulp["float64"], f"{quantity} at {logit.hex()}, target {z}"


@pytest.mark.parametrize(("implementation", "backend"), on_its_backends(NAIVE))
def test_the_naive_control_breaks_every_bound(implementation, backend):
    """The same checks catch the textbook formula, in every format and for both quantities."""
    for quantity in QUANTITIES:
        assert max(worst_float64(implementation, backend, z, (quantity,))[0] for z in (0.0, 1.0)) > 1e6
        for dtype in ("float32", *SIXTEEN_BITS):
            assert max(worst_narrow(implementation, backend, dtype, z, quantities=(quantity,))[0] for z in (0.0, 1.0)) > 100


@pytest.mark.parametrize("implementation", [implementation for implementation in PROMISING if implementation.promise.other], ids=named)
def test_a_promise_for_other_parameters_is_kept_in_float32(implementation):
    """A power multiplies the relative error of the sigmoid by its exponent: what is promised depends on the parameters."""
    loss = loss_named(implementation.loss)
    for changed in other_parameters(loss):
        allowed = implementation.promise.other(**loss.resolve(changed, FLOAT32))
        for z in loss.targets:
            for backend in backends_of(implementation):  # one after the other: `everywhere` remembers the last 64 questions
                error, logit, quantity = worst_narrow(implementation, backend, "float32", z, changed)

                assert error <= allowed, f"{quantity} at {logit.hex()}, target {z}, {changed}, {backend}"


# Class weights, and the soft gradient of bce ----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", *SIXTEEN_BITS])
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("pos_weight", [0.0, 0.3, 1.0, 2.5, 1000.0])
def test_a_class_weight_costs_no_accuracy_until_the_unweighted_term_is_subnormal(pos_weight, backend, dtype):
    """Within 4 ulp while w = 1 gives a normal number; below that, w times the two least subnormals it may be off by more."""
    form = FORMATS[dtype]
    xs = logits(dtype)
    for z in (0.0, 1.0):
        *values, params = run(BCE, STABLE_BCE, backend, dtype, xs, z, {"pos_weight": pos_weight})
        for quantity, got in zip(("loss", "grad"), values, strict=True):
            exact = bce_definition(quantity, xs, z, params)
            plain = bce_definition(quantity, xs, z, {"pos_weight": 1.0})
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
    _, got, params = run(BCE, STABLE_BCE, backend, dtype, xs, z, {"pos_weight": pos_weight})
    x = np.array(xs)
    larger = np.maximum((1 - z) * sigmoid(x), params["pos_weight"] * z * sigmoid(-x))
    unit = np.ldexp(1.0, np.maximum(np.frexp(larger)[1] - 1, form.emin) - (form.precision - 1))

    assert np.all(np.abs(got - bce_definition("grad", xs, z, params)) <= 4 * unit)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("z", [0.1, 0.7])
def test_the_soft_gradient_of_bce_is_within_4_ulp_of_its_larger_term_in_float64(z, backend):
    """The same in float64, against the exact oracle, with points close to the gradient's zero."""
    zero = math.log(z / (1 - z))
    xs = (*logits("float64"), *(FLOAT64.neighbour(zero, steps) for steps in range(-50, 51)))
    _, got, params = run(BCE, STABLE_BCE, backend, "float64", xs, z)
    for x, value in zip(xs, got.tolist(), strict=True):
        exact = exactly(BCE, "grad", x, z, params, FLOAT64)
        larger = float(max((1 - z) * sigmoid(x), z * sigmoid(-x)))
        unit = math.ldexp(1.0, FLOAT64.ulp_exponent(math.frexp(larger)[1] - 1))

        assert abs(ulp_error(value, exact, FLOAT64)) * math.ldexp(1.0, FLOAT64.ulp_exponent(exact.magnitude)) <= 4 * unit, x.hex()


def test_the_gradient_of_bce_beside_its_zero_at_0_is_not_lost():
    """At z = 1/2 it is tanh(x/2)/2: x/4 at x = 2^-36, which s(x)/2 - s(-x)/2 loses altogether."""
    question = listed(("bce",), (2.0**-36, -(2.0**-120)), (0.5,), impl=("stable",), quantities=("grad",))

    assert {(row.logits[0], row.value) for row in compare(question)} == {(2.0**-36, 2.0**-38), (-(2.0**-120), -(2.0**-122))}


# Where formulas break ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_the_gradient_of_bce_at_both_zeros_is_one_half(zero, dtype, backend):
    """1/2 for target 0 and -1/2 for target 1, not the 1 and 0 of clamp and abs; the loss is log 2."""
    for z, slope in ((0.0, 0.5), (1.0, -0.5), (0.5, 0.0)):
        loss, grad, _ = run(BCE, STABLE_BCE, backend, dtype, (zero,), z)

        assert grad[0] == slope
        assert loss[0] == FORMATS[dtype].round(math.log(2.0))


@pytest.mark.parametrize(("implementation", "backend"), on_its_backends(PROMISING))
@pytest.mark.parametrize("dtype", FORMATS)
def test_both_zeros_are_no_special_points(implementation, backend, dtype):
    """At +0 and -0, where clamp and abs have slopes of their own, loss and gradient keep the promise."""
    loss = loss_named(implementation.loss)
    for z in targets_of(loss):
        *values, params = run(loss, implementation, backend, dtype, (0.0, -0.0), z := FORMATS[dtype].round(z))
        for quantity, got in zip(QUANTITIES, values, strict=True):
            exact = exactly(loss, quantity, 0.0, z, params, FORMATS[dtype])
            for value in got.tolist():
                # At the minimum itself 0 is right, and nothing else is.
                assert (
                    value == 0 if exact.rounded == 0 else abs(ulp_error(value, exact, FORMATS[dtype])) <= implementation.promise.ulp[dtype]
                )


@pytest.mark.parametrize("implementation", PROMISING, ids=named)
@pytest.mark.parametrize("dtype", FORMATS)
def test_a_finite_exact_value_gives_a_finite_one(implementation, dtype):
    """Up to both largest floats, every target, one parameter changed at a time: no NaN and no infinity of its own making."""
    loss, form = loss_named(implementation.loss), FORMATS[dtype]
    for changed in ({}, *other_parameters(loss)):
        # With other parameters every seventh float: what overflows does so over a whole range of logits.
        xs = (*logits(dtype)[:: 7 if changed else 1], form.largest, -form.largest)
        for z in sorted({form.round(target) for target in loss.targets}):
            params = loss.resolve(changed, form)
            rights = [definition(loss, quantity, xs, z, params, form)[0] for quantity in QUANTITIES]
            for backend in backends_of(implementation):
                *values, _ = run(loss, implementation, backend, dtype, xs, z, changed)
                for quantity, got, right in zip(QUANTITIES, values, rights, strict=True):
                    within = ~(np.abs(right) > form.largest * (1 - 2.0**-6))
                    assert not np.isnan(got).any(), (quantity, z, changed, backend)
                    assert np.isfinite(got[within]).all(), (quantity, z, changed, backend)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", FORMATS)
def test_bce_is_finite_wherever_its_exact_value_is(dtype, backend):
    """Up to the largest float; a class weight that carries the exact loss past it gives inf there and nowhere else."""
    form = FORMATS[dtype]
    xs = logits(dtype)
    for z in (0.0, 0.1, 0.5, 1.0):
        for pos_weight in (1.0, 2.5):
            rounded = form.round(z)
            loss, grad, params = run(BCE, STABLE_BCE, backend, dtype, xs, rounded, {"pos_weight": pos_weight})
            with np.errstate(over="ignore"):
                exact = np.abs(bce_definition("loss", xs, rounded, params))

            assert np.isfinite(loss[exact < form.largest * (1 - 2.0**-6)]).all()
            assert not np.isnan(loss).any()
            assert np.isfinite(grad).all()


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("implementation", PROMISING, ids=named)
def test_an_infinite_logit_gives_the_limit(implementation, dtype):
    """At +inf and -inf both quantities are the limit of the definition, to the bit where no soft weight is rounded."""
    loss = loss_named(implementation.loss)
    for changed in ({}, *other_parameters(loss)):
        for z in targets_of(loss):
            rows = compare(
                listed((loss.name,), ("inf", "-inf"), (z,), impl=(implementation.name,), backends=BACKENDS, dtypes=(dtype,), params=changed)
            )

            assert len(rows) == 4 * len(set(BACKENDS) & set(implementation.backends))
            for row in rows:
                allowed = 4 if 0 < z < 1 else 0
                assert row.value == row.exact.rounded or abs(row.ulp) <= allowed, (row.backend, row.quantity, row.logits, z, changed)


@pytest.mark.parametrize("implementation", PROMISING, ids=named)
def test_a_nan_logit_gives_nan(implementation):
    """NaN in, NaN out, and that is `ok`."""
    for z in targets_of(loss_named(implementation.loss)):
        rows = compare(listed((implementation.loss,), ("nan",), (z,), impl=(implementation.name,), backends=BACKENDS))

        assert rows
        assert all(math.isnan(row.value) and row.outcome is Outcome.OK for row in rows)


# The check itself -------------------------------------------------------------------------------------------------


def test_the_logits_reach_every_range_of_ordinals():
    """A sampler stuck on one point would make every bound above hold."""
    for name, dtype in FORMATS.items():
        runs = {100 * dtype.ordinal(x) // (dtype.infinity_ordinal + 1) for x in logits(name)}

        assert runs == set(range(-100, 100))
        assert {0.0, dtype.largest, -dtype.largest, dtype.smallest_subnormal} <= set(logits(name))


@pytest.mark.parametrize("implementation", PROMISING, ids=named)
def test_the_reference_agrees_with_the_oracle(implementation):
    """Over a stratified sample the filter's values are the exact ones within the bound that it gives itself."""
    loss, xs = loss_named(implementation.loss), sorted(logits("float32"))[::997]
    params = loss.resolve({}, FLOAT32)
    for z in targets_of(loss):
        for quantity in QUANTITIES:
            values, bounds = definition(loss, quantity, xs, FLOAT32.round(z), params, FLOAT32)
            for x, value, bound in zip(xs, values.tolist(), bounds.tolist(), strict=True):
                exact = exactly(loss, quantity, x, FLOAT32.round(z), params, FLOAT64)
                if bound <= DECIDED and FLOAT64.smallest_normal <= abs(exact.rounded) < math.inf:
                    assert abs(ulp_error(value, exact, FLOAT64)) < 2**13
