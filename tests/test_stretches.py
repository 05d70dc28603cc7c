"""Stretches of floats judged by a polynomial: its bound holds, and the verdict is that of the filter, float by float."""

import functools
import itertools
import math
import random
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from losscheck.core import registry
from losscheck.core.dtypes import FLOAT32
from losscheck.core.effect import EFFECTS, Scale, effect_rules
from losscheck.core.exact import Kind
from losscheck.core.outcome import Outcome
from losscheck.core.request import swept as asked_over
from losscheck.filter import polynomial_kernels as kernels
from losscheck.filter.classify import CODE, Limits
from losscheck.filter.ranges import RANGES, Beside, Interval
from losscheck.filter.stretches import Stretches
from losscheck.measure.compiled import CompiledEngine
from losscheck.measure.engine import ArrayEngine
from losscheck.measure.engines import References, call_of, effects_of, streams_of
from losscheck.measure.reference import formula_of
from losscheck.measure.sweep import tasks_of
from losscheck.oracle.local import NotAnalyticError, series_of
from losscheck.oracle.refine import Term, exact_value

LIMITS = Limits.of(FLOAT32, 8.0)


def claims():
    """Each loss's definition, each own formula, and the derivative of each, with the loss."""
    found = {}
    for implementation in registry.implementations():
        if implementation.loss == "*":
            continue
        loss = registry.loss_named(implementation.loss)
        for quantity in ("loss", "grad"):
            formula, differentiate = formula_of(loss, implementation, quantity, FLOAT32)
            found[formula, differentiate] = (loss, formula, differentiate)
        found[loss.formula, True] = (loss, loss.formula, True)
    return list(found.values())


@functools.lru_cache(maxsize=512)
def stretches_of(formula, differentiate, target, params):
    return Stretches(formula, differentiate, target, dict(params), FLOAT32, LIMITS)


def parameters(loss):
    """Values of every parameter that a loss may take, the defaults among them."""
    return st.fixed_dictionaries(
        {
            parameter.name: st.just(parameter.default)
            | st.sampled_from(
                [value for value in (parameter.low, 0.3, 1.0, 2.5, 7.5, *((2.0, 3.0) if parameter.words else ())) if parameter.takes(value)]
            )
            for parameter in loss.parameters
        }
    )


ORDINALS = st.integers(FLOAT32.ordinal(-120.0), FLOAT32.ordinal(120.0)) | st.integers(
    -FLOAT32.infinity_ordinal, FLOAT32.infinity_ordinal - 1
)


@settings(max_examples=150)
@given(st.data())
def test_the_exact_value_lies_within_the_bound_of_the_polynomial(data):
    """A remainder that is only estimated, a kink that is missed, a rounding of Horner's scheme that is not counted."""
    loss, formula, differentiate = data.draw(st.sampled_from(claims()))
    params = loss.resolve(data.draw(parameters(loss)), FLOAT32)
    target = data.draw(st.sampled_from([0.0, 1.0] if loss.hard_targets else [0.0, 0.25, 0.3, 0.5, 1.0]).map(FLOAT32.round))
    ordinal = data.draw(ORDINALS)
    stretch = stretches_of(formula, differentiate, target, tuple(params.items())).at(ordinal)
    assert stretch.first <= ordinal < stretch.first + stretch.count
    if stretch.table is None:
        return
    rng = random.Random(ordinal)
    edges = [start + beside for start in stretch.table.starts.tolist() for beside in (-1, 0)]
    inside = {ordinal - stretch.first, *rng.sample(edges, min(len(edges), 6)), *(rng.randrange(stretch.count) for _ in range(6))}
    positions = np.array(sorted(at for at in inside if 0 <= at < stretch.count))
    values, bounds = np.empty(len(positions)), np.empty(len(positions))
    kernels.exact_at(positions, 0, stretch.table, values, bounds)
    for at, value, bound in zip(positions.tolist(), values.tolist(), bounds.tolist(), strict=True):
        logit = FLOAT32.from_ordinal(stretch.first + at)
        exact = exact_value(formula, [Term(logit, target)], params, FLOAT32, differentiate=differentiate)
        if exact.kind is not Kind.FINITE or math.isinf(bound):
            continue
        row = int(np.searchsorted(stretch.table.starts, at, "right")) - 1
        if exact.magnitude < -2000:  # nothing, to every number here; as a fraction it would fill the memory
            assert bound >= 1 or abs(value) < 2.0**-900, (logit.hex(), target, params, value, bound)
            continue
        known = dyadic(exact.middle)
        where = (logit.hex(), target, params, value, bound, exact.decimal())
        assert abs(Fraction(value) - known) <= Fraction(bound) * abs(Fraction(value)) + dyadic(exact.radius), where
        assert Fraction(float(stretch.table.lowest[row])) <= known <= Fraction(float(stretch.table.highest[row])), where


