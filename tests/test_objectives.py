"""Objectives that return (gradient, hessian), as XGBoost and LightGBM take them: judged on the gradient, and never on a loss."""

from pathlib import Path

import numpy as np
import pytest

import losscheck
from losscheck.callables.loading import load
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
    weight = dtrain.get_weight()
    return (p - dtrain.get_label()) * (weight if weight is not None and len(weight) else 1), p * (1 - p)


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


def data():
    """A few rows of three features, and labels that follow the first."""
    random = np.random.default_rng(0)
    features = random.normal(size=(64, 3)).astype(np.float32)
    return features, (features[:, 0] + 0.3 * random.normal(size=64) > 0).astype(np.float32)


def with_xgboost(name):
    """The margins of a model trained by an objective of the file, with its name before they become probabilities."""
    xgboost = pytest.importorskip("xgboost")
    features, labels = data()
    matrix = xgboost.DMatrix(features, label=labels)
    parameters = {"base_score": 0.5, "max_depth": 2, "nthread": 1, "seed": 0}
    booster = xgboost.train(parameters, matrix, num_boost_round=4, obj=load(f"obj.py:{name}").target)
    return booster.predict(matrix, output_margin=True), labels


def with_lightgbm(name):
    """As above."""
    lightgbm = pytest.importorskip("lightgbm")
    features, labels = data()
    parameters = {"objective": load(f"obj.py:{name}").target, "num_threads": 1, "verbose": -1, "min_data_in_leaf": 4, "seed": 0}
    booster = lightgbm.train(parameters, lightgbm.Dataset(features, label=labels), num_boost_round=4)
    return booster.predict(features, raw_score=True), labels


@pytest.mark.parametrize("train", [with_xgboost, with_lightgbm])
@pytest.mark.parametrize("name", ["of_dtrain", "focal_of_dtrain"])
def test_an_objective_that_a_library_trains_with_is_judged_as_it_is(train, name):
    """One function: given to the library with its own data set it learns the labels, and given to check it is judged on its gradient."""
    Path("obj.py").write_text(OBJECTIVES + FOCAL_OF_DTRAIN, encoding="utf-8")
    margins, labels = train(name)
    (row,) = losscheck.check(f"obj.py:{name}", dtype="float32").ranking

    assert np.mean((margins > np.median(margins)) == labels) > 0.8
    assert (row.loss, row.sure) == ("weighted-focal" if "focal" in name else "bce", True)
    assert all(finding.quantity != "loss" for finding in row.findings)


FOCAL_OF_DTRAIN = """

def focal_of_dtrain(preds, dtrain):
    gradient, hessian = focal(preds, dtrain.get_label())
    return gradient, np.maximum(hessian, 1e-6)
"""
