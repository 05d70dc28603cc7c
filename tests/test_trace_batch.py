"""A dumped batch traced: every op beside float64, every element judged as exact arithmetic judges it, one element followed."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given
from hypothesis import strategies as st
from tracing_losses.classification import textbook_bce

import losscheck
from losscheck.advice.elements import verdicts_on
from losscheck.core.dtypes import FLOAT16, FLOAT32
from losscheck.core.error import ulp_error
from losscheck.core.exact import Exact, Kind
from losscheck.core.outcome import Outcome
from losscheck.filter.classify import CODES
from losscheck.tracing.comparing import compared
from losscheck.tracing.judging import outcomes_of
from losscheck.tracing.shadow import screened

GALLERY = Path(__file__).parents[1] / "docs" / "gallery"


# The screen -----------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.floats(width=32), st.floats(-1e6, 1e6)), min_size=1, max_size=9), st.sampled_from([FLOAT16, FLOAT32]))
def test_errors_are_ulp(pairs, dtype):
    """Of every pair, against the integers of core.error; NaN and infinities in place of numbers are bad."""
    computed = torch.tensor([pair[0] for pair in pairs], dtype=torch.float64).to(getattr(torch, dtype.name))
    wide = torch.tensor([pair[1] for pair in pairs], dtype=torch.float64)
    errors = []
    for value, exact in zip(computed.tolist(), wide.tolist(), strict=True):
        rounds_to_infinity = math.isinf(dtype.round(exact))
        if not math.isfinite(value):
            errors.append(0.0 if rounds_to_infinity else math.inf)
        else:
            numerator, denominator = exact.as_integer_ratio()
            middle = (numerator, 1 - denominator.bit_length())
            errors.append(abs(ulp_error(value, Exact(Kind.FINITE, dtype.round(exact), middle), dtype)) if exact or value else 0.0)
    verdict = compared(computed, wide, dtype)
    off = [error for error in errors if error > 8 or error != error]

    if any(8 < error < 8.01 or math.isnan(error) for error in errors):
        return
    assert verdict.off == len(off)
    assert verdict.bad == sum(math.isinf(error) for error in errors)
    if off:
        assert verdict.worst == pytest.approx(max(errors), rel=1e-6)
        assert errors[verdict.at] == max(errors)


@pytest.mark.parametrize("before", [0.0, 1e3])
@pytest.mark.parametrize(
    ("exact", "value", "off"),
    [
        (1.0 + 2**-24, 1.0 + 9 * 2**-23, 8.5),  # 9 floats, and 8 from what the exact value rounds to
        (2.0 - 2**-23, 2.0 + 4 * 2**-22, 9.0),  # 5 floats: above 2 they lie twice as far apart
        (-2.0 + 2**-23, -2.0 - 4 * 2**-22, 9.0),
        (1.0, 1.0 + 8 * 2**-23, 0.0),
        (1.0, -1.0, 2.0**24),
        (0.0, -0.0, 0.0),
        (1e-45, 0.0, 0.0),
    ],
)
def test_what_is_off_does_not_depend_on_its_neighbours(exact, value, off, before):
    """An element that is off and looks near by its bits, alone or after a block that is off."""
    size = 2**15
    wide = torch.full((2 * size,), 3.0, dtype=torch.float64)
    computed = wide.float()
    computed[5] += before
    wide[size + 7], computed[size + 7] = exact, value
    verdict, alone = compared(computed, wide, FLOAT32), compared(computed[size:], wide[size:], FLOAT32)

    assert verdict.off == bool(before) + (off > 0)
    assert (alone.off, alone.worst, alone.bad) == ((1, off, 0) if off else (0, 0.0, 0))
    assert not off or alone.at == 7


def test_the_screen_names_op_and_element():
    """One saturated logit among many: the ops off are those of the trace, and it is the worst of each."""
    x, z = torch.linspace(-1.5, 1.5, 5000), torch.zeros(5000)
    x[1234] = 30.0
    ops = {op.place.text: op for op in screened(textbook_bce, x, z).ops if not op.backward}

    assert ops["torch.sigmoid(x)"].off == 0
    assert (ops["1 - p"].off, ops["1 - p"].bad, ops["1 - p"].at) == (1, 0, 1234)
    assert ops["torch.log(1 - p)"].bad == 1
    assert ops["torch.log(1 - p)"].worst == math.inf
    assert ops["torch.log(1 - p)"].wide == pytest.approx(-30, abs=0.01)  # float64 loses a little of it itself


def test_the_screen_follows_memory():
    """In-place ops, views, casts and slices: on a loss that rounds nothing away no op is off."""

    def moved(x, z):
        y = torch.empty_like(x).copy_(x)
        y[::2] *= 0.5
        y.view(-1, 2)[:, 1].add_(z[::2])
        rows = torch.cat([y[:10], y[10:]]).reshape(2, -1).t().contiguous()
        return (F.softplus(rows.double()).float() * rows.new_ones(rows.shape)).sum()

    screen = screened(moved, torch.linspace(-3, 3, 100), torch.full((100,), 0.5))

    assert screen.error is None
    assert len(screen.ops) > 5
    assert [op.place.text for op in screen.ops if op.off] == []


def test_the_screen_keeps_what_ran_before_an_exception():
    """The ops until there, and what was raised."""

    def raises(x, z):
        torch.log(1 - torch.sigmoid(x))
        raise ValueError("in the middle")

    screen = screened(raises, torch.full((10,), 30.0), torch.zeros(10))

    assert str(screen.error) == "in the middle"
    assert screen.ops[-1].bad == 10


# Elements -------------------------------------------------------------------------------------------------------------


def bce(x, z):
    p = torch.sigmoid(x)
    return -(z * torch.log(p) + (1 - z) * torch.log(1 - p))


def heatmap(x, z):
    p = torch.sigmoid(x)
    positive = torch.log(p) * torch.pow(1 - p, 2) * z.eq(1).float()
    return -(positive + torch.log(1 - p) * torch.pow(p, 2) * torch.pow(1 - z, 4) * z.lt(1).float())


def rewrite(x, z):
    p = torch.sigmoid(x)
    positive = F.softplus(-x) * (1 - p) ** 2 * (z == 1).float()
    return positive + (x + F.softplus(-x)) * p**2 * (1 - z) ** 4 * (z < 1).float()


def focal(gamma):
    def function(x, z):
        loss = F.binary_cross_entropy_with_logits(x, z, reduction="none")
        return (0.75 * z + 0.25 * (1 - z)) * (1 - torch.exp(-loss)) ** gamma * loss

    return function


def torchvision(x, z, alpha=0.25, gamma=2.0):
    p = torch.sigmoid(x)
    loss = F.binary_cross_entropy_with_logits(x, z, reduction="none")
    p_t = p * z + (1 - p) * (1 - z)
    return (alpha * z + (1 - alpha) * (1 - z)) * loss * ((1 - p_t) ** gamma)


SIX = {"bce": bce, "heatmap": heatmap, "rewrite": rewrite, "focal 2": focal(2), "focal 0.5": focal(0.5), "torchvision": torchvision}
GRID = np.linspace(-110, 110, 128).astype(np.float32).astype(np.float64)
PAIRS = np.concatenate([GRID, GRID]), np.concatenate([np.zeros_like(GRID), np.ones_like(GRID)])


def exactly(function):
    """By (quantity, element) the outcome of a tape run exactly: another arithmetic, on the program as it is written."""
    x, z = (torch.tensor(values, dtype=torch.float32) for values in PAIRS)
    return {(quantity.name, quantity.index): quantity for quantity in outcomes_of(function, x, z)}


@pytest.mark.parametrize("name", SIX)
def test_every_element_is_judged_as_exact_arithmetic_does(name):
    """Over [-110, 110] at targets 0 and 1: none missed, none false, nothing undecided, and few are run exactly for it."""
    verdicts = verdicts_on(SIX[name], *PAIRS, FLOAT32)
    exact = exactly(SIX[name])
    judged = {(quantity, index): CODES[code] for quantity in ("loss", "grad") for index, code in enumerate(getattr(verdicts, quantity))}

    assert {key for key, outcome in judged.items() if outcome is not exact[key].outcome} == set()
    assert sum(quantity.outcome.failed for quantity in exact.values()) > 50
    assert verdicts.asked < 0.15 * len(PAIRS[0])


def test_the_control_a_float64_run_of_the_program_misses():
    """What float32 loses float64 loses a little later: of the failing values most are missed."""
    missed = failing = 0
    for function in SIX.values():
        x = torch.tensor(PAIRS[0], dtype=torch.float64, requires_grad=True)
        loss = function(x, torch.tensor(PAIRS[1]))
        (grad,) = torch.autograd.grad(loss.sum(), x)
        wide = {"loss": loss.detach(), "grad": grad}
        for (quantity, index), known in exactly(function).items():
            if known.outcome.failed:
                failing += 1
                beside = float(wide[quantity][index])
                missed += not abs(beside - known.exact.rounded) <= 1e-6 * abs(known.exact.rounded)

    assert missed > failing / 4


def softmax_by_hand(x, z):
    return -(torch.log(torch.softmax(x, 1)) * z).sum(1)


MOVED = torch.tensor([3, 0, 2, 1])
# What is computed of several elements of a batch; by their values alone, some look like one.
TOGETHER = {
    "flip": lambda x, z: (x * x.flip(0)).sum(),
    "the targets flipped": lambda x, z: F.binary_cross_entropy_with_logits(x, z.flip(0)),
    "returned as elements": lambda x, z: F.softplus(x) * F.softplus(x).flip(0),
    "roll": lambda x, z: F.softplus(x.roll(1) - x).mean(),
    "sort": lambda x, z: (x.sort().values * z).sum(),
    "gather": lambda x, z: (F.softplus(x) * x.gather(0, MOVED)).sum(),
    "x[idx]": lambda x, z: (F.softplus(x) + z * x[MOVED]).sum(),
    "x[idx], one twice": lambda x, z: F.softplus(x[MOVED[[0, 0, 1, 2]]]).sum(),
    "some alone": lambda x, z: F.softplus(x[z == 1]).sum(),
    "pairs": lambda x, z: F.softplus(x[:, None] - x[None, :]).mean(),
    "a mean taken off": lambda x, z: F.softplus(x - x.mean()).sum(),
    "a number that Python took out": lambda x, z: F.softplus(x - x.max().item()).mean(),
    "a ratio of sums": lambda x, z: 1 - 2 * (torch.sigmoid(x) * z).sum() / (torch.sigmoid(x).sum() + z.sum()),
    "a function of the sum": lambda x, z: F.softplus(x).sum() ** 2,
}
APART = {
    "sorted as a whole": lambda x, z: F.softplus(x).sort().values.mean(),
    "both flipped": lambda x, z: (F.softplus(x.flip(0)) * z.flip(0)).sum(),
    "by the number of positives": lambda x, z: (F.softplus(x) * z).sum() / z.sum().clamp(min=1),
    "by that as a number": lambda x, z: (F.softplus(x) * z).sum() / max(1, z.sum().item()),
    "in two parts": lambda x, z: F.softplus(-x[z == 1]).sum() + F.softplus(-x[z == 0]).sum(),
    "row by row": lambda x, z: (F.softplus(x) * z).sum(-1).mean(),
}


@pytest.mark.parametrize("name", [*TOGETHER, *APART])
def test_elements_are_judged_apart_where_none_has_a_part_in_another(name):
    """By the positions that each is made of: planted permutations, ratios and sums are no element's own."""
    pairs = np.array([2.0, -3.0, 0.5, 1.0]), np.array([1.0, 0.0, 0.0, 1.0])

    assert (verdicts_on({**TOGETHER, **APART}[name], *pairs, FLOAT32) is not None) == (name in APART)


