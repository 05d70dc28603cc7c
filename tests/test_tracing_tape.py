"""The recorder: places, elements, slopes that are cut, what leaves the trace, and every way a call can go wrong."""

import json
import linecache
import math
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch.utils.checkpoint import checkpoint

from losscheck.core.errors import UserError
from losscheck.tracing import trace
from losscheck.tracing.formula import Programs, derived_formula
from losscheck.tracing.notes import NoteKind
from losscheck.tracing.recording import record
from losscheck.tracing.replay import ExactRun
from losscheck.tracing.tape import OpKind


def recorded(function, logits=(0.5, -1.0), targets=(1.0, 0.0), dtype=torch.float32):
    return record(function, torch.tensor(logits, dtype=dtype), torch.tensor(targets, dtype=dtype))


def kinds(traced):
    return {note.kind for note in traced.notes}


def slopes(function, logits=(0.5, -1.0), targets=(1.0, 0.0)):
    """The exact gradient, and the one that came back."""
    recording = recorded(function, logits, targets, torch.float64)
    run = ExactRun(recording)
    return [float(slope) for slope in run.slopes.values()], [recording.tape.elements.computed[e] for e in recording.gradient]


# Places and ties ------------------------------------------------------------------------------------------------------


def test_an_op_has_the_sub_expression_that_it_is():
    """`1 - p`, and not only its line."""
    recording = recorded(lambda x, z: torch.log(1 - torch.sigmoid(x)).sum())
    texts = [op.place.text for op in recording.operations if op.kind == OpKind.EXACT and not op.backward]

    assert texts == ["torch.sigmoid(x)", "1 - torch.sigmoid(x)", "torch.log(1 - torch.sigmoid(x))", "torch.log(1 - torch.sigmoid(x)).sum()"]


def test_columns_are_characters_where_the_source_has_umlauts():
    """Python counts bytes."""
    recording = recorded(lambda x, z, größe=2.0: ("äöü", größe * x)[1].sum())
    place = next(op.place for op in recording.operations if op.name == "mul")

    assert place.text == "größe * x"
    assert linecache.getline(place.file, place.line)[place.column : place.end_column] == "größe * x"


def test_a_backward_op_is_tied_to_what_it_differentiates():
    """By name and place, without anomaly mode."""
    recording = recorded(lambda x, z: (torch.sigmoid(x) * torch.exp(x)).sum())
    backward = next(op for op in recording.operations if op.name == "sigmoid_backward")

    assert backward.backward
    assert recording.operations[backward.forward].name == "sigmoid"
    assert backward.place.text == "torch.sigmoid(x)"


