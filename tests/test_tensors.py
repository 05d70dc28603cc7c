"""A dumped batch judged in bulk says what compare says element by element; sums are enclosed; blame is divided rightly."""

import functools
import math
import operator
import time
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from strategies import finite_floats, floats, formats, logits, losses, params, targets

from losscheck.callables.selection import select
from losscheck.core import registry
from losscheck.core.dtypes import BFLOAT16, FLOAT16, FLOAT32, FLOAT64
from losscheck.core.effect import Effect
from losscheck.core.error import ulp_error
from losscheck.core.exact import Exact, Kind
from losscheck.core.outcome import Outcome
from losscheck.core.reductions import exact_weights
from losscheck.core.registry import implementations, loss_named
from losscheck.core.request import dumped, listed
from losscheck.filter.classify import CODE
from losscheck.filter.pairs import Pairs, filter_pairs, part
from losscheck.measure import reduced as reduce
from losscheck.measure import reference
from losscheck.measure.batch import amount_of_work, judge_dump
from losscheck.measure.compare import compare
from losscheck.measure.reference import UNASKED, Budget, Claim, Judged, Reference, definition_of, distinct, formula_of
from losscheck.measure.summary import Summary, summarise
from losscheck.measure.sums import Total, sum_exactly
from losscheck.oracle.refine import Term, exact_value
from losscheck.points.batch import elements_of
from losscheck.points.load import Dump

RUNNING = [implementation for implementation in implementations() if implementation.backends != ("mpmath",)]


def dump_of(x, z, dtype, shape=None):
    wide = np.float64 if dtype is FLOAT64 else np.float32
    return Dump(np.array(x, wide), np.array(z, wide), shape or (len(x),), dtype, dtype.name)


def judged(loss, x, z, dtype, *, shape=None, block=2**15, **more):
    """The batch and its rows."""
    question = dumped((loss,), ("a.pt",), **{"dtypes": (dtype.name,), **more})
    (batch,), rows = judge_dump(question, select(question), dump_of(x, z, dtype, shape), block=block)
    return batch, rows


def only(rows):
    (row,) = rows
    return row


@st.composite
def batches(draw, most=40):
    """An implementation, a format, and a batch for it: NaN and infinite logits, targets of its domain, many of them equal."""
    one, dtype = draw(st.sampled_from(RUNNING)), draw(formats())
    loss = loss_named(one.loss)
    some = draw(st.lists(logits(dtype) | floats(dtype), min_size=1, max_size=6))
    x = draw(st.lists(st.sampled_from(some) | logits(dtype), min_size=1, max_size=most))
    z = [draw(targets(loss, dtype)) for _ in x]
    return one, dtype, x, z


def alone(one, dtype, x, z, backend, quantity):
    """What compare says of each element."""
    question = listed(
        losses=(one.loss,),
        logits=x,
        targets=z,
        impl=(one.name,),
        backends=(backend,),
        dtypes=(dtype.name,),
        quantities=(quantity,),
    )
    return compare(question)


def badness(point):
    """Severity, then |ulp|, NaN as infinite: a key that sorts, and equals itself."""
    return point.outcome.severity, -math.inf if math.isnan(point.ulp) else -abs(point.ulp)


# Against compare ------------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(batches())
def test_counts_first_and_worst_are_those_of_compare(batch):
    """Every outcome's count, the first element of each failing one, the worst one, through another route."""
    one, dtype, x, z = batch
    for row in judged(one.loss, x, z, dtype, impl=(one.name,), reduction="none")[1]:
        points = alone(one, dtype, x, z, row.backend, row.quantity)
        counts = {outcome: sum(point.outcome is outcome for point in points) for outcome in {point.outcome for point in points}}
        if row.reason and not row.counts:
            assert set(counts) == {Outcome.UNAVAILABLE}
            continue
        assert dict(row.counts) == counts
        failing = {point.outcome: n for n, point in reversed(list(enumerate(points))) if point.outcome.failed}
        assert {element.point.outcome: element.index for element in row.first} == {outcome: (n,) for outcome, n in failing.items()}
        told = [point for point in points if point.value is not None]
        severity, ulp = badness(row.worst[0].point)
        worst_severity, worst_ulp = min(map(badness, told))
        # The filter, which finds it, knows errors to so much of an ulp; which of two is worse by less is not told apart.
        assert severity == worst_severity and (ulp == worst_ulp or math.isclose(ulp, worst_ulp, rel_tol=1e-4, abs_tol=1e-4))
        assert all(repr(element.point) == repr(replace(points[element.index[0]], effect=None)) for element in (*row.worst, *row.first))
        tops = [math.inf if math.isnan(point.ulp) else abs(point.ulp) for point in told]
        assert math.isclose(row.max_ulp, max(tops), rel_tol=1e-4, abs_tol=1e-4)


