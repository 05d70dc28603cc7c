"""Any callable as an implementation: found, wired, called, and everything it does wrong told and not crashed by."""

import json
import math
import pickle
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import losscheck
from losscheck.backends import Invocation, backend_named
from losscheck.callables.implementation import own_implementation
from losscheck.callables.loading import load
from losscheck.callables.selection import loss_of
from losscheck.core import registry
from losscheck.core.call_spec import PLAIN_CALL, CallSpec, keywords_of
from losscheck.core.dtypes import FLOAT32
from losscheck.core.errors import UserError
from losscheck.core.literals import as_given, read_value, value_text
from losscheck.core.outcome import Outcome
from losscheck.core.request import listed, swept
from losscheck.measure.checkpoint import State, load_state, save_state
from losscheck.measure.compare import compare
from losscheck.measure.sweep import tasks_of
from losscheck.measure.task import Finding

FILE = str(Path(__file__).with_name("own_losses.py"))
BCE = registry.loss_named("bce")
FOCAL = registry.loss_named("weighted-focal")


def own(name):
    return f"{FILE}:{name}"


def ask(name, logits=(1.5,), targets=(0.0,), loss=BCE, call_spec=PLAIN_CALL, **more):
    """The rows of one callable."""
    question = listed((loss.name,), logits, targets, impl=(own(name),), call_spec=call_spec, **more)
    return compare(question)


def values(rows, quantity="loss"):
    return [row.value for row in rows if row.quantity == quantity]


pytestmark = pytest.mark.usefixtures("plain_surroundings")


def in_words(text):
    return " ".join(text.split())


# Values typed as in YAML -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1), ("-2", -2), ("1.5", 1.5), ("1e-6", 1e-6), (".5", 0.5), ("0x10", 16), ("0o17", 15), ("true", True), ("False", False),
        ("null", None), ("~", None), ("", None), (".inf", math.inf), ("-.inf", -math.inf), ("none", "none"), ("no", "no"), ("mean", "mean"),
        ("1_000", "1_000"), ("'1'", "1"), ('"a, b"', "a, b"), ("[1, 2.5, [a, null]]", (1, 2.5, ("a", None))), ("[]", ()), ("it's", "it's"),
        ("1e400", math.inf), ("['a, b', c]", ("a, b", "c")), ("0b1", "0b1"), ("012", 12), ("nan", "nan"),
    ],
)  # fmt: skip
def test_a_keyword_is_typed_as_yaml_1_2_types_it(text, value):
    """`no` that becomes False, 1e-6 that stays text, reduction=none that becomes None."""
    found = read_value(text)

    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("text", ["[1, 2", "'a", '"\\q"'])
def test_an_unfinished_value_is_refused(text):
    """A bracket or quote that is not closed, an escape that is none."""
    with pytest.raises(UserError):
        read_value(text)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()


@given(st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=6))
def test_a_value_survives_its_text(value):
    """What a state file or a report wrote is read back as the same value, of the same type."""
    again = read_value(value_text(value))

    assert repr(again) == repr(value)


@given(st.text())
def test_any_text_is_read_or_refused(text):
    """Hostile input never raises anything but UserError, and lists are handed over as lists."""
    try:
        value = read_value(text)
    except UserError:
        return
    assert not isinstance(as_given(value), tuple)


@given(st.text(max_size=20))
def test_any_call_is_read_or_refused(text):
    """--call with anything in it."""
    try:
        CallSpec(call=text)
    except UserError:
        return
    assert "{logits}" in text and "{targets}" in text


def test_a_wiring_survives_json_and_pickle():
    """State files and spawned workers, with the values that JSON has no word for."""
    keywords = keywords_of(["a=.nan", "b=-.inf", "c=[1, [x, null]]", "d='1'", "e=true", "f=1"])
    call_spec = CallSpec(keywords, call="{targets}, input={logits}, k=2", input="probabilities", pick="a.0", axes="1,N", formula="f.py:g")
    again = CallSpec.from_json(json.loads(json.dumps(call_spec.to_json(), allow_nan=False)))

    assert again == call_spec and hash(again) == hash(call_spec) and repr(again) == repr(call_spec)
    assert repr(pickle.loads(pickle.dumps(call_spec))) == repr(call_spec)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"input": "logit"}, "did you mean logits"),
        ({"call": "{logits}"}, "does not name {logits} and {targets}"),
        ({"call": "{logits}, {target}"}, "did you mean targets"),
        ({"call": "{logits},, {targets}"}, "empty argument"),
        ({"axes": "1,1"}, "no list of axes"),
        ({"axes": "B,2"}, "no list of axes"),
        ({"axes": "B,0"}, "no list of axes"),
    ],
)
def test_a_wiring_that_cannot_be_is_refused(more, words):
    """Each with the cure, before anything is loaded."""
    with pytest.raises(UserError, match=words):
        CallSpec(**more)


