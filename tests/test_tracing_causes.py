"""The verdicts of a trace: named cases, planted faults of every kind, sound losses, and losses of every style at many points."""

import inspect
import math
import warnings

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from tracing_losses import classification, detection, held_out, later, planted, regression, sound, unseen

from losscheck.core.outcome import Outcome
from losscheck.tracing import trace
from losscheck.tracing.notes import NoteKind
from losscheck.tracing.recording import record
from losscheck.tracing.report import CauseKind, DeviationKind, Event

KINDS = set(CauseKind)


def text(traced, index):
    return None if index is None else traced.ops[index].place.text


def pairs(traced, name):
    """(kind, lost, needed, blamed) of the causes of one quantity, as source text."""
    return [
        (cause.kind, text(traced, cause.lost), text(traced, cause.needed), text(traced, cause.blamed))
        for cause in traced.causes
        if any(quantity == name for quantity, _ in cause.quantities)
    ]


# Named cases --------------------------------------------------------------------------------------------------------


def neg_loss(x, gt):
    """CenterNet's `_neg_loss` as published, on logits."""
    pred = torch.sigmoid(x)
    pos_inds = gt.eq(1).float()
    neg_inds = gt.lt(1).float()
    neg_weights = torch.pow(1 - gt, 4)
    pos_loss = torch.log(pred) * torch.pow(1 - pred, 2) * pos_inds
    neg_loss = torch.log(1 - pred) * torch.pow(pred, 2) * neg_weights * neg_inds
    num_pos = pos_inds.float().sum()
    pos_loss, neg_loss = pos_loss.sum(), neg_loss.sum()
    return -neg_loss if num_pos == 0 else -(pos_loss + neg_loss) / num_pos


def test_centernet_at_100_is_lost_in_the_sigmoid_and_needed_in_the_complement():
    """-inf comes out of the logarithm, NaN of the masked product."""
    traced = trace(neg_loss, 100.0, 1.0)

    cause = traced.causes[0]
    assert pairs(traced, "loss") == [(CauseKind.SATURATION, "torch.sigmoid(x)", "1 - pred", "1 - pred")]
    assert text(traced, cause.infinite) == "torch.log(1 - pred)"
    assert text(traced, cause.undefined) == "torch.log(1 - pred) * torch.pow(pred, 2) * neg_weights"
    assert [quantity.outcome for quantity in traced.quantities] == [Outcome.NAN, Outcome.NAN]
    assert NoteKind.BRANCH in {note.kind for note in traced.notes}


def test_centernet_at_30_has_three_needs():
    """The logarithm of the positive cell, its weight, and the masked negative cell."""
    found = pairs(trace(neg_loss, 30.0, 1.0), "loss")

    assert sorted(needed for _, _, needed, _ in found) == ["1 - pred", "1 - pred", "torch.log(pred)"]
    assert found[-1][2] == "torch.log(pred)"  # it loses digits; the others make an infinity
    assert {lost for _, lost, _, _ in found} == {"torch.sigmoid(x)"}


def weighted_focal(x, z, alpha=0.25, gamma=0.5):
    bce = F.binary_cross_entropy_with_logits(x, z, reduction="none")
    at = torch.tensor([alpha, 1 - alpha]).gather(0, z.long().view(-1))
    pt = torch.exp(-bce)
    return (at * (1 - pt) ** gamma * bce).mean()


def test_weighted_focal_with_a_root_has_two_causes():
    """1 - pt, and the slope of BCE with logits, which is sigmoid - 1."""
    found = pairs(trace(weighted_focal, 20.0, 1.0), "grad")

    assert [blamed for *_, blamed in found] == ["1 - pt", 'F.binary_cross_entropy_with_logits(x, z, reduction="none")']


def test_a_masked_root_is_a_masked_gradient():
    """The loss is right, and its gradient is NaN out of a branch that `where` leaves out."""
    traced = trace(lambda x, z: torch.where(x > 0, torch.sqrt(x), 0).sum(), -1.0, 0.0)

    assert [quantity.outcome for quantity in traced.quantities] == [Outcome.OK, Outcome.NAN]
    assert pairs(traced, "grad") == [(CauseKind.MASKED_GRADIENT, None, None, "torch.sqrt(x)")]


def clamped_bce(x, z):
    p = torch.clamp(torch.sigmoid(x), 1e-4, 1 - 1e-4)
    return -(z * torch.log(p) + (1 - z) * torch.log(1 - p)).mean()


