"""Patches of losses as people write them: they keep names and shapes, hold for other parameters, and never hold less than is said."""

import inspect
from pathlib import Path

import pytest
import torch
from tracing_losses import blogs

from losscheck.tracing.advice import advise
from losscheck.tracing.cures.remedy import remedies
from losscheck.tracing.cures.trial import patched

LOGITS, TARGETS = (2.0, -3.0, 0.5, 1.0, -0.25, 4.0), (1.0, 0.0, 0.0, 1.0, 1.0, 0.0)
SOFT = (0.25, 0.5, 0.75, 0.9, 0.1, 0.3)


def value(function, targets, shape=(6,), **parameters):
    """The sum of the loss at ordinary logits, and of its gradient."""
    x = torch.tensor(LOGITS, dtype=torch.float64).reshape(shape).requires_grad_()
    loss = function(x, torch.tensor(targets, dtype=torch.float64).reshape(shape), **parameters).sum()
    return loss.item(), torch.autograd.grad(loss, x)[0].flatten().tolist()


def numbers(function):
    """Its parameters beside logits and targets, each with a value that nobody chose a patch by."""
    parameters = list(inspect.signature(function).parameters.values())[2:]
    return {parameter.name: parameter.default * 0.75 + 0.125 for parameter in parameters}


@pytest.mark.parametrize("function", blogs.PATCHED, ids=lambda function: function.__name__)
def test_a_patch_is_the_same_loss(function):
    """At parameters, a shape and a number of positives that it was not found with; at soft targets, unless it says otherwise."""
    cure = remedies(function, "float32").cure
    targets, other = [TARGETS, *([] if cure.hard else [SOFT])], numbers(function)
    before = [value(function, chosen, (2, 3), **other) for chosen in targets]
    with patched(cure.patches):
        after = [value(function, chosen, (2, 3), **other) for chosen in targets]

    assert cure.patches
    for (old, slopes), (new, patched_slopes) in zip(before, after, strict=True):
        assert new == pytest.approx(old, rel=1e-9)
        assert patched_slopes == pytest.approx(slopes, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("function", [blogs.Flattened(), blogs.flat_probabilities], ids=["a module", "a function"])
def test_a_patch_that_would_mix_shapes_is_not_offered(function):
    """It would run at logits of one axis, and broadcast at those of two."""
    cure = remedies(function, "float32").cure

    assert cure.patches == ()
    assert all("logsigmoid" in rewritten.after for rewritten in cure.rewritten)


def test_a_cast_to_integers_is_for_hard_targets():
    """gt.byte() of a soft target is 0: what counts it as the target is equal at 0 and 1 alone."""
    cure = remedies(blogs.dbnet, "float32").cure

    assert cure.hard


def test_what_the_patch_does_not_mend_is_in_the_answer():
    """The sums of dice are made of better terms, and `1 - dice` stays what it is."""
    advice = advise(blogs.dice, 80.0, 1.0)
    lines = advice.explain(width=200).splitlines()

    assert advice.here[0] > 1e6
    assert lines[3].startswith("cure:  a part of it: ")


def test_exponentials_beyond_every_float_are_no_crash():
    """exp(104 / 0.07) is larger than any float64."""
    assert advise(blogs.contrast, 80.0, 1.0).judged


def test_what_a_loop_meets_is_said_once():
    """With how many times."""
    text = advise(blogs.harmonised, 2.0, 0.0).explain(width=200)

    assert text.count("a value left the trace") == 1
    assert "(10 times)" in text


def test_a_root_at_zero_is_no_mask():
    """Nothing is left out: an infinite slope meets a slope of 0."""
    text = advise(blogs.root_mean_square, 0.0, 0.0).explain()

    assert "cause: zero times infinity" in text
    assert "where" not in text.split("ops ")[0].replace("where 0 is right", "")


def test_a_subnormal_that_a_kernel_flushes_underflows():
    """sigmoid(-90) is 8e-40 and comes out as 0: nothing cancels there."""
    text = advise(blogs.divergence, -90.0, 0.0).explain(width=200)

    assert "cause: underflow" in text


def test_a_backward_pass_is_judged_by_what_it_says():
    """Beyond the floor of BCELoss the derivative is 0, its backward pass is not, and the wrong number is beside the right one."""
    (line,) = [line for line in advise(blogs.dbnet, -104.0, 1.0).explain(width=200).splitlines() if line.startswith("✗ gradient")]

    assert "by its backward pass as it is written; the derivative is 0" in line
    assert "-0 where 0 is right" not in line


def test_every_loss_of_the_file_is_here():
    """None is written and tested by nothing."""
    written = {name for name, made in vars(blogs).items() if getattr(made, "__module__", "") == blogs.__name__}
    text = Path(__file__).read_text()

    assert all(f"blogs.{name}" in text or getattr(blogs, name) in blogs.PATCHED for name in written)
