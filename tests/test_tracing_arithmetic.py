"""The exact arithmetic of a trace at the specials, against IEEE 754 as PyTorch has it, and its decisions."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from losscheck.core.dtypes import FLOAT32
from losscheck.core.exact import Kind
from losscheck.oracle.extended import UNKNOWN, Extended, UndecidedError
from losscheck.oracle.extended_rounding import exact_of, settled
from losscheck.oracle.reverse import Reverse

VALUES = (0.0, 1.0, -1.0, 0.5, -2.5, 3.0, 4.0, math.inf, -math.inf, math.nan)
BINARY = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": torch.div,
    "power": torch.pow,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
}
UNARY = {
    "exp": torch.exp,
    "expm1": torch.expm1,
    "log": torch.log,
    "log1p": torch.log1p,
    "sqrt": torch.sqrt,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "floor": torch.floor,
    "neg": torch.neg,
}
NAMED = ("sin", "cos", "sinh", "cosh", "asinh", "acosh", "atan", "atanh", "asin", "acos", "erf", "erfc", "lgamma")


def same(exact, computed):
    value = float(exact)
    return value == pytest.approx(computed, rel=1e-12, abs=1e-300) or (math.isnan(value) and math.isnan(computed))


@pytest.mark.parametrize("name", BINARY)
def test_two_operands_at_the_specials(name):
    """What floating point makes of infinities, NaN and zeros is exact. (Signs of zeros are none of exact numbers.)"""
    m = Extended(128)

    for a, b in itertools.product(VALUES, VALUES):
        x, y = (torch.tensor(value, dtype=torch.float64) for value in (a, b))
        assert same(getattr(m, name)(m.number(a), m.number(b)), BINARY[name](x, y).item()), (a, b)


@pytest.mark.parametrize("name", [*UNARY, *NAMED])
def test_one_operand_at_the_specials(name):
    """The same of the functions."""
    m = Extended(128)
    function = UNARY.get(name) or getattr(torch, name)

    for value in VALUES:
        exact = getattr(m, name)(m.number(value)) if name in UNARY else m.function(name, m.number(value))
        assert same(exact, function(torch.tensor(value, dtype=torch.float64)).item()), value


@given(st.floats(-700, 700), st.floats(-700, 700))
def test_a_decision_is_that_of_the_reals(a, b):
    """less and equal of exact numbers; of specials as IEEE 754 has them."""
    m = Extended(128)

    assert m.less(m.number(a), m.number(b)) == (a < b)
    assert m.equal(m.number(a), m.number(b)) == (a == b)
    assert m.less(m.number(a), math.inf)
    assert not m.less(m.number(a), math.nan)


def test_what_cannot_be_told_apart_is_undecided():
    """log(exp(1)) and 1, at any precision."""
    m = Extended(256)
    one = m.log(m.exp(m.number(1)))

    with pytest.raises(UndecidedError):
        m.equal(one, m.number(1))
    with pytest.raises(UndecidedError):
        m.less(one, m.number(1))
    assert not settled(m.sub(one, m.number(1)))
    assert exact_of(UNKNOWN, FLOAT32, 256).kind is Kind.UNDECIDED
    # A ball around 0 may be of either sign: its logarithm, root and reciprocal are unknown, and no guess.
    zero = m.sub(one, m.number(1))
    for unknown in (m.log(zero), m.sqrt(zero), m.div(m.number(1), zero), m.power(zero, m.number(0.5))):
        assert exact_of(unknown, FLOAT32, 256).kind is Kind.UNDECIDED


@given(st.floats(-19, 19), st.floats(0.01, 30))
def test_one_sweep_backwards_is_the_derivative(x, y):
    """d/dx and d/dy of a formula in many operations, against autograd in float64 (whose softplus is the identity above 20)."""

    def formula(m, x, y, exp, log, sigmoid, softplus):
        return m.add(m.mul(sigmoid(x), log(y)), m.div(softplus(x), m.add(y, exp(m.neg(y)))))

    reverse = Reverse(Extended(128))
    a, b = (reverse.variable(reverse.number(value)) for value in (x, y))
    value = formula(reverse, a, b, reverse.exp, reverse.log, reverse.sigmoid, reverse.softplus)
    reverse.sweep([(value, reverse.number(1))])

    u, v = (torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (x, y))

    class Tensors:
        add, mul, div, neg = torch.add, torch.mul, torch.div, torch.neg

    formula(Tensors, u, v, torch.exp, torch.log, torch.sigmoid, torch.nn.functional.softplus).backward()
    assert [float(a.adjoint), float(b.adjoint)] == pytest.approx([u.grad.item(), v.grad.item()], rel=1e-7, abs=1e-10)


def test_a_slope_of_zero_stays_zero():
    """0 * inf: what a mask leaves out has no slope, though its own is infinite."""
    reverse = Reverse(Extended(128))
    x = reverse.variable(reverse.number(0))
    reverse.sweep([(reverse.mul(reverse.sqrt(x), reverse.number(0)), reverse.number(1))])

    assert x.adjoint is None or x.adjoint == 0
