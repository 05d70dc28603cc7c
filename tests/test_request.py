"""What is asked: built and checked once, selected once, and the same wherever it travels."""

import json
import os
import pickle
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import losscheck
from losscheck.callables import selection
from losscheck.core import registry
from losscheck.core.dtypes import FORMATS
from losscheck.core.fail_on import rules_of
from losscheck.core.request import Request
from losscheck.core.which_points import Dumped, Listed, Range, exact_text

CASES = Path(__file__).parents[1] / "cases" / "worked_examples.yaml"
MOST_MODULES = (
    74  # of losscheck that one compare loads, losses and implementations aside; 74 when this was written, small files of one idea each
)

texts = st.sampled_from(["0", "-15", "0x1.8p+0", "inf", "nan", "1e-7"])
points = st.one_of(
    st.builds(Listed, st.tuples(texts, texts), st.tuples(texts), st.sampled_from(["none", "mean"]), st.sampled_from([(), (2, 1)])),
    st.builds(Range, texts, texts, st.tuples(texts), st.integers(1, 9), st.just("ulp"), st.booleans(), st.just("both")),
    st.builds(Dumped, st.just(("a.pt",)), st.just((("logits", "pred"),))),
)
requests = st.builds(
    Request,
    st.just(("bce",)),
    points,
    impl=st.sampled_from([(), ("torch*",), ("a.py:f", "stable")]),
    dtypes=st.sampled_from([("float32",), ("float16", "bfloat16")]),
    quantities=st.sampled_from([("loss",), ("loss", "grad")]),
    params=st.dictionaries(st.just("pos_weight"), st.floats(0, allow_infinity=False)),
    max_ulp=st.floats(0),
    digits=st.integers(2, 5000),
)


@pytest.fixture
def selections(monkeypatch):
    """How often something was selected."""
    import losscheck.api.sweep
    import losscheck.gating.judge
    import losscheck.measure.ask
    import losscheck.measure.batch  # noqa: F401  (a module that is imported later would keep the counter)

    calls = []
    real = selection.select

    def counted(request):
        calls.append(request)
        return real(request)

    for module in [module for name, module in sys.modules.items() if name.startswith("losscheck.")]:
        if getattr(module, "select", None) is real:
            monkeypatch.setattr(module, "select", counted)
    return calls


@given(requests)
def test_a_request_survives_json_and_pickle(request):
    """A field that is lost or changes its type, so that a state file belongs to no command."""
    assert Request.from_json(json.loads(json.dumps(request.to_json(), allow_nan=False))) == request
    assert pickle.loads(pickle.dumps(request)) == request


@given(st.floats(allow_nan=False), st.sampled_from(list(FORMATS.values())))
def test_a_float_as_text_is_rounded_as_the_float_is(value, dtype):
    """A double just beside a tie of a narrower format, whose shortest decimal lies on the other side."""
    text = exact_text(value)

    assert float.fromhex(text) == value if "0x" in text else float(text) == value
    if abs(value) <= dtype.largest:
        assert dtype.parse(text).hex() == dtype.round(value).hex()


@pytest.mark.parametrize("words", [("1.5",), ("1.5", "--impl", "torch*", "--dtype", "float64"), ("-15", "--target", "0", "--loss", "bce")])
def test_compare_selects_once(call, selections, words):
    """A command that asks again what its names mean for every part of its work."""
    assert call("compare", *words)[0] == 0
    assert len(selections) == 1


def test_sweep_selects_once(call, selections):
    """As compare does."""
    assert call("sweep", "--loss", "bce", "--impl", "stable", "--points", "9")[0] == 0
    assert len(selections) == 1


def test_a_case_is_selected_once(selections):
    """The gate: once for each case, whatever its dtypes, devices and properties are."""
    report = losscheck.gate(CASES)

    assert report.exit_code == 0
    assert 0 < len(selections) == len({row.case for row in report.cases})


