"""Hostile case files: each gives cases or one error with a place, in bounded time and memory, and runs nothing."""

import contextlib
import io
import json
import os
import random
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from whole import tried

from losscheck.core.errors import UserError
from losscheck.gating.load import CaseError, LoadedCase, case_files, load

# One of everything a case may say, in block and in flow style.
WHOLE = """\
# a comment
cases:
  - name: first-case
    about: "quoted: text"
    loss: bce
    implementations: [stable, 'torch-*']
    params: {pos_weight: 0x2}
    points:
      logits: [1.5, -0.0, '0x1.8p+0', inf]
      targets: [1, 0, 0.5, 1e-3]
    dtypes: [float32, float64]
    expect: {max_ulp: {float32: 4.5}, outcomes: [flushed], max_deviation: 1e-6, monotone: increasing, non_negative: true}
  - name: second
    loss: weighted-focal
    implementations: [weighted-focal-loss]
    range: {low: -10, high: 10, targets: [0, 1], count: 30, spacing: ulp, layout: both}
    quantities: [loss]
    known_failure: {reason: &why it fails, link: "https://example.org/a", outcomes: [lost]}
  - {name: third, loss: centernet-heatmap, implementations: [stable], exhaustive: {}, dtypes: [bfloat16], expect: {symmetric: true}}
""".replace("0x2", "'0x2'")
CALL = "!!python/object/apply:os.system ['touch {sentinel}']"
HOSTILE = [
    "", "~", "null", "yes", "No", "on", "y", "true", "TRUE", "0", "-1", "1e999999999", "1e-999999999", "0x1p4", "'0x1p4'", "0x",
    "0o17", "017", "1_000", ".inf", "-.inf", ".nan", "inf", "nan", "'nan'", "1:30", "2001-01-01", "=", "<<", "*why", "*unknown",
    "&a", "&a &b", "!!str 1", "!!int '1'", "!!binary aGVsbG8=", "!!python/name:os.system", CALL, "!<tag:x> 1", "[", "]", "{", "}",
    "[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]", "{a: {a: {a: 1}}}", "{}", "[]", "[~]", "{? [a] : b}", "- a", "? a", "a: b",
    "a: b: c", "|", ">-", "|9", "@a", "`a", "%a", "#a", "'", '"', "'a", '"\\x00"', '"\\ud800"', '"\\U00110000"', "\t", "\tx",
    "\0", "\x1b[31m", "\x7f", "\x85", "\u2028", "\ufeff", "\ufffe", "é", "\U0001f600", "---", "...", "--- a", "%YAML 1.1",
    "%YAML 3.0\n---", "%TAG ! tag:x,2000:", "evil_module:function", "os:system", "a.b:c:d", "a b:c", "9" * 5000,
    "1." + "3" * 5000, "x" * 5000, "*" * 2000, "[a-" * 500, "::error::x", "%0A", "${{ x }}", "../../etc/passwd",
    "cuda:" + "9" * 5000, "[float32, float32]", "[float128]", "{float32: .nan}", "{float8: 1}", "{'': 1}", "{1: 2}", "-0.0",
    "1e400", "5e-324", "100000000000",
]  # fmt: skip
KEYS = sorted(set(re.findall(r"\b([a-z_]+):", WHOLE)) | {"name", "shape", "recorded", "equal_bits", "reduction", "backends", "devices"})
PLACE = re.compile(r".+?:[1-9]\d*:[1-9]\d*: .+")
# Seconds of this process for one file. Nobody times anything here: what is not bounded takes minutes, and machines are noisy.
BOUND = 20.0


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """Judge bytes as a case file; whatever runs code or starts a process meanwhile is an error."""
    folder = tmp_path_factory.mktemp("fuzz")
    file, sentinel = folder / "case.yaml", folder / "touched"
    file.write_text(WHOLE, encoding="utf-8")
    load([file])  # what is imported lazily is imported now
    state = {"on": False, "seen": []}
    forbidden = {
        "os.system",
        "os.exec",
        "os.posix_spawn",
        "os.fork",
        "subprocess.Popen",
        "exec",
        "compile",
        "socket.connect",
        "ctypes.dlopen",
    }

    def hook(event, arguments):
        if state["on"] and (event in forbidden or (event == "import" and str(arguments[0]).startswith(("evil", "os.", "a.b")))):
            state["seen"].append((event, str(arguments)[:100]))

    sys.addaudithook(hook)

    def read(data):
        if isinstance(data, str):
            data = data.replace("{sentinel}", str(sentinel)).encode("utf-8", errors="surrogatepass")
        file.write_bytes(data)
        state.update(on=True, seen=[])
        start = time.process_time()
        try:
            return well_formed(file)
        finally:
            state["on"] = False
            assert time.process_time() - start < BOUND
            assert state["seen"] == []
            assert not sentinel.exists()

    return read