@pytest.mark.parametrize(
    ("axes", "shape"), [("", (5,)), ("N,C", (5, 1)), ("B,C,H,W", (5, 1, 1, 1)), ("1,N", (1, 5)), ("1, C, 1", (1, 5, 1))]
)
def test_points_go_along_the_first_named_axis(axes, shape):
    """The others are 1, so that each point is a sample of its own."""
    assert CallSpec(axes=axes).shape(5) == shape


# Finding it ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (own("god"), "did you mean good"),
        (FILE.replace("own_losses", "own_loses") + ":good", "own_losses.py"),
        ("nowhere/at_all.py:f", "holds no Python files"),
        ("tocrh.nn:f", "did you mean torch"),
        ("torch.nn.functionl:f", "did you mean functional"),
        ("torch.nn.functional:binary_cross_entrop", "binary_cross_entropy"),
        (own("FILE"), "has no 'FILE'"),
        (own("Pair.loss"), "which cannot be called"),
        (":f", "names no callable"),
        ("math.sqrt:f", "is a module and no package"),
    ],
)
def test_what_cannot_be_found_is_told_with_the_nearest_name(spec, words):
    """A typing mistake in each part of a spec."""
    with pytest.raises(UserError) as error:
        load(spec)

    assert words in str(error.value)


def test_the_current_folder_is_importable_and_a_file_runs_once(tmp_path, monkeypatch):
    """As with `python -m`; two names of one file share its module."""
    (tmp_path / "counted.py").write_text(
        "import pathlib\nwith open('runs', 'a') as f: f.write('x')\ndef f(x, z): return x\ndef g(x, z): return z\n"
    )
    (tmp_path / "mine_here.py").write_text("import counted_sibling\ndef f(x, z): return x\n")
    (tmp_path / "counted_sibling.py").write_text("")

    assert load("counted.py:f").target.__globals__ is load(f"{tmp_path}/counted.py:g").target.__globals__
    assert (tmp_path / "runs").read_text() == "x"
    assert load("mine_here:f").name == "f"
    assert load("mine_here:f").place == "mine_here.py:2"


def test_a_file_called_like_a_package_does_not_take_its_place(tmp_path):
    """Someone's rich.py beside their loss, and ours that is imported when the table is drawn."""
    (tmp_path / "rich.py").write_text("raise SystemExit('the wrong rich')\n")
    (tmp_path / "sibling.py").write_text("SCALE = 1\n")
    (tmp_path / "mine.py").write_text("def f(x, z):\n    import sibling\n    return sibling.SCALE * (x - z)\n")
    words = ("compare", "--impl", f"{tmp_path}/mine.py:f", "--loss", "bce", "--logit", "1")
    done = subprocess.run(
        [sys.executable, "-m", "losscheck", *words], capture_output=True, text=True, timeout=120, check=False, cwd=Path(FILE).parent
    )

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import nothing_of_that_name\n", "ModuleNotFoundError: No module named 'nothing_of_that_name' (broken.py:1)"),
        ("x = 1\n\nraise OSError('no disk')\n", "OSError: no disk (broken.py:3)"),
        ("def f(:\n", "SyntaxError: invalid syntax (broken.py:1)"),
        ("import sys\nsys.exit(0)\n", "SystemExit: 0 (broken.py:2)"),
        ("def g():\n    1 / 0\ng()\n", "ZeroDivisionError: division by zero (broken.py:2)"),
    ],
)
@pytest.mark.parametrize("home", ["broken.py", "broken"])
def test_an_error_at_import_is_one_message_with_their_line(call, tmp_path, monkeypatch, home, text, words):
    """Exit code 2, and no traceback of ours."""
    monkeypatch.delitem(sys.modules, "broken", raising=False)
    (tmp_path / "broken.py").write_text(text)
    code, out, err = call("compare", "--impl", f"{home}:f", "--loss", "bce", "--logit", "1")

    assert (code, out) == (2, "")
    assert words in err and "Traceback" not in err and len(err.splitlines()) == 2


