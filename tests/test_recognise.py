"""Which loss a callable is, when nobody said: as people write them, and what is none."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812

import losscheck
from losscheck.callables.diagnose import NOTHING
from losscheck.callables.recognise import recognise
from losscheck.callables.recognition import Confidence
from losscheck.core.errors import UserError
from losscheck.core.registry import loss_named

AGREES, DEVIATES, NONE = Confidence.AGREES, Confidence.DEVIATES, Confidence.NONE


def with_logits(x, z):
    return F.binary_cross_entropy_with_logits(x, z, reduction="none")


def of_probabilities(p, z, eps=0.0):
    return -(z * torch.log(p + eps) + (1 - z) * torch.log(1 - p + eps))


def naive_with_eps(logits, targets):
    return of_probabilities(torch.sigmoid(logits), targets, 1e-7)


def focal(logits, targets, alpha=0.25, gamma=2.0):
    """Alpha for class 1, as in the paper."""
    bce = with_logits(logits, targets)
    weight = alpha * targets + (1 - alpha) * (1 - targets)
    return weight * (1 - torch.exp(-bce)) ** gamma * bce


def focal_swapped(logits, targets, alpha=0.25, gamma=2.0):
    """Alpha for class 0."""
    return focal(logits, targets, 1 - alpha, gamma)


def focal_of_other_values(logits, targets):
    """Nothing of it is in the signature."""
    return focal(logits, targets, 0.75, 1.5)


def sigmoid_focal_loss(inputs, targets, alpha: float = 0.25, gamma: float = 2, reduction: str = "none"):
    """As torchvision has it."""
    p = torch.sigmoid(inputs)
    ce_loss = with_logits(inputs, targets)
    p_t = p * targets + (1 - p) * (1 - targets)
    loss = ce_loss * ((1 - p_t) ** gamma)
    if alpha >= 0:
        loss = (alpha * targets + (1 - alpha) * (1 - targets)) * loss
    return loss.mean() if reduction == "mean" else loss


def neg_loss(pred, gt):
    """CenterNet's, on probabilities."""
    positive, negative = gt.eq(1).float(), gt.lt(1).float()
    pos_loss = torch.log(pred) * torch.pow(1 - pred, 2) * positive
    neg = torch.log(1 - pred) * torch.pow(pred, 2) * torch.pow(1 - gt, 4) * negative
    count = positive.sum()
    return -neg.sum() if count == 0 else -(pos_loss.sum() + neg.sum()) / count


def heatmap_on_logits(logits, heatmap):
    p = torch.sigmoid(logits).clamp(1e-4, 1 - 1e-4)
    positive = -((1 - p) ** 2) * torch.log(p)
    return torch.where(heatmap == 1, positive, -((1 - heatmap) ** 4) * p**2 * torch.log(1 - p))


def mean(logits, targets):
    return naive_with_eps(logits, targets).mean()


def total(logits, targets):
    return with_logits(logits, targets).sum()


def targets_first(y_true, y_pred):
    return with_logits(y_pred, y_true)


def keras_like(y_true, y_pred):
    return of_probabilities(y_pred, y_true)


def weighted(logits, targets):
    return F.binary_cross_entropy_with_logits(logits, targets, pos_weight=torch.tensor(3.0).to(logits), reduction="none")


def masked(logits, targets):
    """A soft target counts as 0."""
    return torch.where(targets == 1, F.softplus(-logits), F.softplus(logits))


def in_numpy(logits, targets):
    return np.logaddexp(logits.dtype.type(0), logits) - logits * targets


def one_sigmoid_too_many(logits, targets):
    return with_logits(torch.sigmoid(logits), targets)


class HeadLoss(torch.nn.Module):
    def forward(self, logits, targets):
        return F.binary_cross_entropy(torch.sigmoid(logits), targets)


def brier(logits, targets):
    return (torch.sigmoid(logits) - targets) ** 2


def nearly(logits, targets):
    """A BCE and half of something else."""
    return with_logits(logits, targets) + 0.5 * torch.tanh(logits) ** 2


FLOOR = "each logarithm is held above -100"
BCE, FOCAL, HEATMAP = {"pos_weight": 1.0}, {"alpha": 0.25, "gamma": 2.0, "soft": 0.0}, {"alpha": 2.0, "beta": 4.0}


