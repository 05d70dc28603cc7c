"""A sweep is right about every float it claims to cover: held against the exact oracle and the framework, float by float."""

import functools
import itertools
import math
import types
from dataclasses import replace

import pytest

from losscheck.backends import Invocation, backend_named
from losscheck.core import registry
from losscheck.core.dtypes import BFLOAT16, FLOAT16, FLOAT32, FLOAT64, FORMATS
from losscheck.core.error import classify, ulp_error
from losscheck.core.errors import UserError
from losscheck.core.loss import Implementation, logistic_landmarks
from losscheck.core.outcome import FAILURES, Outcome
from losscheck.core.request import swept as asked_over
from losscheck.filter.classify import BUCKETS, CODES
from losscheck.filter.running_error import RunningErrorArithmetic
from losscheck.measure.compiled import CompiledEngine
from losscheck.measure.engine import ArrayEngine
from losscheck.measure.engines import References, call_of, device_call_of, effects_of, streams_of
from losscheck.measure.reference import formula_of
from losscheck.measure.summary import Summary
from losscheck.measure.sweep import run_tasks, tasks_of
from losscheck.measure.sweep_rows import bit_differences, rows_of
from losscheck.measure.task import Finding
from losscheck.oracle.local import LocalArithmetic
from losscheck.oracle.refine import Term, exact_value
from losscheck.points.grid import Grid

LOSSES = tuple(registry.losses())
BCE = registry.loss_named("bce")


def swept(**asked):
    """The tasks, the findings and the rows of a sweep."""
    tasks = tasks_of(asked_over(**asked))
    findings = [Finding() for _ in tasks]
    run_tasks(tasks, findings)
    return tasks, findings, rows_of(tasks, findings)


def rows(**asked):
    return swept(**asked)[2]


@pytest.fixture
def register(monkeypatch):
    """Add implementations to what the registry finds; it forgets them afterwards."""
    found = registry._modules()

    def forget():
        registry.losses.cache_clear()
        registry.implementations.cache_clear()

    def add(*ones):
        module = types.ModuleType("a_test")
        vars(module).update({f"one{n}": implementation for n, implementation in enumerate(ones)})
        monkeypatch.setattr(registry, "_modules", lambda: (*found, module))
        forget()

    yield add
    monkeypatch.undo()
    forget()


def identity(m, logit, target, *, pos_weight):
    """A formula that is free of charge: it returns its logit."""
    return logit


def one_formula(m, logit, target, *, pos_weight):
    """The derivative of the identity."""
    return m.number(1)


def planted(function, name="planted", formula=identity):
    """A numpy implementation of bce whose own formula is the logit, and its gradient 1."""

    def gradient(xp, logit, target, *, pos_weight):
        return xp.ones_like(logit)

    return Implementation(
        "bce", name, function, source="a test", backends=("numpy",), gradient=gradient, formula=formula, formula_gradient=one_formula
    )


# Every count and region of the 16-bit dtypes ---------------------------------------------------------------------------


@functools.lru_cache(maxsize=256)
def exact_table(formula, differentiate, target, params, dtype, low, high):
    """Every exact value of a range, by the oracle alone."""
    ordinals = range(FORMATS[dtype].ordinal(low), FORMATS[dtype].ordinal(high) + 1)
    logits = [FORMATS[dtype].from_ordinal(n) for n in ordinals]
    return [exact_value(formula, [Term(x, target)], dict(params), FORMATS[dtype], differentiate=differentiate) for x in logits]


def bucket_of(ulp):
    """The name of the histogram's bucket, from its definition."""
    if not math.isfinite(ulp):
        return "inf or nan"
    if abs(ulp) < 0.5:
        return "<0.5"
    power = min(math.frexp(abs(ulp))[1] - 1, BUCKETS - 4)
    return f"{2.0**power:g}-{2.0 ** (power + 1):g}"


