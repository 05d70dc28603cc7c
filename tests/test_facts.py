"""What is known of published implementations, reproduced: worked examples, deviations, and where each one fails.

The figures were measured on PyTorch 2.13 (CPU). A first failing float is pinned in hex where it follows from
arithmetic, such as 1 + e^-x rounding to 1 at p ln 2 with a margin of several ulp of any exp to both neighbours; where
it hangs on the last bit of one processor's exp, the two ends between which it must lie are asserted instead.
"""

import math
from dataclasses import dataclass, field

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from losscheck.core.dtypes import FLOAT16, FLOAT32, FLOAT64, FORMATS
from losscheck.core.error import deviation, ulp_error
from losscheck.core.errors import UserError
from losscheck.core.exact import Kind
from losscheck.core.outcome import Outcome
from losscheck.core.registry import loss_named
from losscheck.core.request import listed
from losscheck.measure.compare import compare, evaluate
from losscheck.oracle.refine import Term, exact_value

LN2 = math.log(2.0)
LOST, NAN, INF, MUCH, FLUSHED = Outcome.LOST, Outcome.NAN, Outcome.INF, Outcome.INACCURATE, Outcome.FLUSHED


def ask(loss, impl, logits, target=1.0, *, dtype="float32", backend="torch", quantity="loss", **more):
    """The rows of one implementation at many logits, in their order."""
    targets = target if isinstance(target, tuple) else (target,)
    question = listed(
        losses=(loss,), logits=tuple(logits), targets=targets, impl=(impl,), backends=(backend,), dtypes=(dtype,),
        quantities=(quantity,), **more,
    )  # fmt: skip
    return compare(question)


def exact_loss(loss, logit, target, dtype=FLOAT64, **params):
    chosen = loss_named(loss)
    return exact_value(chosen.formula, [Term(logit, target)], chosen.resolve(params, dtype), dtype)


# The published worked examples ------------------------------------------------------------------------------------


def test_the_yolo_walk_through_is_0_2014_with_a_pos_weight_of_64_ones():
    """BCEWithLogitsLoss(pos_weight=ones(64)) on logits full((10, 64), 1.5) and targets of ones."""
    logits = torch.full((10, 64), 1.5)
    value = torch.nn.BCEWithLogitsLoss(pos_weight=torch.ones(64))(logits, torch.ones(10, 64)).item()
    row = ask("bce", "torch-bce-with-logits", [1.5] * 640, shape=(10, 64), reduction="published")[0]

    assert f"{value:.4f}" == "0.2014"
    assert f"{row.value:.4f}" == "0.2014"
    assert row.exact.decimal(6) == "0.201413"


def test_the_yolo_walk_through_is_0_2014_by_sigmoid_and_bceloss():
    """The same by `Sigmoid` and `BCELoss`, and by F.binary_cross_entropy, whose backward pass gives (s - 1) / 640."""
    logits = torch.full((10, 64), 1.5, requires_grad=True)
    value = F.binary_cross_entropy(torch.sigmoid(logits), torch.ones(10, 64))
    value.backward()
    rows = ask("bce", "torch-sigmoid-bceloss", [1.5] * 640, shape=(10, 64), reduction="published")

    assert f"{value.item():.4f}" == "0.2014"
    assert f"{rows[0].value:.4f}" == "0.2014"
    assert logits.grad.flatten()[0].item() == pytest.approx((1 / (1 + math.exp(-1.5)) - 1) / 640, rel=1e-6)


def test_every_sound_implementation_says_0_2014_at_logit_1_5():
    """All of bce's implementations agree to four digits where nothing saturates."""
    rows = compare(listed(("bce",), ("1.5",), quantities=("loss",)))

    assert len(rows) >= 14
    assert {f"{row.value:.4f}" for row in rows} == {"0.2014"}
    assert {row.outcome for row in rows} == {Outcome.OK}


def test_the_mean_of_three_classes_is_0_6486():
    """Logits 0.7, 0.2, 0.1 with targets 1, 0, 0, in every implementation."""
    rows = compare(listed(("bce",), ("0.7", "0.2", "0.1"), ("1", "0", "0"), reduction="mean", quantities=("loss",)))

    assert len(rows) >= 14
    assert {f"{row.value:.4f}" for row in rows} == {"0.6486"}
    assert {row.outcome for row in rows} == {Outcome.OK}
    assert {row.exact.decimal(10) for row in rows} == {"0.6485738616"}


