"""Each adapter behaves as the code it stands for: the published lines, typed here once more, give the same bits.

The snippets below are copied from their sources by hand and share nothing with losscheck/implementations.
"""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from losscheck.core.dtypes import FLOAT32, FLOAT64, FORMATS
from losscheck.core.outcome import Outcome
from losscheck.core.reductions import exact_weights
from losscheck.core.registry import implementations, loss_named
from losscheck.core.request import Subject, listed
from losscheck.measure.call import Caller
from losscheck.measure.compare import compare
from losscheck.oracle.refine import Term, exact_value

DTYPES = list(FORMATS)
# 128 logits, moderate and failing ones, and as many soft and hard targets.
LOGITS = (
    [round(-12 + 24 * n / 112, 3) for n in range(112)]
    + [0.0, -0.0, 17.0, -17.0, 40.0, -40.0, 95.0, -95.0, 110.0, -110.0, 1e4, -1e4]
    + [20.5] * 4
)
HARD = [float(n % 3 == 0) for n in range(128)]
SOFT = [(n % 5) / 4 for n in range(128)]


# The published code -----------------------------------------------------------------------------------------------


class WeightedFocalLoss(nn.Module):
    """The focal loss of a walk-through, as printed."""

    def __init__(self, alpha=0.25, gamma=2):
        super().__init__()
        self.alpha = torch.tensor([alpha, 1 - alpha])
        self.gamma = gamma

    def elements(self, inputs, targets):
        bce_loss = F.binary_cross_entropy_with_logits(inputs, targets, reduction="none")
        targets = targets.type(torch.long)
        at = self.alpha.gather(0, targets.data.view(-1))
        pt = torch.exp(-bce_loss)
        return at * (1 - pt) ** self.gamma * bce_loss

    def forward(self, inputs, targets):
        return self.elements(inputs, targets).mean()


def neg_terms(pred, gt):
    """The two products of CenterNet's _neg_loss before they are summed."""
    pos_inds = gt.eq(1).float()
    neg_inds = gt.lt(1).float()
    neg_weights = torch.pow(1 - gt, 4)
    pos_loss = torch.log(pred) * torch.pow(1 - pred, 2) * pos_inds
    neg_loss = torch.log(1 - pred) * torch.pow(pred, 2) * neg_weights * neg_inds
    return pos_loss, neg_loss, pos_inds


def neg_loss(pred, gt):
    loss = 0
    pos_loss, neg_loss, pos_inds = neg_terms(pred, gt)
    num_pos = pos_inds.float().sum()
    pos_loss = pos_loss.sum()
    neg_loss = neg_loss.sum()
    return loss - neg_loss if num_pos == 0 else loss - (pos_loss + neg_loss) / num_pos


def neg_elements(pred, gt):
    pos_loss, neg_loss, _ = neg_terms(pred, gt)
    return -(pos_loss + neg_loss)


def guarded(x):
    return torch.clamp(x.sigmoid(), min=1e-4, max=1 - 1e-4)


def yolo(logit, target, pos_weight=1.0):
    return nn.BCEWithLogitsLoss(pos_weight=torch.tensor([pos_weight], dtype=logit.dtype))(logit, target)


def probabilities(p, z):
    return z * -torch.log(p) + (1 - z) * -torch.log(1 - p)


def expanded(x, z, log_term):
    return z * log_term + (1 - z) * (x + log_term)


ELEMENTS = {
    "torch-bce-with-logits": lambda x, z: F.binary_cross_entropy_with_logits(x, z, reduction="none"),
    "torch-sigmoid-bceloss": lambda x, z: nn.BCELoss(reduction="none")(nn.Sigmoid()(x), z),
    "weighted-focal-loss": lambda x, z: WeightedFocalLoss().elements(x, z).to(x.dtype),
    "centernet-neg-loss": lambda x, z: neg_elements(torch.sigmoid(x), z).to(x.dtype),
    "centernet-neg-loss-clamped": lambda x, z: neg_elements(guarded(x), z).to(x.dtype),
    "naive": lambda x, z: probabilities(1 / (1 + torch.exp(-x)), z),
    "expanded": lambda x, z: expanded(x, z, torch.log(1 + torch.exp(-x))),
    "shifted": lambda x, z: (1 - z) * x + torch.log(1 + torch.exp(-x)),
    "unshifted": lambda x, z: -x * z + torch.log(1 + torch.exp(x)),
    "tensorflow-formula": lambda x, z: torch.clamp(x, min=0) - x * z + torch.log(1 + torch.exp(-torch.abs(x))),
}
WHOLES = {
    "torch-bce-with-logits": yolo,
    "torch-sigmoid-bceloss": lambda x, z: nn.BCELoss()(nn.Sigmoid()(x), z),
    "weighted-focal-loss": WeightedFocalLoss(),
    "centernet-neg-loss": lambda x, z: neg_loss(torch.sigmoid(x), z),
    "centernet-neg-loss-clamped": lambda x, z: neg_loss(guarded(x), z),
}