def test_a_guard_rounds_away_in_bfloat16():
    """1 - 1e-4 is 1 there; in float32 the clamp is a deviation and no guard is lost."""
    traced = trace(clamped_bce, 20.0, 0.0, dtype="bfloat16")
    wider = trace(clamped_bce, 20.0, 0.0)

    assert {kind for kind, *_ in pairs(traced, "loss")} == {CauseKind.GUARD_ROUNDED_AWAY}
    assert [blamed for *_, blamed in pairs(traced, "loss")] == ["torch.clamp(torch.sigmoid(x), 1e-4, 1 - 1e-4)"]
    assert DeviationKind.CLAMP in {deviation.kind for deviation in wider.deviations}
    assert CauseKind.GUARD_ROUNDED_AWAY not in {cause.kind for cause in wider.causes}


def test_the_tensorflow_rewrite_cancels_in_its_sum():
    """x + softplus(-x) at -15."""

    def rewrite(x, z):
        p = torch.sigmoid(x)
        pos = F.softplus(-x) * (1 - p) ** 2 * (z == 1).float()
        neg = (x + F.softplus(-x)) * p**2 * (1 - z) ** 4 * (z < 1).float()
        return (pos + neg).sum()

    found = pairs(trace(rewrite, -15.0, 0.0), "loss")

    assert found == [(CauseKind.CANCELLATION, "F.softplus(-x)", "x + F.softplus(-x)", "x + F.softplus(-x)")]


def test_what_is_undefined_exactly_is_said_to_be():
    """log(-1) * 0 is NaN in any arithmetic: no rounding is to blame."""
    traced = trace(lambda x, z: (torch.log(x) * z).sum(), -1.0, 0.0)

    assert pairs(traced, "loss") == [(CauseKind.UNDEFINED, None, None, "torch.log(x)")]


def test_bceloss_deviates_in_its_backward_pass():
    """Beyond |x| = 27.6 it divides by 1e-12: code that does what it says."""
    traced = trace(lambda x, z: F.binary_cross_entropy(torch.sigmoid(x), z), -30.0, 1.0)

    assert DeviationKind.BACKWARD in {deviation.kind for deviation in traced.deviations}
    assert not traced.failing


def test_an_eps_that_hides_a_tail_is_a_deviation():
    """log(p + 1e-7) at -30."""
    traced = trace(lambda x, z: -torch.log(torch.sigmoid(x) + 1e-7).sum(), -30.0, 1.0)

    assert DeviationKind.EPSILON in {deviation.kind for deviation in traced.deviations}


def test_a_choice_that_exact_arithmetic_makes_otherwise_is_noted():
    """sigmoid(1e-9) rounds to 0.5, and is above it."""
    traced = trace(lambda x, z: torch.where(torch.sigmoid(x) > 0.5, 2 * x, x).sum(), 1e-9, 1.0)

    assert NoteKind.FLIPPED_CHOICE in {note.kind for note in traced.notes}
    assert Event.FLIPPED in {op.event for op in traced.ops}


def test_the_three_errors_tell_different_things():
    """`1 - p` is exact on what it gets (own), and magnifies what was lost before it (local)."""
    traced = trace(lambda x, z: (1 - torch.sigmoid(x)).sum(), 16.0, 1.0)
    complement = next(op for op in traced.ops if op.place.text.startswith("1 - torch") and op.name == "rsub")

    assert complement.own == 0
    assert complement.local > 1e4
    assert complement.total > 1e4


# Corpora ------------------------------------------------------------------------------------------------------------

HELD_OUT = [*held_out.EXAMPLES, *later.EXAMPLES]
PLANTED = [*planted.EXAMPLES, *HELD_OUT]


def planted_lines(function):
    source, first = inspect.getsourcelines(inspect.unwrap(function))
    return {first + count for count, line in enumerate(source) if "# PLANT" in line}


def judged(example):
    """Whether the planted line is in a pair of the quantity it spoils, and whether it is the line blamed first."""
    traced = trace(example.function, example.logits, example.targets, dtype=example.dtype)
    lines = planted_lines(example.function)
    causes = [cause for cause in traced.causes if any(name == example.fails for name, _ in cause.quantities)]

    def hit(index):
        return index is not None and traced.ops[index].place.line in lines

    in_pair = any(hit(index) for cause in causes for index in (cause.lost, cause.needed, cause.blamed))
    return in_pair, bool(causes) and hit(causes[0].blamed)


def test_planted_faults_are_found():
    """The planted line is in the pair in 98 % of them and the one line blamed in 90 %, of all and of those after the freeze alone."""
    verdicts = {example.name: judged(example) for example in PLANTED}

    assert len(verdicts) == len(PLANTED) >= 45
    assert len(HELD_OUT) >= 15
    for examples in (PLANTED, HELD_OUT):
        found = [verdicts[example.name] for example in examples]
        assert sum(in_pair for in_pair, _ in found) >= 0.98 * len(found), verdicts
        assert sum(blamed for _, blamed in found) >= 0.9 * len(found), verdicts


