"""compare and sweep of callables of which nobody said which loss they are: as with --loss, and it is said."""

import pytest
import torch

import losscheck
from losscheck.core.errors import UserError
from losscheck.testing import assert_accurate, check_batch


def by_hand(logits, targets):
    """As people write it."""
    p = torch.sigmoid(logits)
    return -(targets * torch.log(p) + (1 - targets) * torch.log(1 - p))


def of_probabilities(p, z):
    """The same loss of what a sigmoid returned."""
    return torch.nn.functional.binary_cross_entropy(p, z, reduction="none")


def focal(logits, targets):
    """Weighted focal with its usual parameters."""
    factor = torch.where(targets == 1, 0.25 * torch.sigmoid(-logits) ** 2, 0.75 * torch.sigmoid(logits) ** 2)
    return factor * torch.nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")


def fourth_power(logits, targets):
    """None that is known; near its zero a central difference of it has few digits."""
    return (logits - targets) ** 4


def test_a_loss_that_is_not_named_is_found():
    """The rows are those of --loss; the command that is printed names the loss, the remarks say how it is known."""
    points = {"logit": [1.5, 20], "target": [1, 0]}
    found, told = losscheck.compare(by_hand, **points), losscheck.compare(by_hand, loss="bce", **points)
    assert repr(found.rows) == repr(told.rows)  # NaN is not itself
    assert "--loss bce" in found.reproduce
    assert any("it is bce with pos_weight=1; --loss NAME judges it as another." in remark for remark in found.remarks)
    assert not any("--loss NAME" in remark for remark in told.remarks)


def test_a_batch_and_a_range_are_judged_so_too():
    """The same of --tensors and of a sweep."""
    logits, targets = torch.tensor([1.5, 20.0]), torch.tensor([1.0, 0.0])
    batch = losscheck.compare(by_hand, tensors=(logits, targets))
    swept = losscheck.sweep(by_hand, range=(-20, 20), points=10)
    for report in (batch, swept):
        assert any("it is bce" in remark for remark in report.remarks)
    assert {row.loss for row in swept.sweeps} == {"bce"}
    assert {row.loss for row in batch.tensors} == {"bce"}


def test_logits_and_probabilities_stand_in_one_table():
    """What is handed over is said of each."""
    report = losscheck.compare([by_hand, of_probabilities], logit=1.5)
    assert {(row.implementation, row.outcome.value) for row in report.rows if row.quantity == "loss"} == {
        (name, "ok") for name in {row.implementation for row in report.rows}
    }
    assert any("on probabilities" in remark for remark in report.remarks)


def test_a_loss_of_its_own_is_judged_by_its_own_lines():
    """As check does; and nothing is said of its gradient, which is that of its value."""
    report = losscheck.compare(fourth_power, logit=[-4.75, 0.875, 1.5], target=[1, 0.9, 1])
    assert all(row.outcome.value == "ok" for row in report.rows)
    assert any("no loss that is known here" in remark for remark in report.remarks)
    assert not any("gradient another" in remark for remark in report.remarks)


def test_two_losses_are_no_table():
    """Which is which, and what to do."""
    with pytest.raises(UserError, match=r"not one loss: .*by_hand is bce.*focal is weighted-focal .*one at a time.*--loss"):
        losscheck.compare([by_hand, focal], logit=1)


def test_given_parameters_stay():
    """--param is the truth that the reader asks for, whatever was recognised."""
    report = losscheck.compare(focal, logit=3, params={"gamma": 3})
    assert "--param gamma=3" in report.reproduce
    assert any(row.deviation for row in report.rows)


def test_a_formula_that_is_to_blame_is_blamed_by_its_guard():
    """A gradient that a clamp makes 0: not the cancellation that is there as well."""

    def clamped(logits, targets):
        p = torch.sigmoid(logits).clamp(1e-7, 1 - 1e-7)
        return -(targets * torch.log(p) + (1 - targets) * torch.log(1 - p))

    with pytest.raises(AssertionError, match=r"(?s)DEAD.*clamp-kills-the-gradient") as failure:
        check_batch(clamped, torch.tensor([0.5, 48.0]), torch.tensor([1.0, 0.0]))
    assert "cancellation" not in str(failure.value)


def test_a_test_suite_holds_a_loss_of_its_own_to_its_own_lines():
    """`program` stands where a loss does; what overflows does not pass."""

    def log_cosh(logits, targets):
        return torch.log(torch.cosh(logits - targets))

    assert_accurate(fourth_power, loss="program", effects="tails")
    with pytest.raises(AssertionError, match="does not compute what its own lines say as asked"):
        assert_accurate(log_cosh, loss="program", effects="tails")
