"""Verdicts of the gate: each expectation broken alone, exit codes, baselines, and the command that reproduces a failure."""

import dataclasses
import json
import math
import shlex
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from mutants import stable, tampered, times
from strategies import floats

from losscheck.core import registry
from losscheck.core.dtypes import FORMATS
from losscheck.core.exact import Exact, Kind
from losscheck.core.verdict import CaseRow, Verdict, exit_code
from losscheck.gating import deviations, judge, segments
from losscheck.gating.baseline import Recorded, read_baseline
from losscheck.gating.judge import Session, judge_case
from losscheck.gating.load import load
from losscheck.gating.values import agrees

HEAD = "cases:\n"
POINTS = "points: {logits: [-2, -1, 1, 2], targets: [0, 0, 0, 0]}"


@pytest.fixture
def register(monkeypatch):
    """Add implementations to the registry for one test."""

    def add(*more):
        everyone = (*registry.implementations(), *more)
        monkeypatch.setattr(registry, "implementations", lambda: everyone)

    return add


@pytest.fixture
def call(call, plain_surroundings):
    """Run a command line in this process, in an empty folder: (exit code, standard output, standard error)."""
    return call


def case(lines, name="a", implementation="mine", loss="bce"):
    """One case of a file, its lines after `implementations`."""
    indented = "".join(f"    {line}\n" for line in lines.strip().splitlines())
    return f"  - name: {name}\n    loss: {loss}\n    implementations: [{implementation}]\n{indented}"


def judged(folder, *cases, **session):
    """The rows of cases, judged without any baseline unless one is given."""
    (folder / "cases.yaml").write_text(HEAD + "".join(cases), encoding="utf-8")
    session = Session(**{"folder": folder / "nowhere", **session})
    return [row for loaded in load([folder / "cases.yaml"]) for row in judge_case(loaded, session)]


def mine(change=None, name="mine", **more):
    """The stable bce under another name, with one thing changed."""
    changed = change(stable("bce")) if change else stable("bce")
    return dataclasses.replace(changed, name=name, source="a test", **more)


def at(logit, other):
    """A change of the loss at one logit: ``other(xp, value)``."""
    return tampered(lambda xp, x, value: xp.where(x == logit, other(xp, value), value))


# Each expectation, broken alone ---------------------------------------------------------------------------------------

NUMPY_LOSS = "backends: [numpy]\nquantities: [loss]\n"
A_MILLIONTH_MORE = tampered(lambda xp, x, value: times(xp, value, 1 + 2.0**-20))
BROKEN = {
    "max_ulp": (A_MILLIONTH_MORE, NUMPY_LOSS + POINTS, "expect: {max_ulp: 3}", "inaccurate of 4 points"),
    "outcomes": (at(1, lambda xp, value: value * 0), NUMPY_LOSS + POINTS, "expect: {max_ulp: 3}", "1 lost of 4 points, which the case"),
    "value": (None, NUMPY_LOSS + POINTS, "expect: {value: [0.126928, 0.313262, 1.313262, 2.127001]}", "got 2.126928, printed 2.127001"),
    "monotone": (
        tampered(lambda xp, x, value: xp.where(x > 1, times(xp, value, 0.999), value)),
        NUMPY_LOSS + "points: {logits: [1.001, 0.5, 1], targets: 0}",
        "expect: {max_ulp: 1e5, monotone: increasing}",
        "not increasing at 1 point, first: 1.3132617 at logit 1 ",
    ),
    "non_negative": (
        at(-2, lambda xp, value: -value),
        NUMPY_LOSS + POINTS,
        "expect: {outcomes: [wrong-sign], non_negative: true}",
        "negative or NaN at 1 point, first: -0.12692",
    ),
    "symmetric": (
        at(-2, lambda xp, value: times(xp, value, 1 + 2.0**-22)),
        NUMPY_LOSS + POINTS,
        "expect: {symmetric: true}",
        "not symmetric under x -> -x, z -> 1 - z at 2 points",
    ),
    "max_deviation": (
        None,
        NUMPY_LOSS + POINTS,
        "expect: {max_ulp: 1e6, max_deviation: 0.001}",
        "a deviation of +0.00999999 from the definition at logit -2",
    ),
    "equal_bits": (
        tampered(lambda xp, x, value: times(xp, value, 1 + 2.0**-22) if xp.__name__ == "numpy" else value),
        "quantities: [loss]\n" + POINTS,
        "expect: {equal_bits: [backends]}",
        "other bits at",
    ),
}  # fmt: skip
HOLDS = {  # what the unbroken one passes under the same name
    "value": "expect: {value: [0.126928, 0.313262, 1.313262, 2.126928]}",
    "equal_bits": "expect: {equal_bits: [implementations]}",
}


