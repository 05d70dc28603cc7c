"""Case files: what is refused, where, and with which cure; what the schema says; and that reading runs nothing."""

import copy
import functools
import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import jsonschema
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from losscheck.cli import main
from losscheck.core import registry
from losscheck.core.errors import UserError
from losscheck.gating.load import CaseError, case_files, case_of, load
from losscheck.gating.measured import asked_of
from losscheck.gating.schema import schema_text
from losscheck.gating.tree import Number, parse

ROOT = Path(__file__).parents[1]
MARK = "§"  # stands before the character that an error must point at

BASE = """\
cases:
  - name: a
    loss: bce
    implementations: [stable]
    points: {logits: [1, 2], targets: 1}
"""
POINTS = "    points: {logits: [1, 2], targets: 1}\n"
POINTS_1_30 = "    points:\n      logits: §1:30\n      targets: 1\n"
RANGE = "    range: {low: 0, high: 1}\n"


def plus(lines):
    """The base case with further lines."""
    return BASE + textwrap.indent(textwrap.dedent(lines).strip("\n"), "    ") + "\n"


def instead(old, new):
    """The base case with one text in the place of another."""
    assert BASE.count(old) == 1
    return BASE.replace(old, new)


def refused(tmp_path, text, name="case.yaml", **more):
    """Every problem of a text as (line, column, path, message); nothing when it is read."""
    (tmp_path / name).write_text(text, encoding="utf-8")
    try:
        load([tmp_path / name], **more)
    except CaseError as error:
        return [(problem.line, problem.column, problem.path, problem.message) for _, problem in error.problems]
    return []


def place_of(marked):
    before, _, after = marked.partition(MARK)
    return before.count("\n") + 1, len(before) - before.rfind("\n"), before + after


def test_the_base_case_is_read(tmp_path):
    """Or the refusals below would be of something else."""
    assert refused(tmp_path, BASE) == []


# Refusals: the text with a mark, the path, a part of the message ----------------------------------------------------

