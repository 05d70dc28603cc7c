"""The stable implementations, each with one thing broken: what the gate is tested with.

``python tests/mutants.py`` prints docs/gate_mutations.md, whose table is what the shipped cases catch.
"""

import contextlib
import dataclasses
import functools
import inspect
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from losscheck.core import functional as elementary
from losscheck.core import registry
from losscheck.core.dtypes import FORMATS
from losscheck.core.loss import Implementation
from losscheck.core.reductions import REDUCTIONS
from losscheck.gating.judge import Session, judge_case
from losscheck.gating.load import case_files, load

__all__ = ["CASES", "EVERYWHERE", "MUTANTS", "Catch", "Mutant", "caught", "document", "in_place", "line", "shipped", "stable"]

CASES = Path(__file__).parents[1] / "cases"


@dataclass(frozen=True)
class Mutant:
    """One change to the stable implementation of a loss: its name, what was changed in words, and how."""

    loss: str
    name: str
    what: str
    change: Callable[[Implementation], Implementation]


@dataclass(frozen=True)
class Catch:
    """The first case that does not hold for a mutant, and by what: outcomes, or a property."""

    case: str
    how: str


def stable(loss):
    """The shipped stable implementation of a loss."""
    return next(
        implementation for implementation in registry.implementations() if (implementation.loss, implementation.name) == (loss, "stable")
    )


# Two ways to change one thing ---------------------------------------------------------------------------------------


def edited(old, new, within=""):
    """Its source, or that of the elementary functions below it, with ``old`` replaced by ``new`` in one place."""

    def change(one):
        ours = inspect.getmodule(one.function)
        home = ours if not within or _defines(ours, within) else elementary
        source = inspect.getsource(home)
        start, end = _extent(source, within)
        assert source[start:end].count(old) == 1, f"{old!r} stands {source[start:end].count(old)} times in {within or ours.__name__}"
        space = {"__name__": home.__name__}
        exec(compile(source[:start] + source[start:end].replace(old, new) + source[end:], home.__name__, "exec"), space)
        if home is ours:
            return dataclasses.replace(one, function=space["stable"].function, gradient=space["stable_gradient"])
        below = {"__name__": ours.__name__}
        exec(compile(inspect.getsource(ours), ours.__name__, "exec"), below)
        below.update({name: space[name] for name in elementary.__all__})
        return dataclasses.replace(one, function=below["stable"].function, gradient=below["stable_gradient"])

    return change


def _defines(module, function):
    return f"\ndef {function}(" in inspect.getsource(module)


def _extent(source, function):
    """Where one function stands in a source; without a name all of it."""
    if not function:
        return 0, len(source)
    found = re.search(rf"^def {function}\(.*?(?=^\S)", source + "\n#", re.DOTALL | re.MULTILINE)
    return found.span()


def tampered(loss=None, grad=None):
    """Its results through another function: ``loss(xp, x, value)``, on numpy also ``grad(xp, x, value)``.

    On torch a change of the loss changes the gradient as autograd sees it.
    """

    def change(one):
        def function(xp, x, z, **params):
            value = one.function(xp, x, z, **params)
            return loss(xp, x, value) if loss else value

        def gradient(xp, x, z, **params):
            value = one.gradient(xp, x, z, **params)
            return grad(xp, x, value) if grad else value

        return dataclasses.replace(one, function=function, gradient=gradient)

    return change


def bits_flipped(dtype, logit, bit):
    """One bit of the loss at one logit of one dtype; autograd sees a constant added there."""

    def loss(xp, x, value):
        if name_of(value) != dtype:
            return value
        there = constant(xp, value)
        integers = getattr(xp, {"float16": "int16", "float32": "int32"}[dtype])
        flipped = (there.view(integers) ^ (1 << bit)).view(there.dtype)
        return xp.where(x == logit, value + (flipped - there), value)

    return tampered(loss)


def name_of(array):
    """The name of an array's dtype, which torch puts after its own."""
    return str(array.dtype).removeprefix("torch.")


def rounded_through(name):
    """Loss and gradient cast to a narrower format and back."""

    def narrow(xp, x, value):
        if xp.__name__ == "torch":
            return value.to(getattr(xp, name)).to(value.dtype)
        if name == "bfloat16":
            import ml_dtypes

            return value.astype(ml_dtypes.bfloat16).astype(value.dtype)
        return value.astype(name).astype(value.dtype)

    return tampered(narrow, narrow)


def times(xp, value, factor):
    """value * factor in the dtype of the value; a bare number would promote bfloat16 in numpy."""
    return value * xp.full_like(value, factor)