@pytest.mark.parametrize("name", BROKEN)
def test_an_expectation_fails_alone(name, register, tmp_path):
    """The row that breaks it says so in one sentence and nothing else; an unbroken implementation passes the same case."""
    change, lines, expect, sentence = BROKEN[name]
    own = {"formula": lambda m, x, z, pos_weight: m.rounded(1.01) * registry.loss_named("bce").formula(m, x, z, pos_weight=pos_weight)}
    register(mine(change, **(own if name == "max_deviation" else {})), mine(name="sound"), mine(name="first"))
    rows = judged(
        tmp_path,
        case(f"{lines}\n{expect}"),
        case(f"{lines}\n{HOLDS.get(name, expect)}", name="sound", implementation="sound" if name != "equal_bits" else "sound, first"),
    )
    bad = [row for row in rows if row.case == "a" and row.verdict is Verdict.FAIL]

    assert len(bad) == 1
    assert sentence in bad[0].reason
    assert "; " not in bad[0].reason
    assert [row for row in rows if row.case == "a" and row.verdict not in (Verdict.FAIL, Verdict.PASS)] == []
    assert {row.reason for row in rows if row.case == "sound"} == {""}


def test_equal_bits_of_one_and_the_same_function_hold(register, tmp_path):
    """Across implementations: the same function twice has the same bits, in NaN too."""
    register(mine(name="first"), mine(name="second"), mine(at(1, lambda xp, value: times(xp, value, 1 + 2.0**-22)), name="third"))
    lines = NUMPY_LOSS + "points: {logits: [-2, 1, nan], targets: 0}\nexpect: {equal_bits: [implementations]}"
    rows = judged(tmp_path, case(lines, implementation="first, second, third"))

    assert [row.verdict.value for row in rows] == ["pass", "pass", "fail"]
    assert "other bits at 1 point, first: 1.3132621 at logit 1 " in rows[2].reason
    assert "where first numpy cpu returned 1.3132617" in rows[2].reason


@pytest.mark.parametrize(
    "expect", ["monotone: increasing", "monotone: decreasing", "non_negative: true", "symmetric: true", "value: [0.1, 0.3, 1.3, nan]"]
)
def test_nan_passes_no_claim(expect, register, tmp_path):
    """Allowed as an outcome, NaN still satisfies no comparison; printed `nan` is the one thing it agrees with."""
    register(mine(tampered(lambda xp, x, value: xp.full_like(value, math.nan))))
    (row,) = judged(tmp_path, case(f"{NUMPY_LOSS}{POINTS}\nexpect: {{outcomes: [nan], {expect}}}".replace("[nan]", "['nan']")))

    assert row.verdict is Verdict.FAIL
    assert row.max_ulp == math.inf


def test_zero_is_not_negative(tmp_path):
    """A loss that underflows to its right 0."""
    (row,) = judged(
        tmp_path,
        case(NUMPY_LOSS + "points: {logits: [200, 1], targets: 1}\nexpect: {non_negative: true}", implementation="stable"),
    )

    assert (row.verdict, row.reason) == (Verdict.PASS, "")


def test_a_nan_deviation_passes_no_limit(monkeypatch, tmp_path):
    """Where the oracle could not tell the deviation."""
    unknown, one = Exact(Kind.UNDECIDED, math.nan), Exact(Kind.FINITE, 1.0, (1, 0), (0, 0))
    found = [deviations.Deviating(1.0, 0.0, unknown, one), deviations.Deviating(2.0, 0.0, one, one)]
    monkeypatch.setattr(deviations, "deviating_points", lambda case, sample: iter(found))
    rows = judged(tmp_path, case(f"{NUMPY_LOSS}{POINTS}\nexpect: {{max_deviation: 1e300}}", implementation="stable"))

    assert [row.verdict for row in rows] == [Verdict.FAIL]
    assert "a deviation of +nan" in rows[0].reason