@settings(max_examples=40)
@given(batches(), st.data())
def test_permuting_the_elements_permutes_the_indices(batch, data):
    """The same counts, and each first or worst element is where it went."""
    one, dtype, x, z = batch
    order = data.draw(st.permutations(range(len(x))))
    before = judged(one.loss, x, z, dtype, impl=(one.name,), reduction="none")[1]
    after = judged(one.loss, [x[n] for n in order], [z[n] for n in order], dtype, impl=(one.name,), reduction="none")[1]
    for a, b in zip(before, after, strict=True):
        assert (a.counts, a.max_ulp, a.deviating) == (b.counts, b.max_ulp, b.deviating)
        for one_worst, other in zip(a.worst, b.worst, strict=True):
            # Ten candidates are kept by the filter's ulp, which is within 2^-20 or so of the oracle's.
            (severity, ulp), (other_severity, other_ulp) = badness(one_worst.point), badness(other.point)
            assert severity == other_severity and math.isclose(ulp, other_ulp, rel_tol=1e-4, abs_tol=1e-5)
        for element in (*b.worst, *b.first):
            assert (repr(x[order[element.index[0]]]), z[order[element.index[0]]]) == (
                repr(element.point.logits[0]),
                element.point.targets[0],
            )


@settings(max_examples=25)
@given(batches(most=300), st.sampled_from([64, 128]))
def test_splitting_does_not_matter(batch, block):
    """Blocks of 64 and of everything give the same rows, to the last digit."""
    one, dtype, x, z = batch
    found = [judged(one.loss, x * 3, z * 3, dtype, impl=(one.name,), block=size) for size in (block, 2**15)]

    assert repr(found[0]) == repr(found[1])


@pytest.mark.parametrize("reduction", ["mean", "sum", "normalised", "published"])
@pytest.mark.parametrize("shape", [(24,), (24, 1), (2, 3, 4)])
@pytest.mark.parametrize("loss", registry.losses())
def test_the_reduced_loss_is_that_of_compare(loss, shape, reduction):
    """Value, exact value, definition, ulp and outcome of every implementation, in every shape."""
    rng = np.random.default_rng(3)
    x = (rng.standard_normal(24) * 6).astype(np.float32).tolist()
    z = (rng.random(24) < 0.3).astype(float).tolist()
    rows = judged(loss, x, z, FLOAT32, shape=shape, quantities=("loss",), reduction=reduction)[1]
    question = listed((loss,), x, z, quantities=("loss",), reduction=reduction, shape=shape)
    points = {(row.implementation, row.backend): row for row in compare(question)}

    assert len(rows) == len(points) - 1  # all but mpmath's
    for row in rows:
        point = points[row.implementation, row.backend]
        told = ("value", "exact", "definition", "ulp", "deviation", "outcome")
        for name in told if point.value is not None else ("value", "outcome", "reason"):
            assert repr(getattr(row.whole, name)) == repr(getattr(point, name)), name


# The filter and the sums ----------------------------------------------------------------------------------------------


@settings(max_examples=150)
@given(st.data(), losses(), formats())
def test_the_filter_with_targets_of_their_own_encloses_the_exact_value(data, loss, dtype):
    """Constants, arrays and forks alike: |v - exact| <= r |v|, asked of the oracle, for definitions and own formulas."""
    count = data.draw(st.integers(1, 12))
    x = np.array([data.draw(logits(dtype)) for _ in range(count)])
    z = np.array([data.draw(targets(loss, dtype)) for _ in range(count)])
    named = data.draw(params(loss, dtype))
    quantity = data.draw(st.sampled_from(["loss", "grad"]))
    one = data.draw(st.sampled_from([implementation for implementation in RUNNING if implementation.loss == loss.name]))
    for formula, differentiate in {definition_of(loss, quantity), formula_of(loss, one, quantity, dtype)}:
        values, bounds = filter_pairs(formula, x, z, part(z), named, dtype, differentiate)
        for logit, target, value, bound in zip(x.tolist(), z.tolist(), values.tolist(), bounds.tolist(), strict=True):
            # Near the ends of its own range float64 is left to the oracle, and the filter's word is not asked (measure/reference.py).
            if bound == math.inf or (dtype.bits == 64 and not 2.0**-900 < abs(value) < 2.0**900):
                continue
            exact = exact_value(formula, [Term(logit, target)], named, dtype, differentiate=differentiate)
            assume(exact.kind is Kind.FINITE and abs(exact.middle[1]) < 2**14)
            true = exact.middle[0] * Fraction(2) ** exact.middle[1]
            # Both round to 0 in every narrower format: down there float64 has no relative precision, and none is needed.
            both_vanish = dtype.bits < 64 and abs(value) < 2.0**-900 and abs(true) < Fraction(2) ** -900
            assert both_vanish or abs(Fraction(value) - true) <= Fraction(bound) * abs(Fraction(value))


