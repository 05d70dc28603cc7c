"""Calling an implementation: what comes out is judged as what it is, and what is refused takes nothing along."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from losscheck.backends import Output
from losscheck.callables.implementation import own_implementation
from losscheck.core import registry
from losscheck.core.absence import Absence
from losscheck.core.call_spec import PLAIN_CALL, CallSpec
from losscheck.core.dtypes import BFLOAT16, FLOAT16, FLOAT32
from losscheck.core.loss import Implementation
from losscheck.core.outcome import Outcome
from losscheck.core.request import Subject, listed, swept
from losscheck.measure import engines
from losscheck.measure.absent import why_unavailable
from losscheck.measure.call import Caller
from losscheck.measure.compare import compare
from losscheck.measure.sweep import tasks_of

FILE = str(Path(__file__).with_name("own_losses.py"))
BCE, HEATMAP = registry.loss_named("bce"), registry.loss_named("centernet-heatmap")
PROBABILITIES = CallSpec(input="probabilities")

pytestmark = pytest.mark.usefixtures("plain_surroundings")


def own(name):
    return f"{FILE}:{name}"


# What comes out is what is judged -----------------------------------------------------------------------------------


def test_compare_judges_what_came_out():
    """CenterNet's masks promote float16: inf at logit 12, target 0, where float32 logits hide it."""
    question = listed((HEATMAP.name,), (12.0,), (0.0,), impl=(own("neg_loss"),), dtypes=("float16", "float32"), call_spec=PROBABILITIES)
    half, _, single, _ = compare(question)

    assert (half.dtype, half.logit_dtype, half.outcome, half.value) == ("float32", "float16", Outcome.INF, math.inf)
    assert (single.dtype, single.logit_dtype) == ("float32", "")
    assert math.isfinite(single.value)


def test_sweep_judges_what_came_out(call):
    """Every float16 logit, in float32; the gradient is one of the logits and stays in float16."""
    words = ("sweep", "--impl", own("neg_loss"), "--loss", "centernet-heatmap", "--input", "probabilities", "--dtype", "float16")
    _, out, _ = call(*words, "--target", "0", "--range", "11", "13", "--format", "json")
    loss, grad = json.loads(out)["rows"]

    assert (loss["dtype"], loss["logit_dtype"], grad["dtype"]) == ("float32", "float16", "float16")
    assert loss["reason"] == "" and loss["counts"]["inf"] > 0
    assert "float32 from float16 logits" in call(*words, "--target", "0", "--range", "11", "13")[1]


def test_a_batch_is_judged_in_what_came_out(call):
    """--tensors: the element is inf, and the row says in which dtype."""
    torch.save((torch.tensor([1.0, 12.0], dtype=torch.float16), torch.tensor([1.0, 0.0])), "batch.pt")
    words = ("compare", "--tensors", "batch.pt", "--impl", own("neg_loss"), "--loss", "centernet-heatmap", "--input", "probabilities")
    code, out, _ = call(*words, "--dtype", "float16", "--format", "json")
    loss = json.loads(out)["rows"][0]

    assert code == 0 and loss["dtype"] == "float32" and loss["logit_dtype"] == "float16"
    assert loss["counts"]["inf"] == 1


def test_a_gate_judges_what_came_out(call):
    """A case on float16 logits breaks on the inf."""
    Path("losses_of_the_case.py").write_text(Path(FILE).read_text(encoding="utf-8"), encoding="utf-8")
    Path("case.yaml").write_text(
        """cases:
- name: heatmap
  loss: centernet-heatmap
  implementations: ['losses_of_the_case:neg_loss']
  callable: {input: probabilities}
  dtypes: [float16]
  quantities: [loss]
  points: {logits: [12], targets: [0]}
  expect: {max_ulp: 100}
""",
        encoding="utf-8",
    )
    code, out, err = call("gate", "case.yaml")

    assert code == 1 and "inf" in out, (out, err)


@pytest.mark.parametrize(("name", "dtype"), [("widens", "float64"), ("narrows", "float16")])
def test_any_float_may_come_out(name, dtype):
    """Wider or narrower than the logits: its own limits apply."""
    loss, _ = compare(listed((BCE.name,), (1.5,), (0.0,), impl=(own(name),)))

    assert (loss.dtype, loss.logit_dtype, loss.outcome) == (dtype, "float32", Outcome.OK)


def test_an_implementation_is_judged_in_what_came_out_too():
    """Not only callables: a shipped function that promotes bfloat16."""
    one = Implementation("bce", "promotes", lambda xp, x, z, **_: (x * 0 + z).float(), "a test", ("torch",))
    output = Caller(BCE, Subject(one, "torch", "cpu"), {"pos_weight": 1.0}, BFLOAT16)((1.0, 2.0), 0.5)

    assert (output.loss_dtype, output.grad_dtype) == (FLOAT32, BFLOAT16)


# What is refused -----------------------------------------------------------------------------------------------------