def clamped(limit):
    """The function at a clamped logit: nothing changes beyond the limit, and the slope is 0."""

    def held(xp, x):
        return xp.where(x > limit, xp.full_like(x, limit), xp.where(x < -limit, xp.full_like(x, -limit), x))

    def change(one):
        return dataclasses.replace(one, function=lambda xp, x, z, **params: one.function(xp, held(xp, x), z, **params))

    return change


def normalised(function):
    """The implementation as it is, under another array reduction."""
    return lambda implementation: Reduced(implementation, function)


@dataclass(frozen=True)
class Reduced:
    """An implementation and the function that takes the place of the normalised reduction."""

    implementation: Implementation
    function: Callable


def constant(xp, value):
    """The same number, through which autograd sees no slope."""
    return value.detach() if xp.__name__ == "torch" else value


def where_logit(condition, other):
    """A tamperer that gives ``other(xp, x, value)`` where ``condition(x)`` holds."""
    return lambda xp, x, value: xp.where(condition(x), other(xp, x, value), value)


def scaled(factor):
    return tampered(*[lambda xp, x, value: times(xp, value, factor)] * 2)


def drifted(ulps):
    """Every result ``ulps`` units of the last place larger."""

    return tampered(*[lambda xp, x, value: times(xp, value, 1 + ulps * epsilon(value))] * 2)


def epsilon(array):
    """The distance from 1 to the next float of its dtype."""
    return 2.0 ** (1 - FORMATS[name_of(array)].precision)


def _not_a_number(xp, x, value):
    return xp.full_like(value, float("nan"))


def _zero(xp, x, value):
    return xp.zeros_like(value)


def _turned(xp, x, value):
    """The same loss with the slope's sign turned; of a gradient (numpy) the other sign."""
    return xp.where(value < float("inf"), 2 * constant(xp, value) - value, value) if xp.__name__ == "torch" else value


def _promoted(xp, x, value):
    return value * xp.ones(value.shape, dtype=xp.float64)


# The mutants --------------------------------------------------------------------------------------------------------

LOG1P = "xp.log1p(decay(xp, x))"
EVERYWHERE = "bce", "weighted-focal", "centernet-heatmap"
BCE, FOCAL, HEATMAP = EVERYWHERE
ALPHA = "xp.full_like(wrong, positive), xp.full_like(wrong, negative)"
SOFTPLUS = f"xp.where(x > 0, x, xp.zeros_like(x)) + {LOG1P}"


def _in_softplus(loss):
    """What can be wrong in softplus, under each loss."""

    def mutant(name, what, old, new, within="softplus"):
        return Mutant(loss, name, what, edited(old, new, within))

    yield mutant("no-log1p", "log(1 + e) for log1p(e)", LOG1P, "xp.log(1 + decay(xp, x))")
    yield mutant("eps-in-the-log", "1e-7 added inside the logarithm", LOG1P, "xp.log1p(decay(xp, x) + xp.full_like(x, 1e-7))")
    yield mutant("exp-unguarded", "log1p(exp(x)), which overflows", SOFTPLUS, "xp.log1p(exp(xp, x))")
    relu = "xp.clip(x, 0, None)"
    yield mutant("relu-subgradient", "max(x, 0) as clip, with slope 1 at exactly 0", "xp.where(x > 0, x, xp.zeros_like(x))", relu)
    yield mutant("abs-subgradient", "the modulus as abs, with slope 0 at exactly 0", "xp.where(x > 0, -x, x)", "-abs(x)", "decay")
    both = "xp.where(x > 0, x + xp.log1p(xp.exp(-x)), xp.log1p(xp.exp(x)))"
    yield mutant("where-after-exp", "both branches of a where, one overflowing: the gradient is NaN", SOFTPLUS, both)
    yield mutant("identity-above-20", "softplus(x) = x above 20, which float64 sees", SOFTPLUS, f"xp.where(x > 20, x, {SOFTPLUS})")