@pytest.mark.parametrize("quantity", ["loss", "grad"])
@pytest.mark.parametrize("loss", registry.losses())
def test_the_filter_decides_thousands_of_distinct_targets(loss, quantity):
    """A heatmap of soft targets does not fall back to the oracle: not one in a thousand has a bound above 1e-10."""
    rng = np.random.default_rng(7)
    x, z = rng.standard_normal(20000) * 5, rng.random(20000).astype(np.float32).astype(np.float64)
    z[:5000], z[5000:9000] = 0, 1
    z = np.where(z < 0.5, 0.0, 1.0) if loss_named(loss).hard_targets else z
    formula, differentiate = definition_of(loss_named(loss), quantity)
    _, bounds = filter_pairs(formula, x, z, part(z), loss_named(loss).resolve({}, FLOAT32), FLOAT32, differentiate)

    assert (bounds > 1e-10).mean() < (0.001 if quantity == "loss" else 0.002)


def test_a_formula_that_asks_about_the_logit_is_answered_element_by_element():
    """Both branches are taken, each by its elements; where equality cannot be told the bound is infinite."""

    def formula(m, logit, target):
        if target * 2 < logit:
            return m.softplus(logit)
        return m.sigmoid(logit) if target == 0.5 else m.exp(logit) * target

    x, z = np.array([3.0, -3.0, -1.0, 2.5]), np.array([0.25, 0.5, 0.75, 0.25])
    values, bounds = filter_pairs(formula, x, z, part(z), {}, FLOAT32, False)

    assert np.allclose(values, [np.log1p(np.exp(3)), 1 / (1 + np.exp(3)), 0.75 * np.exp(-1), np.log1p(np.exp(2.5))])
    assert (bounds < 1e-12).all()


def test_part_knows_common_targets_and_the_rest():
    """Constants for those that many share, one array for the others, each element once."""
    z = np.concatenate([np.zeros(1000), np.ones(700), np.linspace(0.1, 0.9, 300)])
    np.random.default_rng(1).shuffle(z)
    parted = part(z)

    assert [target for target, _ in parted] == [0.0, 1.0, None]
    assert sorted(np.concatenate([where for _, where in parted]).tolist()) == list(range(2000))
    assert part(np.full(5, 0.5)) == [(0.5, None)]


def test_the_progress_of_a_dump_adds_up_to_its_work():
    """Blocks that do not divide it, two losses with several implementations, two dtypes."""
    question = dumped(("bce", "weighted-focal"), ("a.pt",), backends=("numpy",), dtypes=("float32", "float16"))
    selection, dump, told = select(question), dump_of([1.0] * 70, [1.0] * 70, FLOAT32), []
    judge_dump(question, selection, dump, told.append, block=32)

    assert sum(told) == amount_of_work(question, selection, dump) > 0
    assert len(told) == 3 * 4 and min(told) > 0


@given(st.lists(finite_floats(FLOAT64) | finite_floats(FLOAT32), max_size=40))
def test_a_sum_is_within_its_bound(terms):
    """Of the sum of fractions; sizes from the least subnormal to the largest float, cancelling or not."""
    total, error = sum_exactly(np.array(terms, np.float64))

    assert abs(total - sum(map(Fraction, terms))) <= Fraction(error) if math.isfinite(error) else True
    assert math.isfinite(error) or max(map(abs, terms)) > 2.0**980
    assert error <= sum(map(abs, terms)) * 2.0**-80 + 1


@pytest.mark.parametrize("spread", [0, 40])
def test_a_long_sum_is_within_its_bound(spread):
    """A bound of 2^-120 would do for a few terms: only among thousands do the errors of the errors show."""
    rng = np.random.default_rng(6)
    terms = rng.standard_normal(2**15) * 2.0 ** rng.integers(-spread, spread + 1, 2**15)
    total, error = sum_exactly(terms)
    off = abs(total - sum(map(Fraction, terms.tolist())))

    assert off <= Fraction(error) <= Fraction(float(abs(terms).sum())) / 2**89