def well_formed(file):
    """The cases of a file or the words of its refusal; anything else than these two is raised."""
    try:
        loaded = load([file])
    except CaseError as error:
        assert re.fullmatch(r"\d+ problems? in 1 case file: nothing was judged", error.problem)
        places = [detail for detail in error.details if not re.fullmatch(r"\.\.\. and \d+ more", detail)]
        assert places
        assert all(place.startswith(f"{file}:") and PLACE.match(place) for place in places)
        assert all(problem.line >= 1 and problem.column >= 1 and problem.message for _, problem in error.problems)
        assert len(str(error)) < 60_000
        return str(error)
    assert loaded
    assert all(isinstance(entry, LoadedCase) and entry.line >= 1 for entry in loaded)
    return loaded


def test_the_whole_file_is_well_formed(watched):
    """Or the mutations below would mutate what is refused anyway."""
    assert [loaded.case.name for loaded in watched(WHOLE)] == ["first-case", "second", "third"]


def test_the_watch_sees_code_that_runs(watched, monkeypatch):
    """The control: a loader that runs something is noticed."""
    monkeypatch.setattr("losscheck.gating.load.read_text", lambda path: eval("'cases: []'"))
    with pytest.raises(AssertionError):
        watched(WHOLE)


# Thousands of files ------------------------------------------------------------------------------------------------


def test_a_file_cut_off_at_every_character(watched):
    """Whatever is left is read or refused; most of it is refused."""
    outcomes = [watched(WHOLE[:length]) for length in range(len(WHOLE))]

    assert sum(isinstance(outcome, str) for outcome in outcomes) > len(outcomes) / 2
    assert len(outcomes) > 800


def test_a_character_replaced_by_each_hostile_text(watched):
    """Every 36th place, another one for each text: so every place by some of them."""
    places = range(0, len(WHOLE) - 36, 36)
    outcomes = [watched(WHOLE[:n] + text + WHOLE[n + 1 :]) for k, text in enumerate(HOSTILE) for n in (place + k % 36 for place in places)]

    assert len(outcomes) > 1500
    assert any(isinstance(outcome, list) for outcome in outcomes)


def values():
    """A value of YAML flow style: hostile text, a word of the format, or something nested."""
    plain = st.sampled_from(HOSTILE) | st.sampled_from(["bce", "stable", "float32", "loss", "0", "1.5", "'0x1p-3'"])
    text = st.text(max_size=12).map(lambda text: json.dumps(text, ensure_ascii=False))
    number = st.floats().map(repr) | st.integers().map(str)
    return st.recursive(
        plain | text | number,
        lambda inner: (
            st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
            | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3).map(
                lambda entries: f"{{{', '.join(f'{k}: {v}' for k, v in entries.items())}}}"
            )
        ),
        max_leaves=6,
    )