def _in_results(loss):
    """What can be wrong with a result, whatever computed it."""
    yield Mutant(loss, "factor", "loss and gradient 1.0001 times as large", scaled(1.0001))
    yield Mutant(loss, "five-ulp-drift", "loss and gradient 5 ulp larger everywhere", drifted(5))
    yield Mutant(loss, "through-float16", "loss and gradient cast to float16 and back", rounded_through("float16"))
    yield Mutant(loss, "through-bfloat16", "loss and gradient cast to bfloat16 and back", rounded_through("bfloat16"))
    yield Mutant(loss, "float64-constant", "a constant of float64, which promotes the result", tampered(_promoted))
    yield Mutant(loss, "nan-at-one", "NaN at the one landmark x = 1", tampered(where_logit(lambda x: x == 1, _not_a_number)))
    yield Mutant(loss, "nan-becomes-0", "0 for a NaN logit", tampered(where_logit(lambda x: x != x, _zero)))
    yield Mutant(loss, "inf-becomes-nan", "0 * x added: NaN at infinite logits", tampered(lambda xp, x, value: value + 0 * x))
    yield Mutant(loss, "middle-bit", "bit 12 of the float32 loss at x = 20 flipped", bits_flipped("float32", 20.0, 12))
    yield Mutant(loss, "next-float", "bit 12 flipped at the float32 after 1 alone", bits_flipped("float32", 1 + 2**-23, 12))
    yield Mutant(loss, "last-bit-float16", "the last bit of one float16 loss, at x = -3.5", bits_flipped("float16", -3.5, 0))
    beyond = where_logit(lambda x: x < -1, lambda xp, x, value: times(xp, value, 1 - epsilon(value)))
    yield Mutant(loss, "asymmetric", "one ulp less below x = -1", tampered(beyond))
    detached = tampered(where_logit(lambda x: x > 3, lambda xp, x, value: constant(xp, value)))
    yield Mutant(loss, "gradient-detached", "no gradient above x = 3 (torch)", detached)
    yield Mutant(loss, "gradient-zero", "the hand-written gradient is 0 (numpy)", tampered(grad=_zero))
    turned = tampered(where_logit(lambda x: x < 0, _turned), where_logit(lambda x: x < 0, lambda xp, x, value: -value))
    yield Mutant(loss, "gradient-turned", "the gradient's sign is wrong below 0", turned)
    at_zero = tampered(grad=where_logit(lambda x: x == 0, _zero))
    yield Mutant(loss, "gradient-at-zero", "the hand-written gradient is 0 at exactly 0 (numpy)", at_zero)
    step = tampered(where_logit(lambda x: (x > 5) & (x < 9), lambda xp, x, value: times(xp, value, 0.75)))
    yield Mutant(loss, "step", "a quarter less from 5 to 9", step)
    yield Mutant(loss, "clamped", "the logit clamped to 9.21, which is p to [1e-4, 1 - 1e-4]", clamped(9.21))


def _of_bce():
    positive, negative = "weighted(xp, pos_weight * z, softplus(xp, -x))", "weighted(xp, 1 - z, softplus(xp, x))"

    def mutant(name, what, old, new, within="cross_entropy"):
        return Mutant(BCE, name, what, edited(old, new, within))

    yield mutant("sign-of-positives", "softplus(x) for softplus(-x) in the term of class 1", positive, positive.replace("-x", "x"))
    yield mutant("sign-of-negatives", "softplus(-x) for softplus(x) in the term of class 0", negative, negative.replace("xp, x", "xp, -x"))
    yield mutant("pos-weight-ignored", "pos_weight left out of the loss", "pos_weight * z", "z")
    yield mutant("pos-weight-on-negatives", "pos_weight multiplies class 0 too", "1 - z", "pos_weight * (1 - z)")
    yield mutant("pos-weight-of-the-gradient", "pos_weight left out of the gradient (numpy)", "pos_weight * z", "z", "cross_entropy_slope")
    hard = "pos_weight * xp.where(z == 1, z, xp.zeros_like(z))"
    yield mutant("soft-truncated", "a soft target counts as class 0", "pos_weight * z", hard)
    yield mutant("zero-times-inf", "the weight 0 multiplies an infinite term", negative, "(1 - z) * softplus(xp, x)")
    yield mutant("cancelling", "(1 - z) x - log s(x), PyTorch's", positive, f"{positive} + weighted(xp, 1 - z, x)")
    difference = "sigmoid(xp, x) - z * (1 - (1 - pos_weight) * sigmoid(xp, -x))"
    shipped = "(1 - z) * sigmoid(xp, x) - pos_weight * z * sigmoid(xp, -x)"
    yield mutant("s-minus-z", "the gradient as s(x) - z (numpy)", shipped, difference, "cross_entropy_slope")
    one_minus = "(1 - sigmoid(xp, x))"
    yield mutant("one-minus-s", "1 - s(x) for s(-x) in the gradient (numpy)", "sigmoid(xp, -x)", one_minus, "cross_entropy_slope")
    yield mutant("soft-terms-cancel", "s(x)/2 - s(-x)/2 at target 1/2", "* 2 < apart", "* 2 < 0 * apart", "_cancels")
    yield mutant("tilt-left-out", "the centred loss without its linear term", " + tilt * within", "")
    yield mutant("log-2-left-out", "the centred loss less log 2", " + xp.full_like(x, LN2)", "")
    tilted = "tilt + 0 * xp.tanh(x / 2)"
    yield mutant(
        "tanh-left-out", "the centred gradient without its slope (numpy)", "level * xp.tanh(x / 2) + tilt", tilted, "cross_entropy_slope"
    )