REFUSALS = {
    "unknown-key": (plus("§nots: x"), "cases[0].nots", "unknown key 'nots'"),
    "unknown-key-nearest": (instead("    loss", "    §los"), "cases[0].los", "did you mean loss"),
    "unknown-key-of-points": (instead("targets", "§target"), "cases[0].points.target", "did you mean targets?"),
    "unknown-key-of-expect": (plus("expect: {§max_ulps: 1}"), "cases[0].expect.max_ulps", "did you mean max_ulp?"),
    "unknown-key-of-the-file": ("§budgets: 1\n" + BASE, "budgets", "unknown key 'budgets': known: cases"),
    "doubled-key": (
        plus("loss: bce").replace("    loss: bce\n", "    §loss: bce\n").replace("§", "", 1),
        "cases[0].loss",
        "is given twice, first in line 3",
    ),
    "doubled-key-in-flow": (instead("targets: 1", "targets: 1, §targets: 0"), "cases[0].points.targets", "is given twice"),
    "yes": (plus("expect: {non_negative: §yes}"), "cases[0].expect.non_negative", "write true, false or 'yes'"),
    "Off": (plus("expect: {recorded: §Off}"), "cases[0].expect.recorded", "write true, false or 'Off'"),
    "n-as-a-name": (instead("name: a", "name: §n"), "cases[0].name", "is a boolean to some readers"),
    "no-flag": (plus("expect: {symmetric: §1}"), "cases[0].expect.symmetric", "is neither true nor false"),
    "nan-budget": (plus("expect: {max_ulp: §.nan}"), "cases[0].expect.max_ulp", "is no limit"),
    "quoted-nan-budget": (plus("expect: {max_ulp: {float32: §'nan'}}"), "cases[0].expect.max_ulp.float32", "is no limit"),
    "negative-budget": (plus("expect: {max_ulp: §-1}"), "cases[0].expect.max_ulp", "at least 0"),
    "infinite-deviation": (plus("expect: {max_deviation: §.inf}"), "cases[0].expect.max_deviation", "is no limit"),
    "loose-budget": (plus("expect: {max_ulp: §8388608}"), "cases[0].expect.max_ulp", "gates nothing in float32"),
    "loose-budget-bfloat16": (plus("dtypes: [bfloat16]\nexpect: {max_ulp: §128}"), "cases[0].expect.max_ulp", "gates nothing in bfloat16"),
    "budget-of-no-dtype": (plus("expect: {max_ulp: {float64: §2}}"), "cases[0].expect.max_ulp.float64", "does not judge"),
    "budget-of-an-unknown-dtype": (plus("expect: {max_ulp: {§float23: 2}}"), "cases[0].expect.max_ulp.float23", "did you mean float32"),
    "every-outcome": (
        plus(
            "expect: {outcomes: §[nan, inf, wrong-sign, lost, missed-inf, flushed]}".replace("nan,", "'nan',").replace(" inf,", " 'inf',")
        ),
        "cases[0].expect.outcomes",
        "gates nothing",
    ),
    "unknown-outcome": (plus("expect: {outcomes: [§losst]}"), "cases[0].expect.outcomes[0]", "did you mean lost"),
    "inaccurate-is-not-allowed": (plus("expect: {outcomes: [§inaccurate]}"), "cases[0].expect.outcomes[0]", "is not one of"),
    "undecided-is-not-allowed": (plus("expect: {outcomes: [§undecided]}"), "cases[0].expect.outcomes[0]", "is not one of"),
    "unknown-loss": (instead("bce", "§bec"), "cases[0].loss", "did you mean bce?"),
    "unknown-implementation": (instead("stable", "§stabel"), "cases[0].implementations[0]", "did you mean stable?"),
    "glob-of-nothing": (instead("stable", "§'jax-*'"), "cases[0].implementations[0]", "no implementation of bce matches"),
    "no-callable": (instead("stable", "§'a b:c'"), "cases[0].implementations[0]", "is not of the form package.module:function"),
    "no-implementation": (instead("[stable]", "§[]"), "cases[0].implementations", "is empty: give at least one"),
    "implementation-twice": (instead("[stable]", "[stable, §stable]"), "cases[0].implementations[1]", "stable is named twice"),
    "unknown-backend": (plus("backends: [§numpi]"), "cases[0].backends[0]", "did you mean numpy?"),
    "unknown-device": (plus("devices: [§gpu]"), "cases[0].devices[0]", "unknown device 'gpu'"),
    "unknown-dtype": (plus("dtypes: [§float31]"), "cases[0].dtypes[0]", "did you mean float32"),
    "dtype-twice": (plus("dtypes: [float32, §float32]"), "cases[0].dtypes[1]", "is named twice"),
    "unknown-quantity": (plus("quantities: [§gradient]"), "cases[0].quantities[0]", "did you mean grad?"),
    "unknown-param": (plus("params: {§gamma: 1}"), "cases[0].params.gamma", "bce has no parameter 'gamma'"),
    "param-out-of-range": (plus("params: {pos_weight: §-1}"), "cases[0].params.pos_weight", "is out of its range"),
    "missing-loss": (BASE.replace("    loss: bce\n", "").replace("- name", "- §name"), "cases[0].loss", "is missing"),
    "missing-points": (
        BASE.replace(POINTS, "").replace("- name", "- §name"),
        "cases[0]",
        "needs exactly one of points, range and exhaustive",
    ),
    "points-and-range": (BASE + RANGE.replace("{low", "§{low"), "cases[0].range", "points and range are given"),
    "no-number": (instead("1, 2", "1, §two"), "cases[0].points.logits[1]", "is not a number"),
    "number-of-true": (instead("1, 2", "1, §true"), "cases[0].points.logits[1]", "true is not a number"),
    "sexagesimal": (BASE.replace(POINTS, POINTS_1_30), "cases[0].points.logits[0]", "is not a number"),
    "other-digits": (instead("1, 2", "1, §'\u0661'"), "cases[0].points.logits[1]", "is not a number"),
    "underscores": (instead("1, 2", "1, §1_000"), "cases[0].points.logits[1]", "is not a number"),
    "beyond-float64": (instead("1, 2", "1, §1e400"), "cases[0].points.logits[1]", "write 'inf' if infinity is meant"),
    "beyond-float16": (
        plus("dtypes: [float16]").replace("{logits: [1, 2]", "§{logits: [1, 70000]"),
        "cases[0].points",
        "beyond the largest float16",
    ),
    "target-out-of-range": (
        instead("{logits: [1, 2], targets: 1}", "§{logits: [1, 2], targets: 1.5}"),
        "cases[0].points",
        "outside [0, 1]",
    ),
    "second-target-out-of-range": (
        instead("{logits: [1, 2], targets: 1}", "§{logits: [1, 2], targets: [1, 1.5]}"),
        "cases[0].points",
        "outside [0, 1]",
    ),
    "soft-target-of-focal": (
        BASE.replace("bce", "weighted-focal").replace("{logits: [1, 2], targets: 1}", "§{logits: [1, 2], targets: 0.5}"),
        "cases[0].points",
        "takes no soft target",
    ),
    "unpaired-targets": (instead("targets: 1", "targets: §[1, 0, 1]"), "cases[0].points.targets", "has 3 values for 2 logits"),
    "no-logits": (instead("[1, 2]", "§[]"), "cases[0].points.logits", "is empty"),
    "empty-value": (instead("loss: bce", "§loss:").replace("§loss:", "loss:§"), "cases[0].loss", "an empty value is no text"),
    "empty-expectation": (plus("expect:\n  max_deviation:§"), "cases[0].expect.max_deviation", "is an empty value"),
    "empty-known-failure": (plus("known_failure: §null"), "cases[0].known_failure", "is an empty value"),
    "shape-without-reduction": (
        plus("").replace("targets: 1}", "targets: 1, shape: §[2]}"),
        "cases[0].points.shape",
        "matters only for a reduction",
    ),
    "shape-of-another-size": (
        plus("reduction: mean").replace("targets: 1}", "targets: 1, shape: §[3]}"),
        "cases[0].points.shape",
        "holds 3 points, but 2 logits are given",
    ),
    "reduction-of-a-range": (
        BASE.replace(POINTS, RANGE) + "    reduction: §mean\n",
        "cases[0].reduction",
        "a range is judged element by element",
    ),
    "exhaustive-float64": (BASE.replace(POINTS, "    exhaustive: {}\n") + "    dtypes: §[float64]\n", "cases[0].dtypes", "2^64 floats"),
    "empty-range": (BASE.replace(POINTS, "    range: {low: §2, high: 1}\n"), "cases[0].range.low", "the range from 2 to 1 is empty"),
    "range-without-an-end": (BASE.replace(POINTS, "    range: §{low: 2}\n"), "cases[0].range.high", "is missing"),
    "no-points-in-a-range": (
        BASE.replace(POINTS, "    range: {low: 0, high: 1, count: §0}\n"),
        "cases[0].range.count",
        "from 1 to 10000000",
    ),
    "value-of-a-range": (BASE.replace(POINTS, RANGE) + "    expect: {value: §1}\n", "cases[0].expect.value", "belongs to points"),
    "value-of-both": (plus("expect: {value: §1}"), "cases[0].expect.value", "of the loss or of the gradient?"),
    "values-of-other-points": (
        plus("quantities: [loss]\nexpect: {value: §[1, 2, 3]}"),
        "cases[0].expect.value",
        "has 3 values for 2 results",
    ),
    "monotone-at-one-point": (
        plus("expect: {monotone: §increasing}").replace("[1, 2]", "[1]"),
        "cases[0].expect.monotone",
        "needs several logits",
    ),
    "non-negative-gradient": (plus("quantities: [grad]\nexpect: §{non_negative: true}"), "cases[0].expect", "are claims about the loss"),
    "bits-of-one-device": (plus("expect: {equal_bits: §[devices]}"), "cases[0].expect.equal_bits", "there is one device only"),
    "bits-of-one-implementation": (
        plus("expect: {equal_bits: §[implementations]}"),
        "cases[0].expect.equal_bits",
        "name another one",
    ),
    "known-failure-without-a-link": (plus("known_failure: §{reason: x}"), "cases[0].known_failure.link", "is missing"),
    "known-failure-with-no-link": (
        plus("known_failure: {reason: x, link: §see below}"),
        "cases[0].known_failure.link",
        "begins with https://",
    ),
    "known-failure-without-a-reason": (
        plus("known_failure: {link: 'https://a.b', reason: §''}"),
        "cases[0].known_failure.reason",
        "is no text",
    ),
    "known-failure-that-is-allowed": (
        plus("expect: {outcomes: [lost]}\nknown_failure: {reason: x, link: 'https://a.b', outcomes: §[lost]}"),
        "cases[0].known_failure.outcomes",
        "it cannot fail with that",
    ),
    "known-failure-with-a-baseline": (
        plus("expect: {recorded: §true}\nknown_failure: {reason: x, link: 'https://a.b'}"),
        "cases[0].expect.recorded",
        "has no baseline to keep",
    ),
    "number-as-a-name": (instead("name: a", "name: §12"), "cases[0].name", "quote it"),
    "no-list": ("cases: §{a: 1}\n", "cases", "is not a list of cases"),
    "no-case": ("cases: §[]\n", "cases", "is not a list of cases"),
    "case-is-a-word": ("cases:\n  - §word\n", "cases[0]", "is not a mapping"),
    "no-mapping": ("§- a\n", "", "a case file begins with `cases:`"),
    "empty": ("§", "", "is empty"),
    "only-comments": ("§# nothing\n", "", "is empty"),
    "second-document": (BASE + "§---\na: 1\n", "", "holds a second document"),
    "yaml-1.1": ("§%YAML 1.1\n---\n" + BASE, "", "asks for another YAML than 1.2"),
    "merge-key": (plus("§<<: {about: x}"), "cases[0].<<", "merge keys are not read"),
    "tag": (instead("name: a", "name: §!!str a"), "cases[0].name", "tags are not read"),
    "python-tag": (instead("name: a", "name: §!!python/object/apply:os.getcwd []"), "cases[0].name", "python/object/apply:os.getcwd"),
    "unknown-alias": (instead("name: a", "name: §*other"), "cases[0].name", "names no anchor"),
    "tab": (BASE + "§\tabout: x\n", "", "a tab cannot indent: use spaces"),
    "control-character": (instead("name: a", "name: §\x07"), "", "control character U+0007"),
    "escaped-control-character": (instead("name: a", 'name: §"\\e[31m"'), "cases[0].name", "control character U+001B"),
    "too-deep": ("a: " + "[" * 20 + "\n", "", "is nested deeper than 16 levels"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_has_its_place_its_path_and_its_cure(name, tmp_path):
    """Line and column are those of the mark."""
    marked, path, message = REFUSALS[name]
    line, column, text = place_of(marked)
    found = refused(tmp_path, text)
    matching = [problem for problem in found if message in problem[3]]

    assert matching, found
    if MARK in marked:
        assert matching[0][:2] == (line, column)
        assert matching[0][2] == path


def test_what_yaml_cannot_read_has_a_place(tmp_path):
    """The parser's own words, where it stopped."""
    (found,) = refused(tmp_path, instead("[stable]", "[stable"))

    assert found[0] >= 4
    assert found[3].startswith("is not valid YAML: ")


def test_a_link_between_braces_is_to_be_quoted(tmp_path):
    """The parser is stricter than the standard there, and says only `unexpected ':'`."""
    (found,) = refused(tmp_path, plus("known_failure: {reason: x, link: https://a.b}"))

    assert "quote a text that holds one" in found[3]


# All at once --------------------------------------------------------------------------------------------------------


def test_all_problems_of_all_files_come_at_once(tmp_path):
    """In the order of the files and lines; problems between values too, and names that two files share."""
    (tmp_path / "1.yaml").write_text(instead("bce", "bec").replace("targets", "target"), encoding="utf-8")
    (tmp_path / "2.yaml").write_text(BASE + "    dtypes: [float8]\n    nots: x\n", encoding="utf-8")
    (tmp_path / "3.yaml").write_text(
        BASE.replace("name: a", "name: b") + "    params: {gamma: 1}\n    expect: {max_ulp: 1e9}\n", encoding="utf-8"
    )
    (tmp_path / "4.yaml").write_text(BASE.replace("name: a", "name: b"), encoding="utf-8")
    (tmp_path / "5.yaml").write_text("\t", encoding="utf-8")
    with pytest.raises(CaseError) as caught:
        load(case_files([tmp_path]))
    places = [(file.name, problem.line, problem.path) for file, problem in caught.value.problems]

    assert places == [
        ("1.yaml", 3, "cases[0].loss"),
        ("1.yaml", 5, "cases[0].points.targets"),
        ("1.yaml", 5, "cases[0].points.target"),
        ("2.yaml", 6, "cases[0].dtypes[0]"),
        ("2.yaml", 7, "cases[0].nots"),
        ("3.yaml", 6, "cases[0].params.gamma"),
        ("3.yaml", 7, "cases[0].expect.max_ulp"),
        ("5.yaml", 1, ""),
        ("4.yaml", 2, "name"),
    ]
    assert caught.value.problem == "9 problems in 5 case files: nothing was judged"
    assert f"{tmp_path}/4.yaml:2:1: name: 'b' is also the name of {tmp_path}/3.yaml:2: rename one" in caught.value.details


def test_two_cases_of_one_name_are_refused(tmp_path):
    """Within a file; a file that is given twice is read once."""
    found = refused(tmp_path, BASE + BASE.removeprefix("cases:\n"))

    assert [problem[0] for problem in found] == [6]
    assert "'a' is also the name of" in found[0][3]
    assert len(case_files([tmp_path / "case.yaml", tmp_path / "case.yaml"])) == 1


def test_more_than_fifty_problems_are_counted_not_shown(tmp_path):
    """Whoever has more has one cause."""
    (tmp_path / "case.yaml").write_text("cases:\n" + "  - {name: a}\n" * 30, encoding="utf-8")
    with pytest.raises(CaseError) as caught:
        load([tmp_path / "case.yaml"])
    *lines, more = caught.value.details

    assert len(lines) == 50
    assert more == f"... and {len(caught.value.problems) - 50} more"
    assert caught.value.problem.startswith(f"{len(caught.value.problems)} problems in 1 case file")


def test_a_thousand_problems_stop_the_reading(tmp_path):
    """The case behind them says so."""
    found = refused(tmp_path, "cases:\n" + "  - {name: a}\n" * 3000)

    assert 1000 < len(found) < 1010
    assert any("comes after 1000 problems" in problem[3] for problem in found)


def test_no_import_refuses_a_callable_and_reads_the_rest(tmp_path):
    """--no-import is for files of people one does not know."""
    text = instead("[stable]", "[stable, 'math:sqrt']")
    (found,) = refused(tmp_path, text, imports=False)

    assert found[:3] == (4, 31, "cases[0].implementations[1]")
    assert "which --no-import forbids" in found[3]
    assert refused(tmp_path, BASE, imports=False) == []


def test_the_command_prints_the_problems_and_exits_2(tmp_path, monkeypatch, capsys):
    """`--check` and judging alike, on standard error."""
    (tmp_path / "case.yaml").write_text(instead("bce", "bec"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for words in (["case.yaml"], ["case.yaml", "--check"], ["."]):
        monkeypatch.setattr(sys, "argv", ["losscheck", "gate", *words])
        with pytest.raises(SystemExit) as stop:
            main()
        shown = capsys.readouterr()
        assert (stop.value.code, shown.out) == (2, "")
        assert shown.err.startswith("case.yaml:3:11: cases[0].loss: unknown loss 'bec': did you mean bce?\nlosscheck: error: 1 problem in")


# Numbers and files --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "written",
    ["1.5", "-0.0", "1e-3", "1E5", "+2", ".5", "5.", "'0x1.8p+0'", '"-0x2"', ".inf", "-.inf", ".INF", "inf", "-inf", ".nan", "nan"],
)
def test_a_number_is_read_as_written(written, tmp_path):
    """Its digits are kept, and .inf is inf."""
    (tmp_path / "case.yaml").write_text(instead("[1, 2]", f"[{written}]"), encoding="utf-8")
    (loaded,) = load([tmp_path / "case.yaml"])
    assert loaded.case.points is not None
    plain = written.strip("'\"").lower().replace(".inf", "inf").replace(".nan", "nan")

    assert loaded.case.points.logits[0].lower() == plain


def test_a_printed_value_keeps_its_zeros(tmp_path):
    """0.20 and 0.2 claim different things."""
    (tmp_path / "case.yaml").write_text(plus("quantities: [loss]\nexpect: {value: 0.20}"), encoding="utf-8")

    assert load([tmp_path / "case.yaml"])[0].case.expect.value == ["0.20"]


def test_a_shared_value_is_read_by_its_alias(tmp_path):
    """Anchors are what is left of reuse."""
    text = plus("dtypes: &both [float32, float64]\n") + BASE.removeprefix("cases:\n").replace("name: a", "name: b") + "    dtypes: *both\n"
    (tmp_path / "case.yaml").write_text(text, encoding="utf-8")

    assert [loaded.case.dtypes for loaded in load([tmp_path / "case.yaml"])] == [["float32", "float64"]] * 2


def test_files_are_found_below_folders_sorted(tmp_path):
    """.yaml and .yml, nothing else; without any it is an error."""
    with pytest.raises(UserError, match="no case file in"):
        case_files([tmp_path])
    for name in ("b.yaml", "a.yml", "c.json", "sub/d.yaml", "baseline/cpu.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(BASE, encoding="utf-8")

    assert [file.relative_to(tmp_path).as_posix() for file in case_files([tmp_path])] == ["a.yml", "b.yaml", "sub/d.yaml"]


LOADED = """
import json, sys
from pathlib import Path
from losscheck.gating.load import case_files, load
before = set(sys.modules)
print(len(load(case_files([Path(each) for each in sys.argv[1:]]))))
print(json.dumps(sorted(sys.modules)))
"""


def test_loading_imports_no_framework_and_no_callable_of_a_case(tmp_path):
    """The shipped cases and one that names a module that would leave a trace."""
    (tmp_path / "own_losses.py").write_text("open('ran', 'w').close()\nfor each in (): pass\n", encoding="utf-8")
    (tmp_path / "own.yaml").write_text(instead("[stable]", "['own_losses:mine']"), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", LOADED, str(ROOT / "cases"), "own.yaml"],
        capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path,
        env={"PATH": "", "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    count, modules = done.stdout.splitlines()

    assert int(count) > 60
    roots = {module.partition(".")[0] for module in json.loads(modules)}
    assert roots & {"torch", "numpy", "numba", "jax", "tensorflow", "flint", "own_losses"} == set()
    assert not (tmp_path / "ran").exists()


# The schema ---------------------------------------------------------------------------------------------------------


@functools.cache
def validator():
    """The schema that is printed, compiled."""
    return jsonschema.Draft202012Validator(json.loads(schema_text()))


def as_json(value):
    """A case file as an editor's YAML reader hands it to a schema."""
    if isinstance(value, Number):
        number = float(value.replace(".inf", "inf").replace(".nan", "nan"))
        return int(number) if number == number and abs(number) < 1e15 and re.fullmatch(r"[+-]?\d+", value) else number
    if isinstance(value, list):
        return [as_json(entry) for entry in value]
    return {key: as_json(entry) for key, entry in value.items()} if isinstance(value, dict) else value


def test_the_committed_schema_is_what_the_command_prints(monkeypatch, capsys):
    """CI compares the same two."""
    monkeypatch.setattr(sys, "argv", ["losscheck", "schema"])
    with pytest.raises(SystemExit) as stop:
        main()

    assert stop.value.code == 0
    assert capsys.readouterr().out == (ROOT / "docs" / "cases.schema.json").read_text(encoding="utf-8")


def test_the_schema_is_one():
    """Of draft 2020-12, which it says."""
    schema = json.loads(schema_text())
    jsonschema.Draft202012Validator.check_schema(schema)

    assert schema["$schema"] == jsonschema.Draft202012Validator.META_SCHEMA["$id"]
    ours = {name for name, loss in registry.losses().items() if loss.formula.__module__.startswith("losscheck.")}
    assert ours | {"program"} == set(schema["$defs"]["Case"]["properties"]["loss"]["examples"])


@pytest.mark.parametrize("file", sorted((ROOT / "cases").glob("*.yaml")), ids=lambda value: value.stem)
def test_the_schema_accepts_the_shipped_cases(file):
    """An editor marks nothing in them; with a key misspelt it does."""
    root, problems = parse(file.read_text(encoding="utf-8"))
    assert root is not None
    document = as_json(root.plain())
    wrong = copy.deepcopy(document)
    wrong["cases"][0]["nmae"] = wrong["cases"][0].pop("name")

    assert problems == []
    assert list(validator().iter_errors(document)) == []
    assert list(validator().iter_errors(wrong)) != []


GOOD = {
    "name": "a", "about": "words", "loss": "bce", "implementations": ["stable"], "params": {"pos_weight": 2}, "backends": ["numpy"],
    "dtypes": ["float32", "float16"], "devices": ["cpu"], "quantities": ["loss"], "reduction": "none",
    "points": {"logits": [1, "0x1p1"], "targets": [0, 1]},
    "expect": {"value": [1.3, 0.1], "max_ulp": {"float32": 2}, "outcomes": ["ok", "lost"], "max_deviation": 0.5, "non_negative": True},
}  # fmt: skip
OPTIONAL = {"about", "params", "backends", "dtypes", "devices", "quantities", "reduction", "expect"}
# Of each kind of value some that a schema can tell from others; what depends on another value is not among them.
ANYTHING = [
    None,
    True,
    0,
    -1,
    1.5,
    "",
    "word",
    [],
    ["word"],
    {},
    {"word": 1},
    [None],
    [[1]],
    "float32",
    ["float32"],
    "loss",
    ["grad"],
    "0x1p1",
    "inf",
]


def places(value, path=()):
    """The path of every value in a document."""
    yield path
    for key, entry in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(entry, (*path, key))


def replaced(document, path, value):
    document = copy.deepcopy(document)
    inner = document
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return document


def read_by_the_model(tmp_path_factory, case):
    """The problems that the reader finds in the values of a case, one by one."""
    file = tmp_path_factory.getbasetemp() / "model.yaml"
    file.write_text(json.dumps({"cases": [case]}), encoding="utf-8")
    try:
        load([file])
    except CaseError as error:
        return [problem.message for _, problem in error.problems]
    return []


# Words of checks between values, and of names, which no schema knows.
BETWEEN = re.compile(
    r"gates nothing|does not judge|needs exactly|values for|is named twice|has no parameter|no implementation|of its range|outside"
    r"|unknown (loss|backend|device)|element by element|of the loss or|needs several|claims about|matters only|holds|beyond"
)


@given(st.sampled_from([place for place in places(GOOD) if place]), st.sampled_from(ANYTHING))
@settings(max_examples=600)
@example(("expect", "max_ulp"), -1)
@example(("expect", "max_ulp"), True)
@example(("points", "logits"), "0x1p1")
@example(("name",), "")
def test_the_schema_and_the_reader_agree_on_single_values(tmp_path_factory, path, value):
    """What the schema marks the reader refuses; what it lets through the reader refuses only for reasons between values."""
    case = replaced(GOOD, path, value)
    marked = list(validator().iter_errors({"cases": [case]}))
    problems = read_by_the_model(tmp_path_factory, case)

    if marked:
        assert problems
    else:
        assert [problem for problem in problems if not BETWEEN.search(problem)] == []


@given(st.sets(st.sampled_from(sorted(GOOD))), st.sets(st.sampled_from(["range", "exhaustive", "nmae", "known_failure"])))
def test_the_schema_and_the_reader_agree_on_keys(tmp_path_factory, dropped, added):
    """Missing and unknown keys, and exactly one of points, range and exhaustive."""
    further = {"range": {"low": 0, "high": 1}, "exhaustive": {}, "nmae": 1, "known_failure": {"reason": "x", "link": "https://a.b"}}
    case = {key: value for key, value in GOOD.items() if key not in dropped and key not in ("expect", "reduction")}
    case |= {key: further[key] for key in added}
    marked = list(validator().iter_errors({"cases": [case]}))

    assert bool(marked) == bool(read_by_the_model(tmp_path_factory, case))


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"soft": "entropic"}, "must be one of blended, two-terms, entropy, margin"),
        ({"soft": 4}, "must be one of blended"),
        ({"gamma": "entropy"}, "must be finite and at least 0"),
        ({"gamma": "two terms"}, "is not a number"),
    ],
    ids=str,
)
def test_a_word_is_taken_where_a_parameter_has_words(params, says):
    """And means what its number means; another one is refused with those there are."""
    case = {"name": "a", "loss": "soft-focal", "implementations": ["stable"], "points": {"logits": 1, "targets": 0.5}}
    by_word, by_number = (asked_of(case_of({**case, "params": {"soft": soft}})).request.params for soft in ("entropy", 2))
    assert by_word == by_number
    with pytest.raises(UserError, match=says):
        case_of({**case, "params": params})
