"""Effects: the rules of DESIGN on floats, arrays and traced code, the scale of a loss, and what published code does to training."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from losscheck.core import registry
from losscheck.core.dtypes import BFLOAT16, FLOAT16, FLOAT32, FLOAT64, FORMATS
from losscheck.core.effect import EFFECTS, Effect, Scale, Truth, blamed, effect_codes, effect_of, effect_rules
from losscheck.core.error import classify, ulp_error
from losscheck.filter.codegen import Expression, ExpressionOperations, LoopBody, loop_source
from losscheck.filter.scale import RANGE, scale_of
from losscheck.oracle.refine import Term, exact_value

L0 = math.log(2.0)  # of bce at logit 0; its steepest gradient is 1


def scale_in(dtype, *, steepest=1.0, loss_at_zero=L0):
    return Scale(steepest, loss_at_zero, dtype, dtype)


def severer(a, b):
    return min(a, b, key=lambda effect: effect.severity)


# By hand ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "exact_loss", "grad", "exact_grad", "failed", "effect"),
    [
        (0.5, 0.5, -0.4, -0.4, False, Effect.SOUND),
        (0.0, 3e-7, -0.4, -0.4, True, Effect.TAILS),  # a lost loss of 3e-7
        (0.5, 0.5, 0.0, -0.9e-3, True, Effect.TAILS),  # just below 2^-10 of the steepest gradient
        (0.5, 0.5, 0.0, -1.0e-3, True, Effect.DEAD),  # just above
        (math.nan, 17.0, 1.0, 1.0, True, Effect.POISONS),
        (17.0, 17.0, math.nan, 1.0, True, Effect.POISONS),
        (math.inf, 17.0, 0.0, 1.0, True, Effect.POISONS),
        (17.0, 17.0, -math.inf, 1.0, True, Effect.POISONS),
        (17.0, 17.0, -1e-3, 1.0, True, Effect.MISDIRECTS),  # the wrong way
        (17.0, 17.0, 1e-10, 1.0, True, Effect.MISDIRECTS),  # far too little
        (17.0, 17.0, 0.49, 1.0, True, Effect.MISDIRECTS),
        (17.0, 17.0, 0.51, 1.0, True, Effect.MISSTATES),
        (17.0, 17.0, 1.49, 1.0, True, Effect.MISSTATES),
        (17.0, 17.0, 1.51, 1.0, True, Effect.MISDIRECTS),  # far too hard
        (17.0, 17.0, 0.0, 1.0, True, Effect.DEAD),
        (100.0, 17.0, 0.0, 1.0, True, Effect.DEAD),  # the severest of the two quantities
        (100.0, 17.0, 1.0, 1.0, True, Effect.MISSTATES),
        (17.2, 17.0, 1.0, 1.0, True, Effect.MISSTATES),
        (17.1, 17.0, 1.0, 1.0, True, Effect.TAILS),
        (0.006, 0.0, 0.0, 0.0, True, Effect.TAILS),  # below 1 % of ln 2
        (0.007, 0.0, 0.0, 0.0, True, Effect.MISSTATES),
        (0.0, 0.0, 0.011, 0.0, True, Effect.MISSTATES),  # a gradient where none is
        (-17.0, 17.0, 1.0, 1.0, True, Effect.MISSTATES),
        (3e38, math.nan, 1.0, 1.0, False, Effect.MISSTATES),  # nobody knows what is right: never read as harmless
        (17.0, 17.0, 0.0, 1.0, False, Effect.DEAD),  # right for its own formula, dead all the same
    ],
)
def test_examples_in_float32(loss, exact_loss, grad, exact_grad, failed, effect):
    """The table of DESIGN 6, a row or more for each of its lines."""
    assert effect_of(loss, exact_loss, grad, exact_grad, failed, scale_in(FLOAT32)) is effect


@pytest.mark.parametrize(
    ("dtype", "grad", "exact_grad", "effect"),
    [
        (FLOAT32, 0.0, 0.015, Effect.DEAD),
        (FLOAT16, 0.0, 0.0019, Effect.TAILS),  # 4u = 2^-9 there
        (FLOAT16, 0.0, 0.0020, Effect.DEAD),
        (BFLOAT16, 0.0, 0.0156, Effect.TAILS),  # 4u = 2^-6 there
        (BFLOAT16, 0.0, 0.0157, Effect.DEAD),
        (BFLOAT16, 0.115, 0.1, Effect.TAILS),
        (BFLOAT16, 0.117, 0.1, Effect.MISSTATES),
        (BFLOAT16, 1.06, 1.0, Effect.TAILS),  # 8 ulp of 1 there: what a careful implementation may be off by
        (BFLOAT16, 1.07, 1.0, Effect.MISSTATES),
    ],
)
def test_what_is_material_depends_on_the_noise_of_the_dtype(dtype, grad, exact_grad, effect):
    """Nobody can ask bfloat16 for what float32 gives."""
    assert effect_of(None, None, grad, exact_grad, True, scale_in(dtype)) is effect


def test_the_infinity_that_an_exact_value_rounds_to_is_right():
    """70000 is infinite in float16; the other infinity, and NaN, still poison."""
    scale = scale_in(FLOAT16)

    assert effect_of(math.inf, 7e4, None, None, False, scale) is Effect.SOUND
    assert effect_of(-math.inf, 7e4, None, None, True, scale) is Effect.POISONS
    assert effect_of(math.nan, 7e4, None, None, True, scale) is Effect.POISONS
    assert effect_of(math.inf, 65519.0, None, None, True, scale) is Effect.POISONS
    assert effect_of(-math.inf, -7e4, None, None, False, scale) is Effect.SOUND


def test_the_loss_and_the_gradient_are_judged_in_the_dtype_each_came_out_in():
    """Autocast gives a float32 loss and a gradient as coarse as its logits."""
    scale = Scale(1.0, L0, FLOAT32, BFLOAT16)

    assert effect_of(1.012, 1.0, 1.012, 1.0, True, scale) is Effect.MISSTATES
    assert effect_of(1.009, 1.0, 1.012, 1.0, True, scale) is Effect.TAILS


def test_blame():
    """An effect that the value has also by its own formula is the arithmetic's; else the formula's; ``sound`` is nobody's."""
    assert blamed(Effect.DEAD, Effect.DEAD) is Truth.ROUNDING
    assert blamed(Effect.DEAD, Effect.POISONS) is Truth.ROUNDING
    assert blamed(Effect.DEAD, Effect.TAILS) is Truth.DEVIATION
    assert blamed(Effect.SOUND, Effect.SOUND) is None


