"""The user's own losses in TensorFlow, JAX, Keras and PaddlePaddle: found to be of that framework, called, differentiated, judged.

Each kind is skipped where its framework is not installed, unless LOSSCHECK_REQUIRE_FRAMEWORKS names it, or is 1 for TensorFlow and
JAX. What needs no framework runs everywhere: which one a callable uses, and a process that dies.
"""

import json
import math
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

import losscheck
from losscheck.backends import extras
from losscheck.callables import apart
from losscheck.callables.frameworks import uses
from losscheck.callables.implementation import own_implementation
from losscheck.callables.loading import load
from losscheck.core import registry
from losscheck.core.call_spec import PLAIN_CALL, CallSpec
from losscheck.core.dtypes import FORMATS
from losscheck.core.outcome import Outcome
from losscheck.core.request import Subject
from losscheck.measure.call import Caller

HERE = Path(__file__).parent
BCE = registry.loss_named("bce")
LOGITS = [-30.0, -3.25, -0.5, 0.125, 0.75, 4.0, 17.0]
SAID = os.environ.get("LOSSCHECK_REQUIRE_FRAMEWORKS", "")
REQUIRED = ["tensorflow", "jax"] if SAID == "1" else SAID.split(",")

pytestmark = pytest.mark.usefixtures("plain_surroundings")


def needs(*names):
    """Skipped with the reason where a framework is not installed and need not be."""
    absent = [name for name in names if not extras.installed(name)]
    return pytest.mark.skipif(bool(absent) and not set(absent) & set(REQUIRED), reason=f"not installed: {', '.join(absent)}")


def own(framework, name):
    return f"{HERE}/own_{framework}.py:{name}"


def output(spec, dtype="float32", *, mode="eager", target=1.0, call_spec=PLAIN_CALL, backends=()):
    """What a callable returns, and its gradient."""
    implementation = own_implementation(spec, BCE, call_spec, backends)
    subject = Subject(implementation, implementation.backends[0], "cpu", mode)
    return Caller(BCE, subject, {"pos_weight": 1.0}, FORMATS[dtype])(np.array(LOGITS), target)


def softplus(x):
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def right(target):
    """Losses and gradients in float64, by the definition."""
    losses = [target * softplus(-x) + (1 - target) * softplus(x) for x in LOGITS]
    grads = [-target / (1 + math.exp(x)) + (1 - target) / (1 + math.exp(-x)) for x in LOGITS]
    return losses, grads


# Which framework ------------------------------------------------------------------------------------------------------


def of_neither(logits, targets):
    return logits * targets


def imports_inside(logits, targets):
    import jax.numpy as jnp

    return jnp.exp(logits)


def numpy_of_a_tensor(logits, targets):
    """The method of that name is no import of the package."""
    return torch.sigmoid(logits) * float(targets.numpy().sum())


class Callable:
    def __call__(self, logits, targets):
        return helper(logits, targets)


def helper(logits, targets):
    return torch.exp(logits)


@pytest.mark.parametrize(
    ("target", "backends"),
    [
        (torch.nn.functional.binary_cross_entropy_with_logits, ("torch",)),
        (torch.nn.BCEWithLogitsLoss, ("torch",)),
        (torch.nn.BCEWithLogitsLoss(), ("torch",)),
        (np.exp, ("numpy",)),
        (of_neither, ()),
        (imports_inside, ("jax",)),
        (numpy_of_a_tensor, ("torch",)),
        (Callable, ("torch",)),
        (Callable(), ("torch",)),
        (Callable().__call__, ("torch",)),
        (partial(helper, targets=None), ("torch",)),
        (lambda logits, targets: helper(logits, targets) + np.float32(1), ("torch", "numpy")),
        (len, ()),
    ],
    ids=[
        "torch-function", "torch-class", "torch-module", "ufunc", "operators-alone", "import-inside", "method-called-numpy", "own-class",
        "own-instance", "method", "partial", "torch-and-numpy", "builtin",
    ],
)  # fmt: skip
def test_the_framework_shows_in_the_callable(target, backends):
    """Its module, the classes it is made of, what its code names and imports, what it calls; gradients first."""
    assert uses(target) == backends