def brute_force(task, quantity):
    """Counts, histogram and regions, one float at a time: the values of `compare`, judged by the oracle alone."""
    dtype, subject = task.grid.dtype, task.subject
    logits = tuple(dtype.between(task.grid.low, task.grid.high))
    invocation = Invocation(task.loss, subject.implementation, task.params, dtype)
    result = backend_named(subject.backend).prepare(invocation)(logits, task.target)
    values = (result.loss if quantity == "loss" else result.grad).tolist()
    formula, differentiate = formula_of(task.loss, subject.implementation, quantity, dtype)
    params = tuple(task.params.items())
    exacts = exact_table(formula, differentiate, task.target, params, dtype.name, task.grid.low, task.grid.high)
    ulps = [ulp_error(value, exact, dtype) for value, exact in zip(values, exacts, strict=True)]
    outcomes = [classify(*triple, dtype, task.question.max_ulp) for triple in zip(values, exacts, ulps, strict=True)]
    counts, histogram = {}, {}
    for outcome, ulp in zip(outcomes, ulps, strict=True):
        counts[outcome] = counts.get(outcome, 0) + 1
        histogram[bucket_of(ulp)] = histogram.get(bucket_of(ulp), 0) + 1
    regions = []
    for outcome, run in itertools.groupby(range(len(logits)), key=outcomes.__getitem__):
        run = list(run)
        if outcome in FAILURES:
            regions.append((outcome, logits[run[0]], logits[run[-1]], len(run)))
    largest = max(math.inf if math.isnan(ulp) else abs(ulp) for ulp in ulps)
    return counts, histogram, sorted(regions, key=lambda region: (region[0].severity, dtype.ordinal(region[1]))), largest


def same_as_brute_force(tasks, found):
    found = iter(found)
    for task in tasks:
        for quantity in task.quantities:
            row = next(found)
            counts, histogram, regions, largest = brute_force(task, quantity)
            where = (row.implementation, row.backend, row.target, row.quantity, row.low)
            assert row.counts == counts, where
            assert row.histogram == histogram, where
            assert [(region.outcome, region.first, region.last, region.floats) for region in row.regions] == regions, where
            assert [(region.points, region.floats) for region in row.regions] == [(size, size) for *_, size in regions], where
            # Errors of less than the filter can see are 0 to it.
            assert row.max_ulp == pytest.approx(largest, rel=0, abs=2.0**-60), where
            assert row.wrong == 0 and row.exhaustive and row.points == sum(counts.values()), where
    assert next(found, None) is None


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [
        ("bfloat16", "-112", "-80"),
        ("bfloat16", "5", "18"),
        ("bfloat16", "84", "100"),
        ("float16", "-17.5", "-15.5"),
        ("float16", "7.8", "8.5"),
    ],
)
def test_every_implementation_in_16_bits_equals_brute_force(loss, dtype, low, high):
    """A count, a bucket, a region or the largest error that the filter, its judge or the runs get wrong."""
    tasks, _, found = swept(losses=(loss,), low=low, high=high, dtypes=(dtype,))

    assert len(found) >= 16
    same_as_brute_force(tasks, found)


@pytest.mark.parametrize(
    ("loss", "impl", "dtype", "target", "quantities"),
    [
        ("bce", "torch-sigmoid-bceloss", "bfloat16", "0", ("loss",)),
        ("weighted-focal", "weighted-focal-loss", "float16", "1", ("grad",)),
    ],
)
def test_every_float_of_a_dtype_equals_brute_force(loss, impl, dtype, target, quantities):
    """The infinities, the zeros, the subnormals or the far ends of a dtype judged differently than by the oracle."""
    asked = {"losses": (loss,), "impl": (impl,), "dtypes": (dtype,), "targets": (target,), "quantities": quantities}
    tasks, _, found = swept(**asked, low="-inf", high="inf")

    assert found[0].points == 2 * (FORMATS[dtype].infinity_ordinal + 1)
    same_as_brute_force(tasks, found)


def test_soft_targets_in_16_bits_equal_brute_force():
    """A gradient that is 0 at a logit the filter knows only nearly: the sign and the size of what is left beside it."""
    tasks, _, found = swept(losses=("bce",), low="-2", high="-0.5", dtypes=("float16",), targets=("0.25", "0.3"), quantities=("grad",))

    assert any(row.counts.get(Outcome.INACCURATE) for row in found)
    same_as_brute_force(tasks, found)


# float32: edges, samples, the three scanners ---------------------------------------------------------------------------


def first_lost(low, high):
    """By torch alone: the largest float32 in the range where binary_cross_entropy_with_logits is 0, and the smallest."""
    torch = pytest.importorskip("torch")
    bits = range(FLOAT32.ordinal(low), FLOAT32.ordinal(high) + 1)
    x = torch.tensor([(-1 - n) | -(2**31) for n in bits], dtype=torch.int32).view(torch.float32)
    value = torch.nn.functional.binary_cross_entropy_with_logits(x, torch.zeros_like(x), reduction="none")
    zeros = x[value == 0]
    return float(zeros.min()), float(zeros.max()), len(zeros)


