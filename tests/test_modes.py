"""How an implementation is run: modes of PyTorch, which backends and extras are asked, and what the rows say."""

import json
import math
import sys

import numpy as np
import pytest
import torch
from asked import select
from hypothesis import given
from hypothesis import strategies as st

from losscheck.backends import BACKENDS, LANES, MODES, Output, backend_named, extras, parse_mode, torch_modes
from losscheck.core import registry
from losscheck.core.dtypes import BFLOAT16, FLOAT32, FORMATS
from losscheck.core.errors import UserError
from losscheck.core.loss import Implementation, Published
from losscheck.core.outcome import Outcome
from losscheck.core.request import Subject, listed, swept
from losscheck.inventory.subnormals import KINDS, flushed_in, treatment_text
from losscheck.measure.call import LARGE, SMALL, TAIL, Caller
from losscheck.measure.compare import compare, evaluate, subjects
from losscheck.measure.sweep import tasks_of

BCE = registry.loss_named("bce")
LOGITS = [-40.0, -15.0, -4.25, -1.0, 0.0, 0.5, 3.0, 15.0, 40.0]


def ask(*names, logits=LOGITS, target=0.0, **more):
    return compare(listed(("bce",), logits, (target,), impl=names, **more))


def caller(one, dtype=FLOAT32, mode="eager", params=None):
    return Caller(BCE, Subject(one, "torch", "cpu", mode), BCE.resolve(params or {}, dtype), dtype)


def an_implementation(function, **more):
    return Implementation("bce", "under-test", function, "a test", ("torch",), **more)


@pytest.fixture
def absent(monkeypatch):
    """A machine on which neither extra is installed."""
    real = extras.installed
    monkeypatch.setattr(extras, "installed", lambda module: module not in ("tensorflow", "jax", "optax") and real(module))


# Names ------------------------------------------------------------------------------------------------------------


def test_every_mode_is_one_of_a_backend_and_has_no_other():
    """A mode that nothing runs, or one that --mode refuses."""
    known = {mode for name in BACKENDS for mode in backend_named(name).modes}

    assert known == set(MODES)
    assert all(backend_named(name).modes[0] == "eager" for name in BACKENDS)
    assert [parse_mode(mode) for mode in MODES] == list(MODES)


@pytest.mark.parametrize("text", ["", "jit", "Eager", "autocast", "autocast:float32", "compile:"])
def test_another_mode_is_refused_with_the_nearest(text):
    """`autocast` alone would need a dtype; `compile:` is a slip."""
    with pytest.raises(UserError, match="unknown mode"):
        parse_mode(text)


# torch.compile ----------------------------------------------------------------------------------------------------


def test_compiled_code_runs_and_is_judged_in_its_own_row():
    """The loss that PyTorch loses is lost compiled too; every row tells its mode."""
    rows = ask("torch-bce-with-logits", logits=[-15.0, 0.5], modes=("eager", "compile"))

    assert [row.mode for row in rows] == ["eager"] * 4 + ["compile"] * 4
    assert [row.outcome for row in rows if row.quantity == "loss"] == [Outcome.LOST, Outcome.OK] * 2
    assert rows[0].logit_dtype == ""


def test_functions_of_one_place_are_all_compiled(monkeypatch):
    """After eight compilations of one code object PyTorch falls back to eager, which would be judged as compiled."""
    compiled = []

    def count(graph, inputs):
        compiled.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", lambda function, real=torch.compile, **more: real(function, backend=count, **more))
    for n in range(12):
        call = torch_modes.moded(lambda xp, x, z, n=n: x * n + z, "compile", {})

        assert call(torch.ones(64), torch.ones(64)).tolist() == [n + 1.0] * 64
    assert len(compiled) == 12


def test_without_a_compiler_the_row_says_so(monkeypatch):
    """The reason and the cure instead of a page from the C++ driver."""
    monkeypatch.setenv("CXX", "no-such-compiler")
    rows = ask("torch-bce-with-logits", logits=[1.0], modes=("eager", "compile"))

    assert [row.outcome for row in rows] == [Outcome.OK] * 2 + [Outcome.UNAVAILABLE] * 2
    assert "needs a C++ compiler and finds no no-such-compiler; install g++" in rows[2].reason