# Blocks of an exhaustive range ----------------------------------------------------------------------------------------

SOME = "backends: [numpy]\nquantities: [loss]\ndtypes: [float16]\nexhaustive: {low: 1, high: 3, targets: 0}\n"


@pytest.mark.parametrize("place", [1, 499, 500, 501, 999, 1000, 1001, 1500])
def test_a_step_is_found_on_both_sides_of_a_block_border(place, register, monkeypatch, tmp_path):
    """1537 floats from 1 to 3 in blocks of 500: one step down, one breach, wherever it lies."""
    monkeypatch.setattr(segments, "BLOCK", 500)
    dtype = FORMATS["float16"]
    first = dtype.from_ordinal(dtype.ordinal(1.0) + place)
    register(mine(tampered(lambda xp, x, value: xp.where(x >= first, times(xp, value, 0.98), value))))
    (row,) = judged(tmp_path, case(SOME + "expect: {max_ulp: 1000, monotone: increasing}"))

    assert row.points == 1537
    assert row.reason.startswith("not increasing at 1 point, ")
    assert f"at logit {dtype.shortest(first)} " in row.reason


@pytest.mark.parametrize("block", [1, 7, 500, 1536, 1537, 10**6])
def test_blocks_change_no_verdict(block, register, monkeypatch, tmp_path):
    """Symmetry and sign are counted once for each point, however the range is divided."""
    monkeypatch.setattr(segments, "BLOCK", block)
    wrong = [1.0, 1.5, 2.0, 3.0]
    register(mine(tampered(lambda xp, x, value: xp.where(sum(x == logit for logit in wrong) > 0, -value, value))))
    (row,) = judged(tmp_path, case(SOME + "expect: {outcomes: [wrong-sign], symmetric: true, non_negative: true}"))

    assert "negative or NaN at 4 points, first: -1.313 at logit 1 " in row.reason
    assert "not symmetric under x -> -x, z -> 1 - z at 4 points" in row.reason
    assert row.failing == 4


# Printed values -------------------------------------------------------------------------------------------------------


@given(floats(FORMATS["float64"]).filter(math.isfinite), st.integers(0, 20))
@example(0.20141327798275246, 3)
@example(2.5, 0)
@example(-0.0, 2)
@example(5e-324, 20)
def test_a_value_agrees_with_itself_printed_to_any_digits(value, digits):
    """Half a unit of the last printed digit is within it, more is not: as exact fractions say."""
    assume(abs(value) < 1e307)  # two units more must be a float too
    printed = f"{Decimal(value):.{digits}e}"
    unit = Decimal(10) ** Decimal(printed).as_tuple().exponent

    assert agrees(value, printed)
    assert agrees(value, f" {printed} ")
    for shift in (-2, -1, 1, 2):
        other = Decimal(printed) + shift * unit
        assert agrees(value, str(other)) is (abs(Fraction(value) - Fraction(other)) <= Fraction(unit) / 2)


@given(floats(FORMATS["float64"]), floats(FORMATS["float64"]))
@example(math.nan, math.nan)
@example(math.inf, -math.inf)
@example(math.nan, 0.0)
def test_a_hex_or_infinite_value_agrees_with_itself_alone(value, other):
    """Exactly, whatever the sign of a zero."""
    same = value == other or (math.isnan(value) and math.isnan(other))

    assert agrees(value, other.hex() if math.isfinite(other) else str(other)) is same


def test_trailing_zeros_claim_more():
    """0.20 is not 0.2."""
    assert agrees(0.2014, "0.2")
    assert agrees(0.2014, "0.20")
    assert not agrees(0.2014, "0.200")
    assert agrees(0.205, "0.20")
    assert not agrees(0.20501, "0.20")


# Known failures -------------------------------------------------------------------------------------------------------

KNOWN = "known_failure: {reason: it fails, link: 'https://example.org'%s}"


def test_a_known_failure_that_fails_as_known_is_no_failure(register, tmp_path):
    """Its row carries the reason and the link."""
    register(mine(at(1, lambda xp, value: value * 0)))
    (row,) = judged(tmp_path, case(f"{NUMPY_LOSS}{POINTS}\n" + KNOWN % ", outcomes: [lost]"))

    assert (row.verdict, row.reason) == (Verdict.KNOWN_FAILURE, "it fails (https://example.org)")
    assert exit_code([row], strict=True) == 0