def test_a_spec_that_is_no_loss_needs_one(call, tmp_path):
    """Against which truth? The message names --loss and --formula; --loss alone is enough, for several as well."""
    (tmp_path / "odd.py").write_text("import numpy\n\n\ndef odd(x, z):\n    return numpy.cos(x) + z\n", encoding="utf-8")
    code, _, err = call("compare", "--impl", f"{tmp_path}/odd.py:odd", "--logit", "1")

    assert code == 2 and "--loss" in err and "--formula" in err and "no loss that is known" in err
    assert "losscheck trace" not in err  # which is for PyTorch
    assert call("compare", "--impl", own("good"), "--logit", "1", "--loss", "bce", "--loss", "weighted-focal")[0] == 0


def test_a_spec_and_a_glob_stand_side_by_side(call):
    """`--impl file.py:f --impl stable`: own first."""
    _, out, _ = call("compare", "--impl", own("good"), "--impl", "stable", "--loss", "bce", "--logit", "1", "--format", "csv")

    names = [line.split(",")[1] for line in out.splitlines()[1:]]
    assert names == [own("good")] * 2 + ["stable"] * 4


@pytest.mark.parametrize("words", [("--kw", "a=1"), ("--axes", "N,C"), ("--formula", own("exact_eps"))])
def test_wiring_without_a_callable_is_a_mistake(call, words):
    """--kw with registered implementations would be silently without effect."""
    code, _, err = call("compare", "--loss", "bce", "--impl", "stable", "--logit", "1", *words)

    assert code == 2 and "no --impl names one" in err


# Calling it ------------------------------------------------------------------------------------------------------------


EXACT = 1.7014132779827524  # softplus(1.5)


@pytest.mark.parametrize(
    ("name", "call_spec"),
    [
        ("good", PLAIN_CALL),
        ("turned_round", CallSpec(call="{targets}, input={logits}")),
        ("turned_round", CallSpec(call="{targets}, input={logits}, scale=1", keywords=(("sizes", (1, (2, "a"))),))),
        ("as_dict", CallSpec(pick="loss")),
        ("as_tuple", CallSpec(pick="1.loss")),
        ("as_tuple", CallSpec(pick="1.0")),
        ("as_object", CallSpec(pick="all.cls")),
        ("images", CallSpec(axes="B,C,H,W")),
        ("images", PLAIN_CALL),
        ("on_probabilities", CallSpec(input="probabilities")),
        ("mean", PLAIN_CALL),
        ("total", PLAIN_CALL),
        ("averaged", PLAIN_CALL),
        ("Module", PLAIN_CALL),
        ("INSTANCE", PLAIN_CALL),
        ("Plain", CallSpec(keywords=(("scale", 1.0),))),
        ("in_numpy", PLAIN_CALL),
    ],
)
def test_every_way_to_wire_gives_the_same_loss(name, call_spec):
    """One function, dressed in all the ways that people dress it."""
    rows = ask(name, (1.5, -3.0, 0.25), (0.0, 1.0, 1.0), call_spec=call_spec, quantities=("loss",))

    assert [row.outcome for row in rows] == [Outcome.OK] * 3
    assert rows[0].value == pytest.approx(EXACT, rel=1e-6)
    assert rows[0].backend == ("numpy" if name == "in_numpy" else "torch")


def test_each_of_several_may_take_another_input(call):
    """Probabilities for the one that wants them, logits for the other, in one command, and again by what it reproduces."""
    inputs = f"{own('on_probabilities')}=probabilities"
    words = ("--impl", own("on_probabilities"), "--impl", own("good"), "--loss", "bce", "--logit", "1.5", "--format", "json")
    code, out, err = call("compare", *words, "--input", inputs)
    report = json.loads(out)

    assert code == 0, err
    assert {row["outcome"] for row in report["rows"]} == {"ok"}
    again = json.loads(call(*shlex.split(report["reproduce"])[1:], "--format", "json")[1])
    assert again["rows"] == report["rows"]
    assert call("compare", *words, "--input", "no.py:such=probabilities")[0] == 2


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
def test_a_module_follows_the_dtype(dtype):
    """A float32 buffer would promote 16-bit logits, and the row would be refused."""
    (row, _) = ask("Module", dtypes=(dtype,))

    assert row.outcome is Outcome.OK


