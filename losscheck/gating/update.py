"""Rewriting baselines, and what changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from losscheck.gating.baseline import Baseline, Recorded, write_baseline
from losscheck.gating.judge import Session

__all__ = ["update_baselines"]


def update_baselines(session: Session, judged: Iterable[str], command: str, *, complete: bool) -> list[str]:
    """Record what the session found; every change in words.

    Args:
        judged: the names of the cases that were judged; their other rows are gone.
        command: the command line, recorded with the figures.
        complete: all cases beside each baseline were judged, so that rows of other names belong to no case any more.

    Raises:
        UserError: when a file cannot be written.
    """
    names, changes = set(judged), []
    for path, recorded in session.found.items():
        old = session.baselines[path]
        kept = {key: row for key, row in old.rows.items() if key not in recorded and not _gone(key, names, recorded, complete)}
        changes += [f"{old.name}: {line}" for line in _changes(old, recorded, kept)]
        if (rows := {**kept, **recorded}) != old.rows:
            write_baseline(replace(old, rows=rows), command)
    return changes


def _gone(key: str, judged: set[str], recorded: dict[str, Recorded], complete: bool) -> bool:
    """Does no case ask for this row any more? A device or framework that is missing today keeps its rows."""
    name, _, backend, device, *_ = key.split(" | ")
    here = {tuple(key.split(" | ")[2:4]) for key in recorded}
    return (complete and name not in judged) or (name in judged and (backend, device) in here)


def _changes(old: Baseline, recorded: dict[str, Recorded], kept: dict[str, Recorded]) -> Iterator[str]:
    for key, now in recorded.items():
        before = old.rows.get(key)
        if before is None:
            yield f"new: {key}: {now.points} points, {now.max_ulp:.9g} ulp{_counts(now)}"
        elif (before.points, before.question) != (now.points, now.question):
            yield f"other points or parameters: {key}: {now.points} points, {now.max_ulp:.9g} ulp{_counts(now)}"
        elif worse := now.worse(before):
            yield f"worse: {key}: {', '.join(worse)}"
        elif better := now.better(before):
            yield f"better: {key}: {', '.join(better)}"
    for key in old.rows:
        if key not in recorded and key not in kept:
            yield f"no case asks any more: {key}"


def _counts(now: Recorded) -> str:
    return "".join(f", {n} {outcome}" for outcome, n in now.counts.items())