def test_compare_loads_few_modules():
    """What a first command enters of losscheck, losses and implementations aside; a drawer pulled out for nothing is seen here."""
    code = "import losscheck, sys; losscheck.compare(logit=1.5); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ours = [
        name for name in done.stdout.split() if name.startswith("losscheck.") and name.split(".")[1] not in ("losses", "implementations")
    ]

    assert 20 < len(ours) <= MOST_MODULES
    assert not {name for name in ours if name.startswith(("losscheck.gating", "losscheck.callables.adapt", "losscheck.measure.sweep"))}


def test_the_command_of_a_report_asks_the_same(call):
    """From Python: reproduce, on the command line, gives the same rows."""
    report = losscheck.compare("stable", loss="bce", logit=[0.1, -15], target=0, dtype="half", params={"pos_weight": 0.1}, max_ulp=3)
    code, out, _ = call(*shlex.split(report.reproduce)[1:], "--format", "json")

    assert code == 0
    assert json.loads(out) == json.loads(losscheck.render(report, "json"))


def test_tensors_in_memory_are_judged_as_a_dump(tmp_path):
    """The three lines a training loop calls, and the same batch from a file."""
    torch = pytest.importorskip("torch")
    logits, targets = torch.tensor([[17.4, -3.0]], dtype=torch.bfloat16), torch.tensor([[0, 1]])
    torch.save({"pred": logits, "gt": targets}, tmp_path / "batch.pt")
    asked = {"loss": "bce", "impl": "naive", "backend": "torch"}
    names = {"logits": "pred", "targets": "gt"}
    there = losscheck.compare(tensors=tmp_path / "batch.pt", names=names, **asked)
    reports = [
        losscheck.compare(tensors=(logits, targets), **asked),
        losscheck.compare(tensors={"logits": logits, "targets": targets}, **asked),
    ]

    assert there.tensors[0].dtype == "bfloat16"
    assert all(report.tensors == there.tensors for report in reports)


@pytest.mark.parametrize("ulp", [float("nan"), float("inf"), 4.5])
def test_a_bad_reduced_loss_does_not_pass_fail_on(ulp):
    """NaN passes `error > limit`: the limit is asked whether it holds."""
    report = losscheck.compare("stable", tensors=([1.0, 2.0], [0.0, 1.0]), loss="bce", quantity="loss", reduction="sum", backend="numpy")
    (row,) = report.tensors
    assert rules_of("ulp>4").first_match(report) == ""
    spoiled = replace(report, tensors=(replace(row, whole=replace(row.whole, ulp=ulp)),))

    assert "reduced" in rules_of("ulp>4").first_match(spoiled)


# Words that people type ---------------------------------------------------------------------------------------------------

TYPED = {"fp16": "float16", "half": "float16", "BF16": "bfloat16", "double": "float64", "single": "float32", "float": "float32"}


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("-15",), ("--logit", "-15")),
        (("1,-0x1p3", "--target", "0,1"), ("--logit", "1", "--logit", "-8", "--target", "0", "--target", "1")),
        (("1", "--loss", "BCE"), ("--logit", "1", "--loss", "bce")),
        (("1", "--quantity", "gradient"), ("--logit", "1", "--quantity", "grad")),
        *[
            (("1", "--dtype", typed), ("--logit", "1", "--dtype", dtype))
            for typed, dtype in TYPED.items()
        ],
    ],
    ids=lambda words: " ".join(words),
)  # fmt: skip
def test_what_people_type_is_what_they_mean(call, words, meant):
    """The same rows as the long way of writing it."""
    rest = ("--impl", "stable", "--backend", "numpy", "--format", "json")
    if "--loss" not in words:
        rest = ("--loss", "bce", *rest)
    typed, long = (call("compare", *given, *rest) for given in (words, meant))

    assert typed[0] == long[0] == 0
    assert json.loads(typed[1])["rows"] == json.loads(long[1])["rows"]