def test_the_bits_are_those_of_the_callable():
    """No value passes through anything that could change it: losses and gradients to the bit, at any logits."""
    xs = [FLOAT32.round(-20 + 0.37 * n) for n in range(110)]
    rows = ask("good", xs, (0.0,))
    padded = torch.tensor(xs + xs[-1:] * (-len(xs) % 64), requires_grad=True)
    losses = torch.nn.functional.binary_cross_entropy_with_logits(padded, torch.zeros_like(padded), reduction="none")
    (grads,) = torch.autograd.grad(losses.sum(), padded)

    assert values(rows) == losses[: len(xs)].tolist()
    assert values(rows, "grad") == grads[: len(xs)].tolist()


def test_a_reducing_one_is_judged_logit_by_logit():
    """Each value is that of a batch of one, not of the 64 it is padded to."""
    rows = ask("mean", (1.5, -3.0), (0.0, 1.0))
    singles = []
    for x, z in ((1.5, 0.0), (-3.0, 1.0)):
        one = torch.tensor([x], requires_grad=True)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(one, torch.tensor([z]))
        singles.append((loss.item(), torch.autograd.grad(loss, one)[0].item()))

    assert list(zip(values(rows), values(rows, "grad"), strict=True)) == singles


@pytest.mark.parametrize(("name", "reduction"), [("mean", "mean"), ("total", "sum"), ("per_positive", "normalised"), ("branching", "sum")])
def test_its_own_reduction_is_recognised_and_can_be_judged(name, reduction):
    """--reduction published gives it the whole batch at once, against the exact sum with its own weights."""
    one = own_implementation(own(name), BCE, PLAIN_CALL)
    rows = ask(name, (1.5, -3.0, 2.0, 4.0), (0.0, 1.0, 1.0, 0.0), reduction="published", quantities=("loss",))

    assert one.published.weights == reduction
    assert rows[0].outcome is Outcome.OK and rows[0].value > 1


@pytest.mark.parametrize(("name", "batched"), [("squares", True), ("mean", False), ("branching", False)])
def test_vmap_is_used_where_it_gives_the_bits_of_the_loop(name, batched):
    """A sweep of a reducing loss: what vmap does in other bits (its vector code), or cannot do, is looped over."""
    adapted = own_implementation(own(name), BCE, PLAIN_CALL).function
    x = torch.linspace(-30, 30, 300)
    losses = adapted(torch, x, torch.zeros(300))

    assert torch.equal(losses, adapted.looped(torch, x, torch.zeros(300)))
    assert set(adapted.vmap_agreed.values()) == {batched}


@pytest.mark.parametrize(
    ("name", "more", "words"),
    [
        ("good", {"keywords": (("gama", 1),)}, "takes no 'gama'"),
        ("focal", {"keywords": (("gama", 1),)}, "did you mean gamma"),
        ("turned_round", {}, "--call"),
        ("Plain", {}, "missing a required argument: 'scale'"),
        ("Unbuildable", {}, "OSError: no weights here (own_losses.py"),
        ("Uncallable", {}, "cannot be called"),
    ],
)
def test_a_call_that_cannot_be_made_is_refused(monkeypatch, name, more, words):
    """Before anything runs, with what it takes."""
    monkeypatch.chdir(Path(FILE).parent)
    with pytest.raises(UserError) as error:
        ask(name, call_spec=CallSpec(**more))

    assert words in str(error.value)


def test_backend_says_numpy():
    """The user's word decides; mpmath runs no callable."""
    assert own_implementation(own("in_numpy"), BCE, PLAIN_CALL, ("numpy",)).backends == ("numpy",)
    assert own_implementation(own("good"), BCE, PLAIN_CALL, ("numpy",)).backends == ("numpy",)
    with pytest.raises(UserError, match="not on mpmath"):
        own_implementation(own("good"), BCE, PLAIN_CALL, ("mpmath",))


