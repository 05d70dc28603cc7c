"""RoundedPoints: text rounded once to the dtype, pairing, and the domain."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import finite_floats, formats

from losscheck.core.dtypes import BFLOAT16, FLOAT16, FLOAT32, FLOAT64
from losscheck.core.errors import UserError
from losscheck.core.registry import loss_named
from losscheck.points.listed import RoundedPoints, check_domain, pair


def test_one_target_serves_all_logits():
    """A single --target being taken for the first logit alone."""
    points = pair([1.0, 2.0, 3.0], [0.5], FLOAT32)

    assert points == RoundedPoints((1.0, 2.0, 3.0), (0.5, 0.5, 0.5))
    assert len(points) == 3
    assert points.pairs() == [(1.0, 0.5), (2.0, 0.5), (3.0, 0.5)]


def test_logits_and_targets_pair_in_order():
    """Targets that go to other logits than they were given for."""
    assert pair(["-1", "2"], ["1", "0"], FLOAT32).pairs() == [(-1.0, 1.0), (2.0, 0.0)]


@pytest.mark.parametrize("targets", [[0.0, 1.0], [0.0] * 4, []])
def test_other_numbers_of_targets_are_an_error(targets):
    """RoundedPoints quietly dropped, or targets repeated, when the counts do not fit."""
    with pytest.raises(UserError, match="do not pair") as caught:
        pair([1.0, 2.0, 3.0], targets, FLOAT32)
    assert f"3 logits and {len(targets)} targets" in caught.value.problem
    assert caught.value.cure


def test_no_logit_is_an_error_with_the_cure():
    """An empty selection counting as success."""
    with pytest.raises(UserError, match="no logit") as caught:
        pair([], [1.0], FLOAT32)
    assert "--logit" in caught.value.cure


@pytest.mark.parametrize(
    ("text", "dtype", "once", "twice"),
    [
        ("1.00000005960464477540", FLOAT32, 1 + 2.0**-23, 1.0),
        ("-1.00000005960464477540", FLOAT32, -1 - 2.0**-23, -1.0),
        ("0x1.00000100000000000001p+0", FLOAT32, 1 + 2.0**-23, 1.0),
        ("1.00048828125000000001", FLOAT16, 1 + 2.0**-10, 1.0),
        ("1.00390625000000000001", BFLOAT16, 1 + 2.0**-7, 1.0),
        ("7.0064923216240853547e-46", FLOAT32, 2.0**-149, 0.0),
    ],
)
def test_text_is_rounded_once(text, dtype, once, twice):
    """A decimal rounded to float64 on its way to the dtype, where the second rounding goes the other way."""
    assert dtype.round(float.fromhex(text) if "0x" in text else float(text)) == twice
    assert pair([text], ["1"], dtype).logits == (once,)


def test_targets_are_rounded_to_the_dtype_too():
    """The oracle asked about a target that the implementation never saw."""
    assert pair([0.0], ["0.1"], FLOAT16).targets == (FLOAT16.round(0.1),)
    assert pair([0.0], [0.1], BFLOAT16).targets == (BFLOAT16.round(0.1),)
    assert pair([0.0], ["0.9999999999"], FLOAT32).targets == (1.0,)


@given(st.data())
def test_floats_of_the_dtype_pass_unchanged(data):
    """A logit of the dtype coming out as another one."""
    dtype = data.draw(formats())
    logits = data.draw(st.lists(finite_floats(dtype), min_size=1, max_size=5))

    assert pair(logits, [1.0], dtype).logits == tuple(logits)
    assert pair([x.hex() for x in logits], [1.0], dtype).logits == tuple(logits)


def test_wider_floats_are_rounded_to_the_dtype():
    """A float64 logit handed to the oracle as it is and to the implementation rounded."""
    assert pair([0.1], [1.0], FLOAT32).logits == (FLOAT32.round(0.1),)
    assert pair([1e-50], [1.0], FLOAT32).logits == (0.0,)
    assert pair([1], [1], FLOAT64).logits == (1.0,)


@pytest.mark.parametrize("logit", ["inf", math.inf, "-inf", -math.inf])
def test_infinite_logits_are_allowed(logit):
    """The limit at an infinite logit, which has an exact value, refused."""
    assert pair([logit], [1.0], FLOAT16).logits == (float(logit),)


def test_a_nan_logit_is_allowed():
    """NaN in, NaN out being impossible to ask for."""
    assert math.isnan(pair(["nan"], ["1"], FLOAT32).logits[0])


@pytest.mark.parametrize("logit", [1e39, "1e39", "-1e39"])
def test_a_finite_logit_beyond_the_dtype_is_an_error(logit):
    """A finite number judged as if infinity had been given."""
    with pytest.raises(UserError, match="beyond the largest float32") as caught:
        pair([logit], [1.0], FLOAT32)
    assert "logit" in caught.value.problem


@pytest.mark.parametrize("target", ["-0.1", "1.1", "2", "nan", "inf", "-inf", -0.1, 1.1, math.nan, math.inf])
def test_a_target_outside_the_unit_interval_is_an_error(target):
    """A label that is no label, NaN included, being judged."""
    with pytest.raises(UserError, match="is outside") as caught:
        pair([1.0], [target], FLOAT32)
    assert f"target {target}" in caught.value.problem


def test_every_target_is_checked():
    """Only the first of several targets being looked at."""
    with pytest.raises(UserError, match=r"target 1\.5"):
        pair([1.0, 2.0, 3.0], [0.0, 1.0, 1.5], FLOAT32)


@pytest.mark.parametrize(("logits", "targets", "what"), [(["abc"], ["1"], "logit 'abc'"), (["1"], ["abc"], "target 'abc'")])
def test_text_that_is_no_number_is_an_error_that_says_which(logits, targets, what):
    """A message that leaves open which option was wrong."""
    with pytest.raises(UserError, match="is not a number") as caught:
        pair(logits, targets, FLOAT32)
    assert what in caught.value.problem


def test_a_soft_target_is_refused_by_a_loss_of_hard_targets():
    """The focal loss judged at a target it is not defined for."""
    focal = loss_named("weighted-focal")
    with pytest.raises(UserError, match=r"no soft target 0\.5") as caught:
        check_domain(pair([1.0, 2.0], [1.0, 0.5], FLOAT32), focal)
    assert "--loss" in caught.value.cure
    check_domain(pair([1.0, 2.0], [0.0, 1.0], FLOAT32), focal)


@pytest.mark.parametrize("name", ["bce", "centernet-heatmap"])
def test_soft_targets_are_taken_where_they_are_defined(name):
    """A soft label refused by a loss that has a value for it."""
    check_domain(pair([1.0] * 4, [0.0, 2.0**-149, 0.5, 1.0], FLOAT32), loss_named(name))


def test_check_domain_refuses_what_pair_would():
    """RoundedPoints built without `pair` bypassing the domain."""
    with pytest.raises(UserError, match="outside"):
        check_domain(RoundedPoints((0.0,), (1.5,)), loss_named("bce"))
    with pytest.raises(UserError, match="outside"):
        check_domain(RoundedPoints((0.0,), (math.nan,)), loss_named("bce"))