@st.composite
def mutated_lines(draw):
    """The whole file with some lines changed: a value or a key replaced, a line dropped, doubled, moved or indented."""
    lines = WHOLE.splitlines()
    for _ in range(draw(st.integers(1, 4))):
        n = draw(st.integers(0, len(lines) - 1))
        kind = draw(st.sampled_from(["value", "key", "drop", "double", "move", "indent", "item"]))
        head, colon, _ = lines[n].partition(": ")
        if kind == "value" and colon:
            lines[n] = f"{head}: {draw(values())}"
        elif kind == "key" and colon:
            indent = head[: len(head) - len(head.lstrip(" -"))]
            key = draw(st.sampled_from([*KEYS, "nmae", "<<", "~", "1", "!!str a", "*why", "? x", "[a]"]))
            lines[n] = f"{indent}{key}: {lines[n].partition(': ')[2]}"
        elif kind == "item" and (found := re.search(r"(?<=[\[{ ])[^\[\]{}, ]+(?=[,\]}])", lines[n])):
            lines[n] = lines[n][: found.start()] + draw(values()) + lines[n][found.end() :]
        elif kind == "drop" and len(lines) > 1:
            del lines[n]
        elif kind == "double":
            lines.insert(n, lines[n])
        elif kind == "move":
            lines.insert(draw(st.integers(0, len(lines))), lines[n])
        else:
            lines[n] = draw(st.sampled_from([" ", "   ", "\t", "- "])) + lines[n]
    return "\n".join(lines) + "\n"


@given(mutated_lines())
@settings(max_examples=tried(200, 500), suppress_health_check=list(HealthCheck))
def test_a_file_with_changed_lines(watched, text):
    """Values of wrong types, keys renamed, dropped and doubled, odd indentation."""
    watched(text)


@given(
    st.lists(values(), min_size=1, max_size=3),
    st.sampled_from(["cases: {}", "cases: [{}]", "cases: [{{name: a, loss: bce, points: {}}}]", "{}"]),
)
@settings(max_examples=tried(150, 300), suppress_health_check=list(HealthCheck))
def test_a_file_of_other_values(watched, given_values, frame):
    """The right beginning, and then anything."""
    watched(frame.format(", ".join(given_values)))


@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
@settings(max_examples=tried(150, 300), suppress_health_check=list(HealthCheck))
@example(b"")
@example(b"\xff\xfe\x00")
def test_a_file_of_random_bytes(watched, data):
    """Never a case."""
    assert isinstance(watched(data), str)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "latin-1", "cp037", "utf-7"])
def test_another_encoding_is_refused(watched, encoding):
    """With the place of the first byte that is not UTF-8; or, where all bytes are, of what they spell."""
    assert isinstance(watched(WHOLE.replace("quoted", "quotéd+").encode(encoding)), str)


@pytest.mark.parametrize("encoding", ["utf-8-sig"])
def test_a_byte_order_mark_and_windows_line_ends_are_read(watched, encoding):
    """What an editor on Windows writes."""
    assert len(watched(WHOLE.replace("\n", "\r\n").encode(encoding))) == 3


# Large ones ---------------------------------------------------------------------------------------------------------

CASE = "{name: n%d, loss: bce, implementations: [stable], points: {logits: [1], targets: [1]}}"


def many(count, change=lambda text: text):
    return "cases:\n" + "".join(f"  - {change(CASE % n)}\n" for n in range(count))


def one(old, new):
    return many(1, lambda text: text.replace(old, new))


