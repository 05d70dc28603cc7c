"""`losscheck check`: recognised, ranked by effect, told why and what to write, through the real command line."""

import json
import math
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from gallery import checked

import losscheck
from losscheck.core.effect import Effect
from losscheck.core.errors import UserError

pytestmark = pytest.mark.usefixtures("plain_surroundings")
GALLERY = Path(__file__).parents[1] / "docs" / "gallery"

# File and name -> the loss it is, and what it does in float32: as a person who knows the field would say.
PEOPLE_WRITE = {
    "textbook_bce.py:bce": ("bce", Effect.POISONS),
    "eps_bce.py:bce": ("bce", Effect.MISDIRECTS),
    "sigmoid_bceloss.py:HeadLoss": ("bce", Effect.MISDIRECTS),
    "softplus_by_hand.py:bce": ("bce", Effect.POISONS),
    "masked_bce.py:bce": ("bce", Effect.POISONS),
    "swapped_focal.py:WeightedFocalLoss": ("weighted-focal", Effect.MISDIRECTS),
    "root_focal.py:focal": ("soft-focal", Effect.POISONS),
    "probability_focal.py:focal": ("soft-focal", Effect.POISONS),
    "heatmap.py:heatmap_loss": ("centernet-heatmap", Effect.POISONS),
    "guarded_heatmap.py:heatmap_loss": ("centernet-heatmap", Effect.DEAD),
}
LOGGED = """
import torch

losses = []

def bce(logits, targets):
    p = torch.sigmoid(logits)
    loss = -(targets * torch.log(p) + (1 - targets) * torch.log(1 - p)).mean()
    losses.append(loss.item())
    return loss
"""


def first_dtype(report):
    """The rows of the first dtype, best first."""
    return [row for row in report.ranking if row.given_dtype == report.ranking[0].given_dtype]


@pytest.mark.parametrize("spec", PEOPLE_WRITE)
def test_a_loss_as_people_write_it_is_recognised_and_judged(spec):
    """Without a flag: which loss it is, what it does, and a cure that measured better, with no NaN left."""
    loss, effect = PEOPLE_WRITE[spec]
    (row,) = checked(f"docs/gallery/{spec}").ranking

    assert (row.loss, row.effect.effect) == (loss, effect)
    assert row.recognised.startswith(loss)
    assert row.advice.write
    assert all(math.isfinite(error) and error < 40 for error in row.advice.after)
    assert max(row.advice.after) < max(row.advice.before)


def test_every_file_of_the_gallery_is_judged_here():
    """A new file of the gallery is a new line of the table above."""
    assert {path.name for path in GALLERY.glob("*.py")} == {spec.partition(":")[0] for spec in PEOPLE_WRITE}


def test_the_harmless_one_comes_before_the_deadly_one():
    """BCEWithLogitsLoss is off by less than 5e-07; Sigmoid + BCELoss learns nothing above 16.64."""
    report = losscheck.check("torch-sigmoid-bceloss", "torch-bce-with-logits", dtype="float32")
    tails, deadly = first_dtype(report)

    assert (tails.implementation, tails.effect.effect) == ("torch-bce-with-logits", Effect.TAILS)
    assert tails.loss_error <= 4.8e-07 and tails.grad_error <= 8.8e-08
    assert deadly.harmful
    dead = next(finding for finding in deadly.findings if finding.effect is Effect.DEAD)
    assert (dead.target, dead.value, round(dead.first, 2)) == (0.0, 0.0, 16.64)
    assert report.exit_code == 1


def test_classes_of_a_framework_are_recognised_with_what_they_want(call):
    """nn.BCELoss takes probabilities, nn.BCEWithLogitsLoss logits: both in one command, nobody says so."""
    code, out, _ = call("check", "torch.nn:BCELoss", "torch.nn:BCEWithLogitsLoss", "--dtype", "float32")

    assert code == 1
    assert "torch.nn:BCELoss is bce" in out and "on probabilities" in out.replace("\n", " ")
    harmless, deadly = (next(line for line in out.splitlines() if word in line) for word in ("tails", "misdirects"))
    assert "BCEWithLogitsLoss" in harmless and "BCELoss" in deadly
    assert out.index(harmless) < out.index(deadly)


def test_what_is_harmless_exits_0(call):
    """Up to `tails` nothing is broken."""
    code, out, _ = call("check", "stable", "--loss", "bce")

    assert code == 0
    assert "sound" in out