def test_what_cannot_be_compiled_whole_is_refused():
    """PyTorch runs in eager what its compiler cannot take; judged as compiled that would be a lie."""

    def branching(xp, x, z, *, pos_weight):
        return x if x.sum() > 0 else z

    one, params = torch.ones(3), {"pos_weight": 1.0}

    assert torch_modes.moded(branching, "eager", params)(one, one).tolist() == [1.0] * 3
    with pytest.raises(RuntimeError, match="branching"):
        torch_modes.moded(branching, "compile", params)(one, one)


# torch.autocast ---------------------------------------------------------------------------------------------------


def test_autocast_is_judged_in_the_dtype_that_came_out():
    """PyTorch's loss of bfloat16 logits is float32 under autocast: what bfloat16 allows is no excuse there."""
    loss, grad = ask("torch-bce-with-logits", logits=[-4.15625], dtypes=("bfloat16",), modes=("autocast:bfloat16",))
    expected = torch.nn.functional.binary_cross_entropy_with_logits(torch.tensor(-4.15625), torch.tensor(0.0))

    assert (loss.dtype, loss.logit_dtype, grad.dtype, grad.logit_dtype) == ("float32", "bfloat16", "bfloat16", "")
    assert loss.value == pytest.approx(expected.item(), rel=1e-5) and loss.value != BFLOAT16.round(loss.value)
    assert loss.exact.rounded == FLOAT32.round(math.log1p(math.exp(-4.15625)))


def test_autocast_of_float32_logits_changes_nothing_and_says_so(call):
    """The bits of eager; one note with the dtype that would show something."""
    eager = [row.value for row in ask("torch-bce-with-logits")]
    code, out, err = call("compare", "--impl", "torch-bce*", "--logit", "1", "--mode", "autocast:bfloat16")

    assert [row.value for row in ask("torch-bce-with-logits", modes=("autocast:bfloat16",))] == eager
    assert code == 0 and "autocast:bfloat16" in out
    assert err.count("losscheck: ") == 1 and "add --dtype bfloat16" in err


def test_a_sweep_under_autocast_is_one_of_the_logits_dtype_judged_in_the_other(call):
    """Every bfloat16 logit, 34194 of them, against float32 limits; the gradient stays in bfloat16."""
    words = ("sweep", "--loss", "bce", "--impl", "torch-bce*", "--target", "0", "--dtype", "bfloat16", "--mode", "autocast:bfloat16")
    code, out, err = call(*words, "--format", "json")
    loss, grad = json.loads(out)["rows"]

    assert (code, err) == (0, "")
    assert [(row["mode"], row["dtype"], row["logit_dtype"]) for row in (loss, grad)] == [
        ("autocast:bfloat16", "float32", "bfloat16"),
        ("autocast:bfloat16", "bfloat16", "bfloat16"),
    ]
    assert loss["points"] == grad["points"] == 34194
    assert {worst["dtype"] for worst in loss["worst"]} == {"float32"}
    lost = [region["last"] for region in loss["regions"] if region["outcome"] == "lost"]
    assert lost == [-14.5625]  # the first bfloat16 beyond 21 ln 2 = 14.556, where float32 loses it
    assert "float32 from bfloat16 logits" in call(*words)[1]


# torch.func.vmap --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("impl", ["stable", "torch-bce-with-logits", "torch-sigmoid-bceloss"])
def test_vmap_computes_the_same_formula(impl):
    """Element by element it is eager, to a few ulp; BCE's weight tensor of one element makes no second axis."""
    rows = ask(impl, logits=[-4.0, 0.5, 3.0], backends=("torch",), modes=("vmap",))

    assert len(rows) == 6
    assert all(row.outcome is Outcome.OK or abs(row.relative_error) < 1e-4 for row in rows), rows


