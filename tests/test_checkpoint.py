"""However often a sweep was interrupted, split into shards or given to several processes, its report is the same."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import pytest

from losscheck.core.errors import UserError
from losscheck.core.request import swept
from losscheck.measure import checkpoint
from losscheck.measure.checkpoint import Checkpoint, State, load_state, merge_states, save_state, shard_range
from losscheck.measure.sweep import run_tasks, tasks_of
from losscheck.measure.sweep_rows import rows_of
from losscheck.measure.task import Finding
from losscheck.renderers.flat import flat_sweep

QUESTION = swept(
    ("bce",), "-14.6", "-14.55", impl=("torch-bce-with-logits", "naive"), backends=("torch",), targets=("0", "1"), exhaustive=True
)
WORDS = ("--loss", "bce", "--impl", "torch-bce-with-logits", "--target", "0", "--exhaustive", "--range", "-14.6", "-14.2")


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """Chunks of 2^13 floats: every task of the question has seven."""
    monkeypatch.setattr("losscheck.measure.task.CHUNK", 2**13)


def begun(question=QUESTION, shard=(1, 1)):
    return State(question, [Finding() for _ in tasks_of(question)], shard)


def finish(state, path=None, after=None):
    """Run what is left of a state, as `sweep` does; stop after so many chunks."""
    tasks = tasks_of(state.question)
    keep = Checkpoint(state, path)
    done = itertools.count(1)

    def progress(points):
        if after is not None and next(done) == after:
            raise KeyboardInterrupt

    try:
        run_tasks(tasks, state.findings, within=lambda task: shard_range(task, state.shard), progress=progress, checkpoint=keep)
    except KeyboardInterrupt:
        keep.write()
        return state
    state.complete = True
    keep.write()
    return state


def shown(state):
    """The rows as the report has them."""
    rows = rows_of(tasks_of(state.question), state.findings)
    return json.dumps([flat_sweep(row) for row in rows]) + repr([row.profile for row in rows])


@pytest.fixture(scope="module")
def uninterrupted():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("losscheck.measure.task.CHUNK", 2**13)
        return shown(finish(begun()))


# Interrupt and resume --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [1, 6, 7, 8, 20])
def test_an_interrupted_sweep_goes_on_to_the_same_report(tmp_path, uninterrupted, after):
    """A chunk that is counted twice, or skipped, where a sweep was interrupted; at the seam of two tasks as well."""
    path = tmp_path / "state.json"
    finish(begun(), path, after)
    halfway = load_state(path)

    assert not halfway.complete and sum(finding.done for finding in halfway.findings) == after
    assert shown(finish(halfway, path)) == uninterrupted
    assert load_state(path).complete and shown(load_state(path)) == uninterrupted


def test_a_sweep_interrupted_again_and_again_ends_the_same(tmp_path, uninterrupted):
    """An error that only a second interruption brings in."""
    path = tmp_path / "state.json"
    save_state(begun(), path)
    for _ in range(40):
        state = finish(load_state(path), path, 3)
        if state.complete:
            break

    assert state.complete and shown(state) == uninterrupted


def test_the_size_of_chunks_does_not_show(monkeypatch, uninterrupted):
    """A region cut at the end of a chunk, or a profile that restarts with it."""
    monkeypatch.setattr("losscheck.measure.task.CHUNK", 2**24)

    assert shown(finish(begun())) == uninterrupted


def test_a_checkpoint_is_written_now_and_then(tmp_path, monkeypatch):
    """A state that is written only at the end, or after each chunk however quick it was."""
    path = tmp_path / "state.json"
    keep = Checkpoint(begun(), path)
    keep()
    assert not path.exists()
    monkeypatch.setattr(checkpoint, "SECONDS", -1.0)
    keep()
    assert not load_state(path).complete
    Checkpoint(begun(), None)()


SMALL_CHUNKS = (
    "import losscheck.measure.task as s, losscheck.measure.checkpoint as c; "
    "s.CHUNK, c.SECONDS = 2**14, 0.0; from losscheck.cli import main; main()"
)


def command(*words):
    return [sys.executable, "-c", SMALL_CHUNKS, "sweep", *words, "--format", "json"]


def test_a_killed_sweep_goes_on_to_the_same_report(tmp_path, monkeypatch):
    """A state file that kill -9 leaves broken, or that lags behind what was merged."""
    monkeypatch.setattr("losscheck.measure.task.CHUNK", 2**14)  # as the command has them
    state = tmp_path / "state.json"
    words = (*WORDS, "--resume", str(state))
    with subprocess.Popen(command(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path) as process:
        deadline = time.monotonic() + 60
        while not state.exists() and time.monotonic() < deadline:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        out, _ = process.communicate()
    halfway = load_state(state)
    assert process.returncode == -signal.SIGKILL and out == b"" and not halfway.complete

    resumed = subprocess.run(command(*words), capture_output=True, text=True, cwd=tmp_path, check=False)
    plain = subprocess.run(command(*WORDS), capture_output=True, text=True, cwd=tmp_path, check=False)

    assert resumed.returncode == plain.returncode == 0, resumed.stderr
    assert "going on from" in resumed.stderr
    assert json.loads(resumed.stdout)["rows"] == json.loads(plain.stdout)["rows"]
    assert not [file for file in tmp_path.iterdir() if file.name.startswith(".state.json")] or process.returncode < 0


def test_two_processes_give_the_same_rows_as_one(tmp_path):
    """Chunks merged in the order in which processes finish them."""
    words = ["sweep", "--loss", "bce", "--backend", "torch", "--dtype", "bfloat16", "--range", "-100", "-1", "--format", "json"]
    runs = [
        subprocess.run([sys.executable, "-m", "losscheck", *words, *jobs], capture_output=True, text=True, cwd=tmp_path, check=False)
        for jobs in ([], ["--jobs", "2"])
    ]

    assert [run.returncode for run in runs] == [0, 0], runs[1].stderr
    one, two = (json.loads(run.stdout) for run in runs)
    assert one["rows"] == two["rows"] and len(one["rows"]) > 20
    assert "--jobs" not in two["reproduce"]


# Shards ----------------------------------------------------------------------------------------------------------------


def shards(folder, of, question=QUESTION):
    paths = []
    for n in range(1, of + 1):
        paths.append(folder / f"shard-{n}-of-{of}.json")
        save_state(finish(begun(question, (n, of))), paths[-1])
    return paths


@pytest.mark.parametrize("of", [1, 2, 3, 7, 11])
def test_shards_in_any_order_merge_to_the_whole(tmp_path, uninterrupted, of):
    """A part that is lost between two shards, or a merge that trusts the order of its arguments; more shards than chunks."""
    paths = shards(tmp_path, of)

    for order in (paths, paths[::-1], paths[of // 2 :] + paths[: of // 2]):
        assert shown(merge_states(order)) == uninterrupted


@pytest.mark.parametrize("of", [1, 2, 3, 5, 8, 100])
def test_shards_divide_the_chunks(of):
    """Two shards that overlap, or chunks that are in none."""
    for task in tasks_of(QUESTION)[:1]:
        chunks = [n for shard in range(1, of + 1) for n in shard_range(task, (shard, of))]
        assert chunks == list(range(task.chunks()))


def test_nan_logits_and_samples_are_in_one_shard_only(tmp_path):
    """NaN logits counted once for each shard, or a sample that is swept by all of them."""
    question = swept(("bce",), "-inf", "inf", impl=("torch-bce*",), targets=("0",), dtypes=("bfloat16",), quantities=("loss",))
    sample = swept(("bce",), "-1", "1", impl=("torch-bce*",), targets=("0",), quantities=("loss",), points=10)
    for asked in (question, sample):
        assert shown(merge_states(shards(tmp_path, 2, asked))) == shown(finish(begun(asked)))
    assert rows_of(tasks_of(question), merge_states(shards(tmp_path, 2, question)).findings)[0].nan_points == 254


def test_nan_logits_that_came_out_as_numbers_are_counted_in_the_whole(tmp_path):
    """A merge that adds up the NaN logits and loses those that came out wrong."""
    (tmp_path / "hides.py").write_text("import torch\n\ndef hides(x, z):\n    return torch.where(x > 0, x, torch.zeros_like(x))\n")
    question = swept(
        ("bce",), "-inf", "inf", impl=(f"{tmp_path}/hides.py:hides",), targets=("0",), dtypes=("bfloat16",), quantities=("loss",)
    )
    (whole,), (merged,) = finish(begun(question)).findings, merge_states(shards(tmp_path, 3, question)).findings

    assert (whole.nan_points, whole.nan_wrong) == (merged.nan_points, merged.nan_wrong) == (254, 254)


def test_shards_that_do_not_belong_together_are_refused(tmp_path):
    """A report that is missing a part, or has one twice, or is of two questions."""
    one, two, three = shards(tmp_path, 3)
    other = swept(("bce",), "1", "1.002", impl=("naive",), backends=("torch",), targets=("0",), exhaustive=True)
    (foreign, _) = shards(tmp_path, 2, other)
    unfinished = tmp_path / "unfinished.json"
    save_state(finish(begun(shard=(2, 3)), after=2), unfinished)
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}

    for paths, said in [
        ([one, three], "shard 2 of 3 is missing"),
        ([three], "shard 1, 2 of 3 is missing"),
        ([one, two, two, three], "both shard 2 of 3"),
        ([one, two, foreign], "parts of different sweeps"),
        ([one, unfinished, three], "is not finished"),
        ([one, tmp_path / "absent.json", three], "cannot read"),
    ]:
        with pytest.raises(UserError, match=said) as refusal:
            merge_states(paths)
        assert refusal.value.cure
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


# Files that lie ---------------------------------------------------------------------------------------------------------

SIXTEEN = swept(
    ("bce",), "-inf", "inf", impl=("naive",), backends=("torch",), targets=("0",), dtypes=("bfloat16",), quantities=("loss",), max_ulp=0.25
)  # fmt: skip


@pytest.fixture(scope="module")
def three_shards(tmp_path_factory):
    """The texts of the three shards of a sweep of every bfloat16: eight chunks, regions and NaN logits among them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("losscheck.measure.task.CHUNK", 2**13)
        return [path.read_text() for path in shards(tmp_path_factory.mktemp("shards"), 3, SIXTEEN)]


