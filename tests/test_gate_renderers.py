"""The gate's report in every format: one fixture with a row of each verdict, and names that try to break out."""

import dataclasses
import json
import re
from xml.etree import ElementTree

import jsonschema
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from reports import EVIL, REASONS, case_row, gate_report, whole_gate

from losscheck.core.outcome import Outcome
from losscheck.core.verdict import Verdict
from losscheck.renderers import GATE_FORMATS, Style, render


@pytest.fixture(scope="module")
def report():
    """The shared one."""
    return whole_gate()


def printed(report, name="table", **style):
    return render(name, report, Style(**style))


@pytest.mark.parametrize("name", GATE_FORMATS)
def test_every_format_renders_every_verdict_and_ends_in_a_newline(name, report):
    """A pure function: the same text twice; nothing the terminal or a log would obey, also of no row at all."""
    text = printed(report, name)

    assert text == printed(report, name)
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    assert printed(gate_report(), name)


# Table ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verbose", [False, True])
@pytest.mark.parametrize("width", [80, 120])
def test_the_table_keeps_to_its_width(width, verbose, report):
    """All but the commands to copy, which are not broken."""
    text = printed(dataclasses.replace(report, verbose=verbose), width=width)
    long = [line for line in text.splitlines() if len(line) > width]

    assert [line for line in long if "reproduce: " not in line and "which line: " not in line] == []
    assert all(line.rstrip() == line for line in text.splitlines())


def test_the_table_tells_the_worst_first_and_the_rest_in_numbers(report):
    """Failures before what could not be judged; skipped rows as an aside; one verdict in the end."""
    text = printed(report, width=100)

    assert text.index("FAIL  ") < text.index("UNDECIDED  ")
    assert "logit -15 (-0x1.ep+3), target 0: got 0, exact 3.059022737e-07, -1.1e+07 ulp (lost), limit 8 ulp" in " ".join(text.split())
    assert "reproduce: losscheck compare --logit -15\n" in text
    assert "- 1 skipped: PyTorch finds no CUDA device" in text
    assert "- 1 not comparable: nothing is recorded for cpu-vax" in text
    assert "gate broken: 10 rows of 10 cases in 2 files" in text


def test_strict_turns_asides_into_failures(report):
    """What is better than recorded or was not compared is told in full."""
    text = printed(dataclasses.replace(report, strict=True), width=100)

    assert "BETTER  " in text
    assert "NOT-COMPARABLE  " in text
    assert "not comparable: nothing" not in text


def test_color_is_for_screens_that_asked(report):
    """No escape sequence without colour, the name's own included."""
    assert "\x1b[" not in printed(gate_report(case_row(Verdict.FAIL)))
    assert "\x1b[" in printed(gate_report(case_row(Verdict.FAIL)), color=True)


def test_a_name_is_not_read_as_markup(report):
    """rich eats [red]."""
    assert "[red]f[/red]" in printed(report, width=200)


def test_a_long_list_ends_in_a_number():
    """Twenty in full, without -v."""
    rows = [case_row(Verdict.FAIL, case=f"case-{n}") for n in range(23)]
    short, whole = printed(gate_report(*rows)), printed(gate_report(*rows, verbose=True))

    assert short.count("FAIL  ") == 20
    assert "... and 3 more; -v tells all of them" in short
    assert whole.count("FAIL  ") == 23


def test_verbose_shows_every_row_with_its_figures(report):
    """Points and ulp of each; `all` where it was every float."""
    text = " ".join(printed(dataclasses.replace(report, verbose=True), width=120).split())

    assert "all 65536 1.3 of 8 ulp pass" in text or "all 65536 1.25 of 8 ulp pass" in text
    assert "cases/a.yaml:12: case-skipped torch-bce-with-logits torch float32 cpu loss ? skipped" in text


# JSON -----------------------------------------------------------------------------------------------------------------

