"""The Tab key: names that exist, without a framework; files where a callable or a case file may stand."""

import os
import subprocess
import sys

import pytest
from click.shell_completion import ShellComplete

from losscheck.cli import cli
from losscheck.core import registry
from losscheck.core.dtypes import FORMATS


def offered(*words):
    """(kind, value) of what is offered for the last of the words."""
    *before, begun = words
    shell = ShellComplete(cli, {}, "losscheck", "_LOSSCHECK_COMPLETE")
    return [(item.type, item.value) for item in shell.get_completions(list(before), begun)]


def values(*words):
    return [value for _, value in offered(*words)]


@pytest.mark.parametrize("command", ["compare", "sweep", "check"])
def test_losses_implementations_and_dtypes_are_known(command):
    """All of them, from the registry; after what was typed, only those that begin so."""
    names = sorted({implementation.name for implementation in registry.implementations()})

    assert sorted(values(command, "--loss", "")) == sorted(registry.losses())
    assert values(command, "--dtype", "bf") == ["bfloat16"]
    assert set(values(command, "--dtype", "")) == set(FORMATS)
    if command != "check":
        assert sorted(values(command, "--impl", "")) == names
        assert sorted(values(command, "--impl", names[0][:3])) == [name for name in names if name.startswith(names[0][:3])]


def test_commands_options_and_words_are_known():
    """As they are registered: a command of one letter more, an option, a word of the glossary, an outcome, a parameter."""
    assert values("ch") == ["check"]
    assert "--fail-on" in values("compare", "--fail")
    assert values("explain", "misd") == ["misdirects"]
    assert "wrong-sign" in values("sweep", "--fail-on", "w")
    assert "pos_weight=" in values("compare", "--param", "pos")
    assert values("compare", "--quantity", "") == ["loss", "grad", "both"]


@pytest.mark.parametrize("words", [("check", "my_loss"), ("trace", "my_loss"), ("sweep", "--impl", "./"), ("gate", "ca"), ("merge", "a")])
def test_a_file_may_stand_there(words):
    """Where no name begins so, the shell offers its files."""
    assert offered(*words) == [("file", words[-1])]


def test_the_shell_is_answered_without_a_framework():
    """The real command as bash asks it; PyTorch would take a second a key."""
    asked = {"COMP_WORDS": "losscheck compare --loss b", "COMP_CWORD": "3", "_LOSSCHECK_COMPLETE": "bash_complete"}
    code = "import sys; from losscheck.cli import main\ntry:\n    main()\nfinally:\n    print('torch' in sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env={**os.environ, **asked})

    assert done.stdout == "plain,bce\n"
    assert done.stderr.splitlines()[-1] == "False"