# What goes wrong -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("raises", "Odd: first line (own_losses.py:"),
        ("leaves", "SystemExit: 0 (own_losses.py:"),
        ("speechless", "_Speechless: no message (own_losses.py:"),
        ("recurses", "RecursionError: maximum recursion depth exceeded"),
        ("as_list", "--pick one of 0, 1, 2, 3, 4, 5, ... (own_losses.py:"),
        ("booleans", "it returned bool for float32 logits, and a loss is a float"),
        ("as_dict", "--pick one of loss, aux"),
        ("item", "it returned a float and not a tensor"),
        ("tables", "it returned the shape [64, 64] for logits of the shape [64]"),
    ],
)
def test_what_it_raises_or_returns_is_a_row(monkeypatch, name, reason):
    """Unavailable, with its own message and place; what stands beside it is judged."""
    monkeypatch.chdir(Path(FILE).parent)
    question = listed(("bce",), (1.5,), (0.0,), impl=(own(name), "stable"))
    rows = compare(question)

    assert [row.outcome for row in rows[:2]] == [Outcome.UNAVAILABLE] * 2
    assert all(row.reason.startswith(reason) or reason in row.reason for row in rows[:2]), rows[0].reason
    assert {row.outcome for row in rows[2:]} == {Outcome.OK}


def test_a_logit_that_it_refuses_takes_no_other_along():
    """Only the row of that logit is unavailable."""
    rows = ask("raises_above_ten", (1.5, 20.0), (0.0,))

    assert [row.outcome for row in rows] == [Outcome.OK] * 2 + [Outcome.UNAVAILABLE] * 2
    assert rows[2].reason.startswith("KeyError: 'too large'")


@pytest.mark.parametrize("name", ["detaches", "detaches_but_learns", "raises_backward"])
def test_a_gradient_that_cannot_be_taken_leaves_the_loss(name):
    """The loss is judged, the gradient says why there is none."""
    loss, grad = ask(name)

    assert loss.outcome is Outcome.OK
    assert grad.outcome is Outcome.UNAVAILABLE
    assert ("no way back" if name == "raises_backward" else "no gradient reaches the logits") in grad.reason


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("noisy", "two calls with the same input differ in bits"),
        ("writes_logits", "changes its logits in place"),
        ("writes_targets", "changes its targets in place"),
        ("detaches", "no gradient reaches the logits"),
        ("coupled", "depend on the other logits of the batch"),
        ("averaged", "are divided by the number of logits in the batch"),
        ("total", "one number for a batch, the sum of its elements, where bce takes the mean"),
        ("per_positive", "the sum of its elements over the number of targets equal to 1"),
    ],
)
def test_what_is_odd_is_said(call, name, words):
    """Under the table and in the JSON; nothing of it is said about a plain one."""
    _, out, _ = call("compare", "--impl", own(name), "--loss", "bce", "--logit", "1.5")
    document = json.loads(call("compare", "--impl", own(name), "--loss", "bce", "--logit", "1.5", "--format", "json")[1])

    assert words in in_words(out)
    assert any(words in remark for remark in document["remarks"])
    assert words not in in_words(call("compare", "--impl", own("good"), "--loss", "bce", "--logit", "1.5")[1])


def test_targets_changed_in_place_are_changed_nowhere_else():
    """Blocks of a sweep share their targets, and both calls their logits: the second would see what the first left."""
    for name in ("writes_targets", "writes_logits"):
        one = own_implementation(own(name), BCE, PLAIN_CALL)
        scan = backend_named("torch").prepare(Invocation(BCE, one, {"pos_weight": 1.0}, FLOAT32))
        logits = np.linspace(-5, 5, 64, dtype=np.float32)
        first, second = scan(logits, 1.0), scan(logits, 1.0)

        assert (first[0] == second[0]).all() and (first[1] == second[1]).all()
        assert (logits == np.linspace(-5, 5, 64, dtype=np.float32)).all()


def test_prints_go_to_standard_error(call):
    """Also those of a backward pass: standard output carries data."""
    for name in ("prints", "raises_backward"):
        code, out, err = call("compare", "--impl", own(name), "--loss", "bce", "--logit", "1.5", "--format", "json")
        assert code == 0
        json.loads(out)
        assert ("from the backward pass" if name == "raises_backward" else "a word from the loss") in err


