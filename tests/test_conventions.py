"""A deviation that looks like a convention is named, with its cure; what is none is not."""

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from asked import select
from hypothesis import given
from hypothesis import strategies as st
from strategies import losses
from strategies import params as any_params

from losscheck.callables.conventions import GUARDS, Definition
from losscheck.callables.diagnose import diagnose
from losscheck.callables.fit import Fit
from losscheck.callables.implementation import own_implementation
from losscheck.callables.plain import NO_GUARD, PlainArithmetic, Reach
from losscheck.core import registry
from losscheck.core.call_spec import PLAIN_CALL, CallSpec
from losscheck.core.dtypes import FLOAT64
from losscheck.oracle.refine import Term, exact_value

FILE = str(Path(__file__).with_name("own_losses.py"))
LOSSES = registry.losses()
BCE = LOSSES["bce"]


def bce(x, z):
    return F.binary_cross_entropy_with_logits(x, z, reduction="none")


def focal(x, z, alpha=0.25, gamma=2.0, at=None):
    loss = bce(x, z)
    weight = at(z, alpha) if at else torch.where(z == 1, alpha, 1 - alpha).to(x.dtype)
    return weight * (1 - torch.exp(-loss)) ** gamma * loss


def heatmap(x, z, alpha=2.0, beta=4.0):
    negative = (1 - z) ** beta * torch.sigmoid(x) ** alpha * F.softplus(x)
    return torch.where(z == 1, torch.sigmoid(-x) ** alpha * F.softplus(-x), negative)


def of_p(p, z):
    return -(z * torch.log(p) + (1 - z) * torch.log(1 - p))


@pytest.fixture
def explain(monkeypatch):
    """What is said about a function as an implementation of a loss."""

    def run(loss, function, call_spec=PLAIN_CALL, **params):
        chosen = LOSSES[loss]
        one = own_implementation(f"{FILE}:good", chosen, CallSpec(pick=call_spec.pick))
        made = type(one.function)(type(one.function.own)("f.py:f", function, "", 0), call_spec)
        implementation = type(one)(chosen.name, "f.py:f", made, "a test", ("torch",), own=True)
        return diagnose(chosen, implementation, chosen.resolve(params, FLOAT64)).sentence

    return run


# What is recognised ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "function", "words", "cure"),
    [
        ("weighted-focal", lambda x, z: focal(x, z, 0.75), "swapped: 3 x the definition for target 1, 1/3 x for target 0",
         "--param alpha=0.75"),
        ("weighted-focal", lambda x, z, alpha=0.25: focal(x, z, 1 - alpha), "alpha and 1 - alpha are swapped", "--kw alpha=0.75"),
        ("weighted-focal", lambda x, z, alpha=0.75: focal(x, z, alpha), "alpha is 0.75 and not 0.25", "--kw alpha=0.25"),
        ("weighted-focal", lambda x, z: focal(x, z, at=lambda z, a: 1.0), "alpha is left out: 4 x the definition for target 1, 4/3 x", ""),
        ("weighted-focal", lambda x, z: focal(x, z, at=lambda z, a: a), "alpha weighs both classes: 1 x the definition for target", ""),
        ("weighted-focal", lambda x, z: focal(x, z, at=lambda z, a: torch.where(z == 1, a, 1.0)), "alpha weighs class 1 alone", ""),
        ("weighted-focal", lambda x, z: focal(x, z, gamma=1.5), "gamma is 1.5 and not 2", "--param gamma=1.5"),
        ("weighted-focal", lambda x, z: focal(x, z, 0.75, 0.0), "alpha is 0.75 and not 0.25 and gamma is 0 and not 2", "--param gamma=0"),
        ("weighted-focal", lambda x, z: focal(x, z, 0.5), "alpha is 0.5 and not 0.25", "--param alpha=0.5"),
        ("weighted-focal", bce, "gamma is 0 and not 2, and alpha is left out: 4 x the definition for target 1", ""),
        ("weighted-focal", lambda x, z: 2 * focal(x, z, gamma=1.5), "gamma is 1.5 and not 2, and twice the definition", ""),
        ("bce", lambda x, z: 2 * bce(x, z), "twice the definition", ""),
        ("bce", lambda x, z: bce(x, z) / 80, "0.0125 x the definition, everywhere", ""),
        ("bce", lambda x, z: -bce(x, z), "sign flipped", ""),
        ("bce", lambda x, z: bce(x, z) / math.log(2), "base 2", ""),
        ("bce", lambda x, z: bce(x, z.long().to(x.dtype)), "targets are truncated", ""),
        ("bce", lambda x, z: bce(x, z.round()), "targets are rounded", ""),
        ("bce", lambda x, z: bce(x, 1 - z), "targets 0 and 1 are swapped", ""),
        ("bce", lambda x, z: bce(torch.sigmoid(x), z), "a sigmoid is applied twice", ""),
        ("bce", of_p, "logits are taken for probabilities", "--input probabilities"),
        ("bce", lambda x, z: F.binary_cross_entropy(x, z, reduction="none"), "logits are taken for probabilities", "--input probabilities"),
        ("bce", lambda x, z: bce(x, z) + x * x, "it computes something else", "--formula"),
        ("bce", lambda x, z: bce(x, z) + z * (1 - z), "it treats soft targets in a way of its own", "--formula"),
        ("centernet-heatmap", lambda x, z: heatmap(x, z, 4.0, 2.0), "alpha and beta are swapped (alpha=2, beta=4)", "--param alpha=4"),
        ("centernet-heatmap", lambda x, z: heatmap(x, z, beta=2.0), "beta is 2 and not 4", "--param beta=2"),
    ],
)  # fmt: skip
def test_a_convention_is_named_with_its_cure(explain, loss, function, words, cure):
    """Each as people write it."""
    text = explain(loss, function)

    assert words in text and cure in text
    assert text.endswith(".")


