"""How many files of losscheck a command enters: those in which a function runs, imports not counted.

    python entered.py compare --logit 1.5
    python entered.py sweep --range -100 100 --loss bce

What someone has to read who follows a command from its first line to its last. Files of losses and implementations are counted
apart: there are as many of them as the command measures.
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections import Counter, defaultdict
from pathlib import Path
from types import FrameType
from typing import Any

import losscheck

PACKAGE = Path(losscheck.__file__).parent
FUNCTION = 0x2  # of co_flags: a function, where the body of a class or of a module has none
MEASURED = ("losses", "implementations")


def entered(words: list[str]) -> dict[str, set[str]]:
    """{file: functions} of one command line, run in this process; what it prints is dropped."""
    from losscheck.cli import main

    files: dict[str, set[str]] = defaultdict(set)
    importing = 0

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal importing
        code = frame.f_code
        if code.co_name == "<module>":
            importing += {"call": 1, "return": -1}.get(event, 0)
        elif event == "call" and not importing and code.co_flags & FUNCTION and (path := Path(code.co_filename)).is_relative_to(PACKAGE):
            files[path.relative_to(PACKAGE).as_posix()].add(code.co_qualname)

    sys.argv = ["losscheck", *words]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        sys.setprofile(profile)
        try:
            main()
        finally:
            sys.setprofile(None)
    return files


def run(words: list[str]) -> None:
    files = entered(words)
    rooms = Counter(file.partition("/")[0] for file in files)
    print(f"{sum(count for room, count in rooms.items() if room not in MEASURED)} files", end="")
    print(f", and {sum(rooms[room] for room in MEASURED)} of losses and implementations")
    for room, count in rooms.most_common():
        names = (f"{file.partition('/')[2]} ({len(functions)})" for file, functions in sorted(files.items()) if file.startswith(f"{room}/"))
        print(f"{room} {count}: {', '.join(names)}")


if __name__ == "__main__":
    run(sys.argv[1:] or ["compare", "--logit", "1.5"])
