"""docs/accuracy.md: the page is written from its rows, every row has what reproduces it, and some are measured again."""

import importlib.util
import json
import math
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from ruamel.yaml import YAML

import losscheck
from losscheck.core.effect import Effect
from losscheck.gating.judge import is_installed

FOLDER = Path(__file__).parents[1] / "docs" / "accuracy"
DATA = json.loads((FOLDER / "rows.json").read_text())
PACKAGES = sorted({row["package"] for row in DATA["rows"]})


def module(name):
    spec = importlib.util.spec_from_file_location(f"accuracy_{name}", FOLDER / f"{name}.py")
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


MAKE, PAGES = module("make"), module("pages")
AGAIN = [row for package in PACKAGES for row in MAKE.picked(DATA["rows"], package)]


def test_the_pages_are_written_from_the_rows():
    """Nothing on the page, in its html and in the cases is written by hand."""
    rows = PAGES.ranked(DATA["rows"])

    assert (FOLDER.parent / "accuracy.md").read_text() == "\n".join(PAGES.markdown(rows, DATA["left_out"])) + "\n"
    assert (FOLDER.parent / "accuracy.html").read_text() == PAGES.page(rows, DATA["left_out"])
    assert (FOLDER / "cases.yaml").read_text() == "\n".join(PAGES.cases(rows)) + "\n"


def test_the_page_has_what_it_promises():
    """At least 40 rows, each with a version, a command and a date, ranked by effect; where one harms, its first failing float."""
    rows = PAGES.ranked(DATA["rows"])

    assert len(rows) >= 40
    assert all(row["version"] and row["date"] and "losscheck check " in row["command"] for row in rows)
    for _, mine in PAGES.by_loss(rows):
        severities = [Effect(row["effect"]).severity for row in mine]
        assert severities == sorted(severities)
    assert all(row["first_failing"] is not None for row in rows if Effect(row["effect"]).harmful)


def test_every_row_is_in_the_list():
    """A row that no entry makes would never be measured again."""
    entries = {MAKE.identity(entry) for entry in YAML(typ="safe").load(FOLDER / "implementations.yaml")}

    assert {MAKE.identity(row) for row in DATA["rows"]} <= entries


@pytest.mark.parametrize("row", AGAIN, ids=[f"{row['package']}-{row['what'].rpartition(':')[2]}-{row['dtype']}" for row in AGAIN])
def test_a_row_comes_out_again(row):
    """The effect, the loss and the float where it begins; figures may differ in their last digits on another processor."""
    if not is_installed(row["package"]):
        pytest.skip(f"{row['package']} is not installed")
    if version(row["package"]) != row["version"]:
        pytest.skip(f"{row['package']} {version(row['package'])} is installed, and the page is about {row['version']}")
    entry = {"package": row["package"], "what": row["what"], "options": row["options"], "env": row.get("env", {})}
    again = MAKE.measured(entry, row["dtype"])

    assert (again["effect"], again["loss"], again["params"]) == (row["effect"], row["loss"], row["params"])
    if Effect(row["effect"]).harmful:
        assert math.isclose(again["first_failing"], row["first_failing"], rel_tol=0.02, abs_tol=1e-3)


def test_a_case_of_the_page_holds():
    """The cases of PyTorch's own losses, as a maintainer of one library would take them."""
    report = losscheck.gate(str(FOLDER / "cases.yaml"), case="torch-binary-cross-entropy-with-logits-*")

    assert report.exit_code == 0 and len(report.cases) >= 6


def test_what_is_not_installed_is_skipped(tmp_path):
    """With its reason, and nothing of it imported."""
    case = tmp_path / "case.yaml"
    case.write_text(
        "cases:\n  - name: absent\n    loss: bce\n    implementations: ['no_such_package.losses:bce']\n    packages: [no-such-package]\n"
        "    points: {logits: [1], targets: [1]}\n"
        "  - name: present\n    loss: bce\n    implementations: [stable]\n    points: {logits: [1], targets: [1]}\n"
    )
    report = losscheck.gate(str(case))

    assert [(row.verdict.value, row.reason) for row in report.cases if row.case == "absent"] == [
        ("skipped", "no-such-package is not installed")
    ]
    assert report.exit_code == 0
    assert "no_such_package" not in sys.modules


def by_softplus(logits, targets):
    return targets * F.softplus(-logits) + (1 - targets) * F.softplus(logits)


def by_logsigmoid(logits, targets):
    return -targets * F.logsigmoid(logits) - (1 - targets) * F.logsigmoid(-logits)


def by_logaddexp(logits, targets):
    zero = torch.zeros_like(logits)
    return targets * torch.logaddexp(zero, -logits) + (1 - targets) * torch.logaddexp(zero, logits)


SOUND = {
    "softplus": (by_softplus, ""),
    "logsigmoid": (by_logsigmoid, ""),
    "logaddexp": (by_logaddexp, ""),
    "kornia": ("kornia.losses:binary_focal_loss_with_logits", "kornia"),
    "optax": ("optax.losses:sigmoid_binary_cross_entropy", "optax"),
    "tensorflow": ("tensorflow.nn:sigmoid_cross_entropy_with_logits", "tensorflow-cpu"),
}


@pytest.mark.parametrize(("what", "package"), SOUND.values(), ids=SOUND)
def test_what_is_sound_comes_out_clean(what, package):
    """Right at every target, soft ones among them: `sound` or `tails`, and exit 0."""
    if package and not is_installed(package):
        pytest.skip(f"{package} is not installed")
    report = losscheck.check(what, dtype="float32")

    assert report.exit_code == 0
    assert {row.effect.effect for row in report.ranking} <= {Effect.SOUND, Effect.TAILS}
