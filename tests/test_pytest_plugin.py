"""Case files as pytest items: opt-in, one for each case, and nothing imported before a file is collected."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from losscheck.inventory.instructions import environment_class

ROOT = Path(__file__).parents[1]
GOOD = """\
cases:
  - name: holds
    loss: bce
    implementations: [stable]
    points: {logits: [1, -15], targets: 0}
    quantities: [loss]
"""
BROKEN = """\
  - name: breaks
    loss: bce
    implementations: [torch-bce-with-logits]
    points: {logits: [1, -15], targets: 0}
    quantities: [loss]
"""
KNOWN = """\
  - name: known
    loss: bce
    implementations: [torch-bce-with-logits]
    points: {logits: -15, targets: 0}
    quantities: [loss]
    known_failure: {reason: it cancels, link: 'https://example.org', outcomes: [lost]}
"""
ELSEWHERE = """\
  - name: elsewhere
    loss: bce
    implementations: [stable]
    devices: ['cuda:99']
    points: {logits: 1, targets: 0}
"""
INI = "[pytest]\nlosscheck_cases = cases more/one.yaml\n"


@pytest.fixture
def project(tmp_path):
    """A project with case files in two folders, one test of its own, and a YAML file that is no case file."""
    (tmp_path / "cases").mkdir()
    (tmp_path / "more").mkdir()
    (tmp_path / "cases" / "all.yaml").write_text(GOOD + BROKEN + KNOWN + ELSEWHERE, encoding="utf-8")
    (tmp_path / "more" / "one.yaml").write_text(GOOD.replace("holds", "holds too"), encoding="utf-8")
    (tmp_path / "more" / "other.yaml").write_text("is: no case\n", encoding="utf-8")
    (tmp_path / "workflow.yml").write_text("on: push\n", encoding="utf-8")
    (tmp_path / "test_own.py").write_text("def test_own():\n    pass\n", encoding="utf-8")
    (tmp_path / "pytest.ini").write_text(INI, encoding="utf-8")
    return tmp_path


def run(folder, *words, plugin=True):
    """pytest in a process of its own; the plug-in by name where this environment does not have its entry point."""
    known = subprocess.run(
        [sys.executable, "-c", "from importlib.metadata import entry_points as e; print(*[p.name for p in e(group='pytest11')])"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    named = ["-p", "losscheck.pytest_plugin"] if plugin and "losscheck" not in known.stdout.split() else []
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120", "PYTEST_ADDOPTS": ""}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *named, "-rA", *words],
        capture_output=True, text=True, timeout=120, check=False, cwd=folder, env=environment,
    )  # fmt: skip


def test_every_case_is_an_item_with_its_own_result(project):
    """Holds: passed; broken: failed; known: xfailed; no such device: skipped; the project's own test as ever.

    And a failure says what, where and how to see it again: no traceback of the plug-in, but the message of the gate.
    """
    done = run(project)
    results = {
        line.split(" ")[1]: line.split(" ")[0] for line in done.stdout.splitlines() if line.startswith(("PASSED ", "FAILED ", "XFAIL "))
    }

    assert done.returncode == 1
    assert results == {
        "cases/all.yaml::holds": "PASSED",
        "more/one.yaml::holds": "PASSED",
        "test_own.py::test_own": "PASSED",
        "cases/all.yaml::known": "XFAIL",
        "cases/all.yaml::breaks": "FAILED",
    }
    assert "1 failed, 3 passed, 1 skipped, 1 xfailed" in done.stdout
    assert "it cancels (https://example.org)" in done.stdout
    for words in (
        "case breaks",
        f"{project}/cases/all.yaml:7: torch-bce-with-logits torch float32 cpu loss: fail",
        "1 lost of 2 points, which the case does not allow",
        "logit -15 (-0x1.ep+3), target 0: got 0, exact 3.059022737e-07, -1.1e+07 ulp (lost), limit 8 ulp",
        "reproduce: losscheck compare --logit -15 --target 0 --loss bce --impl torch-bce-with-logits",
    ):
        assert words in done.stdout
    assert "Traceback" not in done.stdout
    assert "pytest_plugin.py" not in done.stdout.partition("short test summary")[0]


def test_without_the_option_yaml_files_are_ignored(project):
    """Opt-in: a workflow file is nobody's test."""
    (project / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    done = run(project)

    assert done.returncode == 0
    assert "1 passed" in done.stdout
    assert ".yaml" not in done.stdout


def test_only_the_named_files_are_collected(project):
    """`more/other.yaml` lies beside one that is named."""
    done = run(project, "--collect-only", "-q")

    assert done.returncode == 0
    assert sorted(line for line in done.stdout.splitlines() if "::" in line) == [
        "cases/all.yaml::breaks",
        "cases/all.yaml::elsewhere",
        "cases/all.yaml::holds",
        "cases/all.yaml::known",
        "more/one.yaml::holds too",
        "test_own.py::test_own",
    ]


def test_a_file_that_cannot_be_read_is_a_collection_error_with_every_place(project):
    """The others of the run are told apart from it; its problems come at once."""
    (project / "cases" / "bad.yaml").write_text(GOOD.replace("bce", "bec").replace("quantities", "quantity"), encoding="utf-8")
    done = run(project, "cases")

    assert done.returncode == 2
    assert f"{project}/cases/bad.yaml:3:11: cases[0].loss: unknown loss 'bec': did you mean bce?" in done.stdout
    assert f"{project}/cases/bad.yaml:6:5: cases[0].quantity: unknown key 'quantity': did you mean quantities?" in done.stdout
    assert "Traceback" not in done.stdout
    assert "ERROR cases/bad.yaml" in done.stdout


def test_a_case_that_could_not_be_judged_fails(project):
    """An implementation that raises is no pass and no skip."""
    raising = "from losscheck.core import registry\nimport dataclasses, pytest\n\ndef refuse(*a, **k):\n    raise ValueError('not today')\n"
    raising += "everyone = tuple(dataclasses.replace(e, function=refuse) for e in registry.implementations())\n"
    raising += "registry.implementations = lambda: everyone\n"
    (project / "conftest.py").write_text(raising, encoding="utf-8")
    done = run(project, "more/one.yaml")

    assert done.returncode == 1
    assert "could not run: ValueError: not today" in done.stdout
    assert "undecided" in done.stdout


def test_a_damaged_baseline_fails_with_one_message(project):
    """The user's error, without a traceback."""
    text = GOOD + "    expect: {recorded: true}\n"
    (project / "more" / "one.yaml").write_text(text, encoding="utf-8")
    (project / "more" / "baseline").mkdir()
    classes = [environment_class(backend, "cpu") for backend in ("numpy", "torch")]
    for environment in classes:
        (project / "more" / "baseline" / f"{environment}.json").write_text("{}", encoding="utf-8")
    done = run(project, "more/one.yaml")

    assert done.returncode == 1
    assert f"{classes[0]}.json is no baseline" in done.stdout
    assert "Traceback" not in done.stdout


LOADED = "import json, sys\n{code}\nprint(json.dumps(sorted({{module.partition('.')[0] for module in sys.modules}})))"


def modules_after(code, cwd=ROOT):
    done = subprocess.run([sys.executable, "-c", LOADED.format(code=code)], capture_output=True, text=True, timeout=60, check=True, cwd=cwd)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_loading_the_plugin_imports_pytest_alone():
    """It is loaded in every run of every project that has losscheck installed."""
    loaded = modules_after("import losscheck.pytest_plugin") - modules_after("import pytest")

    assert loaded == {"losscheck"}


def inside(*words):
    """Code that runs pytest with the plug-in, whether or not an entry point registers it here as well."""
    named = ["-p", "no:losscheck", "-p", "losscheck.pytest_plugin"]
    return f"sys.path.insert(0, {str(ROOT)!r})\nimport pytest\npytest.main({[*named, *words]!r})"


def test_a_run_without_case_files_loads_nothing_either(project):
    """Not even the reader of YAML."""
    (project / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    loaded = modules_after(inside("-q", "-p", "no:cacheprovider"), cwd=project)

    assert loaded & {"torch", "numpy", "pydantic", "ruamel", "flint", "mpmath", "rich"} == set()


def test_collecting_loads_no_framework(project):
    """--collect-only reads the cases; frameworks come with the first item that runs."""
    loaded = modules_after(inside("--collect-only", "-q", "cases"), cwd=project)

    assert "pydantic" in loaded
    assert loaded & {"torch", "numpy", "flint", "numba"} == set()


def test_the_plugin_is_registered_by_an_entry_point():
    """Under the name that users switch off with `-p no:losscheck`."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert project["entry-points"]["pytest11"] == {"losscheck": "losscheck.pytest_plugin"}
