"""What is said of a callable that follows another convention: each kind named rightly, nothing said that was not checked."""

import math
import re

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from convention_kinds import KINDS, bce, focal

import losscheck
from losscheck.callables.diagnose import diagnose
from losscheck.callables.implementation import accepted, own_implementation
from losscheck.callables.loading import load, register
from losscheck.callables.recognise import recognise
from losscheck.callables.recognition import Confidence
from losscheck.core import registry
from losscheck.core.call_spec import PLAIN_CALL
from losscheck.core.dtypes import BFLOAT16, FLOAT16, FLOAT32, FLOAT64

JUDGED = (FLOAT32, BFLOAT16, FLOAT16)


def said(loss, function, dtypes=(), **params):
    chosen = registry.loss_named(loss)
    implementation = own_implementation(register(function), chosen, PLAIN_CALL)
    return diagnose(chosen, implementation, chosen.resolve(params, FLOAT64), dtypes).sentence


@pytest.mark.parametrize(("loss", "kind", "function", "words", "never"), KINDS, ids=[f"{kind[0]}: {kind[1]}" for kind in KINDS])
def test_each_kind_is_named(loss, kind, function, words, never):
    """Nothing for the definition; else the words for it, and never those for another kind."""
    text = said(loss, function)

    assert bool(text) == bool(words)
    assert all(word in text for word in words)
    assert not any(word in text for word in never)


CURED = [kind for kind in KINDS if "--param" in "".join(kind[3])]


@pytest.mark.parametrize("kind", CURED, ids=[kind[1] for kind in CURED])
def test_an_option_that_is_told_has_been_run(kind):
    """With the `--param` that is told, nothing is left to say of hard targets."""
    loss, _, function, _, _ = kind
    told = {name: float(value) for name, value in re.findall(r"--param (\w+)=([-\d.]+)", said(loss, function))}

    assert told and "it looks like" not in said(loss, function, **told)


def test_a_clamp_that_a_dtype_rounds_away_is_told_so():
    """1 - 1e-4 is 1 in both 16-bit dtypes: what holds in float64 and float32 does not hold there."""

    def clamped(x, z):
        p = torch.sigmoid(x).clamp(1e-4, 1 - 1e-4)
        return -(z * torch.log(p) + (1 - z) * torch.log(1 - p))

    text = said("bce", clamped, JUDGED)

    assert "in bfloat16 and float16 1 - 0.0001 rounds to 1, and that side of the clamp is gone" in text


@pytest.mark.parametrize("function", [lambda x, y: F.softplus(-x * y), lambda x, y: bce(x, (1 + y) / 2)])
def test_labels_of_minus_1_and_1_come_with_the_call_that_gives_them(function):
    """One call, the likelier, and run before it is told."""
    text = said("bce", function)

    assert "labels are -1 and 1" in text
    assert text.count("--call") == 1 and "makes both agree" in text


def hidden(x, z):
    """A where over logarithms of probabilities, which become 0 and 1 in every dtype at other logits."""
    p = torch.sigmoid(x)
    return torch.where(z == 1, -torch.log(p), -torch.log(1 - p))


def test_where_exp_overflows_is_rounding_and_no_other_convention():
    """The sigmoid of -90 is subnormal in float32, or 0 where its code overflows: neither says a word about targets."""
    text = said("bce", hidden, JUDGED)

    assert "targets are truncated" in text and "not so in" not in text


def test_what_is_otherwise_in_a_dtype_is_told():
    """Code that takes another way for half-precision logits."""

    def branching(x, z):
        return (3 if x.dtype == torch.bfloat16 else 2) * bce(x, z)

    text = said("bce", branching, JUDGED)

    assert "twice the definition" in text and "not so in bfloat16" in text and "float16 and" not in text


def reduction_of(function):
    backend, adapted = accepted(load(register(function)), PLAIN_CALL, ())
    return adapted.tried(backend)


