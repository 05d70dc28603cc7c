"""What a case limits: a number for each dtype and quantity, the record alone, and the case that --init writes."""

import json
import math
import re
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from losscheck.core.errors import UserError
from losscheck.gating.init import importable, rounded_up
from losscheck.gating.load import case_of, load

PLAIN = {"name": "a", "loss": "bce", "implementations": ["stable"], "range": {"low": -1, "high": 1}}
DTYPES, QUANTITIES = ["float32", "float16"], ["loss", "grad"]

# A careful loss whose gradient is worse; one that was never careful; one that raises.
LOSSES = """
import torch
import torch.nn.functional as F

class Worse(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, z):
        ctx.save_for_backward(x, z)
        return F.softplus(-x) * z + F.softplus(x) * (1 - z)

    @staticmethod
    def backward(ctx, grad):
        x, z = ctx.saved_tensors
        return grad * (1 + 2.0**-18) * (torch.sigmoid(x) * (1 - z) - torch.sigmoid(-x) * z), None

def worse(x, z):
    return Worse.apply(x, z)

def legacy(x, z):
    p = torch.sigmoid(x)
    return -(z * torch.log(p) + (1 - z) * torch.log(1 - p))

def broken(x, z):
    raise ValueError("not today")
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder to work in, with a module of losses that is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    name = f"limited_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{name}.py").write_text(LOSSES)
    yield name
    sys.modules.pop(name, None)


def write(text):
    Path("cases.yaml").write_text(text)


def rows_of(call, *words):
    code, out, err = call("gate", *words, "--format", "json")
    return code, json.loads(out)["rows"] if out else [], err


# A limit for each quantity --------------------------------------------------------------------------------------------


def limited(max_ulp):
    return case_of({**PLAIN, "dtypes": DTYPES, "expect": {"max_ulp": max_ulp}}).expect


@given(st.dictionaries(st.sampled_from(DTYPES), st.integers(0, 100), min_size=1))
def test_limits_by_dtype_hold_for_both_quantities(limits):
    """As they did before there were limits by quantity; what is not named has the usual limit."""
    for dtype in DTYPES:
        assert {limited(limits).limit(dtype, quantity) for quantity in QUANTITIES} == {limits.get(dtype, 8.0)}


@given(st.dictionaries(st.sampled_from(QUANTITIES), st.dictionaries(st.sampled_from(DTYPES), st.integers(0, 100), min_size=1), min_size=1))
def test_nesting_either_way_means_the_same(limits):
    """A dtype within a quantity, or a quantity within a dtype."""
    turned = {}
    for quantity, by_dtype in limits.items():
        for dtype, limit in by_dtype.items():
            turned.setdefault(dtype, {})[quantity] = limit
    for dtype in DTYPES:
        for quantity in QUANTITIES:
            expected = limits.get(quantity, {}).get(dtype, 8.0)
            assert limited(limits).limit(dtype, quantity) == limited(turned).limit(dtype, quantity) == expected


@pytest.mark.parametrize(
    ("max_ulp", "says"),
    [
        ({"loss": 1, "float32": 2}, "mixes dtypes and quantities"),
        ({"loss": {"grad": 1}}, "limits grad within loss"),
        ({"float32": {"float16": 1}}, "limits float16 within float32"),
        ({"loss": {"float32": 1, "grad": 1}}, "mixes dtypes and quantities"),
        ({"loss": {"float64": 1}}, "limits float64, which this case does not judge"),
        ({"los": 1}, "did you mean loss"),
        ({"loss": {"float16": 5000}}, "gates nothing in float16"),
        ({"loss": {"float16": -1}}, "is no limit"),
        ({"loss": {"float16": {"cpu": 1}}}, "is not a number"),
        ({"": 1}, "an empty key"),
    ],
)
def test_limits_that_mean_nothing_are_refused(max_ulp, says):
    """Two limits for one result, a limit for no result, a limit that all results keep."""
    with pytest.raises(UserError, match=re.escape(says)):
        limited(max_ulp)


def test_a_limit_for_a_quantity_that_is_not_judged_is_refused():
    """It would look like a promise."""
    with pytest.raises(UserError, match="limits grad, which this case does not judge: add it to quantities"):
        case_of({**PLAIN, "quantities": ["loss"], "expect": {"max_ulp": {"grad": 1}}})


@pytest.mark.parametrize("over", ["points: {logits: [1.5, -2, 0.3], targets: 1}", "range: {low: -3, high: 3, targets: [0, 1]}"])
def test_each_quantity_is_judged_by_its_own_limit(folder, call, over):
    """The limit of one taken for the other; rows in another order than without."""
    text = f"cases:\n- name: a\n  loss: bce\n  implementations: ['{folder}:worse', stable]\n  {over}\n  expect: {{max_ulp: %s}}\n"
    for limits, verdicts in {"{loss: 3, grad: 100}": {"loss": "pass", "grad": "pass"}, "3": {"loss": "pass", "grad": "fail"}}.items():
        write(text % limits)
        code, rows, err = rows_of(call, "cases.yaml")
        assert {row["quantity"]: row["verdict"] for row in rows if row["implementation"] == f"{folder}:worse"} == verdicts, err
        assert code == ("fail" in verdicts.values())
        order = [(row["implementation"], row["backend"], row["quantity"]) for row in rows]
        assert order[:2] == [(f"{folder}:worse", "torch", "loss"), (f"{folder}:worse", "torch", "grad")]
        assert len(set(order)) == len(order) == 6
    write(text % "{loss: 100, grad: 3}")
    _, rows, _ = rows_of(call, "cases.yaml")
    assert {(row["quantity"], row["limit"]) for row in rows} == {("loss", 100), ("grad", 3)}


# The record alone -----------------------------------------------------------------------------------------------------

LEGACY = "cases:\n- name: a\n  loss: bce\n  implementations: ['%s:legacy']\n  range: {low: -120, high: 120}\n  expect: {%s}\n"


def test_a_legacy_loss_can_be_recorded_and_then_may_not_become_worse(folder, call):
    """NaN and all: the default of 8 ulp made --update-baseline refuse what it is for."""
    write(LEGACY % (folder, "recorded: true"))
    code, rows, err = rows_of(call, "cases.yaml", "--update-baseline")
    assert (code, {row["verdict"] for row in rows}) == (0, {"pass"}), err
    assert {row["limit"] for row in rows} == {"inf"}
    assert sum(row["counts"].get("nan", 0) for row in rows) > 0
    assert rows_of(call, "cases.yaml", "--strict")[0] == 0

    (path,) = Path("baseline").iterdir()
    data = json.loads(path.read_text())
    for recorded in data["rows"].values():
        recorded["counts"]["nan"] = 1
    path.write_text(json.dumps(data))
    code, rows, _ = rows_of(call, "cases.yaml")
    worse = [row for row in rows if row["verdict"] == "fail"]
    assert code == 1 and all("nan where 1 is recorded" in row["reason"] for row in worse)
    assert {row["worst"]["outcome"] for row in worse} == {"nan"}
    assert "limit inf" not in call("gate", "cases.yaml")[1]


@pytest.mark.parametrize("own", ["max_ulp: 4", "outcomes: [nan]"])
def test_a_limit_of_its_own_is_kept_beside_the_record(folder, call, own):
    """A case that limits something is judged by that too."""
    write(LEGACY % (folder, f"recorded: true, {own}"))
    code, _, err = rows_of(call, "cases.yaml", "--update-baseline")

    assert code == 1
    assert "the baseline was not updated" in err


# The case that --init writes ------------------------------------------------------------------------------------------


@given(st.floats(1e-9, 1e9))
def test_a_limit_is_rounded_up_to_two_digits(ulp):
    """Never below, and no further than the next number of two digits."""
    rounded = rounded_up(ulp)

    assert ulp <= rounded <= ulp * 1.1 + 1e-300
    assert len(f"{rounded:.14e}".split("e")[0].rstrip("0").replace(".", "")) <= 2


@pytest.mark.parametrize("name", ["worse", "legacy"])
def test_the_case_that_is_written_holds(folder, call, name):
    """As it stands, with a limit for what has one; what has none is recorded, and holds then."""
    code, out, err = call("gate", "--init", f"{folder}.py:{name}", "--loss", "bce")
    assert (code, out) == (0, ""), err
    path = Path("cases") / f"{name}.yaml"
    assert f"{path} written" in err
    cases = [loaded.case for loaded in load([path])]

    assert all(case.name.startswith(name) for case in cases)
    assert {implementation for case in cases for implementation in case.implementations} == {f"{folder}:{name}"}
    assert {quantity for case in cases for quantity in case.quantities} == {"loss", "grad"}
    code, rows, err = rows_of(call)
    assert code == 0, err
    assert {row["verdict"] for row in rows} <= {"pass", "not-comparable"}
    for row in rows:
        limit = row["limit"]
        assert limit == "inf" or row["counts"].get("inaccurate", 0) == 0
        assert row["source"].startswith(f"{folder}.py:")
    assert any(math.isfinite(float(row["limit"])) for row in rows)
    assert rows_of(call, "--update-baseline")[0] == 0
    assert rows_of(call, "--strict")[0] == 0


def test_which_loss_it_is_need_not_be_said(folder, call):
    """It is found out, with the way it wants to be called, and said; the case holds as it stands."""
    source = "import torch\n\n\ndef on_p(z, p):\n    return torch.nn.functional.binary_cross_entropy(p, z, reduction='none')\n"
    Path("turned.py").write_text(source)
    code, _, err = call("gate", "--init", "turned.py:on_p", "own.yaml")
    (loaded, *_) = load([Path("own.yaml")])

    assert code == 0, err
    assert "turned.py:on_p is bce" in err
    assert loaded.case.loss == "bce"
    assert (loaded.case.callable.input, loaded.case.callable.call) == ("probabilities", "{targets}, {logits}")
    assert call("gate", "own.yaml")[0] == 0


KINDS = """import torch


