"""The judge of whole arrays says what `measure` says of one value; summaries of stretches add up the same however they are cut."""

import functools
import itertools
import json
import math
import random
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import formats

from losscheck.core.dtypes import BFLOAT16, FLOAT16, FLOAT32, FORMATS
from losscheck.core.error import classify, ulp_error
from losscheck.core.errors import UserError
from losscheck.core.exact import Exact, Kind
from losscheck.core.outcome import FAILURES, Outcome
from losscheck.filter import block_kernels
from losscheck.filter.classify import BUCKETS, CODES, FAILING, UNDECIDED, Limits, bucket_name, buckets, decide, decide_arrays
from losscheck.filter.codegen import Expression, ExpressionOperations, LoopBody, compile_loop
from losscheck.measure import summary
from losscheck.measure.summary import KeptPoint, Summary, segments_of
from losscheck.points.grid import CELLS, Grid, decode_ordinals, exhaustive_grid, sampled_grid

NARROW = (FLOAT32, FLOAT16, BFLOAT16)
MAX_ULP = 8.0


# The judge -------------------------------------------------------------------------------------------------------------


def exact_of(value, dtype):
    """A float64 as an exact value of the oracle."""
    mantissa, denominator = value.as_integer_ratio()
    return Exact(Kind.FINITE, dtype.round(value), (mantissa, 1 - denominator.bit_length()))


def adversarial(dtype, rng, count=60):
    """Pairs (value, exact): neighbours, ties, zeros, infinities, NaN, wrong signs, thresholds of the dtype."""
    least, limits = dtype.smallest_subnormal, Limits.of(dtype, MAX_ULP)
    edges = [limits.half_least, limits.normal, limits.overflow, least, dtype.smallest_normal, dtype.largest, 1.0, 2.0**-20]
    exacts = [step for edge in edges for step in (edge, math.nextafter(edge, 0), math.nextafter(edge, math.inf))]
    ordinals = [rng.randrange(1, dtype.infinity_ordinal) for _ in range(count)]
    floats = [dtype.from_ordinal(n) for n in ordinals]
    exacts += floats
    exacts += [x * (1 + rng.choice([0.5, 0.25, -0.5]) * 2.0**-dtype.precision) for x in floats]
    exacts += [(x + dtype.neighbour(x, 1)) / 2 for x in floats if x < dtype.largest]
    for exact in exacts:
        near = dtype.round(exact)
        around = [dtype.neighbour(near, n) for n in (-9, -8, -7, -1, 0, 1, 7, 8, 9, 1000)]
        for value in [*around, 0.0, -0.0, math.inf, -math.inf, math.nan, -near, dtype.largest, -least]:
            for sign in (1.0, -1.0):
                yield sign * value, sign * exact


def judged_by(name, values, exacts, bounds, limits):
    if name == "compiled":
        codes, ulps = np.empty(len(values), np.int8), np.empty(len(values))
        compiled(limits)(*map(np.array, (values, exacts, bounds)), codes, ulps)
        return codes.tolist(), ulps.tolist()
    xp = np if name == "numpy" else pytest.importorskip("torch")
    arrays = [np.array(column) if name == "numpy" else xp.tensor(column, dtype=xp.float64) for column in (values, exacts, bounds)]
    with np.errstate(all="ignore"):
        codes, ulps = decide_arrays(xp, *arrays, limits)
    return codes.tolist(), ulps.tolist()


@functools.cache
def compiled(limits, contract=True):
    """The rules as compiled code: a loop over values, exact values and bounds."""
    code = LoopBody()
    given = ("value", "exact", "bound")
    outcome, ulp = decide(ExpressionOperations(code), *(Expression(code, name) for name in given), limits)
    return compile_loop(code, given, {"code": outcome.name, "ulp": ulp.name}, contract)