@pytest.mark.parametrize(("width", "color"), [(40, False), (80, True), (120, False)], ids=["40", "80 in colour", "120"])
def test_the_first_lines_about_my_file_are_the_answer(call, monkeypatch, width, color):
    """Which loss it is, what it does, why and what to write, in this order; commands and code in lines of their own."""
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.chdir(GALLERY)
    if color:
        monkeypatch.setenv("FORCE_COLOR", "1")
    code, out, _ = call("check", "textbook_bce.py:bce")
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in out.splitlines()]
    told = [" ".join(line.split()) for line in lines]
    starts = ["textbook_bce.py:bce is bce", "✗ poisons", "why textbook_bce.py:7: `torch.sigmoid(logits)`", "write judged: within"]
    told_in_one = " ".join(told)

    assert code == 1 and ("\x1b[" in out) is color
    assert sorted(starts, key=told_in_one.index) == starts
    (row,) = checked("docs/gallery/textbook_bce.py:bce").ranking
    assert all(line in told for line in row.advice.write)
    assert all(any(line.endswith(command.replace("docs/gallery/", "")) for line in told) for _, command in row.commands)
    assert all(len(line) <= width for line in lines if not line.lstrip().startswith(("losscheck ", "return ")))


def test_each_command_it_names_runs_and_the_last_one_mends_it(call, monkeypatch, tmp_path):
    """What to ask next is copied as it stands: with the call that was found out; then the file harms nobody."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(GALLERY / "textbook_bce.py", tmp_path)
    (row,) = losscheck.check("textbook_bce.py:bce", dtype="float32").ranking

    for _, command in row.commands:
        code, _, err = call(*shlex.split(command)[1:])
        assert code == 0, err
    assert command.endswith("--fix")
    again = [sys.executable, "-m", "losscheck", "check", "textbook_bce.py:bce", "--dtype", "float32"]
    assert subprocess.run(again, capture_output=True, timeout=120, check=False).returncode == 0


def test_a_cure_of_the_rounding_alone_is_not_sold_as_more(call):
    """Where alpha sits on the wrong class, better rounding leaves it there: that was tried, and is said."""
    _, out, _ = call("check", f"{GALLERY}/swapped_focal.py:WeightedFocalLoss", "--dtype", "float32")
    words = " ".join(out.split())

    assert "alpha and 1 - alpha are swapped" in words
    assert "it mends the rounding alone, and still misdirects" in words
    assert " write judged" not in words


def test_what_makes_a_call_of_every_logit_is_judged_in_every_dtype_by_a_sample(tmp_path):
    """No batch can be made of it: a sample of each dtype, and it says so; a dtype that is asked for is judged whole."""
    (tmp_path / "looped.py").write_text(LOGGED)
    report = losscheck.check(f"{tmp_path}/looped.py:bce")
    rows, out = report.ranking, losscheck.render(report)

    assert [row.given_dtype for row in rows] == ["float32", "bfloat16", "float16"]
    assert all(row.effect.effect is Effect.POISONS and not row.exhaustive for row in rows)
    assert f"bfloat16 at {rows[1].points} logits" in " ".join(out.split())


@pytest.mark.parametrize("loss", ["bce", "weighted-focal"])
def test_it_keeps_to_the_screen(loss):
    """No line is longer than the screen, in short and in full, and the first line names the loss."""
    report = checked(loss=loss, dtype=("float32", "float16", "bfloat16"))
    for width, verbose in ((80, False), (80, True), (120, False), (120, True)):
        out = losscheck.render(report, width=width, verbose=verbose)
        assert max(len(line) for line in out.splitlines() if not line.lstrip().startswith(("losscheck ", "-("))) <= width
        assert out.startswith(loss)


def test_programs_get_every_finding(call):
    """JSON: a row for each implementation and dtype, with findings at each target, no bare NaN anywhere."""
    code, out, _ = call("check", "torch-sigmoid-bceloss", "--format", "json")
    rows = json.loads(out, parse_constant=pytest.fail)["rows"]

    assert code == 1
    assert {row["logit_dtype"] for row in rows} == {"float32", "bfloat16", "float16"}
    assert all({finding["target"] for finding in row["findings"]} == {0, 0.5, 1} for row in rows)
    assert rows[0]["advice"]["write"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nothing-like-it",), "no implementation"),
        (("no_such_file.py:bce",), "there is no file"),
        (("torch.nn:NoSuchLoss",), "has no"),
        (("--dtype", "flaot32"), "unknown dtype"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_mistake_is_one_message_and_exit_2(call, words, said):
    """Never a traceback."""
    code, _, err = call("check", *words)

    assert code == 2
    assert said in err and "Traceback" not in err


def test_what_is_no_loss_known_here_is_judged_by_its_own_lines(tmp_path):
    """Mean absolute error agrees with none: it is said, and no formula of ours is held against it. In numpy it has no program."""
    (tmp_path / "other.py").write_text("def mae(x, z):\n    return (x - z).abs()\n")
    (row,) = losscheck.check(f"{tmp_path}/other.py:mae", dtype="float32").ranking
    (tmp_path / "plain.py").write_text("import numpy\n\n\ndef mae(x, z):\n    return numpy.abs(x - z)\n")

    assert row.recognised.startswith("no loss that is known here")
    assert row.effect.effect is Effect.SOUND
    with pytest.raises(UserError, match="agrees with no loss"):
        losscheck.check(f"{tmp_path}/plain.py:mae")


def test_the_command_of_a_report_says_all_that_was_asked():
    """dtype, loss, parameters and the way it is called: asked again, it is the same."""
    asked = {"loss": "weighted-focal", "dtype": "float16", "params": {"gamma": 2.0}, "keywords": {"gamma": 2.0}}
    spec = f"{GALLERY}/root_focal.py:focal"
    words = shlex.split(losscheck.check(spec, **asked).reproduce)

    assert words[:2] == ["losscheck", "check"] and Path(words[2].partition(":")[0]).resolve() == GALLERY / "root_focal.py"
    pairs = [" ".join(pair) for pair in zip(words[3::2], words[4::2], strict=True)]
    assert pairs == ["--loss weighted-focal", "--dtype float16", "--param gamma=2.0", "--kw gamma=2.0"]


def test_the_loss_can_be_said(tmp_path):
    """--loss instead of recognising: judged as what it is to be."""
    (tmp_path / "other.py").write_text("def mae(x, z):\n    return (x - z).abs()\n")
    (row,) = losscheck.check(f"{tmp_path}/other.py:mae", loss="bce", dtype="float32").ranking

    assert row.loss == "bce" and row.harmful


def test_numpy_and_torch_are_one_line_where_they_agree():
    """stable runs on both, and says the same on both."""
    rows = first_dtype(losscheck.check("stable", loss="bce"))

    assert [(row.implementation, set(row.backends)) for row in rows] == [("stable", {"numpy", "torch"})]


def test_a_parameter_that_is_given_is_not_found_out_again():
    """pos_weight=3 judged against pos_weight=3: nothing is said of 1."""

    def weighted(logits, targets):
        three = torch.tensor(3.0, dtype=logits.dtype)
        return torch.nn.functional.binary_cross_entropy_with_logits(logits, targets, pos_weight=three, reduction="none")

    (row,) = losscheck.check(weighted, loss="bce", dtype="float32", params={"pos_weight": 3}).ranking
    assert (row.recognised, row.note, row.effect.effect) == ("bce with pos_weight=3", "", Effect.TAILS)


PARTLY = """
import torch
import torch.nn.functional as F

