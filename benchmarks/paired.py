"""Paired timings: two things in turn, A B A B ..., so that their ratio holds on a machine whose speed drifts."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

__all__ = ["command", "paired", "shown"]


def command(*words: str) -> Callable[[], None]:
    """Running ``python WORDS...`` as a whole process, its output thrown away."""

    def run() -> None:
        subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    return run


def paired(a: Callable[[], object], b: Callable[[], object], pairs: int = 7) -> tuple[float, float, list[float]]:
    """Median seconds of a and of b after one warm-up each, and the ratio a/b of every pair."""
    a(), b()
    times: list[tuple[float, float]] = [(_seconds(a), _seconds(b)) for _ in range(pairs)]
    return statistics.median(x for x, _ in times), statistics.median(y for _, y in times), [x / y for x, y in times]


def shown(name: str, seconds: Sequence[float], ratios: Sequence[float], limit: str) -> str:
    low, middle, high = min(ratios), statistics.median(ratios), max(ratios)
    return f"{name:<58} {seconds[0]:8.3f} s {seconds[1]:8.3f} s   ratio {middle:.2f} ({low:.2f} to {high:.2f})   {limit}"


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
