"""`losscheck trace` as a user meets it: three lines first, the ops that matter, a diff that applies, one sentence for every mistake."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

import losscheck
from losscheck.core.errors import UserError

GALLERY = Path(__file__).parents[1] / "docs" / "gallery"

pytestmark = pytest.mark.usefixtures("plain_surroundings")


@pytest.fixture
def heatmap():
    """A copy of CenterNet's loss."""
    shutil.copy(GALLERY / "heatmap.py", "heatmap.py")
    return "heatmap.py:heatmap_loss"


def test_the_answer_stands_in_the_first_three_lines(call, heatmap):
    """Cause, place and cure, with ulp before and after; nothing but the diff is wider than the screen."""
    code, out, err = call("trace", heatmap, "100", "--target", "1")
    answer = out.split("✗")[0]
    before_diff = out.split("--- a/")[0].splitlines()

    assert (code, err) == (0, "")
    assert "cause: saturation (the value rounded to its limit" in answer
    assert "\nplace: heatmap.py:11 1 - pred; lost at line 19 torch.sigmoid(logits)\ncure:  loss inf -> 5.4" in answer
    assert max(map(len, before_diff)) <= 80
    assert "torch.log(1 - pred)            -inf" in out


def test_the_diff_on_the_screen_applies(call, heatmap):
    """Copied from the terminal, real git takes it."""
    _, out, _ = call("trace", heatmap, "100", "--target", "1")
    lines = out.splitlines()
    start = lines.index("--- a/heatmap.py")
    diff = lines[start : lines.index("what was not followed, or met on the way")]
    Path("cure.diff").write_text("\n".join(diff).rstrip() + "\n")
    subprocess.run(["git", "init", "-q"], check=True, timeout=60)
    applied = subprocess.run(["git", "apply", "cure.diff"], capture_output=True, text=True, check=False, timeout=60)

    assert applied.returncode == 0, applied.stderr
    assert "def neg_loss(logits, gt):" in Path("heatmap.py").read_text()


def test_without_a_logit_the_worst_point_is_taken(call):
    """And the report says that it was searched for."""
    shutil.copy(GALLERY / "root_focal.py", "root_focal.py")
    code, out, _ = call("trace", "root_focal.py:focal")

    assert code == 0
    assert "the worst of 70 points tried" in " ".join(out.split())
    assert "targets 0 and 1 alone" in out
    assert "+    return at * torch.exp(" in out


@pytest.mark.parametrize(("logit", "words"), [("17", "cause: "), ("100", "cause: saturation")])
def test_a_published_implementation_is_traced_by_name(call, logit, words):
    """Its source is not the reader's: the expression is given in words of x and z, with the names of its constants."""
    code, out, _ = call("trace", "centernet-neg-loss", logit, "--target", "1")

    assert code == 0
    assert words in out
    assert "** alpha" in out
    assert "expression below" in " ".join(out.split())
    assert "--- a/" not in out


def test_all_shows_every_op(call, heatmap):
    """Those that matter are some of them."""
    some, every = (json.loads(call("trace", heatmap, "100", "--target", "1", "--format", "json", *more)[1]) for more in ((), ("--all",)))

    assert 3 <= len(some["ops"]) < len(every["ops"]) == every["ops_recorded"]
    assert {op["op"] for op in some["ops"]} < {op["op"] for op in every["ops"]}


def test_json_says_all_as_plain_values(call, heatmap):
    """The blamed op is one of the ops, and the diff is a diff."""
    document = json.loads(call("trace", heatmap, "100", "--target", "1", "--format", "json")[1])
    (cause,) = document["causes"]

    assert (document["command"], document["dtype"], document["swept"]) == ("trace", "float32", 0)
    assert cause["kind"] == "saturation"
    assert cause["blamed"] in {op["op"] for op in document["ops"]}
    assert cause["places"]["needed"] == {"file": "heatmap.py", "line": 11, "text": "1 - pred", "function": "neg_loss"}
    assert document["cure"]["loss_ulp"]["before"] == "inf"
    assert document["cure"]["loss_ulp"]["after"] < 6
    assert document["cure"]["diff"].startswith("--- a/heatmap.py\n")
    assert document["cure"]["takes_logits"] == ["neg_loss"]
    assert document["meaning_cure"] is None


@pytest.mark.parametrize("format_name", ["markdown", "html"])
def test_pages_hold_the_diff_as_it_is(call, heatmap, format_name):
    """Every format says the same."""
    code, out, _ = call("trace", heatmap, "100", "--target", "1", "--format", format_name)

    assert code == 0
    assert "+    pred = torch.sigmoid(logits)" in out
    assert "saturation" in out