def guarded(logits, targets):
    if logits.abs().max() > 60:
        raise ValueError("too large")
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none")

def half_by_hand(logits, targets):
    return targets * F.softplus(logits.neg()) * 2 + (1 - targets) * (logits + torch.log1p(torch.exp(-logits)))

def guarded_by_hand(logits, targets):
    if logits.abs().max() > 50:
        raise ValueError("too large")
    p = torch.sigmoid(logits)
    return -(targets * torch.log(p) + (1 - targets) * torch.log(1 - p))

def on_probabilities(pred, gt):
    return -(gt * torch.log(pred) + (1 - gt) * torch.log(1 - pred))
"""


def test_what_it_refused_is_no_part_of_the_verdict(tmp_path, monkeypatch, call):
    """A check of the user's that raises: harmless where it was judged, and the rest is named."""
    monkeypatch.chdir(tmp_path)
    Path("partly.py").write_text(PARTLY)
    code, out, _ = call("check", "partly.py:guarded", "--dtype", "float32")

    assert code == 0
    assert "refused logits below -60 and above 60: ValueError: too large (partly.py:7)" in " ".join(out.split())


def test_where_tails_begin_in_a_sample_is_not_told_as_where_they_begin(call):
    """Rounding noise decides that: floats before the bisected end fail as well. Of bfloat16 every float was judged."""
    asked = "check", "torch-bce-with-logits", "--loss", "bce", "-v"
    sampled, whole = (" ".join(call(*asked, "--dtype", dtype)[1].split()) for dtype in ("float32", "bfloat16"))

    assert "(in a sample: logits below -" in sampled
    assert "(logits " in whole and "in a sample" not in whole


def test_what_it_refuses_far_out_does_not_hide_why_it_harms(tmp_path, monkeypatch, call):
    """The harm begins, and is traced, at a logit that it takes."""
    monkeypatch.chdir(tmp_path)
    Path("partly.py").write_text(PARTLY)
    code, out, _ = call("check", "partly.py:guarded_by_hand", "--dtype", "float32")

    assert code == 1 and "logits 16.64 to 50" in out and "refused logits below -50 and above 50" in " ".join(out.split())
    assert "why partly.py:16: `torch.sigmoid(logits)`: saturation" in " ".join(out.split())


