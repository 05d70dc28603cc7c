"""The command line as a user meets it: answers, formats, files, defaults, and one clear message for every mistake."""

import csv
import io
import json
import math
import os
import shlex
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import pytest

from losscheck.backends import BACKENDS
from losscheck.backends.extras import installed, missing
from losscheck.cli import main
from losscheck.core import registry
from losscheck.core.dtypes import FORMATS

# The fields of a row, in the order of the contract.
FIELDS = [
    "loss", "implementation", "backend", "device", "dtype", "quantity", "params", "logit", "logit_hex", "target", "target_hex", "value",
    "value_hex", "exact", "exact_hex", "ulp", "absolute_error", "relative_error", "deviation", "outcome", "oracle_bits",
]  # fmt: skip
NUMPY = ("--loss", "bce", "--backend", "numpy")


pytestmark = pytest.mark.usefixtures("plain_surroundings")


@pytest.fixture
def rows_of(call):
    """The rows of a `compare --format json` that succeeds."""

    def run(*words):
        code, out, err = call("compare", *words, "--format", "json")
        assert code == 0, err
        return strict_json(out)["rows"]

    return run


def strict_json(text):
    """JSON that refuses the NaN and Infinity tokens Python's own parser lets through."""

    def refuse(token):
        raise AssertionError(f"{token} is not JSON")

    return json.loads(text, parse_constant=refuse)


def process(*words, **more):
    """The real command in a process of its own."""
    return subprocess.run([sys.executable, "-m", "losscheck", *words], capture_output=True, text=True, timeout=120, check=False, **more)


def at(*pairs):
    """--logit and --target words for (logit, target) pairs."""
    return [word for x, z in pairs for word in ("--logit", str(x), "--target", str(z))]


# The main paths; the first and the last as real processes --------------------------------------------------------------------------------


def test_compare_at_1_5_shows_0_2014_in_every_sound_bce_row():
    """The first command of the README, in full: every bce value at logit 1.5 begins with 0.2014, and nothing is said beside it."""
    done = process("compare", "--logit", "1.5", "-v")
    block = done.stdout.partition("bce  float32")[2].partition("loss at logit 1.5")[2].partition("\n\n")[0].splitlines()[2:]

    assert done.returncode == 0
    assert done.stderr == ""
    assert len(block) >= 8
    assert all(" 0.2014" in line for line in block)


def test_the_reproducible_sentence_of_the_readme_is_lost(call):
    """`compare --loss bce --logit -15 --target 0 -v` calls PyTorch's loss `lost` and its effect `tails`, in the table and in words."""
    code, out, _ = call("compare", "--loss", "bce", "--logit", "-15", "--target", "0", "-v")
    row = next(line for line in out.splitlines() if line.startswith("  torch-bce-with"))

    assert code == 0
    assert row.split()[-3:] == ["lost", "~", "tails"]
    assert row.split()[1] == "0"
    assert "silently lost" in " ".join(out.split())


def test_json_of_saturated_logits_is_valid_and_complete(call):
    """Two logits, two targets, all losses: every implementation on every backend there is, both quantities, both points."""
    code, out, _ = call("compare", *at((-100, 0), (100, 1)), "--format", "json")
    report = strict_json(out)
    found = {(r["loss"], r["implementation"], r["backend"], r["quantity"], r["logit"], r["target"]) for r in report["rows"]}
    wanted = {
        (implementation.loss, implementation.name, backend, quantity, logit, target)
        for implementation in registry.implementations()
        for backend in implementation.backends
        if not missing(implementation, backend)
        for quantity in ("loss", "grad")
        for logit, target in ((-100.0, 0.0), (100.0, 1.0))
    }

    assert code == 0
    assert found == wanted
    assert len(report["rows"]) == len(wanted)


