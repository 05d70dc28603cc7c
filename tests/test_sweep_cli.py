"""`losscheck sweep` and `merge` as a user meets them: answers, formats, exit codes, and one message for every mistake."""

import csv
import io
import json
import os
import re
import shlex
import subprocess
import sys

import pytest

from losscheck.core import registry
from losscheck.core.dtypes import FLOAT32
from losscheck.core.outcome import Outcome
from losscheck.filter.running_error import RunningErrorArithmetic

FIELDS = [
    "loss", "implementation", "backend", "device", "dtype", "quantity", "layout", "params", "low", "high", "target", "target_hex", "points",
    "exhaustive", "counts", "max_ulp", "max_ulp_logit_hex", "worst", "regions", "ulp_histogram", "checked_sample", "nan", "refusal",
    "onsets", "reason", "mode", "logit_dtype", "effect", "effect_truth", "effect_quantity", "effect_first", "effect_last", "effect_share",
    "effect_loss_error", "effect_grad_error",
]  # fmt: skip
ONE = ("--loss", "bce", "--impl", "torch-bce-with-logits", "--target", "0")
QUICK = (*ONE, "--quantity", "loss", "--range", "-20", "-10", "--points", "20")


pytestmark = pytest.mark.usefixtures("plain_surroundings")


@pytest.fixture
def document(call):
    """The JSON of a sweep that succeeds, read as strictly as JSON is."""

    def run(*words, command="sweep"):
        code, out, err = call(command, *words, "--format", "json")
        assert code == 0, err
        return json.loads(out, parse_constant=lambda name: pytest.fail(f"bare {name} in JSON"))

    return run


# Shown by --------------------------------------------------------------------------------------------------------------


def test_the_plain_sweep_fits_eighty_columns(call):
    """A table that wraps in an ordinary terminal, or shows a loss less."""
    code, out, err = call("sweep", "--range", "-100", "100", "--points", "60")

    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 80
    assert all(f"{name}  float32" in out for name in ("bce", "weighted-focal", "centernet-heatmap"))
    assert "logits sampled" in out and "0 disagreements" not in out.split("logits sampled")[0]


@pytest.mark.parametrize("losses", [["bce"], sorted(registry.losses(), key=lambda name: name != "bce")], ids=["bce", "all"])
def test_a_sweep_is_one_screen(call, losses):
    """229 lines, 150 rows, "857 more regions": the answer first, a line or two an implementation, the rest behind options."""
    out = call("sweep", *(word for name in losses for word in ("--loss", name)), "--points", "200")[1]
    lines = out.splitlines()

    assert len(lines) <= 17 + 10 * len(losses) and max(map(len, lines)) <= 80
    assert lines[0].startswith("Best here: stable (sound). ") and lines[0].endswith(" harm training.")
    assert re.match(r"  ✗ naive .*poisons: loss NaN", lines[4]) and "-88.72 and above 16.64, target 0" in lines[5]
    assert lines[-4].startswith("- ") and ": -v; " in lines[-4] and lines[-4].endswith(" regions, exact ends: --regions.")
    assert lines[-1].startswith("  losscheck trace ")


def test_regions_and_verbose_show_what_is_behind(call):
    """Every region with its exact ends; every target with its outcomes and ulp."""
    words = ("sweep", "--loss", "bce", "--impl", "torch-s*", "--target", "0", "--points", "200")
    short, regions, full = (call(*words, *more)[1] for more in ((), ("--regions",), ("-v",)))

    assert "16.635532 (0x1.0a2b24p+4)" not in short
    assert "gradient lost from 16.635532 (0x1.0a2b24p+4) to 100 (0x1.9p+6)" in " ".join(regions.split())
    assert "max ulp" not in regions and "max ulp" in full and "gradient lost from" in " ".join(full.split())


def test_bfloat16_is_exhaustive_by_itself(call):
    """A 16-bit dtype that is sampled although it is quick."""
    code, out, _ = call("sweep", *ONE, "--range", "-100", "100", "--dtype", "bfloat16")

    words = " ".join(out.split())
    assert code == 0
    assert "every float from -100 to 100" in words and "regions are complete" in words and "oracle: 0 disagreements" in words
    assert max(len(line) for line in out.splitlines() if not line.startswith("  losscheck ")) <= 80