@pytest.mark.parametrize("size", [1e-3, 1e-4, 1e-6, 1e-7, 1e-8, 1e-12])
@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x, z, e: -(z * torch.log(torch.sigmoid(x) + e) + (1 - z) * torch.log(1 - torch.sigmoid(x) + e)), "eps={} is added inside"),
        (lambda x, z, e: of_p(torch.sigmoid(x).clamp(e, 1 - e), z), "the probability is clamped to [{},"),
        (
            lambda x, z, e: -(z * torch.log(torch.sigmoid(x).clamp(min=e)) + (1 - z) * torch.log((1 - torch.sigmoid(x)).clamp(min=e))),
            "the probability is held above {} inside",
        ),
    ],
    ids=["eps", "clamp", "log-clamp"],
)
def test_a_guard_is_named_with_its_size(explain, function, words, size):
    """Three guards that differ only far out, or in the ninth digit."""
    assert words.format(f"{size:.3g}") in explain("bce", lambda x, z: function(x, z, size))


@pytest.mark.parametrize("limit", [10.0, 20.0, 50.0])
def test_a_clamped_logit_and_a_floored_logarithm_are_named(explain, limit):
    """Values that are no round probability. From 37 on float64 cannot tell the two apart: then it is the floor."""
    clamped = explain("bce", lambda x, z: bce(x.clamp(-limit, limit), z))
    floored = explain("bce", lambda x, z: z * F.softplus(-x).clamp(max=limit) + (1 - z) * F.softplus(x).clamp(max=limit))

    assert f"each logarithm is held above -{limit:g}" in floored
    assert (f"the logit is clamped to +-{limit:g}" in clamped) if limit < 37 else clamped == floored


def test_a_convention_and_a_guard_are_told_together(explain):
    """A swapped alpha behind a clamp, as it is copied."""

    def function(x, z):
        p = torch.sigmoid(x).clamp(1e-4, 1 - 1e-4)
        return torch.where(z == 1, -0.75 * (1 - p) ** 2 * torch.log(p), -0.25 * p**2 * torch.log(1 - p))

    text = explain("weighted-focal", function)

    assert "alpha and 1 - alpha are swapped" in text and "clamped to [0.0001, 1 - 0.0001]" in text


def test_a_missing_pos_weight_is_named(explain):
    """Only where the definition has one."""
    assert "pos_weight is left out" in explain("bce", bce, pos_weight=3.0)
    assert explain("bce", bce) == ""


def test_a_sigmoid_too_many_is_told_with_the_input_option(explain):
    """--input probabilities for a function that takes logits."""
    assert "--input logits" in explain("bce", bce, CallSpec(input="probabilities"))


def test_a_function_of_float32_alone_is_explained_too(explain):
    """With the precision there is."""

    def function(x, z):
        if x.dtype != torch.float32:
            raise TypeError("float32 only")
        return focal(x, z, 0.75)

    assert "alpha and 1 - alpha are swapped" in explain("weighted-focal", function)


# What is not -----------------------------------------------------------------------------------------------------------


def naive_focal(x, z):
    p = torch.sigmoid(x)
    return torch.where(z == 1, -0.25 * (1 - p) ** 2 * torch.log(p), -0.75 * p**2 * torch.log(1 - p))