@pytest.mark.parametrize("loss", registry.losses())
def test_what_a_short_series_leaves_out_is_bounded(loss):
    """A remainder that is dropped, or taken too small: of a few terms on a wide stretch it is nearly all of the error."""
    chosen, half = registry.loss_named(loss), 2.0**-4
    params, outside = chosen.resolve({}, FLOAT32), 0
    for target, middle, differentiate, terms in itertools.product(chosen.targets, (-2.5, -0.5, 1.25, 6.0), (False, True), (2, 3, 5)):
        target = FLOAT32.round(target)
        try:
            series = series_of(chosen.formula, middle, half, target, params, FLOAT32, differentiate, terms=terms)
        except NotAnalyticError:
            continue
        for s in (Fraction(-1), Fraction(-5, 8), Fraction(3, 16), Fraction(1)):
            logit = float(middle + half * s)
            exact = exact_value(chosen.formula, [Term(logit, target)], params, FLOAT32, differentiate=differentiate)
            apart = abs(sum(Fraction(c) * s**k for k, c in enumerate(series.coefficients)) - dyadic(exact.middle)) - dyadic(exact.radius)
            rounding = sum(map(Fraction, series.errors))
            assert apart <= rounding + Fraction(series.rest), (target, middle, differentiate, terms, s)
            outside += apart > rounding
    assert outside, "the remainder never counted"


def dyadic(number):
    mantissa, exponent = number
    return Fraction(mantissa) * Fraction(2) ** exponent


@pytest.mark.parametrize("loss", registry.losses())
def test_nearly_all_floats_lie_on_a_polynomial(loss):
    """A bound so wide, or a refusal so hasty, that every float goes to the slow filter."""
    chosen = registry.loss_named(loss)
    params = tuple(chosen.resolve({}, FLOAT32).items())
    for target in chosen.targets:
        for formula in (chosen.formula, chosen.gradient):
            stretches = stretches_of(formula, False, FLOAT32.round(target), params)
            for low, high in ((-130.0, -0.25), (0.25, 130.0), (1e-40, 1e-38), (-1e30, -1e29)):
                first, last = FLOAT32.ordinal(FLOAT32.round(low)), FLOAT32.ordinal(FLOAT32.round(high))
                uncovered = sum(stretch.count for stretch in stretches.over(first, last - first) if stretch.table is None)
                # A few least stretches lie beside a zero inside the range, as that of the asymmetric loss at its margin.
                assert uncovered < max(2**17, (last - first) // 256), (target, formula.__name__, low)


# The engine against arrays ---------------------------------------------------------------------------------------------

PLACES = {
    "a binade's edge": 8.0,
    "the float where PyTorch's loss is 0": -16.636,
    "interleaving": -9.2,
    "sound and inaccurate": -1.3,
    "both sides of 0": -1e-43,
    "subnormal results": -88.0,
    "results that round to 0": -104.2,
    "BCELoss's floor": 99.99,
    "a sigmoid that rounds to 1": 16.63,
    "overflow of exp": 88.72,
}
FLOATS = 2**15


def task_of(loss, impl, target, low="-inf", high="inf", **more):
    (task,) = tasks_of(asked_over((loss,), low, high, impl=(impl,), backends=("torch",), targets=(target,), exhaustive=True, **more))
    return task


def scanned(engine_class, task, first, count=FLOATS):
    references = References()
    streams, effects = streams_of(task, references), effects_of(task, references)
    return engine_class(call_of(task), streams, task.grid, effects).scan(first, first + count - 1)


def decided(summary):
    """What has to agree to the bit."""
    return {
        "counts": summary.counts,
        "histogram": summary.histogram,
        "segments": {code: rows.tolist() for code, rows in summary.segments.items()},
        "first": {code: case.position for code, case in sorted(summary.first.items())},
        "profile": summary.profile_code,
        "wrong": summary.wrong,
    }


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("loss", "impl", "target"),
    [
        ("bce", "torch-bce-with-logits", "0"),
        ("bce", "torch-sigmoid-bceloss", "0.3"),
        ("bce", "naive", "1"),
        ("weighted-focal", "weighted-focal-loss", "0"),
    ],
)
def test_every_float_is_judged_as_by_arrays(place, loss, impl, target):
    """An outcome, an effect, a bucket or a region that the polynomial's shortcuts decide otherwise than the rules do."""
    task = task_of(loss, impl, target)
    first = FLOAT32.ordinal(FLOAT32.round(PLACES[place])) - FLOATS // 2
    expected, found = (scanned(engine, task, first) for engine in (ArrayEngine, CompiledEngine))

    assert set(found) == {"loss", "grad", "effect"}
    for quantity, summary in found.items():
        assert decided(summary) == decided(expected[quantity]), quantity
        for name in ("top", "loss_error", "grad_error"):
            ours, theirs = getattr(summary, name), getattr(expected[quantity], name)
            assert ours == theirs or ours == pytest.approx(theirs, rel=1e-6, abs=2.0**-23) or theirs > FLOAT32.largest, (quantity, name)


