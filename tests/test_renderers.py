"""Every format shows one report, with a row of each outcome, whole: no number cut, no name eaten, no token unreadable."""

import csv
import io
import json
import math
import re
from dataclasses import replace

import pytest
from reports import ODD, UNDECIDED, compare_report

from losscheck.core.dtypes import FORMATS
from losscheck.core.effect import Effect
from losscheck.core.outcome import FAILURES, Outcome
from losscheck.core.registry import loss_named, losses
from losscheck.core.report import Report
from losscheck.core.request import listed
from losscheck.core.verdict import Verdict
from losscheck.measure.compare import compare
from losscheck.oracle.refine import Term, exact_value
from losscheck.renderers import Style, render
from losscheck.renderers.documents.compare import findings
from losscheck.renderers.figures import deviation_text, exact_figure, relative_text, ulp_text, value_figure
from losscheck.renderers.severity import Severity, severity_of

RENDERERS = ("table", "json", "csv", "markdown")


@pytest.fixture(scope="module")
def report():
    """The shared one."""
    return compare_report()


def printed(report, name="table", **style):
    return render(name, report, Style(**style))


def in_full(report):
    """As -v shows it."""
    return replace(report, verbose=True)


def meaning(report):
    """The findings as plain text."""
    return [sentence.text for sentence in findings(report)]


def report_of(*logits, targets=(1.0,), which=("bce",), **more):
    question = listed(which, logits, targets, **more)
    return Report("compare", {}, "losscheck compare", tuple(compare(question)), reduction=question.reduction, max_ulp=question.max_ulp)


def test_the_fixture_has_every_outcome_and_dtype(report):
    """Or the tests below would prove less than they say."""
    assert {row.outcome for row in report.rows} == set(Outcome)
    assert {row.dtype for row in report.rows} == set(FORMATS)


@pytest.mark.parametrize("name", RENDERERS)
def test_every_format_renders_every_outcome_and_ends_in_a_newline(report, name):
    """A pure function: the same report twice gives the same text, in any width."""
    text = printed(report, name)

    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    assert text == printed(report, name)
    assert all(row.outcome.value in text for row in report.rows)
    assert name == "table" or text == printed(report, name, width=200, color=True, unicode=False)


@pytest.mark.parametrize("name", RENDERERS)
def test_an_empty_report_is_no_crash(name):
    """No rows at all."""
    assert printed(Report("compare", {}, "losscheck compare", ()), name).endswith("\n")


# The table --------------------------------------------------------------------------------------------------------


def numbers(report):
    for row in report.rows:
        yield from (value_figure(row), exact_figure(row.exact, row.dtype), ulp_text(row.ulp))


@pytest.mark.parametrize("width", [20, 60, 80, 120, 200])
def test_the_table_cuts_no_number_of_the_fixture(report, width):
    """Every value, exact value and ulp stands whole between blanks, whatever the width."""
    words = printed(in_full(report), width=width).split()

    assert [number for number in numbers(report) if number not in words] == []


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("loss", losses())
def test_the_table_cuts_no_number_of_a_comparison(loss, dtype, width):
    """All implementations at tiny, huge, saturated and ordinary logits; float64 subnormals and e^-1e20 among them."""
    logits = ["-1e4", "-745.1", "-708.5", "-88.7", "-17", "1e-7", "0x1.5555p+1", "710", "6e4"]
    logits += ["-1e20", "3e38"] if dtype != "float16" else []
    found = in_full(report_of(*logits, which=(loss,), dtypes=(dtype,)))
    words = printed(found, width=width).split()

    assert [number for number in numbers(found) if number not in words] == []


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("target", [0.0, 1.0])
def test_the_table_reads_within_80_columns(dtype, target):
    """All losses and implementations of the default comparison, at sound and at failing logits."""
    for logit in ("1.5", "-15", "17", "-104", "0.3333333"):
        lines = printed(report_of(logit, targets=(target,), which=tuple(losses()), dtypes=(dtype,)))
        every = printed(in_full(report_of(logit, targets=(target,), which=tuple(losses()), dtypes=(dtype,))))

        assert [line for line in (lines + every).splitlines() if len(line) > 80] == []