class Squared(torch.autograd.Function):
    """A user's own backward pass."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * 2 * x


def test_lines_of_a_custom_backward_are_the_users():
    """Its ops stand where the user wrote them."""
    recording = recorded(lambda x, z: Squared.apply(x).sum())

    assert "grad * 2" in [op.place.text for op in recording.operations if op.backward]


@pytest.mark.parametrize(
    "function",
    [
        lambda x, z: Squared.apply(x).sum(),
        torch.nn.BCEWithLogitsLoss(),
        lambda x, z: checkpoint(lambda y: torch.exp(y) * y, x, use_reentrant=False).sum(),
        lambda x, z: torch.vmap(lambda a, b: F.softplus(a) - a * b)(x, z).mean(),
        lambda x, z: (x * 2).view(-1)[:1].mul_(3).sum() + x.clone().clamp_(max=1).sum(),
        lambda x, z: torch.where(z > 0.5, x, -x).exp().mean(),
        lambda x, z: x.gather(0, (z > 0.5).long()).pow(2).sum(),
        lambda x, z: torch.cat([x, z * x])[[0, 2, 3]].sum(),
        lambda x, z: torch.sort(x).values.cumsum(0).sum(),
        lambda x, z: F.cross_entropy(torch.stack([x, -x], 1), z.long()),
        lambda x, z: (x.max() - x.min()) * x.std(),
        lambda x, z: F.pad(x, (1, 1)).diff().abs().sum(),
    ],
)
def test_the_exact_run_agrees_with_float64(function):
    """Views, in-place ops, vmap, custom functions, checkpoints: values and slopes, by two ways."""
    recording = recorded(function, dtype=torch.float64)
    run = ExactRun(recording)
    exact, computed = slopes(function)

    assert [float(run.values[e]) for e in recording.loss] == pytest.approx([recording.tape.elements.computed[e] for e in recording.loss])
    assert exact == pytest.approx(computed)
    assert not recording.notes or {note.kind for note in recording.notes} <= {NoteKind.BRANCH}


# Slopes that are cut --------------------------------------------------------------------------------------------------


def under_no_grad(x, z):
    with torch.no_grad():
        weight = torch.sigmoid(x)
    return (weight * F.softplus(x)).sum()


@pytest.mark.parametrize(
    "function",
    [
        lambda x, z: (torch.sigmoid(x).detach() * F.softplus(x)).sum(),
        lambda x, z: (torch.sigmoid(x).detach().view(-1) * F.softplus(x)).sum(),
        lambda x, z: (x.detach() * x).sum(),
        under_no_grad,
    ],
)
def test_a_detached_value_has_no_slope(function):
    """Though it shares its memory with the one that has; and nothing is blamed for it."""
    exact, computed = slopes(function)

    assert exact == pytest.approx(computed)
    assert trace(function, [0.5, -1.0], [1.0, 0.0]).causes == ()


# What leaves the trace ------------------------------------------------------------------------------------------------


def by_numpy(x, z):
    weight = torch.from_numpy(np.exp(-x.detach().numpy()))
    return (weight * torch.sigmoid(x)).mean()


def by_item(x, z):
    return torch.exp(x - x.max().item()).sum()


def test_values_that_leave_the_trace_are_reported():
    """.item() is seen; numpy is found by a second call at other logits."""
    assert NoteKind.LEFT_TRACE in kinds(trace(by_item, [1.0, 2.0], [1.0, 0.0]))
    outside = next(note for note in trace(by_numpy, [1.0, 2.0], [1.0, 0.0]).notes if note.kind is NoteKind.OUTSIDE_VALUE)
    assert outside.place.text == "weight * torch.sigmoid(x)"


def test_constants_of_a_loss_are_not_reported():
    """The control: a weight that is the same in both calls."""
    assert not kinds(trace(lambda x, z: (torch.tensor([1.0, 2.0]) * torch.sigmoid(x)).mean(), [1.0, 2.0], [1.0, 0.0]))


def test_randomness_is_said_and_taken_as_drawn():
    """The exact value is that of this draw."""
    traced = trace(lambda x, z: (x * torch.rand_like(x)).sum(), [1.0, 2.0], [1.0, 0.0])

    assert kinds(traced) == {NoteKind.RANDOM}
    assert not traced.failing


def test_an_unknown_op_is_named_and_taken_as_exact():
    """What is computed from it is judged from there on."""
    traced = trace(lambda x, z: (1 - torch.special.bessel_j0(x)).sum(), [1.0], [1.0])
    note = next(note for note in traced.notes if note.kind is NoteKind.UNKNOWN_OP)

    assert note.detail == "special_bessel_j0"
    assert traced.quantities[0].outcome.value == "ok"


# Calls that go wrong --------------------------------------------------------------------------------------------------


def raises_in_the_middle(x, z):
    p = torch.sigmoid(x)
    q = torch.log(1 - p)
    raise ValueError(f"no reduction for {tuple(q.shape)}")


def test_a_loss_that_raises_keeps_its_ops():
    """And says what it raised, where."""
    traced = trace(raises_in_the_middle, 100.0, 1.0)
    note = next(note for note in traced.notes if note.kind is NoteKind.RAISED)

    assert [op.name for op in traced.ops if op.kind == "exact"] == ["sigmoid", "rsub", "log"]
    assert note.detail == "ValueError: no reduction for (1,)"
    assert note.place.text.startswith("raise ValueError(")
    assert traced.ops[-1].value == -math.inf


def test_a_loss_without_a_gradient_is_judged_without_one():
    """Detached as a whole, or constant."""
    traced = trace(lambda x, z: torch.sigmoid(x).detach().sum(), 1.0, 1.0)

    assert NoteKind.NO_GRADIENT in kinds(traced)
    assert [quantity.name for quantity in traced.quantities] == ["loss"]


@pytest.mark.parametrize(
    ("function", "problem"),
    [(lambda x, z: 1.0, "float and no tensor"), (lambda x, z: x > 0, "bool values"), (3, "no callable"), (lambda x, z: None, "NoneType")],
)
def test_what_is_no_loss_is_refused(function, problem):
    """One sentence, with the cure."""
    with pytest.raises(UserError, match=problem):
        trace(function, 1.0, 1.0)


@pytest.mark.parametrize(("logits", "problem"), [("many", "numbers"), (torch.zeros(5000), "too many")])
def test_logits_that_cannot_be_followed_are_refused(logits, problem):
    """No numbers, or a whole epoch of them."""
    with pytest.raises(UserError, match=problem):
        trace(lambda x, z: x.sum(), logits, 1.0)


def test_a_cuda_loss_without_cuda_says_so():
    """Whatever the device raises is told, as the callable's own."""
    if torch.cuda.is_available():
        pytest.skip("CUDA is there")
    traced = trace(lambda x, z: x.to("cuda").sum(), 1.0, 1.0)

    assert NoteKind.RAISED in kinds(traced)