def _of_focal():
    def mutant(name, what, old, new, within="stable"):
        return Mutant(FOCAL, name, what, edited(old, new, within))

    swapped = "xp.full_like(wrong, negative), xp.full_like(wrong, positive)"
    yield mutant("alpha-to-class-0", "alpha goes to the other class", ALPHA, swapped)
    yield mutant("alpha-dropped", "no alpha", "gamma, weight)", "gamma, xp.ones_like(weight))")
    yield mutant("gradient-unsigned", "the gradient of class 1 without its minus (numpy)", "-positive)", "positive)", "stable_gradient")
    yield mutant("gamma-less-1", "gamma - 1 for gamma", "wrong, gamma, ", "wrong, gamma - 1, ")
    yield mutant("gamma-2", "gamma is always 2", "wrong, gamma, ", "wrong, type(gamma)(2), ")
    yield mutant("classes-swapped", "the other class", "target == 1, -logit, logit", "target == 1, logit, -logit")
    yield mutant("one-minus-s", "s(x)^g from 1 - s(-x)", "s = sigmoid(xp, x)", "s = 1 - sigmoid(xp, -x)", "power_of_sigmoid")
    yield mutant("slope-without-gamma", "the factor gamma left out of the slope (numpy)", "over = exponent * ", "over = ", "focal_slope")
    yield mutant("slope-gamma-less-1", "(1 + e)^-g for (1 + e)^-(g + 1) in the slope", "-(exponent + 1)", "-exponent", "focal_slope")
    s = "xp.where(x > 0, 1 / (1 + xp.exp(-x)), xp.exp(x) / (1 + xp.exp(x)))"
    old = "xp.where(x > 0, xp.ones_like(e), e) / (1 + e)"
    yield mutant("where-after-exp-in-s", "both branches of the sigmoid, one overflowing", old, s, "sigmoid")
    yield mutant("weight-not-held", "the slope of s^g at logits where s is 1", "_held(xp, x), exponent", "x, exponent", "focal_term")
    yield mutant("power-unguarded", "the power of a subnormal s", "s >= xp.finfo(s.dtype).tiny", "s >= 0", "power_of_sigmoid")


def _of_heatmap():
    def mutant(name, what, old, new, within="stable"):
        return Mutant(HEATMAP, name, what, edited(old, new, within))

    penalty, none = "power_of_complement(xp, target, beta)", "xp.ones_like(logit)"
    yield mutant("penalty-dropped", "(1 - z)^b left out", penalty, none)
    yield mutant("penalty-of-the-gradient", "(1 - z)^b left out of the gradient (numpy)", penalty, none, "stable_gradient")
    yield mutant("beta-4", "beta is always 4", "target, beta", "target, 4.0")
    yield mutant("beta-for-alpha", "beta and alpha exchanged", "logit), alpha, ", "logit), beta, ")
    last = "weight = xp.where(target == 1"
    yield mutant("soft-is-positive", "a soft target counts as a positive cell", last, last.replace("== 1", ">= 0.5"))
    yield mutant("almost-1-is-positive", "a target within 1e-6 of 1 counts as 1", last, last.replace("target == 1", "1 - target < 1e-6"))
    z = "xp.asarray(z, dtype=xp.float64)"
    yield mutant("z-of-the-penalty", "z^b for (1 - z)^b", f"(1 - {z})", z, "power_of_complement")
    guarded, unguarded = "exp(xp, exponent * below)", "exp(xp, x) ** exponent"
    yield mutant("exp-unguarded-in-s", "s(x)^a as (e^x)^a / (1 + e)^a", guarded, unguarded, "power_of_sigmoid")
    yield mutant(
        "gradient-unsigned", "the gradient of a positive cell without its minus (numpy)", "-xp.ones_like", "xp.ones_like", "stable_gradient"
    )
    yield mutant("weight-not-held", "the slope of s^a at logits where s is 1", "_held(xp, x), exponent", "x, exponent", "focal_term")
    none = normalised(lambda loss, target: loss.sum() / (target == 1).sum() if (target == 1).any() else 0 * loss.sum())
    yield Mutant(HEATMAP, "no-positives-no-loss", "0 for a heatmap without a positive cell", none)
    mean = normalised(lambda loss, target: loss.mean())
    yield Mutant(HEATMAP, "mean-for-normalised", "divided by the number of cells", mean)


