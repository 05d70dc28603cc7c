"""Runs what a page shows: ``python docs/make_shown.py README.md`` prints the page with the output of each command as it is now.

A block of a page that begins with ``$ losscheck ...`` shows a command and all that it prints at 80 columns. A test holds the pages to it.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"(?<=```\n)\$ losscheck ([^\n]*)\n.*?(?=```)", re.DOTALL)


def shown(page: str) -> str:
    """The page with what its commands print."""
    return BLOCK.sub(lambda block: f"$ losscheck {block[1]}\n{printed(block[1])}", page)


def printed(command: str) -> str:
    """What a command prints on a screen without colour, 80 columns wide, started in the repository.

    Raises:
        RuntimeError: for a command that could not judge.
    """
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith("LOSSCHECK_")}
    done = subprocess.run(
        [sys.executable, "-m", "losscheck", *shlex.split(command)],
        capture_output=True, text=True, check=False, cwd=ROOT, env={**surroundings, "COLUMNS": "80"},
    )  # fmt: skip
    if done.returncode > 1:
        raise RuntimeError(f"losscheck {command}: {done.stderr}")
    return done.stdout


if __name__ == "__main__":
    sys.stdout.write(shown(Path(sys.argv[1]).read_text(encoding="utf-8")))