# Properties -------------------------------------------------------------------------------------------------------

values = st.floats(width=32) | st.floats(-2, 2) | st.sampled_from([0.0, math.nan, math.inf, -math.inf])
exacts = st.floats(-150, 150) | st.floats(-2, 2) | st.just(0.0)
dtypes = st.sampled_from(list(FORMATS.values()))


@given(values, exacts, values, exacts, st.booleans(), dtypes)
def test_signs_do_not_matter(loss, exact_loss, grad, exact_grad, failed, dtype):
    """The mirror image of a point, target 1 for target 0, has the same effect."""
    scale = scale_in(dtype)

    assert effect_of(loss, exact_loss, grad, exact_grad, failed, scale) is effect_of(-loss, -exact_loss, -grad, -exact_grad, failed, scale)


@given(values, exacts, values, exacts, st.booleans(), dtypes)
def test_a_point_is_as_bad_as_the_worse_of_its_quantities(loss, exact_loss, grad, exact_grad, failed, dtype):
    """Loss and gradient alone, as when only one was asked for, make the effect of both."""
    scale = scale_in(dtype)
    apart = severer(effect_of(loss, exact_loss, None, None, failed, scale), effect_of(None, None, grad, exact_grad, failed, scale))

    assert effect_of(loss, exact_loss, grad, exact_grad, failed, scale) is apart


@given(exacts, st.floats(0, 10), st.floats(1, 10), st.sampled_from([-1, 1]), dtypes)
def test_a_larger_error_is_never_milder(exact, error, factor, side, dtype):
    """In the same direction; but a gradient of exactly 0 is `dead`, which is milder than one of any other wrong size."""
    scale = scale_in(dtype)
    near, far = exact + side * error, exact + side * error * factor

    assert effect_of(far, exact, None, None, True, scale).severity <= effect_of(near, exact, None, None, True, scale).severity
    if near and far:
        assert effect_of(None, None, far, exact, True, scale).severity <= effect_of(None, None, near, exact, True, scale).severity