NUMBER = {"anyOf": [{"type": "number"}, {"enum": ["nan", "inf", "-inf"]}]}
TEXT = {"type": "string"}
ROW = {
    "case": TEXT,
    "file": TEXT,
    "line": {"type": "integer", "minimum": 1},
    "source": TEXT,
    "verdict": {"enum": [verdict.value for verdict in Verdict]},
    "reason": TEXT,
    "reproduce": TEXT,
    "loss": TEXT,
    "implementation": TEXT,
    "backend": TEXT,
    "device": TEXT,
    "mode": TEXT,
    "dtype": TEXT,
    "quantity": {"enum": ["loss", "grad"]},
    "points": {"type": "integer", "minimum": 0},
    "failing": {"type": "integer", "minimum": 0},
    "exhaustive": {"type": "boolean"},
    "counts": {
        "propertyNames": {"enum": [outcome.value for outcome in Outcome]},
        "additionalProperties": {"type": "integer", "minimum": 1},
    },
    "max_ulp": {"anyOf": [NUMBER, {"type": "null"}]},
    "limit": NUMBER,
    "deviation": {"anyOf": [NUMBER, {"type": "null"}]},
    "worst": {"type": ["object", "null"]},
    "effect": {"enum": ["poisons", "misdirects", "dead", "misstates", "tails", "sound", None]},
    "effect_truth": {"enum": ["rounding", "deviation", None]},
    "effect_quantity": {"enum": ["loss", "grad", None]},
    "effect_first": {"anyOf": [NUMBER, {"type": "null"}]},
    "effect_last": {"anyOf": [NUMBER, {"type": "null"}]},
    "effect_share": {"anyOf": [NUMBER, {"type": "null"}]},
    "effect_loss_error": {"anyOf": [NUMBER, {"type": "null"}]},
    "effect_grad_error": {"anyOf": [NUMBER, {"type": "null"}]},
    "trace": TEXT,
}
DOCUMENT = {
    "type": "object",
    "required": ["schema_version", "command", "environment", "reproduce", "rows", "strict", "exit_code"],
    "properties": {
        "schema_version": {"const": 1},
        "command": {"const": "gate"},
        "strict": {"type": "boolean"},
        "exit_code": {"enum": [0, 1, 2]},
        "rows": {"items": {"type": "object", "properties": ROW, "required": list(ROW), "additionalProperties": False}},
    },
}