# Helpers ----------------------------------------------------------------------------------------------------------


def implementation_named(name, loss=""):
    return next(
        implementation for implementation in implementations() if implementation.name == name and implementation.loss.startswith(loss)
    )


def loss_of(name):
    return "bce" if name in ("naive", "expanded", "shifted", "unshifted", "tensorflow-formula") else ""


def run(one, logits, targets, dtype, *, backend="torch", params=None, reduction="none", shape=()):
    """The adapter through its backend: losses and gradients as floats."""
    loss = loss_named(one.loss)
    caller = Caller(loss, Subject(one, backend, "cpu"), loss.resolve(params or {}, FORMATS[dtype]), FORMATS[dtype])
    return caller(logits, targets) if reduction == "none" else caller.whole(logits, targets, reduction, shape or ())


def published_code(function, logits, targets, dtype, shape=None):
    """The snippet's losses and the gradients of their sum, as floats."""
    kind = getattr(torch, dtype)
    x = torch.tensor(logits, dtype=torch.float64).to(kind).reshape(shape or (len(logits),)).requires_grad_()
    z = torch.tensor(targets, dtype=torch.float64).to(kind).reshape(shape or (len(logits),))
    value = function(x, z)
    (grad,) = torch.autograd.grad(value.sum(), x)
    return value.detach().to(kind).double().flatten().tolist(), grad.double().flatten().tolist()


def bits(values):
    """Comparable to the bit: every NaN alike, -0 apart from +0."""
    return [float(value).hex() for value in values]


def targets_for(name):
    return HARD if name == "weighted-focal-loss" else SOFT


# The same bits ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ELEMENTS)
def test_the_elements_have_the_bits_of_the_published_lines(name, dtype):
    """Losses and gradients, moderate and failing logits, NaN and infinities included."""
    result = run(implementation_named(name, loss_of(name)), LOGITS, targets_for(name), dtype)
    loss, grad = published_code(ELEMENTS[name], LOGITS, targets_for(name), dtype)

    assert bits(result.loss) == bits(loss)
    assert bits(result.grad) == bits(grad)


def takes(name, shape):
    """WeightedFocalLoss weighs by a flat tensor, which broadcasts against [N] and [N, 1] alone."""
    return name != "weighted-focal-loss" or shape[1:] in ((), (1,))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("name", "shape"),
    [(name, shape) for name in WHOLES for shape in ((128,), (128, 1), (2, 64), (2, 1, 8, 8)) if takes(name, shape)],
    ids=str,
)
def test_the_whole_has_the_bits_of_the_published_function(name, shape, dtype):
    """One number and its gradients, under the published reduction, on every shape the published code takes."""
    logits = [max(min(logit, 6.0), -6.0) for logit in LOGITS]
    result = run(implementation_named(name), logits, targets_for(name), dtype, shape=shape, reduction="published")
    loss, grad = published_code(WHOLES[name], logits, targets_for(name), dtype, shape)

    assert bits(result.loss) == bits(loss)
    assert bits(result.grad) == bits(grad)


@pytest.mark.parametrize("shape", [(2, 64), (4, 4, 8)], ids=str)
def test_weighted_focal_loss_refuses_other_shapes_as_the_published_one_does(shape):
    """The flat weights do not broadcast against [2, 64]: an error in both, `unavailable` with its words in a report."""
    with pytest.raises(RuntimeError, match="must match"):
        published_code(WHOLES["weighted-focal-loss"], LOGITS, HARD, "float32", shape)
    with pytest.raises(RuntimeError, match="must match"):
        run(implementation_named("weighted-focal-loss"), LOGITS, HARD, "float32", shape=shape, reduction="published")

    row = compare(
        listed(
            ("weighted-focal",),
            LOGITS,
            HARD,
            impl=("weighted-focal-loss",),
            shape=shape,
            reduction="published",
            quantities=("loss",),
        )
    )[0]
    assert row.outcome is Outcome.UNAVAILABLE
    assert "must match" in row.reason