def test_what_it_writes_is_an_expression_that_runs(tmp_path, monkeypatch, call):
    """A method inside a function of a module is no second argument of it."""
    monkeypatch.chdir(tmp_path)
    Path("partly.py").write_text(PARTLY)
    out = call("check", "partly.py:half_by_hand", "--dtype", "float32")[1]

    assert "softplus(-x, " not in out and "F.logsigmoid(-logits)" in out


def test_no_line_of_ours_is_named_as_theirs(tmp_path, monkeypatch, call):
    """The sigmoid that makes probabilities of the logits is made by nobody's line."""
    monkeypatch.chdir(tmp_path)
    Path("partly.py").write_text(PARTLY)
    out = " ".join(call("check", "partly.py:on_probabilities", "--dtype", "float32")[1].split())

    assert "the sigmoid that makes probabilities of logits" in out
    assert "adapted" not in out and str(Path(losscheck.__file__).parent.name) + "/" not in out


def test_what_it_writes_stands_for_what_it_names(tmp_path, monkeypatch, call):
    """Of code on probabilities no patch is made: put in the place of what is named, the expression is the loss, its sign included."""
    monkeypatch.chdir(tmp_path)
    source = "import torch\n\n\ndef bce(p, t):\n    return -(t * torch.log(p + 1e-8) + (1 - t) * torch.log(1 - p + 1e-8)).mean()\n"
    Path("guarded.py").write_text(source)
    lines = call("check", "guarded.py:bce", "--dtype", "float32")[1].splitlines()
    (number,) = [number for number, line in enumerate(lines) if line.strip().startswith("# instead of guarded.py:5 ")]
    named, written = lines[number].split("`")[1], lines[number + 1].strip()
    assert named in source
    names = {"F": torch.nn.functional}
    exec(source.replace(named, f"({written})").replace("def bce(p, t)", "def bce(x, z)"), names)
    assert names["bce"](torch.tensor([20.0]), torch.tensor([0.0])).item() == pytest.approx(20)


SOFTMAX = """import torch


def by_index(x, y):
    p = torch.softmax(x, 1)
    return -torch.log(p[torch.arange(len(y)), y])


def by_gather(x, y):
    p = torch.exp(x) / torch.exp(x).sum(1, keepdim=True)
    return -torch.log(p.gather(1, y[:, None]))[:, 0]


def by_sum(x, y):
    return torch.log(torch.exp(x).sum(1)) - x[torch.arange(len(y)), y]
"""


def test_a_softmax_by_hand_is_told_what_to_write(tmp_path, monkeypatch, call):
    """Two logits and class numbers: found out, and the change that is named mends it."""
    monkeypatch.chdir(tmp_path)
    specs = [f"{name}.py:{name}" for name in ("by_index", "by_gather", "by_sum")]
    for spec in specs:
        Path(spec.partition(":")[0]).write_text(SOFTMAX)
        code, out, _ = call("check", spec, "--dtype", "float32")
        assert code == 1 and ("log_softmax" in out or "logsumexp" in out), spec
        (command,) = [line.split("  ")[-1] for line in out.splitlines() if "--fix" in line]
        assert call(*shlex.split(command)[1:])[0] == 0, spec
    again = [sys.executable, "-m", "losscheck", "check", *specs, "--dtype", "float32"]
    done = subprocess.run(again, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout


def test_a_backend_that_is_named_is_the_only_one(call):
    """Of what ships and of what people write; the command that is printed says it."""
    code, out, _ = call("check", "stable", "--loss", "bce", "--dtype", "float32", "--backend", "NumPy", "--format", "json")
    report = json.loads(out)

    assert code == 0
    assert {tuple(row["backends"]) for row in report["rows"]} == {("numpy",)}
    assert "--backend numpy" in report["reproduce"].lower()


def test_what_is_said_of_a_guard_is_true_in_the_dtype_that_is_judged(tmp_path, monkeypatch, call):
    """1 - 1e-7 is 1 in bfloat16: there the clamp bounds nothing above."""
    monkeypatch.chdir(tmp_path)
    body = "p = torch.sigmoid(x).clamp(1e-7, 1 - 1e-7)\n    return -(z * torch.log(p) + (1 - z) * torch.log(1 - p))"
    Path("clamped.py").write_text(f"import torch\n\n\ndef bce(x, z):\n    {body}\n")
    narrow, wide = (" ".join(call("check", "clamped.py:bce", "--dtype", dtype)[1].split()) for dtype in ("bfloat16", "float32"))
    assert "clamped to [1e-07, 1 - 1e-07]" in narrow and "clamped to [1e-07, 1 - 1e-07]" in wide
    assert "in bfloat16 1 - 1e-07 rounds to 1, and that side of the clamp is gone" in narrow
    assert "is gone" not in wide