@pytest.mark.parametrize(
    ("change", "outcomes", "reason"),
    [
        (None, ", outcomes: [lost]", "a known failure holds now: delete known_failure, or narrow the case"),
        (None, "", "a known failure holds now"),
        (at(1, lambda xp, value: value * math.nan), ", outcomes: [lost]", "`nan` is new: it is known to fail with `lost`"),
        (at(1, lambda xp, value: times(xp, value, 1.001)), ", outcomes: [lost]", "`inaccurate` is new"),
    ],
    ids=["holds", "holds-any", "nan", "inaccurate"],
)
def test_a_known_failure_that_changed_is_a_failure(change, outcomes, reason, register, tmp_path):
    """It holds, or it fails otherwise."""
    register(mine(change))
    (row,) = judged(tmp_path, case(f"{NUMPY_LOSS}{POINTS}\n" + KNOWN % outcomes))

    assert row.verdict is Verdict.FAIL
    assert row.reason.startswith(reason)


def test_a_known_failure_that_left_something_else_is_a_failure(register, tmp_path):
    """The outcome is gone, and a property is broken: that is not what was known."""
    register(mine(at(-2, lambda xp, value: times(xp, value, 1 + 2.0**-22))))
    (row,) = judged(tmp_path, case(f"{NUMPY_LOSS}{POINTS}\nexpect: {{symmetric: true}}\n" + KNOWN % ", outcomes: [lost]"))

    assert row.verdict is Verdict.FAIL
    assert row.reason.startswith("the known failure (`lost`) is gone, and this is left: not symmetric")


# Exit codes -----------------------------------------------------------------------------------------------------------


def verdict_row(verdict):
    subject = {"loss": "bce", "implementation": "i", "backend": "numpy", "device": "cpu", "dtype": "float32", "quantity": "loss"}
    return CaseRow(case="a", file="f", line=1, verdict=verdict, **subject)


@given(st.lists(st.sampled_from(Verdict)), st.booleans())
@example([], False)
@example([Verdict.SKIPPED], False)
@example([Verdict.FAIL, Verdict.UNDECIDED], False)
def test_the_exit_code_of_a_run(verdicts, strict):
    """1 for a finding whatever else there is; 2 when something or everything could not be judged; else 0."""
    code = exit_code([verdict_row(verdict) for verdict in verdicts], strict)
    broken = Verdict.FAIL in verdicts or (strict and Verdict.BETTER in verdicts)
    unjudged = Verdict.UNDECIDED in verdicts or (strict and Verdict.NOT_COMPARABLE in verdicts) or set(verdicts) <= {Verdict.SKIPPED}

    assert code == (1 if broken else 2 if unjudged else 0)


def write(folder, *cases, name="cases.yaml"):
    (folder / name).write_text(HEAD + "".join(cases), encoding="utf-8")


def test_all_cases_hold_exits_0(call, tmp_path):
    """And says how many."""
    write(tmp_path, case(POINTS, implementation="stable"))
    code, out, _ = call("gate", "cases.yaml")

    assert code == 0
    assert out.splitlines()[-1] == "gate holds: 4 rows of 1 case in 1 file: 4 hold."


