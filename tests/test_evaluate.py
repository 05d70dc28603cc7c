"""The one pipeline: from logits as written to rows with values, exact values, errors and outcomes."""

import math
import sys
from dataclasses import replace
from fractions import Fraction

import pytest
import torch

from losscheck.core import registry
from losscheck.core.absence import Absence
from losscheck.core.dtypes import BFLOAT16, FLOAT16, FLOAT32, FORMATS
from losscheck.core.error import classify
from losscheck.core.errors import UserError
from losscheck.core.loss import Implementation
from losscheck.core.outcome import Outcome
from losscheck.core.registry import loss_named
from losscheck.core.request import listed
from losscheck.core.results import Difference
from losscheck.measure.compare import compare, different_bits, evaluate
from losscheck.oracle.refine import Term, exact_value


def ask(loss, logits, target=1.0, *, impl=("stable",), backends=(), **more):
    """Rows of a question about one loss."""
    targets = target if isinstance(target, tuple) else (target,)
    return compare(listed((loss,), tuple(logits), targets, impl=impl, backends=backends, **more))


def exact_element(loss, logit, target, dtype, quantity="loss", weight=1):
    chosen = loss_named(loss)
    formula = chosen.gradient if quantity == "grad" else chosen.formula
    return exact_value(formula, [Term(logit, target, Fraction(weight))], chosen.resolve({}, dtype), dtype)


@pytest.fixture
def registered(monkeypatch):
    """Adds an implementation of bce for one test."""
    known = registry.implementations()

    def add(function, name="under-test", backends=("numpy", "torch"), **more):
        one = Implementation("bce", name, function, "a test", backends, **more)
        monkeypatch.setattr(registry, "implementations", lambda: (*known, one))
        return one

    return add


# Outcomes ---------------------------------------------------------------------------------------------------------


def test_the_naive_control_is_caught():
    """A gate that never failed proves nothing."""
    row = evaluate("bce", "naive", logit=-104.0, target=0.0, dtype="float32")

    assert row.outcome is Outcome.NAN


@pytest.mark.parametrize(
    ("loss", "impl", "logit", "target", "dtype", "quantity", "outcome"),
    [
        ("bce", "stable", 1.5, 1.0, "float32", "loss", Outcome.OK),
        ("bce", "naive", -104.0, 0.0, "float32", "loss", Outcome.NAN),
        ("bce", "naive", 20.0, 0.0, "float32", "loss", Outcome.INF),
        ("bce", "torch-bce-with-logits", -15.0, 0.0, "float32", "loss", Outcome.LOST),
        ("bce", "torch-bce-with-logits", -88.75, 0.0, "float32", "grad", Outcome.FLUSHED),
        ("bce", "torch-bce-with-logits", -4.25, 0.0, "bfloat16", "loss", Outcome.LOST),
        ("bce", "torch-sigmoid-bceloss", 17.0, 0.0, "float32", "loss", Outcome.INACCURATE),
        ("centernet-heatmap", "centernet-neg-loss", 17.0, 1.0, "float32", "loss", Outcome.NAN),
        ("bce", "stable", 104.0, 1.0, "float16", "loss", Outcome.OK),
        ("bce", "stable", math.inf, 0.0, "float32", "loss", Outcome.OK),
        ("bce", "tensorflow-formula", math.inf, 1.0, "float32", "loss", Outcome.NAN),
    ],
)
def test_each_outcome_comes_out_of_the_pipeline(loss, impl, logit, target, dtype, quantity, outcome):
    """An implementation known for it, at a logit known for it."""
    assert evaluate(loss, impl, logit=logit, target=target, dtype=dtype, quantity=quantity).outcome is outcome