# JAX, TensorFlow, Keras, PaddlePaddle ---------------------------------------------------------------------------------

EVERY = [
    pytest.param("jax", "bce", "jax", marks=needs("jax")),
    pytest.param("jax", "jitted", "jax", marks=needs("jax")),
    pytest.param("jax", "mean", "jax", marks=needs("jax")),
    pytest.param("tensorflow", "bce", "tensorflow", marks=needs("tensorflow")),
    pytest.param("tensorflow", "graph", "tensorflow", marks=needs("tensorflow")),
    pytest.param("tensorflow", "branching", "tensorflow", marks=needs("tensorflow")),
    pytest.param("tensorflow", "Module", "tensorflow", marks=needs("tensorflow")),
    pytest.param("tensorflow", "mean", "tensorflow", marks=needs("tensorflow")),
    pytest.param("keras", "bce", "", marks=needs("keras")),
    pytest.param("keras", "FromLogits", "", marks=needs("keras")),
    pytest.param("paddle", "bce", "paddle", marks=needs("paddle")),
    pytest.param("paddle", "Layer", "paddle", marks=needs("paddle")),
    pytest.param("paddle", "mean", "paddle", marks=needs("paddle")),
]


@pytest.mark.parametrize("mode", ["eager", "compile"])
@pytest.mark.parametrize(("framework", "name", "backend"), EVERY)
def test_a_callable_of_each_framework_is_called_and_differentiated(framework, name, backend, mode):
    """Loss and gradient as the definition has them, by the framework's own autodiff, as written and compiled."""
    spec = own(framework, name)
    if framework == "keras":
        import keras

        backend = keras.config.backend()
    assert own_implementation(spec, BCE, PLAIN_CALL).backends == (backend,)
    for target in (0.0, 1.0):
        found = output(spec, mode=mode, target=target)
        losses, grads = right(target)

        assert found.loss.tolist() == pytest.approx(losses, rel=1e-5, abs=2e-7)
        assert found.grad.tolist() == pytest.approx(grads, rel=1e-5, abs=2e-7)


@needs("jax")
def test_float64_is_computed_in_float64_by_jax():
    """JAX has it only where 64-bit types are switched on: around the trial, the call and what is compiled."""
    for mode in ("eager", "compile"):
        found = output(own("jax", "bce"), "float64", mode=mode)

        assert found.loss_dtype.name == "float64"
        assert found.loss.tolist() == pytest.approx(right(1.0)[0], rel=1e-12, abs=1e-14)


@needs("tensorflow")
@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "float16"])
def test_other_dtypes_go_in_and_come_out(dtype):
    """A TensorFlow function that stays in the dtype of its logits is judged in it."""
    assert output(own("tensorflow", "bce"), dtype).loss_dtype.name == dtype


@needs("tensorflow")
def test_probabilities_are_the_frameworks_own():
    """--input probabilities: tf.sigmoid stands before it, and the gradient goes through it."""
    found = output(own("tensorflow", "on_probabilities"), call_spec=CallSpec(input="probabilities"), target=0.0)

    assert found.grad.tolist()[:6] == pytest.approx(right(0.0)[1][:6], rel=1e-3, abs=1e-6)


@needs("jax")
def test_a_gradient_that_is_stopped_is_said():
    """JAX returns zeros for it: no gradient and not one that is lost."""
    report = losscheck.compare(own("jax", "detached"), loss="bce", logit=[1.0, 2.0])

    assert [row.outcome for row in report.rows if row.quantity == "grad"] == [Outcome.UNAVAILABLE] * 2
    assert "no gradient reaches the logits" in report.rows[-1].reason


@needs("jax", "optax")
@pytest.mark.parametrize(
    ("spec", "loss"),
    [("optax:sigmoid_binary_cross_entropy", "bce"), (own("jax", "focal"), "weighted-focal"), (own("jax", "part"), "weighted-focal")],
)
def test_check_recognises_a_callable_of_jax(spec, loss):
    """No flag needed: its loss, its parameters, its framework."""
    (row, *_) = losscheck.check(spec, dtype="float32").ranking

    assert (row.loss, row.backend, row.sure) == (loss, "jax", True)
    assert row.params.get("gamma", 1.5 if "part" in spec else 2.0) == (1.5 if "part" in spec else 2.0)