BOMBS = {
    "laughs": "a: &a0 [x]\n" + "".join(f"k{n}: &a{n + 1} [{', '.join([f'*a{n}'] * 9)}]\n" for n in range(20)),
    "doubling": "a: &a0 {x: 1}\n" + "".join(f"k{n}: &a{n + 1} {{p: *a{n}, q: *a{n}}}\n" for n in range(40)),
    "inside-itself": "cases: &a [*a]",
    "nested-lists": "[" * 1_000_000,
    "nested-maps": "{a: " * 300_000,
    "nested-blocks": "- " * 300_000,
    "a-staircase": "\n".join(" " * n + "-" for n in range(2500)),
    "unknown-keys": one("name", ", ".join(f"k{n}: 1" for n in range(40_000)) + ", name"),
    "doubled-keys": one("name", ", ".join("loss: 1" for n in range(40_000)) + ", name"),
    "wrong-cases": many(5000, lambda text: text.replace("bce", "bcx")),
    "wrong-implementations": many(5000, lambda text: text.replace("stable", "stabel")),
    "one-name": many(3000, lambda text: re.sub(r"n\d+", "same", text)),
    "many-points": one("[1]", "[" + "1," * 1_000_000 + "1]"),
    "a-million-digits": one("[1]", f"[{'7' * 1_000_000}]"),
    "a-million-hex-digits": one("[1]", f"['0x{'f' * 1_000_000}']"),
    "an-exponent": one("[1]", f"[1e{'9' * 100_000}]"),
    "a-size": one("targets: [1]}", f"targets: [1], shape: [{', '.join(['1000000'] * 1000)}]}}, reduction: mean"),
    "a-billion-points": one("targets: [1]}", "targets: [1], shape: [100000, 10000]}, reduction: mean"),
    "a-printed-value": one("points", "quantities: [loss], expect: {value: 1e-999999999}, points"),
    "a-printed-zero": one("points", "quantities: [loss], expect: {value: 0e-999999999}, points"),
    "a-glob": one("stable", "'" + "*a" * 3000 + "'"),
    "a-long-tag": f"!<{'x' * 1_000_000}> 1",
    "a-long-key": "? " + "k" * 2_000_000 + "\n: 1",
    "comments": "# x\n" * 500_000,
    "documents": "---\n" * 200_000,
    "escapes": 'cases: "' + "\\u0041" * 500_000 + '"',
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_in_time(watched, name):
    """In two seconds of processor time, with a short message and a place."""
    assert isinstance(watched(BOMBS[name]), str)


LIMITED = """
import resource, sys
from pathlib import Path
from losscheck.gating.load import CaseError, load
file = Path(sys.argv[1])
small = file.with_name("small.yaml")
small.write_text("cases: []")
for each in (small, file):
    try:
        load([each])
        print("loaded")
    except CaseError as error:
        print(error.details[0][-200:].encode())
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.parametrize("name", ["laughs", "doubling", "nested-lists", "many-points", "unknown-keys", "fifty-megabytes"])
def test_a_bomb_is_refused_in_bounded_memory(tmp_path, name):
    """In a process of its own: less than 600 MB more than for a small file; of 50 MB only the beginning is read."""
    file = tmp_path / "bomb.yaml"
    file.write_text(BOMBS.get(name) or "cases:\n" + "  - {name: a, loss: bce}\n" * 2_000_000, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(file)], capture_output=True, text=True, timeout=60, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (4 * 2**30, 4 * 2**30)),
    )  # fmt: skip
    lines = done.stdout.splitlines()

    assert done.returncode == 0, done.stderr[-500:]
    assert lines[2] != "loaded"
    more = (int(lines[3]) - int(lines[1])) / 1024
    assert more < (60 if name == "fifty-megabytes" else 600)


# What is no regular file --------------------------------------------------------------------------------------------


@pytest.fixture
def odd(tmp_path):
    """A folder of things that are called like case files and are none."""
    (tmp_path / "folder.yaml").mkdir()
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "one.yaml").symlink_to("two.yaml")
    (tmp_path / "two.yaml").symlink_to("one.yaml")
    (tmp_path / "nowhere.yml").symlink_to("missing")
    (tmp_path / "self").symlink_to(".")
    (tmp_path / "large.yaml").write_bytes(b"# " + b"x" * 50_000_000)
    return tmp_path


def test_a_folder_of_odd_files_is_refused_with_every_one_of_them(odd):
    """A pipe is not waited for, a loop of links not followed, 50 MB not read."""
    start = time.process_time()
    with pytest.raises(CaseError) as caught:
        load(case_files([odd]))

    assert {file.name for file, _ in caught.value.problems} == {"pipe.yaml", "one.yaml", "two.yaml", "nowhere.yml", "large.yaml"}
    assert {(problem.line, problem.column) for _, problem in caught.value.problems} == {(1, 1)}
    assert time.process_time() - start < BOUND


@pytest.mark.parametrize(
    "name", ["folder.yaml", "pipe.yaml", "one.yaml", "nowhere.yml", "missing.yaml", "x" * 5000 + ".yaml", "large.yaml/x.yaml"]
)
def test_a_path_that_is_no_file_is_a_user_error(odd, name):
    """Whatever the system says about it."""
    with pytest.raises(UserError) as caught:
        case_files([odd / name])

    assert len(str(caught.value)) < 1000


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_an_unreadable_file_is_refused(tmp_path):
    """With its place and the system's reason."""
    file = tmp_path / "secret.yaml"
    file.write_text(WHOLE, encoding="utf-8")
    file.chmod(0)
    with pytest.raises(CaseError, match="cannot be read: Permission denied"):
        load([file])


def test_a_read_error_is_refused_with_its_reason(tmp_path, monkeypatch):
    """As on a disk that fails, which also root sees."""
    file = tmp_path / "broken.yaml"
    file.write_text(WHOLE, encoding="utf-8")

    def fail(*args, **more):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "open", fail)
    with pytest.raises(CaseError, match=r"broken\.yaml:1:1: cannot be read: Input/output error"):
        load([file])