@pytest.mark.parametrize(
    ("value", "logit", "outcome"),
    [
        (-1.0, 1.0, Outcome.WRONG_SIGN),
        (math.nan, 1.0, Outcome.NAN),
        (math.inf, 1.0, Outcome.INF),
        (-math.inf, 1.0, Outcome.WRONG_SIGN),
        (0.0, 1.0, Outcome.LOST),
        (0.0, -100.0, Outcome.FLUSHED),
        (0.0, -110.0, Outcome.OK),
        (-0.0, -110.0, Outcome.OK),
        (2.0, math.inf, Outcome.MISSED_INF),
        (2.0, math.nan, Outcome.INACCURATE),
        (math.nan, math.nan, Outcome.OK),
        (1.3132617, 1.0, Outcome.OK),
        (1.31327, 1.0, Outcome.INACCURATE),
    ],
)
@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_whatever_an_implementation_returns_is_judged(registered, backend, value, logit, outcome):
    """One that returns a constant, against softplus at target 0."""
    registered(lambda xp, x, z, **_: x * 0 + value if math.isfinite(logit) else xp.full_like(x, value))
    row = ask("bce", [logit], 0.0, impl=("under-test",), backends=(backend,), quantities=("loss",))[0]

    assert row.outcome is outcome


def test_a_result_that_overflows_where_the_exact_value_does_is_right():
    """pos_weight 4 at -3e38 rounds to inf in float32, and inf is what both backends return; a finite number is not."""
    rows = ask("bce", [-3e38], 1.0, params={"pos_weight": 4.0}, quantities=("loss",))

    assert [(row.value, row.exact.rounded, row.outcome, row.ulp) for row in rows] == [(math.inf, math.inf, Outcome.OK, 0.0)] * 2
    assert classify(3e38, rows[0].exact, -1.0, FLOAT32, 8.0) is Outcome.MISSED_INF


@pytest.mark.parametrize("steps", [1, 3])
def test_the_ulp_limit_is_inclusive(registered, steps):
    """A result exactly N ulp away is `ok` at --max-ulp N and `inaccurate` just below."""
    exact = exact_element("bce", 1.0, 0.0, FLOAT32)
    registered(lambda xp, x, z, **_: xp.full_like(x, FLOAT32.neighbour(exact.rounded, steps)), backends=("numpy",))
    (row,) = ask("bce", [1.0], 0.0, impl=("under-test",), quantities=("loss",))
    limits = [row.ulp, math.nextafter(row.ulp, 0.0)]
    outcomes = [ask("bce", [1.0], 0.0, impl=("under-test",), quantities=("loss",), max_ulp=limit)[0].outcome for limit in limits]

    assert steps - 0.5 <= row.ulp <= steps + 0.5
    assert outcomes == [Outcome.OK, Outcome.INACCURATE]


def test_nan_does_not_pass_an_infinite_limit():
    """Every comparison asks whether it passes, so that NaN fails by itself."""
    assert evaluate("bce", "naive", logit=-104.0, target=0.0, max_ulp=math.inf).outcome is Outcome.NAN


# What is asked ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FORMATS)
def test_text_is_rounded_once_to_each_dtype(dtype):
    """'0.1' becomes the nearest float of the dtype, not that of float64 rounded again; so do targets."""
    row = ask("bce", ["0.1"], ("0.3",), dtypes=(dtype,), quantities=("loss",))[0]

    assert row.logits == (FORMATS[dtype].round_fraction(Fraction("0.1")),)
    assert row.targets == (FORMATS[dtype].round_fraction(Fraction("0.3")),)


def test_a_logit_beside_a_tie_is_not_rounded_twice():
    """1 + 2^-24 + 2^-60 is above the midpoint in float32; through float64 it would be the midpoint itself."""
    literal = "0x1.000001000000001p+0"

    assert ask("bce", [literal])[0].logits == (1 + 2.0**-23,)


def test_parameters_are_rounded_to_the_dtype_for_everyone():
    """alpha 0.1 in bfloat16 is 0.10009765625 in the implementation and in the oracle alike: no error is left."""
    row = ask("weighted-focal", [0.5], 1.0, dtypes=("bfloat16",), params={"alpha": 0.1}, impl=("mpmath",), quantities=("loss",))[0]
    plain = exact_value(loss_named("weighted-focal").formula, [Term(0.5, 1.0)], {"alpha": BFLOAT16.round(0.1), "gamma": 2.0}, BFLOAT16)

    assert row.params == {"alpha": 0.10009765625, "gamma": 2.0}
    assert row.exact.decimal(20) == plain.decimal(20)
    assert row.outcome is Outcome.OK


