"""Whoever scans the chunks of a sweep (threads, processes, a dask cluster that loses a worker), the report is the same to the byte."""

import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

import losscheck
from losscheck.api.arguments import Listener
from losscheck.core.errors import UserError
from losscheck.measure import errand, workers
from losscheck.measure.runner import Runner
from losscheck.renderers import Style, render

ASKED = {
    "impl": ("stable", "naive"), "loss": "bce", "backend": "numpy", "range": ("-14.6", "-14.55"), "target": (0, 1), "exhaustive": True,
}  # fmt: skip
ROOT = Path(losscheck.__file__).parents[1]


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """Chunks of 2^12 floats here alone: workers are told where a chunk begins and ends."""
    monkeypatch.setattr("losscheck.measure.task.CHUNK", 2**12)


@pytest.fixture(scope="module")
def alone():
    """The report of one process."""
    return shown(losscheck.sweep(**ASKED))


def shown(report):
    """All of it but the list of what this test process happens to have imported by now."""
    return render("json", replace(report, environment={}), Style())


def listening(heard):
    """A listener whose progress calls ``heard`` with the points done so far and the total."""

    class Progress:
        def __init__(self, total):
            self.total, self.done = total, 0

        def __enter__(self):
            return self

        def __exit__(self, *error):
            return False

        def __call__(self, points):
            self.done += points
            heard(self.done, self.total)

    return Listener(progress=Progress)


# Any executor ------------------------------------------------------------------------------------------------------------


class LastFirst(Executor):
    """Works on what was submitted last, so that answers come in the most awkward order."""

    def __init__(self):
        self.todo, self.lock, self.random = [], threading.Lock(), random.Random(1)

    def submit(self, function, /, *words):
        future = Future()
        with self.lock:
            self.todo.append((future, function, words))
        threading.Timer(0.002 * self.random.random(), self.work).start()
        return future

    def work(self):
        with self.lock:
            future, function, words = self.todo.pop()
        try:
            future.set_result(function(*words))
        except Exception as error:
            future.set_exception(error)


@pytest.mark.parametrize("executor", [lambda: ThreadPoolExecutor(3), LastFirst], ids=["threads", "last first"])
def test_any_executor_gives_the_same_report(alone, executor):
    """Answers merged in the order in which they came, or threads that share what one of them needs."""
    with executor() as workers_:
        assert shown(losscheck.sweep(**ASKED, executor=workers_)) == alone
        assert workers_.submit(abs, -1).result() == 1  # it is the caller's: not shut down


def test_progress_is_told_of_every_worker_as_one():
    """A bar that stands still until the first chunk is merged, or that passes the end."""
    seen = []
    with LastFirst() as executor:
        losscheck.sweep(**ASKED, executor=executor, listener=listening(lambda done, total: seen.append((done, total))))

    assert seen == sorted(seen) and len(seen) > 20
    assert seen[-1][0] == seen[-1][1]


def test_a_callable_that_was_handed_over_is_found_by_threads():
    """The threads of this process know the very object."""

    def naive(logits, targets):
        import numpy as np

        with np.errstate(all="ignore"):
            return -(targets * np.log(1 / (1 + np.exp(-logits))) + (1 - targets) * np.log(1 - 1 / (1 + np.exp(-logits))))

    asked = {**ASKED, "impl": naive, "quantity": "loss"}
    with ThreadPoolExecutor(2) as executor:
        assert shown(losscheck.sweep(**asked, executor=executor)) == shown(losscheck.sweep(**asked))


def test_a_callable_that_cannot_be_sent_is_said():
    """A lambda for processes, where there is no cloudpickle: a message with the cure, in place of a PicklingError."""
    if importlib.util.find_spec("cloudpickle"):
        pytest.skip("cloudpickle is installed, and sends it")
    with pytest.raises(UserError, match="could not be sent here") as refusal:
        losscheck.sweep(**{**ASKED, "impl": lambda x, z: x, "quantity": "loss"}, jobs=2)
    assert "path/to/file.py" in refusal.value.cure


def test_a_second_answer_to_who_works_is_refused():
    """--jobs beside --cluster, one of which would silently do nothing."""
    with ThreadPoolExecutor(1) as executor, pytest.raises(UserError, match="--jobs and executor= are two answers") as refusal:
        losscheck.sweep(**ASKED, jobs=2, executor=executor)
    assert refusal.value.cure


class Losing(Executor):
    """Every worker dies at once."""

    def submit(self, function, /, *words):
        future = Future()
        future.set_exception(workers.BrokenProcessPool("a process died"))
        return future


def test_an_executor_that_loses_its_workers_is_a_message():
    """Somebody else's executor cannot be made anew: the work so far is kept, and the cure is said."""
    with pytest.raises(UserError, match="were lost") as refusal:
        losscheck.sweep(**ASKED, executor=Losing())
    assert "--resume" in refusal.value.cure