def test_a_batch_of_rows_and_columns_is_asked_in_its_own_shape():
    """x.t() moves nothing on one axis."""

    def transposed(x, z):
        return (F.softplus(x) - x.t() * z).mean()

    pairs = np.linspace(-2, 2, 16), np.zeros(16)

    assert verdicts_on(transposed, *pairs, FLOAT32, (4, 4)) is None
    assert verdicts_on(transposed, *pairs, FLOAT32) is not None


def test_elements_that_depend_on_each_other_are_run_exactly_together():
    """A softmax over classes is no term over x and z: of a batch with one saturated row that row fails, and the trace is of the call."""
    x, z = torch.linspace(-2, 2, 24).reshape(6, 4), torch.eye(4)[[0, 1, 2, 3, 0, 1]]
    x[3, 0] = 200.0
    advice = losscheck.trace(softmax_by_hand, tensors=(x, z))
    text = " ".join(advice.explain().split())

    assert verdicts_on(softmax_by_hand, *PAIRS, FLOAT32) is None
    assert advice.batch.counts["loss"] == {Outcome.OK: 5, Outcome.NAN: 1}
    assert advice.batch.counts["grad"] == {Outcome.OK: 20, Outcome.NAN: 4}
    assert [index[0] for index in advice.batch.first] == [3] * 4
    assert len(advice.trace.logits) == 24
    assert advice.trace.causes
    assert "all were run exactly in one call, and are traced so" in text
    assert "all 24 elements of the batch in one call" in text