def test_no_markup_is_eaten(report):
    """[ulp] and [red] in a name are text; narrow screens fold the name and keep its letters."""
    assert ODD in printed(report, width=200)
    folded = re.sub(r"\s+", "", printed(report, width=80))

    assert all(part in folded for part in ("odd[ulp]|a,", "[red]d[/red]"))


def test_there_is_no_colour_without_colour(report):
    """Not one escape; with colour there are, and without them the text is the same."""
    plain, colored = printed(report), printed(report, color=True)

    assert "\x1b" not in plain
    assert "\x1b[" in colored
    assert re.sub(r"\x1b\[[0-9;]*m", "", colored).split() == plain.split()


def test_what_is_wrong_stands_out_without_colour(report):
    """The sign of its severity before the word of each outcome, one sign a severity, also in ascii."""
    for unicode in (True, False):
        text = printed(report, width=200, unicode=unicode)
        signs = [severity.sign(unicode) for severity in Severity]

        assert len(set(signs)) == len(signs)
        for outcome in Outcome:
            assert f" {severity_of(outcome).sign(unicode)} {outcome.value}" in text, outcome
            assert (severity_of(outcome).fails) == (outcome in FAILURES), outcome


@pytest.mark.parametrize("kind", [Outcome, Verdict, Effect], ids=lambda kind: kind.__name__)
def test_every_judgement_has_a_severity(kind):
    """One that has none would be a crash in every format."""
    assert {severity_of(judgement) for judgement in kind} <= set(Severity)


def test_a_screen_without_unicode_gets_ascii(report):
    """Every character, also in the sentences."""
    assert printed(report, unicode=False).isascii()
    assert not printed(report, unicode=True).isascii()


def test_the_point_is_shown_in_decimal_and_hex(report):
    """The logit used, exactly; -0 is not +0."""
    assert "loss at logit -15 (-0x1.ep+3), target 0" in printed(report)
    assert "gradient at logit -1.5 (-0x1.8p+0), target 0" in printed(report)
    zeros = printed(report_of(0.0, -0.0, impl=("stable",), backends=("numpy",), quantities=("loss",)))

    assert "loss at logit 0 (0x0p+0), target 1" in zeros
    assert "loss at logit -0 (-0x0p+0), target 1" in zeros


def test_backends_that_agree_to_the_bit_share_a_line():
    """Otherwise each has its own, with its name."""
    text = printed(report_of(0.0, impl=("stable", "mpmath"), quantities=("loss",)))
    apart = printed(report_of("-0.0001", impl=("expanded",), dtypes=("float64",), targets=(0.0,), quantities=("loss",)))

    assert [line.split()[0] for line in text.splitlines() if " ok" in line] == ["stable", "mpmath"]
    assert ("expanded numpy" in apart) == ("expanded torch" in apart)


def test_two_devices_are_told_apart():
    """Rows of one implementation on cpu and cuda carry the device, and the missing one says why."""
    text = printed(in_full(report_of(1.5, impl=("torch-bce*",), devices=("cpu", "cuda:77"), quantities=("loss",))))

    assert "torch-bce-with-logits cpu" in text
    assert "cuda:77" in text
    assert "unavailable" in text
    assert "CUDA" in text


def test_a_reduction_is_named():
    """Which one, and over how many points."""
    text = printed(report_of(0.7, 0.2, targets=(1.0, 0.0), reduction="mean"))

    assert "reduction: mean" in text
    assert "loss at 2 points" in text


def test_the_parameters_are_shown_as_short_as_they_read_back():
    """0.1 in float32 is shown as 0.1 and not as 0.10000000149011612."""
    text = printed(report_of(1.0, which=("weighted-focal",), params={"alpha": 0.1}, impl=("stable",)))

    assert "alpha=0.1 " in text
    assert "0.10000000149" not in text