def test_vmap_of_a_published_whole_is_unavailable_with_the_reason():
    """A whole is no element: the row says so."""
    one = an_implementation(lambda xp, x, z, **_: x, published=Published(lambda xp, x, z, **_: x.sum(), "sum"))
    with pytest.raises(NotImplementedError, match="vmap maps elements"):
        caller(one, mode="vmap").whole([1.0, 2.0], [0.0, 0.0], "published")


# The same bits by every route -------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["compile", "vmap", "autocast:bfloat16"])
def test_a_sweep_and_a_comparison_get_the_same_bits(mode):
    """Floats as sequences and as arrays: a finding of sweep is found again by compare."""
    (one,) = select([BCE], ["torch-bce-with-logits"])
    rows = ask(one.name, modes=(mode,))
    loss, grad, *_ = caller(one, mode=mode)(np.array(LOGITS + LOGITS[-1:] * 55, np.float32), 0.0)

    assert [row.value for row in rows if row.quantity == "loss"] == loss[: len(LOGITS)].tolist()
    assert [row.value for row in rows if row.quantity == "grad"] == grad[: len(LOGITS)].tolist()


class Fake:
    """A backend that notes the lengths it is called with: twice the logit plus the target, and three times the logit."""

    lanes = LANES

    def __init__(self, compiled):
        self.compiled_by_shape, self.lengths = ("compile",) if compiled else (), []

    def prepare(self, invocation):
        def call(logits, targets):
            self.lengths.append(len(logits))
            assert np.ndim(targets) == 0 or len(targets) == len(logits)
            return Output(logits * 2 + targets, logits * 3 if invocation.gradient else None, FLOAT32, FLOAT32)

        return call


COUNTS = st.sampled_from([1, 2, 63, 64, 65, 1000, SMALL, SMALL + 1, 3 * SMALL - 1, LARGE, LARGE + 1, 2 * LARGE])