def test_too_many_that_depend_on_each_other_are_told_so():
    """What was not judged is said."""
    x = torch.linspace(-3, 3, 3 * 3000).reshape(3000, 3)
    advice = losscheck.trace(softmax_by_hand, tensors=(x, torch.ones_like(x)))

    assert advice.batch.counts is None
    assert "none is judged, and the trace is of one element by itself" in " ".join(advice.explain().split())


def test_of_float64_every_element_is_judged_and_no_op_screened():
    """Nothing wider stands beside it, and that is said."""
    x = torch.full((8,), 2.0, dtype=torch.float64)
    advice = losscheck.trace(bce, tensors=(x, torch.zeros_like(x)))

    assert advice.batch.counts["loss"] == {Outcome.OK: 8}
    assert "no format wider than the batch stands beside its ops" in " ".join(advice.explain().split())


@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "float16"])
def test_other_dtypes_are_judged_too(dtype):
    """In each the saturated element is found."""
    x = torch.full((64,), 2.0).to(getattr(torch, dtype))
    x[17] = 40.0
    advice = losscheck.trace(bce, tensors=(x, torch.zeros_like(x)))

    assert (advice.trace.dtype, advice.batch.index, advice.batch.failing >= 1) == (dtype, (17,), True)
    assert advice.batch.counts["grad"][Outcome.NAN] == 1