@pytest.mark.parametrize(
    ("function", "problem"),
    [(lambda x, z: torch.complex(x, z).abs().sum(), "complex"), (lambda x, z: x.detach().view(torch.int16).sum() + x.sum(), "viewed as")],
)
def test_what_cannot_be_followed_says_why(function, problem):
    """Complex numbers, memory read as another dtype: the ops until there, and one sentence."""
    traced = trace(function, 1.0, 2.0)

    assert problem in next(note.detail for note in traced.notes if note.kind is NoteKind.UNSUPPORTED)


def test_beyond_an_unknown_op_the_backward_pass_is_the_truth():
    """A slope cannot be followed through it: nothing is said to deviate, and nothing is blamed."""
    traced = trace(lambda x, z: F.layer_norm(x, (3,)).exp().sum(), [1.0, 2.0, 4.0], [0.0, 0.0, 0.0])

    assert NoteKind.UNKNOWN_OP in kinds(traced)
    assert not traced.deviations
    assert not traced.failing


def test_several_results_are_said():
    """The first tensor of a tuple is judged."""
    assert NoteKind.FIRST_RESULT in kinds(trace(lambda x, z: (x.sum(), z.sum()), 1.0, 1.0))


def test_generated_source_without_a_file_is_said():
    """exec: ops have a line and no text."""
    space = {"torch": torch}
    exec(compile("def h(x, z):\n    return torch.log(1 - torch.sigmoid(x)).mean()\n", "<generated>", "exec"), space)
    traced = trace(space["h"], 100.0, 1.0)

    assert NoteKind.NO_SOURCE in kinds(traced)
    assert {(op.place.line, op.place.text) for op in traced.ops if op.place.file} == {(2, "")}
    assert traced.causes


def test_a_notebook_cell_has_its_source():
    """Its file begins with `<` and is known to linecache."""
    source = "def h(x, z):\n    return torch.log(1 - torch.sigmoid(x)).mean()\n"
    linecache.cache["<ipython-input-3>"] = (len(source), None, source.splitlines(True), "<ipython-input-3>")
    space = {"torch": torch}
    exec(compile(source, "<ipython-input-3>", "exec"), space)

    assert "1 - torch.sigmoid(x)" in [op.place.text for op in trace(space["h"], 100.0, 1.0).ops]


# Fresh processes ------------------------------------------------------------------------------------------------------

LOADED = """
import json, sys, torch, warnings
warnings.simplefilter("ignore")
before = set(sys.modules)
from losscheck.tracing import trace
{body}
traced = trace(f, 100.0, 1.0)
print(json.dumps([sorted(set(sys.modules) - before), [note.kind.name for note in traced.notes],
      [op.place.text for op in traced.ops], [cause.kind.name for cause in traced.causes]]))
"""
COMPILED = "f = torch.compile(f, backend='eager')\nf(torch.ones(1), torch.ones(1))\n"
PLAIN = "def f(x, z):\n    return torch.log(1 - torch.sigmoid(x)).mean()\n"