def test_sums_in_float64_are_bounded_where_a_plain_sum_is_not():
    """The control: 1 + 2^-60 ten thousand times loses every small term without TwoSum."""
    terms = np.array([1.0] + [2.0**-60] * 10000)
    total, error = sum_exactly(terms)

    assert functools.reduce(operator.add, terms.tolist()) == 1.0
    assert abs(total - 1 - Fraction(10000, 2**60)) <= Fraction(error) < Fraction(1, 2**70)


@pytest.mark.parametrize(
    ("reduction", "shape"), [("mean", (500,)), ("sum", (2, 10, 25)), ("published", (2, 10, 25)), ("published", (500,))]
)
@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT16, BFLOAT16], ids=lambda value: value.name)
@pytest.mark.parametrize("loss", registry.losses())
def test_bulk_sums_agree_with_the_oracle(monkeypatch, loss, dtype, shape, reduction):
    """The float64 enclosure holds the oracle's value, rounds to the same float, and gives the same ulp and outcome."""
    rng = np.random.default_rng(11)
    x = [dtype.round(float(number)) for number in rng.standard_normal(500) * 6]
    z = [float(number < 0.3) if loss_named(loss).hard_targets or number < 0.4 else dtype.round(float(number)) for number in rng.random(500)]
    more = {"shape": shape, "quantities": ("loss",), "reduction": reduction}
    small = judged(loss, x, z, dtype, **more)[1]
    monkeypatch.setattr(reduce, "SMALL", 0)
    bulk = judged(loss, x, z, dtype, block=128, **more)[1]
    for a, b in zip(small, bulk, strict=True):
        assert (repr(a.whole.value), a.whole.outcome, a.whole.reason) == (repr(b.whole.value), b.whole.outcome, b.whole.reason)
        if a.whole.value is None:
            continue
        assert a.whole.method != b.whole.method
        assert a.whole.exact.rounded == b.whole.exact.rounded
        assert overlap(a.whole.exact, b.whole.exact) and overlap(a.whole.definition, b.whole.definition)
        if a.whole.ulp is not None and math.isfinite(a.whole.ulp):
            assert math.isclose(a.whole.ulp, b.whole.ulp, rel_tol=1e-4, abs_tol=1e-4)
        assert math.isclose(a.whole.deviation, b.whole.deviation, rel_tol=1e-6, abs_tol=1e-9)


def overlap(a, b):
    def number(each):
        return each[0] * Fraction(2) ** each[1]

    return a.kind is not Kind.FINITE or abs(number(a.middle) - number(b.middle)) <= number(a.radius) + number(b.radius)


@pytest.mark.parametrize("reduction", ["mean", "sum", "normalised", "published"])
@pytest.mark.parametrize("shape", [(60,), (60, 1), (4, 15)])
def test_weights_of_arrays_are_the_exact_ones(shape, reduction):
    """For every implementation: within half an ulp of float64 of the fractions."""
    z = [float(n % 3 == 0) if n > 15 else 0.0 for n in range(60)]
    elements = elements_of(dump_of([0.5] * 60, z, FLOAT32, shape), FLOAT32, ("a",))
    for implementation in RUNNING:
        loss = loss_named(implementation.loss)
        values = loss.resolve({}, FLOAT32)
        exact = exact_weights(loss, implementation, reduction, z, shape, values)
        found = reduce.weights_of(loss, implementation, reduction, elements, values)
        if found.uniform is not None:
            assert set(exact) == {found.uniform}
        else:
            assert found.by_element.tolist() == [float(weight) for weight in exact]


# Blame ----------------------------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(batches())
def test_the_two_parts_add_up_to_the_whole_error(batch):
    """element_ulp + reduction_ulp = ulp wherever all are finite, and the elements' part is that of their exact sum."""
    one, dtype, x, z = batch
    for row in judged(one.loss, x, z, dtype, impl=(one.name,), quantities=("loss",), reduction="mean")[1]:
        whole = row.whole
        if whole is None or whole.reduction_ulp is None or not all(map(math.isfinite, (whole.ulp, whole.element_ulp, whole.reduction_ulp))):
            continue
        assert math.isclose(whole.element_ulp + whole.reduction_ulp, whole.ulp, rel_tol=1e-6, abs_tol=1e-6 * abs(whole.element_ulp) + 1e-9)
        values = [result.value for result in alone(one, dtype, x, z, row.backend, "loss")]
        assert whole.elements == dtype.round_fraction(sum(map(Fraction, values)) / len(values))