def test_a_refused_point_stands_alone():
    """Halving finds it among a hundred; the others have the bits of a call without it."""
    implementation = own_implementation(own("raises_above_ten"), BCE, PLAIN_CALL)
    caller = Caller(BCE, Subject(implementation, "torch", "cpu"), {"pos_weight": 1.0}, FLOAT32)
    logits = np.linspace(-5, 5, 100, dtype=np.float32)
    whole = caller(logits, 1.0).loss
    logits[37] = 20.0
    pieces = list(caller.pieces(logits, 1.0))
    refused = [piece for piece in pieces if piece.refusal]

    assert [(piece.start, piece.stop) for piece in refused] == [(37, 38)]
    assert refused[0].refusal.absence is Absence.REFUSED and "too large" in refused[0].refusal.reason
    assert all((piece.output.loss == whole[piece.start : piece.stop]).all() for piece in pieces if not piece.refusal)
    assert [piece.start for piece in pieces[1:]] == [piece.stop for piece in pieces[:-1]] and pieces[-1].stop == 100


def test_a_missing_gradient_takes_no_element_of_a_batch_along(call):
    """--tensors: the losses are judged although the backward pass raises."""
    torch.save((torch.zeros(3), torch.ones(3)), "batch.pt")
    _, out, _ = call("compare", "--tensors", "batch.pt", "--impl", own("raises_backward"), "--loss", "bce", "--format", "json")
    loss, grad = json.loads(out)["rows"]

    assert loss["counts"] == {"ok": 3}
    assert not grad["counts"] and "no way back" in grad["reason"]


def test_the_kinds_of_absence_are_facts():
    """A parameter it does not take, a framework that is not here: told apart without their sentences."""
    bceloss = next(implementation for implementation in registry.implementations() if implementation.name == "torch-sigmoid-bceloss")

    assert why_unavailable(BCE, Subject(bceloss, "torch", "cpu"), {"pos_weight": 2.0}).absence is Absence.PARAMETER
    assert why_unavailable(BCE, Subject(bceloss, "torch", "cuda:99"), {"pos_weight": 1.0}).absence is Absence.NOT_HERE
    assert why_unavailable(BCE, Subject(bceloss, "torch", "cpu"), {"pos_weight": 1.0}) is None


# NaN logits ----------------------------------------------------------------------------------------------------------


class Numbers:
    """A caller that returns numbers for NaN in its loss, its gradient, both or neither."""

    def __init__(self, loss, grad):
        self.loss, self.grad = loss, grad

    def __call__(self, logits, target):
        assert np.isnan(logits).all() and len(logits)
        return Output(*(np.full(len(logits), 1.0 if number else np.nan) for number in (self.loss, self.grad)), FLOAT16, FLOAT16)


@pytest.mark.parametrize("quantities", [("loss", "grad"), ("loss",), ("grad",)])
@pytest.mark.parametrize("loss", [False, True])
@pytest.mark.parametrize("grad", [False, True])
def test_a_nan_made_a_number_in_either_quantity_is_counted(monkeypatch, quantities, loss, grad):
    """`and` for `or` would hide a gradient that is a number beside a loss that is NaN; a quantity not asked for counts for nothing."""
    (task,) = tasks_of(
        swept(("bce",), "-1", "1", impl=("stable",), backends=("numpy",), targets=("0",), dtypes=("float16",), quantities=quantities)
    )
    monkeypatch.setattr(engines, "caller_of", lambda task: Numbers(loss, grad))
    points, wrong = engines.count_nans(task)

    assert points == 2 * (2**10 - 1)
    assert wrong == (points if ("loss" in quantities and loss) or ("grad" in quantities and grad) else 0)


# --input -------------------------------------------------------------------------------------------------------------


def test_input_is_for_callables_alone():
    """A shipped implementation beside a callable on probabilities gets logits, as ever."""
    question = listed((BCE.name,), (1.5, -3.0), (0.0, 1.0), impl=(own("on_probabilities"), "stable"), call_spec=PROBABILITIES)
    plain = compare(listed((BCE.name,), (1.5, -3.0), (0.0, 1.0), impl=("stable",)))
    rows = compare(question)

    assert [row.value for row in rows if row.implementation == "stable"] == [row.value for row in plain]
    assert all(row.outcome is Outcome.OK for row in rows if row.implementation != "stable")


# Tried out -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "divided", "coupled"), [("averaged", True, True), ("coupled", False, True), ("good", False, False)])
def test_a_loss_divided_by_the_number_of_logits_is_told_from_one_that_mixes_them(name, divided, coupled):
    """Both have to be called with each logit alone; only one of them is divided."""
    adapted = own_implementation(own(name), BCE, PLAIN_CALL).function
    probe = adapted.probe(torch, torch.zeros(1))

    assert (probe.divided, probe.coupled, probe.alone) == (divided, coupled, coupled)


@pytest.mark.parametrize("fails", [False, True], ids=["returns", "raises"])
def test_the_threads_of_pytorch_are_given_back(fails):
    """A test suite or a notebook that computes on one thread after the first comparison."""
    before, seen = torch.get_num_threads(), []

    def watched(xp, logit, target, **params):
        seen.append(torch.get_num_threads())
        if fails:
            raise RuntimeError("no kernel")
        return logit * target

    implementation = Implementation("bce", "watched", watched, source="", backends=("torch",))
    loss = registry.loss_named("bce")
    caller = Caller(loss, Subject(implementation, "torch", "cpu"), loss.resolve({}, FLOAT32), FLOAT32, gradient=False)
    torch.set_num_threads(2)
    try:
        assert [bool(piece.refusal) for piece in caller.pieces((1.5,), (1.0,))] == [fails]
        assert (torch.get_num_threads(), {*seen}) == (2, {1})
    finally:
        torch.set_num_threads(before)
