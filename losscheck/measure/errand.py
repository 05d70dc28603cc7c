"""What travels to a worker of a sweep, a process or a machine, and what is done there: the same chunks, by the same runner.

A worker keeps what it has loaded and compiled for the sweep it worked on last. Its threads take turns: the exact oracle has one
precision for a whole process, so the workers of a cluster are processes of one thread.
"""

from __future__ import annotations

import contextlib
import functools
import os
import pickle
import socket
import sys
import threading
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from losscheck.callables.travelling import Luggage, is_from_here, pack, unpack
from losscheck.core.errors import UserError
from losscheck.core.one_thread import one_thread
from losscheck.core.request import Request
from losscheck.inventory.sameness import differences, surroundings
from losscheck.measure.plan import tasks_of
from losscheck.measure.runner import Answer, Runner
from losscheck.measure.task import Chunk, Task

__all__ = ["Errand", "errand_of", "work"]


@dataclass(frozen=True)
class Errand:
    """The sweep as every worker needs it; plain values, so that workers of another version can read and refuse it.

    Attributes:
        name: another one for each run.
        surroundings: the versions and the kernels that a worker must have.
        contents: the request and the user's own code, pickled once.
    """

    name: str
    surroundings: dict[str, str]
    contents: bytes

    def words(self, chunk: Chunk) -> tuple[str, dict[str, str], bytes, tuple[int, int, int, bool]]:
        """The arguments of :func:`work`."""
        return self.name, self.surroundings, self.contents, (chunk.task, chunk.first, chunk.last, chunk.with_nans)


def errand_of(tasks: Sequence[Task]) -> Errand:
    """What workers need to know of some tasks of one request."""
    request = tasks[0].question
    runs = {(task.subject.backend, task.subject.device) for task in tasks}
    return Errand(uuid.uuid4().hex, surroundings(runs), pickle.dumps((request, sorted(runs), pack(request))))


_turn = threading.Lock()


def work(name: str, wanted: dict[str, str], contents: bytes, chunk: tuple[int, int, int, bool]) -> Answer:
    """Scan a chunk of a sweep on a worker.

    Raises:
        UserError: when the worker has other versions, or lacks what the sweep needs.
    """
    with _turn:
        try:
            runner, from_here = _runner(name, _Contents(wanted, contents))
        except UserError as error:
            raise UserError(f"worker {socket.gethostname()} (process {os.getpid()}): {error.problem}", error.cure, error.details) from None
        with contextlib.nullcontext() if from_here else _threads_of_a_worker():
            return runner.scan(Chunk(*chunk))


class _Contents:
    """Equal to any other: the name of the errand is the key of the cache."""

    def __init__(self, surroundings: dict[str, str], contents: bytes) -> None:
        self.surroundings, self.contents = surroundings, contents

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Contents)

    def __hash__(self) -> int:
        return 0


@functools.lru_cache(maxsize=1)
def _runner(name: str, errand: _Contents) -> tuple[Runner, bool]:
    """The runner of an errand, made once, and whether the sweep was asked for by this very process."""
    _refuse_others(errand.surroundings, surroundings(()))
    request, runs, luggage = pickle.loads(errand.contents)
    assert isinstance(request, Request) and isinstance(luggage, Luggage)
    if is_from_here(luggage):
        return Runner(tasks_of(request)), True
    _refuse_others(errand.surroundings, surroundings(runs))
    unpack(luggage)
    return Runner(tasks_of(request)), False


def _refuse_others(wanted: dict[str, str], here: dict[str, str]) -> None:
    known = {name: version for name, version in wanted.items() if name in here}
    if other := differences(known, here):
        raise UserError(
            f"it has {'; '.join(other)}, so that one report would speak of two environments",
            "install there what is installed here; `losscheck doctor` shows the versions",
        )


def _threads_of_a_worker() -> contextlib.AbstractContextManager[None]:
    """One each: PyTorch's own would fight for the same cores, unless the surroundings say how many it may have."""
    return one_thread() if "torch" in sys.modules and "OMP_NUM_THREADS" not in os.environ else contextlib.nullcontext()
