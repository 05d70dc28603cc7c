"""Losses that are none of those known here: judged by what their own lines say in exact arithmetic."""

import json
import math
from pathlib import Path

import mpmath
import pytest
import torch

import losscheck
from losscheck.testing import check_batch

SOURCE = """
import numpy as np
import torch


def log_cosh(x, z):
    return torch.log(torch.cosh(x - z))


def log_cosh_right(x, z):
    d = torch.abs(x - z)
    return d + torch.nn.functional.softplus(-2 * d) - 0.6931471805599453


def odds(p, z):
    return z * (1 - p) / p + (1 - z) * p / (1 - p)


def drawn(x, z):
    return (x - z) ** 2 * torch.rand(())


def in_numpy(x, z):
    return np.log(np.cosh(x - z))


def guarded(x, z):
    return torch.sqrt((x - z) ** 2 + 1e-9)


def lifted(x, z):
    return (x - z) ** 2 + 0.1
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A file of losses in an empty folder."""
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(SOURCE)
    return "mine.py:{}".format


def test_check_says_what_it_is_judged_by_and_where_it_breaks(call, mine):
    """The effect, the line, and a change that was tried: as of a loss that is known."""
    code, out, _ = call("check", mine("log_cosh"), "--dtype", "float32")
    words = " ".join(out.split())

    assert code == 1
    assert "is no loss that is known here: judged by what its own lines say in exact arithmetic" in words
    assert "✗ poisons loss inf where 99.3 is right, logits below -88.72 and above 88.72" in words
    assert "mine.py:7: `torch.cosh(x - z)`: overflow" in words
    assert "torch.log1p" in words


def test_every_command_that_it_proposes_runs(call, mine):
    """With the program as the formula where there is one to be named; the trace shows the failure."""
    rows = json.loads(call("check", mine("log_cosh"), "--dtype", "float32", "--format", "json")[1])["rows"]
    for told in rows[0]["commands"]:
        words = told["command"].split()[1:]
        if "--fix" not in words:
            code, out, err = call(*words)
            assert code in (0, 1), err
            assert "inf" in out
    assert any("--formula program" in told["command"] for told in rows[0]["commands"])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_exact_values_are_those_of_the_lines(mine, dtype):
    """Beside mpmath, which knows nothing of the program."""
    logits = [-95.5, -3.25, -0.0625, 0.5, 20.0]
    with mpmath.workdps(60):
        for target in (0.0, 0.5, 1.0):
            rows = losscheck.compare(mine("log_cosh"), formula="program", logit=logits, target=target, dtype=dtype).rows
            for row in rows:
                distance = mpmath.mpf(row.logits[0]) - mpmath.mpf(target)
                right = mpmath.log(mpmath.cosh(distance)) if row.quantity == "loss" else mpmath.tanh(distance)
                assert math.isclose(row.exact.rounded, float(right), rel_tol=1e-15 if dtype == "float64" else 1e-7)
                assert row.definition == row.exact


def test_a_constant_that_a_dtype_rounds_away_is_an_error_of_that_dtype(mine):
    """In float16 1e-9 is 0, and with it the slope at 0 is NaN: who wrote the constant meant it."""
    (loss, gradient) = losscheck.compare(mine("guarded"), formula="program", logit=0.0, target=0, dtype="float16").rows

    assert loss.value == 0 and math.isclose(loss.exact.rounded, math.sqrt(1e-9), rel_tol=1e-2)
    assert math.isnan(gradient.value) and gradient.exact.rounded == 0


def test_constants_are_those_of_float64(mine):
    """0.1 as float32 holds it would be 1.5e-9 off."""
    (row,) = losscheck.compare(mine("lifted"), formula="program", logit=0.0, target=0, dtype="float64", quantity="loss").rows

    assert row.value == row.exact.rounded == 0.1


