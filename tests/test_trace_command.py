"""Reports of failures end with the trace command of the worst: it runs as it is printed, and shows the failure."""

import itertools
import json
import shlex
from pathlib import Path

import pytest
import torch

import losscheck
from losscheck.core import registry
from losscheck.testing import assert_accurate, check_batch

pytestmark = pytest.mark.usefixtures("plain_surroundings")

OWN = """
import torch


def bce(logits, targets, *, scale=1.0):
    p = torch.sigmoid(logits)
    return -scale * (targets * torch.log(p) + (1 - targets) * torch.log(1 - p))


class Loss(torch.nn.Module):
    def forward(self, logits, targets):
        return bce(logits, targets)
"""
SWAPPED = """
import torch
import torch.nn.functional as F


def swapped(logits, targets, alpha=0.25, gamma=2.0):
    at = (1 - alpha) * targets + alpha * (1 - targets)
    sign = 2 * targets - 1
    return -at * torch.sigmoid(-sign * logits) ** gamma * F.logsigmoid(sign * logits)


def clamped(logits, targets):
    p = torch.sigmoid(logits).clamp(1e-3, 1 - 1e-3)
    return -(targets * torch.log(p) + (1 - targets) * torch.log(1 - p))
"""
CASE = """
cases:
  - name: kept
    loss: bce
    implementations: [torch-sigmoid-bceloss]
    backends: [torch]
    dtypes: [float32]
    points: {logits: [40], targets: [0]}
    expect: {max_ulp: 4}
"""
TOLD = "which line, and what to write"


def runs(call, command, failing=True):
    """The trace that the command makes, as JSON."""
    word, *words = shlex.split(command)
    code, out, err = call(*words, "--format", "json")

    assert (word, words[0], code, err) == ("losscheck", "trace", 0, "")
    document = json.loads(out)
    assert not failing or any(quantity["outcome"] != "ok" for quantity in document["quantities"]) or document["deviations"]
    return document


def last_command(out):
    """What stands after TOLD at the end of a report, beside it or on a line of its own."""
    lines = out.splitlines()
    (place,) = [place for place, line in enumerate(lines) if line.startswith(TOLD)]
    command = lines[place].removeprefix(TOLD).removeprefix(":").strip() or lines[place + 1].strip()
    return command.removesuffix(".")


@pytest.fixture
def own():
    Path("own.py").write_text(OWN)
    return "own.py:bce"


TORCH = [implementation for implementation in registry.implementations() if "torch" in implementation.backends]


@pytest.mark.parametrize("loss", sorted(registry.losses()))
def test_what_compare_prints_runs(call, loss):
    """For every implementation of a loss that fails at a large logit: by its name, with its loss and its dtype."""
    names = [implementation.name for implementation in TORCH if implementation.loss == loss]
    for name, target in itertools.product(names, ("0", "1")):
        report = losscheck.compare(name, loss=loss, logit=40.0, target=target, backend="torch", dtype="bfloat16")
        if report.trace:
            document = runs(call, report.trace)
            assert (document["dtype"], document["logits"], document["targets"]) == ("bfloat16", [40.0], [float(target)])


def test_compare_ends_with_the_command(call):
    """In the text, in JSON; nothing where nothing fails."""
    words = ("compare", "17", "--target", "0", "--loss", "bce")
    command = last_command(call(*words)[1])

    assert command == json.loads(call(*words, "--format", "json")[1])["trace"]
    runs(call, command)
    assert TOLD not in call("compare", "1.5", "--loss", "bce")[1]


def test_what_fails_without_pytorch_has_no_command(call):
    """numpy alone cannot be traced."""
    code, out, _ = call("compare", "17", "--target", "0", "--loss", "bce", "--backend", "numpy")

    assert code == 0
    assert TOLD not in out


def test_a_sweep_ends_with_the_command_of_your_own(call, own):
    """With how it is called, and parameters of a loss for what is registered."""
    words = ("sweep", "--loss", "bce", "--impl", own, "--kw", "scale=2.0", "--points", "50", "--no-progress")
    command = last_command(call(*words)[1])

    assert command.startswith("losscheck trace own.py:bce ")
    assert command.endswith("--kw scale=2.0")
    runs(call, command)
    words = ("sweep", "--loss", "weighted-focal", "--backend", "torch", "--param", "gamma=0.5", "--points", "50", "--no-progress")
    command = json.loads(call(*words, "--format", "json")[1])["trace"]
    assert "--loss weighted-focal --param gamma=0.5" in command
    runs(call, command)


def test_a_weight_of_the_other_class_has_no_line(call):
    """No trace would show it, and none is offered; a clamp has one."""
    Path("swapped.py").write_text(SWAPPED)
    swapped = call("compare", "1.5", "--target", "1", "--loss", "weighted-focal", "--impl", "swapped.py:swapped")[1]

    assert TOLD not in swapped
    words = ("compare", "12", "--target", "0", "--loss", "bce", "--impl", "swapped.py:clamped", "--backend", "torch")
    clamped = call(*words)[1]
    assert runs(call, last_command(clamped))["deviations"][0]["kind"] == "clamp"


def test_a_batch_ends_with_the_command_of_its_element(call, own):
    """The element of the dump itself, by its index."""
    x = torch.zeros(2, 3)
    x[1, 2] = 40.0
    torch.save({"pred": x, "gt": torch.zeros(2, 3)}, "batch.pt")
    words = ("compare", "--tensors", "batch.pt", "--names", "logits=pred,targets=gt", "--loss", "bce", "--impl", own)
    document = runs(call, last_command(call(*words)[1]))

    assert document["batch"]["index"] == [1, 2]
    assert document["logits"] == [40.0]


def test_a_broken_case_has_the_command(call):
    """Below its reproduce, in JSON, and in the failure of a test."""
    Path("cases").mkdir()
    Path("cases/a.yaml").write_text(CASE)
    code, out, _ = call("gate", "cases")
    line = next(line.strip() for line in out.splitlines() if line.strip().startswith("which line: "))

    assert code == 1
    runs(call, line.removeprefix("which line: "))
    rows = json.loads(call("gate", "cases", "--format", "json")[1])["rows"]
    assert line.removeprefix("which line: ") in [row["trace"] for row in rows if row["verdict"] == "fail"]


def test_assertions_end_with_the_command(call, own):
    """Of a function of a file: the file's name for it."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("own_of_the_test", Path("own.py").absolute())
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules["own_of_the_test"] = module
    spec.loader.exec_module(module)
    x = torch.tensor([0.5, 40.0])
    for check in (lambda: check_batch(module.bce, x, torch.zeros(2)), lambda: assert_accurate(module.bce, loss="bce", points=20)):
        with pytest.raises(AssertionError) as failure:
            check()
        command = last_command(str(failure.value))
        assert command.startswith("losscheck trace own.py:bce ")
        runs(call, command)


def test_a_callable_that_has_no_name_is_traced_in_python():
    """A lambda: the call to make in this process."""
    loss_fn = lambda x, z: -z * torch.log(torch.sigmoid(x)) - (1 - z) * torch.log(1 - torch.sigmoid(x))  # noqa: E731
    with pytest.raises(AssertionError) as failure:
        check_batch(loss_fn, torch.tensor([0.5, 40.0]), torch.zeros(2), loss="bce")
    line = str(failure.value).strip().splitlines()[-1]

    assert line == f"{TOLD}: print(losscheck.trace(loss_fn, 40.0, 0.0).explain())"
    assert "cause: " in losscheck.trace(loss_fn, 40.0, 0.0).explain()