OF_ITS_OWN = {BCE: _of_bce, FOCAL: _of_focal, HEATMAP: _of_heatmap}
MUTANTS = tuple(implementation for loss in EVERYWHERE for implementation in (*_in_softplus(loss), *_in_results(loss), *OF_ITS_OWN[loss]()))


# Judging them -------------------------------------------------------------------------------------------------------


@functools.cache
def shipped(loss):
    """The shipped cases that name ``stable`` of a loss, for it alone; the quick ones first, every float of a dtype last."""
    chosen = []
    for loaded in load(case_files([CASES])):
        case = loaded.case
        # A case judges no other backends than it names: one of JAX says nothing about numpy and torch.
        backends = [name for name in ("numpy", "torch") if name in (case.backends or ("numpy", "torch"))]
        if case.loss == loss and {"stable", "*"} & set(case.implementations) and "cpu" in case.devices and backends:
            alone = case.model_copy(update={"implementations": ["stable"], "backends": backends})
            chosen.append(dataclasses.replace(loaded, case=alone))
    return sorted(chosen, key=lambda loaded: (loaded.case.exhaustive is not None, loaded.case.range is not None))


@contextlib.contextmanager
def in_place(mutant):
    """The registry with the mutant under the name `stable`."""
    one, everyone, reduction = stable(mutant.loss), registry.implementations, REDUCTIONS["normalised"]
    changed = mutant.change(one)
    if isinstance(changed, Reduced):
        REDUCTIONS["normalised"] = dataclasses.replace(reduction, function=changed.function)
        changed = changed.implementation
    with_it = tuple(changed if implementation is one else implementation for implementation in everyone())
    registry.implementations = lambda: with_it
    try:
        yield
    finally:
        registry.implementations, REDUCTIONS["normalised"] = everyone, reduction


def caught(cases):
    """The first case that some row breaks. No baseline is read: what is recorded belongs to one kind of machine."""
    for loaded in cases:
        bad = [row for row in judge_case(loaded, Session(Path("nowhere"))) if row.verdict.exit_code(strict=False)]
        if bad:
            return Catch(loaded.case.name, _how(min(bad, key=lambda row: row.badness)))
    return None


def _how(row):
    """The reason without its figures, which differ from one processor to the next in the last digits."""
    first = row.reason.partition("; ")[0]
    if found := re.match(r"\d+ ([a-z-]+)", first):
        return found[1]
    if effect := re.match(r"`([a-z]+)`", first):
        return effect[1]
    if "could not run: " in first:
        return "could not run: " + first.partition("could not run: ")[2].partition(":")[0]
    return re.match(r"[a-z ]+?(?= at| for| of| under|$)", first.partition(",")[0])[0]


def line(mutant, catch):
    """The row of a mutant in the document."""
    cells = (mutant.loss, f"`{mutant.name}`", mutant.what, f"`{catch.case}`" if catch else "**not caught**", catch.how if catch else "")
    return "| " + " | ".join(cells) + " |"


def document():
    """docs/gate_mutations.md."""
    found = []
    for mutant in MUTANTS:
        with in_place(mutant):
            found.append(line(mutant, caught(shipped(mutant.loss))))
    return "\n".join([_HEADING.format(count=len(MUTANTS)), *found]) + "\n"


_HEADING = """\
# What the shipped cases catch

A gate that never failed proves nothing. Here each of the stable implementations is broken in one place at a time, in numpy
and in torch, and judged by the shipped cases that name it, without any baseline: {count} mutants, all of them caught, and the
implementation as it is passes every case (`tests/test_mutations.py`). The table names the first case that broke, quick cases
first, and by what: an outcome, a property, or "could not run" (exit code 2, where the others are 1).

`python tests/mutants.py > docs/gate_mutations.md` measures it again; a test judges the case of every line anew.

Not in the table, because no result differs: leaving out the branch for an exponent of 0, since s^0 is 1 and its slope 0.

| loss | mutant | what was changed | caught by | how |
|---|---|---|---|---|"""


if __name__ == "__main__":
    sys.stdout.write(document())
