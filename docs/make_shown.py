"""Runs what a page shows: ``python docs/make_shown.py README.md`` prints the page with the output of each command as it is now.

A block of a page that begins with ``$ losscheck ...`` shows a command and all that it prints at 80 columns. A test holds the pages to it.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import sys
from pathlib import Path

from losscheck.cli import main

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"(?<=```\n)\$ losscheck ([^\n]*)\n.*?(?=```)", re.DOTALL)


def shown(page: str) -> str:
    """The page with what its commands print."""
    return BLOCK.sub(lambda block: f"$ losscheck {block[1]}\n{printed(block[1])}", page)


def printed(command: str) -> str:
    """What a command prints, in the surroundings of this process.

    Raises:
        RuntimeError: for a command that could not judge.
    """
    out, told = io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), io.StringIO()
    sys.argv = ["losscheck", *shlex.split(command)]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(told):
        try:
            main()
        except SystemExit as ended:
            code = ended.code
    if code not in (0, 1):
        raise RuntimeError(f"losscheck {command}: {told.getvalue()}")
    out.seek(0)
    return out.read()


if __name__ == "__main__":
    for name in [name for name in os.environ if name.startswith("LOSSCHECK_")]:
        del os.environ[name]
    os.environ["COLUMNS"] = "80"
    os.chdir(ROOT)
    sys.stdout.write(shown(Path(sys.argv[1]).read_text(encoding="utf-8")))