@needs("tensorflow")
def test_check_recognises_a_function_of_tensorflow_with_its_labels_first():
    """tf.nn.sigmoid_cross_entropy_with_logits(labels, logits) is bce and harmless."""
    (row,) = losscheck.check("tensorflow.nn:sigmoid_cross_entropy_with_logits", dtype="float32").ranking

    assert (row.loss, row.backend, row.sure, row.harmful) == ("bce", "tensorflow", True, False)
    assert "targets first" in row.recognised


@needs("keras", "tensorflow", "jax")
@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_keras_runs_on_the_backend_that_is_named(backend):
    """It has one backend a process: --backend chooses it before Keras is imported, in processes of their own here."""
    words = ["compare", "--impl", own("keras", "bce"), "--loss", "bce", "--logit", "1.5", "--backend", backend, "--format", "json"]
    done = subprocess.run([sys.executable, "-m", "losscheck", *words], capture_output=True, text=True, timeout=300, check=False)

    assert done.returncode == 0, done.stderr
    assert {(row["backend"], row["outcome"]) for row in json.loads(done.stdout)["rows"]} == {(backend, "ok")}
    # Which loss it is can be found out on that backend, too.
    words = ["check", own("keras", "bce"), "--dtype", "float32", "--backend", backend, "--format", "json"]
    done = subprocess.run([sys.executable, "-m", "losscheck", *words], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert {(row["loss"], *row["backends"]) for row in json.loads(done.stdout)["rows"]} == {("bce", backend)}


@needs("jax")
def test_sweep_tensors_and_gate_take_them_too(call):
    """A range, a dumped batch and a case file; the same function in each."""
    spec = own("jax", "bce")
    swept = json.loads(call("sweep", "--impl", spec, "--loss", "bce", "--points", "20", "--target", "1", "--format", "json")[1])["rows"]
    torch.save((torch.tensor([1.0, -2.0]), torch.tensor([1.0, 0.0])), "batch.pt")
    code, dumped, err = call("compare", "--tensors", "batch.pt", "--impl", spec, "--loss", "bce", "--format", "json")
    Path("own_of_the_case.py").write_text(Path(spec.rpartition(":")[0]).read_text(encoding="utf-8"), encoding="utf-8")
    Path("case.yaml").write_text(
        "cases:\n- name: jax\n  loss: bce\n  implementations: ['own_of_the_case:bce']\n  points: {logits: [1, 2], targets: [1]}\n"
        "  expect: {max_ulp: 100}\n",
        encoding="utf-8",
    )

    assert {row["backend"] for row in swept} == {"jax"} and all(row["counts"] for row in swept)
    assert code == 0, err
    assert [row["counts"] for row in json.loads(dumped)["rows"]] == [{"ok": 2}] * 2
    assert call("gate", "case.yaml")[0] == 0


ADAPTED = [
    pytest.param("jax", "shaped", "shaped(pred=logits, gt=targets, anchors=jnp.ones_like(logits)", marks=needs("jax")),
    pytest.param("jax", "parts", 'parts(jax.nn.sigmoid(logits), targets)["cls"]', marks=needs("jax")),
    pytest.param("tensorflow", "shaped", "shaped(pred=logits, gt=targets, anchors=tf.ones_like(logits)", marks=needs("tensorflow")),
    pytest.param("tensorflow", "parts", 'parts(tf.sigmoid(logits), targets)["cls"]', marks=needs("tensorflow")),
    pytest.param("keras", "shaped", "shaped(pred=logits, gt=targets, anchors=", marks=needs("keras")),
    pytest.param("keras", "Rows", ".stack([1 - targets, targets], -1), ", marks=needs("keras")),
]


@pytest.mark.parametrize(("framework", "name", "written"), ADAPTED)
def test_a_wrapper_for_a_callable_of_each_framework_runs(framework, name, written):
    """Written in the words of its framework, and judged there as the loss it is."""
    adaptation = losscheck.adapt(own(framework, name), output="wrapper.py")
    (row,) = losscheck.check("wrapper.py:loss", dtype="float32").ranking

    assert adaptation.serves and written in Path("wrapper.py").read_text(encoding="utf-8")
    assert (row.loss, row.sure, row.reason) == ("bce", True, "") and row.effect is not None
    assert row.backend == framework or framework == "keras"


@pytest.mark.parametrize("framework", [pytest.param(name, marks=needs(name)) for name in ("jax", "tensorflow", "keras")])
def test_labels_of_minus_1_and_1_are_found_in_each_framework(framework):
    """Without an option, where it asserts them and where it does not."""
    (row,) = losscheck.check(own(framework, "signed"), dtype="float32").ranking

    assert "targets as signs" in row.recognised and (row.loss, row.harmful, row.targets) == ("bce", False, (0.0, 1.0))


# What has no gradient, and what dies ----------------------------------------------------------------------------------


def test_a_numpy_callable_is_swept_and_checked_on_its_loss(call):
    """It carries no gradient: that is said, and takes nothing along."""
    spec = f"{HERE}/own_losses.py:in_numpy"
    code, out, _ = call("sweep", "--impl", spec, "--loss", "bce", "--points", "20", "--target", "0", "--format", "json")
    loss, grad = json.loads(out)["rows"]
    checked = losscheck.check(spec, dtype="float32")

    assert code == 0 and loss["counts"] and loss["reason"] == ""
    assert not grad["counts"] and "has no gradient on numpy" in grad["reason"]
    assert checked.ranking[0].effect is not None
    assert any("numpy arrays carry no gradient" in remark for remark in checked.remarks)


MORTAL = """
import os
import torch

def aborts(logits, targets):
    os.abort()

def survives(logits, targets):
    print("a word from the other process")
    return torch.nn.functional.softplus(logits) - logits * targets

def raises(logits, targets):
    raise ValueError("not today")
"""


def test_what_ends_the_process_is_a_row_with_its_last_words(monkeypatch, call):
    """As a callable of paddle that is given something else: SIGABRT is told, and what stands beside it is judged."""
    monkeypatch.setattr(apart, "FRAMEWORKS", ("torch",))
    Path("mortal.py").write_text(MORTAL, encoding="utf-8")
    words = [word for name in ("aborts", "survives", "raises") for word in ("--impl", f"mortal.py:{name}")]
    code, out, err = call("compare", *words, "--loss", "bce", "--logit", "1.5", "--target", "1", "--format", "json")
    rows = {(row["implementation"].rpartition(":")[2], row["quantity"]): row for row in json.loads(out)["rows"]}

    assert code == 0
    assert "it ended the process it ran in (SIGABRT)" in rows["aborts", "loss"]["reason"]
    assert rows["survives", "loss"]["outcome"] == rows["survives", "grad"]["outcome"] == "ok"
    assert "ValueError: not today" in rows["raises", "loss"]["reason"]
    assert "a word from the other process" in err


@needs("paddle")
def test_a_callable_of_paddle_given_tensors_of_torch_is_a_row():
    """It ends the process (exit 134 in a shell): here it is told, with the exception that nobody caught."""
    report = losscheck.compare([own("paddle", "bce"), "stable"], loss="bce", logit=1.5, target=1, backend="torch")
    theirs, ours = ([row for row in report.rows if (row.implementation == "stable") is named] for named in (False, True))

    assert {row.outcome for row in ours} == {Outcome.OK}
    assert all(row.outcome is Outcome.UNAVAILABLE and "ended the process" in row.reason for row in theirs)


@needs("paddle")
def test_a_name_of_paddle_is_loaded_from_its_package():
    """paddle.nn.functional:binary_cross_entropy_with_logits, which takes the mean."""
    spec = "paddle.nn.functional:binary_cross_entropy_with_logits"

    assert uses(load(spec).target) == ("paddle",)
    assert own_implementation(spec, BCE, PLAIN_CALL).published.weights == "mean"