@given(values, exacts, values, exacts, st.booleans(), st.integers(-20, 20))
def test_the_unit_of_the_loss_does_not_matter(loss, exact_loss, grad, exact_grad, failed, power):
    """A loss times a power of two, which is exact, has the effects of the loss."""
    factor = 2.0**power
    scaled = scale_in(FLOAT64, steepest=factor, loss_at_zero=factor * L0)
    before = effect_of(loss, exact_loss, grad, exact_grad, failed, scale_in(FLOAT64))

    assert effect_of(factor * loss, factor * exact_loss, factor * grad, factor * exact_grad, failed, scaled) is before


def _ulp(exact, dtype):
    magnitude = math.frexp(exact)[1] - 1 if exact else dtype.emin
    return 2.0 ** dtype.ulp_exponent(magnitude)


@given(exacts, exacts, st.floats(-8, 8), st.floats(-8, 8), st.booleans(), dtypes)
def test_within_the_default_limit_sound_says_that_nothing_failed(exact_loss, exact_grad, loss_ulp, grad_ulp, failed, dtype):
    """8 ulp are never material, so that `sound` means that all outcomes are ok."""
    loss, grad = (exact + ulp * _ulp(exact, dtype) for exact, ulp in ((exact_loss, loss_ulp), (exact_grad, grad_ulp)))
    # A single point may be asked for at which G is not reached.
    scale = scale_in(dtype, steepest=max(1.0, abs(exact_grad)))

    assert effect_of(loss, exact_loss, grad, exact_grad, failed, scale) is (Effect.TAILS if failed else Effect.SOUND)


@given(
    st.lists(st.tuples(values, exacts, values, exacts, st.booleans()), min_size=1, max_size=20),
    dtypes,
    st.sampled_from(["both", "loss", "grad"]),
)
def test_floats_arrays_and_traced_code_agree(points, dtype, asked):
    """One set of rules: numpy, torch, Python floats and the function that would be compiled."""
    import numpy as np
    import torch

    scale = scale_in(dtype)
    with_loss, with_grad = asked != "grad", asked != "loss"
    names = ("loss", "exact_loss", "grad", "exact_grad", "failed")
    code = LoopBody()
    asked_for = (with_loss, with_loss, with_grad, with_grad, True)
    given = [Expression(code, name) if wanted else None for name, wanted in zip(names, asked_for, strict=True)]
    effect = effect_rules(ExpressionOperations(code), *given, scale)
    scope = {"INF": math.inf, "float64": float}
    exec(loop_source(code, names, {"effect": effect.name}), scope)
    traced = np.empty(len(points), np.int8)
    scope["loop"](*(np.array(column, np.float64) for column in zip(*points, strict=True)), traced)
    wanted = []
    for loss, exact_loss, grad, exact_grad, failed in points:
        loss, exact_loss = (loss, exact_loss) if with_loss else (None, None)
        grad, exact_grad = (grad, exact_grad) if with_grad else (None, None)
        wanted.append(effect_of(loss, exact_loss, grad, exact_grad, failed, scale).severity)
    assert traced.tolist() == wanted
    *numbers, failed = (list(column) for column in zip(*points, strict=True))
    for xp in (np, torch):
        arrays = [xp.asarray(column, dtype=xp.float64) for column in numbers]
        arrays = (arrays[:2] if with_loss else [None, None]) + (arrays[2:] if with_grad else [None, None])
        with np.errstate(all="ignore"):
            codes = effect_codes(xp, *arrays, xp.asarray(failed), scale)
        assert codes.dtype == xp.int8
        assert codes.tolist() == wanted


def test_an_effect_is_blamed_on_rounding_where_its_own_formula_shows_it_too():
    """Every pair of effects, but `sound`, which nobody is blamed for."""
    pairs = [(effect, own) for effect in EFFECTS for own in EFFECTS if effect is not Effect.SOUND]

    assert all((blamed(effect, own) is Truth.ROUNDING) == (EFFECTS.index(own) <= EFFECTS.index(effect)) for effect, own in pairs)
    assert {blamed(Effect.SOUND, own) for own in EFFECTS} == {None}