# Words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("not-a-number", "NaN where 1.701413278 is right"),
        ("infinite", "inf where 1.701413278 is right"),
        ("negative", "-1.5 where 1.701413278 is right: the wrong sign"),
        ("lost", "exactly 0 where 3.059022737e-07 is right: it is silently lost"),
        ("flushed", "exactly 0 where the subnormal 3.720075976e-44 is right"),
        ("never-infinite", "is beyond the largest float32"),
        ("far-off", "100 where 17.00000004 is right, off by "),
        ("unknown", "is undecided at the precision cap"),
        ("elsewhere", "unavailable, there is no CUDA device here"),
        ("another-formula", "a deviation of +100% (twice of everything)"),
    ],
)
def test_a_sentence_says_what_each_outcome_means(report, name, says):
    """In words: what came, what is right, where."""
    alone = Report("compare", {}, "", tuple(row for row in report.rows if row.implementation == name))

    assert any(says in sentence and name in sentence for sentence in meaning(alone)), meaning(alone)


def test_a_sound_report_says_so_in_one_line():
    """How little is off at most; of a reduction, whose effect is not judged, the limit in force."""
    one, several = (report_of(1.5, impl=impl) for impl in (("stable",), ("stable", "expanded", "torch*")))
    reduced = report_of(1.5, impl=("stable",), reduction="mean")

    assert re.fullmatch(r"stable is sound here: loss off by at most \S+, gradient by \S+\.", meaning(one)[0])
    assert meaning(several)[0].startswith("All 4 implementations are sound here: loss off by at most ")
    assert meaning(reduced)[0] == "All 4 judged results are within 8 ulp of their own formula."


def test_what_harms_training_is_the_first_line_and_who_is_right_a_count():
    """Nine lines of ok around the one that matters; with -v each row is there."""
    found = report_of(17.0, targets=(0.0,), backends=("torch",))
    text, every = printed(found), printed(in_full(found))

    assert text.splitlines()[1] == "✗ torch-sigmoid-bceloss dead: gradient 0 where 1 is right, logit 17, target 0."
    assert text.splitlines()[0] == "✗ naive poisons: loss inf, logit 17, target 0."
    assert text.count("\n  stable") == 0 and "- the others: 6 sound" in text
    assert every.count("\n  stable") == 2


def test_a_point_where_all_are_right_is_one_line():
    """83 lines of ok for the first command that anybody runs."""
    text = printed(report_of(1.5, -15.0, targets=(0.0, 0.0)))
    lines = text.splitlines()

    assert len(lines) <= 8 and "All 9 implementations are sound or have harmless tails here" in lines[0]
    assert "- bce float32, logit 1.5, target 0: loss 1.701413278, gradient 0.8175744762; 9" in text
    assert "tails: naive, expanded" in text


def test_the_count_of_differing_rows_is_said(report):
    """3 of 7 rows differ."""
    assert "3 of 7 rows differ in bits between cpu and cuda." in meaning(report)


def test_the_worst_failure_is_said_first(report):
    """What harms training, then by severity: NaN before inf before a wrong sign."""
    said = meaning(report)
    places = [next(n for n, sentence in enumerate(said) if word in sentence) for word in ("poisons", "not-a-number", "infinite")]

    assert places == sorted(places)


def test_figures_in_words_are_never_nan_formatted():
    """Unknown deviations are a question mark, missing ulp a dash, infinite ones inf."""
    assert deviation_text(math.nan) == deviation_text(None) == "?"
    assert (ulp_text(None), ulp_text(math.inf), ulp_text(math.nan), ulp_text(0.0)) == ("-", "inf", "nan", "0")
    assert exact_figure(None, "float32") == "-"
    assert exact_figure(UNDECIDED, "float32") == "undecided"


@pytest.mark.parametrize(
    ("relative", "text"),
    [(0.0786, "7.9%"), (-0.5, "50%"), (9.9, "9.9e+02%"), (2.3e6, "2,300,000 times"), (10.04, "10 times"), (1e20, "10^20 times"),
     (math.inf, "infinitely"), (math.nan, "unknown"), (None, "0%")],
)  # fmt: skip
def test_a_relative_error_reads_well(relative, text):
    """A percentage while it is small, then a factor; never 2.3e+08%."""
    assert relative_text(relative) == text


def test_a_vanishing_exact_value_is_given_by_its_logarithm():
    """e^-1e20 has 43 quintillion zeros: 10^-4.343e+19."""
    exact = exact_value(loss_named("bce").formula, [Term(-1e20, 0.0)], {"pos_weight": 1.0}, FORMATS["float64"])

    assert exact_figure(exact, "float64") == "10^-4.343e+19"


# JSON, CSV, markdown ----------------------------------------------------------------------------------------------