@pytest.mark.parametrize("name", ["centernet-neg-loss", "centernet-neg-loss-clamped"])
def test_neg_loss_without_a_positive_is_not_divided(name):
    """num_pos = 0: minus the sum of the negative terms."""
    logits, targets = LOGITS[:64], [target * 0.9 for target in SOFT[:64]]
    result = run(implementation_named(name), logits, targets, "float32", reduction="published")

    assert bits(result.loss) == bits(published_code(WHOLES[name], logits, targets, "float32")[0])


@pytest.mark.parametrize("pos_weight", [0.25, 3.0])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_function_and_the_module_take_pos_weight_alike(pos_weight, dtype):
    """YOLOv5's module, and F.binary_cross_entropy_with_logits with pos_weight, to the bit."""
    one, params = implementation_named("torch-bce-with-logits"), {"pos_weight": pos_weight}
    weight = torch.tensor([pos_weight], dtype=getattr(torch, dtype))

    def function(x, z):
        return F.binary_cross_entropy_with_logits(x, z, reduction="none", pos_weight=weight)

    assert bits(run(one, LOGITS, SOFT, dtype, params=params).loss) == bits(published_code(function, LOGITS, SOFT, dtype)[0])
    assert bits(run(one, LOGITS[:112], SOFT[:112], dtype, params=params, reduction="published").loss) == bits(
        published_code(lambda x, z: yolo(x, z, pos_weight), LOGITS[:112], SOFT[:112], dtype)[0]
    )


@pytest.mark.parametrize(("alpha", "gamma"), [(0.5, 0.5), (0.1, 3.0), (0.25, 0.0)])
def test_weighted_focal_loss_takes_its_parameters_as_published(alpha, gamma):
    """WeightedFocalLoss(alpha, gamma) for other values, NaN gradients of gamma < 1 included."""
    one, x32 = implementation_named("weighted-focal-loss"), FLOAT32.round(alpha)
    result = run(one, LOGITS, HARD, "float32", params={"alpha": alpha, "gamma": gamma})
    loss, grad = published_code(WeightedFocalLoss(x32, gamma).elements, LOGITS, HARD, "float32")

    assert bits(result.loss) == bits(loss)
    assert bits(result.grad) == bits(grad)


def test_the_steps_of_the_derivation_have_the_bits_of_numpy():
    """The same formulas typed in numpy, float32 and float64."""
    formulas = {
        "expanded": lambda x, z: z * np.log(1 + np.exp(-x)) + (1 - z) * (x + np.log(1 + np.exp(-x))),
        "shifted": lambda x, z: (1 - z) * x + np.log(1 + np.exp(-x)),
        "unshifted": lambda x, z: -x * z + np.log(1 + np.exp(x)),
        "tensorflow-formula": lambda x, z: np.maximum(x, 0) - x * z + np.log(1 + np.exp(-np.abs(x))),
    }
    for dtype in ("float32", "float64"):
        x, z = np.array(LOGITS, dtype), np.array(SOFT, dtype)
        for name, formula in formulas.items():
            with np.errstate(all="ignore"):
                expected = formula(x, z).astype(np.float64).tolist()

            assert bits(run(implementation_named(name), LOGITS, SOFT, dtype, backend="numpy").loss) == bits(expected), name


def tensorflow_lines(x, z):
    """The rewrite on logits, with TensorFlow's softplus: x above log(eps) + 2, exp(x) below minus that."""
    threshold = -(math.log(np.finfo(x.dtype).eps) + 2)

    def softplus(y):
        return np.where(y > threshold, y, np.where(y < -threshold, np.exp(y), np.log1p(np.exp(y))))

    s = 1 / (1 + np.exp(-x))
    positive = softplus(-x) * (1 - s) ** 2
    negative = (x + softplus(-x)) * s**2 * (1 - z) ** 4
    return np.where(z == 1, positive, negative)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_tensorflow_rewrite_has_the_bits_of_its_lines_in_numpy(dtype):
    """Elementwise, and as the mean over samples of sums divided by their positives, 0 where there is none."""
    one = implementation_named("centernet-tf-logits")
    x, z = np.array(LOGITS, dtype).reshape(4, 32), np.array(SOFT, dtype).reshape(4, 32)
    z[3][z[3] == 1] = 0.5
    with np.errstate(all="ignore"):
        cells = tensorflow_lines(x, z)
    positives = (z == 1).sum(1)
    moderate = np.clip(x, -6, 6)
    sums = tensorflow_lines(moderate, z).sum(1)
    whole = np.mean([total / count if count else 0.0 for total, count in zip(sums, positives, strict=True)])
    targets = z.astype(np.float64).flatten().tolist()
    result = run(one, moderate.astype(np.float64).flatten().tolist(), targets, dtype, backend="numpy", shape=(4, 32), reduction="published")

    assert positives.tolist()[3] == 0
    assert bits(run(one, LOGITS, targets, dtype, backend="numpy").loss) == bits(cells.astype(np.float64).flatten().tolist())
    assert result.loss[0] == pytest.approx(whole, rel=1e-6 if dtype == "float32" else 1e-15)


