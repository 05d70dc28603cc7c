"""Pictures of a sweep and the ranking above them: places, marks, panels, sentences, on hand-made reports."""

import itertools
import math
import re
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reports import sweep_report, sweep_row

from losscheck.core.dtypes import FORMATS
from losscheck.core.effect import Effect, EffectFinding
from losscheck.core.outcome import Outcome
from losscheck.renderers import Style, render
from losscheck.renderers.axes import LogitAxis, ulp_ticks
from losscheck.renderers.curves import Curve, Mark, picture
from losscheck.renderers.marks import curve
from losscheck.renderers.plot import MOST_CURVES, panels
from losscheck.renderers.standings import answer, standings

LOGITS = st.floats(-1e30, 1e30)


def with_effect(name, effect, share=0.1, **changes):
    finding = EffectFinding(effect, quantity="loss", value=0.0, exact=1.0, logit=1.0, target=0.0, loss_error=1.0, share=share)
    return sweep_row(implementation=name, effect=finding, **changes)


# Axes -------------------------------------------------------------------------------------------------------------------


@given(st.tuples(LOGITS, LOGITS, LOGITS, LOGITS).map(sorted))
def test_a_larger_logit_never_stands_left_of_a_smaller_one(logits):
    """On a scale of logits and on one of floats; the ends stand at 0 and 1."""
    low, a, b, high = logits
    for axis in (LogitAxis(low, high, "float32"), LogitAxis(-math.inf, math.inf, "bfloat16")):
        a, b = (FORMATS[axis.dtype].round(logit) for logit in (a, b))
        assert 0 <= axis.share(a) <= axis.share(b) <= 1
    assert LogitAxis(-math.inf, math.inf, "float32").share(0.0) == 0.5


@given(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)).map(sorted))
def test_ticks_are_few_round_and_inside(ends):
    """Numbers a reader knows: never more than nine, in order, between the ends."""
    low, high = ends
    ticks = [logit for logit, _ in LogitAxis(low, high, "float64").ticks()]

    assert len(ticks) <= 9 and ticks == sorted(ticks)
    slack = 1e-6 * (high - low)
    assert all(low - slack <= tick <= high + slack for tick in ticks)


@pytest.mark.parametrize("dtype", FORMATS)
def test_an_error_has_figures_and_words(dtype):
    """From right to all of it, upwards; 2^p ulp are 100 %, a hundredth of that 1 %."""
    ticks = ulp_ticks(FORMATS[dtype].precision, 8.0)
    size = {tick.words: tick.ulp for tick in ticks}

    assert [tick.ulp for tick in ticks] == sorted(size.values())
    assert size["right"] == 0.5 and size["the limit"] == 8.0
    assert size["100 % off"] == 2.0 ** FORMATS[dtype].precision == pytest.approx(100 * size["1 % off"])
    assert all("ulp" in tick.figures for tick in ticks)


# Curves and marks -------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.floats(-100, 100), st.one_of(st.floats(0, 1e30), st.just(-1.0), st.just(math.inf))), max_size=40))
def test_a_picture_is_whole_and_stays_inside(points):
    """Valid XML for any line, with holes and infinities; every mark within the box."""
    line = sorted(points)
    marks = [Mark(logit, ulp, ulp > 8, ('<&">', "two")) for logit, ulp in line if ulp >= 0]
    root = ET.fromstring(picture("a < b", [Curve("t0 c0", line, marks)], LogitAxis(-100, 100, "float32"), 24, 8.0))
    _, _, width, height = map(int, root.get("viewBox").split())
    circles = list(root.iter("circle"))

    assert len(circles) == len(marks)
    assert all(0 <= int(circle.get("cx")) <= width and 0 <= int(circle.get("cy")) <= height for circle in circles)
    assert [title.text for title in root.iter("title")] == ['<&">; two'] * len(marks)


def test_a_corner_left_out_changes_no_line():
    """A path of steps comes by every cell where the error changes, and by both ends."""
    line = [(float(n), (0.5, 0.5, 0.5, 100.0, 100.0, 0.5)[n % 6]) for n in range(60)]
    path = re.search(
        r'<g class="curve t0"><path d="M(\d+) (\d+)l([^"]+)"', picture("p", [Curve("t0", line, [])], LogitAxis(0, 59, "float32"), 24, 8)
    )
    steps = [tuple(map(int, re.fullmatch(r"(\d+)([+-]\d+)", step).groups())) for step in path[3].split()]

    assert sum(down for _, down in steps) == 0
    assert 2 * sum(down != 0 for _, down in steps) <= len(steps) * 2 < 2 * len(line)
    assert sum(right for right, _ in steps) == 800 - 116 - 120