def test_the_edge_of_lost_is_the_exact_first_float(document):
    """The worked example of the documentation, one float off."""
    torch = pytest.importorskip("torch")
    words = ("--loss", "bce", "--impl", "torch*", "--exhaustive", "--range", "-14.6", "-14.5", "--target", "0")
    rows = document(*words)["rows"]
    row = next(row for row in rows if row["implementation"] == "torch-bce-with-logits" and row["quantity"] == "loss")
    (lost,) = (region for region in row["regions"] if region["outcome"] == "lost")
    last = float.fromhex(lost["last_hex"])
    ends = torch.tensor([last, FLOAT32.neighbour(last, 1)] * 8)
    values = torch.nn.functional.binary_cross_entropy_with_logits(ends, torch.zeros_like(ends), reduction="none")

    assert [float(value) != 0 for value in values[:2]] == [False, True]
    assert row["exhaustive"] is True and lost["points"] == lost["floats"] == row["counts"]["lost"]
    assert lost["first"] == row["low"] and lost["last"] == last
    assert {row["implementation"] for row in rows} == {"torch-bce-with-logits", "torch-sigmoid-bceloss"}


def test_rows_carry_the_fields_of_the_contract(document):
    """A field renamed or left out, a number that is not one, or a worst case without its 30 digits."""
    found = document(*ONE, "--range", "-inf", "inf", "--dtype", "bfloat16")

    assert found["schema_version"] == 1 and found["command"] == "sweep"
    for row in found["rows"]:
        assert list(row) == FIELDS
        assert sum(row["counts"].values()) == sum(row["ulp_histogram"].values()) == row["points"]
        assert (row["low"], row["high"]) == ("-inf", "inf") and row["nan"] == {"points": 254, "numbers": 0}
        assert set(row["checked_sample"]) == {"points", "disagreements", "settled_by_oracle"} and row["checked_sample"]["points"] > 500
        assert len(row["worst"]) == 10 and row["max_ulp_logit_hex"] == row["worst"][0]["logit_hex"]
        for worst in row["worst"]:
            digits = worst["exact"].partition("e")[0].replace(".", "").replace("-", "").lstrip("0")
            assert len(digits) >= 30 or float(worst["exact"]) == float.fromhex(worst["exact_hex"])
            assert worst["outcome"] in {outcome.value for outcome in Outcome}
        for region in row["regions"]:
            assert set(region) == {"outcome", "first", "last", "first_hex", "last_hex", "points", "floats"}
            assert float.fromhex(region["first_hex"]) == float(region["first"])
        failing = {outcome.value for outcome in Outcome if outcome.failed}
        assert {region["outcome"] for region in row["regions"]} == set(row["counts"]) & failing


def test_the_reproduce_command_gives_the_same_rows(document):
    """A command that leaves out an option, or reads a negative number as one."""
    words = (*QUICK, "--param", "pos_weight=2", "--spacing", "ulp", "--max-ulp", "3", "--layout", "both")
    first = document(*words)
    again = shlex.split(first["reproduce"])

    assert again[:2] == ["losscheck", "sweep"]
    assert document(*again[2:])["rows"] == first["rows"]


def test_progress_is_quiet_when_nobody_watches(call):
    """Control characters in a log file."""
    for words in ((), ("--no-progress",), ("-q",)):
        assert call("sweep", *QUICK, *words)[2] == ""


# Formats and files -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("suffix", "start"), [(".json", "{"), (".csv", "loss,"), (".md", "### bce"), (".html", "<!doctype html>")])
def test_the_suffix_of_the_output_names_the_format(call, tmp_path, suffix, start):
    """A report in another format than its file says, or a stray copy on the screen."""
    path = tmp_path / f"report{suffix}"
    code, out, err = call("sweep", *QUICK, "--output", str(path))

    assert (code, out, err) == (0, "", "")
    assert path.read_text().startswith(start)
    assert "torch-bce-with-logits" in path.read_text()


def test_csv_has_a_line_for_each_row(call):
    """A worst case or a region that breaks the line."""
    code, out, _ = call("sweep", *ONE, "--range", "-20", "-10", "--points", "5", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(out)))

    assert code == 0 and [row["quantity"] for row in rows] == ["loss", "grad"]
    assert list(rows[0]) == FIELDS
    assert rows[0]["regions"].startswith("lost:-0x1.4") and ".." in rows[0]["regions"]


@pytest.mark.parametrize("name", ["plot.png", "plot.svg"])
def test_a_plot_is_written_beside_the_report(call, tmp_path, name):
    """An empty picture, or one that replaces the report."""
    pytest.importorskip("matplotlib")
    code, out, err = call("sweep", *QUICK, "--plot", str(tmp_path / name))

    assert code == 0 and "bce  float32" in out and name in err
    assert (tmp_path / name).stat().st_size > 5000


# --fail-on -------------------------------------------------------------------------------------------------------------

NAN = (
    "--loss",
    "bce",
    "--impl",
    "naive",
    "--backend",
    "numpy",
    "--target",
    "0",
    "--quantity",
    "loss",
    "--range",
    "-200",
    "0",
    "--points",
    "9",
)


