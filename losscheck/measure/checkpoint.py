"""State files of a sweep: what was asked and what is known so far. A resume file and a shard's result are the same thing."""

from __future__ import annotations

import functools
import itertools
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from losscheck.core.errors import UserError
from losscheck.core.files import write_atomically
from losscheck.core.request import Request
from losscheck.core.version import __version__
from losscheck.measure import task as task_module
from losscheck.measure.claims import contradictions, covered, shard_range, whole_number
from losscheck.measure.plan import tasks_of
from losscheck.measure.summary import Summary
from losscheck.measure.task import Finding, Task

__all__ = ["Checkpoint", "State", "load_state", "merge_states", "save_state", "shard_range"]

FORMAT = 3
MOST_BYTES = 2**29  # of a state file; a sweep of everything in float16 with half its floats failing has a tenth
GIVE = "give the file that --resume or --shard wrote"
AGAIN = "it was changed since it was written: sweep that part again, into another file"
SECONDS = 5.0  # between two checkpoints; a kill loses at most that and the chunk at work


@dataclass
class State:
    """A question, the shard of it that is worked on (1 of 1 for all), and a finding for each of its tasks."""

    question: Request
    findings: list[Finding]
    shard: tuple[int, int] = (1, 1)
    version: str = __version__
    complete: bool = False

    @functools.cached_property
    def tasks(self) -> list[Task]:
        """What the findings are about, in their order."""
        return tasks_of(self.question)


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


def save_state(state: State, path: Path) -> None:
    """Write a state file, whole or not at all."""
    data = {
        "losscheck_state": FORMAT,
        "version": state.version,
        "question": state.question.to_json(),
        "shard": list(state.shard),
        "complete": state.complete,
        "chunk": task_module.CHUNK,
        "findings": [_to_json(finding, task, state.shard) for finding, task in zip(state.findings, state.tasks, strict=True)],
    }
    write_atomically(path, json.dumps(data, allow_nan=False) + "\n")


def load_state(path: Path) -> State:
    """Read a state file, and hold what it says against what its question asks for.

    Raises:
        UserError: when it is missing, cut, no state file, of another version, or when its figures do not add up.
    """
    data = _read(path)
    if not isinstance(data, dict) or "losscheck_state" not in data:
        raise UserError(f"{path} is not a state file of losscheck sweep", GIVE)
    if data["losscheck_state"] != FORMAT or data.get("version") != __version__:
        written = f"losscheck {data.get('version')} (state files of form {data['losscheck_state']})"
        raise UserError(
            f"{path} was written by {written}, this is {__version__} (form {FORMAT})", "sweep again, or use the version that wrote it"
        )
    try:
        state = _state(data)
        problem = next(_problems(state, data), "")
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise UserError(f"{path} is damaged ({type(error).__name__}: {' '.join(str(error).split())[:160]})", AGAIN) from None
    except UserError as error:
        raise UserError(f"{path} asks for what cannot be swept here: {error.problem}", error.cure) from None
    if problem:
        raise UserError(f"{path} does not add up: {problem[:300]}", AGAIN)
    return state


def _read(path: Path) -> Any:
    try:
        if path.exists() and not path.is_file():
            raise UserError(f"{path} is no file", GIVE)
        if path.stat().st_size > MOST_BYTES:
            raise UserError(f"{path} has more than {MOST_BYTES // 2**20} MiB, which no state file has", GIVE)
        text = path.read_bytes()
    except (OSError, ValueError) as error:
        # ValueError: a name with a null byte.
        raise UserError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}", GIVE) from None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise UserError(f"{path} is no state file, or was cut in the middle; losscheck never leaves half a file", GIVE) from None


def merge_states(paths: Sequence[Path]) -> State:
    """The whole of all shards.

    Raises:
        UserError: when they are of different questions, overlap, are unfinished, do not add up, or one is missing.
    """
    states = [load_state(path) for path in paths]
    first = states[0]
    path_of: dict[int, Path] = {}
    for path, state in zip(paths, states, strict=True):
        number, of = state.shard
        if state.question != first.question or of != first.shard[1]:
            raise UserError(f"{path} and {paths[0]} are parts of different sweeps", "merge the shards of one command only")
        if not state.complete:
            raise UserError(f"{path} is not finished", f"run its command again with --resume {path}")
        if number in path_of:
            raise UserError(f"{path} and {path_of[number]} are both shard {number} of {of}", "give each shard once")
        path_of[number] = path
    of = first.shard[1]
    if lacking := of - len(path_of):
        # A file may say that there are a billion: only a few are looked for.
        some = [str(n) for n in itertools.islice((n for n in range(1, of + 1) if n not in path_of), 10)]
        more = f" and {lacking - len(some)} more" if lacking > len(some) else ""
        raise UserError(f"shard {', '.join(some)}{more} of {of} is missing", "give the files of all shards")
    states.sort(key=lambda state: state.shard[0])
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


def _to_json(finding: Finding, task: Task, shard: tuple[int, int]) -> dict[str, Any]:
    plain = {"done": finding.done, "reason": finding.reason, "nan_points": finding.nan_points, "nan_wrong": finding.nan_wrong}
    summaries = {quantity: summary.to_json() for quantity, summary in finding.summaries.items()}
    return {**plain, "covered": covered(task, shard, finding.done), "summaries": summaries}


def _state(data: dict[str, Any]) -> State:
    number, of = data["shard"]
    if not (whole_number(number) and whole_number(of) and 1 <= number <= of):
        raise ValueError("its shard is none")
    if type(data["complete"]) is not bool:
        raise ValueError("it is neither complete nor unfinished")
    findings = [_finding(entry) for entry in data["findings"]]
    return State(Request.from_json(data["question"]), findings, (number, of), data["version"], data["complete"])


def _finding(data: dict[str, Any]) -> Finding:
    summaries = {quantity: Summary.from_json(summary) for quantity, summary in data["summaries"].items()}
    if type(data["reason"]) is not str:
        raise ValueError("a reason that is no text")
    return Finding(summaries, data["done"], data["reason"], data["nan_points"], data["nan_wrong"])


def _problems(state: State, data: dict[str, Any]) -> Iterator[str]:
    """What cannot be true of a state that reads well."""
    if data["chunk"] != task_module.CHUNK:
        yield f"its chunks have {data['chunk']} floats, and here they have {task_module.CHUNK}"
    if len(state.findings) != len(state.tasks):
        yield f"it has {len(state.findings)} rows, and its question asks for {len(state.tasks)}"
        return
    for number, (task, finding, entry) in enumerate(zip(state.tasks, state.findings, data["findings"], strict=True), 1):
        row = f"row {number}: "
        yield from (row + what for what in contradictions(task, finding, state.shard, complete=state.complete))
        now, said = covered(task, state.shard, finding.done), entry["covered"]
        if (list(now) if now else None) != said:
            yield f"{row}it says that it covers {_span(said)}, and shard {state.shard[0]} of {state.shard[1]} covers {_span(now)}"


def _span(ends: Any) -> str:
    if not isinstance(ends, Sequence) or len(ends) != 3:
        return "nothing" if ends is None else repr(ends)[:60]
    return "ordinals {} to {} ({} points)".format(*ends)
