"""Where failing begins: what a sample missed is found when it is searched for, and nothing is called proved that was not tried."""

import json
import math
from dataclasses import replace

import pytest

import losscheck
from losscheck.core.dtypes import FLOAT32
from losscheck.core.effect import Onset
from losscheck.core.outcome import Outcome
from losscheck.core.request import Request, swept
from losscheck.core.which_points import Range
from losscheck.measure.summary import Summary
from losscheck.renderers.onsets import begins_text, first_failing_text


def written(tmp_path, returned):
    """A file with bce by numpy, of which nothing is recorded: what it returns instead of its ``loss``, an expression, is its fault."""
    path = tmp_path / "holed.py"
    path.write_text(
        "import numpy as np\n\n\ndef bce(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:\n"
        "    loss = np.logaddexp(0, -logits) * targets + (1 - targets) * np.logaddexp(0, logits)\n"
        f"    return {returned}\n"
    )
    return f"{path}:bce"


def holed(tmp_path, *holes, above=17.0):
    """One that gives NaN at some single floats and from a logit on."""
    return written(tmp_path, f"np.where((logits >= {above!r}) | np.isin(logits, {list(holes)!r}), np.float32(np.nan), loss)")


def beside(logit, floats):
    return FLOAT32.from_ordinal(FLOAT32.ordinal(logit) + floats)


def onsets(spec, ends, **asked):
    (row,) = losscheck.sweep(spec, loss="bce", target=0, quantity="loss", ends=ends, points=40, **{"range": (12, 20), **asked}).sweeps
    return row


@pytest.mark.parametrize("floats", [1, 777_777])
def test_a_float_that_fails_alone_before_a_region_is_found(tmp_path, floats):
    """A search that stops at the region which the sample met, or that loses what it found."""
    hole = beside(17.0, -floats)
    row = onsets(holed(tmp_path, hole), "searched")

    assert [onset.logit for onset in row.onsets] == [hole]
    assert FLOAT32.ordinal(hole) - FLOAT32.ordinal(row.onsets[0].held_from) == 2**20 and not row.onsets[0].proved
    assert row.regions[0].outcome is Outcome.NAN and row.regions[0].first == hole


def test_one_search_leads_to_the_next_and_all_is_tried_when_it_is_to_be_proved(tmp_path):
    """A chain of lone floats, and one out of reach: only where every float is judged is it found, and anything called proved."""
    chain = [beside(17.0, -(2**19)), beside(17.0, -(2**20))]
    spec = holed(tmp_path, *chain, 12.5)
    searched, proved, bisected = (onsets(spec, ends).onsets for ends in ("searched", "proved", "bisected"))

    assert [onset.logit for onset in bisected] == [17.0] and bisected[0].held_from is None and not bisected[0].proved
    assert [onset.logit for onset in searched] == [chain[-1]] and not searched[0].proved
    assert proved == (Onset(12.5, 12.0, proved=True),)


def test_a_worse_float_on_the_way_is_told(tmp_path):
    """A NaN met before where values are only inaccurate, left out of the outcomes, the worst cases or the largest error."""
    hole = beside(17.0, -1000)
    off = f"np.where(logits == {hole!r}, np.float32(np.nan), np.where(logits >= 17, loss * np.float32(1.00001), loss))"
    before, after = (onsets(written(tmp_path, off), ends) for ends in ("bisected", "searched"))

    assert before.outcome is Outcome.INACCURATE and after.outcome is Outcome.NAN
    assert after.worst[0].logits == (hole,) and math.isinf(after.max_ulp)
    assert after.points == sum(after.counts.values())