def strict_json(text):
    def refuse(token):
        raise AssertionError(f"{token} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_json_is_the_contract(report):
    """Every field of every row, no NaN token, the exit code of the run."""
    document = strict_json(printed(report, "json"))
    jsonschema.validate(document, DOCUMENT)

    assert list(document["rows"][0]) == list(ROW)
    assert document["exit_code"] == 1
    assert [row["verdict"] for row in document["rows"]][: len(Verdict)] == [verdict.value for verdict in Verdict]
    assert document["rows"][-1]["max_ulp"] == "inf"
    assert document["rows"][-1]["deviation"] == "nan"
    assert document["rows"][0]["worst"]["logit_hex"] == "-0x1.e000000000000p+3"
    assert document["rows"][len(Verdict)]["case"] == EVIL


# JUnit ----------------------------------------------------------------------------------------------------------------


def test_junit_is_xml_with_a_suite_for_each_file(report):
    """Totals agree with what is inside; failures, errors and skips are what the verdicts are."""
    root = ElementTree.fromstring(printed(report, "junit"))
    suites = root.findall("testsuite")

    assert [suite.get("name") for suite in suites] == ["cases/a.yaml", "b:c,d%.yaml"]
    for element in (root, *suites):
        assert int(element.get("tests")) == len(list(element.iter("testcase")))
        for kind, total in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
            assert int(element.get(total)) == len(list(element.iter(kind))), kind
    kinds = {testcase.get("name").partition(" [")[0]: [inner.tag for inner in testcase] for testcase in root.iter("testcase")}
    assert kinds["case-fail"] == ["failure"]
    assert kinds["case-undecided"] == ["error"]
    assert kinds["case-pass"] == kinds["case-better"] == []
    assert kinds["case-skipped"] == kinds["case-known-failure"] == kinds["case-not-comparable"] == ["skipped"]
    failure = root.find(".//failure")
    assert failure.get("message") == REASONS[Verdict.FAIL]
    assert "cases/a.yaml:12: case-fail" in failure.text
    assert "reproduce: losscheck compare --logit -15" in failure.text


def test_junit_under_strict_counts_what_strict_counts(report):
    """Better than recorded is a failure, not comparable an error."""
    root = ElementTree.fromstring(printed(dataclasses.replace(report, strict=True), "junit"))
    kinds = {testcase.get("name").partition(" [")[0]: [inner.tag for inner in testcase] for testcase in root.iter("testcase")}

    assert kinds["case-better"] == ["failure"]
    assert kinds["case-not-comparable"] == ["error"]


@given(st.text(max_size=30), st.text(max_size=30))
@example(EVIL, EVIL)
@example("\x00", "]]>")
@example("\ud800", "\udfff&#0;")
def test_junit_is_well_formed_whatever_a_name_says(name, reason):
    """What XML cannot hold is replaced, the rest comes back as it was."""
    text = printed(gate_report(case_row(Verdict.FAIL, case=name, reason=reason)), "junit")
    root = ElementTree.fromstring(text.encode("utf-8"))
    legal = re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\N{REPLACEMENT CHARACTER}", reason)

    assert root.find(".//failure").get("message") == legal


# GitHub ---------------------------------------------------------------------------------------------------------------


def commands(text):
    """The workflow commands that the runner would find in a log: lines that begin with `::`."""
    return [line for line in re.split(r"\r\n|\r|\n", text) if line.lstrip().startswith("::")]


def unescaped(text):
    return text.replace("%0A", "\n").replace("%0D", "\r").replace("%3A", ":").replace("%2C", ",").replace("%25", "%")


def test_github_gets_ten_annotations_worst_first():
    """Then `and N more`: it drops further ones without a word."""
    rows = (
        [case_row(Verdict.UNDECIDED, case=f"u{n}") for n in range(6)]
        + [case_row(Verdict.FAIL, case=f"f{n}") for n in range(8)]
        + [case_row(Verdict.PASS)]
    )
    text = printed(gate_report(*rows), "github")
    titles = [re.search("title=([^:]*)::", command)[1] for command in commands(text)]

    assert len(titles) == 10
    assert [title[0] for title in titles] == ["f"] * 8 + ["u"] * 2
    assert "\nand 4 more\n" in text
    assert text.splitlines()[-1].startswith("gate broken: 15 rows")


def test_github_points_at_the_line_of_the_case(report):
    """File, line and title as properties; everything else in the message, its line breaks escaped."""
    text = printed(gate_report(case_row(Verdict.FAIL)), "github")
    (command,) = commands(text)
    properties, _, data = command.removeprefix("::error ").partition("::")

    assert properties == "file=cases/a.yaml,line=12,title=a%3A fail"
    assert unescaped(data).splitlines()[1] == REASONS[Verdict.FAIL]
    assert unescaped(data).splitlines()[-2:] == [
        "reproduce: losscheck compare --logit -15",
        "which line: losscheck trace torch-bce-with-logits -15 --target 0 --loss bce",
    ]


def test_the_users_own_source_comes_before_the_case():
    """Whoever broke a loss reads its lines, and finds the case from there; in JUnit and in JSON as well."""
    failing = gate_report(case_row(Verdict.FAIL, source=("blog, 1.py", 7)))
    (command,) = commands(printed(failing, "github"))
    test = ElementTree.fromstring(printed(failing, "junit")).find(".//testcase")

    assert command.startswith("::error file=blog%2C 1.py,line=7,title=")
    assert "case: cases/a.yaml:12" in unescaped(command).splitlines()
    assert (test.get("file"), test.get("line"), test.get("classname")) == ("blog, 1.py", "7", "cases/a.yaml")
    assert test.find("failure").text.splitlines()[0].startswith("cases/a.yaml:12: ")
    assert json.loads(printed(failing, "json"))["rows"][0]["source"] == "blog, 1.py:7"


@given(st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("%\r\n:,"), max_size=30), st.sampled_from(Verdict))
@example("::error::a", Verdict.SKIPPED)
@example("\r::error::a", Verdict.SKIPPED)
@example("%0A::error::a", Verdict.FAIL)
@example("a\u2028::error::b\x85::error::c", Verdict.SKIPPED)
@example(EVIL, Verdict.FAIL)
@example("::set-output name=a::b", Verdict.BETTER)
def test_no_name_or_reason_makes_a_command_of_its_own(text, verdict):
    """Whatever is in them: one annotation for a row that fails, none for another; and it reads as it was written."""
    shown = printed(gate_report(case_row(verdict, case=text, reason=text, file=f"{text}.yaml")), "github")
    found = commands(shown)

    assert len(found) == (verdict.exit_code(strict=False) != 0)
    if found:
        properties, _, data = found[0].removeprefix("::error ").partition("::")
        assert unescaped(re.fullmatch("file=([^,:\r\n]*),line=12,title=([^,:\r\n]*)", properties)[1]) == f"{text}.yaml"
        assert text in unescaped(data)


