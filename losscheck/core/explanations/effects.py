"""What a wrong float does to training: a page for each effect, worst first. The thresholds stand in core/effect.py."""

from __future__ import annotations

import functools

from losscheck.core.explanations.page import BCE, HEATMAP, Page

__all__ = ["EFFECTS"]

_page = functools.partial(Page, kind="effect")

EFFECTS = (
    _page(
        word="poisons",
        title="one such element makes the whole batch NaN or infinite",
        meaning="The loss or the gradient is NaN or infinite at a finite logit, where the exact one is a number that the dtype can hold.",
        harm="The sum or mean of the batch is NaN or infinite, and so is every gradient behind it. One optimiser step, and the "
        "model is gone.",
        command="losscheck check centernet-neg-loss --dtype float32",
        seen="CenterNet's loss `poisons`: `loss inf where 16.6 is right`, `above 16.64` at target 0. One cell of a heatmap is enough.",
        instead="Logits in, and no logarithm of something that can round to 0. A clamp or an eps trades this for `dead` or `misdirects`.",
        code=HEATMAP,
    ),
    _page(
        word="misdirects",
        title="the gradient pushes the wrong way, or far too hard or too little",
        meaning="The gradient counts (it is at least max(2^-10, 4u) of the steepest one, u being half an ulp of 1) and has the wrong "
        "sign or is off by more than half of itself, without being 0.",
        harm="The step goes elsewhere than the loss says. Elements that are confidently wrong, which should teach most, often "
        "teach next to "
        "nothing; nothing looks broken.",
        command="losscheck check torch-sigmoid-bceloss --dtype float32",
        seen="Sigmoid and BCELoss: it `misdirects`, a gradient of next to nothing `where -0.5 is right`, at `logits -88.72 to -28.32`. "
        "It is `by its own formula`: the backward pass of BCELoss divides by at least 1e-12, and is rounded to the last bit.",
        instead="binary_cross_entropy_with_logits, or the line below.",
        code=BCE,
    ),
    _page(
        word="dead",
        title="the gradient is 0: nothing is learned where most is to be learned",
        meaning="The gradient counts (it is at least max(2^-10, 4u) of the steepest one), and exactly 0 comes out.",
        harm="An element that is confidently wrong stays wrong for ever. The loss is high and does not move; the run looks as "
        "if it had "
        "converged to something bad.",
        command="losscheck check centernet-neg-loss-clamped --dtype float32",
        seen="With the clamp that guards it CenterNet's loss is `dead`: `gradient 0 where -1 is right`, `logits below -9.21, target 1`.",
        instead="binary_cross_entropy_with_logits, or the line below.",
        code=BCE,
    ),
    _page(
        word="misstates",
        title="the loss you watch, or the step you take, is visibly off",
        meaning="The loss is off by more than max(1 %, 4u) of itself (or of the loss at logit 0, if that is larger), or the "
        "gradient by "
        "more than that part of the steepest one; but no gradient that counts is off by half.",
        harm="Training goes on. The curve that you watch, the early stopping and the comparison of two runs read numbers that are not so.",
        command="losscheck check torch-bce-with-logits --dtype bfloat16",
        seen="In bfloat16 it `misstates`: `loss 0 where 0.0155 is right`, `logits -4.5 to -4`. A million easy cells lose 15000.",
        instead="Compute the loss in float32 (`logits.float()`), or with softplus.",
        code=BCE,
    ),
    _page(
        word="tails",
        title="what is lost is far below what counts; harmless alone",
        meaning="Some outcome fails, but every loss is right to max(1 %, 4u) on the scale of the loss, and no gradient that counts is "
        "touched. Ulp are relative: a gradient of 1e-08 may be wrong in all of its bits.",
        harm="None alone. Errors of one sign add up: a million easy cells whose loss of 3e-07 is lost are a loss of 0.3.",
        command="losscheck check torch-bce-with-logits --dtype float32",
        seen="`tails`: from -100 to 100 the `loss` is `off by at most` some 5e-07, which `a million such elements add up` to about 0.5.",
        instead="Nothing, unless you sum over very many easy elements; then the line below.",
        code=BCE,
    ),
    _page(
        word="sound",
        title="every result is as good as the dtype allows",
        meaning="Every outcome is `ok`, and the implementation's own formula is the definition wherever it counts.",
        harm="None.",
        command="losscheck check stable --loss bce --dtype float32",
        seen="`sound`, with how far off the worst result is: `every result within` some ulp.",
        instead="Nothing.",
    ),
)