@pytest.mark.parametrize("implementation", ["naive", "expanded", "shifted"])
def test_proved_is_what_an_exhaustive_sweep_says(implementation):
    """The first failing floats of published formulas, where rounding noise decides: a sample sees none of them."""
    asked = {"impl": implementation, "loss": "bce", "backend": "numpy", "target": (0, 1), "range": (-6, -2)}
    proved, exhaustive = losscheck.sweep(ends="proved", points=100, **asked), losscheck.sweep(exhaustive=True, **asked)

    for row, whole in zip(proved.sweeps, exhaustive.sweeps, strict=True):
        assert row.onsets == whole.onsets and all(onset.proved for onset in whole.onsets)
    assert any(row.onsets for row in exhaustive.sweeps)


def test_an_outcome_that_hides_between_two_others_is_met(tmp_path):
    """Bisection from both sides stops at either end of what lies between two floats of the sample: that fails as well, and first."""
    off = "np.where(logits >= 17.01, np.float32(np.nan), np.where(logits >= 17, loss * np.float32(1.01), loss))"
    row = onsets(written(tmp_path, off), "bisected")
    regions = {region.outcome: (region.first, region.last) for region in row.regions}

    assert [onset.logit for onset in row.onsets] == [17.0]
    assert regions[Outcome.INACCURATE] == (17.0, beside(regions[Outcome.NAN][0], -1))


def test_what_begins_at_zero_or_at_the_end_of_the_range_is_proved(tmp_path):
    """Nothing lies before it."""
    (row,) = losscheck.sweep(holed(tmp_path, above=-1.0), loss="bce", target=0, quantity="loss", range=(-5, 5), points=40).sweeps

    assert [onset.logit for onset in row.onsets] == [-0.0, 0.0] and all(onset.proved for onset in row.onsets)


def test_of_a_16_bit_dtype_every_end_is_proved(tmp_path):
    """They are swept whole; nobody has to ask."""
    row = onsets(holed(tmp_path, 15.5), "bisected", dtype="bfloat16")

    assert row.onsets == (Onset(15.5, 12.0, proved=True),)


def test_check_searches_before_harm(tmp_path):
    """The float where harm begins, on either side, in the data and in words."""
    hole = beside(17.0, -70000)
    report = losscheck.check(holed(tmp_path, hole), dtype="float32")
    (finding,) = [finding for finding in report.ranking[0].findings if finding.target == 0]
    data = json.loads(losscheck.render(report, "json"))["rows"][0]["findings"]

    assert [onset.logit for onset in finding.onsets] == [hole]
    assert FLOAT32.ordinal(hole) - FLOAT32.ordinal(finding.onsets[0].held_from) == 2**17
    assert {"logit": hole, "logit_hex": hole.hex()}.items() <= data[0]["onsets"][0].items()
    assert "begins at" in losscheck.render(replace(report, verbose=True))


def test_words_say_what_is_proved(tmp_path):
    """Each kind, alone and together; nothing more where all is bisected, which the line about the sample says."""
    few = Onset(1.0), Onset(2.0, 1.5), Onset(3.0, 0.0, proved=True)

    assert begins_text(few, "float32").count("(") >= 3 and begins_text((), "float32") == ""
    assert first_failing_text(few[:1]) == "" and "1 is proved" in first_failing_text(few)
    report = losscheck.sweep(holed(tmp_path), loss="bce", target=0, quantity="loss", range=(12, 20), points=40, ends="proved")
    assert all("1 is proved" in losscheck.render(report, format_name) for format_name in ("table", "markdown", "html"))
    bisected = losscheck.sweep(holed(tmp_path), loss="bce", target=0, quantity="loss", range=(12, 20), points=40)
    assert "ends bisected" in losscheck.render(bisected)


def test_a_state_file_keeps_what_was_searched():
    """And one that was written before there was a choice is still read."""
    request = swept(["bce"], "1", "2")
    data = request.to_json()
    del data["points"]["ends"]

    assert Summary.from_json(Summary(held={1: 5, -1: 7}).to_json()).held == {1: 5, -1: 7}
    assert Request.from_json(data) == request and isinstance(request.points, Range)
    assert "--ends proved" in replace(request, points=replace(request.points, ends="proved")).command_line()
