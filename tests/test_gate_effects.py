"""What a case allows its implementations to do to training: ``effects``, judged, told, and refused where it says nothing."""

import json
import math
import shlex
from pathlib import Path

import pytest

from losscheck.core.effect import EFFECTS, Effect
from losscheck.core.errors import UserError
from losscheck.gating.judge import Session, judge_case
from losscheck.gating.load import LoadedCase, case_of
from losscheck.testing import assert_accurate

PLAIN = {"name": "a", "loss": "bce", "implementations": ["torch-bce-with-logits"], "range": {"low": -100, "high": 100, "count": 100}}
NAMED = [effect for effect in EFFECTS if effect is not Effect.POISONS]
# One implementation for each effect, and a range of logits in which it is the worst.
WORST = {
    Effect.POISONS: ("naive", {"low": -100, "high": 100, "targets": [0, 1]}),
    Effect.MISDIRECTS: ("torch-sigmoid-bceloss", {"low": -88.5, "high": -30, "targets": [1]}),
    Effect.DEAD: ("torch-sigmoid-bceloss", {"low": 17, "high": 30, "targets": [0]}),
    Effect.TAILS: ("torch-bce-with-logits", {"low": -100, "high": 100, "targets": [0]}),
    Effect.SOUND: ("stable", {"low": -80, "high": 80, "targets": [0, 1]}),
}


def judged(expect, **more):
    """The rows of one case, over the usual range unless points are given."""
    plain = {key: value for key, value in PLAIN.items() if key != "range" or "points" not in more}
    return judge_case(LoadedCase(case_of({**plain, **more, "expect": expect}), Path("cases.yaml"), 2), Session(Path("nowhere")))


def judge_points(expect, points, implementation="torch-sigmoid-bceloss", **more):
    """The rows of a case at single points."""
    return judged(expect, implementations=[implementation], points=points, **more)


def problems(**more):
    """What is wrong with a case."""
    with pytest.raises(UserError) as caught:
        case_of({**PLAIN, **more})
    return str(caught.value)


@pytest.mark.parametrize("allowed", NAMED, ids=lambda effect: effect.value)
@pytest.mark.parametrize("worst", WORST, ids=lambda effect: effect.value)
def test_an_effect_and_all_that_are_milder_are_allowed(worst, allowed):
    """An order turned round, a row whose effect is that of another, an effect that is not looked at."""
    name, over = WORST[worst]
    rows = judged({"effects": [allowed.value]}, implementations=[name], backends=["torch"], range={**over, "count": 100})

    assert {row.effect.effect for row in rows} == {worst}
    assert {row.verdict.value for row in rows} == {"pass" if EFFECTS.index(worst) >= EFFECTS.index(allowed) else "fail"}


def test_of_several_the_severest_counts():
    """`dead` allows `misstates` and `tails`, whether they are named or not."""
    over = {**WORST[Effect.DEAD][1], "count": 50}
    for effects, verdict in ((["tails", "dead"], "pass"), (["sound", "misstates", "tails"], "fail")):
        rows = judged({"effects": effects}, implementations=["torch-sigmoid-bceloss"], range=over)
        assert {row.verdict.value for row in rows} == {verdict}


def test_effects_alone_ask_nothing_of_single_floats_and_beside_limits_both_judge():
    """A lost loss that harms nobody passes by effect, and breaks a limit that is given as well."""
    assert {row.verdict.value for row in judged({"effects": ["tails"]})} == {"pass"}
    assert {row.limit for row in judged({"effects": ["tails"]})} == {math.inf}
    for limits in ({"max_ulp": 8}, {"outcomes": ["ok"]}):
        assert {row.verdict.value for row in judged({"effects": ["tails"], **limits})} == {"fail"}
    both = judged({"effects": ["tails"], "max_ulp": 8, "outcomes": ["lost"]}, range={"low": 20, "high": 80, "targets": 1, "count": 100})
    assert {row.effect.effect for row in both} == {Effect.TAILS}
    assert {row.verdict.value for row in both} == {"pass"}


def test_sound_means_within_the_usual_limit_also_without_one():
    """Effects alone with no limit at all: everything but NaN, inf and 0 would be sound."""
    over = {"low": -14, "high": -8, "targets": [0], "count": 100}
    (row,) = judged({"effects": ["sound"]}, range=over, quantities=["loss"])

    assert {outcome.value for outcome in row.counts} == {"inaccurate"}
    assert row.effect.effect is Effect.TAILS
    assert row.verdict.value == "fail"


@pytest.mark.parametrize("max_ulp", [{"loss": 1e6, "grad": 1e5}, 1e6], ids=["apart", "together"])
@pytest.mark.parametrize("where", ["range", "points"])
def test_both_rows_have_the_effect_of_loss_and_gradient_together(max_ulp, where):
    """Quantities of different limits are measured apart: a loss that misstates must not hide that its gradient is dead."""
    over = {"logits": [1, 20], "targets": 0} if where == "points" else {"low": 17, "high": 30, "targets": 0, "count": 50}
    expect = {"effects": ["misstates"], "max_ulp": max_ulp, "outcomes": ["lost"]}
    rows = judged(expect, implementations=["torch-sigmoid-bceloss"], **{where: over})

    assert [(row.quantity, row.effect.effect) for row in rows] == [("loss", Effect.DEAD), ("grad", Effect.DEAD)]
    assert all("`dead` at logit" in row.reason for row in rows)