def in_a_fresh_process(tmp_path, body, *options):
    script = tmp_path / "script.py"
    script.write_text(LOADED.format(body=body))
    done = subprocess.run([sys.executable, *options, str(script)], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_first_trace_imports_neither_dynamo_nor_sympy(tmp_path):
    """Two seconds and one."""
    loaded, _, _, causes = in_a_fresh_process(tmp_path, PLAIN)

    assert causes
    assert not [name for name in loaded if name.startswith(("torch._dynamo", "sympy"))]


def test_without_columns_the_line_stands_for_the_sub_expression(tmp_path):
    """-X no_debug_ranges."""
    _, notes, texts, _ = in_a_fresh_process(tmp_path, PLAIN, "-X", "no_debug_ranges")

    assert "NO_COLUMNS" in notes
    assert "return torch.log(1 - torch.sigmoid(x)).mean()" in texts


def test_a_compiled_function_is_traced_by_its_eager_ops(tmp_path):
    """And that is said."""
    _, notes, texts, causes = in_a_fresh_process(tmp_path, PLAIN + COMPILED)

    assert "COMPILED" in notes
    assert "1 - torch.sigmoid(x)" in texts
    assert causes


# Constants beside 16-bit tensors --------------------------------------------------------------------------------------

BESIDE = {
    "add": lambda x, c: x + c,
    "sub": lambda x, c: x - c,
    "rsub": lambda x, c: c - x,
    "mul": lambda x, c: x * c,
    "div": lambda x, c: x / c,
    "pow": lambda x, c: x**c,
    "clamp_min": lambda x, c: x.clamp(min=c),
    "leaky_relu": lambda x, c: F.leaky_relu(-x, c),
    "softplus": lambda x, c: F.softplus(x, beta=c),
}


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", BESIDE)
def test_a_constant_is_held_as_the_kernel_holds_it(name, dtype):
    """In the own formula: the op on held constants, rounded once, is what the kernel gives (up to its own last bit)."""
    from losscheck.core.dtypes import format_named
    from losscheck.oracle.refine import Term, exact_value

    c, held = 0.7001234567891, format_named(dtype)
    formula = derived_formula(Programs(lambda x, z: BESIDE[name](x, c), held))
    logits = [held.round(0.1 + 0.037 * k) for k in range(60)]
    exact = [exact_value(formula, [Term(logit, 0.0)], {}, held).rounded for logit in logits]
    computed = BESIDE[name](torch.tensor(logits, dtype=getattr(torch, dtype)), c).tolist()

    off = [abs(held.ordinal(a) - held.ordinal(b)) for a, b in zip(exact, computed, strict=True)]
    assert max(off) <= 1
    assert sum(off) <= 6


# What a call leaves behind ------------------------------------------------------------------------------------------


def test_in_place_on_the_logits_is_allowed():
    """CenterNet's `torch.clamp(x.sigmoid_(), ...)`: the logits are no leaf, and the caller's tensor stays as it was."""
    logits = torch.tensor([20.0, 1.0])
    traced = trace(lambda x, z: torch.log(1 - x.sigmoid_()).sum(), logits, [0.0, 0.0])

    assert logits.tolist() == [20.0, 1.0]
    assert traced.logits == (20.0, 1.0)
    assert traced.ops[traced.causes[0].lost].place.text == "x.sigmoid_()"


def test_a_module_keeps_no_gradient_of_a_trace():
    """Its parameters are the user's."""
    module = torch.nn.Linear(1, 1)
    traced = trace(lambda x, z: module(x[:, None]).sum(), [1.0, 2.0], [0.0, 0.0])

    assert module.weight.grad is None
    assert len([quantity for quantity in traced.quantities if quantity.name == "grad"]) == 2


def test_a_trace_is_plain_data():
    """It can be sent to another process, and says the same there."""
    traced = trace(raises_in_the_middle, 100.0, 1.0)

    assert repr(pickle.loads(pickle.dumps(traced))) == repr(traced)
