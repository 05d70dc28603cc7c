"""What happened to one float: a page for each outcome, worst first."""

from __future__ import annotations

import functools

from losscheck.core.explanations.page import BCE, HEATMAP, Page

__all__ = ["OUTCOMES"]

_page = functools.partial(Page, kind="outcome")

OUTCOMES = (
    _page(
        word="nan",
        title="NaN came out where the right answer is a number",
        meaning="The arithmetic met something that has no value, such as 0 * inf, inf - inf or 0 / 0, and every operation after it "
        "handed the NaN on.",
        harm="A mean or a sum with one NaN in it is NaN, its gradient is NaN for every weight of the model, and one optimiser step "
        "writes NaN into all of them. Nothing after that step can be saved.",
        command="losscheck compare --loss centernet-heatmap --impl centernet-neg-loss --logit 17 --target 1",
        seen="The loss is `nan`: log(1 - p) is -inf there, and the mask that should remove it multiplies it by 0.",
        instead="Do not mask an infinity after it has been made: write each term so that it is finite. Losses of logits can be.",
        code=HEATMAP,
    ),
    _page(
        word="inf",
        title="an infinity came out where the right answer is a finite number",
        meaning="Something overflowed, or a logarithm of 0 or a division by 0 was taken, where exact arithmetic gives a number "
        "that the "
        "dtype can hold.",
        harm="The mean of the batch is infinite, and the backward pass through it usually makes NaN of the infinity (0 * inf).",
        command="losscheck compare --loss bce --impl naive --backend torch --logit 17 --target 0",
        seen="The loss is `inf` where `17.00000004` is right: the sigmoid has rounded to 1, and log(1 - 1) follows.",
        instead="Take logits, not probabilities: softplus(x) is log(1 + e^x) without the overflow, and -log(1 - sigmoid(x)) without "
        "the log of 0.",
        code=BCE,
    ),
    _page(
        word="wrong-sign",
        title="a number of the opposite sign came out",
        meaning="Cancellation left more error than value, or a derivative was taken at a kink where the framework picks a side.",
        harm="A gradient of the wrong sign makes the step go the wrong way: the loss rises where it should fall.",
        command="losscheck compare --loss bce --impl tensorflow-formula --backend torch --logit 0 --target 0.5 --param pos_weight=10",
        seen="The gradient is `0.5` where `-2.25` is right: `wrong-sign`. At a logit of exactly 0 "
        "PyTorch gives clamp(min=0) the slope 1 and abs the "
        "slope 0, which do not belong together; a layer that starts at zero gives exactly that logit.",
        instead="Use softplus, whose slope at 0 is 1/2, and not max(x, 0) with abs(x).",
        code=BCE,
    ),
    _page(
        word="lost",
        title="0 came out where the right answer is a normal number",
        meaning="Two nearly equal numbers were subtracted, or 1 was added to something small: all of the result was in the bits "
        "that were "
        "rounded away. This is silent: nothing is NaN, nothing warns.",
        harm="It depends on the size of what was lost, which the effect tells: a loss of 3e-07 lost at an easy cell is `tails`, a "
        "gradient of 1 lost at a hard one is `dead`.",
        command="losscheck compare --loss bce --impl torch-bce-with-logits --logit -15 --target 0",
        seen="The loss is 0 where `3.059022737e-07` is right, outcome `lost`: PyTorch computes (1 - z) x - logsigmoid(x), and "
        "the two cancel.",
        instead="Write every term with the sign that keeps it small: softplus(x) for target 0, softplus(-x) for target 1; never "
        "1 - sigmoid(x), x + softplus(-x) or x - logsigmoid(x).",
        code=BCE,
    ),
    _page(
        word="missed-inf",
        title="a finite number came out where the right answer is infinite",
        meaning="The exact value is infinite, or rounds to infinity in the dtype, and something replaced it by a number.",
        harm="Seldom by itself; but whoever watches for infinities does not see this one.",
        file=(
            "hidden.py",
            "import torch\nimport torch.nn.functional as F\n\n\n"
            "def loss(logits, targets):\n    return torch.nan_to_num(F.binary_cross_entropy_with_logits(logits, targets, "
            'reduction="none"))\n',
        ),
        command="losscheck compare --loss bce --impl hidden.py:loss --logit inf --target 0",
        seen="The largest float, `3.4028235e+38`, stands where `inf` is right, outcome `missed-inf`.",
        instead="Find out where the infinite logit comes from (`torch.isfinite` on the head's output); nan_to_num hides it, and its "
        "gradient is 0 there.",
    ),
    _page(
        word="flushed",
        title="0 came out where the right answer is a subnormal number",
        meaning="The right answer is below the smallest normal number of the dtype (1.2e-38 in float32, 6.1e-05 in float16), where "
        "floats have fewer and fewer bits, and some kernels and devices write 0 instead.",
        harm="In float32 and bfloat16 none that could be measured. In float16 such gradients are of a size that counts: that is what "
        "loss scaling is for.",
        command="losscheck compare --loss bce --impl torch-bce-with-logits --logit -100 --target 0",
        seen="Loss and gradient are 0 where the subnormal `3.720075976e-44` is right, outcome `flushed`.",
        instead="Nothing in float32. In float16 scale the loss (torch.amp.GradScaler) or compute it in float32. `losscheck "
        "doctor` tells "
        "how this machine treats subnormals.",
    ),
    _page(
        word="inaccurate",
        title="off by more ulp than the limit in force",
        meaning="An ulp is the distance between neighbouring floats at the right answer. The limit is 8 unless `--max-ulp` says "
        "otherwise: "
        "what a careful implementation of these losses reaches.",
        harm="A relative error says nothing of training; the effect does. Half of all bits wrong in a gradient of 1e-09 harms nobody.",
        command="losscheck compare --loss bce --impl torch-sigmoid-bceloss --logit 16 --target 0",
        seen="The loss is off by a third of a percent where `16.00000011` is right: 1 - p has one or two bits left. The outcome is "
        "`inaccurate`.",
        instead="Look at the effect first. If it counts: logits in, one term of one sign for each class.",
        code=BCE,
    ),
    _page(
        word="undecided",
        title="the oracle could not tell what the right float is",
        meaning="The exact value lies so close to the middle between two floats that no precision up to 16384 bits tells on "
        "which side, or "
        "its formula has no value there (0/0). A guess would be worth nothing, so there is none.",
        harm="None for training: it is about the question, not about your code. A gate that meets one cannot judge, and exits with 2.",
        file=(
            "tie.py",
            "import torch.nn.functional as F\n\n\n"
            "def exact(m, logit, target):\n"
            '    """x + 2^-24 in disguise: at 1 it is halfway between two numbers of float32, and no precision shows it."""\n'
            "    return m.softplus(logit) - m.softplus(-logit) + 2.0**-24\n\n\n"
            "def loss(logits, targets):\n    return F.softplus(logits) - F.softplus(-logits)\n",
        ),
        command="losscheck compare --impl tie.py:loss --formula tie.py:exact --logit 1 --quantity loss",
        seen="The exact value is `undecided`.",
        instead="Move the logit by one float, or ask in another dtype. If your own formula is 0/0 there, that is the finding.",
    ),
    _page(
        word="unavailable",
        title="the implementation could not be run, and the row says why",
        meaning="No device, a package that is not installed, a parameter that the implementation cannot take, or an exception of its own.",
        harm="None, unless it is taken for a success: it is neither right nor wrong.",
        command="losscheck compare --loss bce --impl stable --impl torch-sigmoid-bceloss --backend torch --logit 1 --param pos_weight=2",
        seen="torch-sigmoid-bceloss is `unavailable`: `torch-sigmoid-bceloss takes no pos_weight`.",
        instead="Do what the reason names; `losscheck doctor` lists what is missing and how to get it.",
    ),
    _page(
        word="ok",
        title="within the limit of its own formula",
        meaning="The float is right, or off by at most the limit (8 ulp by default), measured against the implementation's own "
        "formula. "
        "An underflow to a correctly rounded 0 is `ok`.",
        harm="It speaks of rounding alone. A formula that is not the loss's definition is rounded correctly and may still be `dead` "
        "by deviation: look at the effect, or at the column deviation.",
        command="losscheck compare --loss bce --impl stable --backend torch --logit 1.5 --target 0",
        seen="The loss and the gradient are `ok`.",
        instead="Nothing.",
    ),
)