def test_worst_points_and_region_ends_are_marked_with_their_numbers():
    """Got and exact of the worst; the first and the last float of a failing run; ordinary cells with their error."""
    row = with_effect("one", Effect.DEAD)
    marks = curve([row], "t0", 0.5).marks
    told = [" ".join(mark.lines) for mark in marks]

    assert any("got 0, exact 4.76" in text and "lost" in text and "effect of target 0: dead" in text for text in told)
    assert any("the last lost float" in text or "lost up to this end" in text for text in told)
    assert any("near logit" in text and "ok" in text for text in told)
    assert [mark.logit for mark in marks] == sorted(mark.logit for mark in marks)
    assert any(mark.stop for mark in marks) and not all(mark.stop for mark in marks)


def test_backends_that_stand_alike_share_the_larger_error():
    """A curve that hides the worse of two backends."""
    worse = tuple((logit, ulp * 2, outcome) for logit, ulp, outcome in sweep_row().profile)
    line = curve([sweep_row(), sweep_row(backend="numpy", profile=worse)], "t0", 0.5).line

    assert [ulp for _, ulp in line] == [ulp for _, ulp, _ in worse]


# The ranking ------------------------------------------------------------------------------------------------------------


def test_the_worst_effect_comes_first_then_what_covers_more():
    """By effect and then by share, whatever the order of the rows and the number of ulp."""
    rows = [
        with_effect("sound", Effect.SOUND),
        with_effect("some", Effect.DEAD, 0.1),
        with_effect("nan", Effect.POISONS),
        with_effect("more", Effect.DEAD, 0.4),
        sweep_row(implementation="unknown"),
    ]

    assert [standing.name for standing in standings(sweep_report(*rows))] == ["nan", "more", "some", "sound", "unknown"]


def test_backends_are_one_line_where_they_agree():
    """The same effect in the same words is one line, without naming backends; another effect is another line."""
    same = [with_effect("one", Effect.DEAD, backend=backend) for backend in ("numpy", "torch")]
    other = with_effect("one", Effect.TAILS, backend="jax")

    assert [standing.name for standing in standings(sweep_report(*same))] == ["one"]
    assert [standing.name for standing in standings(sweep_report(*same, other))] == ["one (numpy, torch)", "one jax"]


@pytest.mark.parametrize(
    ("effects", "sentence"),
    [
        ([Effect.SOUND], "0 is harmless: sound."),
        ([Effect.DEAD], "0 harms training: dead."),
        ([Effect.DEAD, Effect.MISSTATES], "Both harm training; the mildest: 1 (misstates)."),
        ([Effect.DEAD, Effect.TAILS, Effect.TAILS], "Best here: 1, 2 (tails). 1 of 3 harms training."),
        ([Effect.TAILS, Effect.SOUND], "Best here: 1 (sound). None of 2 harm training."),
        ([None], ""),
    ],
)
def test_the_answer_is_a_sentence(effects, sentence):
    """The best and how many harm; never a recommendation of what harms; nothing where nothing was judged."""
    rows = [sweep_row(implementation=str(n)) if effect is None else with_effect(str(n), effect) for n, effect in enumerate(effects)]

    assert answer(standings(sweep_report(*rows))) == sentence


# --plot -----------------------------------------------------------------------------------------------------------------


def test_a_panel_holds_six_curves_and_none_is_lost():
    """More are split over panels, three targets side by side."""
    rows = [
        with_effect(f"implementation {n}", Effect.DEAD, target=target, quantity=quantity)
        for n, target, quantity in itertools.product(range(8), (0.0, 0.5, 1.0), ("loss", "grad"))
    ]
    drawn = panels(sweep_report(*rows))
    held = [(row.implementation, row.target, row.quantity) for panel in drawn for _, row in panel]

    assert max(map(len, drawn)) == MOST_CURVES
    assert sorted(held) == sorted((row.implementation, row.target, row.quantity) for row in rows)
    assert [panel[0][1].target for panel in drawn[:3]] == [0.0, 0.5, 1.0]
    assert all(len({(row.target, row.quantity) for _, row in panel}) == 1 for panel in drawn)


# Filters ----------------------------------------------------------------------------------------------------------------


def test_every_choice_has_a_rule_and_something_to_hide():
    """A checkbox without effect, or a rule without a checkbox; what is the only choice is none."""
    rows = [with_effect(name, effect, target=target) for name, effect in (("a", Effect.DEAD), ("b", Effect.TAILS)) for target in (0.0, 1.0)]
    text = render("html", sweep_report(*rows), Style())
    boxes = re.findall(r'class="f-([\w-]+)" checked', text)

    assert sorted(boxes) == ["e-dead", "e-tails", "i0", "i1", "t0", "t1"]
    for name in boxes:
        assert f":has(.f-{name}:not(:checked)) .{name} {{ display: none }}" in text
        assert re.search(rf'class="[^"]*\b{name}\b', text.replace(f"f-{name}", ""))
    assert '<input type="checkbox"' not in render("html", sweep_report(replace(rows[0], counts={Outcome.OK: 1})), Style())
