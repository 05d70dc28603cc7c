"""A loss or an implementation in one new file passes the suite with no other edit: four are added as a package, the tests run on them.

The package lies in a temporary folder with entry points, as pip would install it. What runs here is what is generated from the
registry, in the format that is quick to go through; ``python tests/test_a_strangers_loss.py FOLDER`` writes the package for a run of
the whole suite: ``PYTHONPATH=FOLDER pytest``.
"""

import os
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
GENERATED = ["tests/test_registry.py", "tests/test_stable.py", "tests/test_oracle.py"]
CHOSEN = "(registry or their) and not float64 and not float32 and not float16"


def write(folder, *, change=lambda text: text):
    """The package: our own files of three losses under other names, and a published implementation of one of ours."""
    folder.mkdir(parents=True, exist_ok=True)
    modules = {"their_softplus": PUBLISHED}
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
        "losscheck.losses": [name for name in modules if name != "their_softplus"],
        "losscheck.implementations": ["their_softplus"],
    }
    lines = [line for group, names in groups.items() for line in (f"[{group}]", *(f"{name} = {name}" for name in names))]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def suite(folder, *words):
    """The generated tests, with the package on the path: (exit code, output)."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}
    command = [sys.executable, "-m", "pytest", "-n", "0", "-q", "-p", "no:cacheprovider", *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=600, check=False)
    return done.returncode, done.stdout + done.stderr


def test_losses_and_an_implementation_of_a_stranger_pass_the_generated_tests(tmp_path):
    """A test that lists the losses, their targets or their bounds by name, and breaks with the next one."""
    write(tmp_path)
    code, out = suite(tmp_path, *GENERATED, "-k", CHOSEN)

    assert code == 0, out[-3000:]
    for name in LOSSES:
        assert suite(tmp_path, "tests/test_stable.py", "--collect-only", "-k", f"their-{name}")[0] == 0


@pytest.mark.parametrize(
    ("old", "new"),
    [("epsilon * m.sigmoid(-y))", "epsilon * m.sigmoid(y))"), ("-xp.log(p_t) + epsilon", "-xp.log(p_t) + 2 * epsilon")],
    ids=["gradient of the definition", "naive lines"],
)
def test_a_strangers_mistake_is_caught(tmp_path, old, new):
    """The generated tests passing whatever a new file says."""
    write(tmp_path, change=lambda text: text.replace(old, new))
    code, out = suite(tmp_path, "tests/test_oracle.py", "-k", "their-poly1-bce and (third or naive)")

    assert code == 1, out[-3000:]
    assert "their-poly1-bce" in out


if __name__ == "__main__":
    write(Path(sys.argv[1]))
