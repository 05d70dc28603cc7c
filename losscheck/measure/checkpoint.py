"""State files of a sweep: what was asked and what is known so far. A resume file and a shard's result are the same thing."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from losscheck.core.call_spec import CallSpec
from losscheck.core.errors import UserError
from losscheck.core.files import write_atomically
from losscheck.core.request import SweepQuestion
from losscheck.core.version import __version__
from losscheck.measure.summary import Summary
from losscheck.measure.sweep import tasks_of
from losscheck.measure.task import Finding, Task

__all__ = ["Checkpoint", "State", "load_state", "merge_states", "save_state", "shard_range"]

FORMAT = 1
SECONDS = 5.0  # between two checkpoints; a kill loses at most that and the chunk at work


@dataclass
class State:
    """A question, the shard of it that is worked on (1 of 1 for all), and a finding for each of its tasks."""

    question: SweepQuestion
    findings: list[Finding]
    shard: tuple[int, int] = (1, 1)
    version: str = __version__
    complete: bool = False


@dataclass
class Checkpoint:
    """Writes a state now and then, and at the end."""

    state: State
    path: Path | None
    last: float = field(default_factory=time.monotonic)

    def __call__(self) -> None:
        if self.path is not None and time.monotonic() - self.last > SECONDS:
            self.write()

    def write(self) -> None:
        if self.path is not None:
            save_state(self.state, self.path)
            self.last = time.monotonic()


def shard_range(task: Task, shard: tuple[int, int]) -> range:
    """The chunks of a task that belong to shard I of N."""
    number, of = shard
    chunks = task.chunks()
    return range(chunks * (number - 1) // of, chunks * number // of)


def save_state(state: State, path: Path) -> None:
    """Write a state file, whole or not at all."""
    data = {
        "losscheck_state": FORMAT,
        "version": state.version,
        # In hex, because a limit may be infinite.
        "question": {
            **asdict(state.question),
            "max_ulp": float(state.question.max_ulp).hex(),
            "call_spec": state.question.call_spec.to_json(),
        },
        "shard": list(state.shard),
        "complete": state.complete,
        "findings": [_to_json(each) for each in state.findings],
    }
    write_atomically(path, json.dumps(data, allow_nan=False) + "\n")


def load_state(path: Path) -> State:
    """Read a state file.

    Raises:
        UserError: when it is missing, cut, no state file, or of another version.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}", "give the file that --resume or --shard wrote") from None
    except (ValueError, RecursionError):
        raise UserError(
            f"{path} is no state file, or was cut in the middle", "delete it and sweep again; losscheck never leaves half a file"
        ) from None
    if not isinstance(data, dict) or "losscheck_state" not in data:
        raise UserError(f"{path} is not a state file of losscheck sweep", "give the file that --resume or --shard wrote")
    if data["losscheck_state"] != FORMAT or data.get("version") != __version__:
        raise UserError(
            f"{path} was written by losscheck {data.get('version')}, this is {__version__}", "sweep again, or use the version that wrote it"
        )
    try:
        return _state(data)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path} is damaged ({type(error).__name__}: {error})", "delete it and sweep again") from None


def merge_states(paths: Sequence[Path]) -> State:
    """The whole of all shards.

    Raises:
        UserError: when they are of different questions, overlap, are unfinished, or one is missing.
    """
    states = [load_state(each) for each in paths]
    first = states[0]
    found: dict[int, Path] = {}
    for path, state in zip(paths, states, strict=True):
        if state.question != first.question or state.shard[1] != first.shard[1]:
            raise UserError(f"{path} and {paths[0]} are parts of different sweeps", "merge the shards of one command only")
        if not state.complete:
            raise UserError(f"{path} is not finished", f"run its command again with --resume {path}")
        if state.shard[0] in found:
            raise UserError(
                f"{path} and {found[state.shard[0]]} are both shard {state.shard[0]} of {state.shard[1]}", "give each shard once"
            )
        found[state.shard[0]] = path
    missing = [str(n) for n in range(1, first.shard[1] + 1) if n not in found]
    if missing:
        raise UserError(f"shard {', '.join(missing)} of {first.shard[1]} is missing", "give the files of all shards")
    states.sort(key=lambda each: each.shard[0])
    merged = State(first.question, [Finding() for _ in first.findings], complete=True)
    for state in states:
        for whole, part in zip(merged.findings, state.findings, strict=True):
            _add(whole, part)
    return merged


def _add(whole: Finding, part: Finding) -> None:
    whole.reason = whole.reason or part.reason
    whole.done += part.done
    whole.nan_points += part.nan_points
    whole.nan_wrong += part.nan_wrong
    for quantity, summary in part.summaries.items():
        whole.summaries[quantity] = whole.summaries[quantity].merge(summary) if quantity in whole.summaries else summary


def _to_json(finding: Finding) -> dict[str, Any]:
    plain = {"done": finding.done, "reason": finding.reason, "nan_points": finding.nan_points, "nan_wrong": finding.nan_wrong}
    return {**plain, "summaries": {quantity: each.to_json() for quantity, each in finding.summaries.items()}}


def _state(data: dict[str, Any]) -> State:
    fields: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in data["question"].items()}
    call_spec = CallSpec.from_json(fields.get("call_spec", {}))
    question = SweepQuestion(**{**fields, "max_ulp": float.fromhex(fields["max_ulp"]), "call_spec": call_spec})
    findings = [
        Finding(
            {quantity: Summary.from_json(each) for quantity, each in one["summaries"].items()},
            **{k: v for k, v in one.items() if k != "summaries"},
        )
        for one in data["findings"]
    ]
    if len(findings) != len(tasks_of(question)):
        raise ValueError("another number of rows than its question asks for")
    number, of = data["shard"]
    return State(question, findings, (number, of), data["version"], bool(data["complete"]))
