"""Effects on the rows of compare: loss and gradient judged together, by the definition, and blamed on one of two truths."""

import json
import math

import pytest

import losscheck
from losscheck.core.effect import Effect, Truth
from losscheck.core.outcome import Outcome

pytestmark = pytest.mark.usefixtures("plain_surroundings")


def rows_of(*impl, logit, target=0.0, loss="bce", **more):
    more = {"backend": "torch", **more}
    return losscheck.compare(list(impl), loss=loss, logit=logit, target=target, **more).rows


def test_the_rows_of_a_point_say_the_same():
    """`Sigmoid` + `BCELoss` at 17: the gradient is 0 where 1 is right, and the row of the loss tells as well."""
    loss, grad = rows_of("torch-sigmoid-bceloss", logit=17.0)

    assert loss.effect is not None
    assert loss.effect == grad.effect
    assert (loss.effect.effect, loss.effect.truth, loss.effect.quantity) == (Effect.DEAD, Truth.ROUNDING, "grad")
    assert (loss.effect.value, loss.effect.logit, loss.effect.target) == (0.0, 17.0, 0.0)
    assert loss.effect.exact == pytest.approx(1.0, abs=1e-7)
    assert (loss.effect.loss_error, loss.effect.grad_error) == (pytest.approx(83.0, abs=1e-4), pytest.approx(1.0, abs=1e-7))


def test_an_effect_without_a_failing_outcome_is_the_formulas():
    """At -50, target 1, its backward pass divides by 1e-12: right to the last bit for that, and far too little."""
    loss, grad = rows_of("torch-sigmoid-bceloss", logit=-50.0, target=1.0)

    assert (loss.outcome, grad.outcome) == (Outcome.OK, Outcome.OK)
    assert (grad.effect.effect, grad.effect.truth, grad.effect.quantity) == (Effect.MISDIRECTS, Truth.DEVIATION, "grad")


def test_the_loss_alone_is_judged_alone():
    """Without the gradient nobody can say that it is dead; the loss of 100 is still misstated."""
    (loss,) = rows_of("torch-sigmoid-bceloss", logit=17.0, quantity="loss")

    assert (loss.effect.effect, loss.effect.quantity, loss.effect.grad_error) == (Effect.MISSTATES, "loss", None)


def test_a_sound_point_has_nobody_to_blame():
    """All that is told of it is the error of each quantity."""
    (loss, _) = rows_of("stable", logit=1.5)

    assert (loss.effect.effect, loss.effect.truth, loss.effect.quantity) == (Effect.SOUND, None, "")
    assert loss.effect.loss_error < 1e-6


def test_points_and_subjects_are_not_mixed():
    """Each point of each implementation has its own effect, in the order of the rows."""
    rows = rows_of("torch-sigmoid-bceloss", "stable", logit=[1.5, 17.0, 1.5], target=[0.0, 0.0, 1.0])
    effects = [(row.implementation, row.logits[0], row.effect.effect) for row in rows if row.quantity == "loss"]

    assert effects == [
        ("stable", 1.5, Effect.SOUND),
        ("stable", 17.0, Effect.SOUND),
        ("stable", 1.5, Effect.SOUND),
        ("torch-sigmoid-bceloss", 1.5, Effect.SOUND),
        ("torch-sigmoid-bceloss", 17.0, Effect.DEAD),
        ("torch-sigmoid-bceloss", 1.5, Effect.SOUND),
    ]


WITHOUT = {
    "infinite": {"logit": math.inf},
    "NaN": {"logit": math.nan},
    "reduced": {"logit": [1.0, 2.0], "reduction": "mean"},
    "unavailable": {"logit": 17.0, "params": {"pos_weight": 2.0}},
}


@pytest.mark.parametrize("more", WITHOUT.values(), ids=WITHOUT)
def test_what_has_no_effect(more):
    """Logits that are no numbers, reductions, and an implementation that cannot run."""
    assert {row.effect for row in rows_of("torch-sigmoid-bceloss", **more)} == {None}


def test_autocast_is_judged_by_the_noise_of_what_came_out():
    """bfloat16 logits: the loss is a float32, and its gradient no better than bfloat16."""
    loss, grad = rows_of("torch-bce-with-logits", logit=-4.25, dtype="bfloat16", mode="autocast:bfloat16")

    assert (loss.dtype, grad.dtype) == ("float32", "bfloat16")
    assert loss.effect == grad.effect
    assert not loss.effect.effect.harmful


def test_the_parameters_make_the_scale():
    """A loss of 0 where 0.0141 is right: a part of ln 2, and nothing where losses of 1000 ln 2 are common."""
    plain, weighted = (
        rows_of("torch-bce-with-logits", logit=-4.25, dtype="bfloat16", params={"pos_weight": weight})[0].effect for weight in (1.0, 1000.0)
    )

    assert (plain.effect, weighted.effect) == (Effect.MISSTATES, Effect.TAILS)
    assert plain.loss_error == weighted.loss_error


def test_json_has_the_effect(call):
    """Word, blame and quantity of every row; null where there is none."""
    words = ("compare", "--loss", "bce", "--impl", "torch-sigmoid-bceloss", "--target", "0", "--format", "json")
    rows = [json.loads(call(*words, "--logit", logit)[1])["rows"][0] for logit in ("17", "1.5", "inf")]

    assert [(row["effect"], row["effect_truth"], row["effect_quantity"]) for row in rows] == [
        ("dead", "rounding", "grad"),
        ("sound", None, None),
        (None, None, None),
    ]
