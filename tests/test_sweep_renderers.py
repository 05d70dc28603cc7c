"""What a sweep looks like: strips, sentences, the page and the picture, all from one hand-made report."""

import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest

from losscheck.cli import sweep as sweep_command
from losscheck.core.dtypes import FLOAT32
from losscheck.core.errors import UserError
from losscheck.core.exact import Exact, Kind
from losscheck.core.outcome import Outcome
from losscheck.core.report import Report
from losscheck.core.results import BitDifference, PointRow, Region, SweepRow
from losscheck.renderers import FORMATS, Style, render
from losscheck.renderers.sweep_words import LETTERS, coverage, failing_text, legend, region_lines, row_name, strip

STYLE = Style(width=80)
LAST = float.fromhex("-0x1.d1da7ap+3")
SUBJECT = {"loss": "bce", "implementation": "one", "backend": "torch", "device": "cpu", "dtype": "float32", "quantity": "loss"}


def point(outcome=Outcome.LOST, ulp=-1234.5):
    exact = Exact(Kind.FINITE, 2.0**-21, (1, -21), (0, 0), 128)
    return PointRow(**SUBJECT, logits=(LAST,), targets=(0.0,), outcome=outcome, value=0.0, exact=exact, ulp=ulp)


def row(**changes):
    """-20 to 0: lost in the first half, then 0.3, 0.7, 1.5, 3 and 100 ulp."""
    cells = [(FLOAT32.round(-20.0 + n / 24), 5e5, Outcome.LOST) for n in range(240)]
    cells += [(FLOAT32.round(-10.0 + n / 24), (0.3, 0.7, 1.5, 3.0, 100.0)[n // 48], Outcome.OK) for n in range(240)]
    made = SweepRow(
        **SUBJECT, params={"pos_weight": 1.0}, layout="body", target=0.0, low=-20.0, high=0.0, points=480, exhaustive=False,
        counts={Outcome.LOST: 240, Outcome.OK: 240}, max_ulp=5e5, worst=(point(),), profile=tuple(cells), checked=7,
        regions=(Region(Outcome.LOST, -20.0, LAST, 5_000_000, 5_000_000),), histogram={"<0.5": 240, "1024-2048": 240},
    )  # fmt: skip
    return replace(made, **changes)


def report(*rows, **more):
    return Report("sweep", {"losscheck": "0"}, "losscheck sweep --range -20 0", sweeps=rows or (row(),), max_ulp=8.0, **more)


# The strip -------------------------------------------------------------------------------------------------------------


def test_a_strip_shows_letters_for_failures_and_heights_for_ulp():
    """A failing part drawn as a height, or a level one step off."""
    assert strip(row(), 20, True) == "LLLLLLLLLL▁▁▂▂▃▃▄▄▅▅"
    assert strip(row(), 20, False) == "LLLLLLLLLL....::::--"


@pytest.mark.parametrize("width", [1, 7, 20, 100, 480, 500])
def test_a_strip_is_as_wide_as_it_is_told(width):
    """A strip that breaks the table, or drops the last cells."""
    shown = strip(row(), width, True)

    assert len(shown) == width and shown[0] == "L"
    assert shown[-1] == ("L" if width == 1 else "▅")


@pytest.mark.parametrize(("outcome", "letter"), LETTERS.items())
def test_one_failing_cell_is_seen_at_any_width(outcome, letter):
    """A single failing float averaged away."""
    cells = [(float(n), 0.1, Outcome.OK) for n in range(480)]
    cells[333] = (333.0, 0.1, outcome)

    assert strip(row(profile=tuple(cells)), 20, True).count(letter) == 1
    assert len(set(LETTERS.values())) == len(LETTERS)


def test_the_severest_outcome_of_a_part_is_shown_and_an_empty_part_is_blank():
    """The first outcome of a part instead of the worst; a part without points drawn as right."""
    cells = [(0.0, 1.0, Outcome.INACCURATE), (0.0, math.inf, Outcome.NAN), (0.0, -1.0, None), (0.0, -1.0, None)]

    assert strip(row(profile=tuple(cells)), 2, True) == "N "


def test_the_legend_explains_every_letter():
    """A letter that nobody can look up."""
    for unicode in (True, False):
        text = legend(unicode)
        assert all(f"{letter} {outcome.value}" in text for outcome, letter in LETTERS.items())
        assert unicode or text.isascii()
    assert set(LETTERS) == set(Outcome) - {Outcome.OK, Outcome.UNAVAILABLE}


# Words -----------------------------------------------------------------------------------------------------------------


def test_a_region_is_a_sentence_with_both_ends():
    """An end without its hex, decimals of float64 instead of float32, or the wrong count."""
    (line,) = region_lines(report(), 5)

    assert (
        line
        == f"bce one torch float32 target 0: loss lost from -20 (-0x1.4p+4) to {FLOAT32.shortest(LAST)} (-0x1.d1da7ap+3), 5000000 floats."
    )
    single = row(quantity="grad", device="cuda", layout="tail", regions=(Region(Outcome.NAN, -math.inf, -math.inf, 1, 1),))
    assert region_lines(report(single), 5) == ["bce one torch cuda tail float32 target 0: gradient nan from -inf to -inf, 1 float."]
    joined = row(regions=(Region(Outcome.NAN, 1.0, 2.0, 9, 4),))
    assert region_lines(report(joined), 5)[0].endswith("4 of 9 floats.")


def test_regions_come_severest_and_largest_first_and_say_what_is_left_out():
    """The NaN below a hundred inaccurate stretches; a list cut silently."""
    many = [Region(outcome, 1.0, 2.0, n, n) for n in (5, 7) for outcome in (Outcome.INACCURATE, Outcome.NAN)]
    lines = region_lines(report(row(regions=tuple(many))), 3)

    assert [re.search(r"loss (\S+) .* (\d) floats", line).groups() for line in lines[:3]] == [
        ("nan", "7"),
        ("nan", "5"),
        ("inaccurate", "7"),
    ]
    assert lines[3].startswith("... and 1 more regions")
    assert region_lines(report(row(regions=(), reason="no CUDA")), 3) == ["one (torch, cpu): unavailable, no CUDA."]


@pytest.mark.parametrize(
    ("failing", "points", "text"),
    [(0, 9, "0"), (9, 9, "100%"), (1, 10**6, "1"), (999_999, 10**6, ">99.9%"), (5000, 10**8, "<0.1%"), (1, 4, "25%")],
)
def test_the_share_of_failures_never_rounds_to_none_or_all(failing, points, text):
    """One failing float in a million shown as 0%, or one right one as none."""
    counts = {Outcome.NAN: failing, Outcome.OK: points - failing}

    assert failing_text(row(counts=counts, points=points)) == text
    assert failing_text(row(reason="none")) == "-"


def test_coverage_says_what_was_swept_and_how_it_was_checked():
    """A sample that claims to be complete; disagreements that are not told."""
    sampled, checked = coverage(report(row(wrong=2)))
    (complete, *_) = coverage(report(row(exhaustive=True)))
    nans = coverage(report(row(nan_points=254, nan_wrong=3)))[-1]
    bits = coverage(report(bit_differences=(BitDifference("one: cpu tail against cpu body", 9, 2, 1.5, 0.25, 0.5),)))[-1]

    assert "only sampled" in sampled and "complete" not in sampled and "complete" in complete
    assert checked == "7 points spread over the ranges were checked against the exact oracle: 2 disagreements."
    assert nans == "All 254 NaN logits were tried as well: 3 gave a number."
    assert bits == "one: cpu tail against cpu body: 2 of 9 logits differ in bits. Most at 1.5 (0x1.8p+0): 0.25 against 0.5."


def test_a_row_is_named_with_what_distinguishes_it():
    """cpu and cuda rows that look the same."""
    assert row_name(row(), device=False, layout=False) == "one torch"
    assert row_name(row(implementation="torch-bce"), device=True, layout=True) == "torch-bce cpu body"


# The formats -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format_name", FORMATS)
def test_every_format_shows_failures_reasons_and_infinite_errors(format_name):
    """A format that crashes on a missing device, an empty profile or an infinite ulp."""
    if format_name == "html":
        pytest.importorskip("matplotlib")
    broken = row(implementation="two", max_ulp=math.inf, counts={Outcome.NAN: 480}, worst=(point(Outcome.NAN, math.nan),))
    absent = row(device="cuda", counts={}, worst=(), regions=(), histogram={}, profile=(), reason="no CUDA device")
    text = render(format_name, report(row(), broken, absent), STYLE)

    assert text.endswith("\n") and "lost" in text and "two" in text
    assert "no CUDA device" in text and "inf" in text


def test_the_table_keeps_to_eighty_columns_and_reads_no_markup():
    """A name in brackets eaten as markup; a line that wraps."""
    text = render("table", report(row(implementation="[bold]one[/]"), row(quantity="grad")), STYLE)

    assert "[bold]one[/]" in text and "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 80
    assert "▅" in text and "L" * 10 in text
    assert render("table", report(), Style(width=80, unicode=False)).isascii()
    assert "No failure was found." in render("table", report(row(regions=(), counts={Outcome.OK: 480})), STYLE)


class Tags(HTMLParser):
    """Every tag of a page with its attributes."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def test_the_page_needs_no_network():
    """A font, a script or a style fetched from elsewhere."""
    pytest.importorskip("matplotlib")
    text = render("html", report(), STYLE)
    tags = Tags()
    tags.feed(text)
    names = [tag for tag, _ in tags.found]

    assert not {"link", "iframe", "img", "object", "base"} & set(names)
    assert all("src" not in attributes for _, attributes in tags.found)
    assert all(value.startswith("#") for _, attributes in tags.found for name, value in attributes.items() if name.endswith("href"))
    assert not re.search(r"@import|url\((?!#)", text)
    for address in re.findall(r"https?://[^\s\"'<>]*", text):
        assert re.search(rf"(xmlns(:\w+)?|resource)=\"{re.escape(address)}\"", text) or "w3.org" in address, address
    assert {"svg", "table", "script", "style"} <= set(names) and names.count("script") == 1


def test_the_page_escapes_what_it_is_given():
    """A name with angle brackets that becomes a tag."""
    pytest.importorskip("matplotlib")
    evil = "<script>alert(1)</script>"
    made = replace(report(row(implementation=evil, reason=""), row(loss=evil, reason=evil, profile=())), reproduce=f"losscheck '{evil}'")
    text = render("html", made, STYLE)

    assert evil not in text and text.count("<script>") == 1
    assert "&lt;script&gt;" in text
    assert "losscheck &#x27;" in text


def test_a_page_of_a_comparison_is_refused():
    """An empty page for a command that has no sweep."""
    with pytest.raises(UserError):
        render("html", Report("compare", {}, "losscheck compare", rows=(point(),)), STYLE)


# The picture -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_a_plot_is_a_picture(tmp_path, suffix):
    """An empty file, or a suffix that lies."""
    pytest.importorskip("matplotlib")
    from losscheck.renderers.plot import draw

    path = tmp_path / f"plot{suffix}"
    infinite = row(low=-math.inf, high=math.inf, target=1.0, max_ulp=math.inf)
    draw(
        report(
            row(),
            row(quantity="grad"),
            infinite,
            replace(infinite, quantity="grad"),
            row(implementation="gone", reason="no CUDA", profile=()),
        ),
        path,
    )

    assert path.stat().st_size > 5000 and [each.name for each in tmp_path.iterdir()] == [path.name]
    if suffix == ".png":
        assert path.read_bytes().startswith(b"\x89PNG")
    else:
        assert ET.fromstring(path.read_text()).tag.endswith("svg")


def test_a_plot_that_cannot_be_written_leaves_nothing(tmp_path):
    """A half-written picture, or a traceback."""
    pytest.importorskip("matplotlib")
    from losscheck.renderers.plot import draw

    target = tmp_path / "plot.png"
    target.mkdir()
    with pytest.raises(UserError, match="cannot write"):
        draw(report(), target)
    assert [each.name for each in tmp_path.iterdir()] == ["plot.png"]


def test_without_matplotlib_the_cure_is_named(monkeypatch):
    """A plot that fails after the work is done, or a page that fails for want of its plot."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    with pytest.raises(UserError, match="matplotlib") as refusal:
        sweep_command._plot_can_be_drawn("plot.png")
    assert "losscheck[plot]" in refusal.value.cure
    page = render("html", report(), STYLE)
    assert "losscheck[plot]" in page and "<svg" not in page