def same_to_the_bit(values, exacts, bounds, limits):
    """numpy, torch and code compiled without contraction (a product and a sum rounded as one) on the same arrays."""
    torch = pytest.importorskip("torch")
    with np.errstate(all="ignore"):
        codes, ulps = decide_arrays(np, values, exacts, bounds, limits)
    tensors = decide_arrays(torch, *map(torch.from_numpy, (values, exacts, bounds)), limits)
    own = np.empty(len(values), np.int8), np.empty(len(values))
    compiled(limits, contract=False)(values, exacts, bounds, *own)
    for other_codes, other_ulps in (own, [tensor.numpy() for tensor in tensors]):
        assert (codes == other_codes).all()
        assert np.array_equal(ulps, other_ulps, equal_nan=True)


BOUNDS = (0.0, 2.0**-48, 2.0**-30, 0.75, math.inf, math.nan)


@pytest.mark.parametrize("dtype", [FLOAT16, BFLOAT16], ids=lambda value: value.name)
def test_the_engines_classify_every_16_bit_float_to_the_bit(dtype):
    """The rules run on arrays and run compiled agree on every float: on it, beside it and against hostile ones."""
    top = dtype.infinity_ordinal
    values = decode_ordinals(dtype, np.arange(-1 - top, top + 1)).astype(np.float64)
    values = np.concatenate([values, [math.nan]])
    rng = np.random.default_rng(1)
    with np.errstate(all="ignore"):
        exacts = [
            values,
            values * (1 + rng.normal(0, 2.0**-dtype.precision, len(values))),
            -values,
            np.roll(values, 1),
            rng.permutation(values),
        ]
    # Each float meets each bound, each kind of exact value all of them.
    for shift in range(len(BOUNDS)):
        bounds = np.resize(np.roll(BOUNDS, shift), len(values))
        same_to_the_bit(values, exacts[shift % len(exacts)], bounds, Limits.of(dtype, MAX_ULP))


@pytest.mark.parametrize("max_ulp", [8.0, math.inf])
def test_the_engines_classify_float32_by_the_million_to_the_bit(max_ulp):
    """Random bits of float32 and of float64, thresholds of the dtype, zeros, infinities and NaN among them."""
    rng, count = np.random.default_rng(2), 2**18
    with np.errstate(all="ignore"):
        values = rng.integers(0, 2**32, count, dtype=np.uint64).astype(np.uint32).view(np.float32).astype(np.float64)
        near = values * (1 + rng.normal(0, 2.0**-22, count))
        wild = rng.integers(0, 2**63, count, dtype=np.uint64).view(np.float64) * rng.choice([1.0, -1.0], count)
    limits = Limits.of(FLOAT32, max_ulp)
    edges = rng.choice([0.0, -0.0, math.inf, -math.inf, math.nan, limits.half_least, limits.normal, limits.overflow, 2.0**1000], count)
    for exact in (near, wild, edges):
        same_to_the_bit(values, exact, rng.choice(BOUNDS, count), limits)
    same_to_the_bit(edges, rng.permutation(edges), rng.choice(BOUNDS, count), limits)


@pytest.mark.parametrize("max_ulp", [0.0, 0.1, 0.5, 4.0, 7.3])
@pytest.mark.parametrize("bound", [0.0, 2.0**-46, 2.0**-37])
def test_ordinary_values_are_classified_to_the_bit(max_ulp, bound):
    """What is quick where nothing is out of the ordinary: errors beside each threshold, exact values beside the ends of binades."""
    rng, count = np.random.default_rng(4), 2**17
    exact = rng.choice([1.0, -1.0], count) * np.exp2(rng.integers(-100, 100, count)) * (1 + rng.choice([0.0, 1.0, 2.0**-30], count))
    exact *= np.where(rng.random(count) < 0.5, 1 + rng.normal(0, 2.0**-44, count), rng.uniform(0.5, 1, count))
    error = rng.choice([0.0, 0.3, 0.5, 1.0, max_ulp, 8.0, 2.0**20], count) * (1 + rng.choice([0.0, 1e-14, -1e-14, 1e-7, 0.3], count))
    value = exact + rng.choice([1.0, -1.0], count) * error * np.exp2(np.floor(np.log2(abs(exact))) - 23)

    same_to_the_bit(value, exact, np.full(count, bound), Limits.of(FLOAT32, max_ulp))