def test_a_sound_loss_of_its_own_is_called_so(call, mine):
    """No false alarm: every result within what counts."""
    code, out, _ = call("check", mine("log_cosh_right"), "--dtype", "float32")

    assert code == 0
    assert "poisons" not in out and "dead" not in out and "misdirects" not in out


def test_an_argument_named_like_a_probability_gets_probabilities(call, mine):
    """And this is said, with the command that does the same."""
    out = " ".join(call("check", mine("odds"), "--dtype", "float32")[1].split())

    assert "no loss that is known here, on probabilities: judged by" in out
    assert "--input probabilities --formula program" in out


@pytest.mark.parametrize(("name", "why"), [("drawn", "it draws random numbers"), ("in_numpy", "programs are read of PyTorch alone")])
def test_where_there_is_no_program_to_be_read_it_is_said_why(call, mine, name, why):
    """Exit code 2, with what else can be done."""
    code, out, err = call("check", mine(name))

    assert (code, out) == (2, "")
    assert "agrees with no loss that is known here" in err and why in err
    assert "--formula file.py:function" in err


def test_several_processes_and_the_command_of_a_report_say_the_same(call, mine):
    """The formula is made anew where it is needed; a report names itself so that it can be made again."""
    words = ("sweep", mine("log_cosh"), "--formula", "program", "--points", "40", "--format", "json")
    alone, together = (json.loads(call(*words, *more)[1]) for more in ((), ("--jobs", "2")))
    again = json.loads(call(*alone["reproduce"].split()[1:], "--format", "json")[1])

    assert alone["rows"] == together["rows"] == again["rows"]
    assert {row["loss"] for row in alone["rows"]} == {mine("log_cosh")}


def test_a_training_loop_is_told_too(mine):
    """check_batch asks nobody which loss it is."""

    def steep(x, z):
        return torch.log(1 + torch.exp(3 * (1 - (2 * z - 1) * x))) ** 2

    with pytest.raises(AssertionError, match="POISONS") as failure:
        check_batch(steep, torch.tensor([0.5, -60.0]), torch.tensor([0.0, 1.0]))
    assert "element [1]" in str(failure.value) and "overflow" in str(failure.value)


def test_a_loss_that_is_named_stays_the_definition(mine):
    """With --loss as well the program is what rounding is measured against, as it is without being asked."""
    asked = {"loss": "bce", "logit": 3.0, "target": 1}
    rows, plain = (losscheck.compare(mine("odds"), **asked, **more).rows for more in ({"formula": "program"}, {}))

    assert [(row.value, row.exact, row.definition) for row in rows] == [(row.value, row.exact, row.definition) for row in plain]


def test_without_a_loss_compare_is_by_the_program_too(call, mine):
    """A first command that asks nothing else; the command that is printed says by what."""
    code, out, _ = call("compare", mine("log_cosh"), "90")

    assert code == 0
    assert "poisons" in out and "no loss that is known here" in " ".join(out.split())
    assert "--formula program" in losscheck.compare(mine("log_cosh"), logit=90).reproduce


def test_what_is_meant_is_judged_by_its_own_lines_when_that_is_asked(call, mine, tmp_path):
    """Smoothed targets are no bce, and may be meant: the report says how to ask, and the answer does not call it unknown."""
    (tmp_path / "smooth.py").write_text(
        "import torch.nn.functional as F\n\n\ndef bce(x, z):\n"
        "    return F.binary_cross_entropy_with_logits(x, z * 0.9 + 0.05, reduction='none')\n"
    )
    code, out, _ = call("check", "smooth.py:bce", "--dtype", "float32")
    assert code == 1 and "by its own formula" in " ".join(out.split())
    (command,) = [line.split("  ")[-1] for line in out.splitlines() if line.startswith("if it is meant")]
    code, out, _ = call(*command.split()[1:], "--dtype", "float32")
    assert code == 0
    assert "is judged by what its own lines say in exact arithmetic" in " ".join(out.split())
