"""Softmax and log-sum-exp by hand: what to write instead is proved equal, measured, and applied by real git."""

import importlib.util
import math
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

import losscheck
from losscheck.tracing.cures import row_search
from losscheck.tracing.cures.remedy import remedies
from losscheck.tracing.cures.rules.rows import ROWS
from losscheck.tracing.cures.terms import term

pytestmark = pytest.mark.usefixtures("plain_surroundings")

# As people write cross entropy over the rows of [N, C] logits, with targets of ones and zeros; what stands after the patch.
BY_HAND = {
    "exp over sum": (
        """p = torch.exp(x) / torch.exp(x).sum(dim=1, keepdim=True)
    return -(z * torch.log(p)).sum(dim=1).mean()""",
        "F.log_softmax(x, dim=1)",
    ),
    "exp over sum, one line": (
        "return -(z * torch.log(torch.exp(x) / torch.sum(torch.exp(x), -1, keepdim=True))).sum(1).mean()",
        "F.log_softmax(x, dim=1)",
    ),
    "a sum without its axis": (
        """e = x.exp()
    return -(z * (e / e.sum(1)[:, None]).log()).sum(1).mean()""",
        "F.log_softmax(x, dim=1)",
    ),
    "shifted by the maximum": (
        """m = x.max(dim=1, keepdim=True)[0]
    p = torch.exp(x - m) / torch.exp(x - m).sum(dim=1, keepdim=True)
    return -(z * torch.log(p)).sum(dim=1).mean()""",
        "F.log_softmax(x, dim=1)",
    ),
    "log of softmax": (
        """p = F.softmax(x, dim=1)
    return -(z * torch.log(p)).sum(dim=1).mean()""",
        "F.log_softmax(x, dim=1)",
    ),
    "log of what is gathered": (
        """y = z.argmax(1)
    return -torch.log(F.softmax(x, dim=1).gather(1, y[:, None])).mean()""",
        "F.log_softmax(x, dim=1).gather(1, y[:, None])",
    ),
    "log of what is indexed": (
        """rows, y = torch.arange(len(x)), z.argmax(1)
    p = torch.softmax(x, dim=1)
    return -torch.log(p[rows, y]).mean()""",
        "F.log_softmax(x, dim=1)[rows, y]",
    ),
    "log of the sum of exp": (
        "return (torch.log(torch.exp(x).sum(dim=1)) - (x * z).sum(dim=1)).mean()",
        "torch.logsumexp(x, dim=1)",
    ),
    "y - log of the sum": (
        "return -(z * (x - torch.log(torch.exp(x).sum(dim=1, keepdim=True)))).sum(1).mean()",
        "F.log_softmax(x, dim=1)",
    ),
}
TWO = """p = F.softmax(x, dim=1)[:, 1]
    return -(z[:, 1] * torch.log(p) + (1 - z[:, 1]) * torch.log(1 - p)).mean()"""


def written(body, folder, name="by_hand"):
    """A file with the loss, and its function."""
    path = folder / f"{name}.py"
    path.write_text(f"import torch\nimport torch.nn.functional as F\n\n\ndef loss(x, z):\n    {body}\n")
    return path, function_of(path)


def function_of(path):
    name = f"rows_{len(sys.modules)}"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module.loss


def applied(cure, path):
    """The function of the file after real git took the diff."""
    (patch,) = cure.patches
    (path.parent / "cure.diff").write_text(patch.diff(path.name))
    subprocess.run(["git", "init", "-q"], cwd=path.parent, check=True, timeout=60)
    subprocess.run(["git", "apply", "cure.diff"], cwd=path.parent, check=True, timeout=60)
    assert path.read_text() == patch.after
    return function_of(path)


def batch(classes, dtype=torch.float32):
    torch.manual_seed(1)
    return torch.randn(3, classes, dtype=dtype), torch.eye(classes, dtype=dtype)[[0, 1, classes - 1]]


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("name", BY_HAND)
def test_cross_entropy_by_hand_is_cured(name, classes, tmp_path):
    """No NaN and no infinity is left, and what comes out is PyTorch's own cross entropy at logits where that by hand is none."""
    body, expected = BY_HAND[name]
    path, function = written(body, tmp_path)
    x, z = batch(classes)
    cure = remedies(function, "float32", call=(x, z)).cure

    assert expected in cure.patches[0].after
    assert math.isinf(max(cure.before))
    assert all(map(math.isfinite, cure.after))
    assert cure.after[0] < 4
    after = applied(cure, path)
    for scale in (1.0, 300.0):
        assert after(x * scale, z).item() == pytest.approx(F.cross_entropy(x * scale, z.argmax(1)).item(), rel=1e-5)