TORCH_BCE = {"losses": ("bce",), "impl": ("torch-bce-with-logits",), "targets": ("0",), "quantities": ("loss",)}


def test_the_edge_of_lost_is_the_float_that_torch_itself_shows():
    """An exhaustive sweep whose region ends one float off."""
    (row,) = rows(**TORCH_BCE, low="-14.6", high="-14.5", exhaustive=True)
    first, last, zeros = first_lost(row.low, row.high)

    assert [region for region in row.regions if region.outcome is Outcome.LOST] == [row.regions[0]]
    assert (row.regions[0].first, row.regions[0].last, row.regions[0].points) == (first, last, zeros)
    assert -14.56 < last < -14.55 and row.counts[Outcome.LOST] == zeros


@pytest.mark.parametrize("points", [2, 7, 100])
@pytest.mark.parametrize("spacing", ["linear", "ulp", "both"])
def test_a_sampled_sweep_finds_the_same_edge(points, spacing):
    """Bisection that stops a float early, or ends on the wrong side."""
    first, last, zeros = first_lost(FLOAT32.round(-14.6), -14.5)
    (row,) = rows(**TORCH_BCE, low=repr(first), high="-14.5", points=points, spacing=spacing)

    assert not row.exhaustive
    assert (row.regions[0].outcome, row.regions[0].first, row.regions[0].last) == (Outcome.LOST, first, last)
    assert row.regions[0].floats == zeros


def test_bisection_finds_both_ends_of_a_failure_inside_the_range(register):
    """Only the upper end of a band moved to the exact float, or the two exchanged."""
    low, high = 1.0 + 300 * 2.0**-23, 1.5 - 2.0**-23
    register(planted(lambda xp, logit, target, **_: xp.where((logit >= low) & (logit <= high), xp.nan, logit)))
    (row,) = rows(losses=("bce",), impl=("planted",), low="1", high="2", targets=("0",), quantities=("loss",), points=20)

    assert [(region.outcome, region.first, region.last) for region in row.regions] == [(Outcome.NAN, low, high)]
    assert row.regions[0].floats == FLOAT32.ordinal(high) - FLOAT32.ordinal(low) + 1