@pytest.mark.parametrize("dtype", NARROW, ids=lambda value: value.name)
@pytest.mark.parametrize("bound", [0.0, 2.0**-46, 2.0**-30])
def test_the_judges_of_arrays_never_decide_otherwise_than_the_oracle(dtype, bound):
    """An outcome, a sign or a bucket of ulp decided wrongly beside a threshold, a tie or a zero."""
    pairs = list(adversarial(dtype, random.Random(f"{dtype.name}")))
    values, exacts = ([pair[n] for pair in pairs] for n in (0, 1))
    # The exact value may lie anywhere in the interval: at both ends and in the middle the answer must be the same.
    truths = []
    for value, exact in pairs:
        ends = {exact, exact * (1 - bound), exact * (1 + bound)}
        errors = [(truth := exact_of(end, dtype), ulp_error(value, truth, dtype)) for end in ends]
        truths.append([(classify(value, truth, error, dtype, MAX_ULP), error) for truth, error in errors])
    for name in ("numpy", "torch", "compiled"):
        codes, ulps = judged_by(name, values, exacts, [bound] * len(pairs), Limits.of(dtype, MAX_ULP))
        counted = buckets(np, np.array(ulps))
        decided = [n for n, code in enumerate(codes) if code != UNDECIDED]
        for n in decided:
            for outcome, error in truths[n]:
                assert CODES[codes[n]] is outcome, (name, pairs[n])
                assert math.isfinite(ulps[n]) == math.isfinite(error), (name, pairs[n])
                assert not math.isfinite(error) or counted[n] == bucket_of(error), (name, pairs[n], ulps[n], error)

        assert len(decided) > 0.6 * len(pairs)


def bucket_of(ulp):
    return int(buckets(np, np.array([ulp]))[0])


def test_an_exact_filter_leaves_nothing_undecided_but_nothing_it_cannot_know():
    """A judge that is safe because it says `undecided` to everything."""
    pairs = list(adversarial(FLOAT32, random.Random(5)))
    values, exacts = ([pair[n] for pair in pairs] for n in (0, 1))
    codes, _ = judged_by("numpy", values, exacts, [0.0] * len(pairs), Limits.of(FLOAT32, MAX_ULP))
    shares = [sum(code == n for code in codes) for n in range(len(CODES))]

    assert shares[UNDECIDED] < 0.25 * len(codes)
    assert all(n > 0 for outcome, n in zip(CODES, shares, strict=True) if outcome in FAILURES or outcome is Outcome.OK)


@pytest.mark.parametrize("name", ["numpy", "torch", "compiled"])
@pytest.mark.parametrize("exact", [math.nan, math.inf, -math.inf, 2.0**1010])
def test_an_exact_value_the_filter_does_not_know_is_undecided(name, exact):
    """NaN passes `error > limit`."""
    values = [0.0, 1.0, math.inf, -math.inf, math.nan]
    codes, _ = judged_by(name, values, [exact] * 5, [0.0] * 5, Limits.of(FLOAT32, MAX_ULP))

    assert codes == [UNDECIDED] * 5


@pytest.mark.parametrize("name", ["numpy", "torch", "compiled"])
def test_an_infinite_or_unknown_bound_is_undecided(name):
    """A bound of inf or NaN that compares as small; NaN is wrong whatever the number is."""
    bounds = [math.inf, math.nan]
    codes, _ = judged_by(name, [1.0, 1.0], [1.0, 1.0], bounds, Limits.of(FLOAT32, MAX_ULP))
    nans, _ = judged_by(name, [math.nan, math.nan], [1.0, 1.0], bounds, Limits.of(FLOAT32, MAX_ULP))

    assert codes == [UNDECIDED] * 2
    assert set(nans) <= {UNDECIDED, CODES.index(Outcome.NAN)}


@pytest.mark.parametrize("dtype", NARROW, ids=lambda value: value.name)
def test_the_limits_are_where_rounding_changes(dtype):
    """A threshold one float64 off."""
    limits = Limits.of(dtype, MAX_ULP)

    assert dtype.round(limits.half_least) == 0 < dtype.round(math.nextafter(limits.half_least, 1))
    assert dtype.round(limits.normal) == dtype.smallest_normal > dtype.round(math.nextafter(limits.normal, 0))
    assert dtype.round(limits.overflow) == math.inf > dtype.round(math.nextafter(limits.overflow, 0))


