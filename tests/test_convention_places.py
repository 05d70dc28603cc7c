"""Where a convention stands in the source: the sub-expression that, changed, makes a callable the definition."""

from pathlib import Path

import pytest
import torch
from convention_kinds import KINDS, HalfSlope, bce, of_p

import losscheck
from losscheck.callables.implementation import own_implementation
from losscheck.callables.loading import register
from losscheck.callables.standing import places_apart
from losscheck.core import registry
from losscheck.core.call_spec import PLAIN_CALL
from losscheck.core.dtypes import FLOAT64

# By the name of the kind, the sub-expressions that make it what it is.
STANDS = {
    "twice": {"2 * bce(x, z)"},
    "half": {"bce(x, z) / 2"},
    "a normaliser": {"bce(x, z) / 80"},
    "a factor near 1": {"bce(x, z) * 1.00001"},
    "the other sign": {"-bce(x, z)"},
    "base 2": {"bce(x, z) / math.log(2)"},
    "truncated targets": {"z.long()"},
    "rounded targets": {"z.round()"},
    "any target above 0": {"z > 0"},
    "smoothed labels": {"z * 0.9 + 0.05"},
    "smoothed upwards": {"z * (1 - 0.1) + 0.1"},
    "lowered positives": {"z * 0.9"},
    "other labels": {"1 - z"},
    "the logit of the other class": {"-x"},
    "two sigmoids": {"torch.sigmoid(x)"},
    "a temperature": {"x / 2"},
    "a margin": {"x + 1.5"},
    "labels -1 and 1": {"-x * y"},
    "labels -1 and 1 halved": {"(1 + y) / 2"},
    "half the gradient": {"grad * (torch.sigmoid(x) - z) / 2"},
    "alpha to class 0": {"torch.where(z == 1, alpha, 1 - alpha)"},
    "alpha for both": {"alpha * focal(x, z, 0, 2, lambda z: 1)"},
    "alpha of class 1 alone": {"torch.where(z == 1, 0.25, 1.0)"},
    "another gamma": {"(1 - torch.exp(-loss)) ** gamma"},
    "another alpha and gamma": {"torch.where(z == 1, alpha, 1 - alpha)", "(1 - torch.exp(-loss)) ** gamma"},
    "gamma on p_t": {"torch.exp(-bce(x, z))"},
    "a detached factor": {"((1 - torch.exp(-loss)) ** 2).detach()"},
    "swapped exponents": {"(1 - z) ** beta", "torch.sigmoid(x) ** alpha", "torch.sigmoid(-x) ** alpha"},
    "another beta": {"(1 - z) ** beta"},
    "positives from 0.99": {"torch.where(z > 0.99, 1.0, z)"},
    "no penalty reduction": {"(1 - z) ** beta"},
}
# What the definition has and the program lacks stands nowhere, and neither does what the definition says nothing about.
NOWHERE = [kind for kind in KINDS if kind[1] in ("the positive term", "the negative term", "no look at the targets", "the definition")]


def places(loss, function):
    chosen = registry.loss_named(loss)
    implementation = own_implementation(register(function), chosen, PLAIN_CALL)
    return places_apart(implementation.derive.program, chosen, chosen.resolve({}, FLOAT64))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind[1] in STANDS], ids=lambda kind: f"{kind[0]}: {kind[1]}")
def test_a_convention_has_its_sub_expression(kind):
    """And no other is named beside it; what is named is a part of the line that it is said to stand in."""
    loss, name, function, _, _ = kind
    found = places(loss, function)

    assert {place.text for place in found} == STANDS[name]
    assert all(place.text in Path(place.file).read_text().splitlines()[place.line - 1] for place in found)


@pytest.mark.parametrize("kind", NOWHERE, ids=lambda kind: f"{kind[0]}: {kind[1]}")
def test_what_is_not_there_has_no_sub_expression(kind):
    """No line is blamed for what is missing, and none of the definition itself."""
    assert places(kind[0], kind[2]) == ()


def test_every_name_is_of_a_kind():
    """A kind that is renamed would be tested by nothing."""
    assert STANDS.keys() <= {kind[1] for kind in KINDS}
    assert NOWHERE


def test_a_guard_beside_a_convention_is_left_out():
    """Each is told by itself, with its own line."""

    def swapped(x, z):
        p = torch.clamp(torch.sigmoid(x), 1e-4, 1 - 1e-4)
        return 2 * of_p(p, z)

    remarks = " ".join(losscheck.compare([swapped], loss="bce", logit=[1.5], target=1).remarks)

    assert [place.text for place in places("bce", swapped)] == ["2 * of_p(p, z)"]
    assert "`2 * of_p(p, z)`: it looks like twice the definition" in remarks
    assert "`torch.clamp(torch.sigmoid(x), 1e-4, 1 - 1e-4)` is a bound" in remarks


def test_of_two_factors_both_are_named():
    """Neither alone makes it the definition."""

    def both(x, z):
        return 1.25 * (bce(x, z) * 2.5)

    assert {place.text for place in places("bce", both)} == {"bce(x, z) * 2.5", "1.25 * (bce(x, z) * 2.5)"}


def test_a_backward_pass_by_hand_has_its_line_in_what_is_said():
    """The loss is the definition's, and the gradient is not."""
    (remark,) = [text for text in losscheck.compare([HalfSlope.apply], loss="bce", logit=[1.5], target=1).remarks if "1/2 x" in text]

    assert "`grad * (torch.sigmoid(x) - z) / 2`: its value is that of the definition, its gradient another" in remark


@pytest.mark.usefixtures("plain_surroundings")
def test_check_names_the_line(call):
    """Where it is asked which loss a function is."""
    Path("own.py").write_text(
        "import torch.nn.functional as F\n\n\ndef own(x, z):\n    return F.binary_cross_entropy_with_logits(x, z) * 3\n"
    )
    _, out, _ = call("check", "own.py:own")

    assert "own.py:5: `F.binary_cross_entropy_with_logits(x, z) * 3`: it looks like 3 x the definition" in " ".join(out.split())