def test_a_float16_sum_that_overflows_is_the_reductions_fault():
    """20000 losses of 5 divided by 10: the sum of 100000 is beyond float16, the result of 10^4 is not."""
    x, z = [-5.0] * 10 + [5.0] * 19990, [1.0] * 10 + [0.0] * 19990
    whole = only(judged("bce", x, z, FLOAT16, impl=("stable",), backends=("torch",), quantities=("loss",), reduction="normalised")[1]).whole

    assert (whole.value, whole.outcome) == (math.inf, Outcome.INF)
    assert abs(whole.element_ulp) < 1 and whole.reduction_ulp == math.inf
    assert abs(whole.elements / 10013 - 1) < 2e-3


def test_a_bfloat16_sum_that_loses_small_terms_is_the_reductions_fault():
    """numpy adds bfloat16 in bfloat16: 4096 times ln 2 stops growing; the elements themselves are right."""
    whole = only(
        judged("bce", [0.0] * 4096, [0.0] * 4096, BFLOAT16, impl=("stable",), backends=("numpy",), quantities=("loss",), reduction="sum")[1]
    ).whole

    assert whole.value < 2839 / 2 and whole.outcome is Outcome.INACCURATE
    assert abs(whole.element_ulp) < 1 < 50 < abs(whole.reduction_ulp)


def test_one_nan_element_is_the_elements_fault():
    """The whole is NaN, and so is the exact sum of the elements as they were computed."""
    x, z = [0.5] * 99 + [17.0], [0.0] * 99 + [1.0]
    rows = judged("centernet-heatmap", x, z, FLOAT32, impl=("centernet-neg-loss",), shape=(10, 10))[1]
    whole = rows[0].whole

    assert (rows[0].first[0].index, rows[0].first[0].point.outcome) == ((9, 9), Outcome.NAN)
    assert whole.outcome is Outcome.NAN
    assert math.isnan(whole.elements) and math.isnan(whole.element_ulp) and whole.reduction_ulp is None


def test_a_whole_that_is_no_sum_of_its_elements_is_not_divided():
    """WeightedFocalLoss on [N, 1] weighs every element by all the weights."""
    whole = only(
        judged("weighted-focal", [1.0, 2.0], [1.0, 0.0], FLOAT32, impl=("weighted-focal-loss",), shape=(2, 1), quantities=("loss",))[1]
    ).whole

    assert whole.outcome is Outcome.OK and whole.deviation != 0
    assert whole.element_ulp is whole.reduction_ulp is None
    assert "[N, N]" in whole.note


# What is odd ----------------------------------------------------------------------------------------------------------


def test_targets_outside_are_left_out_and_said():
    """They spoil no count, cannot make BCELoss refuse its block, and the whole has no exact value."""
    x, z = [0.5, 17.0, 0.25, 1.0], [0.0, 255.0, math.nan, 1.0]
    for row in judged("bce", x, z, FLOAT32, shape=(2, 2))[1]:
        assert (row.judged, sum(row.counts.values())) == (2, 2)
        assert row.quantity == "grad" or "outside" in row.whole.reason or "RuntimeError" in row.whole.reason
        assert {element.index for element in row.worst} == {(0, 0), (1, 1)}


def test_nan_logits_are_right_as_nan():
    """NaN in, NaN out is ok, also for the whole; a number would be a fault."""
    for row in judged("bce", [math.nan, 0.5], [0.0, 1.0], FLOAT32, impl=("stable",))[1]:
        assert dict(row.counts) == {Outcome.OK: 2}
        assert row.whole is None or (row.whole.outcome is Outcome.OK and math.isnan(row.whole.value))


def test_elements_that_an_implementation_refuses_do_not_take_the_others_along():
    """BCELoss raises on NaN: a thousand of them in a batch of 3000 cost a few calls and are counted as unavailable."""
    rng = np.random.default_rng(2)
    x = rng.standard_normal(3000)
    x[::3] = math.nan
    start = time.perf_counter()
    row = judged("bce", x, [0.0, 1.0, 0.0] * 1000, FLOAT32, impl=("torch-sigmoid-bceloss",), block=1024)[1][0]

    assert row.counts[Outcome.UNAVAILABLE] == 1000 and row.judged == 3000
    assert sum(row.counts.values()) == 3000
    assert "RuntimeError" in row.reason and "RuntimeError" in row.whole.reason
    assert time.perf_counter() - start < 60