# Own formulas, own weights, own gradients -------------------------------------------------------------------------

BATCHES = [
    ((6,), (1.0, 0.0, 1.0, 0.0, 0.0, 1.0)),
    ((6, 1), (1.0, 0.0, 1.0, 0.0, 0.0, 1.0)),
    ((6,), (0.0,) * 6),
    ((2, 3), (1.0, 0.0, 1.0, 0.0, 0.0, 0.0)),
    ((3, 2), (1.0, 1.0, 0.0, 1.0, 0.0, 0.0)),
    ((2, 3), (1.0, 0.5, 1.0, 0.25, 0.75, 1.0)),
]
PUBLISHED = [implementation for implementation in implementations() if implementation.published and "torch" in implementation.backends]


@pytest.mark.parametrize(
    ("one", "shape", "targets"),
    [
        pytest.param(implementation, shape, targets, id=f"{implementation.name}-{shape}-{n}")
        for implementation in PUBLISHED
        for n, (shape, targets) in enumerate(BATCHES)
        if takes(implementation.name, shape)
    ],
)
def test_exact_weights_times_own_formula_are_the_published_whole(one, shape, targets):
    """In float64 the whole and each of its gradients are the weighted exact elements, to a relative 1e-12."""
    question = listed(
        (one.loss,), (-2.0, -0.5, 0.25, 1.0, 3.0, -3.5), targets, impl=(one.name,), backends=("torch",), dtypes=("float64",),
        reduction="published", shape=shape,
    )  # fmt: skip
    rows = compare(question)

    assert [row.quantity for row in rows] == ["loss"] + ["grad"] * 6
    # What the whole does beside its elements, else what each of these does.
    assert {row.note for row in rows} == {one.published.note or one.note}
    for row in rows:
        assert abs(row.relative_error) < 1e-12, (row.quantity, row.value, row.exact.decimal(20))


def test_the_weights_of_each_reduction_are_what_they_are_called():
    """mean 1/N, sum 1, normalised 1 over the positives; published is the loss's own where nothing else is."""
    heatmap, targets = loss_named("centernet-heatmap"), (1.0, 0.5, 1.0, 0.0)
    rewrite = implementation_named("centernet-tf-logits")
    params = heatmap.resolve({}, FLOAT64)

    assert exact_weights(heatmap, None, "mean", targets, (4,), params) == [Fraction(1, 4)] * 4
    assert exact_weights(heatmap, None, "sum", targets, (4,), params) == [Fraction(1)] * 4
    assert exact_weights(heatmap, None, "normalised", targets, (4,), params) == [Fraction(1, 2)] * 4
    assert exact_weights(heatmap, None, "normalised", (0.0, 0.5), (2,), params) == [Fraction(1)] * 2
    assert exact_weights(heatmap, None, "published", targets, (4,), params) == [Fraction(1, 2)] * 4
    assert exact_weights(heatmap, rewrite, "published", targets, (2, 2), params) == [Fraction(1, 2)] * 4
    assert exact_weights(heatmap, rewrite, "published", (1.0, 1.0, 0.0, 0.0), (2, 2), params) == [Fraction(1, 4)] * 2 + [0] * 2


EXPLICIT = [
    implementation for implementation in implementations() if implementation.gradient and {"numpy", "torch"} <= set(implementation.backends)
]
MODERATE = [-5 + 10 * n / 63 for n in range(64)]


