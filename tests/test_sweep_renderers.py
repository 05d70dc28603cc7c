"""What a sweep looks like: strips, sentences, the page and the picture, all from one hand-made report."""

import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reports import LAST, THEIR_FORMATS, lost_point, sweep_report, sweep_row

import losscheck
from losscheck.core.dtypes import FLOAT32
from losscheck.core.effect import Effect, EffectFinding, Truth
from losscheck.core.errors import UserError
from losscheck.core.outcome import Outcome
from losscheck.core.results import BitDifference, Region
from losscheck.renderers import FORMATS, Style, render
from losscheck.renderers.documents.sweep import coverage, document, failing_text
from losscheck.renderers.names import RowNames
from losscheck.renderers.strips import LETTERS, axis, draw_strip, legend, strip_of
from losscheck.renderers.trends import trends

STYLE = Style(width=80)


def strip(row, width, unicode):
    return draw_strip(strip_of(row), width, unicode)


def region_lines(report):
    """The sentences about regions: the first listing with a title."""
    report = replace(report, regions=True)
    return [sentence.text for sentence in next(block for block in document(report).blocks if getattr(block, "title", "")).shown()]


# The strip -------------------------------------------------------------------------------------------------------------


def test_a_strip_shows_letters_for_failures_and_heights_for_ulp():
    """A failing part drawn as a height, or a level one step off."""
    assert strip(sweep_row(), 20, True) == "LLLLLLLLLL▁▁▂▂▃▃▄▄▅▅"
    assert strip(sweep_row(), 20, False) == "LLLLLLLLLL....::::--"


@pytest.mark.parametrize("width", [1, 7, 20, 100, 480, 500])
def test_a_strip_is_as_wide_as_it_is_told(width):
    """A strip that breaks the table, or drops the last cells."""
    shown = strip(sweep_row(), width, True)

    assert len(shown) == width and shown[0] == "L"
    assert shown[-1] == ("L" if width == 1 else "▅")


@pytest.mark.parametrize(("outcome", "letter"), LETTERS.items())
def test_one_failing_cell_is_seen_at_any_width(outcome, letter):
    """A single failing float averaged away."""
    cells = [(float(n), 0.1, Outcome.OK) for n in range(480)]
    cells[333] = (333.0, 0.1, outcome)

    assert strip(sweep_row(profile=tuple(cells)), 20, True).count(letter) == 1
    assert len(set(LETTERS.values())) == len(LETTERS)


def test_the_severest_outcome_of_a_part_is_shown_and_an_empty_part_is_blank():
    """The first outcome of a part instead of the worst; a part without points drawn as right."""
    cells = [(0.0, 1.0, Outcome.INACCURATE), (0.0, math.inf, Outcome.NAN), (0.0, -1.0, None), (0.0, -1.0, None)]

    assert strip(sweep_row(profile=tuple(cells)), 2, True) == "N "


def test_the_legend_explains_every_letter():
    """A letter that nobody can look up."""
    for unicode in (True, False):
        text = legend(unicode)
        assert all(f"{letter} {outcome.value}" in text for outcome, letter in LETTERS.items())
        assert unicode or text.isascii()
    assert set(LETTERS) == set(Outcome) - {Outcome.OK, Outcome.UNAVAILABLE}


def test_the_strip_of_several_rows_shows_the_worst_of_each_part():
    """A target that fails hidden behind one that does not."""
    good = [(float(n), 0.1, Outcome.OK) for n in range(4)]
    bad = [good[0], (1.0, 9.0, Outcome.INACCURATE), (2.0, math.inf, Outcome.NAN), (3.0, -1.0, None)]

    assert draw_strip(strip_of(sweep_row(profile=tuple(good)), sweep_row(profile=tuple(bad))), 4) == "▁xN▁"


def test_a_line_an_implementation_shows_its_worst_target_and_backends_that_agree_share_it():
    """Six rows that say one thing; a failing target that is not the one shown; numpy hidden behind torch where they differ."""
    right = {"counts": {Outcome.OK: 480}, "max_ulp": 0.9, "regions": ()}
    alike = [
        sweep_row(backend=backend, target=target, **(right if target else {})) for backend in ("numpy", "torch") for target in (0.0, 1.0)
    ]
    apart = [sweep_row(implementation="two", backend="numpy", **right), sweep_row(implementation="two", backend="torch")]
    made = sweep_report(*alike, *apart)
    lines, every = (render("table", replace(made, verbose=verbose), STYLE).splitlines() for verbose in (False, True))
    ranked = [line.split()[:3] for line in lines if line.split()[1:2] in (["one"], ["two"]) or line.split()[:1] == ["two"]]

    # Worst first: what fails, then what is right.
    assert [[word for word in words if word in ("one", "two", "numpy", "torch")] for words in ranked] == [
        ["one"],
        ["two", "torch"],
        ["two", "numpy"],
    ]
    assert sum(line.startswith(("  one", "  two")) for line in every) == 6
    assert "- 6 rows with outcome and ulp: -v; 3 regions, exact ends: --regions." in lines
    assert not any("--regions" in line for line in every)