def test_a_bug_of_ours_on_a_worker_is_no_answer(monkeypatch):
    """An exception that a worker raised, taken for a reason or swallowed."""
    monkeypatch.setattr(Runner, "scan", lambda self, chunk: 1 / 0)
    with ThreadPoolExecutor(1) as executor, pytest.raises(ZeroDivisionError):
        losscheck.sweep(**ASKED, executor=executor)


# Processes of this machine -----------------------------------------------------------------------------------------------


def test_a_killed_process_is_replaced_and_the_report_is_the_same(alone, monkeypatch):
    """kill -9 of a worker in the middle: its chunks are done again, each counted once."""
    killed = []

    class Crew(workers.Crew):
        def scan(self, tasks, chunks, done):
            def kill_first(chunk):
                done(chunk)
                if not killed:
                    killed.append(next(iter(self.executor._processes)))
                    os.kill(killed[0], signal.SIGKILL)

            return super().scan(tasks, chunks, kill_first)

    monkeypatch.setattr(workers, "Crew", Crew)

    assert shown(losscheck.sweep(**ASKED, jobs=2)) == alone
    assert killed


def test_a_process_killed_while_it_answers_holds_nobody_up(tmp_path):
    """Half an answer in the pipe and the lock of the queue held: the others would wait for it, and the sweep for them, without an end."""
    (tmp_path / "loss.py").write_text(
        "import os, signal, sys\nfrom pathlib import Path\nimport numpy as np\n\n\ndef dying(x, z):\n"
        "    frame, died = sys._getframe(), Path(__file__).with_name('died')\n"
        "    while frame and frame.f_code.co_name != '_process_worker':\n"
        "        frame = frame.f_back\n"
        "    if frame and not died.exists():\n"
        "        died.touch()\n"
        "        frame.f_locals['result_queue']._wlock.acquire()\n"
        "        os.write(frame.f_locals['result_queue']._writer.fileno(), bytes([0, 0, 1, 0]))\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return np.logaddexp(x.dtype.type(0), x) - x * z\n"
    )
    asked = {"loss": "bce", "range": (1, 2), "target": (0, 1), "points": 9, "quantity": "loss"}
    spread = losscheck.sweep(f"{tmp_path}/loss.py:dying", **asked, jobs=2)

    assert (tmp_path / "died").exists()
    assert shown(spread) == shown(losscheck.sweep(f"{tmp_path}/loss.py:dying", **asked))


@pytest.mark.parametrize(("said", "threads"), [("", 1), ("2", 2)], ids=["nobody said how many", "the surroundings say two"])
def test_processes_have_one_thread_of_pytorch_each(tmp_path, monkeypatch, said, threads):
    """Two processes of two threads each on two cores would fight for them; what the surroundings say is left alone."""
    import torch

    (tmp_path / "loss.py").write_text(
        "import os\nfrom pathlib import Path\nimport numpy as np\nimport torch\n\n"
        f"os.environ.pop('OMP_NUM_THREADS', None)\nif {said!r}:\n    os.environ['OMP_NUM_THREADS'] = {said!r}\n"
        "torch.set_num_threads(2)\n\n\n"
        "def watched(x: np.ndarray, z: np.ndarray) -> np.ndarray:\n"
        "    Path(__file__).with_name(f'{os.getpid()}-{len(x)}-{torch.get_num_threads()}').touch()\n"
        "    return z * np.logaddexp(0, -x) + (1 - z) * np.logaddexp(0, x)\n"
    )
    monkeypatch.setenv("OMP_NUM_THREADS", "to be given back")
    monkeypatch.delenv("OMP_NUM_THREADS")
    before = torch.get_num_threads()
    try:
        losscheck.sweep(f"{tmp_path}/loss.py:watched", loss="bce", range=(1, 2), target=(0, 1), points=4000, quantity="loss", jobs=2)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)

    seen = [tuple(map(int, path.name.split("-"))) for path in tmp_path.glob("*-*")]
    assert {count for process, length, count in seen if process != os.getpid() and length > 1000} == {threads}
    assert os.environ.get("OMP_NUM_THREADS", "") == said


def test_processes_end_with_the_one_that_asked(tmp_path):
    """Workers that wait for ever after kill -9 of the command."""
    code = "import losscheck.measure.task as t; t.CHUNK = 2**12; from losscheck.cli import main; main()"
    words = ["sweep", "--loss", "bce", "--impl", "stable", "--backend", "numpy", "--exhaustive", "--jobs", "2", "--resume", "state.json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, *words]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, start_new_session=True, stdout=subprocess.DEVNULL) as process:
        assert soon(lambda: len(members(process.pid)) > 3)  # itself, the fork server, the tracker, a worker
        process.kill()
    assert soon(lambda: not members(process.pid))


def soon(holds, seconds=60):
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.05)
    return holds()


