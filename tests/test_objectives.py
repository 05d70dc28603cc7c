"""Objectives that return (gradient, hessian), as XGBoost and LightGBM take them: judged on the gradient, and never on a loss."""

from pathlib import Path

import numpy as np
import pytest

import losscheck
from losscheck.core.errors import UserError
from losscheck.core.outcome import Outcome

OBJECTIVES = """
import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def sklearn_order(y_true, y_pred):
    p = sigmoid(y_pred)
    return p - y_true, p * (1 - p)


def preds_first(preds, labels):
    p = sigmoid(preds)
    return p - labels, np.maximum(p * (1 - p), 1e-16)


def of_dtrain(preds, dtrain):
    p = sigmoid(preds)
    return (p - dtrain.get_label()) * dtrain.get_weight(), p * (1 - p)


def focal(preds, y, gamma=2.0, alpha=0.25):
    p = sigmoid(preds)
    pos = alpha * (1 - p) ** gamma * (gamma * p * np.log(p) - (1 - p))
    neg = (1 - alpha) * p**gamma * (p - gamma * (1 - p) * np.log(1 - p))
    return np.where(y == 1, pos, neg), p * (1 - p)


def doubled(preds, labels):
    p = sigmoid(preds)
    return 2 * p - labels, p * (1 - p)


def summed(preds, labels):
    p = sigmoid(preds)
    return p - labels, (p * (1 - p)).sum()
"""

pytestmark = pytest.mark.usefixtures("plain_surroundings")


@pytest.fixture(autouse=True)
def file(plain_surroundings):
    Path("obj.py").write_text(OBJECTIVES, encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "loss", "harmful"),
    [("sklearn_order", "bce", False), ("preds_first", "bce", False), ("of_dtrain", "bce", False), ("focal", "weighted-focal", True)],
)
def test_check_recognises_an_objective_by_its_gradient(name, loss, harmful):
    """Without an option, in the order and form it takes; the focal one has 0 * log(0), a NaN."""
    (row,) = losscheck.check(f"obj.py:{name}", dtype="float32").ranking

    assert (row.loss, row.sure, row.harmful) == (loss, True, harmful)
    assert "a gradient and a hessian" in row.recognised
    assert all(finding.quantity != "loss" for finding in row.findings)


@pytest.mark.parametrize("name", ["doubled", "summed"])
def test_what_is_no_known_gradient_is_recognised_as_nothing(name):
    """A gradient that is none of a known loss, and a second part that is no hessian of each logit."""
    with pytest.raises(UserError):
        losscheck.check(f"obj.py:{name}", dtype="float32")


def test_the_loss_is_unavailable_and_the_gradient_judged():
    """Beside p - z in float64, an independent value; the reason names what came back."""
    rows = losscheck.compare("obj.py:preds_first", loss="bce", logit=[3.0, -2.0], target=0.0, pick="gradient").rows
    by_quantity = {quantity: [row for row in rows if row.quantity == quantity] for quantity in ("loss", "grad")}

    assert {row.outcome for row in by_quantity["loss"]} == {Outcome.UNAVAILABLE}
    assert all("no loss" in row.reason and row.value is None for row in by_quantity["loss"])
    assert {row.outcome for row in by_quantity["grad"]} == {Outcome.OK}
    right = [1 / (1 + np.exp(-logit)) for logit in (3.0, -2.0)]
    assert [row.value for row in by_quantity["grad"]] == pytest.approx(right, rel=1e-6)


def test_a_sweep_has_the_gradient_alone():
    """Its row of the loss has a reason and no points."""
    rows = {row.quantity: row for row in losscheck.sweep("obj.py:preds_first", loss="bce", pick="gradient", points=200).sweeps}

    assert (bool(rows["grad"].counts), bool(rows["loss"].counts)) == (True, False)
    assert "no loss" in rows["loss"].reason


@pytest.mark.parametrize("asked", ["reduction", "tensors"])
def test_a_batch_of_losses_has_none(asked):
    """What needs the loss of a batch says that there is none, and makes up no number."""
    if asked == "reduction":
        rows = losscheck.compare("obj.py:preds_first", loss="bce", logit=[1.0, 2.0], target=0.0, pick="gradient", reduction="mean").rows
    else:
        batch = (np.array([1.0, 2.0], np.float32), np.array([0.0, 1.0], np.float32))
        rows = losscheck.compare("obj.py:preds_first", loss="bce", tensors=batch, pick="gradient").tensors

    assert rows
    assert all("no loss" in row.reason for row in rows)