def test_both_zeros_are_points_of_their_own():
    """-0 stays -0 in the row and reaches the implementation; the exact value is one."""
    rows = ask("bce", ["0", "-0.0", 0.0, -0.0], 0.0, backends=("numpy",), quantities=("grad",))

    assert [math.copysign(1.0, row.logits[0]) for row in rows] == [1.0, -1.0, 1.0, -1.0]
    assert {row.value for row in rows} == {0.5}
    assert {row.exact.decimal() for row in rows} == {"0.5"}


def test_the_sign_of_zero_reaches_the_implementation(registered):
    """1/x tells the zeros apart: +inf and -inf."""
    registered(lambda xp, x, z, **_: 1 / x, backends=("numpy",))
    rows = ask("bce", ["0", "-0.0"], 0.0, impl=("under-test",), quantities=("loss",))

    assert [row.value for row in rows] == [math.inf, -math.inf]


def test_parameters_of_other_losses_are_left_to_them():
    """A question about all losses may name a parameter that one of them has."""
    rows = compare(listed(tuple(registry.losses()), (1.0,), (1.0,), impl=("stable",), params={"gamma": 1.0}))

    defaults = {
        loss.name: {parameter.name: FLOAT32.round(parameter.default) for parameter in loss.parameters}
        for loss in registry.losses().values()
    }
    assert {row.loss: dict(row.params) for row in rows} == {
        name: {**values, **({"gamma": 1.0} if "gamma" in values else {})} for name, values in defaults.items()
    }
    assert {"gamma" in values for values in defaults.values()} == {True, False}


def test_a_parameter_an_implementation_cannot_take_makes_it_unavailable():
    """BCELoss has no pos_weight: a reason, not a wrong number."""
    row = ask("bce", [1.0], 1.0, impl=("torch-sigmoid-bceloss",), params={"pos_weight": 2.0})[0]

    assert row.outcome is Outcome.UNAVAILABLE
    assert row.reason == "torch-sigmoid-bceloss takes no pos_weight"
    assert row.value is None


@pytest.mark.parametrize(
    "question",
    [
        {"logits": ()},
        {"logits": (1.0, 2.0, 3.0), "targets": (1.0, 0.0)},
        {"logits": (1.0,), "targets": (1.5,)},
        {"logits": (1e39,)},
        {"logits": (1.0,), "impl": ("zzz*",)},
        {"logits": (1.0,), "dtypes": ("float8",)},
        {"logits": (1.0,), "params": {"pos_weight": -1.0}},
        {"logits": (1.0,), "impl": ("torch*",), "backends": ("numpy",)},
    ],
    ids=str,
)
def test_a_question_without_an_answer_is_refused(question):
    """Nothing selected, nothing paired, nothing in the domain: an error, never an empty success."""
    with pytest.raises(UserError):
        compare(listed(("bce",), **question))


def test_rows_come_point_by_point_loss_before_gradient():
    """In the order people read, for each implementation and backend in turn."""
    rows = ask("bce", [1.0, 2.0], 0.0)

    assert [(row.backend, row.logits[0], row.quantity) for row in rows] == [
        (backend, logit, quantity) for backend in ("numpy", "torch") for logit in (1.0, 2.0) for quantity in ("loss", "grad")
    ]


# Running ----------------------------------------------------------------------------------------------------------


def test_one_refused_logit_does_not_take_the_others():
    """BCELoss raises on NaN: that point is unavailable with the reason, those beside it are answered."""
    rows = ask("bce", [1.0, math.nan, -1.0], 0.0, impl=("torch-sigmoid-bceloss",), quantities=("loss",))

    assert [row.outcome for row in rows] == [Outcome.OK, Outcome.UNAVAILABLE, Outcome.OK]
    assert rows[1].reason.startswith("RuntimeError: ")
    assert rows[0].value == ask("bce", [1.0], 0.0, impl=("torch-sigmoid-bceloss",), quantities=("loss",))[0].value