def test_buckets_are_named_for_what_they_hold():
    """A bucket that says 1-2 and holds 2."""
    assert [bucket_name(n) for n in (0, 1, 2, 3, 5)] == ["<0.5", "0.5-1", "1-2", "2-4", "8-16"]
    assert bucket_name(BUCKETS - 1) == "inf or nan"
    ulps = [0.0, 0.49, 0.5, -0.99, 1.0, 1.99, -2.0, 8.0, 1e300, math.inf, -math.inf, math.nan]
    names = [bucket_name(bucket_of(ulp)) for ulp in ulps]
    assert names[:8] == ["<0.5", "<0.5", "0.5-1", "0.5-1", "1-2", "1-2", "2-4", "8-16"]
    assert names[8] == bucket_name(BUCKETS - 2) and names[9:] == ["inf or nan"] * 3
    assert len({bucket_name(n) for n in range(BUCKETS)}) == BUCKETS


# Summaries -------------------------------------------------------------------------------------------------------------


def stretch(codes, ulps, first, checked=1):
    """The summary of consecutive floats, point by point and in the plainest way."""
    made = Summary(points=len(codes), settled=len(codes), checked=checked * len(codes), wrong=codes.count(6))
    for n, (code, ulp) in enumerate(zip(codes, ulps, strict=True)):
        made.counts[code] += 1
        made.histogram[bucket_of(ulp)] += 1
        cell = (first + n) % CELLS
        made.profile_ulp[cell] = max(made.profile_ulp[cell], math.inf if math.isnan(ulp) else abs(ulp))
        made.profile_code[cell] = min(made.profile_code[cell], code)
    cases = [KeptPoint(first + n, code, ulp, 1.0) for n, (code, ulp) in enumerate(zip(codes, ulps, strict=True))]
    made.worst, made.top = made.the_worst(cases), max(case.size for case in cases)
    made.first = {case.code: case for case in reversed(cases) if case.code in FAILING}
    position = first
    for code, run in itertools.groupby(codes):
        size = len(list(run))
        if code in FAILING:
            made.add_segments([{code: segments_of(np.array([position]), np.array([position + size - 1]))}])
        position += size
    return made


POINTS = st.lists(
    st.tuples(st.sampled_from([0, 3, 6, 9, 9]), st.sampled_from([0.0, 0.3, -0.75, 5.0, 1e9, math.inf, -math.inf, math.nan])),
    min_size=1,
    max_size=60,
)


def merged(parts):
    total = Summary()
    for part in parts:
        total = total.merge(part)
    return total


def grouped(parts, rng):
    """The same parts merged in a random order of association."""
    parts = list(parts)
    while len(parts) > 1:
        n = rng.randrange(len(parts) - 1)
        parts[n : n + 2] = [parts[n].merge(parts[n + 1])]
    return Summary().merge(parts[0])


def by_hand(codes, first, gap):
    """The segments of every failing code: what has at most ``gap`` floats between is one, and nothing else is."""
    segments = {}
    for position, code in enumerate(codes, first):
        if code not in FAILING:
            continue
        mine = segments.setdefault(code, [])
        if mine and position - mine[-1][1] <= gap + 1:
            mine[-1] = [mine[-1][0], position, mine[-1][2] + 1]
        else:
            mine.append([position, position, 1])
    return segments