def test_the_complement_of_one_of_two_classes_is_the_other(tmp_path):
    """1 - softmax(x)[:, 1] is softmax(x)[:, 0], of two classes alone."""
    path, function = written(TWO, tmp_path)
    x, z = batch(2)
    after = applied(remedies(function, "float32", call=(x, z)).cure, path)

    assert "F.log_softmax(x, dim=1)[:, 0]" in path.read_text()
    assert after(x * 300, z).item() == pytest.approx(F.cross_entropy(x * 300, z.argmax(1)).item(), rel=1e-5)
    _, of_five = written(TWO, tmp_path, "of_five")
    cure = remedies(of_five, "float32", call=batch(5)).cure
    assert cure is None or "[:, 0]" not in cure.patches[0].after


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_other_dtypes_are_cured_too(dtype, tmp_path):
    """By what was measured in them."""
    _, function = written(BY_HAND["log of softmax"][0], tmp_path)
    cure = remedies(function, dtype, call=batch(3, getattr(torch, dtype))).cure

    assert all(map(math.isfinite, cure.after))


def test_contrastive_loss_keeps_its_temperature(tmp_path):
    """InfoNCE: the diagonal over the sum of its row, and tau stays tau."""
    tau = "sim = x / tau\n    e = torch.exp(sim)\n    return -torch.log(e.diagonal() / e.sum(dim=1)).mean()"
    _, function = written(f"tau = 0.07\n    {tau}", tmp_path)
    x = torch.randn(4, 4)
    cure = remedies(function, "float32", call=(x, torch.eye(4))).cure

    assert "-(sim.diagonal() - torch.logsumexp(sim, dim=1)).mean()" in cure.patches[0].after


@pytest.mark.parametrize(
    "sound",
    [
        "return F.cross_entropy(x, z.argmax(1))",
        "return -(z * F.log_softmax(x, dim=1)).sum(1).mean()",
        "return (F.softmax(x, dim=1) * z).sum()",
        "return -(z * torch.log(F.softmax(x, dim=1) + 1e-8)).sum(1).mean()",
    ],
)
def test_what_loses_nothing_or_means_something_else_is_left_alone(sound, tmp_path):
    """An eps is a meaning, and none of these rules'."""
    _, function = written(sound, tmp_path)

    assert remedies(function, "float32", call=batch(3)).cure is None


def test_a_planted_false_rule_is_refused(monkeypatch, tmp_path):
    """log softmax(y) is not y: it measures as finite, and is not equal."""
    monkeypatch.setattr(row_search, "STEPS", ((lambda q: q.args[0].args[0] if q.op == "log" and q.args[0].op == "softmax" else None,),))
    _, function = written(BY_HAND["log of softmax"][0], tmp_path)

    assert remedies(function, "float32", call=batch(3)).cure is None


NEEDED_BY = dict(
    zip(
        ROWS, (BY_HAND["exp over sum"][0], BY_HAND["shifted by the maximum"][0], TWO, *(BY_HAND["y - log of the sum"][0],) * 2), strict=True
    )
)


@pytest.mark.parametrize("rule", ROWS, ids=lambda rule: rule.__name__)
def test_every_rule_is_needed(rule, monkeypatch, tmp_path):
    """Without it some loss of these is written otherwise or not at all."""
    _, function = written(NEEDED_BY[rule], tmp_path)
    whole = remedies(function, "float32", call=batch(2)).cure
    monkeypatch.setattr(row_search, "STEPS", (tuple(other for other in ROWS if other is not rule),))
    without = remedies(function, "float32", call=batch(2)).cure

    assert without is None or without.patches[0].after != whole.patches[0].after


def test_a_batch_ends_in_the_cure(tmp_path):
    """`losscheck.trace` of a dumped [N, C] batch: cause, place and the diff."""
    _, function = written(BY_HAND["exp over sum"][0], tmp_path)
    x, z = batch(4)
    x[1, 2] = 200.0
    advice = losscheck.trace(function, tensors=(x, z))
    text = advice.explain()

    assert "cause: overflow" in text
    assert "+    return -(z * F.log_softmax(x, dim=1)).sum(dim=1).mean()" in text
    assert advice.here[0] < 2


def test_two_logits_and_a_class_number_end_in_the_cure(call, tmp_path):
    """`losscheck check` finds that it is BCE of pairs, and what to write."""
    written("p = torch.softmax(x, dim=1)\n    return -torch.log(p[torch.arange(len(z)), z]).mean()", tmp_path, "pairs")
    code, out, _ = call("check", str(tmp_path / "pairs.py:loss"), "--dtype", "float32")

    assert code == 1
    assert "F.log_softmax(x, dim=1)[torch.arange(len(z)), z]" in out


def test_terms_of_one_axis_are_not_those_of_another():
    """The axis is part of what a term is."""
    x = term("tensor", value="x")

    assert term("sum", x, value=(0, True)) is not term("sum", x, value=(1, True))