def test_a_refused_logit_takes_a_reduction_with_it():
    """The whole cannot be had without the point."""
    rows = ask("bce", [1.0, math.nan], 0.0, impl=("torch-sigmoid-bceloss",), reduction="mean", quantities=("loss",))

    assert [row.outcome for row in rows] == [Outcome.UNAVAILABLE]


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize("wrong", ["loss", "gradient"])
def test_a_result_in_another_dtype_is_judged_in_it(registered, backend, wrong):
    """float64 returned for float32 logits: judged as float32 it would hide what was lost, so it is judged as what came out."""

    def wide(xp, x, z, **_):
        return x.astype(xp.float64) if xp.__name__ == "numpy" else x.to(xp.float64)

    def same(xp, x, z, **_):
        return x * 1

    registered(wide if wrong == "loss" else same, gradient=wide if wrong == "gradient" else same)
    rows = ask("bce", [1.0], 1.0, impl=("under-test",), backends=(backend,))
    by_quantity = {row.quantity: (row.dtype, row.logit_dtype) for row in rows}
    wider, plain = ("float64", "float32"), ("float32", "")

    assert by_quantity["loss"] == (wider if wrong == "loss" else plain)
    # Autograd keeps the dtype by itself.
    assert by_quantity["grad"] == (wider if (wrong, backend) == ("gradient", "numpy") else plain)


def test_a_result_that_is_no_float_is_unavailable(registered):
    """Integers and booleans are no losses; the row says what came out."""
    registered(lambda xp, x, z, **_: x > z)
    rows = ask("bce", [1.0], 1.0, impl=("under-test",))

    assert {row.outcome for row in rows} == {Outcome.UNAVAILABLE}
    assert all("bool" in row.reason or "grad" in row.reason for row in rows)


def test_an_implementation_that_raises_is_unavailable_with_its_words(registered):
    """What a framework cannot do in a dtype is an answer about it, not a crash of ours."""

    def broken(xp, x, z, **_):
        raise NotImplementedError("no kernel for this\nand a second line")

    registered(broken)
    rows = ask("bce", [1.0, 2.0], 1.0, impl=("under-test",))

    assert len(rows) == 8
    assert {row.reason for row in rows} == {"NotImplementedError: no kernel for this"}
    assert all(row.exact is not None for row in rows)


def test_an_implementation_without_a_gradient_has_none_on_numpy(registered):
    """The loss is judged, the gradient is unavailable with the reason; torch differentiates by itself."""
    registered(lambda xp, x, z, **_: x * 1)
    rows = {(row.backend, row.quantity): row for row in ask("bce", [1.0], 1.0, impl=("under-test",))}

    assert rows["numpy", "grad"].outcome is Outcome.UNAVAILABLE
    assert rows["numpy", "grad"].reason == "under-test has no gradient on numpy; use --quantity loss"
    assert rows["numpy", "grad"].absence is Absence.NO_GRADIENT
    assert rows["torch", "grad"].value == 1.0


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("impl", ["stable", "torch-bce-with-logits", "torch-sigmoid-bceloss"])
def test_a_point_alone_has_the_bits_it_has_among_many(impl, dtype):
    """Vector body and scalar tail of one tensor give different bits; every point is evaluated in a vector body."""
    logits = [FORMATS[dtype].round(-10 + 20 * n / 102) for n in range(103)]
    together = ask("bce", logits, 0.0, impl=(impl,), backends=("torch",), dtypes=(dtype,))
    alone = [row for x in logits for row in ask("bce", [x], 0.0, impl=(impl,), backends=("torch",), dtypes=(dtype,))]

    assert [(row.logits, row.quantity, row.value.hex()) for row in alone] == [
        (row.logits, row.quantity, row.value.hex()) for row in together
    ]


def test_a_device_that_is_not_here_gives_rows_with_the_reason():
    """cuda:99 beside cpu: unavailable, with exact values all the same; numpy and mpmath are asked on the cpu alone."""
    rows = ask("bce", [1.0], 1.0, impl=("stable", "mpmath"), devices=("cpu", "cuda:99"))
    there = [row for row in rows if row.device == "cuda:99"]

    assert {row.backend for row in there} == {"torch"}
    assert {row.outcome for row in there} == {Outcome.UNAVAILABLE}
    assert all("CUDA" in row.reason and row.exact.kind.value == "finite" for row in there)
    assert {row.outcome for row in rows if row.device == "cpu"} == {Outcome.OK}