def test_the_message_tells_the_point_the_figures_the_blame_and_the_command(call):
    """Where, what came out, what is right, what it means; and the command shows that effect there."""
    rows = judged({"effects": ["tails"]}, implementations=["torch-sigmoid-bceloss"], range={**WORST[Effect.DEAD][1], "count": 50})
    for row in rows:
        assert row.reason.startswith("`dead` at logit ")
        assert "target 0: gradient 0 where 1 is right, by rounding; " in row.reason
        assert Effect.DEAD.words in row.reason
        assert row.reason.endswith("the case allows no more than `tails`")
        code, out, _ = call(*shlex.split(row.reproduce)[1:], "--format", "json")
        shown = json.loads(out)["rows"]
        assert code == 0
        assert {point["effect"] for point in shown} == {"dead"}
        assert {point["quantity"] for point in shown} == {"loss", "grad"}


def test_listed_points_are_counted():
    """Of points that are listed it is known how many have an effect that is not allowed."""
    rows = judge_points({"effects": ["tails"]}, {"logits": [1, 18, 20, 30], "targets": 0})

    assert {(row.failing, row.points) for row in rows} == {(3, 4)}


def test_a_deviation_is_blamed_as_one():
    """The floor of BCELoss at -100: its gradient is right by its own formula and 0 where 1 is right."""
    rows = judged({"effects": ["tails"]}, implementations=["torch-sigmoid-bceloss"], range={**WORST[Effect.MISDIRECTS][1], "count": 50})

    assert all("`misdirects`" in row.reason and "by what the formula itself is" in row.reason for row in rows)


KNOWN = {"reason": "floored", "link": "https://example.org"}


@pytest.mark.parametrize(
    ("effects", "verdict", "says"),
    [(["dead"], "known-failure", "floored"), (["poisons", "dead"], "known-failure", "floored"), (["misstates"], "fail", "`dead` is new")],
)
def test_a_known_failure_fails_with_its_effects(effects, verdict, says):
    """A failure that becomes another one is noticed."""
    rows = judge_points({"effects": ["tails"]}, {"logits": [20], "targets": 0}, known_failure={**KNOWN, "effects": effects})

    assert {row.verdict.value for row in rows} == {verdict}
    assert all(says in row.reason for row in rows)


def test_a_known_failure_that_holds_fails():
    """The day on which the gradient is no longer dead."""
    rows = judge_points({"effects": ["dead"]}, {"logits": [20], "targets": 0}, known_failure=KNOWN)

    assert {row.verdict.value for row in rows} == {"fail"}
    assert all("a known failure holds now" in row.reason for row in rows)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"expect": {"effects": ["poisons"]}}, "'poisons' is not one of"),
        ({"expect": {"effects": ["tailz"]}}, "did you mean tails?"),
        ({"expect": {"effects": []}}, "effects"),
        ({"expect": {"effects": ["tails"]}, "range": {"low": "-inf", "high": 1}}, "say nothing of infinite and NaN logits"),
        ({"expect": {"effects": ["dead"]}, "known_failure": {**KNOWN, "effects": ["misstates"]}}, "names an effect that `expect` allows"),
        ({"known_failure": {**KNOWN, "effects": ["sound"]}}, "'sound' is not one of"),
    ],
)
def test_effects_that_gate_nothing_are_refused(more, says):
    """A case that nobody can break, and one that nobody can judge."""
    assert says in problems(**more)


def test_a_reduction_has_no_effect():
    """Its gradient is that of a mean, on another scale."""
    plain = {key: value for key, value in PLAIN.items() if key != "range"}
    with pytest.raises(UserError, match="leave the reduction out"):
        case_of({**plain, "points": {"logits": [1, 2], "targets": 0}, "reduction": "mean", "expect": {"effects": ["tails"]}})


def test_infinite_logits_alone_are_not_judged():
    """Where no point has an effect, the case has not been judged: exit 2."""
    rows = judge_points({"effects": ["tails"], "max_ulp": 8}, {"logits": ["inf", "-inf"], "targets": 0}, "stable")

    assert {row.verdict.value for row in rows} == {"undecided"}


@pytest.mark.parametrize("words", [[], ["-v"]])
def test_the_command_tells_the_effect(call, tmp_path, words):
    """In JSON with its truth and its quantity, and beside the figures with -v."""
    (tmp_path / "cases.yaml").write_text(
        "cases:\n  - {name: a, loss: bce, implementations: [torch-sigmoid-bceloss], range: {low: 17, high: 30, targets: 0, count: 50}, "
        "expect: {effects: [tails]}}\n"
    )
    code, out, _ = call("gate", str(tmp_path / "cases.yaml"), "--format", "json", *words)
    rows = json.loads(out)["rows"]
    _, text, _ = call("gate", str(tmp_path / "cases.yaml"), "--format", "markdown", *words)

    assert code == 1
    assert {(row["effect"], row["effect_truth"], row["effect_quantity"], row["limit"]) for row in rows} == {
        ("dead", "rounding", "grad", "inf")
    }
    assert ("| dead | **✗ fail** |" in text) is bool(words)


def test_assert_accurate_takes_effects():
    """From a test suite: the effects alone, or beside a limit."""
    import torch

    published = torch.nn.functional.binary_cross_entropy_with_logits
    own = {"loss": "bce", "keywords": {"reduction": "none"}, "points": 100}
    assert_accurate(published, effects="tails", **own)
    with pytest.raises(AssertionError, match="inaccurate of"):
        assert_accurate(published, effects=["tails"], max_ulp=8, **own)
    with pytest.raises(AssertionError, match="`dead` at logit"):
        assert_accurate(
            lambda x, z: published(x, z, reduction="none").detach() + 0 * x, loss="bce", effects=["tails"], targets=[0], points=50
        )