@pytest.mark.parametrize(
    ("spec", "loss", "params", "confidence", "given", "targets_come_first", "reduction", "words"),
    [
        ("torch.nn:BCELoss", "bce", BCE, DEVIATES, "probabilities", False, "mean", FLOOR),
        ("torch.nn:BCEWithLogitsLoss", "bce", BCE, AGREES, "logits", False, "mean", ""),
        (
            "torch.nn.functional:binary_cross_entropy",
            "bce",
            BCE,
            DEVIATES,
            "probabilities",
            False,
            "mean",
            FLOOR,
        ),
        ("torch.nn.functional:binary_cross_entropy_with_logits", "bce", BCE, AGREES, "logits", False, "mean", ""),
        (naive_with_eps, "bce", BCE, DEVIATES, "logits", False, "none", "eps=1e-07 is added"),
        (focal, "soft-focal", {**FOCAL, "soft": 2.0}, AGREES, "logits", False, "none", ""),
        (focal_swapped, "soft-focal", {**FOCAL, "soft": 2.0}, DEVIATES, "logits", False, "none", "alpha and 1 - alpha are swapped"),
        (focal_of_other_values, "soft-focal", {"alpha": 0.75, "gamma": 1.5, "soft": 2.0}, AGREES, "logits", False, "none", ""),
        (sigmoid_focal_loss, "soft-focal", FOCAL, AGREES, "logits", False, "none", ""),
        (neg_loss, "centernet-heatmap", HEATMAP, AGREES, "probabilities", False, "normalised", ""),
        (heatmap_on_logits, "centernet-heatmap", HEATMAP, DEVIATES, "logits", False, "none", "clamped to [0.0001, 1 - 0.0001]"),
        (mean, "bce", BCE, DEVIATES, "logits", False, "mean", "eps=1e-07 is added"),
        (total, "bce", BCE, AGREES, "logits", False, "sum", ""),
        (targets_first, "bce", BCE, AGREES, "logits", True, "none", ""),
        (keras_like, "bce", BCE, AGREES, "probabilities", True, "none", ""),
        (weighted, "bce", {"pos_weight": 3.0}, AGREES, "logits", False, "none", ""),
        (masked, "bce", BCE, DEVIATES, "logits", False, "none", "targets are truncated"),
        (in_numpy, "bce", BCE, AGREES, "logits", False, "none", ""),
        (one_sigmoid_too_many, "bce", BCE, DEVIATES, "logits", False, "none", "a sigmoid is applied twice"),
        (HeadLoss, "bce", BCE, DEVIATES, "logits", False, "mean", FLOOR),
    ],
    ids=lambda value: getattr(value, "__name__", None) or (value if isinstance(value, str) and ":" in value else ""),
)
def test_a_loss_is_recognised_as_people_write_it(spec, loss, params, confidence, given, targets_come_first, reduction, words):
    """The loss, its parameters, how it is called and what is particular about it, with nothing said beforehand."""
    best = recognise(spec)[0]

    assert (best.loss.name, dict(best.params), best.confidence) == (loss, params, confidence)
    assert (best.call_spec.input, best.reduction) == (given, reduction)
    assert best.call_spec.call.startswith("{targets}") == targets_come_first
    assert words in best.deviation.sentence and bool(words) == bool(best.deviation.sentence)
    assert best.words.startswith(loss) and ("on probabilities" in best.words) == (given == "probabilities")


@pytest.mark.parametrize("function", [brier, nearly])
def test_what_is_none_of_them_is_said_to_be_none(function):
    """The nearest come first, none of them is claimed."""
    found = recognise(function)

    assert {recognition.confidence for recognition in found} == {NONE}
    assert [recognition.distance for recognition in found] == sorted(recognition.distance for recognition in found)
    assert all(not recognition.deviation.sentence for recognition in found)


def per_positive(x, z):
    """Divided by the sum of the targets, as by the number of positives: of soft targets that is something else."""
    loss = -(z * torch.log(torch.sigmoid(x)) + (1 - z) * torch.log(1 - torch.sigmoid(x))).sum()
    return loss / float(z.sum()) if z.sum() else loss


def test_what_agrees_for_the_classes_alone_is_that_loss():
    """And not one that has no soft targets, with a parameter that makes it the same."""
    best = recognise(per_positive)[0]

    assert best.loss.name == "bce" and best.confidence is Confidence.DEVIATES
    assert "for targets 0 and 1" in best.deviation.sentence


def test_points_held_back_decide():
    """A function that is the definition at every point it could be found with, and another loss between them, is not believed."""
    from losscheck.callables.samples import FAR, ORDINARY

    def lookup(logits, targets):
        known = torch.tensor([*ORDINARY, *FAR], dtype=logits.dtype)
        return torch.where(torch.isin(logits, known), with_logits(logits, targets), (logits - targets) ** 2)

    assert {recognition.confidence for recognition in recognise(lookup)} == {NONE}


def test_what_cannot_be_called_is_one_message():
    """A required argument that nobody gave: the cure is an option."""

    def needs_more(logits, targets, anchors):
        return anchors * logits

    with pytest.raises(UserError, match="cannot be called so"):
        recognise(needs_more)


def test_what_raises_everywhere_is_recognised_as_nothing():
    """No values, no claim."""

    def broken(logits, targets):
        raise ValueError("never")

    assert recognise(broken) == []


def test_only_the_losses_asked_for_are_tried():
    """The heatmap loss alone is offered where it alone is asked about."""
    loss = next(recognition.loss for recognition in recognise(neg_loss))

    assert [recognition.loss for recognition in recognise(focal, [loss])] == [loss]
    assert math.isfinite(recognise(focal, [loss])[0].distance)