# The command ----------------------------------------------------------------------------------------------------------

pytestmark = pytest.mark.usefixtures("plain_surroundings")


@pytest.fixture
def dumped():
    """A heatmap of [2, 3, 4, 5] with one poisoned cell."""
    shutil.copy(GALLERY / "heatmap.py", "heatmap.py")
    x, z = torch.linspace(-2, 2, 120).reshape(2, 3, 4, 5), torch.zeros(2, 3, 4, 5)
    x[1, 2, 0, 3] = 30.0
    torch.save({"logits": x, "targets": z}, "batch.pt")
    return "heatmap.py:heatmap_loss", "--tensors", "batch.pt"


def test_the_worst_element_is_traced_and_the_batch_told(call, dumped):
    """Cause, place and cure of the one that poisons; how many fail, where, and at which op."""
    code, out, err = call("trace", *dumped)
    told = " ".join(out.split())

    assert (code, err) == (0, "")
    assert "at logit 30, target 0, element [1, 2, 0, 3] of batch.pt, the worst" in told
    assert "cause: saturation" in told
    assert "gradient: 1 nan" in told
    assert "1 of 120" in told
    assert max(map(len, out.split("--- a/")[0].splitlines())) <= 80


@pytest.mark.parametrize("index", ["1,2,0,3", "103"])
def test_an_element_is_traced_by_its_index(call, dumped, index):
    """As it stands in the tensor, or by its position; the others are not looked at."""
    document = json.loads(call("trace", *dumped, "--index", index, "--format", "json")[1])

    assert (document["logits"], document["targets"]) == ([30.0], [0.0])
    assert document["batch"]["given"]
    assert document["batch"]["outcomes"] == {}


def test_json_has_every_op_of_the_batch(call, dumped):
    """Those that are off, or all."""
    some, every = (json.loads(call("trace", *dumped, "--format", "json", *more)[1])["batch"] for more in ((), ("--all",)))

    assert 0 < len(some["ops"]) < len(every["ops"]) == every["ops_recorded"]
    assert some["first"][0] == [1, 2, 0, 3]
    assert {op["index"] and tuple(op["index"]) for op in some["ops"] if op["elements"] == 120} == {(1, 2, 0, 3)}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--index", "2,0,0,0"), "from 0,0,0,0 to 1,2,3,4"),
        (("--index", "1,2"), "no element of a batch of shape [2, 3, 4, 5]"),
        (("--index", "x"), "whole numbers with commas"),
        (("3",), "keep one of them"),
        (("--target", "1"), "keep one of them"),
        (("--names", "logits=pred"), "pred"),
    ],
)
def test_a_mistake_about_a_dump_is_one_message(call, dumped, words, told):
    """With what to write."""
    code, out, err = call("trace", *dumped, *words)

    assert (code, out) == (2, "")
    assert told in err


def test_an_index_needs_a_dump(call):
    """It is of nothing else."""
    code, _, err = call("trace", "centernet-neg-loss", "3", "--index", "0")

    assert code == 2
    assert "add --tensors FILE" in err