def test_the_order_is_the_severity():
    """The code of an effect is its place in the enumeration, and only what shows in training is harmful."""
    assert [effect.severity for effect in Effect] == list(range(len(EFFECTS)))
    assert [effect for effect in Effect if not effect.harmful] == [Effect.TAILS, Effect.SOUND]
    assert len({effect.words for effect in Effect}) == len(EFFECTS)


# The scale --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", registry.losses().values(), ids=lambda loss: loss.name)
def test_the_scale_of_a_loss_holds_against_the_oracle(loss):
    """No exact gradient on a grid ten times as fine is steeper, and L0 is the oracle's; G is reached to 1e-9."""
    params = loss.resolve({}, FLOAT32)
    scale = scale_of(loss, params, FLOAT32)

    def oracle(formula, logit, target):
        return abs(exact_value(formula, [Term(logit, target)], params, FLOAT64, printable=False).rounded)

    coarse = [(oracle(loss.gradient, 0.05 * n, target), 0.05 * n, target) for n in range(-2000, 2001) for target in loss.targets]
    steepest, logit, target = max(coarse)
    near = [oracle(loss.gradient, min(max(logit + n * 1e-4, -RANGE), RANGE), target) for n in range(-500, 501)]

    assert scale.steepest == pytest.approx(max([steepest, *near]), rel=1e-8)
    assert scale.steepest >= steepest * (1 - 1e-9)
    assert scale.loss_at_zero == pytest.approx(max(oracle(loss.formula, 0.0, target) for target in loss.targets), rel=1e-12)


def test_the_scale_follows_the_parameters():
    """A weight of 4 on the positives makes their gradient and their loss four times as large."""
    bce = registry.loss_named("bce")
    plain, weighted = (scale_of(bce, bce.resolve({"pos_weight": w}, FLOAT32), FLOAT32) for w in (1.0, 4.0))

    assert (plain.steepest, plain.loss_at_zero) == (1.0, pytest.approx(L0, rel=1e-15))
    assert (weighted.steepest, weighted.loss_at_zero) == (4.0, pytest.approx(4 * L0, rel=1e-15))


def test_a_loss_that_the_filter_cannot_do_is_asked_of_the_oracle():
    """A formula that needs what the filter has no rule for; both ways to the same numbers."""
    from dataclasses import replace

    def refused(m, logit, target, **params):
        if type(m).__name__ == "RunningErrorArithmetic":
            raise TypeError("no rule")
        return bce.gradient(m, logit, target, **params)

    bce = registry.loss_named("bce")
    params = bce.resolve({}, FLOAT32)

    assert scale_of(replace(bce, gradient=refused), params, FLOAT32) == scale_of(bce, params, FLOAT32)


# What it does to training: the last table of the measured facts, on the real code ----------------------------------


def of_torch(function, dtype, target, logits, *, loss="bce"):
    """The effect of a torch function at each logit, judged by the definition alone as the effect is defined."""
    import torch

    definition = registry.loss_named(loss)
    params = definition.resolve({}, dtype)
    x = torch.tensor(logits, dtype=getattr(torch, dtype.name), requires_grad=True)
    out = function(x, torch.full_like(x, target))
    (slope,) = torch.autograd.grad(out.sum(), x)
    effects = []
    for logit, value, grad in zip(x.tolist(), out.tolist(), slope.tolist(), strict=True):
        exact = [exact_value(form, [Term(logit, target)], params, dtype) for form in (definition.formula, definition.gradient)]
        outcomes = [classify(got, right, ulp_error(got, right, dtype), dtype, 8.0) for got, right in zip((value, grad), exact, strict=True)]
        wide = [FLOAT64.round_dyadic(*right.middle) for right in exact]
        failed = any(outcome.failed for outcome in outcomes)
        effects.append(effect_of(value, wide[0], grad, wide[1], failed, scale_of(definition, params, dtype)))
    return effects


def with_logits(x, z):
    from torch.nn.functional import binary_cross_entropy_with_logits

    return binary_cross_entropy_with_logits(x, z, reduction="none")


def sigmoid_bceloss(x, z):
    from torch.nn.functional import binary_cross_entropy

    return binary_cross_entropy(x.sigmoid(), z, reduction="none")


