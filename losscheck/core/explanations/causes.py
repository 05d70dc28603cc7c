"""Why a float came out wrong: a page for each cause, by the name that the field has for it."""

from __future__ import annotations

import functools

from losscheck.core.explanations.page import BCE, FOCAL, HEATMAP, Page

__all__ = ["CAUSES"]

_page = functools.partial(Page, kind="cause")

CAUSES = (
    _page(
        word="saturation",
        title="the sigmoid rounds to 1, and what told the logits apart is gone",
        meaning="sigmoid(x) is 1 - e^-x nearly, and from 16.64 on (float32; 8.32 in float16, 6.25 in bfloat16, 36.75 in float64) the "
        "nearest float is 1. Logits of 17 and of 70 are then the same probability, and no operation after it can bring the "
        "difference back.",
        harm="1 - p is 0 from there on: the log of it is infinite, its gradient 0 or NaN.",
        command="losscheck compare --loss bce --impl naive --backend torch --logit 17 --target 0",
        seen="`inf` where `17.00000004` is right.",
        instead="Keep the logits: -log(1 - sigmoid(x)) is softplus(x), and 1 - sigmoid(x) is sigmoid(-x).",
        code=BCE,
        also=("saturated", "sigmoid"),
    ),
    _page(
        word="cancellation",
        title="two nearly equal numbers were subtracted, and only their rounding errors are left",
        meaning="a - b is exact in floating point when a and b are close; what was rounded away when a and b were made is not, "
        "and it is as "
        "large as the difference. The usual places are 1 - p, x + softplus(-x) and x - logsigmoid(x).",
        harm="The smaller the result, the more of it is wrong, until exactly 0 comes out.",
        command="losscheck compare --loss bce --impl expanded --backend torch --logit -15 --target 0",
        seen="0 where `3.059022737e-07` is right: x + log(1 + e^-x) is -15 + 15.",
        instead="Rewrite the difference as one function: x + softplus(-x) is softplus(x), 1 - sigmoid(x) is sigmoid(-x).",
        code=BCE,
        also=("cancels", "inner-cancellation"),
    ),
    _page(
        word="overflow",
        title="an exponential left the range of the dtype",
        meaning="e^x is infinite from 88.72 on in float32 and bfloat16, 11.09 in float16, 709.8 in float64, although the "
        "logarithm taken of it "
        "afterwards would be an ordinary number.",
        harm="The infinity stays, or meets a 0 or another infinity and becomes NaN.",
        command="losscheck compare --loss bce --impl unshifted --backend torch --logit 89 --target 0",
        seen="`inf` where `89` is right: log(1 + e^89).",
        instead="softplus and logsigmoid (log-sum-exp in general) take the largest exponent out first.",
        code=BCE,
    ),
    _page(
        word="log-of-zero",
        title="a logarithm was taken of a probability that had rounded to 0",
        meaning="p or 1 - p is never 0 in exact arithmetic. In floating point it is, once the sigmoid saturates or underflows.",
        harm="-inf, and its derivative 1/0 as well: the gradient is NaN or infinite.",
        command="losscheck compare --loss centernet-heatmap --impl centernet-neg-loss --logit 17 --target 0",
        seen="`inf` where `16.99999863` is right.",
        instead="logsigmoid(x) for log p, -softplus(x) for log(1 - p). An eps in the logarithm hides the infinity and kills the "
        "gradient: "
        "see `losscheck explain eps-hides-a-tail`.",
        code=HEATMAP,
        also=("log of 0", "log(0)", "log0"),
    ),
    _page(
        word="zero-times-inf",
        title="a mask or a weight of 0 was multiplied by an infinity",
        meaning="0 * inf is NaN in floating point. A product with a mask does not remove the other branch: it computes it, and multiplies.",
        harm="The elements that the mask should leave out are those that make the batch NaN.",
        command="losscheck compare --loss bce --impl expanded --backend torch --logit -89 --target 1",
        seen="`nan` where `89` is right: (1 - z) is 0, and what it weighs is infinite.",
        instead="Make each term finite before it is weighed; torch.where alone does not help the gradient "
        "(`losscheck explain masked-gradient`).",
        code=BCE,
        also=("0*inf", "0 * inf", "zero-times-infinity"),
    ),
    _page(
        word="inf-minus-inf",
        title="two infinities were subtracted",
        meaning="Both operands overflowed, or one logit was infinite already, and their difference, which may be an ordinary "
        "number, is NaN.",
        harm="NaN for the whole batch.",
        command="losscheck compare --loss bce --impl tensorflow-formula --backend torch --logit inf --target 1",
        seen="`nan` where 0 is right: max(x, 0) - x z is inf - inf.",
        instead="Find where the infinite logit comes from; a float16 layer without a scaled loss is the usual place.",
        also=("inf-inf", "inf - inf", "infinity-minus-infinity"),
    ),
    _page(
        word="pow-at-zero",
        title="a power with an exponent below 1 was differentiated at 0",
        meaning="The derivative of b^g is g b^(g-1): at b = 0 infinite for g < 1. A focusing factor (1 - p)^g meets that as "
        "soon as p rounds to 1.",
        harm="The gradient is inf * 0, NaN, at the easiest elements of all. A step later everything is.",
        command="losscheck compare --loss weighted-focal --impl naive --backend torch --param gamma=0.5 --logit 18 --target 1",
        seen="The gradient is `nan` where `-7.048232883e-13` is right.",
        instead="Take the power of sigmoid(-x), which does not round to 0, or work in log space: exp(g * logsigmoid(-x)).",
        code=FOCAL,
        also=("pow at 0", "pow", "power-at-zero"),
    ),
    _page(
        word="masked-gradient",
        title="`where` chose the good branch, and the gradient went through both",
        meaning="torch.where(c, a, b) differentiates a and b, and multiplies the one that was not chosen by 0. If that one is "
        "infinite, the "
        "gradient is NaN though the loss is right.",
        harm="The loss curve looks healthy in the step in which the weights become NaN.",
        command="losscheck compare --loss centernet-heatmap --impl naive --backend torch --logit 17 --target 1 --quantity grad",
        seen="The gradient is `nan` where `-2.128641955e-22` is right: the branch of the other targets has log(0) in it.",
        instead="Choose the argument, not the result: put the where before the logarithm, so that only one branch is computed.",
        code=HEATMAP,
        also=("where", "mask"),
    ),
    _page(
        word="rounded-away",
        title="a constant that should protect rounds to the number it should keep away from",
        meaning="1 - 1e-4 is 1 in float16 and in bfloat16, 1 - 1e-8 is 1 in float32, and 1e-12 is 0 in float16. A guard written with "
        "them is not there.",
        harm="The code that was tested in float32 becomes infinite under autocast, although it has a clamp.",
        command="losscheck compare --loss centernet-heatmap --impl centernet-neg-loss-clamped --dtype float16 --logit 9 --target 0",
        seen="The loss is `inf` where `8.9979` is right, in spite of clamp(p, 1e-4, 1 - 1e-4).",
        instead="No guard, but logits: then there is nothing to guard. Else a constant of the dtype: torch.finfo(p.dtype).eps.",
        code=HEATMAP,
        also=("constant", "rounded-away constant", "guard-rounded-away"),
    ),
    _page(
        word="sum-overflow",
        title="a sum in half precision passed 65504",
        meaning="The elements are in range and so is their mean, but float16 ends at 65504 and the sum is formed first. From 2048 on "
        "in float16, and from 256 on in bfloat16, adding 1 changes nothing.",
        harm="The loss of a whole batch is infinite though none of its elements is large; it depends on the size of the batch.",
        command="losscheck compare --loss centernet-heatmap --impl stable --backend torch --dtype float16 --reduction normalised "
        "--quantity loss --logit -40000 --logit -40000 --target 1 --target 1",
        seen="`inf` where `40000` is right: 80000 is divided by 2 too late.",
        instead="Reduce in float32: `loss.float().sum() / count`, or divide before you sum.",
        also=("half-precision sum overflow", "sum", "half-sum-overflow"),
    ),
    _page(
        word="underflow",
        title="a product or an exponential is below the smallest number of the dtype",
        meaning="Below 1.4e-45 in float32 and bfloat16 (9.2e-41), 6e-8 in float16 there is only 0. A probability multiplied up over many "
        "elements, or e^x of a large negative x, is there soon, though the logarithm taken of it afterwards would be an ordinary number.",
        harm="The logarithm of the 0 is infinite, and a quotient by it as well.",
        file=(
            "weights.py",
            """import torch


def log_weight(logits, targets):
    return -torch.log(torch.exp(logits))
""",
        ),
        command="losscheck trace weights.py:log_weight -110 --target 1",
        seen="`cause: underflow`: the exponential is 0 where `1.68891188e-48` is right.",
        instead="Stay with logarithms: add them instead of multiplying what they are taken of, as logsigmoid(x).sum() does.",
        also=("underflows",),
    ),
    _page(
        word="division-by-zero",
        title="a denominator rounded to 0, and is none in exact arithmetic",
        meaning="Mostly it is 1 - p of a saturated probability, or a sum of squares that underflowed.",
        harm="An infinity, and NaN where the numerator is 0 as well; the derivative of a quotient divides twice.",
        file=(
            "odds.py",
            """import torch


def odds(logits, targets):
    p = torch.sigmoid(logits)
    return torch.log1p(p / (1 - p))
""",
        ),
        command="losscheck trace odds.py:odds 30 --target 0 --all",
        seen="`p / (1 - p)` is `inf` where `1.06864746e+13` is right.",
        instead="Simplify the quotient: sigmoid(x) / (1 - sigmoid(x)) is e^x, and its logarithm is x.",
        also=("division by 0", "divided by zero"),
    ),
    _page(
        word="ill-conditioned",
        title="an op magnifies the rounding of what it takes",
        meaning="Near 1 the logarithm is as small as the distance from 1, of which few digits are left; a large power, a tangent near its "
        "pole, a long sum of both signs do the same. Every step is rounded correctly, and the result is not.",
        harm="Digits are lost, mostly not the sign and not the size: a curve that is rough, seldom a training that fails.",
        file=(
            "near_one.py",
            """import torch


def near_one(logits, targets):
    return -torch.log(torch.sigmoid(logits))
""",
        ),
        command="losscheck trace near_one.py:near_one 12 --target 1",
        seen="`cause: log near one`: the loss is off, `6.14419348e-06` is right.",
        instead="The function that takes the distance itself: log1p(d), expm1(d), logsigmoid(x).",
        code=BCE,
        also=("sensitivity", "log-near-one", "accumulated", "rounding of several ops"),
    ),
    _page(
        word="undefined",
        title="the formula has no value here in exact arithmetic either",
        meaning="log(-1), the root of a negative number, 0/0: no precision and no rewrite that keeps the meaning helps. A mask of 0 after "
        "it does not help either: NaN times 0 is NaN.",
        harm="One such element makes the batch NaN.",
        file=(
            "masked.py",
            """import torch


def masked(logits, targets):
    return torch.log(logits) * targets
""",
        ),
        command="losscheck trace masked.py:masked -1 --target 0",
        seen="`cause: undefined`: `torch.log(logits)`.",
        instead="Choose the argument before the function: torch.log(torch.where(targets > 0, logits, 1)).",
        also=("undefined in exact arithmetic",),
    ),
    _page(
        word="logits-as-probabilities",
        title="what the network gives was handed to a loss that takes probabilities",
        meaning="A loss of probabilities has a value between 0 and 1 alone: the logarithm of -3 is none. Logits are any number. "
        "F.binary_cross_entropy says so and raises; by hand the logarithm is NaN. It is called this where it was tried: numbers between 0 "
        "and 1 gave a value, numbers beyond did not.",
        harm="It raises, or it is NaN; as long as the logits of an untrained network happen to lie between 0 and 1, neither.",
        file=(
            "raw.py",
            """import torch


def raw(logits, targets):
    return -(targets * torch.log(logits) + (1 - targets) * torch.log(1 - logits)).mean()
""",
        ),
        command="losscheck trace raw.py:raw 3 --target 0",
        seen="`cause: logits as probabilities`: `torch.log(1 - logits)`.",
        instead="The loss that takes logits: F.binary_cross_entropy_with_logits. A sigmoid before a loss of probabilities is right in "
        "exact arithmetic and saturates in floating point (`losscheck explain saturation`).",
        code=BCE,
        also=("logits-for-probabilities", "probabilities", "logits taken for probabilities", "between 0 and 1"),
    ),
)