@pytest.mark.parametrize(
    ("loss", "function"),
    [
        ("bce", bce),
        ("bce", lambda x, z: of_p(torch.sigmoid(x), z)),
        ("weighted-focal", focal),
        ("weighted-focal", naive_focal),
        ("centernet-heatmap", heatmap),
    ],
)
def test_rounding_is_no_convention(explain, loss, function):
    """The definition, however badly computed: it overflows, cancels and says log(0), and follows no convention."""
    assert explain(loss, function) == ""


@given(st.data())
def test_the_stable_implementation_of_a_loss_follows_its_definition(data):
    """With any parameters: no convention may be found in what is right."""
    loss = data.draw(st.sampled_from(list(LOSSES.values())))
    drawn = data.draw(any_params(loss, FLOAT64))
    chosen = {
        parameter.name: drawn[parameter.name]
        if parameter.words
        else min(max(drawn[parameter.name], 0.1), 0.9 if parameter.high == 1 else 4.0)
        for parameter in loss.parameters
    }
    (stable,) = select([loss], ["stable"])

    def function(x, z):
        return stable.function(torch, x, z, **chosen)

    one = own_implementation(f"{FILE}:good", loss, PLAIN_CALL)
    made = type(one.function)(type(one.function.own)("f.py:f", function, "", 0), PLAIN_CALL)

    assert diagnose(loss, type(one)(loss.name, "f.py:f", made, "a test", ("torch",), own=True), chosen).sentence == ""


# What it stands on -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES.values(), ids=lambda value: value.name)
@pytest.mark.parametrize("logit", [-40.0, -5.0, -0.5, 0.0, 0.75, 5.0, 40.0])
def test_plain_floats_evaluate_a_formula_as_the_oracle_does(loss, logit):
    """To 1e-13, without a guard: what a convention is compared with."""
    params = loss.resolve({}, FLOAT64)
    for target in (0.0, 1.0):
        exact = exact_value(loss.formula, [Term(logit, target)], params, FLOAT64)
        assert loss.formula(PlainArithmetic(), logit, target, **params) == pytest.approx(exact.rounded, rel=1e-13)


def test_no_two_guards_are_one():
    """A size or kind listed twice would be told under another name."""
    assert len(set(GUARDS)) == len(GUARDS)
    assert all(guard.words for guard in GUARDS)


@given(losses(), st.sampled_from(GUARDS), st.floats(-40, 40), st.booleans())
def test_a_guard_makes_no_difference_before_it_shows(loss, guard, logit, positive):
    """That is why most need no trying: where the definition is wrong at a logit they do not reach, so is it with them."""
    named, target, reach = loss.resolve({}, FLOAT64), float(positive), Reach(logit)
    loss.formula(reach, logit, target, **named)
    bare, guarded = (Definition(loss.formula, named, kind)(logit, target) for kind in (NO_GUARD, guard))

    if reach.furthest < 0.999 * guard.shows_from:
        assert guarded == bare


@pytest.mark.parametrize(
    "guard", [guard for guard in GUARDS if guard.kind != "eps" and guard.size > 1e-13], ids=lambda guard: guard.words[:60]
)
def test_a_guard_shows_where_it_says(guard):
    """The control: a little further out, one of the two classes has another loss."""
    logit = guard.shows_from + 0.5

    assert any(
        Definition(BCE.formula, {"pos_weight": 1.0}, guard)(x, z) != Definition(BCE.formula, {"pos_weight": 1.0})(x, z)
        for x in (logit, -logit)
        for z in (0.0, 1.0)
    )


def test_the_check_sees_a_fault(explain, monkeypatch):
    """The control: with a wider tolerance a factor of 1 + 1e-6 would pass for the definition."""
    assert "x the definition" in explain("bce", lambda x, z: bce(x, z) * (1 + 1e-5))
    monkeypatch.setattr(Fit, "agrees", lambda *_: True)
    monkeypatch.setattr(Fit, "slopes", lambda *_: True)
    assert explain("bce", lambda x, z: 2 * bce(x, z)) == ""


@pytest.mark.parametrize("amount", [0.1, 0.01])
def test_smoothed_targets_are_named(explain, amount):
    """A function that smooths its labels computes another loss, on purpose."""
    text = explain("bce", lambda x, z: bce(x, z * (1 - amount) + 0.5 * amount))
    assert f"targets are smoothed by {amount:g}" in text


def test_a_smoothing_of_another_kind_is_not_mistaken(explain):
    """Only the positives are smoothed."""
    assert "smoothed" not in explain("bce", lambda x, z: bce(x, z * 0.9))