@pytest.mark.parametrize("spacing", ["linear", "ulp", "both"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_sample_holds_landmarks_their_neighbours_zeros_and_ends(dtype, spacing):
    """A saturation point or an end of the range that a sample happens to miss."""
    format_ = FORMATS[dtype]
    (task,) = tasks_of(asked_over(("bce",), "-800", "750.5", impl=("torch-bce*",), targets=("0",), dtypes=(dtype,), spacing=spacing))
    low, high = format_.ordinal(-800.0), format_.ordinal(750.5)
    marks = [format_.ordinal(landmark.logit) for landmark in logistic_landmarks(format_)]
    wanted = {n + step for n in marks for step in (-1, 0, 1)} | {-1, 0, low, high}

    assert {n for n in wanted if low <= n <= high} <= set(task.grid.sample)
    assert task.grid.sample[0] == low and task.grid.sample[-1] == high
    assert list(task.grid.sample) == sorted(set(task.grid.sample))


def test_a_sample_is_spread_over_values_and_over_floats():
    """A sampler stuck on one point, or `both` that is only one of the two."""
    grids = {
        spacing: tasks_of(asked_over(("bce",), "-100", "100", impl=("naive",), points=1000, spacing=spacing))[0].grid
        for spacing in ("linear", "ulp", "both")
    }
    logits = {name: [FLOAT32.from_ordinal(n) for n in grid.sample] for name, grid in grids.items()}

    assert all(1000 <= len(sample) <= 1100 for sample in logits.values())
    assert sum(abs(x) < 1 for x in logits["linear"]) < 100 < 400 < sum(1e-30 < abs(x) < 1 for x in logits["ulp"])
    assert all(sum(a <= x < a + 10 for x in logits["linear"]) >= 48 for a in range(-100, 100, 10))
    assert sum(abs(x) > 10 for x in logits["both"]) > 400 and sum(abs(x) < 1e-10 for x in logits["both"]) > 200


STRETCHES = [(-110.0, -86.0), (-28.0, -27.0), (-16.7, -14.5), (-9.4, -9.1), (-0.25, 0.25), (8.9, 9.3), (14.5, 16.8), (86.0, 120.0)]
OF_EACH = 2500


def as_plain(summary, about=float):
    """What the scanners must agree in: |ulp| to the bits of a float32, which is what the compiled one keeps."""

    def narrow(x):
        return math.inf if not abs(x) < 2.0**1000 else about(min(x if x == -1 else abs(x), FLOAT32.largest))

    return {
        "points": summary.points,
        "counts": summary.counts,
        "histogram": summary.histogram,
        "top": narrow(summary.top),
        "segments": {code: segments.tolist() for code, segments in summary.segments.items()},
        "gap": summary.gap,
        "errors": [narrow(summary.loss_error), narrow(summary.grad_error)],
        "first": {code: (case.position, narrow(case.ulp)) for code, case in sorted(summary.first.items())},
        "worst": [narrow(case.ulp) for case in summary.worst],
        "profile": [narrow(ulp) for ulp in summary.profile_ulp],
        "profile_code": summary.profile_code,
        "checked": summary.checked,
        "wrong": summary.wrong,
    }


def to_float32(x):
    """An |ulp| is kept as a float32, and the exact value that it is counted from is known to 2^-24 ulp."""
    return pytest.approx(x, rel=2.0**-23, abs=2.0**-23)


def three_engines(task):
    references = References()
    streams, effects = streams_of(task, references), effects_of(task, references)
    yield ArrayEngine(call_of(task), streams, task.grid, effects)
    yield CompiledEngine(call_of(task), streams, task.grid, effects)
    if task.subject.backend == "torch":
        yield ArrayEngine(device_call_of(task), streams, task.grid, effects, device="cpu", block=2**10)


@pytest.mark.parametrize(
    ("loss", "impl", "backend", "target"),
    [
        ("bce", "naive", "torch", "0"),
        ("weighted-focal", "weighted-focal-loss", "torch", "1"),
        ("centernet-heatmap", "centernet-neg-loss-clamped", "torch", "0"),
    ],
)
def test_the_three_engines_agree(monkeypatch, loss, impl, backend, target):
    """Compiled code, arrays and tensors that judge, count or join one float differently."""
    monkeypatch.setattr("losscheck.measure.compiled.BLOCK", 2**11)
    question = asked_over((loss,), "-120", "120", impl=(impl,), backends=(backend,), targets=(target,), exhaustive=True)
    (task,) = tasks_of(question)
    found = []
    for engine in three_engines(task):
        total = {}
        for low, _ in STRETCHES:
            first = FLOAT32.ordinal(FLOAT32.round(low))
            for quantity, summary in engine.scan(first, first + OF_EACH - 1).items():
                total[quantity] = total[quantity].merge(summary) if quantity in total else summary
        found.append(total)

    assert len(found) == 3 and set(found[0]) == {"loss", "grad", "effect"}
    for other in found[1:]:
        for quantity in ("loss", "grad", "effect"):
            expected = as_plain(found[0][quantity], to_float32)
            for name, shown in as_plain(other[quantity]).items():
                assert shown == expected[name], (quantity, name)
    outcomes = {n for quantity in ("loss", "grad") for n, count in enumerate(found[0][quantity].counts) if count}
    assert len(outcomes) >= (5 if impl == "naive" else 2) and found[0]["loss"].points == OF_EACH * len(STRETCHES)


def test_the_three_engines_agree_about_infinities_beside_nans():
    """A list of worst cases that prefers NaN in one scanner and the first in another; ulp too large for float32."""

    def broken(xp, logit, target, *, pos_weight):
        bad = xp.where(logit < 1.001, logit * xp.inf, xp.where(logit < 1.002, xp.nan, logit * 1e38))
        return xp.where(logit < 1.0005, logit, xp.where(logit > 1.003, xp.zeros_like(logit), bad))

    one = Implementation("bce", "broken", broken, source="a test", backends=("torch",), formula=tiny)
    (task,) = tasks_of(asked_over(**TORCH_BCE, low="1", high="1.005", exhaustive=True))
    task = type(task)(**{**vars(task), "subject": type(task.subject)(one, "torch", "cpu")})
    found = [engine.scan(task.grid.first, task.grid.last)["loss"] for engine in three_engines(task)]

    assert found[0].counts[0] > 1000 and found[0].counts[1] > 1000
    for other in found[1:]:
        assert as_plain(other) == as_plain(found[0], to_float32)
        assert [element.position for element in other.worst] == [element.position for element in found[0].worst]


def test_the_engines_join_close_segments_alike(monkeypatch):
    """A gap that grows by another factor where millions of floats are summarised."""

    def broken(xp, logit, target, *, pos_weight):
        position = (logit - 1) * 2**23
        return xp.where((position % 5 == 0) | (position % 17 == 3), xp.zeros_like(logit), logit)

    one = Implementation("bce", "broken", broken, source="a test", backends=("torch",), formula=identity)
    (task,) = tasks_of(asked_over(**TORCH_BCE, low="1", high="1.0005", exhaustive=True))
    task = replace(task, subject=replace(task.subject, implementation=one))
    monkeypatch.setattr("losscheck.measure.summary.MOST_SEGMENTS", 40)
    monkeypatch.setattr("losscheck.measure.compiled.BLOCK", 2**8)
    found = [engine.scan(task.grid.first, task.grid.last)["loss"] for engine in three_engines(task)]

    assert {summary.gap for summary in found} == {4}
    assert all(as_plain(summary) == as_plain(found[0], to_float32) for summary in found)


def tiny(m, logit, target, *, pos_weight):
    """A formula whose values are subnormal, so that an ordinary result is off by more ulp than float32 can say."""
    return logit * m.number(2.0**-140)


def test_the_worst_cases_are_found_wherever_they_lie(monkeypatch):
    """A list of worst cases that is full after the first block."""
    monkeypatch.setattr("losscheck.measure.compiled.BLOCK", 2**8)
    rising = Implementation("bce", "rising", lambda xp, x, z, **_: x + (x - 1) / 8, source="a test", backends=("torch",), formula=identity)
    (task,) = tasks_of(asked_over(**TORCH_BCE, low="1", high="1.001", exhaustive=True))
    task = type(task)(**{**vars(task), "subject": type(task.subject)(rising, "torch", "cpu")})
    for engine in three_engines(task):
        worst = engine.scan(task.grid.first, task.grid.last)["loss"].worst
        assert [task.grid.last - case.position < 10 + 8 for case in worst] == [True] * 10


def test_an_error_just_below_half_an_ulp_is_counted_below_it():
    """Compiled code that keeps |ulp| as a float32 rounded up into the next bucket."""

    def almost(m, logit, target, *, pos_weight):
        return logit * m.number(1 + 2.0**-24 - 2.0**-52)

    one = Implementation("bce", "almost", lambda xp, x, z, **_: x + 0 * z, source="a test", backends=("torch",), formula=almost)
    (task,) = tasks_of(asked_over(**TORCH_BCE, low="1", high="1.00001", exhaustive=True))
    task = type(task)(**{**vars(task), "subject": type(task.subject)(one, "torch", "cpu")})
    found = [engine.scan(task.grid.first, task.grid.first)["loss"] for engine in three_engines(task)]

    assert [summary.histogram[0] for summary in found] == [1, 1, 1]


# One float among millions ----------------------------------------------------------------------------------------------

WRONG = {
    Outcome.NAN: math.nan,
    Outcome.INF: math.inf,
    Outcome.WRONG_SIGN: -1.25,
    Outcome.LOST: 0.0,
    Outcome.INACCURATE: 1.25,
}


@pytest.mark.parametrize(
    ("outcome", "floats"), [*((wrong, 2**22) for wrong in WRONG), (Outcome.INACCURATE, 2**24 + 2**20)]
)  # more than a chunk
def test_one_wrong_float_among_millions_is_found(register, outcome, floats):
    """A block, a run or the last float of a chunk (there are 2^24 in one) that is passed over."""
    low = FLOAT32.ordinal(1.0)
    where = FLOAT32.from_ordinal(low + floats // 3 * 2 + 12345)
    value = math.copysign(where, -1.0) if outcome is Outcome.WRONG_SIGN else WRONG[outcome]
    register(planted(lambda xp, logit, target, **_: xp.where(logit == where, xp.float32(value), logit)))
    high = FLOAT32.from_ordinal(low + floats - 1)
    asked = {"losses": ("bce",), "impl": ("planted",), "targets": ("0",), "quantities": ("loss",), "exhaustive": True}
    (row,) = rows(**asked, low="1", high=high.hex())

    assert [(region.outcome, region.first, region.last, region.floats, region.points) for region in row.regions] == [
        (outcome, where, where, 1, 1)
    ]
    assert row.counts == {outcome: 1, Outcome.OK: floats - 1}
    assert row.worst[0].logits == (where,)
    assert sum(row.histogram.values()) == row.points == floats and row.wrong == 0


@pytest.mark.parametrize("place", [0, 2**14 - 1, 2**14, 3 * 2**14 - 2])
def test_a_wrong_float_at_the_seam_of_chunks_is_found_once(register, monkeypatch, place):
    """The first or last float of a chunk scanned twice or not at all, or a region cut in two by the seam."""
    monkeypatch.setattr("losscheck.measure.task.CHUNK", 2**14)
    low = FLOAT32.ordinal(1.0)
    first, last = (FLOAT32.from_ordinal(low + place + n) for n in (0, 1))
    register(planted(lambda xp, logit, target, **_: xp.where((logit >= first) & (logit <= last), -logit, logit)))
    high = FLOAT32.from_ordinal(low + 3 * 2**14 - 1)
    asked = {"losses": ("bce",), "impl": ("planted",), "targets": ("0",), "quantities": ("loss",), "exhaustive": True}
    tasks, findings, (row,) = swept(**asked, low="1", high=high.hex())

    assert findings[0].done == tasks[0].chunks() == 3
    assert [(region.first, region.last, region.points) for region in row.regions] == [(first, last, 2)]
    assert row.points == sum(row.counts.values()) == 3 * 2**14


# The filter is checked while it works ----------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["arrays", "compiled", "sample"])
def test_a_filter_that_is_off_is_caught_by_the_sample(monkeypatch, engine):
    """A check of the run against the oracle that compares the filter with itself, or a sample that is not checked."""
    arithmetic = LocalArithmetic if engine == "compiled" else RunningErrorArithmetic
    honest = arithmetic.softplus

    def off(m, x):
        return honest(m, x) * m.number(1 + 2.0**-22)

    monkeypatch.setattr(arithmetic, "softplus", off)
    if engine == "compiled":
        monkeypatch.setattr("losscheck.measure.compiled.WORTHWHILE", 2**12)
    (row,) = rows(**TORCH_BCE, low="1", high="1.001", exhaustive=engine != "sample")

    assert row.wrong > row.checked / 4 > 0


def test_every_exhaustive_sweep_checks_some_five_hundred_points_spread_over_it():
    """A sample of one block, or of none."""
    (row,) = rows(**TORCH_BCE, low="1", high="1.05", exhaustive=True)

    assert row.points > 400_000
    assert 512 <= row.checked <= 520 and row.wrong == 0


@pytest.mark.parametrize(("points", "checked"), [(2000, 128), (20, 128)])
def test_a_sample_is_checked_at_as_many_points(points, checked):
    """A promise to check 128 points in any case that a sampled sweep does not keep."""
    (row,) = rows(**TORCH_BCE, low="1", high="2", points=points)

    assert (row.checked, row.wrong) == (min(checked, row.points), 0)


def test_a_formula_without_a_filter_is_judged_by_the_oracle_alone(register):
    """A formula that compares its logit and is refused, or judged by a branch taken for all points."""

    def halves(m, logit, target, *, pos_weight):
        return logit * 2 if logit > 0 else logit

    def doubled(xp, logit, target, *, pos_weight):
        return xp.where(logit > 1.75, 3 * logit, xp.where(logit > 0, 2 * logit, logit))

    register(planted(doubled, formula=halves))
    for dtype in ("bfloat16", "float16"):
        asked = {"losses": ("bce",), "impl": ("planted",), "targets": ("0",), "quantities": ("loss",), "dtypes": (dtype,)}
        (row,) = rows(**asked, low="1", high="2")
        over = FORMATS[dtype].neighbour(1.75, 1)

        assert [(region.outcome, region.first, region.last) for region in row.regions] == [(Outcome.INACCURATE, over, 2.0)]
        assert row.settled == row.points


# NaN logits, layouts, defaults, devices --------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "nans"), [(FLOAT16, 2 * (2**10 - 1)), (BFLOAT16, 2 * (2**7 - 1))])
def test_nan_logits_are_counted_where_everything_is_swept(register, dtype, nans):
    """NaNs left out of a sweep of every float there is, or an implementation that turns them into numbers unnoticed."""

    def hides_half(xp, logit, target, *, pos_weight):
        return xp.where(xp.isnan(logit) & (xp.signbit(logit)), xp.zeros_like(logit), logit)

    register(planted(hides_half))
    asked = {"losses": ("bce",), "targets": ("0",), "dtypes": (dtype.name,), "low": "-inf", "quantities": ("loss",)}
    (hidden,) = rows(**asked, impl=("planted",), high="inf")
    (honest,) = rows(**asked, impl=("torch-bce*",), high="inf")
    (part,) = rows(**asked, impl=("torch-bce*",), high="-10000")

    assert (hidden.nan_points, hidden.nan_wrong) == (nans, nans // 2)
    assert (honest.nan_points, honest.nan_wrong) == (nans, 0)
    assert (part.nan_points, part.nan_wrong) == (0, 0)


def test_a_nan_logit_is_wrong_where_one_of_two_quantities_is_a_number(register):
    """A loss that hides a NaN, excused because its gradient is NaN."""

    def hides(xp, logit, target, *, pos_weight):
        return xp.where(xp.isnan(logit), xp.zeros_like(logit), logit)

    register(replace(planted(hides), gradient=lambda xp, logit, target, *, pos_weight: logit - logit + 1))
    asked = {"losses": ("bce",), "targets": ("0",), "dtypes": ("bfloat16",), "low": "-inf", "high": "inf", "impl": ("planted",)}

    assert {(row.nan_points, row.nan_wrong) for row in rows(**asked)} == {(254, 254)}
    assert {row.nan_wrong for row in rows(**asked, quantities=("grad",))} == {0}


def test_layouts_that_give_other_bits_are_reported(register):
    """A vector body and a scalar tail compared with themselves."""
    split = 1.5

    def by_length(xp, logit, target, *, pos_weight):
        return xp.where((logit > split) & (logit.size > 4), logit * 2, logit)

    register(planted(by_length))
    asked = {"losses": ("bce",), "impl": ("planted",), "targets": ("0",), "dtypes": ("bfloat16",), "low": "1", "high": "2"}
    tasks, findings, found = swept(**asked, layout="both")
    body, tail = (row for row in found if row.quantity == "loss")
    loss, grad = bit_differences(tasks, findings)

    assert (body.layout, tail.layout) == ("body", "tail")
    assert body.counts == {Outcome.INACCURATE: 64, Outcome.OK: 65} and tail.counts == {Outcome.OK: 129}
    assert (loss.points, loss.differ, grad.differ) == (129, 64, 0)
    assert loss.worst_logit > split and {loss.value, loss.other_value} == {loss.worst_logit, 2 * loss.worst_logit}
    assert [row.layout for row in rows(**asked, layout="tail", quantities=("loss",))] == ["tail"]


def test_a_tail_is_swept_three_elements_at_a_time(register):
    """Short tensors that are long enough for the vector code."""
    seen = set()

    def lengths(xp, logit, target, *, pos_weight):
        seen.add(logit.size)
        return logit

    register(planted(lengths))
    rows(losses=("bce",), impl=("planted",), targets=("0",), dtypes=("bfloat16",), low="1", high="2", layout="tail")

    assert seen and max(seen) == 3


def test_targets_and_parameters_are_each_losss_own():
    """A soft target given to a hard loss, or the heatmap's cell beside the centre left out."""
    asked = {"low": "1", "high": "2", "impl": ("stable",), "backends": ("numpy",), "quantities": ("loss",), "points": 2}
    asked_about = ("bce", "weighted-focal", "centernet-heatmap")
    found = rows(losses=asked_about, **asked, params={"gamma": 1.5})
    targets = {name: [row.target for row in found if row.loss == name] for name in asked_about}
    params = {row.loss: dict(row.params) for row in found}

    assert targets["bce"] == [0.0, 0.5, 1.0] and targets["weighted-focal"] == [0.0, 1.0]
    assert targets["centernet-heatmap"] == [0.0, 0.5, 1.0 - 2.0**-24, 1.0]
    assert params == {
        "bce": {"pos_weight": 1.0},
        "weighted-focal": {"alpha": 0.25, "gamma": 1.5},
        "centernet-heatmap": {"alpha": 2, "beta": 4},
    }
    half = rows(losses=("centernet-heatmap",), **asked, dtypes=("bfloat16",))
    assert [row.target for row in half] == [0.0, 0.5, 1.0], "1 - 2^-24 is 1 in 16 bits, and 1 is swept once"


def test_a_device_that_is_missing_is_a_row_beside_the_others():
    """A missing device that counts as success, or takes the rows of the others with it."""
    torch = pytest.importorskip("torch")
    device = f"cuda:{torch.cuda.device_count() if torch.cuda.is_available() else 0}"
    found = rows(**TORCH_BCE, low="1", high="2", points=2, devices=("cpu", device))

    assert [(row.device, bool(row.reason), row.outcome) for row in found] == [
        ("cpu", False, Outcome.OK),
        (device, True, Outcome.UNAVAILABLE),
    ]
    assert "CUDA" in found[1].reason and found[1].counts == {}


def test_a_parameter_that_an_implementation_cannot_take_is_a_reason():
    """BCELoss swept as if pos_weight were 1."""
    asked = {"losses": ("bce",), "impl": ("torch-sigmoid-bceloss",), "targets": ("1",), "low": "1", "high": "2", "points": 2}

    assert {row.reason for row in rows(**asked, params={"pos_weight": 2.0})} == {"torch-sigmoid-bceloss takes no pos_weight"}
    assert {row.reason for row in rows(**asked, params={"pos_weight": 1.0})} == {""}


def test_an_implementation_that_raises_is_a_reason(register):
    """A sweep taken down by one implementation, or its failure counted as no failure."""

    def refuses(xp, logit, target, *, pos_weight):
        raise ValueError("no such thing")

    register(planted(refuses))
    found = rows(losses=("bce",), impl=("planted", "stable"), backends=("numpy",), targets=("0",), low="1", high="2", points=2)

    assert {(row.implementation, row.reason) for row in found} == {("planted", "ValueError: no such thing"), ("stable", "")}


def test_an_implementation_without_a_gradient_is_a_reason(register):
    """A sweep of both quantities that crashes on what has one, or loses the loss with the gradient."""
    register(replace(planted(lambda xp, logit, target, **_: logit), gradient=None))
    asked = {"losses": ("bce",), "impl": ("planted",), "targets": ("0",), "low": "1", "high": "2", "points": 2}

    assert [("gradient" in row.reason, bool(row.counts)) for row in rows(**asked)] == [(False, True), (True, False)]
    assert [row.reason for row in rows(**asked, quantities=("loss",))] == [""]


# float64 and the ranges ------------------------------------------------------------------------------------------------


def test_float64_is_sampled_with_exact_edges():
    """Ordinals of float64 that overflow 64-bit arithmetic on the way."""
    (row,) = rows(**TORCH_BCE, low="-inf", high="0", dtypes=("float64",), points=50)
    lost = next(region for region in row.regions if region.outcome is Outcome.LOST)
    torch = pytest.importorskip("torch")
    ends = torch.tensor([lost.last, FLOAT64.neighbour(lost.last, 1)] * 8, dtype=torch.float64)
    values = torch.nn.functional.binary_cross_entropy_with_logits(ends, torch.zeros_like(ends), reduction="none").tolist()

    assert values[:2] == [0.0, values[1]] and values[1] > 0
    assert row.counts[Outcome.OK] > 0 and row.settled == row.points


@pytest.mark.parametrize("asked", [{"low": "2", "high": "1"}, {"low": "nan", "high": "1"}, {"low": "1", "high": "2", "points": 0}])
def test_a_range_without_floats_is_refused(asked):
    """An empty selection that counts as success."""
    with pytest.raises(UserError):
        tasks_of(asked_over(("bce",), **asked))


def test_exhaustive_float64_is_refused():
    """A sweep that would end with the century."""
    with pytest.raises(UserError, match="2\\^64"):
        tasks_of(asked_over(("bce",), "0", "1", dtypes=("float64",), exhaustive=True))


def test_the_codes_are_the_outcomes_in_their_order():
    """Summaries of two versions of the order merged."""
    assert [CODES[n] for n in range(len(CODES))] == list(Outcome)
    assert Summary().counts == [0] * len(CODES)
    assert Grid(FLOAT32, 0, 0).points == 1
