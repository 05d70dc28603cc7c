"""What `losscheck trace` cannot follow: a sentence on what was and what was not, what was found until there, and never a traceback."""

from pathlib import Path

import pytest

import losscheck

pytestmark = pytest.mark.usefixtures("plain_surroundings")

BAD = """
import warnings

import numpy as np
import torch
import torch.nn.functional as F


def by_numpy(x, z):
    return np.log1p(np.exp(-x.detach().numpy()))


def no_gradient(x, z):
    with torch.no_grad():
        return F.binary_cross_entropy_with_logits(x, z, reduction="none")


def middle(x, z):
    q = torch.log(1 - torch.sigmoid(x))
    raise ValueError("what a pity")


def a_number(x, z):
    return float(torch.sigmoid(x).sum())


def integers(x, z):
    return (x > 0).long()


def short(x, z):
    return x * z


def leaves(x, z):
    return torch.log(1 - torch.sigmoid(x)) * torch.sigmoid(x).max().item()


def drawn(x, z):
    return F.dropout(torch.log(1 - torch.sigmoid(x)), 0.0) * torch.rand(1)


def one_argument(x):
    return x


def on_cuda(x, z):
    return F.softplus(x) * torch.ones(1, device="cuda:7")


def leaves_python(x, z):
    torch.log(1 - torch.sigmoid(x))
    raise SystemExit(3)


def complex_numbers(x, z):
    return torch.fft.rfft(F.softplus(x)).abs().sum()


def not_known(x, z):
    return torch.linalg.svdvals(torch.outer(x, x)).sum()


class Margin(torch.nn.Module):
    def __init__(self, margin):
        super().__init__()
        self.margin = margin

    def forward(self, x, z):
        return torch.relu(self.margin - (2 * z - 1) * x)


class Focal(torch.nn.Module):
    def __init__(self, gamma):
        super().__init__()
        self.gamma = gamma

    def forward(self, x, z):
        return (1 - torch.sigmoid(x)) ** self.gamma


def plain(x, z):
    return -(z * torch.log(torch.sigmoid(x)) + (1 - z) * torch.log(1 - torch.sigmoid(x)))


scope = {"torch": torch}
exec("def generated(x, z):\\n    return -torch.log(1 - torch.sigmoid(x))", scope)
generated = scope["generated"]
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    scripted = torch.jit.script(plain)
value = 3
"""


@pytest.fixture
def bad():
    """A file of callables that cannot be followed to the end."""
    Path("bad.py").write_text(BAD)
    return "bad.py"


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("by_numpy", 2, "it returned a ndarray and not a tensor"),
        ("no_gradient", 0, "no gradient reaches the logits"),
        ("middle", 2, "it raised ValueError: what a pity"),
        ("a_number", 2, "it returned a float and not a tensor"),
        ("integers", 2, "it returned int64"),
        ("short", 0, "nothing fails here"),
        ("leaves", 0, "a value left the trace"),
        ("drawn", 0, "drawn at random"),
        ("generated", 0, "the source of some ops cannot be read"),
        ("scripted", 0, "torch.jit"),
        ("one_argument", 2, "cannot be called so"),
        ("on_cuda", 2, "place: bad.py:48 torch.ones(1, device="),
        ("leaves_python", 2, "it raised SystemExit: 3 place: bad.py:53 raise SystemExit(3)"),
        ("complex_numbers", 2, "the trace ended: complex numbers are not followed"),
        ("not_known", 0, "not every op is known exactly"),
        ("Focal", 0, "bad.py:Focal (gamma=2.0) float32"),
        ("Margin", 2, "--kw gives its arguments"),
        ("value", 2, "which cannot be called"),
        ("nothing", 2, "bad.py has no 'nothing'"),
    ],
)
def test_what_cannot_be_followed_is_told_in_a_sentence(call, bad, name, code, words):
    """And what was found until there is shown; never a traceback."""
    got, out, err = call("trace", f"{bad}:{name}", "20", "--target", "0")
    told = " ".join((out + err).split())

    assert got == code, told
    assert words in told
    assert "Traceback" not in told
    assert "internal error" not in told


LONG = """
import torch


def thousands(x, z):
    p = torch.sigmoid(x)
    for _ in range(2997):
        p = p * 1.0
    return torch.log(1 - p)


compiled = torch.compile(lambda x, z: torch.log(1 - torch.sigmoid(x)).mean(), backend="eager")
"""


def test_thousands_of_ops_end_with_their_cause(call):
    """And a sentence on what was not done; three ops are `short`, above."""
    Path("long.py").write_text(LONG)
    code, out, _ = call("trace", "long.py:thousands", "20", "--target", "0")

    assert code == 0
    assert out.splitlines()[1].startswith("cause: saturation (")
    assert "place: long.py:9 1 - p; lost at line 6 torch.sigmoid(x)" in out
    assert "none was looked for in a program so long" in out
    assert "(3005 ops forward)" in out


def test_a_compiled_function_is_traced_by_its_eager_ops(call):
    """With the lines of the function that was compiled."""
    Path("long.py").write_text(LONG)
    code, out, _ = call("trace", "long.py:compiled", "20", "--target", "0")

    assert code == 0
    assert "place: long.py:12 1 - torch.sigmoid(x)" in out
    assert "a compiled function: its eager ops are traced" in " ".join(out.split())


def test_a_raise_in_the_middle_keeps_the_ops_until_there(call, bad):
    """The infinity before it is in the table."""
    _, out, _ = call("trace", f"{bad}:middle", "20", "--target", "0")

    assert "torch.log(1 -" in out
    assert "-inf" in out
    assert 'place: bad.py:20 raise ValueError("what a pity")' in out


def test_a_scripted_function_has_its_true_gradient_at_every_call(bad):
    """From the second call on, an optimised one would detach its variables, and the truth would be 0."""
    for _ in range(3):
        quantities = losscheck.trace(f"{bad}:scripted", 2, 0).trace.quantities
        assert [quantity.exact.rounded for quantity in quantities] == pytest.approx([2.126928, 0.8807971])
