"""Logits where probabilities are meant, and a sigmoid too many: named by `losscheck trace` where trying it shows it, else not."""

import json

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

import losscheck
from losscheck.tracing.report import CauseKind, DeviationKind


def by_hand(p, z):
    return -(z * torch.log(p) + (1 - z) * torch.log(1 - p)).mean()


TAKES_PROBABILITIES = {
    "F.binary_cross_entropy": F.binary_cross_entropy,
    "torch.nn.BCELoss": torch.nn.BCELoss(),
    "by hand": by_hand,
    "focal by hand": lambda p, z: -(z * (1 - p) ** 2 * torch.log(p) + (1 - z) * p**2 * torch.log(1 - p)).sum(),
}
# Not of logits, or not of one of these: each has a value beyond 0 or beyond 1, or none between.
NOT_OF_PROBABILITIES = {
    "rates": lambda rate, z: (rate - z * torch.log(rate)).mean(),
    "a root": lambda x, z: torch.sqrt(x) * z,
    "guarded": lambda p, z: by_hand(p.clamp(1e-6, 1 - 1e-6), z),
    "of logits": F.binary_cross_entropy_with_logits,
    "never": lambda x, z: torch.log(x - x) * z,
}
TWICE = {
    "with logits of a sigmoid": lambda x, z: F.binary_cross_entropy_with_logits(torch.sigmoid(x), z),
    "sigmoid of a sigmoid": lambda x, z: by_hand(torch.sigmoid(torch.sigmoid(x)), z),
    "logsigmoid of a sigmoid": lambda x, z: (F.softplus(torch.sigmoid(x)) - z * torch.sigmoid(x)).sum(),
}
NOT_TWICE = {
    "a gate": lambda x, z: (F.softplus(-torch.sigmoid(x)) * z + x**2).mean(),
    "a weight": lambda x, z: (torch.sigmoid(x).detach() * F.binary_cross_entropy_with_logits(x, z, reduction="none")).mean(),
    "once": lambda x, z: by_hand(torch.sigmoid(x), z),
    "of a scaled one": lambda x, z: F.binary_cross_entropy_with_logits(8 * torch.sigmoid(x) - 4, z),
}


def kinds(advice):
    return {cause.kind for cause in advice.trace.causes}, {deviation.kind for deviation in advice.trace.deviations}


@pytest.mark.parametrize("point", [(3.0, 0.0), (-3.0, 1.0), (None, None)])
@pytest.mark.parametrize("name", TAKES_PROBABILITIES)
def test_logits_that_are_taken_for_probabilities_are_named(name, point):
    """At a logit that is no probability, and where no point is given."""
    advice = losscheck.trace(TAKES_PROBABILITIES[name], *point)

    assert kinds(advice)[0] == {CauseKind.LOGITS_AS_PROBABILITIES}
    assert "cause: logits as probabilities" in advice.explain()


@pytest.mark.parametrize("name", NOT_OF_PROBABILITIES)
def test_what_has_a_value_elsewhere_takes_no_probabilities(name):
    """What is undefined for another reason is called undefined."""
    for logit in (3.0, -3.0):
        assert CauseKind.LOGITS_AS_PROBABILITIES not in kinds(losscheck.trace(NOT_OF_PROBABILITIES[name], logit, 1.0))[0]


def test_a_probability_is_no_mistake():
    """At 0.3 nothing fails."""
    assert kinds(losscheck.trace(by_hand, 0.3, 1.0)) == (set(), set())


@pytest.mark.parametrize("name", TWICE)
def test_a_sigmoid_too_many_is_named(name):
    """With its place; and nothing is offered that would make a better rounded wrong loss."""
    advice = losscheck.trace(TWICE[name], 3.0, 0.0)

    assert DeviationKind.DOUBLE_SIGMOID in kinds(advice)[1]
    assert "place: " in advice.explain()
    assert "torch.sigmoid(x)" in advice.explain()
    assert advice.remedies.cure is None


@pytest.mark.parametrize("name", NOT_TWICE)
def test_two_sigmoids_may_be_meant(name):
    """Where leaving one out does not give binary cross entropy, nothing is said."""
    assert DeviationKind.DOUBLE_SIGMOID not in kinds(losscheck.trace(NOT_TWICE[name], 3.0, 0.0))[1]


def test_json_has_the_place_of_what_raised():
    """No op was made that could be blamed."""
    facts = json.loads(json.dumps(losscheck.trace(F.binary_cross_entropy, 3.0, 0.0).facts()))
    (cause,) = facts["causes"]

    assert cause["kind"] == "logits-as-probabilities"
    assert cause["blamed"] is None