def test_an_implementation_that_refuses_everything_is_unavailable():
    """A parameter it ignores, a device that is not there, an exception for every element."""
    row = judged("bce", [0.5] * 5000, [0.0] * 5000, FLOAT32, impl=("torch-sigmoid-bceloss",), params={"pos_weight": 2.0})[1][0]
    nans = judged("bce", [math.nan] * 5000, [0.0] * 5000, FLOAT32, impl=("torch-sigmoid-bceloss",))[1][0]

    assert not row.counts and "takes no pos_weight" in row.reason
    assert not nans.counts and "RuntimeError" in nans.reason


def test_the_slow_definition_by_another_route_is_judged_when_named():
    """mpmath takes minutes for what others do in seconds: `*` leaves it out, its name or its backend does not."""
    x, z = [0.5, -2.0], [0.0, 1.0]
    for impl, backends, wanted in (
        ((), (), False),
        (("*",), (), False),
        (("mp*",), (), True),
        ((), ("mpmath",), True),
        (("mpmath", "*"), (), True),
    ):
        rows = judged("bce", x, z, FLOAT32, impl=impl, backends=backends)[1]
        assert any(row.implementation == "mpmath" for row in rows) == wanted
        assert all(row.counts[Outcome.OK] == 2 for row in rows if row.implementation == "mpmath")


def test_deviating_elements_are_counted_and_the_farthest_is_named():
    """The floor of BCELoss beyond logit 100: two elements of five, the second the farther."""
    x = [0.5, 150.0, 3.0, 300.0, -2.0]
    row = judged("bce", x, [0.0] * 5, FLOAT32, impl=("torch-sigmoid-bceloss",), quantities=("loss",))[1][0]

    assert (row.deviating, row.deviation.index) == (2, (3,))
    assert math.isclose(row.deviation.point.deviation, 100 / 300 - 1)


def test_float64_beyond_the_budget_is_a_sample_and_never_a_guess(monkeypatch):
    """Gross failures are all found, what looks odd is asked first, and the rest is undecided, counted and in no list."""
    monkeypatch.setattr(reference, "MOST_ASKED", 64)
    monkeypatch.setattr(reduce, "SMALL_FLOAT64", 0)
    x = np.random.default_rng(4).standard_normal(2000) * 3
    x[1234] = -40.0
    row = only(judged("bce", x, [0.0] * 2000, FLOAT64, impl=("torch-bce-with-logits",), quantities=("loss",), block=256)[1])

    assert row.first[0].point.outcome is Outcome.LOST and row.first[0].index == (1234,)
    assert row.counts[Outcome.LOST] == 1
    assert 1700 < row.unasked <= row.counts[Outcome.UNDECIDED] < 2000 and sum(row.counts.values()) == 2000
    assert all(element.point.outcome is not Outcome.UNDECIDED for element in row.worst)
    assert row.whole.outcome in (Outcome.UNDECIDED, Outcome.INACCURATE)
    assert row.whole.value is not None and row.whole.exact.kind is Kind.FINITE


def settled(x, values, budget):
    """Elements of a formula that is the logit itself, none of which the filter decides; which of them the oracle was asked."""
    exact, nothing = Reference({}, FLOAT64, "flint", 8.0), (np.full(len(x), np.nan), np.full(len(x), np.inf))
    asked = []
    claim = Claim(lambda m, logit, target: asked.append(logit) or logit, False)
    found = exact.classify(np, values, nothing)
    exact.settle(np, found, claim, x, x * 0, values, budget)
    return found, asked


def test_what_looks_odd_is_asked_first():
    """Four NaN and zeros among 100 values, and room for 10 questions: all four are asked."""
    values = np.ones(100)
    values[[5, 50, 77, 99]] = [math.nan, 0.0, math.inf, -0.0]
    found, asked = settled(np.arange(1.0, 101.0), values, Budget(100, 10))

    assert (found.codes[[5, 50, 77, 99]] != UNASKED).all()
    assert found.settled == (found.codes != UNASKED).sum() == len(asked) == 10


def test_equal_elements_are_asked_once():
    """A float64 batch of 5000 equal logits costs one question for each value."""
    x = np.full(5000, 0.5)
    found, asked = settled(x, x, Budget(5000, 10))

    assert len(asked) == 1 and found.settled == 5000 and (found.codes == CODE[Outcome.OK]).all()


def test_a_nan_logit_is_right_as_nan_and_costs_no_question():
    """A poisoned batch that spends the budget on elements whose answer is known."""
    x = np.full(3, math.nan)
    found, asked = settled(x, np.array([math.nan, 1.0, math.inf]), Budget(3, 3))

    assert found.codes.tolist() == [CODE[outcome] for outcome in (Outcome.OK, Outcome.INACCURATE, Outcome.INACCURATE)]
    assert (found.settled, asked) == (0, [])


