"""What a block of a sweep leaves behind: results that were refused, ranges that were looked at, the worst points, the answer of a chunk."""

import itertools
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from losscheck.core.dtypes import FORMATS
from losscheck.core.request import swept
from losscheck.measure.effect_stream import EFFECT, SOUND
from losscheck.measure.plan import tasks_of
from losscheck.measure.refusals import answering
from losscheck.measure.runner import Runner
from losscheck.measure.summary import WORST
from losscheck.measure.sums import Total
from losscheck.measure.totals import Totals, bits_of_float, merged
from losscheck.points.grid import CELLS


def refusing(dtype, *, gradient, without_gradient=()):
    """An implementation x -> x/3 (slope 1/3) that refuses whole arrays and logits above 1, as what calls it sees it."""

    def pieces(logits, target):
        for n, logit in enumerate(logits):
            slope = None if not gradient or logit in without_gradient else [1 / 3]
            yield SimpleNamespace(start=n, stop=n + 1, output=None if logit > 1 else SimpleNamespace(loss=[logit / 3], grad=slope))

    class Refusing:
        invocation = SimpleNamespace(dtype=FORMATS[dtype], gradient=gradient)
        refusal = staticmethod(lambda error: SimpleNamespace(reason=str(error)))

        def __call__(self, logits, target):
            raise ValueError("too large")

    caller = Refusing()
    caller.pieces = pieces
    return answering(caller, 0.0)


@pytest.mark.parametrize("dtype", FORMATS)
def test_what_is_asked_one_by_one_keeps_its_digits(dtype):
    """float64 in float64; the narrower ones in float32, of which the kernels are compiled."""
    answer = refusing(dtype, gradient=True)(np.array([0.5, 2.0, 0.25]))
    wide = np.float64 if dtype == "float64" else np.float32

    assert answer.loss.dtype == answer.grad.dtype == wide
    assert answer.loss[[0, 2]].tolist() == [float(wide(x / 3)) for x in (0.5, 0.25)]
    assert answer.grad[[0, 2]].tolist() == [float(wide(1 / 3))] * 2
    assert np.isnan([answer.loss[1], answer.grad[1]]).all()
    assert {name: mask.tolist() for name, mask in answer.refused.items()} == {name: [False, True, False] for name in ("loss", "grad")}


def test_where_there_is_no_gradient_only_the_gradient_was_refused():
    """Of one element, its own loss stands; where none is asked there is none, and no NaN either."""
    answer = refusing("float32", gradient=True, without_gradient=(0.25,))(np.array([0.5, 2.0, 0.25]))

    assert (answer.refused["loss"].tolist(), answer.refused["grad"].tolist()) == ([False, True, False], [False, True, True])
    assert np.isnan(answer.grad).tolist() == [False, True, True]
    assert refusing("float32", gradient=False)(np.array([0.5, 2.0])).grad is None


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 6)), max_size=8))
def test_merged_ranges_hold_the_same_floats(parts):
    """None is added between two of them, none is lost, and no two touch."""
    ranges = [(begin, begin + length) for begin, length in parts]
    found = merged(ranges)

    assert {n for part in found for n in range(*part)} == {n for part in ranges for n in range(*part)}
    assert all(before[1] < after[0] for before, after in itertools.pairwise(found))


@given(st.lists(st.tuples(st.integers(0, SOUND), st.integers(1, 10**6)), min_size=1, max_size=40, unique_by=lambda pair: pair[1]))
def test_the_worst_effects_of_a_block_are_the_most_severe_and_of_these_the_largest(points):
    """Few of the worst effect and more of the next: the largest of the next, and not the first that come."""
    codes, sizes = np.array([code for code, _ in points], np.int8), np.array([bits_of_float(size) for _, size in points], np.int32)
    cells = np.append(np.arange(CELLS), 2**40)
    totals = Totals(EFFECT, None, cells, len(points))
    totals.add(0, sizes, codes, int(sizes.max()), int(codes.min()), {"loss": np.zeros(len(points))})

    right = sorted(points, key=lambda point: (point[0], -point[1]))[:WORST]
    assert [(kept.code, kept.size) for kept in totals.total.worst] == right


@given(st.lists(st.tuples(st.floats(0, 1e308), st.floats(0, 1)), min_size=1, max_size=30))
def test_the_radius_of_a_sum_covers_its_bounds_and_little_more(terms):
    """Also where the bounds add up to more than the largest float."""
    values, bounds = (np.array(column) for column in zip(*terms, strict=True))
    total = Total()
    total.add(values, bounds)
    exact = sum(Fraction(value) * Fraction(bound) for value, bound in terms)
    missed = abs(total.middle - sum(map(Fraction, values.tolist())))

    assert exact + missed <= total.radius <= exact * (1 + Fraction(1, 2**19)) + sum(map(Fraction, values.tolist())) / 2**80 + 2


def test_a_chunk_is_answered_for_its_own_task():
    """Whatever was asked before; the NaN logits are counted where they belong, and where there is no answer there are none."""
    question = swept(("bce",), "-20", "20", targets=("1",), impl=("naive", "stable"), backends=("numpy",), dtypes=("float16",))
    tasks = tasks_of(question)
    whole = [task.chunk(number, 0) for number, task in enumerate(tasks)]
    runner = Runner(tasks)

    def told(runner, chunk):
        answer = runner.scan(chunk)
        return {name: summary.to_json() for name, summary in answer.summaries.items()}, answer.reason, answer.nan_points, answer.nan_wrong

    alone = [told(Runner(tasks), chunk) for chunk in whole]
    assert [told(runner, whole[n]) for n in (0, 1, 0)] == [alone[n] for n in (0, 1, 0)]
    assert alone[0][0] != alone[1][0]
    assert [answer[1:] for answer in alone] == [("", 0, 0)] * len(tasks)
