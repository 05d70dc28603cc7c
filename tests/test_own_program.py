"""A torch callable of the user's judged by its own formula, read off its program: as the one written by hand, and never unconfirmed."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from flint import arb, ctx
from hypothesis import given, settings
from hypothesis import strategies as st
from test_tracing_formula import TORCH, bound, excuse_of, points

import losscheck
from losscheck.core.dtypes import FLOAT32, FLOAT64, FORMATS
from losscheck.core.outcome import Outcome
from losscheck.core.registry import loss_named
from losscheck.oracle.extended import Extended
from losscheck.oracle.flint import FlintArithmetic
from losscheck.oracle.refine import Term, exact_value
from losscheck.testing import assert_accurate
from losscheck.tracing import ops
from losscheck.tracing.formula import Programs, derived_formula, derived_gradient
from losscheck.tracing.own.evaluating import evaluated
from losscheck.tracing.own.expressions import X, Z
from losscheck.tracing.own.symbols import Symbols

# The normal form ------------------------------------------------------------------------------------------------------


@st.composite
def expressions(draw):
    """A program of a few ops, as a function of an arithmetic, a logit and a target."""
    steps = draw(
        st.lists(
            st.tuples(
                st.sampled_from(
                    ["add", "sub", "mul", "div", "neg", "exp", "expm1", "log", "log1p", "sigmoid", "softplus", "tanh", "power"]
                ),
                st.integers(0, 30),
                st.integers(0, 30),
            ),
            min_size=2,
            max_size=9,
        )
    )
    constants = draw(st.lists(st.sampled_from([1.0, 2.0, 0.5, -1.0, 0.25, 1e-4]), min_size=1, max_size=2))

    def program(m, logit, target):
        values = [logit, target, m.sub(m.number(1), target), m.neg(logit), *map(m.number, constants)]
        for operation, first, second in steps:
            # Most ops take something made of late, as a program does.
            a, b = values[-1 - first % len(values)], values[-1 - second % len(values)]
            if operation in ("add", "sub", "mul", "div"):
                values.append(getattr(m, operation)(a, b))
            elif operation == "power":
                values.append(m.power(a, m.number([2, 3, 0.5, 1.5, -1][second % 5])))
            else:
                values.append(getattr(m, operation)(a))
        return values[-1]

    return program


@settings(max_examples=300, deadline=None)
@given(expressions(), st.floats(-6, 6), st.sampled_from([0.125, 0.5, 0.875]))
def test_the_normal_form_of_a_program_is_its_value(program, logit, target):
    """Whatever was rewritten on the way, in exact arithmetic both are one number, wherever the program has one."""
    tree = program(Symbols({}), X, Z)
    exact = Extended(400)
    right = program(exact, exact.number(logit), exact.number(target))
    if tree is None or not isinstance(right, arb) or not right.is_finite() or abs(right) > 1e60:
        return
    m = FlintArithmetic(400, FLOAT64)
    value = evaluated(tree, m, m.number(logit), m.number(target))

    assert not value.is_finite() or value.overlaps(right)
    ctx.prec = 53


@pytest.mark.parametrize("logit", [-3e38, -1e5, -50.0, 50.0, 1e5, 3e38])
@pytest.mark.parametrize(
    "function",
    [
        lambda x, z: -(z * torch.log(torch.sigmoid(x)) + (1 - z) * torch.log(1 - torch.sigmoid(x))),
        lambda x, z: -torch.log(1 - 1 / (1 + torch.exp(-x))) * (1 - torch.exp(-F.softplus(x))) ** 0.5,
        lambda x, z: x.clamp(min=0) - x * z + torch.log(1 + torch.exp(-x.abs())),
        lambda x, z: (x + F.softplus(-x)) * torch.pow(torch.sigmoid(x), 2),
    ],
    ids=["naive", "focal", "expanded", "shifted"],
)
def test_what_cancels_in_a_program_is_decided_at_any_logit(function, logit):
    """At 3e38 a ball of `1 - sigmoid(x)` would need 10^38 bits."""
    logit = FLOAT32.round(logit)
    programs = Programs(function, FLOAT32)
    for formula in (derived_formula(programs), derived_gradient(programs)):
        for target in (0.0, 1.0):
            exact = exact_value(formula, [Term(logit, target)], {}, FLOAT32, printable=False)
            assert math.isfinite(exact.rounded) or abs(exact.rounded) == math.inf
            assert exact.bits <= 1024


# A user's callable is judged as the registered one is -------------------------------------------------------------------


def judged(loss, implementation, logits, target, dtype, **more):
    report = losscheck.compare([implementation], loss=loss, logit=logits, target=target, dtype=dtype, backend="torch", max_ulp=8, **more)
    return [(row.logits, row.quantity, row.value, row.outcome, row.ulp, row.deviation, row.effect.effect) for row in report.rows]


def close(a, b, nothing):
    """Known to 2^-20 of an ulp, which is a part in a million; NaN with NaN."""
    return math.isclose(a, b, rel_tol=1e-5, abs_tol=nothing) or (math.isnan(a) and math.isnan(b))


def differing(ours, theirs):
    """Pairs of rows that are not judged alike."""
    for own, registered in zip(ours, theirs, strict=True):
        _, _, value, outcome, ulp, deviation, effect = own
        _, _, their_value, their_outcome, their_ulp, their_deviation, their_effect = registered
        same = (outcome, effect) == (their_outcome, their_effect) and close(value, their_value, 0.0)
        if not (same and close(deviation, their_deviation, 1e-12) and close(ulp, their_ulp, 1e-5)):
            yield own, registered


@pytest.mark.parametrize("implementation", TORCH, ids=lambda implementation: f"{implementation.loss}-{implementation.name}")
def test_a_published_function_as_a_users_callable_is_judged_alike(implementation):
    """Outcome, ulp, deviation and effect, without --formula and without a word of which implementation it is."""
    if excuse_of(implementation) is not None:
        pytest.skip("its own formula is another one than that by hand: tests/test_tracing_formula.py says where")
    loss = loss_named(implementation.loss)
    function = bound(implementation, loss.resolve_own({}, FLOAT32))
    for target in loss.targets:
        logits = [logit for logit, _ in points(loss, FLOAT32, 12)] + [0.5, -20.0, 20.0]

        ours, theirs = (judged(loss.name, subject, logits, FLOAT32.round(target), "float32") for subject in (function, implementation.name))
        assert not list(differing(ours, theirs))


# Said and not said ------------------------------------------------------------------------------------------------------


def remarks(function, loss="bce", **more):
    return " ".join(" ".join(losscheck.compare([function], loss=loss, logit=[1.5], target=1, **more).remarks).split())


def clamped(x, z):
    p = torch.clamp(torch.sigmoid(x), 1e-4, 1 - 1e-4)
    return -(z * torch.log(p) + (1 - z) * torch.log(1 - p))


def branching(x, z):
    return F.softplus(x) - x * z if x.max() > 5 else F.binary_cross_entropy_with_logits(x, z, reduction="none")


def slower_beyond(x, z):
    loss = F.softplus(x) - x * z
    return loss * 2 if float(x.max()) > 5 else loss


def through_python(x, z):
    return (F.softplus(x) - x * z) * (1 + 0 * float(x.mean())) + float(x.mean()) * 1e-3


def drawing(x, z):
    return F.dropout(F.softplus(x) - x * z, 0.5)


def bessel(x, z):
    return torch.special.bessel_j0(x) * (F.softplus(x) - x * z)


def test_a_guard_is_read_off_the_line_where_it_stands():
    """With the logits at which it shows; and that it is all there is to say has been proved."""
    text = remarks(clamped)

    line = clamped.__code__.co_firstlineno + 1
    assert f"test_own_program.py:{line}: `torch.clamp(torch.sigmoid(x), 1e-4, 1 - 1e-4)`" in text
    assert "below -9.21 and above 9.21" in text
    assert "Without it, it is the definition exactly" in text
    assert "looks like" not in text


def test_a_guard_that_does_nothing_is_not_told():
    """In float32 1 - 1e-9 is 1, and 1e-60 is 0: nothing is clamped."""

    def idle(x, z):
        p = torch.clamp(torch.sigmoid(x), 0.0, 1 - 1e-9)
        return -(z * torch.log(p) + (1 - z) * torch.log(1 - p))

    assert "bound" not in remarks(idle)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (slower_beyond, "another branch at other logits|a value leaves the program"),
        (through_python, "a value leaves the program"),
        (drawing, "it draws random numbers"),
        (bessel, "special_bessel_j0 has no exact definition"),
    ],
)
def test_what_has_no_formula_of_its_own_is_judged_by_the_definition_and_says_why(function, words):
    """And its rows are those that a callable without a program has: no deviation."""
    report = losscheck.compare([function], loss="bce", logit=[1.5], target=1)
    text = " ".join(" ".join(report.remarks).split())

    assert any(word in text for word in words.split("|")), text
    assert "judged by the definition" in text
    assert all(not row.deviation for row in report.rows)


def test_a_branch_that_changes_nothing_is_no_hindrance():
    """Both sides of it are one expression."""
    assert "judged by the definition" not in remarks(branching)


def test_a_program_that_its_values_do_not_confirm_is_not_used(monkeypatch):
    """A planted fault in an exact op: without the confirmation the callable would be blamed for it."""
    fault = replace(ops.known("softplus"), function=lambda m, x, beta: m.mul(m.softplus(x), m.number(1.001)))
    known = ops.known
    monkeypatch.setattr(ops, "known", lambda name: fault if name == "softplus" else known(name))

    def callable_(x, z):
        return F.softplus(x) - x * z

    assert "its values are not those of its program" in remarks(callable_)


def test_a_backward_pass_of_ones_own_is_the_formula_of_the_gradient():
    """A custom function that lets half the gradient through: deviation, and not rounding."""

    class Half(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, slope):
            return slope / 2

    def halved(x, z):
        return F.softplus(Half.apply(x)) - Half.apply(x) * z

    rows = {row.quantity: row for row in losscheck.compare([halved], loss="bce", logit=[1.5], target=0).rows}

    assert rows["loss"].deviation == 0
    assert rows["grad"].deviation == pytest.approx(-0.5) and abs(rows["grad"].ulp) < 4


def test_a_loss_of_another_kind_does_not_pass_a_gate_because_it_is_computed_well():
    """Twice the loss: `ok` by its own formula, and the gate asks for the definition unless a deviation is stated."""

    def doubled(x, z):
        return 2 * F.binary_cross_entropy_with_logits(x, z, reduction="none")

    asked = {"loss": "bce", "max_ulp": 50, "targets": [1], "range": (1, 8), "points": 20, "quantities": ["loss"]}
    with pytest.raises(AssertionError, match=r"a deviation of \+1 at logit .*max_deviation allows one"):
        assert_accurate(doubled, **asked)
    assert_accurate(doubled, max_deviation=1.0, **asked)


# In bulk ---------------------------------------------------------------------------------------------------------------


def eps_bce(x, z):
    p = torch.sigmoid(x)
    return -(z * torch.log(p + 1e-8) + (1 - z) * torch.log(1 - p + 1e-8))


@pytest.mark.parametrize("function", [clamped, eps_bce])
def test_a_million_floats_are_filtered_as_the_oracle_sees_them(function):
    """The filter of the normalised program decides nearly all of 2^20 floats, and its sample agrees with the oracle."""
    low, high = FLOAT32.from_ordinal(FLOAT32.ordinal(7.0)), FLOAT32.from_ordinal(FLOAT32.ordinal(7.0) + 2**20 - 1)
    rows = losscheck.sweep([function], loss="bce", range=(low, high), target=1, exhaustive=True).sweeps

    assert len(rows) == 2
    for row in rows:
        assert sum(row.counts.values()) == 2**20
        assert row.checked >= 512 and row.wrong == 0
        assert row.settled < 2**20 / 100


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_every_float_of_16_bits_is_judged_by_the_formula_of_that_dtype(dtype):
    """1 - 1e-4 is 1 there: the upper bound is none, and beyond 9.21 nothing is clamped on that side."""

    def positive(x, z):
        return -torch.log(torch.clamp(torch.sigmoid(x), 1e-4, 1 - 1e-4))

    (row,) = losscheck.sweep([positive], loss="bce", range=(9.5, 60.0), target=1, dtype=dtype, quantity="loss").sweeps

    assert row.checked and row.wrong == 0
    assert Outcome.LOST in row.counts  # by rounding: with a bound of 1 the exact loss is softplus(-x)
    assert FORMATS[dtype].round(1 - 1e-4) == 1