@pytest.mark.parametrize("most_segments", [33000, 5, 2])
@settings(max_examples=60)
@given(points=POINTS, cuts=st.sets(st.integers(1, 59)), seed=st.integers(0, 2**20), first=st.integers(-500, 500))
def test_a_summary_does_not_depend_on_how_its_stretch_was_cut(most_segments, points, cuts, seed, first):
    """Regions cut at a seam, bands joined in one order and not in another, a worst case that a merge drops."""
    kept, summary.MOST_SEGMENTS = summary.MOST_SEGMENTS, most_segments
    try:
        codes, ulps = [point[0] for point in points], [point[1] for point in points]
        ends = [0, *sorted(cut for cut in cuts if cut < len(points)), len(points)]
        parts = [stretch(codes[a:b], ulps[a:b], first + a) for a, b in itertools.pairwise(ends)]
        whole = merged([stretch(codes, ulps, first)])

        plain = json.dumps(whole.to_json())
        assert json.dumps(merged(parts).to_json()) == json.dumps(grouped(parts, random.Random(seed)).to_json()) == plain
        assert all(len(segments) <= most_segments for segments in whole.segments.values())
        for total in (whole, merged(parts)):
            assert {code: segments.tolist() for code, segments in total.segments.items()} == by_hand(codes, first, total.gap)
    finally:
        summary.MOST_SEGMENTS = kept


def test_segments_are_joined_only_when_there_are_too_many():
    """Regions that are said to be complete and are not, or that grow without limit."""
    codes = [0 if n % 4 == 0 else 9 for n in range(400)]
    exact = merged([stretch(codes, [0.0] * 400, 0)])
    kept, summary.MOST_SEGMENTS = summary.MOST_SEGMENTS, 10
    try:
        few = merged([stretch(codes[:200], [0.0] * 200, 0), stretch(codes[200:], [0.0] * 200, 200)])
    finally:
        summary.MOST_SEGMENTS = kept

    assert exact.gap == 0 and exact.segments[0].tolist() == [[4 * n, 4 * n, 1] for n in range(100)]
    assert few.segments[0].tolist() == [[0, 396, 100]] and few.gap == 4


def test_a_stretch_that_follows_is_joined_by_the_gap_there_is_and_no_more():
    """Three times the gap: regions far apart told as one, where millions of floats are summarised."""
    kept, summary.MOST_SEGMENTS = summary.MOST_SEGMENTS, 2
    try:
        codes = [0 if n in (0, 4, 8) else 9 for n in range(19)]
        total = merged([stretch(codes, [0.0] * 19, 0), stretch([0], [0.0], 19)])
    finally:
        summary.MOST_SEGMENTS = kept

    assert (total.gap, total.segments[0].tolist()) == (4, [[0, 8, 3], [19, 19, 1]])


def test_every_region_of_a_16_bit_dtype_fits_unjoined():
    """A limit below half the floats of bfloat16, where outcomes may alternate."""
    assert summary.MOST_SEGMENTS > 2**16 / 2
    assert {CODES[n] for n in FAILING} == set(FAILURES)


@given(points=POINTS)
def test_a_summary_survives_its_state_file(points):
    """NaN and infinity lost in JSON, or a number of the bands turned into text."""
    made = stretch([point[0] for point in points], [point[1] for point in points], -20)
    text = json.dumps(made.to_json(), allow_nan=False)

    again = Summary.from_json(json.loads(text))
    assert json.dumps(again.to_json(), allow_nan=False) == text
    assert [repr(case) for case in again.worst] == [repr(case) for case in made.worst] and again.merge(again).points == 2 * made.points


@pytest.mark.parametrize("missing", ["points", "counts", "segments", "worst", "profile_ulp", "wrong"])
def test_a_state_without_one_of_its_fields_is_no_summary(missing):
    """A damaged file read as an empty stretch."""
    data = Summary().to_json()
    del data[missing]

    with pytest.raises(KeyError):
        Summary.from_json(data)


def test_the_worst_cases_are_sorted_with_nan_first():
    """max([1.0, nan, 2.0]) is 2.0."""
    made = merged([stretch([9] * 4, [1.0, math.nan, 2.0, -math.inf], 0)])

    assert [case.position for case in made.worst] == [1, 3, 2, 0]


# The grid --------------------------------------------------------------------------------------------------------------


@st.composite
def ranges(draw):
    dtype = draw(formats())
    ends = st.integers(-1 - dtype.infinity_ordinal, dtype.infinity_ordinal)
    near = st.integers(0, 5)
    first = draw(ends)
    last = draw(ends | near.map(lambda n: min(first + n, dtype.infinity_ordinal)))
    return Grid(dtype, min(first, last), max(first, last))


