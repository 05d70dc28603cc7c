"""examples/: every command of its README is run, and what the README says it prints is compared."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from claims import claims

ROOT = Path(__file__).parents[1]
README = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
SHOWN = [
    (command, output)
    for block in re.findall(r"```\n\$ losscheck .*?```", README, re.DOTALL)
    for command, _, output in [block[16:-3].partition("\n")]
]


@pytest.mark.parametrize(("command", "output"), SHOWN, ids=[command.split()[2] for command, _ in SHOWN])
def test_a_command_of_the_readme_prints_what_it_says(command, output, plain_surroundings, call, monkeypatch):
    """Names, outcomes, sentences and their order; last bits are the processor's business."""
    monkeypatch.chdir(ROOT)
    code, out, err = call(*shlex.split(command))

    assert (code, err) == (0, "")
    assert claims(out) == claims(output)


def test_every_example_is_in_the_readme():
    """Five files, five commands: none is left out or runs another's."""
    files = sorted(path.name for path in (ROOT / "examples").glob("*.py"))

    assert len(files) == 5
    assert sorted(re.search(r"examples/(\w+\.py):", command)[1] for command, _ in SHOWN) == files


def test_the_figures_of_the_words_are_those_of_the_output():
    """What the prose claims is printed below it."""
    assert "no loss is above 18.42" in " ".join(README.split())
    for fault in ("bfloat16, cpu): the gradient at logit 12, target 0 is NaN", "alpha and 1 - alpha are swapped", "sound: within"):
        assert fault in " ".join(README.split())


def test_the_sweep_of_the_issue_works_as_it_is():
    """`losscheck sweep --impl examples/naive.py:bce --loss bce --range -100 100`, both quantities, all targets."""
    words = shlex.split("sweep --impl examples/naive.py:bce --loss bce --range -100 100")
    done = subprocess.run([sys.executable, "-m", "losscheck", *words], capture_output=True, text=True, timeout=120, check=False, cwd=ROOT)

    assert (done.returncode, done.stderr) == (0, "")
    assert "✗ examples/naive.py:bce" in done.stdout and "adds 1e-08, which the loss shows" in " ".join(done.stdout.split())


def test_the_comparison_can_fail():
    """The control: another outcome, another sentence, a line less."""
    output = SHOWN[0][1]

    assert claims(output) != claims(output.replace("misstates: loss", "dead: loss", 1))
    assert claims(output) != claims(output.replace("adds", "takes", 1))
    assert claims(output) != claims("\n".join(output.splitlines()[1:]))