def test_one_effect_of_loss_and_gradient_is_told_once():
    """A reason that is the same for both quantities of a subject; different reasons stay apart."""
    both = [case_row(Verdict.FAIL, quantity=quantity, reason="it poisons") for quantity in ("loss", "grad")]
    other = case_row(Verdict.FAIL, quantity="grad", reason="12 ulp, 8 allowed")
    together, apart = printed(gate_report(*both)), printed(gate_report(both[0], other))

    assert together.count("FAIL  ") == together.count("it poisons") == 1
    assert "; gradient" in together
    assert apart.count("FAIL  ") == 2


# Markdown -------------------------------------------------------------------------------------------------------------


def test_markdown_is_short():
    """At most 20 rows: it is for the summary of a CI step."""
    text = printed(gate_report(*[case_row(Verdict.FAIL, case=f"case-{n}") for n in range(300)]), "markdown")

    assert len(re.findall(r"^- \*\*✗ fail\*\* cases", text, re.MULTILINE)) == 20
    assert "... and 280 more" in text
    assert len(text) < 20_000


def test_markdown_of_a_gate_that_holds_is_a_few_lines():
    """A line for each file, and nothing of what holds."""
    text = printed(gate_report(case_row(Verdict.PASS), case_row(Verdict.SKIPPED)), "markdown")

    assert text.startswith("### gate holds: 2 rows of 1 case in 1 file: 1 hold, 1 skipped.\n")
    assert len(text.splitlines()) < 12
    assert "- 1 skipped: PyTorch finds no CUDA device" in text


def test_markdown_cells_stay_in_their_columns(report):
    """Pipes are escaped, and no line break leaves its cell."""
    text = printed(report, "markdown")
    rows = [line for line in text.split("\n") if line.startswith("|")]

    assert len(rows) == 2 + len({case.file for case in report.cases})
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in rows} == {8}
    assert text.count("\n- **") == len([case for case in report.cases if case.verdict.exit_code(strict=False)])


# Through the command --------------------------------------------------------------------------------------------------

CASES = """\
cases:
  - name: "evil | ::error::x"
    loss: bce
    implementations: [torch-bce-with-logits]
    points: {logits: [1, -15], targets: 0}
    quantities: [loss]
"""


@pytest.fixture
def call(call, plain_surroundings, tmp_path):
    """`losscheck gate` in this process, in a folder with one failing case."""
    (tmp_path / "case.yaml").write_text(CASES, encoding="utf-8")
    return lambda *words: call("gate", *words)


def test_several_outputs_are_written_at_once(call, tmp_path):
    """Each in the format of its suffix or of its prefix, beside what standard output shows; the exit code is that of the gate."""
    words = [word for output in ("a.json", "b.xml", "c.md", "github:d", "table:e.log") for word in ("--output", output)]
    code, out, _ = call("case.yaml", *words, "--format", "markdown")

    assert code == 1
    assert out.startswith("### ✗ gate broken: ")
    assert strict_json((tmp_path / "a.json").read_text(encoding="utf-8"))["exit_code"] == 1
    assert ElementTree.parse(tmp_path / "b.xml").getroot().get("failures") == "1"
    assert (tmp_path / "c.md").read_text(encoding="utf-8") == out
    assert commands((tmp_path / "d").read_text(encoding="utf-8"))
    assert "gate broken" in (tmp_path / "e.log").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", ["no/folder.json", ".", "json:", "a.toml", "yaml:a", "folder.json"])
def test_an_output_that_cannot_be_written_exits_2(path, call, tmp_path):
    """Never 1: what was found is not known to whoever reads the file."""
    (tmp_path / "folder.json").mkdir()
    code, _, err = call("case.yaml", "--output", path)

    assert code == 2
    assert "Traceback" not in err
    assert "internal error" not in err
    assert path.rpartition("/")[2].removesuffix(":") in err


def test_the_formats_of_one_run_agree(call):
    """The same verdict, case and figures in each."""
    shown = {name: call("case.yaml", "--format", name)[:2] for name in GATE_FORMATS}

    assert {code for code, _ in shown.values()} == {1}
    for name, (_, text) in shown.items():
        joined = " ".join(text.split())
        assert "torch-bce-with-logits" in joined, name
        assert "1 lost of 2 points, which the case does not allow" in joined, name
        assert "3.059022737" in joined or (name == "csv" and "-0x1.e000000000000p+3" in joined), name