HARM = EffectFinding(
    Effect.DEAD, Truth.ROUNDING, "grad", 0.0, 1.0, 17.0, 0.0, 83.0, 1.0, first=16.64, last=100.0, share=0.4168, parts=((16.64, 100.0),)
)


def judged(effect, **more):
    """A row of an effect on [-100, 100], dead or a tail in its right part."""
    cells = tuple((float(n) - 100, 0.3, Outcome.OK) for n in range(200))
    effects = tuple(Effect.SOUND if n < 116 else effect.effect for n in range(200))
    given = {"low": -100.0, "high": 100.0, "counts": {Outcome.OK: 480}, "regions": (), "worst": ()}
    return sweep_row(**{**given, "profile": cells, "effects": effects, "effect": effect, **more})


def test_a_line_says_the_worst_effect_where_it_is_and_how_bad():
    """The answer: what harms, how, from where, by how much; one sign a severity in the strip; zero is marked."""
    tails = EffectFinding(Effect.TAILS, Truth.ROUNDING, "loss", 0.0, 3e-7, -15.0, 0.0, 4.8e-07, 8.8e-08, -100.0, 100.0, 1.0)
    rows = [judged(tails, implementation="quiet"), judged(HARM), judged(replace(HARM, effect=Effect.SOUND), implementation="right")]
    text = render("table", sweep_report(*rows), Style(width=120))
    lines = [line for line in text.splitlines() if line.startswith("  ")]

    assert text.splitlines()[0] == "Best here: right (sound). 1 of 3 harms training."
    assert [line.split()[0] for line in lines] == ["implementation", "✗", "~", "right"]
    assert "dead: gradient 0 where 1 is right, logits above 16.64, target 0" in lines[1]
    assert "tails: loss off by at most 4.8e-07, gradient by 8.8e-08" in lines[2]
    strip = lines[1].split()[2]
    assert set(strip) == {"▁", "✗"} and strip.index("✗") / len(strip) == pytest.approx(0.58, abs=0.03)
    assert lines[0].index("0 ") > lines[0].index("-100") and "-100" in lines[0] and " 0 " in lines[0]


def test_an_effect_in_several_regions_is_told_by_their_ends():
    """Both ends of the range are infinite and the middle is right: not 'everywhere'."""
    both = replace(
        HARM, effect=Effect.POISONS, value=math.nan, first=-100.0, last=100.0, share=0.47, parts=((-100.0, -88.72), (16.64, 100.0))
    )
    many = replace(both, parts=())
    whole = replace(many, share=1.0)
    texts = [render("table", sweep_report(judged(effect)), Style(width=120)) for effect in (both, many, whole)]

    assert "poisons: gradient NaN, logits below -88.72 and above 16.64, target 0" in texts[0]
    assert "logits -100 to 100, in parts" in texts[1]
    assert "gradient NaN, everywhere, target 0" in texts[2]


def test_of_two_with_one_effect_what_covers_more_logits_comes_first():
    """A rank by the number of sampled points, or by ulp alone."""
    few = judged(replace(HARM, share=0.01), implementation="few", max_ulp=9e9)
    text = render("table", sweep_report(few, judged(HARM, max_ulp=10.0)), STYLE)

    assert text.index("✗ one") < text.index("✗ few")


# Words -----------------------------------------------------------------------------------------------------------------


def test_a_region_is_a_sentence_with_both_ends():
    """An end without its hex, decimals of float64 instead of float32, or the wrong count."""
    (line,) = region_lines(sweep_report())

    assert (
        line
        == f"bce one torch float32 target 0: loss lost from -20 (-0x1.4p+4) to {FLOAT32.shortest(LAST)} (-0x1.d1da7ap+3), 5000000 floats."
    )
    single = sweep_row(quantity="grad", device="cuda", layout="tail", regions=(Region(Outcome.NAN, -math.inf, -math.inf, 1, 1),))
    assert region_lines(sweep_report(single)) == ["bce one torch cuda tail float32 target 0: gradient nan from -inf to -inf, 1 float."]
    joined = sweep_row(regions=(Region(Outcome.NAN, 1.0, 2.0, 9, 4),))
    assert region_lines(sweep_report(joined))[0].endswith("4 of 9 floats.")