def refuse(token):
    raise AssertionError(f"{token} is not JSON")


def test_json_reads_back_every_row(report):
    """Non-finite numbers are strings, null stands for no value at all, the odd name survives."""
    document = json.loads(printed(report, "json"), parse_constant=refuse)
    by_name = {row["implementation"]: row for row in document["rows"]}

    assert len(document["rows"]) == len(report.rows)
    assert by_name["not-a-number"]["value"] == by_name["not-a-number"]["value_hex"] == "nan"
    assert by_name["infinite"]["value"] == "inf"
    assert by_name["never-infinite"]["exact"] == by_name["never-infinite"]["exact_hex"] == "inf"
    assert by_name["unknown"]["exact"] == "nan"
    assert by_name["unknown"]["oracle_bits"] == 2**14
    assert by_name["elsewhere"]["value"] is None
    assert by_name["elsewhere"]["reason"] == "there is no CUDA device here"
    assert by_name["another-formula"]["definition"].startswith("17.0000000413993")
    assert by_name[ODD]["value"] == 17.0
    assert document["differences"] == [{"device": "cpu", "other": "cuda", "rows": 7, "differ": 3}]


def test_json_keeps_an_infinite_limit_readable(report):
    """--max-ulp inf is the string 'inf', as every non-finite number."""
    unlimited = Report("compare", {}, "", report.rows, max_ulp=math.inf)

    assert json.loads(printed(unlimited, "json"), parse_constant=refuse)["max_ulp"] == "inf"


def test_json_gives_the_exact_value_where_no_decimal_notation_reaches():
    """exp(-1e20) in at least 30 digits and a decimal exponent, not a zero."""
    document = json.loads(printed(report_of("-1e20", targets=(0.0,), impl=("stable",), dtypes=("float64",), backends=("numpy",)), "json"))
    mantissa, _, exponent = document["rows"][0]["exact"].partition("e")

    assert len(mantissa.replace(".", "")) >= 30
    assert int(exponent) == math.floor(-1e20 / math.log(10)) or abs(int(exponent) / (-1e20 / math.log(10)) - 1) < 1e-15
    assert document["rows"][0]["exact_hex"] == "0x0.0p+0"


def test_csv_quotes_what_it_must(report):
    """Commas, quotes and bars in a name come back as they were; every line has every field."""
    table = list(csv.reader(io.StringIO(printed(report, "csv"))))
    names = [line[table[0].index("implementation")] for line in table[1:]]

    assert names == [row.implementation for row in report.rows]
    assert {len(line) for line in table} == {len(table[0])}
    assert "None" not in printed(report, "csv")


def test_csv_of_several_points_keeps_them_in_one_cell():
    """The logits of a reduced loss, separated by blanks."""
    text = printed(report_of(0.5, 2.0, targets=(1.0, 0.0), impl=("stable",), reduction="mean", quantities=("loss",)), "csv")
    first = next(csv.DictReader(io.StringIO(text)))

    assert first["logit"] == "0.5 2.0"
    assert first["target_hex"] == "0x1.0000000000000p+0 0x0.0p+0"


def test_markdown_escapes_bars_and_stars(report):
    """The lines of a table have as many cells as its heading, whatever a name holds; failing outcomes are bold."""
    width = 0
    report = in_full(report)
    for line in printed(report, "markdown").splitlines():
        cells = re.split(r"(?<!\\)\|", line)[1:-1] if line.startswith("|") else []
        width = width if cells and width else len(cells)
        assert len(cells) == width, line
    lines = [line for line in printed(report, "markdown").splitlines() if line.startswith("|")]

    assert any("odd[ulp]\\|a, \\*b\\*" in line for line in lines)
    harmless = [row for row in report.rows if row.effect and not row.effect.effect.harmful]
    assert sum("**" in line for line in lines) == sum(row.outcome.failed for row in report.rows if row not in harmless)


def test_markdown_has_a_heading_for_each_loss_and_dtype(report):
    """Rows of one dtype stand together below it."""
    headings = [line for line in printed(report, "markdown").splitlines() if line.startswith("### ")]

    assert [line.split(",")[1].split()[0] for line in headings] == ["float32", "float64", "float16", "bfloat16"]