def test_a_format_for_rows_is_refused(call, heatmap):
    """A trace has no rows."""
    code, _, err = call("trace", heatmap, "100", "--format", "csv")

    assert code == 2
    assert "csv" in err


def test_fix_writes_the_file_and_keeps_what_was_there(call, heatmap):
    """What it writes is sound: a second run finds nothing to do."""
    before = Path("heatmap.py").read_text()
    code, _, err = call("trace", heatmap, "100", "--target", "1", "--fix")

    assert code == 0
    assert "heatmap.py.orig" in err
    assert Path("heatmap.py.orig").read_text() == before
    assert "logsigmoid" in Path("heatmap.py").read_text()
    shutil.copy("heatmap.py", "cured.py")
    code, _, err = call("trace", "cured.py:heatmap_loss", "30", "--target", "0", "--fix")
    assert code == 2
    assert "no patch to write" in err


def test_fix_overwrites_no_kept_original(call, heatmap):
    """FILE.orig of an earlier run is not ours to lose; the file is then left alone."""
    before = Path("heatmap.py").read_text()
    Path("heatmap.py.orig").write_text("mine")
    code, _, err = call("trace", heatmap, "100", "--target", "1", "--fix")

    assert code == 2
    assert "exists already" in err
    assert Path("heatmap.py.orig").read_text() == "mine"
    assert Path("heatmap.py").read_text() == before


def test_fix_keeps_line_ends(call):
    """A file of Windows stays one."""
    source = (GALLERY / "textbook_bce.py").read_text()
    Path("windows.py").write_bytes(source.replace("\n", "\r\n").encode())
    code, _, err = call("trace", "windows.py:bce", "100", "--target", "0", "--fix")
    written = Path("windows.py").read_bytes()

    assert code == 0, err
    assert b"logsigmoid" in written
    assert written.count(b"\r\n") == written.count(b"\n") == source.count("\n")


def test_a_cure_that_changes_the_meaning_is_apart_and_never_written(call):
    """A clamp is somebody's decision."""
    shutil.copy(GALLERY / "guarded_heatmap.py", "guarded.py")
    before = Path("guarded.py").read_text()
    code, out, err = call("trace", "guarded.py:heatmap_loss", "20", "--target", "0", "--fix")

    assert code == 2
    assert "write instead, if the guard is not meant" in out
    assert "a clamp is active" in out
    assert "yours to decide" in err
    assert Path("guarded.py").read_text() == before


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("centernet-neg-los", "1"), "centernet-neg-loss"),
        (("optax", "1"), "there is no implementation"),
        (("stable", "1"), "add --loss"),
        (("stable", "1", "--loss", "nosuch"), "unknown loss"),
        (("centernet-neg-loss", "x"), "unexpected extra argument"),
        (("centernet-neg-loss", "--logit", "x"), "x"),
        (("centernet-neg-loss", "1", "--dtype", "flaot32"), "float32"),
        (("centernet-neg-loss", "1", "--kw", "a=1"), "callable of your own"),
        (("centernet-neg-loss", "1", "--param", "gama=1"), "gama"),
        (("nosuch.py:f", "1"), "there is no file"),
        ((), "Missing argument"),
    ],
)
def test_a_mistake_is_one_message(call, words, told):
    """With what to do instead, and exit code 2."""
    code, out, err = call("trace", *words)

    assert code == 2
    assert out == ""
    assert told in err


def test_python_gets_the_same(heatmap):
    """losscheck.trace on a function: data, and explain() says what the command says."""
    import torch

    def naive(logits, targets):
        return -torch.log(torch.sigmoid(logits)) * targets

    advice = losscheck.trace(naive, torch.tensor([-100.0, 1.0], dtype=torch.float64), 1.0)

    assert advice.trace.dtype == "float64"
    assert [quantity.outcome.value for quantity in advice.trace.quantities][:1] == ["ok"]
    advice = losscheck.trace(naive, 40, 1)
    assert [quantity.outcome.value for quantity in advice.trace.failing] == ["lost", "lost"]
    assert "cause: " in advice.explain()
    assert "F.logsigmoid" in advice.remedies.cure.rewritten[0].after
    assert advice._repr_html_().startswith("<!doctype html>")
    with pytest.raises(UserError, match="no logit"):
        losscheck.trace(naive, target=[0, 1])