def test_nothing_that_ran_is_exit_code_2_with_the_reason(call):
    """And, where it is known, the cure."""
    code, out, err = call("compare", "--impl", own("on_probabilities"), "--loss", "bce", "--logit", "20")

    assert (code, out) == (2, "")
    assert "all elements of input should be between 0 and 1" in err and "--input probabilities" in err


def test_a_parameter_of_another_value_is_seen(call):
    """--kw against --param, a default against --param, and silence when they agree."""
    words = ("compare", "--impl", own("focal"), "--loss", "weighted-focal", "--logit", "1.5")
    told = in_words(call(*words, "--kw", "alpha=0.5", "--param", "gamma=3")[1])

    assert "called with --kw alpha=0.5, the definition has alpha=0.25" in told
    assert "called with its default gamma=2.0, the definition has gamma=3" in told
    assert "--param gamma=2.0 or --kw gamma=3 makes both agree" in told
    assert "the definition has" not in in_words(call(*words, "--kw", "alpha=0.75", "--param", "alpha=0.75")[1])


# Its own formula -------------------------------------------------------------------------------------------------------


def test_rounding_and_deviation_are_kept_apart_with_a_formula_and_without():
    """naive with eps: within a few ulp of what it computes, far from the definition; its program says what --formula does."""
    rows = (
        ask("eps_in_logs", (10.0,), (0.0,), dtypes=("float64",), call_spec=CallSpec(formula=formula), quantities=("loss",))[0]
        for formula in ("", own("exact_eps"))
    )

    for row in rows:
        assert abs(row.ulp) < 1e5 and row.deviation == pytest.approx(-1e-8 * math.exp(10) / 10, rel=0.01)


def test_a_formula_alone_is_a_loss():
    """Without --loss: its parameters from --kw, its gradient by differentiation, its text before the first number."""
    call_spec = CallSpec(keywords=(("gamma", 1.5),), formula=own("exact_unweighted"))
    loss = loss_of(call_spec.formula, call_spec)
    rows = ask("unweighted", (1.5, 3.0), (0.0,), loss=loss, call_spec=call_spec)
    known = ask(
        "unweighted", (1.5, 3.0), (0.0,), loss=FOCAL, params={"alpha": 0.5, "gamma": 1.5}, call_spec=CallSpec(keywords=(("gamma", 1.5),))
    )

    assert {row.outcome for row in rows} == {Outcome.OK}
    assert [row.exact.rounded for row in rows] == [2 * row.definition.rounded for row in known]
    assert loss.definition == "z=1: s(-x)^g softplus(-x); z=0: s(x)^g softplus(x)"


def test_a_formula_beside_a_loss_takes_what_the_callable_is_called_with():
    """--kw alpha=0.75: the formula has 0.75, the definition --param's 0.25."""
    call_spec = CallSpec(keywords=(("alpha", 0.75),), formula=own("exact_scaled"))
    (row,) = ask("focal", (1.5,), (1.0,), loss=FOCAL, call_spec=call_spec, quantities=("loss",))

    assert row.outcome is Outcome.OK and row.deviation == pytest.approx(2)


@pytest.mark.parametrize(
    ("formula", "words"),
    [
        ("exact_and_broken", "AttributeError: 'FlintArithmetic' object has no attribute 'relu' (own_losses.py:"),
        ("no_formula", "is no formula"),
        ("exact_unweighted", "its parameter gamma has no value"),
    ],
)
def test_a_formula_that_cannot_be_evaluated_is_told(monkeypatch, formula, words):
    """With the line of theirs, or what is missing."""
    monkeypatch.chdir(Path(FILE).parent)
    with pytest.raises(UserError) as error:
        ask("good", call_spec=CallSpec(formula=own(formula)))

    assert words in str(error.value)


@pytest.mark.parametrize("command", [("compare", "--logit", "1"), ("sweep", "--points", "5", "--range", "-2", "2")])
def test_the_definition_is_told_before_the_first_number(call, command):
    """In both commands, for a named loss and for a formula."""
    for words, definition in (
        (("--loss", "bce", "--impl", own("good")), "w z softplus(-x) + (1-z) softplus(x)"),
        (("--formula", own("exact_unweighted"), "--kw", "gamma=2", "--impl", own("unweighted")), "z=1: s(-x)^g softplus(-x); z=0: s(x)^g"),
    ):
        code, out, _ = call(*command, *words)
        assert code == 0
        assert 0 < out.index(definition) < out.index("implementation")