def test_regions_come_severest_and_largest_first():
    """The NaN below a hundred inaccurate stretches; a list cut silently."""
    many = [Region(outcome, 10.0 * n, 10.0 * n + 1, n, n) for n in range(1, 10) for outcome in (Outcome.INACCURATE, Outcome.NAN)]
    lines = region_lines(sweep_report(sweep_row(regions=tuple(many))))
    told = [re.search(r"loss (\S+) .* (\d+) floats?", line).groups() for line in lines]

    assert told == [(outcome, str(n)) for outcome in ("nan", "inaccurate") for n in range(9, 0, -1)]
    missing = render("table", sweep_report(sweep_row(regions=(), reason="no CUDA")), STYLE)
    assert "? one (torch, float32, cpu): unavailable, no CUDA." in missing


def pieces(*ends, outcome=Outcome.INACCURATE):
    return tuple(Region(outcome, first, last, 5, 5) for first, last in ends)


def test_neighbouring_regions_of_one_trend_are_one_line_of_a_page():
    """Forty lines that say one thing; --regions tells each. What lies far away, or beyond another failure, is another."""
    crossing = pieces((-3.0, -2.0), (-1.5, -1.375), (-1.25, 0.0), (40.0, 41.0))
    apart = (*pieces((-3.0, -2.0), (-1.0, 0.0)), *pieces((-1.75, -1.625), outcome=Outcome.LOST))
    tables = [
        next(
            block.table
            for block in document(sweep_report(sweep_row(regions=regions))).blocks
            if getattr(block, "title", "") == "Failing regions"
        )
        for regions in (crossing, apart)
    ]
    near, far = ([cell.text for cell in line.cells[-4:]] for line in tables[0].lines)

    assert near == ["-3 (-0x1.8p+1)", "0 (0x0p+0)", "15", "3"]
    assert far == ["40 (0x1.4p+5)", "41 (0x1.48p+5)", "5", "1"]
    assert len(tables[1].lines) == 3
    assert len(region_lines(sweep_report(sweep_row(regions=crossing)))) == 4


@given(st.lists(st.tuples(st.floats(), st.sampled_from([Outcome.NAN, Outcome.LOST]), st.integers(1, 9)), max_size=8))
def test_trends_lose_no_float(parts):
    """Joined or not, every failing float is counted once, and no trend is wider than its regions."""
    ends = sorted(end for end, _, _ in parts if not math.isnan(end))
    regions = [Region(outcome, end, end, count, count) for end, (_, outcome, count) in zip(ends, parts, strict=False)]
    joined = trends(regions)

    for outcome in (Outcome.NAN, Outcome.LOST):
        assert sum(trend.floats for trend in joined if trend.outcome is outcome) == sum(
            region.floats for region in regions if region.outcome is outcome
        )
    assert sum(trend.regions for trend in joined) == len(regions)
    assert {end for trend in joined for end in (trend.first, trend.last)} <= set(ends)


@pytest.mark.parametrize(
    ("failing", "points", "text"),
    [(0, 9, "0"), (9, 9, "100%"), (1, 10**6, "1"), (999_999, 10**6, ">99.9%"), (5000, 10**8, "<0.1%"), (1, 4, "25%")],
)
def test_the_share_of_failures_never_rounds_to_none_or_all(failing, points, text):
    """One failing float in a million shown as 0%, or one right one as none."""
    counts = {Outcome.NAN: failing, Outcome.OK: points - failing}

    assert failing_text(sweep_row(counts=counts, points=points)) == text
    assert failing_text(sweep_row(reason="none")) == "-"


def test_coverage_says_what_was_swept_and_how_it_was_checked():
    """A sample that claims to be complete; disagreements that are not told."""
    sampled, checked = coverage(sweep_report(sweep_row(wrong=2)))
    (complete, *_) = coverage(sweep_report(sweep_row(exhaustive=True)))
    nans = coverage(sweep_report(sweep_row(nan_points=254, nan_wrong=3)))[-1]
    bits = coverage(sweep_report(bit_differences=(BitDifference("one: cpu tail against cpu body", 9, 2, 1.5, 0.25, 0.5),)))[-1]

    assert "logits sampled" in sampled and "complete" not in sampled and "complete" in complete
    assert checked == "7 points were checked against the exact oracle: 2 disagreements."
    assert nans == "All 254 NaN logits were tried as well: 3 gave a number."
    assert bits == "one: cpu tail against cpu body: 2 of 9 logits differ in bits. Most at 1.5 (0x1.8p+0): 0.25 against 0.5."