def test_the_hand_computation_from_four_digit_sigmoids_is_0_648557191505494():
    """It is 1.7e-5 below exact: each sigmoid is rounded to 1/2 10^-4, and log divides that by 0.45 to 0.67."""
    by_hand = -(math.log(0.6682) + math.log(1 - 0.5498) + math.log(1 - 0.5250)) / 3
    terms = [Term(FLOAT64.round(x), z) for x, z in ((0.7, 1.0), (0.2, 0.0), (0.1, 0.0))]
    sigmoids = [1 / (1 + math.exp(-term.logit)) for term in terms]
    exact = sum(exact_loss("bce", term.logit, term.target).rounded for term in terms) / 3

    assert by_hand == pytest.approx(0.648557191505494, abs=1e-15)
    assert [f"{value:.4f}" for value in sigmoids] == ["0.6682", "0.5498", "0.5250"]
    assert exact == pytest.approx(0.648573859446873, abs=1e-15)
    assert by_hand - exact == pytest.approx(-1.6668e-5, abs=1e-9)


@pytest.mark.parametrize("pos_weight", [0.5, 1.0, 2.0])
def test_yolo_compute_loss_is_bce_with_a_pos_weight_of_one_element(pos_weight):
    """BCEcls and BCEobj are BCEWithLogitsLoss(pos_weight=tensor([w])); its exact value is the definition's."""
    logits, targets = (-1.5, 0.25, 2.0, 3.0), (0.0, 1.0, 0.1, 0.9)
    compute_loss = torch.nn.BCEWithLogitsLoss(pos_weight=torch.tensor([pos_weight]))
    value = compute_loss(torch.tensor(logits), torch.tensor(targets)).item()
    row = ask("bce", "torch-bce-with-logits", logits, targets, params={"pos_weight": pos_weight}, reduction="published")[0]

    assert row.value == value
    assert row.outcome is Outcome.OK
    assert row.deviation == 0


DERIVATION = {
    "naive": lambda m, x, z: z * -m.log(m.sigmoid(x)) + (1 - z) * -m.log(1 - m.sigmoid(x)),
    "expanded": lambda m, x, z: z * m.log(1 + m.exp(-x)) + (1 - z) * (x + m.log(1 + m.exp(-x))),
    "shifted": lambda m, x, z: (1 - z) * x + m.log(1 + m.exp(-x)),
    "unshifted": lambda m, x, z: -x * z + m.log(1 + m.exp(x)),
    "tensorflow-formula": lambda m, x, z: m.maximum(x, m.number(0)) - x * z + m.log(1 + m.exp(-m.maximum(x, -x))),
}


@pytest.mark.parametrize("step", DERIVATION)
@pytest.mark.parametrize(("logit", "target"), [(-20.0, 0.0), (-3.25, 1.0), (-0.5, 0.3), (0.7, 1.0), (2.0, 0.0), (12.5, 0.75), (30.0, 0.5)])
def test_each_step_of_the_derivation_is_equal_in_exact_arithmetic(step, logit, target):
    """As printed, each step equals the definition: only rounding tells them apart."""
    own = exact_value(DERIVATION[step], [Term(logit, target)], {}, FLOAT64)
    definition = exact_loss("bce", logit, target)

    assert own.kind is Kind.FINITE
    assert deviation(own, definition) == 0
    assert own.decimal(30) == definition.decimal(30)


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize(
    ("step", "logit", "target", "outcome"),
    [
        ("naive", -104.0, 0.0, NAN),
        ("naive", -104.0, 1.0, INF),
        ("expanded", -104.0, 0.0, NAN),
        ("expanded", -104.0, 0.5, INF),
        ("expanded", -104.0, 1.0, NAN),
        ("shifted", -104.0, 0.0, INF),
        ("shifted", -104.0, 1.0, INF),
        ("unshifted", 104.0, 0.0, INF),
        ("unshifted", 104.0, 1.0, INF),
    ],
)
def test_four_steps_of_the_derivation_overflow(step, logit, target, outcome, backend):
    """e^-x overflows in steps 1 to 3 and e^x in step 4; 0 times that infinity is the NaN of steps 1 and 2."""
    assert ask("bce", step, [logit], target, backend=backend)[0].outcome is outcome


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize("dtype", FORMATS)
def test_the_final_formula_of_the_derivation_never_overflows(dtype, backend):
    """max(x, 0) - x z + log(1 + e^-|x|) is finite at every landmark up to the largest float."""
    marks = [mark.logit for mark in loss_named("bce").landmarks(FORMATS[dtype])]
    for target in (0.0, 0.5, 1.0):
        rows = ask("bce", "tensorflow-formula", marks, target, dtype=dtype, backend=backend)

        assert len(rows) == len(marks)
        assert all(math.isfinite(row.value) for row in rows)


