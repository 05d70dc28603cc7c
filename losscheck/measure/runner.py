"""Chunks of a sweep scanned in this process or in others; a runner owns its engines, its references and its workers."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from losscheck.callables.loading import reason_of, stdout_to_stderr
from losscheck.measure import task as tasks_module
from losscheck.measure.engine import Engine
from losscheck.measure.engines import References, engine_of
from losscheck.measure.summary import Summary
from losscheck.measure.task import Chunk, Task

__all__ = ["Results", "Runner", "run_in_processes"]

Results = dict[str, Summary] | str  # the summaries of a chunk, or the reason why it cannot run


class Runner:
    """Scans chunks of some tasks; the engine of a task is kept from chunk to chunk."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self.tasks = tasks
        self.references = References()
        self._task: Task | None = None
        self._engine: Engine | None = None

    def scan(self, chunk: Chunk) -> Results:
        """The summaries of one chunk, or the reason why it cannot run."""
        task = self.tasks[chunk.task]
        if unavailable := task.why_unavailable():
            return unavailable.reason
        first = task.grid.first + chunk.number * tasks_module.CHUNK
        try:
            with stdout_to_stderr():
                return self._engine_of(task).scan(first, min(first + tasks_module.CHUNK - 1, task.grid.last))
        except Exception as error:
            return reason_of(error, task.subject.implementation)

    def _engine_of(self, task: Task) -> Engine:
        if self._engine is None or self._task is not task:
            self._task, self._engine = task, engine_of(task, self.references)
        return self._engine


def run_in_processes(tasks: Sequence[Task], todo: Sequence[Chunk], jobs: int) -> Iterator[Results]:
    """What :meth:`Runner.scan` gives for each chunk, in the order of ``todo``, by as many processes.

    Raises:
        RuntimeError: when a process ends before its work.
    """
    import multiprocessing
    from multiprocessing.connection import wait

    # Spawned, not forked: a fork after CUDA or torch's threads have started hangs.
    context = multiprocessing.get_context("spawn")
    waiting = deque(enumerate(todo))
    busy: dict[Any, int] = {}
    done: dict[int, Results] = {}
    processes = []
    try:
        for _ in range(min(jobs, len(todo))):
            ours, theirs = context.Pipe()
            processes.append(context.Process(target=_serve, args=(tasks[0].question, theirs), daemon=True))
            processes[-1].start()
            theirs.close()
            _hand_out(ours, waiting, busy)
        for number in range(len(todo)):
            while number not in done:
                ready: list[Any] = wait(list(busy))
                for connection in ready:
                    try:
                        done[busy.pop(connection)] = connection.recv()
                    except EOFError:
                        raise RuntimeError("a process of the sweep ended before its work; was it out of memory?") from None
                    _hand_out(connection, waiting, busy)
            yield done.pop(number)
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _hand_out(connection: Any, waiting: deque[tuple[int, Chunk]], busy: dict[Any, int]) -> None:
    if waiting:
        busy[connection], chunk = waiting.popleft()
        connection.send(chunk)


def _serve(question: Any, connection: Any) -> None:
    """A worker makes the tasks anew, because implementations are functions, which do not travel."""
    import signal

    from losscheck.measure.plan import tasks_of

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    runner = Runner(tasks_of(question))
    while True:
        try:
            connection.send(runner.scan(connection.recv()))
        except (EOFError, BrokenPipeError):
            return  # the parent has all it asked for, or is gone