@given(grid=ranges())
@settings(max_examples=200)
def test_cells_cover_the_range_without_gap_or_overlap(grid):
    """A float that belongs to no cell of the profile, or to one outside of the range."""
    starts = grid.cell_starts

    assert len(starts) == CELLS + 1
    assert starts[0] == grid.first and starts[-1] == grid.last + 1
    assert all(a <= b for a, b in itertools.pairwise(starts))
    assert all(grid.low <= middle <= grid.high for middle in grid.cell_middles) and len(grid.cell_middles) == CELLS


@pytest.mark.parametrize("ends", [(1.5, 1.5), (0.0, 0.0), (-math.inf, math.inf), (-3.0, 100.0), (math.inf, math.inf), (-0.0, 2.0**-130)])
def test_cells_of_special_ranges(ends):
    """One float, an infinite range, a range of zeros: the division by its width."""
    grid = exhaustive_grid(FLOAT32, *ends)

    assert grid.cell_starts[0] == grid.first and grid.cell_starts[-1] == grid.last + 1
    assert grid.cell_starts == sorted(grid.cell_starts)
    if ends == (-3.0, 100.0):
        widths = [b - a for a, b in itertools.pairwise([FLOAT32.from_ordinal(n) for n in grid.cell_starts[:-1]])]
        assert max(widths) - min(widths) < 1e-4
    if ends == (0.0, 0.0):
        assert (grid.first, grid.last) == (-1, 0), "both zeros are in a range of zero"


@pytest.mark.parametrize("dtype", list(FORMATS.values()), ids=lambda value: value.name)
def test_ordinals_are_decoded_to_their_floats(dtype):
    """Bits shifted or sign-extended wrongly on the way to an array."""
    rng = random.Random(2)
    top = dtype.infinity_ordinal
    ordinals = [-1 - top, -2, -1, 0, 1, 2, top, *(rng.randint(-1 - top, top) for _ in range(200))]
    wide = np.array(ordinals, dtype=object if dtype.bits == 64 else np.int64)
    decoded = [float(value) for value in decode_ordinals(dtype, wide)]

    assert [value.hex() for value in decoded] == [dtype.from_ordinal(n).hex() for n in ordinals]
    if dtype is FLOAT32:
        block = np.empty(64, np.float32)
        block_kernels.decode(-32, block)
        assert [float(x).hex() for x in block] == [dtype.from_ordinal(n).hex() for n in range(-32, 32)]


def test_a_sample_of_all_floats_reaches_both_infinities():
    """A sample of float64 whose middle overflows, or that stops at the largest float."""
    for dtype in FORMATS.values():
        grid = sampled_grid(dtype, -math.inf, math.inf, 50, "both", [])
        logits = [dtype.from_ordinal(n) for n in grid.sample]
        assert (logits[0], logits[-1]) == (-math.inf, math.inf)
        assert 0.0 in logits and sum(map(math.isfinite, logits)) > 45 and not grid.everything
        assert Fraction(logits[len(logits) // 2]) < 1


@pytest.mark.parametrize(("low", "high", "points"), [(1.0, -1.0, 5), (math.nan, 1.0, 5), (0.0, 1.0, 0), (0.0, 1.0, -3)])
def test_a_grid_of_nothing_is_refused(low, high, points):
    """An empty range that counts as swept."""
    with pytest.raises(UserError):
        sampled_grid(FLOAT32, low, high, points, "both", [])


@given(st.lists(st.tuples(st.integers(-60, 60), st.integers(0, 20)), min_size=1, max_size=8))
def test_of_segments_that_overlap_each_float_counts_once(ends):
    """What was searched lay in a region already: it held more points than floats, and merge refused the shard."""
    segments = np.array([(first, first + more, more + 1) for first, more in ends])
    floats = {position for first, last, _ in segments.tolist() for position in range(first, last + 1)}

    whole = summary.united(segments, 0).tolist()
    assert [position for first, last, _ in whole for position in range(first, last + 1)] == sorted(floats)
    assert all(points == last - first + 1 for first, last, points in whole)
    assert all(after[0] > before[1] + 1 for before, after in itertools.pairwise(whole))
