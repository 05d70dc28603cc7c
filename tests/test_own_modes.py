"""A sweep survives its subject: callables that reduce, raise, promote or have no gradient, eager, compiled and under autocast."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812

import losscheck
from losscheck.core.outcome import Outcome


def reduced(logits, targets):
    return F.binary_cross_entropy_with_logits(logits, targets)


def normalised(logits, targets):
    losses = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return losses.sum() / torch.clamp(targets.sum(), min=1)


def promoting(logits, targets):
    wide = logits.float()
    return F.softplus(-wide) * targets + (1 - targets) * F.softplus(wide)


def picky(logits, targets):
    if (logits.abs() > 5).any():
        raise ValueError("too large")
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none")


def without_gradient(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    return np.logaddexp(np.zeros_like(logits), logits) - logits * targets


def judged(function, low=-4, high=4, **asked):
    return losscheck.sweep(function, loss="bce", target=0, range=(low, high), points=12, **asked)


def outcomes(report):
    return [(row.quantity, row.counts, row.reason) for row in report.sweeps]


@pytest.mark.parametrize("mode", ["compile", "autocast:bfloat16"])
@pytest.mark.parametrize("function", [reduced, normalised])
def test_a_loss_that_reduces_is_swept_in_every_mode(function, mode):
    """Every logit as a batch of one, with the outcomes that it has eager: no error of a compiler, no hours."""
    assert outcomes(judged(function, mode=mode)) == outcomes(judged(function))


@pytest.mark.parametrize(("dtype", "mode"), [("bfloat16", "autocast:bfloat16"), ("float16", "autocast:float16")])
@pytest.mark.parametrize("function", [promoting, reduced])
def test_float32_that_comes_out_of_half_logits_is_judged_as_float32(function, dtype, mode):
    """Under autocast the loss has another dtype than the logits and the gradient: each is held to its own."""
    loss, grad = judged(function, 3, 4, dtype=dtype, mode=mode).sweeps

    assert (loss.dtype, loss.given_dtype, loss.reason) == ("float32", dtype, "") and loss.exhaustive
    assert (grad.dtype, grad.given_dtype, grad.reason) == (dtype, dtype, "")
    assert loss.points == grad.points > 60 and not loss.wrong and not grad.wrong


def test_logits_that_raise_are_a_region_with_exact_ends():
    """Unavailable and named, in each quantity; the rest is judged."""
    rows = judged(picky, -8, 8).sweeps

    for row in rows:
        regions = [(region.first, region.last) for region in row.regions if region.outcome is Outcome.UNAVAILABLE]
        assert regions == [(-8.0, np.nextafter(np.float32(-5), np.float32(-8))), (np.nextafter(np.float32(5), np.float32(8)), 8.0)]
        assert "too large" in row.refusal and row.counts[Outcome.OK] > 4 and not row.reason


def test_numpy_sweeps_its_loss_and_says_that_it_has_no_gradient():
    """The row of the gradient has its reason, and nothing of the loss's is missing."""
    report = judged(without_gradient)
    loss, grad = report.sweeps

    assert loss.points > 12 and not loss.reason
    assert "no gradient" in grad.reason and not grad.counts
    assert any("numpy arrays carry no gradient" in remark for remark in report.remarks)