def test_a_sum_over_the_positives_without_a_guard_is_no_mean():
    """Without a positive it divides by 0; with one its number is judged against the sum over the number of positives."""

    def unguarded(logits, targets):
        return bce(logits, targets).sum() / (targets == 1).sum()

    assert reduction_of(unguarded).reduction == "normalised"
    given = {"loss": "bce", "logit": [-3.0, 4.0, -2.0], "target": [0, 1, 0], "reduction": "published", "quantity": "loss"}
    (row,) = losscheck.compare(unguarded, **given).rows
    assert row.value == pytest.approx(math.log1p(math.exp(-3)) + math.log1p(math.exp(-4)) + math.log1p(math.exp(-2)))
    assert abs(row.ulp) < 4


def test_a_reduction_by_image_is_no_mean():
    """In one row of points it cannot be told from one; in another layout it can."""

    def by_image(logits, targets):
        rows = [array.reshape(len(array), -1) for array in (bce(logits, targets), (targets == 1).to(logits.dtype))]
        return (rows[0].sum(1) / rows[1].sum(1).clamp(min=1)).mean()

    assert reduction_of(by_image).reduces and reduction_of(by_image).reduction == ""


def test_infinities_do_not_depend_on_each_other():
    """inf - inf is no difference: an elementwise loss that overflows is elementwise."""

    def overflows(logits, targets):
        return torch.where(logits < -2, torch.inf, bce(logits, targets))

    assert not reduction_of(overflows).coupled


def test_a_control_for_the_points_held_back():
    """What is right at the points it could be found with alone is not named."""
    from losscheck.callables.samples import FAR, ORDINARY

    def lookup(logits, targets):
        known = torch.tensor([*ORDINARY, *FAR], dtype=logits.dtype)
        return torch.where(torch.isin(logits, known), 2 * bce(logits, targets), 3 * bce(logits, targets))

    assert "twice" not in said("bce", lookup) and "3 x" not in said("bce", lookup)


def test_a_convention_is_confirmed_at_soft_targets():
    """Right at hard targets and at one soft one, otherwise elsewhere: it is not called by that name."""

    def odd(logits, targets):
        return torch.where(targets == 0.4, bce(logits, targets), 2 * bce(logits, targets))

    assert "twice" not in said("bce", odd)


def test_a_focal_loss_without_alpha_is_a_value_of_its_parameter():
    """`alpha=none`, and -1 as people write it: both weights are 1, and the stable implementation is sound there too."""
    by_name, by_number = (
        losscheck.compare("stable", loss="weighted-focal", logit=[-3, 0.5, 30], target=[0, 1, 1], params={"alpha": alpha}).rows
        for alpha in ("none", -1)
    )

    assert [row.value for row in by_name] == [row.value for row in by_number]
    assert all(row.outcome.value == "ok" for row in by_name)
    exact = losscheck.compare("mpmath", loss="weighted-focal", logit=0.5, target=1, params={"alpha": None}, quantity="loss").rows[0].value
    assert exact == pytest.approx((1 / (1 + math.exp(0.5))) ** 2 * math.log1p(math.exp(-0.5)))


def left_out(x, z, alpha=-1):
    return focal(x, z, weight=lambda z: 1)


def no_alpha(x, z, alpha=None):
    return focal(x, z, weight=lambda z: 1)


@pytest.mark.parametrize("function", [left_out, no_alpha])
def test_an_alpha_that_is_left_out_is_recognised(function):
    """As fvcore and monai write it."""
    best = recognise(function)[0]

    assert (best.loss.name, best.confidence) == ("soft-focal", Confidence.AGREES)
    assert best.words.startswith("soft-focal with alpha=none, gamma=2")
    assert "alpha is left out" in said("weighted-focal", function) and "--param alpha=-1" in said("weighted-focal", function)


def test_what_cannot_leave_alpha_out_is_not_judged_so():
    """A weight gathered from (alpha, 1 - alpha) has no none."""
    rows = losscheck.compare("weighted-focal-loss", loss="weighted-focal", logit=1, params={"alpha": "none"}).rows

    assert {row.reason for row in rows} == {"weighted-focal-loss cannot leave alpha out"}