@pytest.mark.parametrize(
    ("words", "rules", "code"),
    [
        (QUICK, "lost", 1),
        (QUICK, "nan, lost", 1),
        (QUICK, "nan,inf,wrong-sign", 0),
        (QUICK, "ulp>4", 1),
        (QUICK, "ulp>1e30", 0),
        (NAN, "nan", 1),
        (NAN, "ulp>1e30", 1),
        (NAN, "missed-inf,undecided", 0),
        (QUICK, "losst", 2),
        (QUICK, "ulp>", 2),
        (QUICK, "ulp>nan", 2),
        (QUICK, "ulp<4", 2),
        (QUICK, "ulp>-1", 2),
        (QUICK, "ok", 2),
        (QUICK, "", 2),
    ],
)
def test_fail_on_a_sweep(call, words, rules, code):
    """NaN passes `error > limit`; a misspelt rule that never matches."""
    found, out, err = call("sweep", *words, "--fail-on", rules)

    assert found == code
    assert bool(out) == (code != 2)
    assert ("--fail-on matches, first at" in err) == (code == 1)
    assert ("--fail-on" in err) == (code != 0)


POINT = ("--loss", "bce", "--impl", "naive", "--backend", "numpy", "--quantity", "loss", "--target", "0")


@pytest.mark.parametrize(
    ("logit", "rules", "code"),
    [
        ("-110", "nan", 1),
        ("-110", "ulp>1e300", 1),
        ("-110", "inf,lost", 0),
        ("20", "inf", 1),
        ("20", "ulp>5", 1),
        ("1", "nan,inf,lost,ulp>4", 0),
        ("-20", "lost", 1),
        ("1", "ulp>four", 2),
        ("1", "NaN", 2),
    ],
)
def test_fail_on_a_comparison(call, logit, rules, code):
    """A NaN whose ulp is NaN and passes a limit on ulp."""
    assert call("compare", *POINT, "--logit", logit, "--fail-on", rules)[0] == code


def test_fail_on_unavailable(call):
    """CUDA absent counts as success."""
    words = (*QUICK, "--device", "cpu", "--device", "cuda:99", "--fail-on")

    assert call("sweep", *words, "unavailable")[0] == 1
    assert call("sweep", *words, "nan")[0] == 0


# Bad input -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--range", "1", "-1"), "reversed"),
        (("--range", "nan", "1"), "NaN"),
        (("--range", "1e400", "inf"), "beyond the largest"),
        (("--range", "one", "2"), "is not a number"),
        (("--range", "1"), "range"),
        (("--points", "0"), "--points 0"),
        (("--points", "-5"), "--points -5"),
        (("--points", "many"), "points"),
        (("--exhaustive", "--dtype", "float64"), "--points N"),
        (("--spacing", "log"), "spacing"),
        (("--shard", "4/3", "--output", "x.json"), "4/3"),
        (("--shard", "0/3", "--output", "x.json"), "0/3"),
        (("--shard", "1", "--output", "x.json"), "is not a part"),
        (("--shard", "1/0", "--output", "x.json"), "1/0"),
        (("--shard", "1/2"), "--output"),
        (("--jobs", "0"), "--jobs 0"),
        (("--target", "2"), "outside [0, 1]"),
        (("--loss", "weighted-focal", "--target", "0.5"), "soft target"),
        (("--impl", "nothing*"), "nothing*"),
        (("--param", "gamma=-1"), "gamma"),
        (("--max-ulp", "nan"), "max-ulp"),
        (("--device", "tpu"), "tpu"),
        (("--device", "cuda:99", "--impl", "torch-bce*"), "nothing could run"),
        (("--plot", "x.pdf"), ".png"),
        (("--plot", "no/folder/x.png"), "no folder"),
        (("--output", "no/folder/x.json", "--points", "2", "--loss", "bce", "--impl", "stable", "--backend", "numpy"), "no folder"),
        (("--exhaustive", "--layout", "tail"), "three at a time"),
    ],
)
def test_a_mistake_gets_one_message_and_exit_code_two(call, tmp_path, words, said):
    """A traceback, an empty report, or a mistake that is found after an hour of work."""
    code, out, err = call("sweep", *words)

    assert (code, out) == (2, "")
    assert said in err and err.count("losscheck: error:") == 1 and "Traceback" not in err and "internal" not in err
    assert [file.name for file in tmp_path.iterdir()] == ["pyproject.toml"]


