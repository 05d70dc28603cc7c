"""`losscheck adapt`: a wrapper that runs for a loss that is called in another way, or a place to fill with what was tried."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import losscheck
from losscheck.core.errors import UserError

LOSSES = '''
import numpy as np
import torch
import torch.nn.functional as F


class OneHot(torch.nn.Module):
    """Classes have a weight each; targets are one-hot rows."""

    def __init__(self, num_classes):
        super().__init__()
        self.register_buffer("weight", torch.ones(num_classes))

    def forward(self, inputs, rows):
        return -(self.weight * rows * F.log_softmax(inputs, dim=-1)).sum(-1)


def assigned(pred, anchors, gt, stride):
    assert anchors.shape == pred.shape
    return F.binary_cross_entropy_with_logits(pred, gt, reduction="none") * anchors / stride


def signs(scores, y, margin):
    assert ((y == 1) | (y == -1)).all(), "labels are -1 or 1"
    return F.softplus(margin - y * scores)


def parts(p, z):
    assert p.min() >= 0
    return {"n": 3, "cls": F.binary_cross_entropy(p, z, reduction="none")}


def in_numpy(scores, y, margin):
    assert ((y == 1) | (y == -1)).all()
    return np.logaddexp(scores.dtype.type(0), scores.dtype.type(margin) - y * scores)


def hopeless(pred, gt, sampler):
    return sampler.pick(pred, gt)


def plain(x, z):
    return F.binary_cross_entropy_with_logits(x, z, reduction="none")
'''

pytestmark = pytest.mark.usefixtures("plain_surroundings")


@pytest.fixture(autouse=True)
def file(plain_surroundings):
    Path("sub").mkdir()
    for name in ("theirs.py", "sub/below.py"):
        Path(name).write_text(LOSSES, encoding="utf-8")


def run(*words):
    """The command line in a process of its own, as the wrapper will be run: (exit code, standard output, standard error)."""
    done = subprocess.run([sys.executable, "-m", "losscheck", *words], capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout, done.stderr


def code_of(path):
    """Its lines without comments and blank ones."""
    return [line for line in Path(path).read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize(
    ("home", "name", "written"),
    [
        ("theirs.py", "OneHot", "torch.stack([torch.zeros_like(logits), logits], -1), torch.stack([1 - targets, targets], -1)"),
        ("theirs.py", "assigned", "pred=logits, gt=targets, anchors=torch.ones_like(logits)"),
        ("sub/below.py", "signs", "signs(logits, 2 * targets - 1, margin=0.0)"),
        ("theirs.py", "parts", 'parts(torch.sigmoid(logits), targets)["cls"]'),
        ("theirs.py", "in_numpy", "in_numpy(logits, 2 * targets - 1, margin=0.0)"),
    ],
)
def test_the_wrapper_has_the_call_and_can_be_judged(call, home, name, written):
    """Adapted, then judged, each by the command that is printed; without the wrapper it could not be, or not for what it is.

    That of a file in another folder is judged by a process that knows nothing of the file but the wrapper.
    """
    code, out, err = call("adapt", f"{home}:{name}")
    wrapper = Path(f"{name}_adapted.py")

    assert (code, err) == (0, "")
    assert f"losscheck check {wrapper}:loss" in out
    assert written in code_of(wrapper)[-1]
    command = run if "/" in home else call
    code, out, err = command("check", f"{wrapper}:loss", "--dtype", "float32")
    assert code in (0, 1), err
    assert "bce" in out


def test_what_was_tried_stands_in_the_wrapper():
    """Each reason with its place in their file, and which values were guesses."""
    losscheck.adapt("theirs.py:assigned")
    comments = " ".join(Path("assigned_adapted.py").read_text(encoding="utf-8").replace("\n#  ", "").splitlines())

    assert re.search(r"anchors=null.*AttributeError.*theirs\.py:\d+", comments)
    assert "values of anchors, stride are guesses" in comments


def test_a_guess_is_not_needed_for_what_is_given():
    """--kw is kept, and only the rest is looked for."""
    losscheck.adapt("theirs.py:assigned", keywords={"stride": 1.0})

    assert "stride=1.0" in code_of("assigned_adapted.py")[-1]
    assert "values of anchors are guesses" in Path("assigned_adapted.py").read_text(encoding="utf-8")


def test_what_works_as_it_is_gets_no_wrapper(call):
    """The command is told; a file is neither written nor missed."""
    code, shown, _ = call("adapt", "theirs.py:plain")

    assert code == 0
    assert "works as it is" in shown
    assert "losscheck check theirs.py:plain" in shown
    assert sorted(path.name for path in Path().glob("*_adapted.py")) == []


def test_the_hopeless_gets_a_place_to_fill(call):
    """Exit 2; the file has what failed, is Python, and becomes a wrapper when the place is filled."""
    code, shown, told = call("adapt", "theirs.py:hopeless")
    text = Path("hopeless_adapted.py").read_text(encoding="utf-8")

    assert (code, shown) == (2, "")
    assert "hopeless_adapted.py" in told
    assert re.search(r"# - sampler=null.*'NoneType' object has no attribute 'pick'", text)
    assert code_of("hopeless_adapted.py")[-1] == "    return hopeless(...)"
    filled = text.replace("import hopeless", "import plain").replace("hopeless(...)", "plain(logits, targets)")
    Path("filled.py").write_text(filled, encoding="utf-8")
    assert losscheck.check("filled.py:loss", dtype="float32").ranking[0].loss == "bce"


def test_a_file_that_is_there_is_replaced_only_by_force():
    """Neither by a wrapper nor by a template."""
    Path("mine.py").write_text("mine = 1\n")
    for name in ("signs", "hopeless"):
        with pytest.raises(UserError, match=r"mine.py exists already.*--force"):
            losscheck.adapt(f"theirs.py:{name}", output="mine.py")
    assert Path("mine.py").read_text() == "mine = 1\n"

    assert losscheck.adapt("theirs.py:signs", output="mine.py", force=True).serves
    assert "signs(logits, 2 * targets - 1, margin=0.0)" in code_of("mine.py")[-1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("theirs.py:nothing",), "has no 'nothing'"),
        (("theirs.py:signs", "--loss", "bec"), "did you mean"),
        (("theirs.py:signs", "--output", "wrapper"), "--output wrapper.py"),
        (("theirs.py:signs", "--output", "theirs.py", "--force"), "the file of the callable itself"),
        (("theirs.py:signs", "--output", "no/where.py"), "there is no folder"),
    ],
)
def test_a_mistake_is_told_with_its_cure_and_nothing_is_written(call, words, said):
    """A name, a loss, a folder."""
    code, _, told = call("adapt", *words)

    assert (code, said in told) == (2, True), told
    assert not list(Path().glob("*_adapted.py"))