def squared(logits, targets):
    return (torch.sigmoid(logits) - targets) ** 2


def broken(logits, targets):
    return torch.log(torch.cosh(logits - targets))
"""


def test_a_loss_that_is_none_of_ours_is_gated_by_its_own_lines(folder, call):
    """`loss: program` is written, holds, and fails of one that overflows; a tail that no limit on floats suits has its effect."""
    Path("kinds.py").write_text(KINDS)
    code, _, err = call("gate", "--init", "kinds.py:squared", "own.yaml")
    assert code == 0, err
    assert "no loss that is known here" in err
    cases = [loaded.case for loaded in load([Path("own.yaml")])]
    assert {case.loss for case in cases} == {"program"}
    assert [case.expect.effects for case in cases if case.expect.effects] == [["tails"]]
    code, rows, err = rows_of(call, "own.yaml")
    assert code == 0, err
    assert {row["verdict"] for row in rows} == {"pass"}

    Path("own.yaml").write_text(Path("own.yaml").read_text().replace("kinds:squared", "kinds:broken"))
    code, rows, err = rows_of(call, "own.yaml")
    assert code == 1
    assert "poisons" in {row["effect"] for row in rows if row["verdict"] == "fail"}


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"implementations": ["stable"]}, "judges package.module:function by its own lines"),
        ({"params": {"gamma": 2}}, "no parameter 'gamma'"),
        ({"expect": {"max_deviation": 1}}, "gates nothing"),
    ],
    ids=str,
)
def test_what_a_program_has_not_is_refused(changed, says):
    """Before anything is imported."""
    case = {"name": "a", "loss": "program", "implementations": ["some.module:loss"], "range": {"low": -1, "high": 1}}
    with pytest.raises(UserError, match=says):
        case_of({**case, **changed})


def test_a_formula_with_a_constant_of_its_own_is_given_the_deviation_it_has(folder, call):
    """An eps is no reason to write nothing: what it deviates by is limited, and the limit is needed."""
    source = "import torch\n\n\ndef guarded(x, z):\n    p = torch.sigmoid(x)\n"
    source += "    return -(z * torch.log(p + 1e-7) + (1 - z) * torch.log(1 - p + 1e-7))\n"
    Path("guarded.py").write_text(source)
    code, _, err = call("gate", "--init", "guarded.py:guarded", "--loss", "bce", "own.yaml")
    assert code == 0, err
    text = Path("own.yaml").read_text()
    limit = re.search(r"max_deviation: ([0-9.e-]+)", text)[1]

    assert 1e-7 < float(limit) < 1e-3
    Path("own.yaml").write_text(text.replace(f"max_deviation: {limit}", f"max_deviation: {float(limit) / 2}"))
    assert call("gate", "own.yaml")[0] == 1


def test_a_limit_that_was_written_is_needed(folder, call):
    """The control: half of it does not hold."""
    assert call("gate", "--init", f"{folder}:worse", "--loss", "bce", "own.yaml")[0] == 0
    text = Path("own.yaml").read_text()
    limit = re.search(r"max_ulp: \{loss: ([0-9.]+)", text)[1]
    Path("own.yaml").write_text(text.replace(f"loss: {limit}", f"loss: {float(limit) / 2}"))

    assert call("gate", "own.yaml")[0] == 1


def test_nothing_is_overwritten(folder, call):
    """Not by --init, however often."""
    Path("own.yaml").write_text("mine")
    code, _, err = call("gate", "--init", f"{folder}.py:worse", "--loss", "bce", "own.yaml")

    assert code == 2 and "own.yaml exists already" in err
    assert Path("own.yaml").read_text() == "mine"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--init", "stable"], "add --loss"),
        (["--init", "{}.py:worse", "--loss", "bcee"], "did you mean bce"),
        (["--init", "{}.py:wrose", "--loss", "bce"], "did you mean worse"),
        (["--init", "/elsewhere/a.py:worse", "--loss", "bce"], "cannot be imported from here"),
        (["--init", "{}.py:worse", "--loss", "bce", "a.yaml", "b.yaml"], "--init writes one file"),
        (["--init", "{}.py:worse", "--loss", "bce", "a.txt"], "end it in .yaml"),
        (["--init", "{}.py:worse", "--loss", "bce", "nowhere/a.yaml"], "nowhere"),
        (["--init", "{}.py:broken", "--loss", "bce"], "could not be measured: ValueError: not today"),
        (["--loss", "bce"], "--loss belongs to --init"),
    ],
)
def test_what_cannot_be_written_is_one_message(folder, call, words, says):
    """Exit 2, the cure, and no file."""
    code, out, err = call("gate", *[word.format(folder) for word in words])

    assert (code, out) == (2, "")
    assert says in err and "Traceback" not in err
    assert list(Path().rglob("*.yaml")) == []


def test_a_file_is_named_as_a_case_can_import_it(tmp_path, monkeypatch):
    """By dots from the current folder; a name that Python cannot import is refused."""
    monkeypatch.chdir(tmp_path)

    assert importable("a/b.py:f.g") == "a.b:f.g"
    assert importable("package.module:f") == "package.module:f"
    with pytest.raises(UserError):
        importable("my-file.py:f")