def members(group):
    """The living processes of a process group."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, its_group = stat.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(its_group) == group and state != "Z":
            found.append(stat.parent.name)
    return found


# A dask cluster ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """The address of a scheduler with three worker processes, which stand in a folder of their own."""
    if importlib.util.find_spec("distributed") is None:
        assert "LOSSCHECK_REQUIRE_CLUSTER" not in os.environ, "dask.distributed is required here and is not installed"
        pytest.skip("dask.distributed is not installed: pip install distributed")
    command = [sys.executable, str(Path(__file__).with_name("dask_cluster.py")), "3"]
    place, environment = tmp_path_factory.mktemp("elsewhere"), {**os.environ, "PYTHONPATH": str(ROOT)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=place, env=environment, **pipes) as process:
        yield json.loads(process.stdout.readline())
        process.stdin.close()


def test_a_cluster_that_loses_a_worker_gives_the_same_report(alone, cluster, tmp_path):
    """Chunks lost with a worker, or counted twice; and an interrupted run goes on there to the same report."""
    from distributed import Client

    killed = []
    with Client(cluster, set_as_default=False) as client:
        pids = sorted(client.run(os.getpid).values())

    def kill(done, total):
        if not killed and done < total / 2:
            killed.append(pids[0])
            os.kill(pids[0], signal.SIGKILL)

    def interrupt(done, total):
        if done > total / 3:
            raise KeyboardInterrupt

    assert len(pids) == 3
    assert shown(losscheck.sweep(**ASKED, cluster=cluster, listener=listening(kill))) == alone
    assert killed
    state = tmp_path / "state.json"
    with pytest.raises(KeyboardInterrupt):
        losscheck.sweep(**ASKED, cluster=cluster, resume=state, listener=listening(interrupt))
    assert not json.loads(state.read_text())["complete"]
    assert shown(losscheck.sweep(**ASKED, cluster=cluster, resume=state)) == alone


def test_own_code_travels_to_a_cluster(cluster, tmp_path, monkeypatch):
    """A file that only this machine has, what it imports from beside it, and after a change the new one; an object defined here."""
    asked = {**ASKED, "quantity": "loss", "target": 0}
    monkeypatch.chdir(tmp_path)
    (tmp_path / "beside_it.py").write_text("import numpy as np\n\nSHIFT = 0.0\n\n\ndef softplus(x):\n    return np.logaddexp(0, x)\n")
    (tmp_path / "mine.py").write_text(
        "import beside_it\n\n\ndef mine(x, z):\n    return beside_it.softplus(x) - x * z + beside_it.SHIFT\n\n\n"
        "def refuses(x, z):\n    raise ValueError('not today')\n"
    )
    names = ("mine.py:mine", "mine.py:refuses")

    assert shown(losscheck.sweep(names, **without_impl(asked), cluster=cluster)) == shown(losscheck.sweep(names, **without_impl(asked)))

    def handed_over(x, z, softplus=lambda x: x):
        return softplus(x)

    asked["impl"] = handed_over
    assert shown(losscheck.sweep(**asked, cluster=cluster)) == shown(losscheck.sweep(**asked))


def without_impl(asked):
    return {name: value for name, value in asked.items() if name != "impl"}


def test_what_cannot_work_on_a_cluster_is_said(cluster, tmp_path, monkeypatch):
    """Other versions mixed into one report; a file that only runs here; an address where nobody answers."""
    real = errand.surroundings
    with monkeypatch.context() as patch:
        patch.setattr(errand, "surroundings", lambda runs: {**real(runs), "numpy": "0.1"})
        with pytest.raises(UserError, match=r"worker .*: it has numpy .* and not 0\.1") as refusal:
            losscheck.sweep(**ASKED, cluster=cluster)
        assert refusal.value.cure
    (tmp_path / "here.py").write_text("import os\n\nos.environ['ONLY_HERE']\n\n\ndef here(x, z):\n    return x\n")
    monkeypatch.setenv("ONLY_HERE", "1")
    with pytest.raises(UserError, match=r"worker .*here\.py cannot be imported: KeyError: 'ONLY_HERE'"):
        losscheck.sweep(f"{tmp_path}/here.py:here", **without_impl(ASKED), cluster=cluster)
    monkeypatch.setattr(workers, "SECONDS", 0.5)
    with pytest.raises(UserError, match=r"no dask scheduler answers at tcp://127\.0\.0\.1:9") as refusal:
        losscheck.sweep(**ASKED, cluster="tcp://127.0.0.1:9")
    assert "dask scheduler" in refusal.value.cure


def test_without_dask_the_cure_is_said(monkeypatch):
    """A ModuleNotFoundError where --cluster is given and dask is not installed."""
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UserError, match=r"--cluster needs dask\.distributed") as refusal:
        losscheck.sweep(**ASKED, cluster="tcp://127.0.0.1:8786")
    assert "pip install" in refusal.value.cure