def test_a_framework_that_is_not_installed_gives_rows_with_the_cure(monkeypatch):
    """Without torch its rows say pip install torch, and numpy's are answered."""
    monkeypatch.setitem(sys.modules, "torch", None)
    rows = ask("bce", [1.0], 1.0)

    assert {row.outcome for row in rows if row.backend == "numpy"} == {Outcome.OK}
    assert {row.outcome for row in rows if row.backend == "torch"} == {Outcome.UNAVAILABLE}
    assert all("pip install torch" in row.reason for row in rows if row.backend == "torch")


def test_differences_count_rows_whose_bits_differ():
    """Against the first device, over the rows both have; -0 and +0 differ, two NaN do not."""
    here = ask("bce", [1.0, 2.0, 3.0], 0.0, backends=("torch",), quantities=("loss",))
    there = [replace(row, device="cuda") for row in here]
    changed = [replace(there[0], value=math.nextafter(there[0].value, 9.0)), replace(there[1], value=None), there[2]]
    zeros = [replace(here[0], value=0.0), replace(here[0], device="cuda", value=-0.0)]
    nans = [replace(here[0], value=math.nan), replace(here[0], device="cuda", value=-math.nan)]

    assert different_bits([]) == []
    assert different_bits(here) == []
    assert different_bits([*here, *there]) == [Difference("cpu", "cuda", 3, 0)]
    assert different_bits([*here, *changed]) == [Difference("cpu", "cuda", 2, 1)]
    assert different_bits(zeros) == [Difference("cpu", "cuda", 1, 1)]
    assert different_bits(nans) == [Difference("cpu", "cuda", 1, 0)]


def test_differences_keep_both_zeros_apart():
    """+0 and -0 are two points: both are counted, though Python finds them equal."""
    here = ask("bce", ["0", "-0.0"], 0.0, backends=("torch",), quantities=("loss",))
    there = [replace(here[0], device="cuda", value=0.5), replace(here[1], device="cuda")]

    assert different_bits([*here, *there]) == [Difference("cpu", "cuda", 2, 1)]


# Reductions -------------------------------------------------------------------------------------------------------

POINTS = ((-1.0, 0.0), (0.5, 1.0), (2.0, 1.0), (3.0, 0.0))


@pytest.mark.parametrize("backend", ["numpy", "torch", "mpmath"])
@pytest.mark.parametrize("loss", registry.losses())
@pytest.mark.parametrize("reduction", ["mean", "sum", "normalised", "published"])
def test_a_reduction_gives_one_loss_and_a_gradient_for_each_point(loss, reduction, backend):
    """The exact whole is the weighted sum of exact elements, and values are within the limit of it."""
    own = loss_named(loss).reduction if reduction == "published" else reduction
    share = {"mean": Fraction(1, 4), "sum": Fraction(1), "normalised": Fraction(1, 2)}[own]
    logits, targets = zip(*POINTS, strict=True)
    impl = ("mpmath",) if backend == "mpmath" else ("stable",)
    rows = ask(loss, logits, targets, impl=impl, backends=(backend,), reduction=reduction)
    whole = sum(
        exact_element(loss, x, z, FLOAT32, weight=share).middle[0]
        * Fraction(2) ** exact_element(loss, x, z, FLOAT32, weight=share).middle[1]
        for x, z in POINTS
    )

    assert [(row.quantity, len(row.logits)) for row in rows] == [("loss", 4)] + [("grad", 1)] * 4
    assert [row.logits[0] for row in rows[1:]] == list(logits)
    assert {row.outcome for row in rows} == {Outcome.OK}
    assert rows[0].exact.rounded == FLOAT32.round_fraction(whole)
    for row, (x, z) in zip(rows[1:], POINTS, strict=True):
        assert row.exact.decimal(25) == exact_element(loss, x, z, FLOAT32, "grad", share).decimal(25)


def test_no_reduction_gives_every_point_its_own_loss():
    """`none`: as many losses as points, each the element's own."""
    logits, targets = zip(*POINTS, strict=True)
    rows = ask("bce", logits, targets, backends=("numpy",), quantities=("loss",))

    assert [row.exact.decimal(20) for row in rows] == [exact_element("bce", x, z, FLOAT32).decimal(20) for x, z in POINTS]


