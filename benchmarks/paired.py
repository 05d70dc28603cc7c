"""Paired timings: two things in turn, A B A B ..., so that their ratio holds on a machine whose speed drifts.

What is timed is processor time, of this process and of the commands that it starts, because other work on the same cores does
not lengthen that; ``clock=time.perf_counter`` times by the wall.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

__all__ = ["RECORDS", "command", "paired", "processor_seconds", "recorded", "shown"]

RECORDS: list[dict[str, object]] = []  # everything that was shown, for run.py


def command(*words: str) -> Callable[[], None]:
    """Running ``python WORDS...`` as a whole process, its output thrown away. Bytecode is kept, as that of an installed package is."""
    surroundings = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

    def run() -> None:
        done = subprocess.run([sys.executable, *words], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=surroundings)
        if done.returncode not in (0, 1):  # 1: it found what it was asked to find
            raise RuntimeError(f"{words} ended with {done.returncode}: {done.stderr.decode()[-500:]}")

    return run


def processor_seconds() -> float:
    """User and system time so far of this process and of those it has waited for."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def paired(
    a: Callable[[], object], b: Callable[[], object], pairs: int = 7, clock: Callable[[], float] = processor_seconds
) -> tuple[float, float, list[float]]:
    """Median seconds of a and of b after one warm-up each, and the ratio a/b of every pair."""
    a(), b()
    times: list[tuple[float, float]] = [(_seconds(a, clock), _seconds(b, clock)) for _ in range(pairs)]
    return statistics.median(x for x, _ in times), statistics.median(y for _, y in times), [x / y for x, y in times]


def recorded(file: str, rows: Sequence[Mapping[str, object]]) -> None:
    """Write what was measured, and on what, as JSON."""
    load = [round(x, 1) for x in os.getloadavg()]
    machine = {"cores": os.cpu_count(), "load": load, "python": platform.python_version(), "system": platform.platform()}
    Path(file).write_text(json.dumps({"machine": machine, "measured": list(rows)}, indent=1) + "\n", encoding="utf-8")


def shown(name: str, seconds: Sequence[float], ratios: Sequence[float], limit: str = "", *, goal: float | None = None) -> str:
    """A line, and a record of it: the ratio beside its goal, or beside a limit in words."""
    low, middle, high = min(ratios), statistics.median(ratios), max(ratios)
    told = limit if goal is None else f"goal {goal:g}, {'met' if middle <= goal else 'missed'}"
    RECORDS.append({"name": name, "seconds": list(seconds), "ratio": middle, "least": low, "most": high, "goal": goal, "limit": limit})
    return f"{name:<58} {seconds[0]:8.3f} s {seconds[1]:8.3f} s   ratio {middle:.2f} ({low:.2f} to {high:.2f})   {told}"


def _seconds(run: Callable[[], object], clock: Callable[[], float]) -> float:
    start = clock()
    run()
    return clock() - start