def test_a_resume_file_of_something_else_is_refused_and_kept(call, tmp_path):
    """A file overwritten by the command that it does not belong to."""
    state = tmp_path / "state.json"
    assert call("sweep", *QUICK, "--resume", str(state))[0] == 0
    good = state.read_text()
    for words, text, said in [
        ((*QUICK, "--points", "21"), good, "another command"),
        ((*QUICK, "--max-ulp", "5"), good, "another command"),
        ((*QUICK, "--shard", "1/2", "--output", "part.json"), good, "another command"),
        (QUICK, good.replace('"version": "', '"version": "0.'), "was written by losscheck 0."),
        (QUICK, good[: len(good) // 2], "cut in the middle"),
        (QUICK, "not json at all", "no state file"),
        (QUICK, '{"a": 1}', "not a state file"),
    ]:
        state.write_text(text)
        code, out, err = call("sweep", *words, "--resume", str(state))
        assert (code, out) == (2, "") and said in err
        assert state.read_text() == text
    state.write_text(good)
    code, again, err = call("sweep", *QUICK, "--resume", str(state))
    assert code == 0 and again == call("sweep", *QUICK)[1] and "going on from" in err


def test_shards_merge_to_the_report_of_the_whole(call, document, tmp_path):
    """A merge that reports something else than the sweep it was cut from."""
    words = (*ONE, "--range", "-16", "-14", "--dtype", "bfloat16")
    for n in (1, 2, 3):
        code, out, err = call("sweep", *words, "--shard", f"{n}/3", "--output", f"part{n}.json")
        assert (code, out) == (0, "") and "losscheck merge" in err
    whole = document(*words)
    parts = document("part3.json", "part1.json", "part2.json", command="merge")

    assert parts["rows"] == whole["rows"]
    assert shlex.split(parts["reproduce"]) == ["losscheck", "merge", "part3.json", "part1.json", "part2.json"]
    assert call("merge", "part1.json", "part2.json", "part3.json", "--fail-on", "lost")[0] == 1
    for given, said in [
        (("part1.json", "part3.json"), "shard 2 of 3 is missing"),
        (("part1.json", "part1.json", "part2.json", "part3.json"), "both shard 1 of 3"),
        (("part1.json", "absent.json"), "cannot read absent.json"),
        (("pyproject.toml",), "no state file"),
        ((), "FILES"),
    ]:
        code, out, err = call("merge", *given)
        assert (code, out) == (2, "") and said in err and "Traceback" not in err


def test_a_full_disk_loses_nothing_that_was_written(call, tmp_path):
    """Half a report where the old one was."""
    folder = tmp_path / "report.json"
    folder.mkdir()
    code, out, err = call("sweep", *QUICK, "--output", str(folder))

    assert (code, out) == (2, "") and "cannot write" in err
    if os.path.exists("/dev/full"):  # noqa: PTH110
        code, out, err = call("sweep", *QUICK, "--output", "/dev/full")
        assert (code, out) == (2, "") and "No space" in err


def test_a_filter_that_is_wrong_is_a_failure_of_the_command(call, monkeypatch):
    """A sweep that reports its own disagreement with the oracle and exits 0."""
    honest = RunningErrorArithmetic.softplus
    monkeypatch.setattr(RunningErrorArithmetic, "softplus", lambda m, x: honest(m, x) * m.number(1 + 2.0**-20))
    code, out, err = call("sweep", *ONE, "--exhaustive", "--range", "1", "1.0001")

    assert code == 2 and "disagreed with the exact oracle" in err
    assert "disagreements." in out and "oracle: 0 disagreements" not in " ".join(out.split())


def test_an_infinite_limit_judges_outcomes_alone(document, call, tmp_path):
    """--max-ulp inf accepted and then crashing where JSON is written."""
    found = document(*QUICK, "--max-ulp", "inf")
    assert found["max_ulp"] == "inf" and set(found["rows"][0]["counts"]) == {"ok", "lost"}
    assert call("sweep", *QUICK, "--max-ulp", "inf", "--resume", str(tmp_path / "state.json"))[0] == 0


def test_all_nan_logits_leave_no_warning():
    """A warning of numpy's among the notes for the user."""
    words = ["sweep", "--loss", "bce", "--impl", "stable", "--backend", "numpy", "--target", "0", "--dtype", "bfloat16", "--range"]
    done = subprocess.run([sys.executable, "-m", "losscheck", *words, "-inf", "inf"], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    assert "All 254 NaN logits were tried as well: 0 gave a number." in " ".join(done.stdout.split())


def test_help_names_every_option(call):
    """An option that works and that nobody can find."""
    code, out, _ = call("sweep", "--help")

    assert code == 0
    names = "--range --points --spacing --exhaustive --target --layout --jobs --cluster --shard --resume --fail-on --plot --no-progress"
    assert all(name in out for name in [*names.split(), "--format"])
