"""A loss, an implementation or a format in one new file passes the suite with no other edit: a package adds five, the tests run on it.

The package lies in a temporary folder with entry points, as pip would install it. What runs here is what is generated from the
registry, in the format that is quick to go through; ``python tests/test_a_strangers_loss.py FOLDER`` writes the package for a run of
the whole suite: ``PYTHONPATH=FOLDER pytest``.
"""

import functools
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LOSSES = ("varifocal", "quality-focal", "poly1-bce")
PUBLISHED = '''
"""Softplus of both signs, as many write it."""

from losscheck.core.loss import implementation


@implementation("bce", "their-softplus-bce", source="a test", backends=("torch",))
def their_softplus_bce(xp, logit, target, *, pos_weight):
    """w z softplus(-x) + (1 - z) softplus(x), which is x itself above 20."""
    softplus = xp.nn.functional.softplus
    return pos_weight * target * softplus(-logit) + (1 - target) * softplus(logit)
'''
RENDERER = '''
"""A line for each row of a comparison, fields apart by tabs."""

from losscheck.renderers.flat_report import flat_rows

SERVES = ("compare", "sweep")
SUFFIX = ".tsv"
SHOWN = ("loss", "implementation", "quantity", "dtype", "effect")


def render(report, style):
    return "\\n".join("\\t".join(str(row[name]) for name in SHOWN) for row in flat_rows(report))
'''
GENERATED = ["tests/test_registry.py", "tests/test_stable.py", "tests/test_oracle.py"]
CHOSEN = "(test_registry or their-) and not float64 and not float32 and not float16"


def write(folder, *, change=lambda text: text):
    """The package: our own files of three losses under other names, a published implementation of one of ours, and a format."""
    folder.mkdir(parents=True, exist_ok=True)
    modules = {"their_softplus": PUBLISHED, "their_tsv": RENDERER}
    for name in LOSSES:
        text = (ROOT / "losscheck" / "losses" / f"{name.replace('-', '_')}.py").read_text(encoding="utf-8")
        assert text.count(f'name="{name}"') == 1
        modules[f"their_{name.replace('-', '_')}"] = change(text.replace(f'name="{name}"', f'name="their-{name}"'))
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    info = folder / "theirs-1.0.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n", encoding="utf-8")
    groups = {
        "losscheck.losses": {name: name for name in modules if name not in ("their_softplus", "their_tsv")},
        "losscheck.implementations": {"their_softplus": "their_softplus"},
        "losscheck.renderers": {"tsv": "their_tsv"},
    }
    lines = [line for group, named in groups.items() for line in (f"[{group}]", *(f"{name} = {module}" for name, module in named.items()))]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def suite(folder, *words):
    """The generated tests, with the package on the path: (exit code, output)."""
    done = run(folder, "pytest", "-n", "0", "-q", "-p", "no:cacheprovider", *words)
    return done.returncode, done.stdout + done.stderr


def run(folder, *words):
    """A module of Python with the package on the path."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}
    command = [sys.executable, "-m", *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=600, check=False)


def test_losses_and_an_implementation_of_a_stranger_pass_the_generated_tests(tmp_path):
    """A test that lists the losses, their targets or their bounds by name, and breaks with the next one."""
    write(tmp_path)
    code, out = suite(tmp_path, *GENERATED, "-k", CHOSEN, "-rA")

    assert code == 0, out[-3000:]
    for file in GENERATED[1:]:
        assert [name for name in LOSSES if not re.search(rf"^PASSED {file}::.*\[.*their-{name}", out, re.MULTILINE)] == []


# A mistake in the gradient of the definition, in the naive lines, and the test that is to fail for it.
MISTAKES = {
    ("epsilon * m.sigmoid(-y))", "epsilon * m.sigmoid(y))"): "third_arithmetic",
    ("-xp.log(p_t) + epsilon", "-xp.log(p_t) + 2 * epsilon"): "naive",
}


def test_a_strangers_mistakes_are_caught(tmp_path):
    """The generated tests passing whatever a new file says: each mistake fails the test that is about it."""
    write(tmp_path, change=lambda text: functools.reduce(lambda changed, mistake: changed.replace(*mistake), MISTAKES, text))
    code, out = suite(tmp_path, "tests/test_oracle.py", "-k", "their-poly1-bce and (third or naive)", "-rf")

    assert code == 1, out[-3000:]
    for test in MISTAKES.values():
        assert re.search(rf"^FAILED .*{test}.*their-poly1-bce", out, re.MULTILINE), out[-3000:]


ASKED = ("--loss", "bce", "--impl", "stable", "--backend", "numpy")


def test_a_strangers_format_serves(tmp_path):
    """By --format and by the suffix of the file, for the jobs that it names and no other, and in --help."""
    write(tmp_path)
    compared = run(tmp_path, "losscheck", "compare", *ASKED, "--logit", "1.5", "--format", "tsv")
    swept = run(tmp_path, "losscheck", "sweep", *ASKED, "--range", "-1", "1", "--output", str(tmp_path / "a.tsv"))
    refused = run(tmp_path, "losscheck", "list", "--format", "tsv")
    helped = run(tmp_path, "losscheck", "compare", "--help")

    assert compared.stdout.splitlines() == [f"bce\tstable\t{quantity}\tfloat32\tsound" for quantity in ("loss", "grad")]
    assert swept.returncode == 0, swept.stderr
    assert (tmp_path / "a.tsv").read_text().startswith("bce\tstable\tloss\tfloat32\t")
    assert (refused.returncode, "'tsv' is not one of" in refused.stderr) == (2, True)
    assert "tsv" in helped.stdout


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('SERVES = ("compare", "sweep")', 'SERVES = ("compere",)', "its SERVES is ('compere',), and should be some of"),
        ("def render", "def draw", "it is no module with render(report, style)"),
        ("from losscheck", "from no_such_module", "it cannot be loaded: ModuleNotFoundError"),
        ("tsv = their_tsv", "json = their_tsv", "there is such a format"),
    ],
    ids=["jobs", "render", "import", "name"],
)
def test_a_strangers_broken_format_is_a_warning_that_names_it(tmp_path, old, new, says):
    """The tool goes on without it, and ours stay what they are."""
    write(tmp_path)
    for file in (tmp_path / "their_tsv.py", tmp_path / "theirs-1.0.dist-info" / "entry_points.txt"):
        file.write_text(file.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    done = run(tmp_path, "losscheck", "compare", *ASKED, "--logit", "1.5", "--format", "json")

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("{")
    assert done.stderr.startswith("losscheck: warning: the format ")
    assert "of the package theirs is left out: " in done.stderr
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1


if __name__ == "__main__":
    write(Path(sys.argv[1]))