def test_the_heatmap_loss_is_not_divided_without_a_positive():
    """`normalised` with no target of 1 is the sum."""
    rows = [ask("centernet-heatmap", [0.5, 1.0], 0.5, reduction=reduction, quantities=("loss",))[0] for reduction in ("normalised", "sum")]

    assert rows[0].exact.decimal(25) == rows[1].exact.decimal(25)
    assert rows[0].value == rows[1].value


def test_a_reduction_of_nan_is_judged_by_the_definition():
    """One saturated point makes the naive mean NaN, and the exact mean is a number."""
    row = ask("bce", [1.0, -104.0], 0.0, impl=("naive",), reduction="mean", quantities=("loss",))[0]

    assert row.outcome is Outcome.NAN
    assert math.isfinite(row.exact.rounded)


# The mpmath implementation ----------------------------------------------------------------------------------------


def test_mpmath_at_few_digits_is_inaccurate_and_at_50_right():
    """The definition itself is not proof: softplus(-15) at 5 digits is off, at 50 it is the exact value rounded."""
    few, many = (ask("bce", [-15.0], 0.0, impl=("mpmath",), digits=digits) for digits in (5, 50))

    assert {row.outcome for row in few} == {Outcome.INACCURATE}
    assert all(row.value == row.exact.rounded for row in many)


@pytest.mark.parametrize("dtype", FORMATS)
def test_mpmath_at_50_digits_is_within_half_an_ulp_at_every_landmark(dtype):
    """At the landmarks of each loss and both infinities it is the exact value rounded, or beside a tie its other side."""
    form = FORMATS[dtype]
    for loss in registry.losses().values():
        logits = [mark.logit for mark in loss.landmarks(form)] + [math.inf, -math.inf]
        for target in (0.0, 1.0):
            rows = ask(loss.name, logits, target, impl=("mpmath",), dtypes=(dtype,))

            assert {row.outcome for row in rows} == {Outcome.OK}
            assert all(row.value == row.exact.rounded or abs(row.ulp) == 0.5 for row in rows)


def test_50_digits_cannot_tell_a_value_beside_a_tie_from_the_tie():
    """3/4 x of this logit is a midpoint of float64 and e^-708 decides: the oracle goes on where 50 digits stop."""
    row = ask("weighted-focal", [708.3964185322641], 0.0, impl=("mpmath",), dtypes=("float64",), quantities=("loss",))[0]

    assert row.value == math.nextafter(row.exact.rounded, math.inf)
    assert row.exact.bits > 50 * math.log2(10)


def test_the_two_oracles_give_the_same_rows():
    """Values of the oracle to 34 digits, ulp and outcome; only the bits they took differ."""
    logits = [-104.0, -15.0, -0.0, 1e-30, 16.7, 3e38]
    flint, mpmath = (ask("weighted-focal", logits, 0.0, impl=("*",), oracle=name) for name in ("flint", "mpmath"))

    assert len(flint) > 60
    for ball, other in zip(flint, mpmath, strict=True):
        assert ball.exact.decimal(34) == other.exact.decimal(34)
        assert (ball.outcome, ball.exact.rounded) == (other.outcome, other.exact.rounded)
        assert ball.ulp == other.ulp or abs(ball.ulp - other.ulp) < 2.0**-18 or math.isnan(ball.ulp)


def test_float16_and_bfloat16_are_judged_in_their_own_ulp():
    """The same relative error is 8 times fewer ulp in bfloat16 than in float16."""
    exact16, exact_b = (exact_element("bce", 1.0, 0.0, dtype) for dtype in (FLOAT16, BFLOAT16))

    assert FLOAT16.ulp_exponent(exact16.magnitude) + 3 == BFLOAT16.ulp_exponent(exact_b.magnitude)


def test_torch_results_are_those_of_a_plain_call():
    """What the pipeline reports is what the user's own call returns."""
    logits = torch.linspace(-20, 20, 64)
    rows = ask("bce", logits.tolist(), 0.0, impl=("torch-bce-with-logits",), quantities=("loss",))
    plain = torch.nn.functional.binary_cross_entropy_with_logits(logits, torch.zeros(64), reduction="none")

    assert [row.value for row in rows] == plain.tolist()