def test_a_row_is_named_with_what_tells_it_apart():
    """cpu and cuda rows that look the same; a backend said where there is only one."""
    rows = [sweep_row(), sweep_row(device="cuda"), sweep_row(implementation="two", backend="numpy", layout="tail", mode="compile")]

    assert [RowNames(rows)(row) for row in rows] == ["one cpu body", "one cuda body", "two cpu tail compile"]
    assert RowNames(rows[:1])(rows[0]) == "one"
    assert [RowNames([sweep_row(), sweep_row(backend="jax")])(row) for row in rows[:1]] == ["one torch"]


def test_zero_is_marked_above_its_place():
    """A range of one sign that shows it, or a mark off by cells."""
    around = strip_of(sweep_row(low=-20.0, high=20.0, profile=tuple((float(n), 0.1, Outcome.OK) for n in range(-20, 20))))

    assert axis(around, ("-20", "20"), 40) == "-20" + 17 * " " + "0" + 17 * " " + "20"
    assert axis(strip_of(sweep_row()), ("-20", "0"), 10) == "-20      0"


# The formats -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format_name", [name for name in FORMATS if name not in THEIR_FORMATS])
def test_every_format_shows_failures_reasons_and_infinite_errors(format_name):
    """A format that crashes on a missing device, an empty profile or an infinite ulp."""
    broken = sweep_row(implementation="two", max_ulp=math.inf, counts={Outcome.NAN: 480}, worst=(lost_point(Outcome.NAN, math.nan),))
    absent = sweep_row(device="cuda", counts={}, worst=(), regions=(), histogram={}, profile=(), reason="no CUDA device")
    text = render(format_name, sweep_report(sweep_row(), broken, absent), STYLE)

    assert text.endswith("\n") and "lost" in text and "two" in text
    assert "no CUDA device" in text and "inf" in text


def test_the_table_keeps_to_eighty_columns_and_reads_no_markup():
    """A name in brackets eaten as markup; a line that wraps."""
    text = render("table", sweep_report(sweep_row(implementation="[bold]one[/]"), sweep_row(quantity="grad")), STYLE)

    assert "[bold]one[/]" in text and "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 80
    assert "▅" in text and "L" * 10 in text
    assert render("table", sweep_report(), Style(width=80, unicode=False)).isascii()
    assert "No failure was found." in render("table", sweep_report(sweep_row(regions=(), counts={Outcome.OK: 480}), regions=True), STYLE)


class Tags(HTMLParser):
    """Every tag of a page with its attributes."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def test_the_page_needs_no_network():
    """A font, a script or a style fetched from elsewhere."""
    text = render("html", sweep_report(), STYLE)
    tags = Tags()
    tags.feed(text)
    names = [tag for tag, _ in tags.found]

    assert not {"link", "iframe", "img", "object", "base"} & set(names)
    assert all("src" not in attributes for _, attributes in tags.found)
    assert all(value.startswith("#") for _, attributes in tags.found for name, value in attributes.items() if name.endswith("href"))
    assert not re.search(r"@import|url\((?!#)", text)
    assert not re.search(r"https?://", text)
    assert {"svg", "table", "style"} <= set(names) and "script" not in names
    assert not [name for _, attributes in tags.found for name in attributes if name.startswith("on")]


def test_the_page_escapes_what_it_is_given():
    """A name with angle brackets that becomes a tag."""
    evil = "<script>alert(1)</script>"
    made = replace(
        sweep_report(sweep_row(implementation=evil, reason=""), sweep_row(loss=evil, reason=evil, profile=())),
        reproduce=f"losscheck '{evil}'",
    )
    text = render("html", made, STYLE)

    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "losscheck &#x27;" in text


# The picture -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_a_plot_is_a_picture(tmp_path, suffix):
    """An empty file, or a suffix that lies."""
    pytest.importorskip("matplotlib")
    from losscheck.renderers.plot import draw

    path = tmp_path / f"plot{suffix}"
    infinite = sweep_row(low=-math.inf, high=math.inf, target=1.0, max_ulp=math.inf)
    draw(
        sweep_report(
            sweep_row(),
            sweep_row(quantity="grad"),
            infinite,
            replace(infinite, quantity="grad"),
            sweep_row(implementation="gone", reason="no CUDA", profile=()),
        ),
        path,
    )

    assert path.stat().st_size > 5000 and [file.name for file in tmp_path.iterdir()] == [path.name]
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
        draw(sweep_report(), target)
    assert [file.name for file in tmp_path.iterdir()] == ["plot.png"]


def test_without_matplotlib_the_cure_is_named(monkeypatch):
    """A plot that fails after the work is done; the page draws its curves by itself."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    with pytest.raises(UserError, match="matplotlib") as refusal:
        losscheck.sweep("stable", loss="bce", plot="plot.png")
    assert refusal.value.cure == "pip install matplotlib"
    assert "<svg" in render("html", sweep_report(), STYLE)