@given(st.lists(st.tuples(floats(FLOAT64), floats(FLOAT64)), min_size=1, max_size=30), st.integers(0, 20))
def test_distinct_rows_are_those_whose_bits_differ(rows, repeats):
    """NaN equals NaN, +0 is not -0, and every row finds its equal."""
    array = np.array((rows + rows[:repeats]), np.float64)
    unique, inverse = distinct(array)

    assert unique[inverse].tobytes() == array.tobytes()
    assert len(unique) == len({row.tobytes() for row in array})


def test_distinct_survives_colliding_numbers(monkeypatch):
    """Rows that the one number cannot tell apart are told apart by their bits."""
    array = np.array([[1.0, 2.0], [3.0, 4.0], [1.0, 2.0]])
    monkeypatch.setattr(np, "uint64", np.uint64)
    original = np.unique
    monkeypatch.setattr(np, "unique", lambda a, **more: original(a if "axis" in more else np.zeros_like(a), **more))
    unique, inverse = distinct(array)

    assert len(unique) == 2 and (unique[inverse] == array).all()


@pytest.mark.parametrize(
    ("impl", "effect", "shown"),
    [
        ("torch-sigmoid-bceloss", Effect.DEAD, (0.0, 1.0)),
        ("torch-bce-with-logits", Effect.TAILS, (0.0, 3.059e-7)),
        ("naive", Effect.POISONS, (math.inf, 17.0)),
    ],
)
def test_the_effect_of_a_batch_is_that_of_its_worst_element(impl, effect, shown):
    """Loss and gradient of each element judged together; NaN and infinite logits, and what is refused, have no effect."""
    x = [0.5, 17.0, -3.0, 16.9, math.nan, math.inf, -15.0]
    loss, grad = judged("bce", x, [0.0, 0, 1, 0, 0, 1, 0], FLOAT32, impl=(impl,), backends=("torch",), reduction="none")[1]
    (point,) = alone(named(impl), FLOAT32, [loss.effect.logit], [loss.effect.target], "torch", "loss")

    assert loss.effect == grad.effect and loss.effect.effect is effect
    assert loss.effect.effect is point.effect.effect or point.effect.effect.severity > effect.severity
    assert (loss.effect.value, loss.effect.exact) == (shown[0], pytest.approx(shown[1], rel=1e-3))


def named(name):
    return next(implementation for implementation in RUNNING if (implementation.loss, implementation.name) == ("bce", name))


def test_a_wrong_filter_is_caught(monkeypatch):
    """The control of the checked sample: a filter that errs by 1% disagrees with the oracle."""
    original = Pairs.filtered

    def off(*words):
        value, bound = original(*words)
        return value * 1.01, bound

    x, z = np.linspace(-5, 5, 500), [0.0] * 500
    right = judged("bce", x, z, FLOAT32, impl=("stable",))[1]
    monkeypatch.setattr(Pairs, "filtered", off)
    wrong = judged("bce", x, z, FLOAT32, impl=("stable",))[1]

    assert all(row.wrong == 0 < row.checked for row in right)
    assert all(row.wrong > 100 for row in wrong)


def test_the_worst_of_a_batch_are_by_severity_then_size_then_place():
    """Also when they come in many blocks, and when more than ten tie."""
    codes = np.array([CODE[Outcome.OK]] * 50 + [CODE[Outcome.INACCURATE]] * 30 + [CODE[Outcome.NAN]] * 2 + [UNASKED] * 5)
    ulps = np.concatenate([np.linspace(0, 1, 50), [9.0] * 15, [11.0] * 15, [math.nan] * 2, [1e9] * 5])
    summary = Summary()
    for start in range(0, 87, 20):
        piece = slice(start, start + 20)
        block = Judged(codes[piece], ulps[piece])
        summary = summary.merge(summarise(np, block, np.arange(87)[piece], (ulps[piece], None), by_severity=True))

    assert [case.position for case in summary.worst] == [80, 81, 65, 66, 67, 68, 69, 70, 71, 72]
    assert summary.unasked == summary.counts[CODE[Outcome.UNDECIDED]] == 5 and sum(summary.counts) == summary.points == 87
    assert {code: case.position for code, case in summary.first.items()} == {CODE[Outcome.INACCURATE]: 50, CODE[Outcome.NAN]: 80}
    assert summary.top == math.inf


