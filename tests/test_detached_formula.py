"""A formula may detach: its value is judged with the factor, its gradient without the factor's slope."""

import math

import pytest

import losscheck
from losscheck.core.dtypes import FLOAT32
from losscheck.core.outcome import Outcome
from losscheck.oracle.refine import Term, exact_value

SOURCE = """
import torch
import torch.nn.functional as F


def focal(logits, targets):
    wrong = (1 - 2 * targets) * logits
    return torch.sigmoid(wrong).detach() ** 2 * F.softplus(wrong)


def exact(m, logit, target):
    wrong = -logit if target == 1 else logit
    return m.detach(m.power(m.sigmoid(wrong), 2)) * m.softplus(wrong)
"""


def detached(m, logit, target):
    return m.detach(m.power(m.sigmoid(logit), 2)) * m.softplus(logit)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "detached.py"
    path.write_text(SOURCE)
    return path


@pytest.mark.parametrize("oracle", ["flint", "mpmath"])
@pytest.mark.parametrize("logit", [-90.0, -1.5, 0.0, 17.0, 7000.0, math.inf])
def test_the_derivative_is_that_of_the_rest(oracle, logit):
    """By both oracles, at ordinary, huge and infinite logits: s(x)^2 s(x)."""
    found = exact_value(detached, [Term(logit, 0.0)], {}, FLOAT32, differentiate=True, oracle=oracle)
    right = exact_value(lambda m, x, z: m.power(m.sigmoid(x), 3), [Term(logit, 0.0)], {}, FLOAT32, oracle=oracle)

    assert found.rounded == right.rounded


def test_a_detached_factor_of_the_users_is_judged_by_its_own_formula(file):
    """Value and gradient are right by it, sampled and at every float of a range, and the filters agree with the oracle."""
    for asked in ({"points": 200}, {"range": (1, 3), "exhaustive": True}):
        report = losscheck.sweep(f"{file}:focal", formula=f"{file}:exact", target=(0, 1), **asked)

        assert {row.quantity for row in report.sweeps} == {"loss", "grad"}
        assert all(
            set(row.counts) <= {Outcome.OK, Outcome.FLUSHED, Outcome.LOST} and row.checked and not row.wrong for row in report.sweeps
        )


def test_without_detach_the_same_formula_condemns_the_gradient(file):
    """A detach that does nothing would pass the test above by chance."""
    file.write_text(SOURCE.replace("m.detach(m.power(m.sigmoid(wrong), 2))", "m.power(m.sigmoid(wrong), 2)"))
    report = losscheck.compare(f"{file}:focal", formula=f"{file}:exact", logit=1.5, target=0)

    assert {row.quantity: row.outcome for row in report.rows} == {"loss": Outcome.OK, "grad": Outcome.INACCURATE}
