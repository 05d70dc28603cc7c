"""The formula read off a program against the one written by hand, for every registered implementation that runs on torch."""

import functools
import math
import random

import pytest
import torch
from whole import tried

from losscheck.core.dtypes import FLOAT32, FLOAT64, FORMATS
from losscheck.core.registry import implementations, loss_named
from losscheck.oracle.refine import Term, exact_value
from losscheck.tracing.formula import Programs, derived_formula, derived_gradient
from losscheck.tracing.own.reading import NoProgramError

TORCH = [implementation for implementation in implementations() if "torch" in implementation.backends]
POINTS = 12  # others in each dtype
# A program is read anew in each dtype, which is what takes the time; what is read is the same but for the constants.
DTYPES = tuple(FORMATS.values())
IN_TURN = [(implementation, DTYPES[number % len(DTYPES)]) for number, implementation in enumerate(TORCH)]
IN_EACH = [(implementation, dtype) for implementation in TORCH for dtype in DTYPES]
MANTISSA_BITS = {"float64": 52, "float32": 23, "float16": 10, "bfloat16": 7}


def beyond_a_written_threshold(logit, dtype, quantity):
    """TensorFlow's softplus, re-made in Python, is the identity beyond a threshold: the program's own formula says so."""
    return abs(logit) > MANTISSA_BITS[dtype.name] * math.log(2) - 2


def where_an_epsilon_of_a_kernel_counts(logit, dtype, quantity):
    """BCELoss's backward pass divides by at least 1e-12, which the formula by hand rounds to the 16-bit dtype."""
    return quantity == "grad" and dtype.bits == 16 and abs(logit) > 4


def where_a_rounded_constant_stands(logit, dtype, quantity):
    """Beside a soft minimum a stable implementation adds ln 2 as the dtype holds it, beside a margin the margin's logit: either decides
    the last bit now and then."""
    return abs(logit) <= 4


def excuse_of(implementation):
    """Where the two formulas of an implementation are meant to differ: None, or the reason as a function."""
    if implementation.name == "centernet-tf-logits":
        return beyond_a_written_threshold
    if implementation.name == "torch-sigmoid-bceloss":
        return where_an_epsilon_of_a_kernel_counts
    loss = loss_named(implementation.loss)
    if implementation.name == "stable" and (loss.soft_minimum or "clip" in [parameter.name for parameter in loss.parameters]):
        return where_a_rounded_constant_stands
    return None


def points(loss, dtype, count):
    """Logits of every size, and the loss's own targets."""
    drawn = random.Random(dtype.name)
    for _ in range(count):
        scale = drawn.choice((8, 100, 1000))
        yield dtype.round(drawn.uniform(-scale, scale)), dtype.round(drawn.choice(loss.targets))


def bound(implementation, params):
    """An implementation as a callable of logits and targets."""
    return lambda x, z: implementation.function(torch, x, z, **params)


def differences(implementation, dtype, count):
    """The points at which derived and hand-written formula round to different floats."""
    loss = loss_named(implementation.loss)
    params = loss.resolve_own({}, dtype)
    function = bound(implementation, params)
    hand = implementation.formula or loss.formula
    exact = functools.partial(exact_value, params=params, dtype=dtype, printable=False)
    programs = Programs(function, dtype)
    derived, backward = derived_formula(programs), derived_gradient(programs)
    for logit, target in points(loss, dtype, count):
        terms = [Term(logit, target)]
        slope = implementation.formula_gradient
        by_hand = exact(hand, terms, differentiate=True) if slope is None else exact(slope, terms)
        pairs = {"loss": (exact(derived, terms), exact(hand, terms)), "grad": (exact(backward, terms), by_hand)}
        for quantity, (ours, written) in pairs.items():
            if (ours.kind, ours.rounded) != (written.kind, written.rounded):
                yield logit, target, quantity, ours, written


def label(value):
    return f"{value.loss}-{value.name}" if value in TORCH else value.name


@pytest.mark.parametrize(("implementation", "dtype"), tried(IN_TURN, IN_EACH), ids=label)
def test_the_derived_formula_is_the_hand_written_one(implementation, dtype):
    """They round to the same float everywhere but where an exception says why not.

    Each implementation in one dtype, the dtypes in turn; in all four where LOSSCHECK_WHOLE is set, as CI does, and at
    thousands of points by ``benchmarks/tracing.py --formulas``.
    """
    excuse = excuse_of(implementation)

    assert not [row for row in differences(implementation, dtype, POINTS) if excuse is None or not excuse(row[0], dtype, row[2])]


EXCUSES = {excuse_of(implementation) for implementation in TORCH} - {None}


@pytest.mark.parametrize("excuse", sorted(EXCUSES, key=lambda excuse: excuse.__name__))
def test_an_excuse_is_needed(excuse):
    """One that has become idle is a hole."""
    excused = [implementation for implementation in TORCH if excuse_of(implementation) is excuse]

    assert any(next(differences(implementation, dtype, 300), ()) for implementation in excused for dtype in FORMATS.values())


def test_a_clamp_stands_in_the_formula():
    """The own formula of a guarded loss is not its definition."""
    formula = derived_formula(Programs(lambda x, z: -torch.log(torch.sigmoid(x).clamp(1e-4, 1 - 1e-4)), FLOAT32))
    value = exact_value(formula, [Term(-50.0, 1.0)], {}, FLOAT32)

    assert value.rounded == FLOAT32.round(-math.log(FLOAT32.round(1e-4)))


def test_the_slope_of_the_backward_pass_is_another_formula():
    """BCELoss beyond 27.6: its formula's derivative is 1, what comes back fades."""

    def function(x, z):
        return torch.nn.functional.binary_cross_entropy(torch.sigmoid(x), z, reduction="none")

    derivative = exact_value(derived_formula(Programs(function, FLOAT64)), [Term(-35.0, 1.0)], {}, FLOAT64, differentiate=True)
    backward = exact_value(derived_gradient(Programs(function, FLOAT64)), [Term(-35.0, 1.0)], {}, FLOAT64)

    assert derivative.rounded == pytest.approx(-1)
    assert backward.rounded == pytest.approx(-math.exp(-35) / 1e-12, rel=1e-3)


def test_a_detached_weight_has_no_slope_in_the_formula():
    """The gradient is that of what is left."""
    slope = derived_gradient(Programs(lambda x, z: torch.sigmoid(x).detach() * x, FLOAT64))

    assert exact_value(slope, [Term(2.0, 0.0)], {}, FLOAT64).rounded == pytest.approx(1 / (1 + math.exp(-2)))


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (lambda x, z: torch.special.bessel_j0(x), "bessel_j0"),
        (lambda x, z: x.reshape(7), "raises"),
        (lambda x, z: torch.cat([x, z]), "one element"),
    ],
)
def test_what_has_no_formula_says_why(function, problem):
    """An unknown op, a callable that raises, one that does not return one loss."""
    with pytest.raises(NoProgramError, match=problem):
        exact_value(derived_formula(Programs(function, FLOAT32)), [Term(1.0, 0.0)], {}, FLOAT32)
