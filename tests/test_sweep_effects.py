"""What a sweep says of training: loss and gradient of each float judged together, with exact ends and a share of the axis."""

import math

import pytest

from losscheck.core import request
from losscheck.core.dtypes import FLOAT32
from losscheck.core.effect import Effect, Truth
from losscheck.measure.compare import evaluate
from losscheck.measure.sweep import run_tasks, tasks_of
from losscheck.measure.sweep_rows import rows_of
from losscheck.measure.task import Finding

RANGE = {"losses": ("bce",), "backends": ("torch",), "low": "-100", "high": "100"}


def swept(**asked):
    tasks = tasks_of(request.swept(**{**RANGE, **asked}))
    findings = [Finding() for _ in tasks]
    run_tasks(tasks, findings)
    return rows_of(tasks, findings)


def effect_at(impl, target, dtype="float32", **more):
    """The effect of both rows, which is one."""
    loss, grad = swept(impl=(impl,), targets=(target,), dtypes=(dtype,), **more)
    assert loss.effect == grad.effect and (loss.quantity, grad.quantity) == ("loss", "grad")
    return loss.effect


@pytest.mark.parametrize("target", ["0", "1"])
def test_bce_with_logits_has_tails_and_no_more(target):
    """A loss that is off by 4.8e-07 at most, called broken because it is 0 where 3e-7 is right."""
    found = effect_at("torch-bce-with-logits", target)

    assert found.effect is Effect.TAILS and found.truth is Truth.ROUNDING
    assert 1e-7 < found.loss_error <= 4.8e-7 and 1e-8 < found.grad_error <= 8.8e-8


def test_sigmoid_and_bceloss_is_dead_at_target_0():
    """A gradient of 0 where 1 is right, from the float on at which the sigmoid rounds to 1."""
    found = effect_at("torch-sigmoid-bceloss", "0")

    assert (found.effect, found.truth, found.quantity, found.value) == (Effect.DEAD, Truth.ROUNDING, "grad", 0.0)
    assert 16.63 < found.first < 16.64 and found.last == 100.0
    assert found.share == pytest.approx((100 - found.first) / 200, abs=1e-6)
    assert found.loss_error == pytest.approx(100 - 16.6355, abs=1e-3) and found.grad_error == 1.0
    ends = [FLOAT32.neighbour(found.first, -1), found.first]
    points = [evaluate("bce", "torch-sigmoid-bceloss", logit=x, target=0.0, quantity="grad", backends=("torch",)) for x in ends]
    assert points[0].value != 0 == points[1].value


@pytest.mark.parametrize("target", ["0.5", "1"])
def test_sigmoid_and_bceloss_misdirects_below(target):
    """The floor of the logarithm: a gradient of less than half of what is right, by the formula itself."""
    found = effect_at("torch-sigmoid-bceloss", target)

    assert (found.effect, found.truth) == (Effect.MISDIRECTS, Truth.DEVIATION)
    assert -88.73 < found.first < -88.7 and -28.4 < found.last < -28.3
    assert found.share == pytest.approx((found.last - found.first) / 200, abs=1e-6)


@pytest.mark.parametrize(("target", "dtype"), [("0", "float32"), ("1", "float32"), ("0", "float16")])
def test_naive_poisons(target, dtype):
    """One NaN that a share of a few floats hides."""
    found = effect_at("naive", target, dtype)

    assert found.effect is Effect.POISONS and math.inf in (found.loss_error, found.grad_error)


def test_bfloat16_misstates_between_two_floats():
    """0 where 0.0155 is right, and only there: every bfloat16 of the range is judged."""
    found = effect_at("torch-bce-with-logits", "0", "bfloat16")

    assert (found.effect, found.quantity, found.value) == (Effect.MISSTATES, "loss", 0.0)
    assert (found.first, found.last) == (-4.5, -4.0) and found.exact == pytest.approx(0.0155, abs=1e-4)
    assert found.share == 0.5 / 200
    assert effect_at("stable", "0", "bfloat16").effect in (Effect.TAILS, Effect.SOUND)


@pytest.mark.parametrize(
    ("impl", "target"), [("torch-sigmoid-bceloss", "1"), ("torch-bce-with-logits", "0"), ("torch-sigmoid-bceloss", "0")]
)
def test_two_samples_give_one_effect(impl, target):
    """A share that depends on how the sample was drawn: two samples find the same ends."""
    samples = [effect_at(impl, target, points=points, spacing=spacing) for points, spacing in ((900, "linear"), (1500, "both"))]

    assert {span.effect for span in samples} == {samples[0].effect}
    if samples[0].effect is not Effect.TAILS:
        assert {(span.first, span.last) for span in samples} == {(samples[0].first, samples[0].last)}
        assert samples[0].share == pytest.approx(samples[1].share, abs=1e-6)


def test_one_quantity_is_judged_by_itself():
    """A loss without its gradient, whose effect is that of the loss: the floor of 100, and no dead gradient."""
    (row,) = swept(impl=("torch-sigmoid-bceloss",), targets=("0",), quantities=("loss",))

    assert row.effect.effect is Effect.MISSTATES and row.effect.grad_error is None


def test_infinite_logits_have_no_effect():
    """The whole of bfloat16: a NaN at an infinite logit is told by the outcomes."""
    found = effect_at("stable", "0", "bfloat16", low="-inf", high="inf")

    assert found.effect in (Effect.TAILS, Effect.SOUND) and found.share is None


@pytest.mark.parametrize("impl", ["torch-sigmoid-bceloss", "torch-bce-with-logits"])
def test_the_compiled_engine_finds_the_effects_of_arrays(monkeypatch, impl):
    """A fused loop that judges effects by other numbers than the arrays do."""
    plain = effect_at(impl, "0", low="16.6", high="16.7", exhaustive=True)
    monkeypatch.setattr("losscheck.measure.compiled.WORTHWHILE", 2**12)
    compiled = effect_at(impl, "0", low="16.6", high="16.7", exhaustive=True)

    assert (compiled.effect, compiled.truth, compiled.first, compiled.last) == (plain.effect, plain.truth, plain.first, plain.last)
    assert compiled.loss_error == pytest.approx(plain.loss_error) and compiled.grad_error == pytest.approx(plain.grad_error)