def of_one_class(x, z, pos_weight=3.0):
    """Its weight is forgotten in a part of the term of the positives."""
    return torch.relu(x) - x * z + torch.log1p(torch.exp(-x.abs())) * (1 + (pos_weight - 1) * z)


def nearly(x, z):
    """Clamped, and an epsilon once more: no guard that is known."""
    p = torch.sigmoid(x).clamp(1e-6, 1 - 1e-6)
    return of_probabilities(p, z, 1e-6)


def two_class_focal(scores, classes, gamma=0.5):
    """Nothing but its gamma tells it from a heatmap loss of hard targets."""
    loss = F.cross_entropy(scores, classes, reduction="none")
    return (1 - torch.exp(-loss)) ** gamma * loss


@pytest.mark.parametrize(
    ("function", "loss", "words"),
    [
        (of_one_class, "bce", "for target 0 it is the definition; at target 1 it computes something else"),
        (nearly, "bce", "it is the definition to within "),
    ],
)
def test_what_is_right_in_part_is_that_loss(function, loss, words):
    """One class, or all but a little: said so, with the figures, and no other reading is preferred."""
    best = recognise(function)[0]

    assert (best.loss.name, best.confidence, best.call_spec.input) == (loss, DEVIATES, "logits")
    assert best.deviation.sentence.startswith(words)


def test_a_parameter_that_it_names_tells_two_losses_apart():
    """Where both agree, that whose parameter it has."""
    best = recognise(two_class_focal)[0]

    assert (best.loss.name, best.confidence) == ("weighted-focal", AGREES)
    assert best.params == {"alpha": -1.0, "gamma": 0.5}


class Asymmetric(torch.nn.Module):
    """As its authors wrote it."""

    def __init__(self, gamma_neg=2, gamma_pos=0, clip=0.1):
        super().__init__()
        self.gamma_neg, self.gamma_pos, self.clip = gamma_neg, gamma_pos, clip

    def forward(self, x, y):
        positive = torch.sigmoid(x)
        negative = (1 - positive + self.clip).clamp(max=1)
        p_t = positive * y + negative * (1 - y)
        logs = y * torch.log(positive) + (1 - y) * torch.log(negative)
        return -(logs * torch.pow(1 - p_t, self.gamma_pos * y + self.gamma_neg * (1 - y))).sum()


@pytest.mark.parametrize("what", [Asymmetric, Asymmetric()], ids=["class", "object"])
def test_the_asymmetric_loss_is_told_with_its_exponents_and_its_margin(what):
    """Three parameters under the names that its code has, of a class by its signature and of an object by what it holds."""
    best = recognise(what)[0]

    assert (best.loss.name, best.params, best.reduction) == ("asymmetric", {"gamma_pos": 0.0, "gamma_neg": 2.0, "clip": 0.1}, "sum")
    assert best.confidence is Confidence.AGREES


def cast_back(x, z):
    """Computed in float32, and returned in the dtype that was given."""
    return with_logits(x.float(), z.float()).to(x.dtype)


def test_the_digits_of_float32_are_no_deviation():
    """As Keras computes, on torch: the rest is rounding, of which nothing is said."""
    best = recognise(cast_back)[0]

    assert (best.loss.name, best.confidence, best.deviation.sentence) == ("bce", AGREES, "")


def by_terms(x, z, alpha=0.25, gamma=2.0):
    p = torch.sigmoid(x)
    return -alpha * (1 - p) ** gamma * z * F.logsigmoid(x) - (1 - alpha) * p**gamma * (1 - z) * F.logsigmoid(-x)


def factored(factor):
    def focal(x, z, alpha=0.25, gamma=2.0):
        return (alpha * z + (1 - alpha) * (1 - z)) * factor(x, z) ** gamma * with_logits(x, z)

    return focal


IN_USE = {
    "blended": factored(lambda x, z: z * torch.sigmoid(-x) + (1 - z) * torch.sigmoid(x)),
    "two-terms": by_terms,
    "entropy": factored(lambda x, z: -torch.expm1(-with_logits(x, z))),
    "margin": factored(lambda x, z: torch.sigmoid(-x * (2 * z - 1))),
}


@pytest.mark.parametrize("word", loss_named("soft-focal").parameters[-1].words)
def test_a_focal_loss_of_soft_targets_is_judged_by_its_own_way(word):
    """Each of the ways in use is recognised by name and judged at a soft target by it, where the others are far off."""
    best = recognise(IN_USE[word])[0]
    (row,) = losscheck.check(IN_USE[word], dtype="float32").ranking
    others = losscheck.check(
        IN_USE[word], loss="soft-focal", params={"soft": "blended" if word == "two-terms" else "two-terms"}, dtype="float32"
    )

    assert (best.loss.name, best.confidence, best.deviation) == ("soft-focal", AGREES, NOTHING)
    assert f"soft={word}" in best.words
    assert row.loss == "soft-focal" and not row.harmful
    assert others.ranking[0].harmful
