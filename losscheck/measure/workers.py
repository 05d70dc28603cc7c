"""Who scans the chunks of a sweep: processes of this machine, a dask cluster, or any executor that was handed over.

All of them are a :class:`concurrent.futures.Executor`, and one loop gives them work, takes it back when they are lost, and returns the
answers in order.
"""

from __future__ import annotations

import contextlib
import heapq
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool, ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from typing import Any

from losscheck.core.errors import UserError
from losscheck.measure.errand import errand_of, work
from losscheck.measure.runner import Answer
from losscheck.measure.task import Chunk, Task

__all__ = ["Crew", "cluster_crew", "crew_of", "process_crew"]

MOST_LOSSES = 3  # of workers, one after the other, without a chunk done in between
AHEAD = 64  # chunks that may be under way or done before the next to be merged, where the number of workers is not known
LOOK = 1.0  # seconds without an answer after which it is looked whether the processes live
SECONDS = 15.0  # for a scheduler to answer
# What every worker would import anew; what starts threads when it is imported is not among them.
PRELOADED = (
    "numpy",
    "flint",
    "ml_dtypes",
    "torch",
    "numba",
    "losscheck.filter.polynomial_kernels",
    "losscheck.filter.block_kernels",
    "losscheck.measure.compiled",
)


@dataclass
class Crew:
    """An executor and what is known of it.

    Attributes:
        ahead: chunks handed out beyond the first that is still missing.
        renew: makes another one when all of its workers are lost; None when it is not ours.
        lost: the exceptions by which it says that it has lost the work; the cure is what to do then.
    """

    executor: Executor
    ahead: int = AHEAD
    renew: Callable[[], Executor] | None = None
    lost: tuple[type[BaseException], ...] = (BrokenProcessPool, CancelledError)
    cure: str = "begin again with --resume FILE, which goes on from the last checkpoint"
    losses: int = field(default=0, init=False)

    def scan(self, tasks: Sequence[Task], chunks: Sequence[Chunk], done: Callable[[Chunk], None]) -> Iterator[Answer]:
        """The answers to all chunks, in their order; ``done`` is told of each as soon as it is finished.

        Raises:
            UserError: when a worker refuses, or workers are lost again and again.
        """
        errand = errand_of(tasks)
        waiting, pending, answers = list(range(len(chunks))), dict[Future[Answer], int](), dict[int, Answer]()
        merged = 0
        try:
            while merged < len(chunks):
                try:
                    while waiting and waiting[0] < merged + self.ahead:
                        future = self.executor.submit(work, *errand.words(chunks[waiting[0]]))
                        pending[future] = heapq.heappop(waiting)
                    finished = wait(pending, timeout=LOOK, return_when=FIRST_COMPLETED).done
                    if not finished:
                        self._end_the_stuck()
                    for future in finished:
                        answers[pending[future]] = future.result()
                        done(chunks[pending.pop(future)])
                        self.losses = 0
                except self.lost as error:
                    self._recover(error)
                    for number in pending.values():
                        heapq.heappush(waiting, number)
                    pending.clear()
                while merged in answers:
                    yield answers.pop(merged)
                    merged += 1
        finally:
            for future in pending:
                future.cancel()

    def _end_the_stuck(self) -> None:
        """A process killed while it wrote its answer holds a lock that the others wait for, and the executor of the standard library
        waits for the rest of the answer: once nobody holds that pipe open, this process included, it notices that it is broken."""
        processes = [*(getattr(self.executor, "_processes", None) or {}).values()]
        if any(process.exitcode is not None for process in processes):
            for process in processes:
                process.kill()
            with contextlib.suppress(AttributeError, OSError):
                self.executor._result_queue._writer.close()  # type: ignore[attr-defined]

    def _recover(self, error: BaseException) -> None:
        self.losses += 1
        if self.renew is None or self.losses >= MOST_LOSSES:
            raise UserError(f"the workers of the sweep were lost ({type(error).__name__}: {error})", self.cure) from None
        self.executor.shutdown(wait=False, cancel_futures=True)
        self.executor = self.renew()


@contextlib.contextmanager
def crew_of(jobs: int, cluster: str | None, executor: Executor | None, note: Callable[[str], None]) -> Iterator[Crew | None]:
    """Who works: None for this process alone.

    Raises:
        UserError: when more than one of them is asked for, and when the cluster does not answer.
    """
    if jobs < 1:
        raise UserError(f"--jobs {jobs} is no number of processes", "give at least 1")
    asked = [name for name, given in (("--jobs", jobs > 1), ("--cluster", cluster), ("executor=", executor)) if given]
    if len(asked) > 1:
        raise UserError(f"{' and '.join(asked)} are two answers to who works", "give one of them")
    if executor is not None:
        workers = getattr(executor, "_max_workers", None)
        yield Crew(executor, ahead=4 * workers if isinstance(workers, int) else AHEAD)
    elif cluster:
        with cluster_crew(cluster, note) as crew:
            yield crew
    elif jobs > 1:
        with process_crew(jobs) as crew:
            yield crew
    else:
        yield None


@contextlib.contextmanager
def process_crew(jobs: int) -> Iterator[Crew]:
    """Processes of this machine. They are forked from one that has only imported things: nothing is imported twice, and nobody forks a
    process in which CUDA or PyTorch's threads have started."""
    forked = "forkserver" in multiprocessing.get_all_start_methods()
    context: Any = multiprocessing.get_context("forkserver" if forked else "spawn")
    if forked:
        from multiprocessing import forkserver

        context.set_forkserver_preload([*PRELOADED])
        forkserver.ensure_running()  # it imports while this process does

    def executor() -> Executor:
        return ProcessPoolExecutor(jobs, mp_context=context, initializer=_begin)

    cure = "were they out of memory? give fewer --jobs, and --resume FILE to go on from the last checkpoint"
    crew = Crew(executor(), ahead=4 * jobs, renew=executor, cure=cure)
    try:
        yield crew
    finally:
        crew.executor.shutdown(wait=True, cancel_futures=True)


def _begin() -> None:
    """In a worker: Ctrl-C ends it without a word, and so does the end of the process that asked."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


@contextlib.contextmanager
def cluster_crew(address: str, note: Callable[[str], None]) -> Iterator[Crew]:
    """The workers of a dask scheduler; it gives the work of a lost worker to another by itself.

    Raises:
        UserError: without dask.distributed, and when no scheduler answers at the address.
    """
    try:
        from distributed import Client, KilledWorker
    except ImportError:
        raise UserError("--cluster needs dask.distributed", "pip install distributed, here and on the workers") from None
    try:
        client = Client(address, timeout=SECONDS, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        cure = f"start `dask scheduler`, then `dask worker {address} --nthreads 1 --nworkers N` on each machine"
        raise UserError(f"no dask scheduler answers at {address} ({_first_line(error)})", cure) from None
    with client:
        threads = client.nthreads()
        if not threads:
            note(f"the cluster has no workers yet; waiting for some: dask worker {address} --nthreads 1")
        crew = Crew(client.get_executor(pure=False), ahead=max(AHEAD, 4 * sum(threads.values())), lost=(KilledWorker, CancelledError))
        crew.cure = "look into the workers' logs, are they out of memory? then go on with --resume FILE"
        yield crew


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