# Sweeps ----------------------------------------------------------------------------------------------------------------


def sweep_question(name, **more):
    return swept(losses=("bce",), low="-2", high="2", impl=(own(name),), targets=("0",), points=20, **more)


def test_a_state_file_carries_the_wiring(tmp_path):
    """A resumed or merged sweep that calls it otherwise would mix two functions."""
    call_spec = CallSpec(keywords=(("scale", 2.0), ("sizes", (1, (2, "a")))), call="{targets}, input={logits}")
    question = sweep_question("turned_round", call_spec=call_spec)
    save_state(State(question, [Finding() for _ in tasks_of(question)]), tmp_path / "state")

    assert load_state(tmp_path / "state").question == question
    assert load_state(tmp_path / "state").question != sweep_question("turned_round", call_spec=CallSpec(call="{targets}, input={logits}"))


def test_a_sweep_in_processes_gives_the_bits_of_one(tmp_path):
    """Spawned workers load the file and the formula anew, and what it prints there stays off standard output."""
    words = [sys.executable, "-m", "losscheck", "sweep", "--impl", own("prints"), "--loss", "bce", "--range", "-3", "3", "--points", "30"]
    found = []
    for jobs in ("1", "2"):
        done = subprocess.run([*words, "--jobs", jobs, "--format", "json"], capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        found.append(json.loads(done.stdout)["rows"])

    assert found[0] == found[1]


@pytest.mark.parametrize(("name", "words"), [("raises", "Odd: first line"), ("booleans", "bool")])
def test_a_sweep_of_what_cannot_run_says_why(call, name, words):
    """Exit code 2 with their message; beside another one, a row."""
    line = ("sweep", "--impl", own(name), "--loss", "bce", "--range", "-2", "2", "--points", "5", "--target", "0")
    code, _, err = call(*line)
    beside, out, _ = call(*line, "--impl", "stable")

    assert code == 2 and words in err
    assert beside == 0 and words in in_words(out)


@pytest.mark.parametrize("name", ["detaches", "raises_backward"])
def test_a_gradient_that_is_missing_takes_no_swept_loss_along(call, name):
    """Detached, or a backward pass that raises: the loss is judged, the gradient says why there is none."""
    line = ("sweep", "--impl", own(name), "--loss", "bce", "--range", "-2", "2", "--points", "5", "--target", "0", "--format", "json")
    loss, grad = json.loads(call(*line)[1])["rows"]

    assert set(loss["counts"]) == {"ok"} and loss["reason"] == ""
    assert not grad["counts"] and ("no way back" if name == "raises_backward" else "no gradient reaches the logits") in grad["reason"]


def test_logits_that_are_refused_are_a_region(call):
    """A check in user code: the floats beyond it are unavailable, from the very first one, and every other one is judged."""
    line = ("sweep", "--impl", own("raises_above_ten"), "--loss", "bce", "--range", "-20", "20", "--target", "1")
    for more in (("--points", "40"), ("--dtype", "bfloat16")):
        code, out, err = call(*line, *more, "--format", "json")
        row, _ = json.loads(out)["rows"]
        (refused,) = [region for region in row["regions"] if region["outcome"] == "unavailable"]
        step = 2**-20 if "--points" in more else 2**-4

        assert code == 0, err
        assert (refused["first"], refused["last"]) == (10 + step, 20)
        assert row["counts"]["unavailable"] > 1 and row["counts"]["ok"] > 20 and "too large" in row["refusal"]
    text = in_words(call(*line, "--points", "40")[1])
    assert "the loss is unavailable from 10.000001 (0x1.400002p+3) to 20" in text and "KeyError: 'too large'" in text


def test_a_refused_region_survives_a_state_file(call, tmp_path):
    """Resumed or merged, the reason is still there."""
    line = ("sweep", "--impl", own("raises_above_ten"), "--loss", "bce", "--range", "-20", "20", "--target", "1", "--points", "40")
    assert call(*line, "--shard", "1/1", "--output", str(tmp_path / "part"))[0] == 0
    merged = json.loads(call("merge", str(tmp_path / "part"), "--format", "json")[1])["rows"]

    assert merged == json.loads(call(*line, "--format", "json")[1])["rows"]


def test_a_reducing_loss_is_swept_like_an_elementwise_one(call):
    """The same regions as the same function without its mean."""
    rows = []
    for name in ("good", "mean"):
        line = (
            "sweep",
            "--impl",
            own(name),
            "--loss",
            "bce",
            "--range",
            "-20",
            "20",
            "--points",
            "40",
            "--target",
            "0",
            "--layout",
            "tail",
        )
        rows.append(json.loads(call(*line, "--quantity", "loss", "--format", "json")[1])["rows"])

    assert rows[0][0]["counts"] == rows[1][0]["counts"] and rows[0][0]["regions"] == rows[1][0]["regions"]


def test_reproduce_says_how_it_was_called(call):
    """The command line of a report asks the same again."""
    words = ("--impl", own("focal"), "--loss", "weighted-focal", "--kw", "gamma=1.5", "--axes", "N,C", "--logit", "1")
    document = json.loads(call("compare", *words, "--format", "json")[1])

    assert all(f" {name} " in document["reproduce"] for name in ("--kw", "--axes", "--impl"))


@pytest.mark.parametrize(
    ("line", "said"),
    [("m.softplus(logit)", "returned None"), ("return math.log1p(math.exp(float(logit)))", "returned the float")],
    ids=["nothing", "math"],
)
def test_a_formula_that_is_not_exact_is_refused(tmp_path, line, said):
    """A truth in float64 would give a lost loss a clean bill."""
    file = tmp_path / "inexact.py"
    file.write_text(f"import math\n\n\ndef exact(m, logit, target):\n    {line}\n")
    with pytest.raises(UserError, match=said):
        losscheck.compare("stable", logit=1, formula=f"{file}:exact")


@pytest.mark.parametrize("name", ["per_image", "hardest"])
def test_a_whole_keeps_the_shape_of_the_batch(tmp_path, name):
    """A loss divided by the first axis, and one that is no sum of its elements: its own number is told, none of ours stands beside it."""
    file = tmp_path / "wholes.py"
    file.write_text(
        "import torch.nn.functional as F\n\n\ndef per_image(x, z):\n"
        "    return F.binary_cross_entropy_with_logits(x, z, reduction='sum') / x.shape[0]\n\n\ndef hardest(x, z):\n"
        "    return F.binary_cross_entropy_with_logits(x, z, reduction='none').flatten().topk(1).values.mean()\n"
    )
    given = {"loss": "bce", "logit": [1, 2, 3, 4], "target": [0, 1, 0, 1], "reduction": "published", "shape": (2, 2), "quantity": "loss"}
    (row,) = losscheck.compare(f"{file}:{name}", **given).rows
    assert row.value is None
    assert {"per_image": "2.25346", "hardest": "3.0485"}[name] in row.reason


def test_an_example_compiles():
    """The redirection of prints is no part of what is compiled."""
    from losscheck.backends.torch_modes import why_not_compiled

    if why_not_compiled("cpu"):
        pytest.skip(why_not_compiled("cpu"))
    example = Path(__file__).parents[1] / "examples" / "good.py"
    (row,) = losscheck.compare(f"{example}:BCE", loss="bce", logit=20, target=0, quantity="loss", mode="compile").rows
    assert (row.value, row.mode) == (20.0, "compile")


def test_a_number_where_a_tensor_is_wanted_is_told_with_the_words_that_do(call):
    """nn.BCEWithLogitsLoss keeps pos_weight as a buffer: the cure has been tried before it is given."""
    words = ("compare", "--impl", "torch.nn:BCEWithLogitsLoss", "--loss", "bce", "--param", "pos_weight=2", "--logit", "1", "--kw")
    code, _, err = call(*words, "pos_weight=2")
    mended, out, _ = call(*words, "pos_weight=tensor:2")

    assert code == 2 and "--kw pos_weight=tensor:2" in err
    assert mended == 0 and "torch.nn:BCEWithLogitsLoss" in out


@pytest.mark.parametrize("text", ["tensor:2", "tensor:[1, 2.5]", "tensor:-1e-3"])
def test_a_tensor_reads_back_as_it_is_written(text):
    """State files and `reproduce` carry it as text."""
    from losscheck.core.literals import read_value, value_text

    assert read_value(value_text(read_value(text))) == read_value(text)
    with pytest.raises(UserError, match="no tensor"):
        read_value("tensor:words")
