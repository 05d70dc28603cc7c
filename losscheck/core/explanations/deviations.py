"""Code that does what it says, which is not what the loss says: a page for each kind."""

from __future__ import annotations

import functools

from losscheck.core.explanations.page import BCE, HEATMAP, Page

__all__ = ["DEVIATIONS"]

_page = functools.partial(Page, kind="cause")

DEVIATIONS = (
    _page(
        word="clamp-kills-the-gradient",
        title="beyond a clamp the gradient is 0",
        meaning="clamp, minimum and maximum have the slope 0 outside of their ends. That is what they say, and not what the loss says.",
        harm="Elements that are confidently wrong get no gradient: they are dead by deviation, with every float rounded correctly.",
        command="losscheck compare --loss centernet-heatmap --impl centernet-neg-loss-clamped --logit 12 --target 0",
        seen="The gradient is 0, a deviation of `-100%`, and the loss stays at `9.208332`.",
        instead="Losses of logits need no clamp. If the loss of an outlier must be bounded, bound the gradient "
        "(clip_grad_norm_), not the "
        "probability.",
        code=HEATMAP,
        also=("clamp", "clamped"),
    ),
    _page(
        word="eps-hides-a-tail",
        title="an eps in a logarithm or a quotient is larger than what it is added to",
        meaning="log(p + 1e-7) and x / max(y, 1e-12) are right while p and y are larger than the eps. Where they are smaller "
        "the eps is all "
        "that is left.",
        harm="The value stays finite and the gradient fades to nothing, just where the model is confidently wrong.",
        command="losscheck compare --loss bce --impl torch-sigmoid-bceloss --logit -50 --target 1",
        seen="The gradient is -2e-10 where -1 is right: a deviation of `-100%`.",
        instead="logsigmoid and softplus need no eps.",
        code=BCE,
        also=("eps", "epsilon"),
    ),
    _page(
        word="floored-logarithm",
        title="BCELoss holds its logarithms above -100",
        meaning="Of a probability that rounded to 0 or 1 the logarithm is infinite, and torch.nn.BCELoss puts -100 in its place; its "
        "backward pass divides by max(p (1 - p), 1e-12). Both keep the batch finite.",
        harm="The loss of a confidently wrong element is 100 whatever its logit, and its gradient is 0: nothing is learned where "
        "most is to be learned.",
        command="losscheck compare --loss bce --impl torch-sigmoid-bceloss --logit 20 --target 0",
        seen="The loss is `100` where `20` is right.",
        instead="Leave the sigmoid away: BCEWithLogitsLoss takes the logits.",
        code=BCE,
        also=("floor", "floored", "bceloss"),
    ),
    _page(
        word="hidden-nan",
        title="nan_to_num puts a number in the place of a NaN or an infinity",
        meaning="It changes what is returned and not what went wrong before it. In the backward pass its slope is 0, and 0 times the "
        "infinite slope of what it hides is NaN again.",
        harm="The curve looks well while the gradient is NaN, or while elements that should teach most teach nothing.",
        file=(
            "hidden.py",
            """import torch


def hidden(logits, targets):
    loss = -torch.log(torch.sigmoid(logits) * targets)
    return torch.nan_to_num(loss, posinf=0.0)
""",
        ),
        command="losscheck trace hidden.py:hidden 3 --target 0",
        seen="`gradient: nan where 0 is right`, and `nan_to_num replaces a NaN or an infinity`.",
        instead="Choose the argument before the logarithm, with where or with logsigmoid, so that there is nothing to hide.",
        code=BCE,
        also=("nan-to-num",),
    ),
    _page(
        word="backward",
        title="the backward pass is not the derivative of the forward pass",
        meaning="A torch.autograd.Function returns what its backward says. A factor that was forgotten or detached there shows in no "
        "loss, and no rounding makes it.",
        harm="The loss falls or not by another rule than the one that is printed; a wrong sign climbs.",
        file=(
            "half.py",
            """import torch


class Half(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, z):
        ctx.save_for_backward(x, z)
        return torch.nn.functional.binary_cross_entropy_with_logits(x, z, reduction="none")

    @staticmethod
    def backward(ctx, grad):
        x, z = ctx.saved_tensors
        return 0.5 * grad * (torch.sigmoid(x) - z), None


def half(logits, targets):
    return Half.apply(logits, targets)
""",
        ),
        command="losscheck trace half.py:half 1 --target 0",
        seen="`the backward pass is not the derivative of the forward pass`: `0.5 * grad`.",
        instead="Let autograd differentiate, or hold the backward pass against it: torch.autograd.gradcheck, in float64.",
        also=("backward-pass", "custom-backward"),
    ),
    _page(
        word="double-sigmoid",
        title="a sigmoid is applied to what a sigmoid gave",
        meaning="A loss that takes logits has the sigmoid inside. Of probabilities it makes numbers between 0.5 and 0.73, whatever the "
        "network says. It is called this where it was tried: with the first sigmoid left out it was proved to be binary cross entropy.",
        harm="Every float is right, nothing is NaN, and the loss cannot fall below 0.31 for a positive element nor below 0.69 for a "
        "negative one. A confidently wrong prediction has the gradient 0.",
        file=(
            "twice.py",
            """import torch
import torch.nn.functional as F


def twice(logits, targets):
    return F.binary_cross_entropy_with_logits(torch.sigmoid(logits), targets)
""",
        ),
        command="losscheck trace twice.py:twice 3 --target 0",
        seen="`cause: a sigmoid is applied twice`: `torch.sigmoid(logits)`.",
        instead="Hand the logits over, and keep the sigmoid for what is shown or thresholded.",
        code=BCE,
        also=("sigmoid-twice", "sigmoid applied twice", "two-sigmoids"),
    ),
)