@pytest.mark.parametrize("quantity", ["loss", "grad"])
@pytest.mark.parametrize(("target", "factor"), [(1.0, 3.0), (0.0, 1 / 3)])
def test_weighted_focal_loss_gives_alpha_to_class_0(target, factor, quantity):
    """At alpha 0.25 positives count three times and negatives a third of what the paper says; rounding is apart."""
    for logit in (-2.0, 0.0, 1.5):
        row = ask("weighted-focal", "weighted-focal-loss", [logit], target, quantity=quantity, max_ulp=100.0)[0]

        assert row.deviation == pytest.approx(factor - 1, rel=1e-7)
        assert row.outcome is Outcome.OK


def test_weighted_focal_loss_at_gamma_0_is_weighted_cross_entropy():
    """at BCE: 3/4 of the cross entropy of a positive, 1/4 of a negative's."""
    for target, weight in ((1.0, 0.75), (0.0, 0.25)):
        row = ask("weighted-focal", "weighted-focal-loss", [0.5], target, params={"gamma": 0.0})[0]

        assert row.value == pytest.approx(weight * exact_loss("bce", 0.5, target).rounded, rel=1e-6)


def test_soft_targets_of_a_focal_loss_are_refused_as_its_long_would_truncate_them():
    """The published gather by target.long() takes 0.7 for class 0; the domain here is the hard targets alone."""
    by_class = torch.tensor([0.25, 0.75])

    assert by_class.gather(0, torch.tensor([0.7]).long()).item() == 0.25
    with pytest.raises(UserError, match=r"takes no soft target 0\.7"):
        ask("weighted-focal", "weighted-focal-loss", [1.0], 0.7, dtype="float64")


def test_view_minus_1_turns_a_column_into_a_square():
    """On [N, 1] the flat weights broadcast against the losses to [N, N]: each loss gets the mean of all weights."""
    logits, targets = (0.5, -1.0, 2.0), (1.0, 0.0, 0.0)
    flat = ask("weighted-focal", "weighted-focal-loss", logits, targets, reduction="published")[0]
    column = ask("weighted-focal", "weighted-focal-loss", logits, targets, reduction="published", shape=(3, 1))[0]
    elements = [exact_loss("weighted-focal", x, z, alpha=0.5).rounded * 2 for x, z in zip(logits, targets, strict=True)]

    assert flat.value == pytest.approx((0.75 * elements[0] + 0.25 * elements[1] + 0.25 * elements[2]) / 3, rel=1e-6)
    assert column.value == pytest.approx(sum(elements) * 1.25 / 9, rel=1e-6)
    assert flat.outcome is column.outcome is Outcome.OK
    assert flat.deviation != column.deviation


def test_one_bad_cell_makes_the_whole_centernet_loss_nan():
    """Of three positive cells the one at 17 is 0 * -inf; without it the loss is sound."""
    bad = ask("centernet-heatmap", "centernet-neg-loss", (0.3, 17.0, -1.0), 1.0, reduction="published")[0]
    good = ask("centernet-heatmap", "centernet-neg-loss", (0.3, -1.0), 1.0, reduction="published")[0]

    assert bad.outcome is NAN
    assert good.outcome is Outcome.OK


def test_the_tensorflow_rewrite_is_summed_and_normalised_per_sample():
    """Two samples with 2 and 1 positives: the mean of two quotients, where the original divides the sum by 3."""
    logits, targets = (0.5, 1.0, -1.0, 2.0), (1.0, 1.0, 1.0, 0.0)
    elements = [exact_loss("centernet-heatmap", x, z).rounded for x, z in zip(logits, targets, strict=True)]
    rewrite = ask("centernet-heatmap", "centernet-tf-logits", logits, targets, reduction="published", shape=(2, 2))[0]
    original = ask("centernet-heatmap", "centernet-neg-loss", logits, targets, reduction="published", shape=(2, 2))[0]

    assert rewrite.value == pytest.approx(((elements[0] + elements[1]) / 2 + elements[2] + elements[3]) / 2, rel=1e-5)
    assert original.value == pytest.approx(sum(elements) / 3, rel=1e-5)
    assert original.deviation == 0
    assert rewrite.deviation != 0