@pytest.mark.parametrize(
    ("words", "said", "unsaid"),
    [
        (("compare", "1", "--device", "gpu"), "write --device cuda", "cpu"),
        (("compare", "1", "--backend", "mxnet"), "known: ", "did you mean"),
        (("chekc",), "did you mean check?", "schema?"),
        (("compare", "1", "--loss", "focal"), "weighted-focal", "known:"),
        (("compare", "1", "--impl", "zzzz"), "known: ", "did you mean"),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, tuple) else "",
)
def test_a_suggestion_makes_sense_or_is_the_list(call, words, said, unsaid):
    """A wrong guess is worse than the list of what there is."""
    code, out, err = call(*words)

    assert (code, out) == (2, "")
    assert said in err
    assert unsaid not in err


def test_bare_losscheck_shows_a_first_command(call):
    """And no error."""
    code, out, err = call()

    assert (code, err) == (0, "")
    assert "losscheck check my_loss.py:focal" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("sweep", "--output", "x.xyz"), "known are .json"),
        (("compare", "1", "--output", "x.xml"), "compare has no format junit"),
        (("compare", "1", "--format", "junit"), "is not one of"),
        (("list", "--output", "x.csv"), "list has no format csv"),
        (("doctor", "--output", "x.xyz"), "names no format"),
        (("merge", "one.json", "--output", "x.xml"), "merge has no format junit"),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, tuple) else "",
)
def test_a_format_that_cannot_be_written_is_refused_before_any_work(call, monkeypatch, words, said):
    """3.7 seconds of work, and then no."""
    monkeypatch.setattr("losscheck.core.registry.losses", lambda: pytest.fail("work was begun"))
    code, out, err = call(*words)

    assert (code, out) == (2, "")
    assert said in err


def test_a_strange_suffix_is_taken_with_a_format(call, tmp_path):
    """--format says what the suffix does not."""
    path = tmp_path / "x.xyz"
    code, _, _ = call("compare", "1", "--loss", "bce", "--impl", "stable", "--backend", "numpy", "--format", "csv", "--output", str(path))

    assert code == 0
    assert path.read_text().startswith("loss,")


def test_a_range_from_zero_is_headed_by_zero(call):
    """It begins at -0, which nobody asked for."""
    _, out, _ = call("sweep", "--range", "0", "0", "--loss", "bce", "--impl", "stable", "--target", "0", "--format", "json")

    assert {(repr(row["low"]), repr(row["high"])) for row in json.loads(out)["rows"]} == {("0.0", "0.0")}


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("losscheck compare --loss ", set(registry.losses())),
        ("losscheck compare --dtype b", {"bfloat16"}),
        ("losscheck sweep --impl torch-bce", {"torch-bce-with-logits"}),
    ],
)
def test_the_tab_key_offers_what_there_is(line, offered):
    """Losses, implementations and dtypes, by click's own protocol."""
    words = line.split(" ")
    surroundings = {**os.environ, "_LOSSCHECK_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    done = subprocess.run([sys.executable, "-m", "losscheck"], env=surroundings, capture_output=True, text=True, check=False)

    assert {item.partition(",")[2] for item in done.stdout.split()} == offered


@pytest.mark.parametrize(
    ("bare", "named"),
    [
        (("compare", "stable", "-15", "40", "--loss", "bce"), ("compare", "--impl", "stable", "--logit", "-15,40", "--loss", "bce")),
        (("compare", "-15", "torch*", "--target", "0"), ("compare", "--impl", "torch*", "--logit", "-15", "--target", "0")),
        (("sweep", "stable", "--loss", "bce", "--range", "-2", "2"), ("sweep", "--impl", "stable", "--loss", "bce", "--range", "-2", "2")),
    ],
)
def test_bare_words_name_implementations_as_after_check(call, bare, named):
    """The same report; a number is a logit where there are logits, and what follows an option is its own."""
    assert call(*bare) == call(*named)
    assert call(*bare)[0] == 0


def test_a_callable_that_could_not_run_is_told_who_finds_out_how(call):
    """BCELoss takes probabilities: the next command tries that."""
    code, _, err = call("compare", "torch.nn:BCELoss", "-15", "--loss", "bce")

    assert code == 2
    assert "`losscheck check torch.nn:BCELoss` tries the ways" in err