# Through the command ------------------------------------------------------------------------------------------------


def gate(*words, cwd):
    """The real command in this process: (exit code, standard error)."""
    from losscheck.cli import main

    shown = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(shown), contextlib.redirect_stdout(io.StringIO()):
        patch.chdir(cwd)
        patch.setattr(sys, "argv", ["losscheck", "gate", *words])
        with pytest.raises(SystemExit) as stop:
            main()
    return stop.value.code, shown.getvalue()


def bad_files():
    """Some dozens of hostile files, the same ones every time."""
    chosen = random.Random(4).sample(HOSTILE, 30)
    yield from (WHOLE.replace("loss: bce", f"loss: {text}\n    loss: bce") for text in chosen)
    yield from (BOMBS[name] for name in ("laughs", "nested-lists", "a-million-digits", "a-printed-zero", "inside-itself"))
    yield from ("", "\0", "\ufeff", "cases:", "cases: []", "cases: 1", "{", "--- a\n--- b", "\tcases: []", CALL)


@pytest.mark.parametrize("text", list(bad_files()), ids=range(45))
def test_the_command_refuses_a_hostile_file(text, tmp_path):
    """Exit code 2, one message with a place, no traceback and no `internal error`; nothing is left in the folder."""
    (tmp_path / "bad.yaml").write_text(text.replace("{sentinel}", str(tmp_path / "touched")), encoding="utf-8", errors="surrogatepass")
    code, shown = gate("bad.yaml", cwd=tmp_path)

    assert code == 2
    assert re.match(r"bad\.yaml:\d+:\d+: ", shown)
    assert "Traceback" not in shown
    assert "internal error" not in shown
    assert [file.name for file in tmp_path.iterdir()] == ["bad.yaml"]


@pytest.mark.parametrize("text", [CALL, BOMBS["laughs"], "\x00", WHOLE.replace("[stable, 'torch-*']", "['evil_module:function; x']")])
def test_a_process_of_its_own_refuses_a_hostile_file(text, tmp_path):
    """The same from the shell."""
    (tmp_path / "evil_module.py").write_text("open('touched', 'w').close()\n")
    (tmp_path / "bad.yaml").write_text(text.replace("{sentinel}", str(tmp_path / "touched")))
    done = subprocess.run(
        [sys.executable, "-m", "losscheck", "gate", "bad.yaml"], capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path
    )

    assert done.returncode == 2
    assert re.match(r"bad\.yaml:\d+:\d+: ", done.stderr)
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "touched").exists()