@given(COUNTS, st.booleans(), st.booleans(), st.sampled_from(["compile", "tail", "body"]))
def test_blocks_are_of_two_lengths_and_lose_no_element(count, gradient, one_target, how):
    """Every element comes back once, in order and beside its target; whatever compiles for each shape compiles twice."""
    backend, logits = Fake(how == "compile"), np.arange(count, dtype=np.float32)
    targets = 0.5 if one_target else logits[::-1] / 4
    subject, layout = Subject(an_implementation(None), "torch", "cpu", "compile"), "tail" if how == "tail" else "body"
    call = Caller(BCE, subject, {}, FLOAT32, gradient=gradient, layout=layout)
    call.backend = backend
    loss, grad, *_ = call(logits, targets)

    assert loss.tolist() == (logits * 2 + targets).tolist()
    assert (grad is None) != gradient and (grad is None or grad.tolist() == (logits * 3).tolist())
    sizes = {"compile": {LARGE if count >= LARGE else SMALL}, "body": {-(-count // LANES) * LANES}, "tail": {TAIL, count % TAIL or TAIL}}
    assert set(backend.lengths) <= sizes[how]


# Which backends are asked -----------------------------------------------------------------------------------------


def names_of(question, **more):
    chosen = select(question.losses, question.impl, question.backends)
    return {(subject.implementation.name, subject.backend) for subject in subjects(question, chosen, **more)}


def test_what_is_not_installed_is_left_out_unless_it_was_named(absent):
    """No row of a missing extra in a table nobody asked for it in; the note counts what an extra would add."""
    everything = listed(("bce",), ["1"])
    by_name = listed(("bce",), ["1"], impl=("optax*", "stable"))

    assert not {backend for _, backend in names_of(everything)} & {"tensorflow", "jax"}
    assert names_of(by_name) == {("optax-sigmoid-bce", "jax"), ("stable", "numpy"), ("stable", "torch")}
    assert names_of(listed(("bce",), ["1"], impl=("stable",), backends=("jax",))) == {("stable", "jax")}


def test_a_missing_extra_is_a_row_with_its_cure(absent):
    """Named and not there: unavailable, and how to get it."""
    rows = compare(listed(("bce",), ["1"], impl=("optax-sigmoid-bce", "tensorflow-softplus"), quantities=("loss",)))

    assert [row.outcome for row in rows] == [Outcome.UNAVAILABLE] * 2
    assert [row.reason for row in rows] == [
        "JAX is not installed; pip install jax optax",
        "TensorFlow is not installed; pip install tensorflow",
    ]


def test_optax_missing_beside_jax_is_told_apart(monkeypatch):
    """JAX without optax runs `stable`, and not optax's losses."""
    monkeypatch.setattr(extras, "installed", lambda module: module != "optax")
    (optax,) = select([BCE], ["optax-sigmoid-bce"])
    (stable,) = select([BCE], ["stable"])

    assert extras.missing(optax, "jax") == "optax is not installed; pip install jax optax"
    assert extras.missing(stable, "jax") == ""


def test_something_in_the_place_of_a_module_is_not_installed(monkeypatch):
    """None in sys.modules, as people plant it to forbid an import."""
    monkeypatch.setitem(sys.modules, "jax", None)

    assert not extras.installed("jax")
    assert not extras.installed("no_such_module_at_all")


def test_a_sweep_asks_numpy_and_torch_unless_told_otherwise(monkeypatch):
    """With everything installed: TensorFlow and JAX sweep what is named and runs nowhere else, or by --backend."""
    monkeypatch.setattr(extras, "installed", lambda module: True)

    def backends(**more):
        tasks = tasks_of(swept(("bce",), "0", "1", targets=("0",), points=2, **more))
        return {(task.subject.implementation.name, task.subject.backend) for task in tasks}

    assert {backend for _, backend in backends()} == {"numpy", "torch"}
    assert backends(impl=("stable",)) == {("stable", "numpy"), ("stable", "torch")}
    assert backends(impl=("optax*",)) == {("optax-sigmoid-bce", "jax")}
    assert backends(impl=("stable",), backends=("jax",)) == {("stable", "jax")}


@pytest.mark.parametrize("command_name", ["compare", "sweep"])
def test_a_mode_that_nothing_selected_has_could_not_judge(call, command_name):
    """An empty selection is no success: exit 2, and which backends have the mode."""
    logit = ["--logit", "1"] if command_name == "compare" else []
    code, out, err = call(command_name, *logit, "--backend", "numpy", "--mode", "compile")

    assert (code, out) == (2, "")
    assert "nothing that was selected runs on cpu in the mode compile" in err
    assert "compile runs on torch, tensorflow, jax" in err


# What rows and tables say -----------------------------------------------------------------------------------------


def test_modes_are_told_in_table_and_json(call):
    """Only what is not eager is named; how many bits differ is counted between modes."""
    words = ("compare", "--loss", "bce", "--impl", "torch-bce*", "--logit", "-15", "--target", "0", "--mode", "eager", "--mode", "vmap")
    table, rows = call(*words)[1], json.loads(call(*words, "--format", "json")[1])["rows"]

    assert "torch-bce-with-logits      " in table and "torch-bce-with-logits vmap" in table
    assert "rows differ in bits between cpu and cpu vmap." in table
    assert "eager" not in table
    assert [(row["mode"], row["logit_dtype"]) for row in rows] == [("eager", "float32")] * 2 + [("vmap", "float32")] * 2
    assert "| torch-bce-with-logits vmap |" in call(*words, "--format", "markdown")[1]


# Subnormals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_numpy_and_torch_keep_subnormals(backend, dtype):
    """As inputs, products and results of exp, on the cpu."""
    assert flushed_in(backend, "eager", dtype) == ()


def test_the_probe_sees_a_processor_that_flushes():
    """The control: with the processor told to flush, PyTorch's float32 loses every kind."""
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot flush subnormals")
    try:
        assert flushed_in("torch", "eager", FLOAT32) == KINDS
        assert "FLUSHED in" in treatment_text("torch")
    finally:
        torch.set_flush_denormal(False)
    assert flushed_in("torch", "eager", FLOAT32) == ()


def test_a_mode_is_an_attribute_of_a_question():
    """`evaluate` takes it as any other."""
    assert evaluate("bce", "torch-bce-with-logits", logit=1.0, target=0.0, modes=("vmap",)).mode == "vmap"
