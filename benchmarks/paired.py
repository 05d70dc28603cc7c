"""Paired timings: two things in turn, A B A B ..., so that their ratio holds on a machine whose speed drifts."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

__all__ = ["command", "paired", "recorded", "shown"]


def command(*words: str) -> Callable[[], None]:
    """Running ``python WORDS...`` as a whole process, its output thrown away."""

    def run() -> None:
        subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    return run


def paired(
    a: Callable[[], object], b: Callable[[], object], pairs: int = 7, clock: Callable[[], float] = time.perf_counter
) -> tuple[float, float, list[float]]:
    """Median seconds of a and of b after one warm-up each, and the ratio a/b of every pair; ``time.process_time`` counts the
    processor's, which other work on the machine changes less."""
    a(), b()
    times: list[tuple[float, float]] = [(_seconds(a, clock), _seconds(b, clock)) for _ in range(pairs)]
    return statistics.median(x for x, _ in times), statistics.median(y for _, y in times), [x / y for x, y in times]


def recorded(file: str, rows: Sequence[Mapping[str, object]]) -> None:
    """Write what was measured, and on what, as JSON."""
    load = [round(x, 1) for x in os.getloadavg()]
    machine = {"cores": os.cpu_count(), "load": load, "python": platform.python_version(), "system": platform.platform()}
    Path(file).write_text(json.dumps({"machine": machine, "measured": list(rows)}, indent=1) + "\n", encoding="utf-8")


def shown(name: str, seconds: Sequence[float], ratios: Sequence[float], limit: str) -> str:
    low, middle, high = min(ratios), statistics.median(ratios), max(ratios)
    return f"{name:<58} {seconds[0]:8.3f} s {seconds[1]:8.3f} s   ratio {middle:.2f} ({low:.2f} to {high:.2f})   {limit}"


def _seconds(run: Callable[[], object], clock: Callable[[], float]) -> float:
    start = clock()
    run()
    return clock() - start
