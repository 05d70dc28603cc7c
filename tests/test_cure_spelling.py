"""How a cure is spelled: fewer signs and brackets, not one bit of the loss or of its gradient changed."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given
from hypothesis import strategies as st

from losscheck.tracing.cures.evaluate import evaluated
from losscheck.tracing.cures.printing import Names, expression, written
from losscheck.tracing.cures.terms import LOGIT, TARGET, constant, term
from losscheck.tracing.cures.tidying import tidied

NAMES = Names({LOGIT: "x", TARGET: "z"}, functional="F")
leaves = st.sampled_from([LOGIT, TARGET, constant(1), constant(2), constant(0), constant(0.25), constant(2, "gamma")])
terms = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(lambda op, a: term(op, a), st.sampled_from(["neg", "neg", "abs", "sigmoid", "log_sigmoid_forward"]), inner),
        st.builds(lambda op, a, b: term(op, a, b), st.sampled_from(["add", "sub", "mul", "div", "rsub"]), inner, inner),
        st.builds(lambda a, n: term("pow", a, constant(n)), inner, st.sampled_from([2, 3])),
    ),
    max_leaves=12,
).filter(lambda root: root.args and LOGIT in leaves_of(root))


def leaves_of(root):
    return [root] if not root.args else [leaf for argument in root.args for leaf in leaves_of(argument)]


def computed(function):
    """Loss and gradient at four points, -0 as 0 and NaN as a number that nothing else is."""
    x, z = torch.tensor([2.0, -3.0, 0.5, 17.0], requires_grad=True), torch.tensor([1.0, 0.0, 0.25, 0.0])
    loss = function(x, z)
    if not loss.requires_grad:
        return torch.nan_to_num(loss + 0.0, nan=77.0).tolist()
    (gradient,) = torch.autograd.grad(loss.sum(), x)
    return [torch.nan_to_num(values.detach() + 0.0, nan=77.0).tolist() for values in (loss, gradient)]


def run(text):
    return lambda x, z: eval(text, {"torch": torch, "F": F, "x": x, "z": z, "gamma": 2})


@given(terms)
def test_not_a_bit_is_changed(root):
    """By the signs that are moved, nor by how the expression is written and read again."""
    try:
        expected, as_written = (computed(function) for function in (lambda x, z: evaluated(root, x, z), run(written(root, NAMES))))
    except (ZeroDivisionError, TypeError, AttributeError):
        return  # of Python numbers alone somewhere: no expression of tensors
    assert as_written[0] == expected[0]  # slopes of what occurs twice are added up in another order
    assert computed(lambda x, z: evaluated(tidied(root), x, z)) == expected
    assert computed(run(expression(root, NAMES))) == as_written


@pytest.mark.parametrize(
    ("clumsy", "plain"),
    [
        (lambda a, b: term("neg", term("neg", a)), "x"),
        (lambda a, b: term("mul", constant(1), a), "x"),
        (lambda a, b: term("add", a, constant(0)), "x"),
        (lambda a, b: term("add", a, term("neg", b)), "x - z"),
        (lambda a, b: term("sub", a, term("neg", b)), "x + z"),
        (lambda a, b: term("mul", term("neg", a), term("neg", b)), "x * z"),
        (lambda a, b: term("neg", term("mul", term("neg", a), b)), "x * z"),
        (lambda a, b: term("pow", term("neg", a), constant(2)), "x ** 2"),
        (lambda a, b: term("pow", term("neg", a), constant(3)), "(-x) ** 3"),
        (lambda a, b: term("pow", term("neg", a), constant(2, "gamma")), "(-x) ** gamma"),
        (lambda a, b: term("add", term("neg", a), term("neg", b)), "-(x + z)"),
        (lambda a, b: term("neg", term("mul", a, b)), "-x * z"),
        (lambda a, b: term("neg", term("log_sigmoid_forward", term("neg", term("neg", a)))), "-F.logsigmoid(x)"),
    ],
)
def test_signs_that_cancel_are_not_written(clumsy, plain):
    """Nor factors of 1 and added zeros; an exponent with a name may be odd tomorrow."""
    assert expression(clumsy(LOGIT, TARGET), NAMES) == plain


def test_what_has_a_name_keeps_it():
    """ce is -logsigmoid(x): w * ce is not taken apart for a sign, and its negative is -ce."""
    ce = term("neg", term("log_sigmoid_forward", LOGIT))
    names = Names({LOGIT: "x", TARGET: "w", ce: "ce"}, functional="F")

    assert expression(term("mul", TARGET, ce), names) == "w * ce"
    assert expression(term("log_sigmoid_forward", LOGIT), names) == "-ce"


def test_what_stands_there_is_kept_unless_its_sign_cancels():
    """The user's own spelling of a part, before ours."""
    part = term("mul", term("neg", TARGET), LOGIT)
    names = Names({LOGIT: "x", TARGET: "z"}, functional="F", texts={part: "torch.mul(-z, x)"})

    assert expression(term("exp", part), names) == "torch.exp(torch.mul(-z, x))"
    assert expression(term("exp", term("neg", part)), names) == "torch.exp(z * x)"


def test_a_mean_takes_the_sign_outside():
    """(-y).mean() is -y.mean()."""
    ce = term("neg", term("log_sigmoid_forward", LOGIT))

    assert expression(ce, NAMES, reduction="mean") == "-F.logsigmoid(x).mean()"