def test_a_broken_budget_exits_1_with_everything_needed(call, tmp_path):
    """Case and line, implementation, dtype, device, the point in decimal and hex, got, exact, ulp, limit, the command."""
    write(
        tmp_path,
        case("points: {logits: [1, -15], targets: 0}\nquantities: [loss]\nexpect: {max_ulp: 2}", implementation="torch-bce-with-logits"),
    )
    code, out, _ = call("gate", "cases.yaml")
    said = " ".join(out.split())

    assert code == 1
    for words in (
        "FAIL cases.yaml:2: a", "torch-bce-with-logits torch float32 cpu loss, 1 of 2 points", "1 lost of 2 points",
        "logit -15 (-0x1.ep+3), target 0: got 0, exact 3.059022737e-07, -1.1e+07 ulp (lost), limit 2 ulp",
        "reproduce: losscheck compare --logit -15 --target 0 --loss bce --impl torch-bce-with-logits --backend torch --dtype float32",
    ):  # fmt: skip
        assert words in said
    assert out.splitlines()[-1].startswith("✗ gate broken: ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing/"], "nothing does not exist"),
        (["empty"], "no case file in empty"),
        (["cases.yaml", "--case", "b*"], "no case is called 'b*'"),
        (["cases.yaml", "--require", "cuda"], "--require cuda: "),
        (["cases.yaml", "--require", "mpmath"], "no case judged anything on mpmath"),
        (["cases.yaml", "--require", "gpu"], "is no device and no backend"),
        (["cases.yaml", "--allow-worse"], "--allow-worse belongs to --update-baseline"),
        (["cases.yaml", "--baseline", "nowhere"], "there is no folder nowhere"),
        (["bad.yaml"], "bad.yaml:1:1: is empty"),
        (["cuda.yaml"], ""),
        (["cases.yaml", "--output", "no/where.json"], "no/where.json: there is no folder no"),
        (["cases.yaml", "--output", "where"], "its suffix names no format of the gate"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_could_not_be_judged_exits_2(words, message, call, tmp_path):
    """With one message and its cure on standard error; all rows skipped is no success."""
    import torch

    if "cuda" in " ".join(words) and torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.yaml").touch()
    write(tmp_path, case(POINTS, implementation="stable"))
    write(tmp_path, case(POINTS + "\ndevices: [cuda]", implementation="stable"), name="cuda.yaml")
    code, out, err = call("gate", *words)

    assert code == 2
    assert message in err or message in " ".join(out.split())
    assert "Traceback" not in err + out
    assert "internal error" not in err
    if words == ["cuda.yaml"]:
        assert "gate could not judge: 2 rows of 1 case in 1 file: 2 skipped." in out
        code, out, _ = call("gate", *words, "--format", "json")
        assert {(row["verdict"], row["points"]) for row in json.loads(out)["rows"]} == {("skipped", 0)}


def test_an_undecided_row_exits_2(call, monkeypatch, register, tmp_path):
    """An implementation that raises gives no result to judge."""

    def refuse(xp, x, z, **params):
        raise NotImplementedError("no kernel for this dtype")

    register(dataclasses.replace(mine(), function=refuse))
    write(tmp_path, case(POINTS))
    code, out, _ = call("gate", "cases.yaml")

    assert code == 2
    assert "could not run: NotImplementedError: no kernel for this dtype" in " ".join(out.split())
    assert out.splitlines()[-1].startswith("? gate could not judge: ")


def test_a_crash_exits_2(call, monkeypatch, tmp_path):
    """Never 1, which means that a budget is broken."""
    write(tmp_path, case(POINTS, implementation="stable"))
    monkeypatch.setattr("losscheck.gating.judge.measure", lambda case, asked: 1 / 0)
    code, _, err = call("gate", "cases.yaml")

    assert code == 2
    assert err.startswith("losscheck: internal error: ZeroDivisionError")


# Baselines ------------------------------------------------------------------------------------------------------------


def recorded():
    ulps = st.floats(0, allow_nan=False) | st.sampled_from([0.0, 1.0, math.inf])
    counts = st.dictionaries(st.sampled_from(["nan", "lost", "flushed"]), st.integers(1, 9))
    return st.builds(Recorded, st.just(100), ulps, counts)


@given(recorded(), recorded())
def test_worse_and_better_mirror_each_other(one, other):
    """What is worse than the other is what the other is better than; nothing is both."""
    assert len(one.worse(other)) == len(other.better(one))
    assert {line.split()[1] for line in one.worse(other)} & {line.split()[1] for line in one.better(other)} == set()
    assert one.worse(one) == one.better(one) == []


@given(recorded(), recorded())
def test_what_is_not_worse_is_no_larger_anywhere(one, other):
    """In the ulp and in every count."""
    same_or_less = one.max_ulp <= other.max_ulp and all(n <= other.counts.get(name, 0) for name, n in one.counts.items())

    assert (one.worse(other) == []) is same_or_less


@given(recorded())
def test_nan_is_worse_than_anything_and_better_than_nothing(other):
    """Also than NaN itself."""
    nan = dataclasses.replace(other, max_ulp=math.nan)

    assert nan.worse(other)
    assert nan.worse(nan)
    assert not [line for line in nan.better(other) if "ulp" in line]


RECORDED = f"{NUMPY_LOSS}exhaustive: {{low: 1, high: 1.5, targets: 0}}\ndtypes: [float16]\nexpect: {{recorded: true, max_ulp: 100}}"


@pytest.fixture
def baseline(call, register, tmp_path):
    """A folder of two case files whose rows are recorded; the baseline's path, and a way to change the implementation."""
    state = {"ulps": 2}

    def drift(xp, x, value):
        return times(xp, value, 1 + state["ulps"] * 2.0**-10)

    register(mine(tampered(drift)))
    (tmp_path / "cases").mkdir()
    write(tmp_path / "cases", case(RECORDED, name="first"), name="1.yaml")
    write(tmp_path / "cases", case(RECORDED, name="second"), name="2.yaml")
    code, _, err = call("gate", "--update-baseline")
    assert code == 0, err
    assert err.count("new: ") == 2
    (path,) = (tmp_path / "cases" / "baseline").iterdir()
    return path, state


def names_in(path):
    return [key.partition(" | ")[0] for key in json.loads(path.read_text(encoding="utf-8"))["rows"]]


def test_the_same_figures_hold(baseline, call):
    """Also under --strict; and recording them again changes no byte."""
    path, _ = baseline
    before = path.read_bytes()

    assert call("gate")[0] == 0
    assert call("gate", "--strict")[0] == 0
    code, _, err = call("gate", "--update-baseline")
    assert (code, path.read_bytes()) == (0, before)
    assert "the baseline is as it was" in err
    assert json.loads(before)["command"] == "losscheck gate --update-baseline"


def test_worse_figures_fail(baseline, call):
    """With both figures, the class, and where it was recorded."""
    path, state = baseline
    state["ulps"] = 4
    code, out, _ = call("gate")
    said = " ".join(out.split())

    assert code == 1
    assert "is recorded for " + path.stem in said
    assert "recorded on " in said


def test_better_figures_of_every_float_are_told_and_strictly_fail(baseline, call):
    """Exhaustive rows are tight: the baseline is to be tightened."""
    _, state = baseline
    state["ulps"] = 1
    code, out, _ = call("gate")

    assert code == 0
    assert "2 better than recorded: " in out
    assert "tighten it with" in " ".join(out.split())
    assert call("gate", "--strict")[0] == 1


def test_loosening_is_refused_and_leaves_every_byte(baseline, call):
    """Exit 1; with --allow-worse it is written, and tightening needs no leave."""
    path, state = baseline
    before = path.read_bytes()
    state["ulps"] = 4
    code, out, err = call("gate", "--update-baseline", "--format", "json")

    assert (code, path.read_bytes()) == (1, before)
    assert json.loads(out)["exit_code"] == 1
    assert "nothing was recorded; mend it, or add --allow-worse" in json.loads(out)["rows"][0]["reason"]
    assert "the baseline was not updated" in err
    assert call("gate", "--update-baseline", "--allow-worse")[0] == 0
    loosened = path.read_bytes()
    assert loosened != before
    state["ulps"] = 2
    code, _, err = call("gate", "--update-baseline")
    assert code == 0
    assert err.count("better: ") == 2
    assert path.read_bytes() == before


def test_a_failing_case_is_not_recorded(baseline, call, tmp_path):
    """A baseline records what holds."""
    path, state = baseline
    before = path.read_bytes()
    state["ulps"] = 200
    code, _, err = call("gate", "--update-baseline", "--allow-worse")

    assert (code, path.read_bytes()) == (1, before)
    assert "the baseline was not updated, because not all cases hold" in err


def test_a_baseline_of_another_class_judges_nothing(baseline, call, monkeypatch):
    """`not comparable`: exit 0 with a word, 2 under --strict, however much worse the figures are."""
    _, state = baseline
    state["ulps"] = 4
    monkeypatch.setattr(judge, "environment_class", lambda backend, device: "cpu-vax")
    code, out, _ = call("gate")

    assert code == 0
    assert "2 not comparable: nothing is recorded for cpu-vax" in " ".join(out.split())
    assert call("gate", "--strict")[0] == 2


def test_other_points_are_not_comparable(baseline, call, tmp_path):
    """A range that grew has another number of points."""
    write(tmp_path / "cases", case(RECORDED.replace("high: 1.5", "high: 1.75"), name="first"), name="1.yaml")
    code, out, _ = call("gate")

    assert code == 0
    assert "other points or parameters are recorded than are judged" in " ".join(out.split())
    assert call("gate", "--strict")[0] == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: "[]",
        lambda text: "null",
        lambda text: text.replace('"version": 1', '"version": 2'),
        lambda text: text.replace('"class": "cpu', '"class": "gpu'),
        lambda text: text.replace('"points": 513', '"points": "513"'),
        lambda text: text.replace('"points": 513', '"points": true'),
        lambda text: text.replace('"counts": {}', '"counts": []'),
        lambda text: text.replace('"counts": {}', '"counts": {"nan": -1}'),
        lambda text: text.replace('"counts": {}', '"counts": {"nan": 0}'),
        lambda text: text.replace('"max_ulp": ', '"max_ulp": -'),
        lambda text: text.replace('"max_ulp": ', '"max_ulp": NaN, "was": '),
        lambda text: text.replace('"max_ulp": ', '"max_ulp": null, "was": '),
        lambda text: text.replace('"rows"', '"row"'),
        lambda text: "[" * 100_000,
        lambda text: text.encode().decode("latin-1") + "\udc80",
    ],
    ids=[
        "empty",
        "cut",
        "list",
        "null",
        "version",
        "class",
        "text",
        "true",
        "counts",
        "negative",
        "none",
        "ulp",
        "nan",
        "no-ulp",
        "rows",
        "deep",
        "bytes",
    ],
)
def test_a_damaged_baseline_exits_2(damage, baseline, call):
    """One message with the file and the cure; it never counts as no baseline."""
    path, _ = baseline
    text = path.read_text(encoding="utf-8")
    damaged = damage(text)
    assert damaged != text
    path.write_bytes(damaged.encode("utf-8", errors="surrogateescape"))
    code, _, err = call("gate")

    assert code == 2
    assert f"{path.relative_to(Path.cwd())} is no baseline" in err
    assert "restore it from version control" in err