@pytest.mark.parametrize("loss", registry.losses())
def test_every_definition_meets_arrays_at_its_landmarks(loss):
    """A kink, a zero or a pole of one loss that the others do not have."""
    chosen = registry.loss_named(loss)
    for target in chosen.targets:
        task = task_of(loss, "stable", repr(FLOAT32.round(target)))
        for mark in {0.0, 1.0, -17.3, 87.3}:
            first = FLOAT32.ordinal(FLOAT32.round(mark)) - 2**12
            expected, found = (scanned(engine, task, first, 2**13) for engine in (ArrayEngine, CompiledEngine))
            for quantity, summary in found.items():
                assert decided(summary) == decided(expected[quantity]), (target, mark, quantity)


def test_one_float_of_four_million_that_is_wrong_is_found():
    """A tile called sound by its end points, or a largest size that is not taken over all of it."""
    task = task_of("bce", "stable", "0", low="5", high="8", quantities=("loss",))
    honest, at = call_of(task), task.grid.first + 1234567

    def call(logits):
        loss = honest(logits).loss
        wrong = np.float32(FLOAT32.from_ordinal(at))
        return np.where(logits == wrong, loss * np.float32(1 + 2.0**-19), loss), None

    references = References()
    engine = CompiledEngine(call, streams_of(task, references), task.grid, effects_of(task, references))
    found = engine.scan(task.grid.first, task.grid.first + 2**22 - 1)["loss"]

    assert found.counts[CODE[Outcome.INACCURATE]] == 1 and found.counts[CODE[Outcome.OK]] == 2**22 - 1
    assert found.segments[CODE[Outcome.INACCURATE]].tolist() == [[at, at, 1]] and found.worst[0].position == at


def test_a_scan_does_not_depend_on_the_scans_before_it():
    """A shortcut that remembers: a sweep that was interrupted would come out otherwise than one that was not."""
    task = task_of("bce", "torch-sigmoid-bceloss", "0")
    references = References()
    engines = [CompiledEngine(call_of(task), streams_of(task, references), task.grid, effects_of(task, references)) for _ in range(2)]
    first = FLOAT32.ordinal(-17.0)
    engines[0].scan(FLOAT32.ordinal(16.0), FLOAT32.ordinal(16.0) + 2**19)
    found = [{name: summary.to_json() for name, summary in engine.scan(first, first + 2**19).items()} for engine in engines]

    assert found[0] == found[1]


# Rules asked of ranges -------------------------------------------------------------------------------------------------

SCALE = Scale(1.0, math.log(2), FLOAT32, FLOAT32)
NUMBERS = st.floats(-1e3, 1e3) | st.sampled_from([0.0, 1e38, -1e39, 2.0**-10, math.inf])


@given(st.data())
def test_the_effect_of_a_point_is_one_of_those_of_its_range(data):
    """A comparison that is called certain and is not."""
    sides = []
    points = []
    for _ in range(2):
        low, high = sorted(data.draw(st.lists(NUMBERS.filter(math.isfinite), min_size=2, max_size=2)))
        error = data.draw(st.sampled_from([0.0, 1e-9, 1e-3, 0.1, 10.0]))
        exact = data.draw(st.floats(low, high))
        value = exact + data.draw(st.floats(-error, error))
        if abs(value - exact) > error:  # rounded
            value = exact
        sides += [Beside(box := Interval(low, high), error), box]
        points += [value, exact]
    failed = data.draw(st.booleans())
    answer = effect_rules(RANGES, *sides, failed, SCALE)
    low, high = (answer.low, answer.high) if isinstance(answer, Interval) else (answer, answer)
    namespace = type("floats", (), {"where": staticmethod(lambda c, a, b: a if c else b), "absolute": staticmethod(abs)})

    assert low <= effect_rules(namespace, *points, failed, SCALE) <= high < len(EFFECTS)
