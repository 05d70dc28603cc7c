"""docs/which-loss.md is what its script measures, and it recommends what it found harmless."""

import re
import subprocess
import sys
from pathlib import Path

from losscheck.core import registry

DOCS = Path(__file__).parent.parent / "docs"
PAGE = DOCS / "which-loss.md"


def test_the_page_is_what_its_script_measures():
    """After a change: python docs/make_which_loss.py > docs/which-loss.md."""
    done = subprocess.run([sys.executable, DOCS / "make_which_loss.py"], capture_output=True, text=True, timeout=300, check=True)

    assert done.stdout == PAGE.read_text(encoding="utf-8")


def test_every_loss_has_something_to_use():
    """A section for each loss, and in each an implementation that is harmless in every dtype."""
    text = PAGE.read_text(encoding="utf-8")
    advice = re.findall(r"^Harmless in .*: (.*)\.$", text, re.MULTILINE)

    assert len(advice) == text.count("\n## ") == len(registry.losses())
    assert [line for line in advice if "`" not in line] == []