@pytest.mark.parametrize("one", EXPLICIT, ids=lambda value: f"{value.loss}-{value.name}")
@pytest.mark.parametrize("number", [0.5, 1.0, 2.0, 3.0])
def test_an_explicit_gradient_is_the_derivative_of_its_function(one, number):
    """In float64 at moderate logits numpy's explicit gradient and torch's autograd agree, whichever parameter has the number."""
    loss = loss_named(one.loss)
    given = [{parameter.name: number} for parameter in loss.parameters if parameter.takes(number)] or [{}]
    for target, params in itertools.product((0.0, 1.0) if loss.hard_targets else (0.0, 0.3, 1.0), given):
        numpy, autograd = (run(one, MODERATE, [target] * 64, "float64", backend=backend, params=params) for backend in ("numpy", "torch"))

        assert numpy.grad == pytest.approx(autograd.grad, rel=1e-9, abs=1e-14)
        assert numpy.loss == pytest.approx(autograd.loss, rel=1e-9, abs=1e-14)


def test_every_numpy_implementation_has_an_explicit_gradient():
    """Without one a row would be unavailable on numpy."""
    assert all(implementation.gradient for implementation in implementations() if "numpy" in implementation.backends)


@pytest.mark.parametrize(
    "one",
    [implementation for implementation in implementations() if "torch" in implementation.backends],
    ids=lambda value: f"{value.loss}-{value.name}",
)
def test_an_own_formula_is_what_the_function_computes(one):
    """In float64 at moderate logits a function returns its own exact formula, and the formula's exact gradient."""
    loss = loss_named(one.loss)
    params = loss.resolve({}, FLOAT64)
    for target in (0.0, 1.0) if loss.hard_targets else (0.0, 0.3, 1.0):
        result = run(one, MODERATE, [target] * 64, "float64")
        for index in range(0, 64, 5):
            term = [Term(MODERATE[index], target)]
            exact = exact_value(one.formula or loss.formula, term, params, FLOAT64)
            slope = exact_value(
                one.formula_gradient or one.formula or loss.formula, term, params, FLOAT64, differentiate=not one.formula_gradient
            )

            assert result.loss[index] == pytest.approx(exact.rounded, rel=1e-9)
            assert result.grad[index] == pytest.approx(slope.rounded, rel=1e-9, abs=1e-14)


@pytest.mark.parametrize("logit", [-120.0, -99.5, -40.0, -27.0, 27.0, 40.0, 99.5, 120.0])
@pytest.mark.parametrize("target", [0.0, 0.3, 1.0])
def test_the_floors_of_bceloss_are_in_its_own_formula(logit, target):
    """A logarithm at least -100; a gradient divided by at least 1e-12: what is blamed on rounding is rounding alone."""
    one, loss = implementation_named("torch-sigmoid-bceloss"), loss_named("bce")
    params = loss.resolve({}, FLOAT64)
    s, c = 1 / (1 + math.exp(-logit)), 1 / (1 + math.exp(logit))
    floored = target * min(math.log1p(math.exp(-logit)), 100.0) + (1 - target) * min(math.log1p(math.exp(logit)), 100.0)
    faded = ((1 - target) * s - target * c) * s * c / max(s * c, 1e-12)

    assert exact_value(one.formula, [Term(logit, target)], params, FLOAT64).rounded == pytest.approx(floored, rel=1e-12)
    assert exact_value(one.formula_gradient, [Term(logit, target)], params, FLOAT64).rounded == pytest.approx(faded, rel=1e-9)


@pytest.mark.parametrize("logit", [-30.0, -9.3, -9.2, 9.2, 9.3, 30.0])
@pytest.mark.parametrize("target", [0.0, 0.5, 1.0])
def test_the_guard_of_centernet_is_in_its_own_formula(logit, target):
    """p held in [1e-4, 1 - 1e-4], as float64 holds the two constants."""
    one, loss = implementation_named("centernet-neg-loss-clamped"), loss_named("centernet-heatmap")
    p = min(max(1 / (1 + math.exp(-logit)), 1e-4), 1 - 1e-4)
    expected = -math.log(p) * (1 - p) ** 2 if target == 1 else -math.log(1 - p) * p**2 * (1 - target) ** 4

    assert exact_value(one.formula, [Term(logit, target)], loss.resolve({}, FLOAT64), FLOAT64).rounded == pytest.approx(expected, rel=1e-9)


def test_every_published_implementation_names_its_source():
    """A flaw without a source is hearsay."""
    assert all(len(implementation.source) > 10 for implementation in implementations())
    assert all(implementation_named(name).source for name in WHOLES)