def textbook(x, z, eps=0.0):
    p = x.sigmoid()
    return -z * (p + eps).log() - (1 - z) * (1 - p + eps).log()


def guarded(x, z):
    return textbook(x, z, 1e-7)


def softplus_form(x, z):
    from torch.nn.functional import softplus

    return z * softplus(-x) + (1 - z) * softplus(x)


GRID = [n / 4 for n in range(-400, 401)] + [1e-7, -1e-7]


@pytest.mark.parametrize(
    ("function", "dtype", "target", "worst"),
    [
        (with_logits, FLOAT32, 0.0, Effect.TAILS),
        (with_logits, FLOAT32, 0.5, Effect.TAILS),
        (with_logits, FLOAT32, 1.0, Effect.TAILS),
        (sigmoid_bceloss, FLOAT32, 0.0, Effect.DEAD),
        (sigmoid_bceloss, FLOAT32, 0.5, Effect.MISDIRECTS),
        (sigmoid_bceloss, FLOAT32, 1.0, Effect.MISDIRECTS),
        (textbook, FLOAT32, 0.0, Effect.POISONS),
        (textbook, FLOAT32, 0.5, Effect.POISONS),
        (textbook, FLOAT32, 1.0, Effect.POISONS),
        (guarded, FLOAT32, 0.0, Effect.DEAD),
        (guarded, FLOAT32, 0.5, Effect.MISDIRECTS),
        (guarded, FLOAT32, 1.0, Effect.MISDIRECTS),
        (with_logits, BFLOAT16, 0.0, Effect.MISSTATES),
        (with_logits, BFLOAT16, 1.0, Effect.TAILS),
        (with_logits, FLOAT16, 0.0, Effect.TAILS),
        (with_logits, FLOAT16, 1.0, Effect.TAILS),
        (guarded, FLOAT16, 0.0, Effect.POISONS),
        (guarded, FLOAT16, 0.5, Effect.POISONS),
        (guarded, FLOAT16, 1.0, Effect.POISONS),
    ],
    ids=lambda value: getattr(value, "__name__", None) or getattr(value, "name", None) or str(getattr(value, "value", value)),
)
def test_the_worst_effect_of_a_published_way(function, dtype, target, worst):
    """On logits from -100 to 100: what the ranking is made of. The good one is never called worse than `tails`."""
    assert min(of_torch(function, dtype, target, GRID), key=lambda effect: effect.severity) is worst


@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT16, BFLOAT16], ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("target", [0.0, 0.5, 1.0])
def test_the_softplus_form_harms_nobody(dtype, target):
    """What to write instead must not be worse than what it replaces."""
    assert not any(effect.harmful for effect in of_torch(softplus_form, dtype, target, GRID))


@pytest.mark.parametrize(
    ("function", "dtype", "target", "logit", "effect"),
    [
        (sigmoid_bceloss, FLOAT32, 0.0, 16.6, Effect.MISSTATES),
        (sigmoid_bceloss, FLOAT32, 0.0, 16.65, Effect.DEAD),
        (sigmoid_bceloss, FLOAT32, 1.0, -50.0, Effect.MISDIRECTS),
        (sigmoid_bceloss, FLOAT32, 1.0, -28.2, Effect.MISSTATES),
        (sigmoid_bceloss, FLOAT32, 1.0, -28.4, Effect.MISDIRECTS),
        (textbook, FLOAT32, 0.0, 17.0, Effect.POISONS),
        (guarded, FLOAT32, 0.0, 16.65, Effect.DEAD),
        (guarded, FLOAT32, 1.0, -16.2, Effect.MISDIRECTS),
        (with_logits, BFLOAT16, 0.0, -4.25, Effect.MISSTATES),
        (guarded, FLOAT16, 0.0, 8.34, Effect.POISONS),
        (guarded, FLOAT16, 1.0, -11.2, Effect.POISONS),
    ],
    ids=lambda value: getattr(value, "__name__", None) or getattr(value, "name", None) or str(getattr(value, "value", value)),
)
def test_where_an_effect_begins(function, dtype, target, logit, effect):
    """The figures that the README may print, each at one logit."""
    assert of_torch(function, dtype, target, [logit])[0] is effect