def test_a_failure_in_the_middle_of_writing_leaves_the_old_file(baseline, call, monkeypatch):
    """Nor a part of the new one under another name."""
    path, state = baseline
    before = path.read_bytes()
    state["ulps"] = 1

    def fail(*args, **more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    code, _, err = call("gate", "--update-baseline")

    assert (code, path.read_bytes()) == (2, before)
    assert "No space left on device" in err
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_one_file_keeps_the_rows_of_the_file_beside_it(baseline, call):
    """Both have one baseline; only a whole folder can tell that a case is gone."""
    path, state = baseline
    state["ulps"] = 1
    assert call("gate", "cases/1.yaml", "--update-baseline")[0] == 0

    assert names_in(path) == ["first", "second"]
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    assert len({row["max_ulp"] for row in rows.values()}) == 2


def test_a_case_chosen_by_name_keeps_the_rows_of_the_others(baseline, call):
    """--case is a part of a file."""
    path, _ = baseline
    assert call("gate", "--case", "first", "--update-baseline", "--allow-worse")[0] == 0

    assert names_in(path) == ["first", "second"]


def test_a_case_that_is_gone_is_dropped_when_the_folder_is_judged(baseline, call, tmp_path):
    """And the message says so."""
    path, _ = baseline
    (tmp_path / "cases" / "2.yaml").unlink()
    code, _, err = call("gate", "--update-baseline")

    assert code == 0
    assert "no case asks any more: second | mine" in err
    assert names_in(path) == ["first"]


def test_rows_of_a_backend_that_is_missing_today_are_kept(baseline, call, monkeypatch, tmp_path):
    """A machine without a framework must not delete what one with it recorded."""
    path, _ = baseline
    data = json.loads(path.read_text(encoding="utf-8"))
    elsewhere = "first | mine | torch | cuda | float16 | loss"
    data["rows"][elsewhere] = {"points": 5, "max_ulp": 1.0, "counts": {}}
    path.write_text(json.dumps(data), encoding="utf-8")
    assert call("gate", "--update-baseline", "--allow-worse")[0] == 0

    assert elsewhere in read_baseline(path).rows


def test_a_row_that_a_case_asks_no_more_is_dropped(baseline, call):
    """The case is judged, on the same backend, and has no such dtype."""
    path, state = baseline
    data = json.loads(path.read_text(encoding="utf-8"))
    data["rows"]["first | mine | numpy | cpu | bfloat16 | loss"] = {"points": 5, "max_ulp": 1.0, "counts": {}}
    path.write_text(json.dumps(data), encoding="utf-8")
    state["ulps"] = 1
    assert call("gate", "--update-baseline")[0] == 0

    assert len(read_baseline(path).rows) == 2


# The command that shows a failure again -------------------------------------------------------------------------------

TORCH, LOSS = "torch-bce-with-logits", "\nquantities: [loss]"
FAILING = {
    "points": (TORCH, "points: {logits: [1, -15.3], targets: 0}" + LOSS),
    "gradient": (TORCH, "points: {logits: [1, 17.3], targets: 1}\nquantities: [grad]"),
    "range": (TORCH, "range: {low: -20, high: -10, targets: 0, count: 50}\nexpect: {max_ulp: 2}" + LOSS),
    "soft": (
        "expanded",
        "range: {low: 50, high: 60, targets: 0.3, count: 50}\nbackends: [numpy]\ndtypes: [bfloat16]\nexpect: {max_ulp: 0}",
    ),
    "params": ("naive", "points: {logits: [17, 1], targets: 0}\nparams: {pos_weight: 3}\nbackends: [numpy]" + LOSS),
    "tail": (TORCH, "range: {low: -20, high: -10, targets: 0, count: 50, layout: tail}" + LOSS),
    "exhaustive": (TORCH, "exhaustive: {low: -6, high: -4, targets: 0}\ndtypes: [bfloat16]" + LOSS),
    "allowed": (TORCH, "range: {low: -100, high: -10, targets: 0, count: 80}\nexpect: {max_ulp: 1, outcomes: [lost, flushed]}" + LOSS),
}


@pytest.mark.parametrize("name", FAILING)
def test_the_command_of_a_failure_shows_the_same_value(name, call, tmp_path):
    """Of an explicit point, a range, short tensors, every float; with its parameters and its limit."""
    implementation, lines = FAILING[name]
    command = "sweep" if name == "tail" else "compare"
    write(tmp_path, case(lines, implementation=implementation))
    code, out, _ = call("gate", "cases.yaml", "--format", "json")
    assert code == 1
    failing = [row for row in json.loads(out)["rows"] if row["verdict"] == "fail"]
    assert failing
    for row in failing:
        words = shlex.split(row["reproduce"])
        assert words[:2] == ["losscheck", command]
        code, out, err = call(*words[1:], "--format", "json")
        assert code == 0, err
        (again,) = json.loads(out)["rows"]
        again = again["worst"][0] if command == "sweep" else again
        for field in ("logit_hex", "target_hex", "value_hex", "exact_hex", "ulp", "outcome", "params", "dtype", "quantity", "backend"):
            assert again[field] == row["worst"][field], field
        assert row["worst"]["outcome"] not in ("ok", "lost") or name != "allowed"


def test_a_failure_of_a_claim_is_judged_again_by_its_case(call, register, tmp_path):
    """Where no single point shows it."""
    register(mine(name="x y"))
    write(
        tmp_path,
        case("points: {logits: [1, 2], targets: [1, 0]}\nreduction: sum\nquantities: [loss]\nexpect: {value: 7}", implementation="'x y'"),
    )
    code, out, _ = call("gate", "cases.yaml", "--format", "json")
    assert code == 1
    row = json.loads(out)["rows"][0]
    words = shlex.split(row["reproduce"])
    assert words == ["losscheck", "gate", "cases.yaml", "--case", "a", "-v"]
    code, again, _ = call(*words[1:])

    assert code == 1
    assert row["reason"] in " ".join(again.split())


@given(st.floats(0, 100), st.floats(0, 100))
def test_badness_sorts_by_verdict_first(one, other):
    """A broken budget before what could not be judged, whatever the ulp."""
    assume(one != other)
    fail = dataclasses.replace(verdict_row(Verdict.FAIL), max_ulp=one)
    undecided = dataclasses.replace(verdict_row(Verdict.UNDECIDED), max_ulp=other)

    assert sorted([undecided, fail], key=lambda row: row.badness) == [fail, undecided]