@pytest.mark.parametrize("example", sound.EXAMPLES, ids=lambda example: example.name)
def test_nothing_of_a_sound_loss_is_blamed(example):
    """No cause, no failing quantity."""
    traced = trace(example.function, example.logits, example.targets, dtype=example.dtype)

    assert traced.causes == ()
    assert traced.failing == ()


def test_a_batch_has_every_failing_element_explained():
    """More elements than are taken apart: those that fail alike are put to the cause that is proved for them too."""
    logits, targets = [18.0 + 0.5 * k for k in range(12)] + [-40.0, 3.0], [0.0] * 13 + [1.0]
    traced = trace(classification.textbook_bce, logits, targets)

    explained = {quantity for cause in traced.causes for quantity in cause.quantities}
    assert {(quantity.name, quantity.index) for quantity in traced.failing} <= explained
    assert len([quantity for quantity in traced.failing if quantity.name == "grad"]) >= 12


POINTS = (((20.0, -20.0, 3.0), (0.0, 1.0, 1.0)), ((100.0, -100.0, 0.0), (0.0, 1.0, 0.5)), ((17.0, 9.0, -40.0), (1.0, 1.0, 0.0)))


DTYPES = ("float32", "float64", "bfloat16")
TYPICAL = [*classification.LOSSES, *regression.LOSSES, *detection.LOSSES]


@pytest.mark.parametrize("number", range(len(DTYPES)))
@pytest.mark.parametrize("function", [*TYPICAL, *unseen.LOSSES], ids=lambda function: function.__name__)
def test_every_failing_quantity_has_a_cause_or_is_undecided(function, number):
    """At three points, each in a dtype of its own: no crash, and no failure without a word on it."""
    (logits, targets), dtype = POINTS[number], DTYPES[(number + len(function.__name__)) % len(DTYPES)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = trace(function, logits, targets, dtype=dtype)
    explained = {quantity for cause in traced.causes for quantity in cause.quantities}

    assert {(quantity.name, quantity.index) for quantity in traced.failing} <= explained
    assert {cause.kind for cause in traced.causes} <= KINDS
    assert all(cause.blamed is not None or cause.kind is CauseKind.UNDECIDED for cause in traced.causes)
    assert not [note for note in traced.notes if note.kind in (NoteKind.UNKNOWN_OP, NoteKind.RAISED, NoteKind.BACKWARD_RAISED)]


def test_the_corpora_are_as_large_as_promised():
    """Losses of many styles, those that were written when the rule stood, and sound ones; what they call is known exactly."""
    assert len(TYPICAL) >= 94
    assert len(unseen.LOSSES) >= 30
    assert len(sound.EXAMPLES) >= 12
    used = set()
    for function in (*TYPICAL, *unseen.LOSSES):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            recording = record(function, torch.tensor(POINTS[0][0]), torch.tensor(POINTS[0][1]))
        used |= {str(op.func) for op in recording.operations if op.func is not None}
    assert len(used) >= 133


def test_the_control_a_fault_that_is_not_there_is_not_found():
    """The same judgement on a sound loss finds nothing: the score is no artefact of the judge."""
    for example in sound.EXAMPLES:
        assert judged(example) == (False, False)


@pytest.mark.parametrize(
    ("function", "logit", "event"),
    [
        (lambda x, z: torch.log(1 - torch.sigmoid(x)), 30.0, Event.INF),
        (lambda x, z: 1 / (1 - torch.sigmoid(x)), 30.0, Event.INF),
        (lambda x, z: torch.exp(x) * z, 100.0, Event.OVERFLOW),
    ],
)
def test_a_pole_is_no_overflow(function, logit, event):
    """log(0) and 1 / 0 are infinite in any format; e^100 is too large for this one."""
    traced = trace(function, logit, 1.0)
    first = next(op for op in traced.ops if math.isinf(op.value))

    assert first.event is event


def test_a_root_at_zero_is_left_out_by_nothing():
    """A distance of 0: its slope is inf * 0 with no mask, though a clamp stands after it; where a mask hands on a slope of 0 it is."""

    def triplet(x, z):
        return torch.clamp(torch.sqrt(((x - z) ** 2).sum()) + 1, min=0)

    def masked(x, z):
        return torch.where(x > 0, torch.sqrt(x), torch.zeros_like(x)).sum()

    assert [cause.kind for cause in trace(triplet, 1.0, 1.0).causes] == [CauseKind.ZERO_TIMES_INFINITY]
    assert [cause.kind for cause in trace(masked, -1.0, 1.0).causes] == [CauseKind.MASKED_GRADIENT]


def test_the_log_of_a_subnormal_is_no_log_near_one():
    """softmax(-100, 0)[0] is 3.8e-44, of which few digits are left."""

    def lost(x, z):
        return -torch.log(torch.softmax(torch.stack([x, 0 * x]), dim=0)[0])

    assert trace(lost, -100.0, 1.0).causes[0].kind is CauseKind.UNDERFLOW