@pytest.mark.parametrize("codes", [[9, 9, 9], [9, 6, 6], [6, 6, UNASKED], [9] * 11, [6] * 12 + [9] * 3, [9] * 12 + [0] * 3])
def test_the_worst_of_a_few_are_named_once(codes):
    """The same element twice in a row's worst, or one that is not among the worst."""
    ulps = [float(n * 7 % len(codes)) for n in range(len(codes))]
    found = summarise(np, Judged(np.array(codes), np.array(ulps)), np.arange(len(codes)), (np.array(ulps), None), by_severity=True)
    asked = [n for n, code in enumerate(codes) if code != UNASKED]

    assert [case.position for case in found.worst] == sorted(asked, key=lambda n: (codes[n], -ulps[n]))[:10]


@pytest.mark.parametrize("count", [1, 511, 512, 513, 5000])
def test_elements_are_parted_by_their_target(count):
    """A target that many share judged with others', an element in two parts or in none."""
    rng = np.random.default_rng(count)
    targets = rng.choice([0.0, 1.0, 0.1, 0.5, rng.random()], count, p=[0.3, 0.2, 0.2, 0.1, 0.2])
    targets = np.where(rng.random(count) < 0.1, rng.random(count), targets)
    parted = part(targets)
    places = [np.arange(count) if where is None else where for _, where in parted]

    assert sorted(np.concatenate(places).tolist()) == list(range(count))
    for (target, _), where in zip(parted, places, strict=True):
        if target is None:
            assert max(np.unique(targets[where], return_counts=True)[1]) < 512
        else:
            assert (targets[where] == target).all()


def test_a_total_knows_what_is_no_number():
    """inf - inf is NaN; a negative weight turns an infinity over; unknown terms leave it undecided."""
    total = Total()
    total.add(np.array([1.0, math.inf]))
    assert total.value == math.inf and total.times(Fraction(-1)).value == -math.inf
    total.add(np.array([-math.inf]))
    assert math.isnan(total.value)
    unknown = Total()
    unknown.add_exact(Exact(Kind.UNDECIDED, math.nan), Fraction(1))
    assert unknown.exact(FLOAT32)[0].kind is Kind.UNDECIDED


# A heatmap ------------------------------------------------------------------------------------------------------------


def heatmap(shape, seed=0):
    """Logits and gaussian peaks as CenterNet trains on them, with one poisoned cell: [0, 3, 17, 5]."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=generator) * 2 - 5
    line = torch.arange(float(shape[-1]))
    z = torch.zeros(shape)
    for n in range(shape[0] * 6):
        row, column = torch.randint(shape[-1], (2,), generator=generator)
        bump = torch.exp(-((line[:, None] - row) ** 2 + (line[None] - column) ** 2) / 18)
        z[n % shape[0], n % shape[1]] = torch.maximum(z[n % shape[0], n % shape[1]], torch.where(bump < 1e-3, 0, bump))
    x[z == 1] = 2.0
    x[0, 3, 17, 5], z[0, 3, 17, 5] = 17.4, 1.0
    return x, z


def test_one_poisoned_cell_of_a_heatmap_is_named_in_seconds():
    """[2, 8, 64, 64], hundreds of distinct soft targets: the NaN of CenterNet's loss has one cell, and it is said which."""
    x, z = heatmap((2, 8, 64, 64))
    start = time.perf_counter()
    loss, grad = judged(
        "centernet-heatmap", x.flatten().numpy(), z.flatten().numpy(), FLOAT32, shape=tuple(x.shape), impl=("centernet-neg-loss",)
    )[1]

    assert loss.counts[Outcome.NAN] == grad.counts[Outcome.NAN] == 1
    assert loss.first[0].index == grad.first[0].index == (0, 3, 17, 5)
    assert math.isnan(loss.first[0].gradient) and math.isnan(loss.whole.value)
    assert loss.settled < 500 and loss.wrong == grad.wrong == 0
    assert abs(ulp_error(loss.whole.exact.rounded, loss.whole.exact, FLOAT32)) <= 0.5
    assert time.perf_counter() - start < 30


def test_the_gradient_beside_a_loss_is_that_element_s():
    """Not that of another place in the block."""
    x, z = heatmap((1, 4, 32, 32))
    row = judged(
        "centernet-heatmap", x.flatten().numpy(), z.flatten().numpy(), FLOAT32, shape=tuple(x.shape), impl=("naive",), backends=("torch",)
    )[1][0]
    for element in row.worst:
        one = next(
            implementation for implementation in RUNNING if (implementation.loss, implementation.name) == ("centernet-heatmap", "naive")
        )
        point = alone(one, FLOAT32, element.point.logits, element.point.targets, "torch", "grad")
        assert repr(point[0].value) == repr(element.gradient)
        assert repr(element.loss) == repr(element.point.value)