@pytest.mark.parametrize("shape", [(), (2, 2)])
def test_the_tensorflow_rewrite_is_0_without_a_positive_where_the_original_is_not(shape):
    """div_no_nan makes 0 of a heatmap without an object; _neg_loss returns the undivided sum of its negatives."""
    logits = (0.5, 1.0, -1.0, 2.0)
    rewrite = ask("centernet-heatmap", "centernet-tf-logits", logits, 0.5, reduction="published", shape=shape)[0]
    original = ask("centernet-heatmap", "centernet-neg-loss", logits, 0.5, reduction="published", shape=shape)[0]

    assert rewrite.value == 0
    assert rewrite.deviation == -1
    assert rewrite.outcome is Outcome.OK
    assert original.value == pytest.approx(sum(exact_loss("centernet-heatmap", x, 0.5).rounded for x in logits), rel=1e-5)


@pytest.mark.parametrize("target", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("side", [-1, 1])
def test_the_guard_of_centernet_deviates_beyond_9_21(side, target):
    """|x| <= 9.2102 leaves the formula alone; beyond it p is held at 1e-4 or 1 - 1e-4 and the gradient is 0."""
    inside = ask("centernet-heatmap", "centernet-neg-loss-clamped", [side * 9.21], target)[0]
    outside = ask("centernet-heatmap", "centernet-neg-loss-clamped", [side * 9.215], target)[0]
    slope = ask("centernet-heatmap", "centernet-neg-loss-clamped", [side * 9.215], target, quantity="grad")[0]

    assert math.log((1 - 1e-4) / 1e-4) == pytest.approx(9.21024, abs=1e-5)
    assert inside.deviation == 0
    assert outside.deviation != 0
    assert slope.value == 0
    assert slope.outcome is Outcome.OK
    assert slope.deviation == -1


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_the_guard_of_centernet_is_gone_in_16_bits(dtype):
    """1 - 1e-4 rounds to 1: the positive side is unguarded and fails as if there were no clamp."""
    assert FORMATS[dtype].round(1 - 1e-4) == 1.0
    for target, outcome in ((0.0, INF), (0.5, INF), (1.0, NAN)):
        assert ask("centernet-heatmap", "centernet-neg-loss-clamped", [8.5], target, dtype=dtype)[0].outcome is outcome


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_guard_of_centernet_holds_in_32_and_64_bits(dtype):
    """No infinity and no NaN at any landmark."""
    marks = [mark.logit for mark in loss_named("centernet-heatmap").landmarks(FORMATS[dtype])]
    for target in (0.0, 0.5, 1.0):
        rows = ask("centernet-heatmap", "centernet-neg-loss-clamped", marks, target, dtype=dtype)

        assert all(math.isfinite(row.value) for row in rows)


# Where they fail --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Failure:
    """One entry of the table: the first logit, going away from 0, where an implementation fails in a given way.

    ``stated`` is within ``tolerance`` of it: half of its last digit, or more where it was read off a coarser grid.
    ``first`` is that float in hex where arithmetic decides it; ``between`` the logits it lies between elsewhere.
    """

    impl: str
    target: float
    quantity: str
    outcome: Outcome
    dtype: str
    stated: float
    tolerance: float = 0.005
    first: str = ""
    between: tuple[float, float] = (0.0, 0.0)
    value: float | None = None
    params: dict = field(default_factory=dict)
    backend: str = "torch"

    @property
    def loss(self):
        if self.impl.startswith("weighted"):
            return "weighted-focal"
        return "centernet-heatmap" if self.impl.startswith("centernet") else "bce"

    def __str__(self):
        gamma = "".join(f"-{name}={value}" for name, value in self.params.items())
        return f"{self.impl}{gamma}-z{self.target:g}-{self.quantity}-{self.outcome.value}-{self.dtype}-{self.backend}"

    def fails(self, logits):
        """Does each of the logits fail in this way?"""
        failing = []
        for start in range(0, len(logits), 512):
            rows = ask(
                self.loss, self.impl, logits[start : start + 512], self.target,
                dtype=self.dtype, backend=self.backend, quantity=self.quantity, params=self.params,
            )  # fmt: skip
            failing += [row.outcome is self.outcome and (self.value is None or row.value == self.value) for row in rows]
        return failing


WITH_LOGITS, SIGMOID, FOCAL = "torch-bce-with-logits", "torch-sigmoid-bceloss", "weighted-focal-loss"
NEG, REWRITE = "centernet-neg-loss", "centernet-tf-logits"
HALF = {"gamma": 0.5}

# (1-z) x - logsigmoid(x): x - log1p(e^x) rounds to x from half an ulp of x on, -(21 ln 2) in float32.
CANCELS = {
    "float32": "-0x1.d1cb800000000p+3",
    "float64": "-0x1.0a2b23f3bab74p+5",
    "float16": "-0x1.8f40000000000p+2",
    "bfloat16": "-0x1.0a00000000000p+2",
}
# 1 + e^-x rounds to 1 from p ln 2 on: 24 ln 2 = 16.6355 in float32, 53 ln 2 in float64.
SATURATES = {
    "float32": "0x1.0a2b240000000p+4",
    "float64": "0x1.25e4f7b2737fbp+5",
    "float16": "0x1.0a40000000000p+3",
    "bfloat16": "0x1.9000000000000p+2",
}

FAILURES = [
    # F.binary_cross_entropy_with_logits
    Failure(WITH_LOGITS, 0.0, "loss", LOST, "float32", -14.56, first=CANCELS["float32"]),
    Failure(WITH_LOGITS, 0.0, "loss", LOST, "float64", -33.4, 0.15, first=CANCELS["float64"]),
    Failure(WITH_LOGITS, 0.0, "loss", LOST, "float16", -6.25, 0.015, first=CANCELS["float16"]),
    Failure(WITH_LOGITS, 0.0, "loss", LOST, "bfloat16", -4.16, first=CANCELS["bfloat16"]),
    Failure(WITH_LOGITS, 1.0, "grad", LOST, "float32", 16.64, first=SATURATES["float32"]),
    Failure(WITH_LOGITS, 1.0, "grad", LOST, "float64", 36.75, 0.015, first=SATURATES["float64"]),
    Failure(WITH_LOGITS, 1.0, "grad", LOST, "float16", 8.32, first=SATURATES["float16"]),
    Failure(WITH_LOGITS, 1.0, "grad", LOST, "bfloat16", 6.25, first=SATURATES["bfloat16"]),
    # Sigmoid + BCELoss: 100 where 17 is right. In 16 bits too.
    Failure(SIGMOID, 0.0, "loss", MUCH, "float32", 16.64, first=SATURATES["float32"], value=100.0),
    Failure(SIGMOID, 0.0, "loss", MUCH, "float64", 36.75, 0.015, first=SATURATES["float64"], value=100.0),
    Failure(SIGMOID, 0.0, "loss", MUCH, "float16", 8.32, first=SATURATES["float16"], value=100.0),
    Failure(SIGMOID, 0.0, "loss", MUCH, "bfloat16", 6.25, first=SATURATES["bfloat16"], value=100.0),
    # WeightedFocalLoss: its bce is lost for z = 0; for z = 1 exp(-bce) rounds to 1 between p ln 2 and (p + 2) ln 2,
    # at (p + 1) ln 2 if that exp is rounded correctly.
    Failure(FOCAL, 0.0, "loss", LOST, "float32", -14.56, first=CANCELS["float32"]),
    Failure(FOCAL, 0.0, "loss", LOST, "float64", -33.4, 0.15, first=CANCELS["float64"]),
    Failure(FOCAL, 0.0, "loss", LOST, "bfloat16", -4.16, first=CANCELS["bfloat16"]),
    Failure(FOCAL, 1.0, "loss", LOST, "float32", 17.44, 0.7, between=(24 * LN2, 26 * LN2)),
    Failure(FOCAL, 1.0, "loss", LOST, "float64", 37.75, 0.7, between=(53 * LN2, 55 * LN2)),
    Failure(FOCAL, 1.0, "loss", LOST, "bfloat16", 6.25, first=SATURATES["bfloat16"]),
    # The same with gamma 0.5: the gradient of a power at 0.
    Failure(FOCAL, 0.0, "grad", NAN, "float32", -14.56, first=CANCELS["float32"], params=HALF),
    Failure(FOCAL, 0.0, "grad", NAN, "float64", -33.4, 0.15, first=CANCELS["float64"], params=HALF),
    Failure(FOCAL, 0.0, "grad", NAN, "float16", -6.25, 0.015, first=CANCELS["float16"], params=HALF),
    Failure(FOCAL, 0.0, "grad", NAN, "bfloat16", -4.16, first=CANCELS["bfloat16"], params=HALF),
    Failure(FOCAL, 1.0, "grad", NAN, "float32", 17.44, 0.7, between=(24 * LN2, 26 * LN2), params=HALF),
    Failure(FOCAL, 1.0, "grad", NAN, "float64", 37.75, 0.7, between=(53 * LN2, 55 * LN2), params=HALF),
    Failure(FOCAL, 1.0, "grad", NAN, "float16", 8.32, first=SATURATES["float16"], params=HALF),
    Failure(FOCAL, 1.0, "grad", NAN, "bfloat16", 6.25, first=SATURATES["bfloat16"], params=HALF),
    # CenterNet's _neg_loss without its guard: log(1 - p) of p = 1, alone or times the 0 of the other mask.
    *(
        Failure(NEG, target, "loss", outcome, dtype, stated, tolerance, first=SATURATES[dtype])
        for target, outcome in ((0.0, INF), (0.5, INF), (1.0, NAN))
        for dtype, stated, tolerance in (
            ("float32", 16.64, 0.005), ("float64", 36.75, 0.015), ("float16", 8.32, 0.005), ("bfloat16", 6.25, 0.005),
        )
    ),
    # The same for z = 1: p = 0, because e^-x overflows (in 16 bits computed in float32), or p underflows to 0.
    Failure(NEG, 1.0, "loss", INF, "float32", -88.72, first="-0x1.62e4300000000p+6"),
    Failure(NEG, 1.0, "loss", INF, "float64", -710.0, 0.5, first="-0x1.62e42fefa39f0p+9"),
    Failure(NEG, 1.0, "loss", INF, "float16", -17.34, first="-0x1.1580000000000p+4"),
    Failure(NEG, 1.0, "loss", INF, "bfloat16", -89.0, first="-0x1.6400000000000p+6"),
    # The TensorFlow rewrite. Negative cells are lost for good where its softplus becomes the identity, 23 ln 2 - 2 in
    # float32; TensorFlow's own log1p, less exact than numpy's and PyTorch's, loses some floats from -13.17 on.
    *(
        failure
        for backend in ("numpy", "torch")
        for failure in (
            Failure(REWRITE, 0.0, "loss", LOST, "float32", -13.5, 0.45, first="-0x1.be28060000000p+3", backend=backend),
            Failure(REWRITE, 0.0, "loss", LOST, "bfloat16", -2.9, 0.05, between=(-2.84375, -2.875), backend=backend),
            Failure(REWRITE, 1.0, "loss", LOST, "float32", 16.64, first=SATURATES["float32"], backend=backend),
            Failure(REWRITE, 1.0, "loss", LOST, "float64", 36.75, 0.015, first=SATURATES["float64"], backend=backend),
            Failure(REWRITE, 1.0, "loss", LOST, "bfloat16", 5.6, 0.05, first="0x1.6400000000000p+2", backend=backend),
        )
    ),
]  # fmt: skip


def first_failing(entry):
    """(last sound float, first failing float): neighbours, found by narrowing an interval of ordinals."""
    dtype = FORMATS[entry.dtype]
    sound, failing = (dtype.ordinal(dtype.round(entry.stated * factor)) for factor in (0.9, 1.1))
    assert entry.fails([dtype.from_ordinal(ordinal) for ordinal in (sound, failing)]) == [False, True]
    while abs(failing - sound) > 1:
        way = failing - sound
        probes = sorted({sound + way * n // 60 for n in range(1, 60)} - {sound, failing}, reverse=way < 0)
        outcomes = entry.fails([dtype.from_ordinal(ordinal) for ordinal in probes])
        at = outcomes.index(True) if True in outcomes else len(probes)
        sound, failing = (probes[at - 1] if at else sound), (probes[at] if at < len(probes) else failing)
    return dtype.from_ordinal(sound), dtype.from_ordinal(failing)


@pytest.mark.parametrize("entry", FAILURES, ids=str)
def test_the_first_failing_logit_is_where_it_is_said_to_be(entry):
    """It lies near the stated logit, it is the float that arithmetic says, and its neighbour nearer to 0 is sound."""
    sound, first = first_failing(entry)

    assert abs(sound) < abs(first)
    assert abs(first - entry.stated) <= entry.tolerance
    if entry.first:
        assert first.hex() == entry.first
    else:
        assert abs(entry.between[0]) <= abs(first) <= abs(entry.between[1])


@pytest.mark.parametrize("entry", FAILURES, ids=str)
def test_failing_and_sound_logits_do_not_interleave(entry):
    """None fails from 0 to the first failing float, all do beyond it: every float close by, a grid further away."""
    dtype = FORMATS[entry.dtype]
    sound, first = first_failing(entry)
    away = 1 if first > 0 else -1
    before = [dtype.neighbour(sound, -away * steps) for steps in range(150)]
    before += [dtype.round(sound * n / 200) for n in range(200)] + [math.copysign(2.0**-n, first) for n in range(3, 14)]
    after = [dtype.neighbour(first, away * steps) for steps in range(100)]
    after += [dtype.round(first * (1 + n / 1000)) for n in range(50)]

    assert not any(entry.fails(before))
    assert all(entry.fails(after)) or (entry.first == "" and entry.dtype in ("float32", "float64"))


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_the_tensorflow_rewrite_interleaves_in_float64(backend):
    """Around -48 ln 2 = -33.271 (stated: -33) x + softplus(-x) is lost or not as e^-x happens to be rounded.

    One ulp of e^-x, 2.2e-16 of it, moves its logarithm by a sixteenth of half an ulp of x: hence 48 ln 2 +- 0.07.
    """
    entry = Failure(REWRITE, 0.0, "loss", LOST, "float64", -33.0, 0.3, backend=backend)
    edge = -48 * LN2
    nearer = entry.fails([edge + 0.07 + n / 100 for n in range(300)])
    further = entry.fails([edge - 0.07 - n / 400 for n in range(400)])
    between = entry.fails([edge + 0.07 - 0.14 * n / 1500 for n in range(1501)])
    first, last = between.index(True), len(between) - 1 - between[::-1].index(False)

    assert not any(nearer)
    assert all(further)
    assert first < last
    assert abs(edge + 0.07 - 0.14 * first / 1500 - entry.stated) <= entry.tolerance


@pytest.mark.parametrize(
    ("impl", "target", "backend"),
    [(FOCAL, 0.0, "torch"), (FOCAL, 1.0, "torch")] + [(REWRITE, z, backend) for z in (0.0, 1.0) for backend in ("numpy", "torch")],
)
def test_nothing_is_lost_in_float16_where_the_exact_value_underflows_first(impl, target, backend):
    """Of every float16 from 4 to 10 on the losing side, and of every eighth from 1/4, none is `lost`: its zeros are right or subnormal."""
    side = 1 if target else -1
    logits = [side * magnitude for magnitude in [*list(FLOAT16.between(0.25, 4.0))[::8], *FLOAT16.between(4.0, 10.0)]]
    loss = "weighted-focal" if impl == FOCAL else "centernet-heatmap"
    rows = [
        row
        for start in range(0, len(logits), 512)
        for row in ask(loss, impl, logits[start : start + 512], target, dtype="float16", backend=backend)
    ]
    zeros = [row for row in rows if row.value == 0]

    assert len(rows) > 1700
    assert LOST not in {row.outcome for row in rows}
    assert len(zeros) > 500
    assert all(abs(row.exact.rounded) < FLOAT16.smallest_normal for row in zeros)


@pytest.mark.parametrize(("edges", "halvings"), [(CANCELS, (21, 48)), (SATURATES, (24, 53))], ids=["cancels", "saturates"])
def test_the_pinned_floats_follow_from_arithmetic(edges, halvings):
    """The term is at most 2^-h, half an ulp of what it is added to, at the pinned float, and an ulp above it before."""
    term = (lambda m, x: m.softplus(-x)) if edges is CANCELS else (lambda m, x: m.exp(-x))
    for name, h in zip(("float32", "float64"), halvings, strict=True):
        dtype, first = FORMATS[name], abs(float.fromhex(edges[name]))
        excess = [
            exact_value(lambda m, x, z, h=h: term(m, x) * 2**h - 1, [Term(logit, 0.0)], {}, FLOAT64).rounded
            for logit in (dtype.neighbour(first, -1), first)
        ]

        assert excess[0] > 2.0 ** (1 - dtype.precision)
        assert excess[1] < 0


# The sentences below the table ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("target", "bound"), [(0.0, 6.5), (0.5, 6.5), (1.0, 6.5), (FLOAT32.round(0.1), 8.5)])
def test_the_softplus_forms_stay_within_6_ulp(target, bound):
    """softplus(x) s(x)^2 (1-z)^4 and softplus(-x) s(-x)^2 in plain PyTorch: 6.1 ulp measured over ten million floats.

    Where 1 - z is not exact its fourth power adds another two.
    """
    logits = torch.cat(
        [torch.linspace(-28, 100, 1500), torch.linspace(-6, 6, 1500), torch.tensor([-16.881515502929688, 16.642431259155273])]
    )
    wrong = -logits if target == 1 else logits
    weight = 1.0 if target == 1 else (1 - torch.full_like(logits, target)) ** 4
    values = (F.softplus(wrong) * torch.sigmoid(wrong) ** 2 * weight).tolist()
    worst = 0.0
    for logit, value in zip(logits.tolist(), values, strict=True):
        exact = exact_loss("centernet-heatmap", logit, target, FLOAT32)
        if abs(exact.rounded) >= FLOAT32.smallest_normal:
            worst = max(worst, abs(ulp_error(value, exact, FLOAT32)))

    assert 2 < worst <= bound


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_clamp_and_abs_have_gradient_1_and_0_at_exactly_0(zero, backend):
    """max(x, 0) written as clamp(min=0), with abs: 1 where 1/2 is right and 0 where -1/2 is right."""
    negative, positive = (ask("bce", "tensorflow-formula", [zero], z, quantity="grad", backend=backend)[0] for z in (0.0, 1.0))

    assert (negative.value, negative.exact.rounded, negative.outcome) == (1.0, 0.5, MUCH)
    assert (positive.value, positive.exact.rounded, positive.outcome) == (0.0, -0.5, LOST)


@pytest.mark.parametrize(
    "softplus",
    [
        F.softplus,
        lambda x: torch.logaddexp(x, torch.zeros_like(x)),
        lambda x: torch.maximum(x, torch.zeros_like(x)) + torch.log1p(torch.exp(-torch.maximum(x, -x))),
    ],
    ids=["softplus", "logaddexp", "maximum"],
)
def test_softplus_logaddexp_and_maximum_have_gradient_one_half_at_0(softplus):
    """Their subgradient at a tie is the mean of both sides, which is the true derivative here."""
    x = torch.zeros(3, requires_grad=True)
    softplus(x).sum().backward()

    assert x.grad.tolist() == [0.5, 0.5, 0.5]


def test_softplus_of_pytorch_is_the_identity_above_20_which_float64_sees():
    """At the first float64 above 20 it drops e^-20 = 2.1e-9, which is more than 500,000 ulp; float32 cannot see it."""
    above = math.nextafter(20.0, 21.0)
    for logit, dtype, low, high in ((20.0, FLOAT64, 0, 1), (above, FLOAT64, 5e5, 7e5), (FLOAT32.neighbour(20.0, 1), FLOAT32, 0, 1)):
        value = F.softplus(torch.tensor([logit], dtype=getattr(torch, dtype.name))).item()
        error = abs(ulp_error(value, exact_loss("bce", logit, 0.0, dtype), dtype))

        assert low <= error <= high


@pytest.mark.parametrize("function", [torch.sigmoid, F.softplus], ids=["sigmoid", "softplus"])
def test_the_vector_body_and_the_scalar_tail_differ_by_2_ulp_at_most(function):
    """One value 67 times in a tensor: the body agrees with itself, the tail is within 2 ulp of it.

    How many values differ is a property of the processor and of the build; on some it may be none.
    """
    for logit in torch.linspace(-10, 10, 400).tolist():
        values = function(torch.full((67,), logit)).tolist()
        body, tail = set(values[:32]), values[-1]

        assert len(body) == 1
        assert abs(FLOAT32.ordinal(body.pop()) - FLOAT32.ordinal(tail)) <= 2


def test_the_sigmoid_of_pytorch_is_0_from_88_73_where_the_exact_value_is_a_subnormal():
    """1 / (1 + e^-x) with e^-x = inf: `flushed`, as the gradient of bce with logits shows; at -88.72 it is not yet."""
    rows = ask("bce", WITH_LOGITS, [-88.72, -88.73, -100.0], 0.0, quantity="grad")

    assert [row.outcome for row in rows[1:]] == [FLUSHED, FLUSHED]
    assert rows[0].value > 0
    assert 0 < rows[1].exact.rounded < FLOAT32.smallest_normal
    assert torch.sigmoid(torch.full((64,), -88.73)).max().item() == 0


def test_eager_pytorch_on_the_cpu_keeps_subnormals():
    """The loss at -100 is 3.8e-44, and the stable implementation returns it."""
    row = evaluate("bce", "stable", logit=-100.0, target=0.0, backends=("torch",))

    assert row.outcome is Outcome.OK
    assert 0 < row.value < FLOAT32.smallest_normal