def test_the_version_and_the_help_are_answers():
    """--version names the version, --help lists the commands, each command has its own."""
    assert process("--version").stdout.startswith("losscheck, version 0.")
    assert all(f"\n  {name}" in process("--help").stdout for name in ("compare", "list", "doctor"))
    assert "--max-ulp" in process("compare", "--help").stdout


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("lines", [0, 1])
def test_a_closed_pipe_is_one_message_and_exit_code_2(lines, unbuffered):
    """`losscheck compare ... | head -1`: no traceback, no second complaint when Python flushes at exit.

    Without a buffer (PYTHONUNBUFFERED, as in many containers) Python drops the rest of a write cut short, silently.
    """
    words = [word for n in range(200) for word in ("--logit", str(n / 8))]
    with subprocess.Popen(
        [sys.executable, "-m", "losscheck", "compare", *NUMPY, *words, "--format", "json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
    ) as running:  # fmt: skip
        for _ in range(lines):
            assert running.stdout.readline()
        running.stdout.close()
        err = running.stderr.read().decode()
        code = running.wait(60)

    assert (code, err) == (2, "losscheck: the reader of the output closed it; the rest was not written\n")


def test_ctrl_c_is_one_message_and_exit_code_2():
    """SIGINT in the middle of a long comparison."""
    words = [word for n in range(15_000) for word in ("--logit", str(n / 1024))]
    with subprocess.Popen(
        [sys.executable, "-m", "losscheck", "compare", "--loss", "weighted-focal", "--backend", "mpmath", *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as running:  # fmt: skip
        time.sleep(2.5)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)

    assert (running.returncode, out, err.strip()) == (2, "", "losscheck: interrupted; nothing was judged")


# Answers ----------------------------------------------------------------------------------------------------------


def test_the_mean_of_three_logits_shows_0_6486(call):
    """The reduced loss leads the report; every implementation agrees."""
    code, out, _ = call("compare", "--loss", "bce", *at((0.7, 1), (0.2, 0), (0.1, 0)), "--reduction", "mean")
    block = out.partition("loss at 3 points")[2].partition("\n\n")[0].splitlines()[2:]

    assert code == 0
    assert "reduction: mean" in out
    assert len(block) >= 8
    assert all(" 0.6486" in line or " 0.64857" in line for line in block)


def test_centernet_at_17_shows_the_published_nan(call):
    """`--logit 17 --target 1 --loss centernet-heatmap`: NaN in _neg_loss, and what it means in words."""
    code, out, _ = call("compare", "--logit", "17", "--target", "1", "--loss", "centernet-heatmap")
    row = next(line for line in out.splitlines() if line.split()[:1] == ["centernet-neg-loss"])

    assert code == 0
    assert row.split()[-3:] == ["nan", "✗", "poisons"]
    assert "centernet-neg-loss poisons: loss NaN, logit 17, target 1." in " ".join(out.split())


def test_bfloat16_at_minus_4_25_is_lost(rows_of):
    """`--dtype bfloat16 --logit -4.25 --target 0`: PyTorch's bce with logits returns 0."""
    rows = rows_of("--dtype", "bfloat16", "--logit", "-4.25", "--target", "0", "--impl", "torch-bce-with-logits", "--quantity", "loss")

    assert [(row["outcome"], row["value"]) for row in rows] == [("lost", 0.0)]


def test_an_infinite_and_a_nan_logit_are_answers(rows_of):
    """They exit 0; the right answer at NaN is NaN, and non-finite numbers are strings."""
    rows = rows_of(*NUMPY, "--impl", "stable", "--logit", "nan", "--logit", "inf", "--logit", "-inf", "--target", "0")

    assert [row["value"] for row in rows] == ["nan", "nan", "inf", 1.0, 0.0, 0.0]
    assert [row["exact"] for row in rows] == ["nan", "nan", "inf", "1", "0", "0"]
    assert [row["logit_hex"] for row in rows[::2]] == ["nan", "inf", "-inf"]
    assert {row["outcome"] for row in rows} == {"ok"}


@pytest.mark.parametrize(
    ("dtype", "written", "used"),
    [
        ("float32", "0.1", 0.100000001490116119384765625),
        ("bfloat16", "0x1.01p+0", 1.0),
        ("float16", "1.0004882812500001", 1.0009765625),
        ("float64", "0x1.999999999999ap-4", 0.1),
    ],
)
def test_the_logit_shown_is_the_one_used(rows_of, dtype, written, used):
    """Rounded once to the dtype, decimal or hex."""
    row = rows_of(*NUMPY, "--impl", "stable", "--dtype", dtype, "--logit", written)[0]

    assert row["logit"] == used
    assert float.fromhex(row["logit_hex"]) == used


def test_one_target_serves_all_logits_and_1_is_the_default(rows_of):
    """One --target for all, or one each, or none for 1."""
    words = (*NUMPY, "--impl", "stable", "--quantity", "loss", "--logit", "1", "--logit", "2")

    assert [row["target"] for row in rows_of(*words)] == [1.0, 1.0]
    assert [row["target"] for row in rows_of(*words, "--target", "0")] == [0.0, 0.0]
    assert [row["target"] for row in rows_of(*words, "--target", "0", "--target", "0.5")] == [0.0, 0.5]


def test_quantity_impl_and_param_select(rows_of):
    """--quantity, globs for --impl and --param do what they say."""
    words = ("--loss", "weighted-focal", "--backend", "numpy", "--logit", "1")
    rows = rows_of(*words, "--impl", "s*", "--quantity", "grad", "--param", "gamma=0.5", "--param", "alpha=0.5")

    assert [(row["implementation"], row["quantity"], row["params"]) for row in rows] == [("stable", "grad", {"alpha": 0.5, "gamma": 0.5})]


def test_a_soft_target_leaves_the_hard_losses_out_with_a_note(call):
    """Losses for hard targets cannot take 0.5: they are left out, said so on stderr, and --quiet keeps still."""
    hard = {name for name, loss in registry.losses().items() if loss.hard_targets}
    words = ("compare", "--backend", "numpy", "--logit", "1", "--target", "0.5", "--format", "json")
    code, out, err = call(*words)

    assert code == 0
    assert {row["loss"] for row in strict_json(out)["rows"]} == set(registry.losses()) - hard
    assert all(f"{name} takes no soft target 0.5" in err for name in hard)
    assert call(*words, "-q")[2] == ""


def test_both_oracles_give_one_answer(rows_of):
    """--oracle flint and --oracle mpmath agree in every figure but the bits they needed."""
    words = (*NUMPY, *at((-15, 0), (3, 1)))
    both = [
        [{k: v for k, v in row.items() if k != "oracle_bits"} for row in rows_of(*words, "--oracle", name)] for name in ("flint", "mpmath")
    ]

    assert both[0] == both[1]


def test_max_ulp_is_the_limit_in_force(rows_of):
    """0 calls everything that is not exact inaccurate; inf nothing."""
    words = (*NUMPY, "--impl", "naive", "--logit", "1.5")

    assert {row["outcome"] for row in rows_of(*words, "--max-ulp", "0")} == {"inaccurate"}
    assert {row["outcome"] for row in rows_of(*words, "--max-ulp", "inf")} == {"ok"}


def test_list_names_every_loss_implementation_and_source(call):
    """The table and the JSON of `list` name all of them, with parameters, backends and devices."""
    code, out, err = call("list")
    found = strict_json(call("list", "--format", "json")[1])

    assert (code, err) == (0, "")
    for loss in registry.losses().values():
        assert f"{loss.name}: " in out
        assert all(f"--param {parameter.name}=" in out for parameter in loss.parameters)
    for implementation in registry.implementations():
        assert f"\n{implementation.name} (" in out
        assert " ".join(implementation.source.split())[:40] in " ".join(out.split())
    assert [loss["name"] for loss in found["losses"]] == list(registry.losses())
    assert [backend["name"] for backend in found["backends"]] == list(BACKENDS)
    assert all("cpu" in backend["devices"] or not installed(backend["name"]) for backend in found["backends"])
    assert all("eager" in backend["modes"] for backend in found["backends"])
    assert all(implementation["source"] for loss in found["losses"] for implementation in loss["implementations"])


def test_doctor_finds_nothing_missing_here(call):
    """Versions, devices, subnormals and the self-check, as text and as JSON."""
    code, out, err = call("doctor")
    found = strict_json(call("doctor", "--format", "json")[1])

    assert (code, err) == (0, "")
    assert found["healthy"] is True
    assert {"torch", "numpy", "python-flint", "mpmath"} <= {package["name"] for package in found["packages"] if package["version"]}
    assert all(package["version"] in out for package in found["packages"] if package["version"])
    assert all(check["ok"] for check in found["checks"])
    assert "Everything that losscheck needs is here." in out


# Formats ----------------------------------------------------------------------------------------------------------


def test_json_has_the_fields_of_the_contract_in_order(call):
    """One object; every row begins with the fields of the contract; figures and their hex agree."""
    report = strict_json(call("compare", *at((-100, 0), (100, 1), (-15, 0)), "--format", "json")[1])

    assert list(report)[:4] == ["schema_version", "command", "environment", "reproduce"]
    assert list(report)[-1] == "rows"
    assert (report["schema_version"], report["command"]) == (1, "compare")
    assert {"losscheck", "python", "frameworks", "cpu", "devices"} <= set(report["environment"])
    assert "torch" in report["environment"]["frameworks"]
    for row in report["rows"]:
        assert list(row)[: len(FIELDS)] == FIELDS
        assert float.fromhex(row["logit_hex"]) == row["logit"]
        assert float.fromhex(row["target_hex"]) == row["target"]
        assert str(float.fromhex(row["value_hex"])) == str(float(row["value"]))
        assert isinstance(row["oracle_bits"], int)


@pytest.mark.parametrize("dtype", FORMATS)
def test_exact_is_a_decimal_of_30_digits_that_rounds_to_exact_hex(rows_of, dtype):
    """`exact` has at least 30 significant digits, unless it ends sooner; `exact_hex` is its one correct rounding."""
    for row in rows_of(*NUMPY, "--impl", "stable", "--dtype", dtype, *at((-4.25, 0), (0.5, 1), (-15, 0.5), (3, 1))):
        digits = row["exact"].lstrip("-0.").partition("e")[0].replace(".", "")

        assert len(digits) >= 30
        assert float.fromhex(row["exact_hex"]) == FORMATS[dtype].round_fraction(Fraction(row["exact"]))


def test_csv_is_the_json_rows_as_text(call):
    """The same fields and rows, read back with the csv module."""
    words = ("compare", *NUMPY, "--impl", "naive", *at((-104, 0), (1.5, 1)))
    rows = strict_json(call(*words, "--format", "json")[1])["rows"]
    table = list(csv.DictReader(io.StringIO(call(*words, "--format", "csv")[1])))

    assert len(table) == len(rows)
    assert list(table[0]) == list(rows[0])
    for text, row in zip(table, rows, strict=True):
        for name in ("loss", "implementation", "value", "value_hex", "exact", "outcome", "ulp"):
            assert text[name] == str(row[name])
        assert text["params"] == "pos_weight=1.0"


def test_markdown_tables_have_as_many_cells_in_every_line(call):
    """Header, rule and rows, a table for each quantity; the reproduce line comes last."""
    out = call("compare", *NUMPY, "--logit", "-104", "--target", "0", "--format", "markdown", "-v")[1]
    lines = [line for line in out.splitlines() if line.startswith("|")]

    assert out.startswith("- ✗ naive poisons") and "### bce, float32 (pos\\_weight=1)\n" in out
    assert len(lines) == 2 * (2 + 6)
    assert len({line.replace("\\|", "").count("|") for line in lines}) == 1
    assert lines[1] == "| --- | ---: | ---: | ---: | --- | --- |"
    assert "**✗ poisons**" in out
    assert out.splitlines()[-1].startswith("Reproduce: `losscheck compare --logit -104")


def test_the_table_shows_every_value_of_the_json(call):
    """The values of the JSON, as the shortest decimals of their dtype, appear in the table."""
    words = ("compare", *NUMPY, "--dtype", "float64", *at((-104, 0), (1.5, 1)))
    rows = strict_json(call(*words, "--format", "json")[1])["rows"]
    out = call(*words, "-v")[1].split()

    assert all(FORMATS["float64"].shortest(float(row["value"])) in out for row in rows)


@pytest.mark.parametrize(
    "words",
    [
        ("--loss", "bce", "--impl", "torch*", "--logit", "-15", "--target", "0"),
        ("--loss", "weighted-focal", "--param", "gamma=0.5", "--param", "alpha=0.1", "--logit", "0x1.8p+2", "--quantity", "grad"),
        (*NUMPY, *at((0.7, 1), (0.2, 0)), "--reduction", "published", "--shape", "2,1", "--dtype", "float64", "--dtype", "bfloat16"),
        ("--backend", "mpmath", "--digits", "5", "--oracle", "mpmath", "--max-ulp", "0.25", "--logit", "1e-3"),
        (*NUMPY, "--impl", "s[a-t]*", "--logit", "1", "--device", "cpu", "--max-ulp", "0"),
    ],
)
def test_the_reproduce_command_gives_identical_rows(call, words):
    """The command line in a report, run again, finds the same, whatever was asked."""
    first = strict_json(call("compare", *words, "--format", "json")[1])
    command = shlex.split(first["reproduce"])
    second = strict_json(call(*command[1:], "--format", "json")[1])

    assert command[:2] == ["losscheck", "compare"]
    assert first["rows"]
    assert second == first


def test_the_reproduce_command_overrides_defaults_of_the_surroundings(call, monkeypatch):
    """With a default dtype in the environment, one given on the command line is part of the reproduce command."""
    monkeypatch.setenv("LOSSCHECK_COMPARE_DTYPE", "float16")
    first = strict_json(call("compare", *NUMPY, "--dtype", "float32", "--logit", "1", "--format", "json")[1])
    second = strict_json(call(*shlex.split(first["reproduce"])[1:], "--format", "json")[1])

    assert {row["dtype"] for row in first["rows"]} == {"float32"}
    assert second["rows"] == first["rows"]


def test_the_reproduce_command_holds_what_the_surroundings_chose(call, monkeypatch):
    """A dtype from the environment is in the command, which then needs that environment no more."""
    monkeypatch.setenv("LOSSCHECK_COMPARE_DTYPE", "float16")
    first = strict_json(call("compare", *NUMPY, "--logit", "1", "--format", "json")[1])
    monkeypatch.delenv("LOSSCHECK_COMPARE_DTYPE")
    second = strict_json(call(*shlex.split(first["reproduce"])[1:], "--format", "json")[1])

    assert {row["dtype"] for row in second["rows"]} == {"float16"}
    assert second["rows"] == first["rows"]


# Colour -----------------------------------------------------------------------------------------------------------


def test_colour_is_off_in_a_pipe_on_when_forced_and_no_color_is_honoured(call, monkeypatch):
    """No escape codes unless a terminal or FORCE_COLOR asks for them; NO_COLOR keeps a terminal plain."""
    words = ("compare", *NUMPY, "--logit", "-104", "--target", "0")
    plain = call(*words)[1]
    monkeypatch.setenv("FORCE_COLOR", "1")
    forced = call(*words)[1]
    monkeypatch.delenv("FORCE_COLOR")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    quiet = call(*words)[1]
    monkeypatch.delenv("NO_COLOR")
    terminal = call(*words)[1]

    assert "\x1b[" not in plain
    assert "\x1b[" in forced
    assert "\x1b[" not in quiet
    assert "\x1b[" in terminal


def test_a_file_gets_no_colour(call, monkeypatch, tmp_path):
    """Not even where the terminal would."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    call("compare", *NUMPY, "--logit", "-104", "--target", "0", "--output", "report.txt")

    assert "\x1b[" not in (tmp_path / "report.txt").read_text()


# Files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "start"), [("json", "{"), ("csv", "loss,implementation,"), ("md", "- All 6"), ("txt", "- All 6"), ("", "- All 6")]
)
def test_the_suffix_of_the_output_file_chooses_the_format(call, tmp_path, suffix, start):
    """.json, .csv and .md; anything else is a table. Nothing goes to stdout."""
    code, out, err = call("compare", *NUMPY, "--logit", "1", "--output", f"report.{suffix}" if suffix else "report")

    assert (code, out, err) == (0, "", "")
    assert (tmp_path / (f"report.{suffix}" if suffix else "report")).read_text().startswith(start)


def test_a_format_that_was_asked_for_beats_the_suffix(call, tmp_path):
    """--format csv --output x.json writes CSV."""
    call("compare", *NUMPY, "--logit", "1", "--format", "csv", "--output", "x.json")

    assert (tmp_path / "x.json").read_text().startswith("loss,implementation,")


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file_and_no_rubbish(call, tmp_path, monkeypatch, step):
    """A full disk in the middle of writing: the old report is intact, the temporary file gone, the message names the cure."""
    (tmp_path / "report.json").write_text("old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, full)
    code, _, err = call("compare", *NUMPY, "--logit", "1", "--output", "report.json")

    assert code == 2
    assert "cannot write report.json: No space left on device" in err
    assert "\n  " in err
    assert (tmp_path / "report.json").read_text() == "old"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["pyproject.toml", "report.json"]


def test_a_refused_command_leaves_the_old_file(call, tmp_path):
    """A mistake in another option does not touch the output file."""
    (tmp_path / "report.json").write_text("old")

    assert call("compare", *NUMPY, "--logit", "abc", "--output", "report.json")[0] == 2
    assert (tmp_path / "report.json").read_text() == "old"


def test_an_output_in_a_folder_that_is_not_there_is_refused(call, tmp_path):
    """It names the folder and the cure, and creates nothing."""
    code, out, err = call("compare", *NUMPY, "--logit", "1", "--output", "no/such/report.json")

    assert (code, out) == (2, "")
    assert "there is no folder no/such" in err
    assert "create it first" in err
    assert not (tmp_path / "no").exists()


def test_an_output_that_is_a_folder_is_refused(call, tmp_path):
    """It says so, and the folder stays."""
    (tmp_path / "reports").mkdir()
    code, _, err = call("compare", *NUMPY, "--logit", "1", "--output", "reports")

    assert code == 2
    assert "cannot write reports" in err
    assert "irectory" in err and "Errno" not in err
    assert (tmp_path / "reports").is_dir()


def test_an_existing_file_keeps_its_mode(call, tmp_path):
    """Replaced whole, with the permissions it had."""
    target = tmp_path / "report.json"
    target.write_text("old")
    target.chmod(0o640)
    call("compare", *NUMPY, "--logit", "1", "--output", "report.json")

    assert target.stat().st_mode & 0o777 == 0o640
    assert strict_json(target.read_text())["rows"]


# Defaults from files and the environment --------------------------------------------------------------------------


def test_defaults_come_from_the_pyproject_of_the_working_folder(rows_of, tmp_path):
    """[tool.losscheck.compare], options as on the command line; what is given on the command line wins."""
    (tmp_path / "pyproject.toml").write_text(
        '[tool.losscheck.compare]\ndtype = ["float16"]\nbackend = ["numpy"]\nquantity = "loss"\nmax-ulp = 2.0\n'
    )
    rows = rows_of("--loss", "bce", "--logit", "1")

    assert {(row["dtype"], row["backend"], row["quantity"]) for row in rows} == {("float16", "numpy", "loss")}
    assert {row["dtype"] for row in rows_of("--loss", "bce", "--logit", "1", "--dtype", "float64")} == {"float64"}


def test_a_single_string_serves_an_option_that_may_be_repeated(rows_of, tmp_path):
    """dtype = "float16", as people write it, is one dtype and not seven letters."""
    (tmp_path / "pyproject.toml").write_text('[tool.losscheck.compare]\ndtype = "float16"\n')

    assert {row["dtype"] for row in rows_of(*NUMPY, "--logit", "1")} == {"float16"}


@pytest.mark.parametrize(
    ("text", "problem", "cure"),
    [
        ("[tool.losscheck.compare]\ndtpye = 'float16'\n", "`compare` has no option 'dtpye'", "did you mean dtype"),
        ("[tool.losscheck.comapre]\ndtype = 'float16'\n", "has no command 'comapre'", "did you mean compare?"),
        ("[tool.losscheck]\ncompare = 3\n", "tool.losscheck.compare is not a table", "[tool.losscheck.compare]"),
        ("[tool.losscheck\n", "is not valid TOML", "mend the file"),
    ],
)
def test_a_mistake_in_the_pyproject_names_the_file_and_the_cure(call, tmp_path, text, problem, cure):
    """A misspelled option is not silently ignored."""
    (tmp_path / "pyproject.toml").write_text(text)
    code, _, err = call("compare", *NUMPY, "--logit", "1")

    assert code == 2
    assert "pyproject.toml" in err
    assert problem in err
    assert cure in err


def test_a_default_may_come_from_the_environment(rows_of, monkeypatch):
    """LOSSCHECK_COMPARE_DTYPE=float64, as the README says; the command line wins."""
    monkeypatch.setenv("LOSSCHECK_COMPARE_DTYPE", "float64")

    assert {row["dtype"] for row in rows_of(*NUMPY, "--logit", "1")} == {"float64"}
    assert {row["dtype"] for row in rows_of(*NUMPY, "--logit", "1", "--dtype", "float16")} == {"float16"}


# One clear message for every mistake ------------------------------------------------------------------------------

NO_CUDA = "nothing could run (cuda: "
TEXTBOOK = str(Path(__file__).parents[1] / "docs" / "gallery" / "textbook_bce.py")
MISTAKES = {
    "no number": (("--logit", "abc"), "logit 'abc' is not a number", "write a decimal (-1.5, 3e-7), a hex float"),
    "beyond the dtype": (("--logit", "1e400"), "logit 1e400 is beyond the largest float32", "write 'inf' if infinity is meant"),
    "beyond float16": (("--logit", "1e5", "--dtype", "float16"), "beyond the largest float16 (65504)", "choose a wider dtype"),
    "target too large": (("--logit", "1", "--target", "1.5"), "target 1.5 is outside [0, 1]", "between 0 and 1"),
    "target negative": (("--logit", "1", "--target", "-0.1"), "target -0.1 is outside [0, 1]", "between 0 and 1"),
    "target nan": (("--logit", "1", "--target", "nan"), "target nan is outside [0, 1]", "between 0 and 1"),
    "soft target": (("--loss", "weighted-focal", "--logit", "1", "--target", "0.5"), "weighted-focal takes no soft target 0.5",
                    "it is defined for the classes 0 and 1 alone; give --target 0 or 1, or use --loss bce"),
    "unpaired": ((*at((1, 0), (2, 1)), "--logit", "3"), "3 logits and 2 targets do not pair", "one for each --logit"),
    "no logit": (("--loss", "bce"), "no logit was given", "see `losscheck compare --help`"),
    "unknown loss": (("--loss", "bec", "--logit", "1"), "unknown loss 'bec'", "did you mean bce?"),
    "unknown implementation": (("--impl", "stabel", "--logit", "1"), "matches 'stabel'", "did you mean stable?"),
    "empty glob": (("--impl", "zzz*", "--logit", "1"), "matches 'zzz*'", "known: "),
    "one empty glob": (("--impl", "stable", "--impl", "zzz*", "--logit", "1"), "matches 'zzz*'", "known: "),
    "a file alone": (("--impl", TEXTBOOK, "--logit", "1"), "names a file and no function in it", "textbook_bce.py:bce"),
    "a package that is not here": (("--loss", "bce", "--impl", "torchfocal:focal", "--logit", "1"), "no module 'torchfocal'", "install"),
    "unknown dtype": (("--dtype", "flaot32", "--logit", "1"), "unknown dtype 'flaot32'", "did you mean float32"),
    "unknown device": (("--device", "cdua", "--logit", "1"), "unknown device 'cdua'", "did you mean cuda"),
    "device without number": (("--device", "cuda:x", "--logit", "1"), "unknown device 'cuda:x'", "did you mean cuda"),
    "unknown backend": (("--backend", "numyp", "--logit", "1"), "unknown backend 'numyp'", "did you mean numpy?"),
    "unknown oracle": (("--oracle", "flnit", "--logit", "1"), "unknown oracle 'flnit'", "did you mean flint?"),
    "unknown parameter": (("--param", "gama=2", "--logit", "1"), "no parameter 'gama'", "did you mean gamma?"),
    "parameter of another loss": (("--loss", "bce", "--param", "gamma=2", "--logit", "1"), "no parameter 'gamma' in bce", "pos_weight"),
    "parameter out of range": (("--param", "gamma=-1", "--logit", "1"), "parameter gamma=-1 is out of its range", "at least 0"),
    "class weight out of range": (("--loss", "weighted-focal", "--param", "alpha=2", "--logit", "1"),
                                  "alpha=2 is out of its range", "in [0, 1]"),
    "parameter nan": (("--param", "gamma=nan", "--logit", "1"), "gamma=nan is out of its range", "at least 0"),
    "parameter inf": (("--param", "gamma=inf", "--logit", "1"), "gamma=inf", "finite"),
    "parameter beyond the dtype": (("--loss", "bce", "--param", "pos_weight=1e6", "--dtype", "float16", "--logit", "1"),
                                   "pos_weight=1e+06 is not finite in float16", "finite"),
    "parameter no number": (("--param", "gamma=two", "--logit", "1"), "parameter gamma=two is out of its range", "must be finite"),
    "parameter without value": (("--param", "gamma", "--logit", "1"), "'gamma' is not of the form NAME=VALUE", "--param gamma=1.5"),
    "parameter twice": (("--param", "gamma=1", "--param", "gamma=2", "--logit", "1"), "gamma is given twice", "keep one"),
    "shape no shape": (("--shape", "a,b", "--logit", "1"), "--shape 'a,b' is not a shape", "--shape 2,1"),
    "shape of other size": (("--shape", "2,2", "--logit", "1"), "--shape 2,2 holds 4 points, but 1 logits", "make them agree"),
    "negative limit": (("--max-ulp", "-1", "--logit", "1"), "--max-ulp -1.0 is not a limit", "at least 0"),
    "limit nan": (("--max-ulp", "nan", "--logit", "1"), "--max-ulp nan is not a limit", "at least 0"),
    "one digit": (("--digits", "1", "--logit", "1"), "--digits", "at least 2 and at most 5000"),
    "unknown format": (("--format", "xml", "--logit", "1"), "--format", "json"),
    "unknown quantity": (("--quantity", "slope", "--logit", "1"), "unknown quantity 'slope'", "grad"),
    "unknown option": (("--logits", "1"), "--logits", "--logit"),
    "positional": (("--logit", "1", "bce"), "matches 'bce'", "bce is a loss: --loss bce"),
    "nothing runs there": (("--impl", "torch*", "--backend", "numpy", "--logit", "1"), "runs on the backend numpy", "losscheck list"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_gets_one_message_with_its_cure_and_exit_code_2(call, mistake):
    """What is wrong, the cure, nothing on stdout, no traceback, exit 2."""
    words, problem, cure = MISTAKES[mistake]
    code, out, err = call("compare", *words)

    assert (code, out) == (2, "")
    assert err.startswith("losscheck: error: ")
    assert err.count("losscheck: ") == 1
    assert problem in err.splitlines()[0]
    assert cure in err
    assert "Traceback" not in err
    assert "internal error" not in err


def test_a_mistake_keeps_its_manners_in_a_real_process():
    """Exit code 2, one message, no traceback, from the installed command too."""
    done = process("compare", "--logit", "abc")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[0] == "losscheck: error: logit 'abc' is not a number"


def test_an_unknown_command_names_the_nearest(call):
    """`losscheck comapre`."""
    code, _, err = call("comapre", "--logit", "1")

    assert code == 2
    assert "no command 'comapre': did you mean compare?" in err


def test_only_a_missing_device_is_an_error_and_one_of_several_is_not(call):
    """--device cuda:99 alone exits 2 with the reason; beside the cpu its rows are `unavailable`, with the reason."""
    words = ("compare", "--loss", "bce", "--impl", "torch-bce*", "--logit", "1")
    code, out, err = call(*words, "--device", "cuda:99")
    rows = strict_json(call(*words, "--device", "cpu", "--device", "cuda:99", "--format", "json")[1])["rows"]

    assert (code, out) == (2, "")
    assert "nothing could run (cuda:99: " in err
    assert "--device" in err.splitlines()[1]
    assert [(row["device"], row["outcome"]) for row in rows] == [
        ("cpu", "ok"),
        ("cpu", "ok"),
        ("cuda:99", "unavailable"),
        ("cuda:99", "unavailable"),
    ]
    assert all(row["reason"] and row["value"] is None for row in rows[2:])


def test_a_device_that_no_selected_implementation_knows_is_refused(call):
    """numpy and mpmath run on the cpu alone: asked for cuda only, nothing is left."""
    code, _, err = call("compare", *NUMPY, "--device", "cuda", "--logit", "1")

    assert code == 2
    assert "error" in err
    assert "internal" not in err


def test_a_crash_is_an_internal_error_with_exit_code_2(call, monkeypatch):
    """Never 1, which means a broken budget, and never a traceback unless LOSSCHECK_DEBUG asks for it."""

    def crash(*_):
        raise ZeroDivisionError("on purpose")

    monkeypatch.setattr("losscheck.measure.compare.compare", crash)
    code, _, err = call("compare", *NUMPY, "--logit", "1")
    monkeypatch.setenv("LOSSCHECK_DEBUG", "1")

    assert code == 2
    assert err.startswith("losscheck: internal error: ZeroDivisionError: on purpose\n")
    assert "LOSSCHECK_DEBUG=1" in err
    with pytest.raises(ZeroDivisionError):
        monkeypatch.setattr(sys, "argv", ["losscheck", "compare", *NUMPY, "--logit", "1"])
        main()


def test_the_worst_rows_are_said_in_words(call):
    """A line below the table says what failed, what came and what is right."""
    out = " ".join(call("compare", "--loss", "bce", "--impl", "torch-bce*", "--logit", "-15", "--target", "0")[1].split())

    assert "the loss at logit -15, target 0 is exactly 0 where 3.059022737e-07 is right: it is silently lost." in out


def test_numbers_of_every_size_are_read_without_harm(rows_of):
    """A thousand zeros, a thousand digits and huge exponents are read exactly or refused, never hung upon."""
    rows = rows_of(
        *NUMPY, "--impl", "stable", "--dtype", "float64", "--logit", "0." + "3" * 1000, "--logit", "1e-999999999", "--logit", "-1.7e308"
    )

    assert [row["logit"] for row in rows[::2]] == [1 / 3, 0.0, -1.7e308]
    assert all(math.isfinite(float(row["value"])) for row in rows)


def test_the_package_is_run_from_any_folder(tmp_path):
    """`python -m losscheck` needs nothing of the folder it is started in."""
    assert process("compare", *NUMPY, "--logit", "1", "--format", "csv", cwd=tmp_path).returncode == 0
    assert Path(tmp_path / "pyproject.toml").exists()


def test_a_missing_package_is_named(tmp_path):
    """An incomplete installation called a bug of ours."""
    (tmp_path / "pydantic.py").write_text("raise ModuleNotFoundError(\"No module named 'pydantic'\", name='pydantic')\n")
    (tmp_path / "one.yaml").write_text("cases: []\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(__file__).parents[1])])}
    done = subprocess.run(
        [sys.executable, "-m", "losscheck", "gate", "one.yaml"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert "the module pydantic is not installed" in done.stderr
    assert "losscheck doctor" in done.stderr