def the_loss(data):
    return data["findings"][0]["summaries"]["loss"]


def shift(segments):
    """Every region a million floats further up."""
    for runs in segments.values():
        for run in runs:
            run[0] += 10**6
            run[1] += 10**6


def move_a_float(segments):
    """From one region to the next: their sum is what it was."""
    runs = max(segments.values(), key=len)
    runs[0][2] -= 1
    runs[1][2] += 1


LIES = {
    "relabelled": lambda data: data.update(shard=[3, 3]),
    "relabelled as the first": lambda data: data.update(shard=[1, 3]),
    "of other chunks": lambda data: data.update(chunk=2**24),
    "emptied": lambda data: data["findings"][0].update(done=0, covered=None, summaries={}),
    "emptied, its chunks said to be done": lambda data: data["findings"][0].update(summaries={}),
    "more chunks than there are": lambda data: data["findings"][0].update(done=10**9),
    "fewer chunks": lambda data: data["findings"][0].update(done=1),
    "chunks that are true": lambda data: data["findings"][0].update(done=True),
    "other floats": lambda data: data["findings"][0].update(covered=[0, 1, 2]),
    "a float too few": lambda data: the_loss(data).update(points=the_loss(data)["points"] - 1),
    "a count moved": lambda data: the_loss(data)["counts"].__setitem__(-1, the_loss(data)["counts"][-1] - 1),
    "a negative count": lambda data: the_loss(data)["counts"].__setitem__(slice(0, 2), [-1, the_loss(data)["counts"][1] + 1]),
    "a histogram of more": lambda data: the_loss(data)["histogram"].__setitem__(0, the_loss(data)["histogram"][0] + 1),
    "a histogram of other buckets": lambda data: the_loss(data)["histogram"].append(0),
    "more wrong than checked": lambda data: the_loss(data).update(wrong=the_loss(data)["checked"] + 1),
    "more checked than there are": lambda data: the_loss(data).update(checked=10**9),
    "regions elsewhere": lambda data: shift(the_loss(data)["segments"]),
    "a region more": lambda data: the_loss(data)["segments"].setdefault("0", []).append([30000, 30000, 1]),
    "regions of an outcome that is none": lambda data: the_loss(data)["segments"].update({"99": [[0, 0, 1]]}),
    "a float of one region in another": lambda data: move_a_float(the_loss(data)["segments"]),
    "no regions": lambda data: the_loss(data).update(segments={}),
    "a worst point elsewhere": lambda data: the_loss(data)["worst"][0].__setitem__(0, 10**6),
    "no worst points": lambda data: the_loss(data).update(worst=[]),
    "a first point elsewhere": lambda data: the_loss(data)["first"][0].__setitem__(0, 10**6),
    "a profile of other floats": lambda data: the_loss(data)["profile_code"].__setitem__(0, 0),
    "NaN logits of another shard": lambda data: data["findings"][0].update(nan_points=254),
    "wrong NaN logits": lambda data: data["findings"][0].update(nan_wrong=1),
    "fewer than no wrong NaN logits": lambda data: data["findings"][0].update(nan_wrong=-1),
    "a quantity that was not asked": lambda data: data["findings"][0]["summaries"].update(grad=the_loss(data)),
    "a shard of none": lambda data: data.update(shard=[0, 3]),
    "a shard beyond the last": lambda data: data.update(shard=[4, 3]),
    "a question of letters": lambda data: data["question"].update(losses="bce"),
    "a question of numbers": lambda data: data["question"]["points"].update(points="1000"),
    "a loss that is none": lambda data: data["question"].update(losses=["mse"]),
    "a sample beyond all memory": lambda data: (
        data["question"].update(dtypes=["float64"]),
        data["question"]["points"].update(points=10**15),
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_shard_that_lies_is_not_merged(tmp_path, three_shards, lie):
    """A report that lacks floats, or has some twice, because a file said so."""
    paths = [tmp_path / f"{n}.json" for n in range(3)]
    for path, text in zip(paths, three_shards, strict=True):
        path.write_text(text)
    merge_states(paths)
    data = json.loads(three_shards[1])
    LIES[lie](data)
    paths[1].write_text(json.dumps(data))
    if "relabelled" in lie:
        paths.pop(2 if lie == "relabelled" else 0)  # it takes the place of the one it says to be

    with pytest.raises(UserError) as refusal:
        merge_states(paths)
    assert str(paths[1] if "relabelled as" not in lie else paths[0]) in refusal.value.problem
    assert "delete" not in str(refusal.value)


def test_a_shard_of_a_billion_is_refused_in_little_memory(tmp_path):
    """A list of all the shards that are missing took 6.7 GiB."""
    path = tmp_path / "state.json"
    save_state(finish(begun(SIXTEEN, (1, 10**9))), path)
    tracemalloc.start()
    with pytest.raises(UserError, match="shard 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 999999989 more of 1000000000 is missing"):
        merge_states([path])
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert most < 64 * 2**20


def test_wrong_numbers_for_nan_logits_are_merged(tmp_path, monkeypatch):
    """A count that a merge drops, doubles, or takes from the NaN logits that were right."""
    monkeypatch.setattr("losscheck.measure.runner.count_nans", lambda task: (254, 7))
    merged = merge_states(shards(tmp_path, 3, SIXTEEN))

    assert (merged.findings[0].nan_points, merged.findings[0].nan_wrong) == (254, 7)
    assert [row.nan_wrong for row in rows_of(merged.tasks, merged.findings)] == [7]
    assert load_state(tmp_path / "shard-3-of-3.json").findings[0].nan_wrong == 7


def test_what_is_no_file_is_refused_without_reading(tmp_path):
    """A pipe nobody writes to, a device that never ends, a folder."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(UserError, match="is no file"):
            load_state(path)


def test_merge_never_advises_to_delete(tmp_path, call):
    """The file named by mistake may be anything: a thesis, a key."""
    thesis = tmp_path / "thesis.txt"
    thesis.write_text("Chapter one")
    code, out, err = call("merge", str(thesis))

    assert (code, out) == (2, "")
    assert "delete" not in err and "thesis.txt is no state file" in err


# State files that are none ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def state_text(tmp_path_factory):
    path = tmp_path_factory.mktemp("state") / "state.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("losscheck.measure.task.CHUNK", 2**13)
        finish(begun(), path, 5)
    return path.read_text()


def test_a_state_cut_anywhere_is_refused(tmp_path, state_text):
    """Half a file read as a short sweep."""
    path = tmp_path / "state.json"
    for length in (0, 1, 2, len(state_text) // 3, len(state_text) // 2, len(state_text) - 2):
        path.write_text(state_text[:length])
        with pytest.raises(UserError) as refusal:
            load_state(path)
        assert refusal.value.cure and str(path) in refusal.value.problem
        assert path.read_text() == state_text[:length]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data.pop("question"),
        lambda data: data.pop("findings"),
        lambda data: data.pop("shard"),
        lambda data: data.pop("chunk"),
        lambda data: data["findings"][0].pop("covered"),
        lambda data: data.pop("complete"),
        lambda data: data["findings"].pop(),
        lambda data: data["findings"][0]["summaries"]["loss"].pop("segments"),
        lambda data: data["findings"][0]["summaries"]["loss"].update(worst=[["a", 1]]),
        lambda data: data["question"].update(unheard_of=1),
        lambda data: data["question"]["points"].pop("low"),
        lambda data: data["question"]["points"].update(kind="grid"),
        lambda data: data["question"]["points"].update(exhaustive=1),
        lambda data: data["question"].update(digits="50"),
        lambda data: data["question"].update(dtypes=["float32", 3]),
        lambda data: data.update(shard=[1]),
        lambda data: data.update(findings=None),
        lambda data: data.update(version="0.0.0"),
        lambda data: data.update(losscheck_state=99),
        lambda data: data.pop("losscheck_state"),
    ],
)
def test_a_damaged_state_is_refused(tmp_path, state_text, spoil):
    """A file with something missing that is taken for a finding, or that crashes the command."""
    path = tmp_path / "state.json"
    data = json.loads(state_text)
    spoil(data)
    path.write_text(json.dumps(data))

    with pytest.raises(UserError) as refusal:
        load_state(path)
    assert refusal.value.cure


@pytest.mark.parametrize("text", ["[1, 2]", "3", "null", '"x"', "{}", "not json", "\x00\x01", "[" * 100_000])
def test_a_file_that_is_no_state_is_refused(tmp_path, text):
    """Any JSON taken for a state."""
    path = tmp_path / "state.json"
    path.write_text(text)

    with pytest.raises(UserError):
        load_state(path)


def test_a_file_larger_than_any_state_is_not_read(tmp_path):
    """A gigabyte taken into memory before anybody asks what it is."""
    path = tmp_path / "state.json"
    with path.open("wb") as file:
        file.truncate(2**30)

    with pytest.raises(UserError, match="more than 512 MiB"):
        load_state(path)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    """A binary file that crashes the decoder."""
    path = tmp_path / "state.json"
    path.write_bytes(os.urandom(100) + b"\xff\xfe")

    with pytest.raises(UserError):
        load_state(path)


def test_every_field_of_a_question_survives_the_file(tmp_path):
    """A parameter, a limit or a tuple that comes back as something else, so that no resume ever fits."""
    question = swept(
        ("bce",), "-0x1p3", "inf", targets=("0.1", "1"), points=7, spacing="ulp", exhaustive=True, layout="both", impl=("sta*",),
        backends=("numpy",), dtypes=("float16", "bfloat16"), quantities=("grad",), params={"pos_weight": 0.1}, oracle="mpmath",
        digits=30, max_ulp=0.5,
    )  # fmt: skip
    path = tmp_path / "state.json"
    state = begun(question, (2, 3))
    save_state(state, path)

    assert load_state(path) == state


def test_an_infinite_limit_survives_the_file(tmp_path):
    """--max-ulp inf, which judges outcomes alone, crashing where the state is written."""
    question = swept(("bce",), "1", "2", impl=("stable",), backends=("numpy",), targets=("0",), points=2, max_ulp=float("inf"))
    path = tmp_path / "state.json"
    save_state(begun(question), path)

    assert load_state(path).question == question
