"""The Python API, and assert_accurate as people's own test suites use it."""

import importlib
import inspect
import json
import subprocess
import sys

import pytest
import torch

import losscheck
from losscheck.core.errors import UserError
from losscheck.core.outcome import Outcome
from losscheck.testing import assert_accurate


def recommended(logits, targets):
    """What PyTorch recommends: loses confident negatives."""
    return torch.nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")


def sound(logits, targets):
    """One softplus for each class."""
    zero = torch.zeros_like(logits)
    return targets * torch.logaddexp(zero, -logits) + (1 - targets) * torch.logaddexp(zero, logits)


class Weighted(torch.nn.Module):
    """A module with an argument."""

    def __init__(self, scale=1.0):
        super().__init__()
        self.scale = scale

    def forward(self, logits, targets):
        return self.scale * recommended(logits, targets)


def test_importing_loads_nothing():
    """`import losscheck` in someone's library must cost nothing, and the submodules must not hide the functions."""
    code = (
        "import losscheck, sys; print([m for m in ('torch', 'numpy', 'flint', 'mpmath', 'click', 'rich', 'pydantic') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_functions_are_functions_after_everything_was_imported():
    """A submodule of the same name would take the place of a function once it is imported."""
    import pkgutil

    modules = {module.name for module in pkgutil.iter_modules(losscheck.__path__)}
    assert not modules & ({*losscheck.__all__} - {"testing"})
    for name in losscheck.__all__:
        assert getattr(losscheck, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'swep'"):
        losscheck.swep  # noqa: B018


# What is about the screen and the file that is written, and has no meaning in Python.
OF_THE_SCREEN = {"format", "output", "quiet", "no_progress"}
OF_A_CALLABLE = {"keywords", "call", "input", "pick", "axes", "formula"}  # `calling`: see the docstring of losscheck.compare
NAMED_APART = {"param": "params", "kw": "keywords"}  # repeated on the command line, a mapping in Python
OF_PYTHON = {"listener", "executor", "calling"}
OF_THE_RESULT = {"trace": {"all_ops", "fix"}}  # asked of what comes back


@pytest.mark.parametrize("name", ["check", "compare", "sweep", "trace", "gate", "merge", "adapt"])
def test_a_command_and_its_function_take_the_same(name):
    """An option that Python lacks, or an argument that the command line lacks."""
    from losscheck.api.gate import first_case

    takes = set(inspect.signature(getattr(losscheck, name)).parameters)
    takes |= set(inspect.signature(first_case).parameters) - {"spec", "path"} | {"init"} if name == "gate" else set()
    takes |= OF_A_CALLABLE if "calling" in takes else set()
    options = {option.name for option in importlib.import_module(f"losscheck.cli.{name}").COMMAND.params}
    options = {NAMED_APART.get(option, option) for option in options}

    assert options - takes - OF_THE_SCREEN == OF_THE_RESULT.get(name, set())
    assert takes - options == takes & OF_PYTHON


def test_exact_is_the_exact_value():
    """softplus(-15) by an independent route: the series of log1p at 40 digits."""
    from mpmath import mp, workdps

    with workdps(60):
        right = mp.log1p(mp.exp(mp.mpf(-15)))
        found = losscheck.exact("bce", logit=-15, target=0)
        assert abs(mp.mpf(found.decimal()) / right - 1) < mp.mpf(10) ** -33
        # Whoever asks for more gets no digit that is not proved.
        printed = found.decimal(1000)
        digits = len(printed.partition("e")[0].replace(".", ""))
        assert abs(mp.mpf(printed) / right - 1) < 5 * mp.mpf(10) ** -digits
        assert 34 <= digits < 60
    assert losscheck.exact("bce", logit="-0x1.ep+3", target=0, dtype="float32").rounded == 3.059022617435403e-07
    assert losscheck.exact("bce", logit=0, target=1, quantity="grad").rounded == -0.5
    assert losscheck.exact("weighted-focal", logit=0, target=1, params={"gamma": 0, "alpha": 1}).decimal(10) == "0.6931471806"


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: losscheck.exact("bec", logit=1), "unknown loss 'bec'.*did you mean bce"),
        (lambda: losscheck.exact("bce", logit=1, target=2), "outside"),
        (lambda: losscheck.exact("bce", logit=1, dtype="float8"), "unknown dtype"),
        (lambda: losscheck.exact("bce", logit=1, quantity="slope"), "unknown quantity"),
        (lambda: losscheck.compare(recommended, loss="bce", logit=1, keyword={}), "no argument 'keyword'.*keywords"),
        (lambda: losscheck.compare("stabel", loss="bce", logit=1), "did you mean stable"),
        (lambda: losscheck.compare(3, loss="bce", logit=1), "not iterable|cannot be called"),
        (lambda: losscheck.compare([3], loss="bce", logit=1), "cannot be called"),
        (lambda: losscheck.compare("stable", loss="bce", logit=1, max_ulp=float("nan")), "not a limit"),
        (lambda: losscheck.compare("stable", loss="bce", logit=1, reduction="men"), "did you mean mean"),
        (lambda: losscheck.compare("stable", loss="bce", logit=1, quantity="slope"), "unknown quantity"),
        (lambda: losscheck.compare("mine.py", loss="bce", logit=1), "mine.py:FUNCTION"),
        (lambda: losscheck.sweep("stable", loss="bce", range=(1, -1)), "reversed"),
        (lambda: losscheck.render(losscheck.compare("stable", loss="bce", logit=1), "jsn"), "unknown format"),
    ],
)
def test_a_mistake_is_a_user_error_with_the_cure(call, said):
    """A traceback from the depths in someone's notebook."""
    with pytest.raises((UserError, TypeError), match=said):
        call()


def test_compare_judges_a_function_beside_ours():
    """A function handed over as such is judged as its name would be."""
    report = losscheck.compare([recommended, "stable"], loss="bce", logit=[-15, 3], target=0, quantity="loss", backend="torch")
    outcomes = {(row.implementation.rpartition(":")[2], row.logits[0]): row.outcome for row in report.rows}

    assert outcomes == {
        ("recommended", -15.0): Outcome.LOST,
        ("recommended", 3.0): Outcome.OK,
        ("stable", -15.0): Outcome.OK,
        ("stable", 3.0): Outcome.OK,
    }
    assert json.loads(losscheck.render(report, "json"))["rows"][0]["outcome"] == "lost"
    assert "silently lost" in losscheck.render(report)


def test_sweep_finds_the_region_of_a_function():
    """The same ends as those of the implementation that we ship."""
    mine = losscheck.sweep(recommended, loss="bce", target=0, quantity="loss", range=(-20, 0)).sweeps[0]
    ours = losscheck.sweep("torch-bce-with-logits", loss="bce", target=0, quantity="loss", range=(-20, 0)).sweeps[0]

    assert mine.regions == ours.regions
    assert mine.counts == ours.counts
    assert mine.failures > 0


def test_tensors_and_their_dtypes_are_taken():
    """What an ML engineer has at hand."""
    report = losscheck.compare("stable", loss="bce", logit=torch.tensor([1.0, 2.0]), dtype=torch.bfloat16, quantity="loss", backend="torch")
    assert [(row.logits, row.dtype) for row in report.rows] == [((1.0,), "bfloat16"), ((2.0,), "bfloat16")]


def test_two_functions_of_one_name_are_two():
    """In a notebook a function is defined again; the first must not be judged in its place."""

    def make(factor):
        def loss(logits, targets):
            return factor * recommended(logits, targets)

        return loss

    first, second = (losscheck.compare(make(factor), loss="bce", logit=1, quantity="loss").rows[0] for factor in (1.0, 2.0))
    assert second.value == 2 * first.value
    assert first.implementation != second.implementation


def test_a_module_is_built_with_its_keywords():
    """keywords= is --kw."""
    plain = losscheck.compare(Weighted, loss="bce", logit=1, quantity="loss").rows[0]
    scaled = losscheck.compare(Weighted, loss="bce", logit=1, quantity="loss", keywords={"scale": 4.0}).rows[0]
    assert scaled.value == 4 * plain.value


# assert_accurate ------------------------------------------------------------------------------------------------------


def test_a_sound_loss_passes_in_every_dtype_named():
    """The control: a helper that fails everything would be noticed."""
    assert_accurate(
        sound, loss="bce", max_ulp=4, dtypes=["float32", "bfloat16"], targets=[0, 1], range=(-80, 80), points=200, non_negative=True
    )
    assert_accurate("stable", loss="bce", max_ulp={"float32": 3, "float64": 3}, dtypes=["float32", "float64"], targets=[0, 1], points=200)


def test_a_failure_tells_the_worst_point():
    """What, where, by how much, the limit."""
    with pytest.raises(AssertionError) as caught:
        assert_accurate(recommended, loss="bce", max_ulp=4, quantities=["loss"], targets=[0], points=100)
    text = str(caught.value)

    assert "recommended does not compute bce as asked" in text
    assert "lost" in text
    assert "got 0, exact" in text
    assert "limit 4 ulp" in text


@pytest.mark.parametrize(
    ("fn", "more"),
    [
        (lambda x, z: recommended(x, z) * torch.where(x > 99, torch.nan, 1.0), {}),
        (lambda x, z: recommended(x, z) + 1e-4, {}),
        (lambda x, z: recommended(x, z).detach(), {"quantities": ["grad"]}),
        (lambda x, z: 2 * recommended(x, z), {}),
        (lambda x, z: torch.nn.functional.softplus(x) - x * z, {"symmetric": True, "max_ulp": 1e5}),
    ],
    ids=["nan at the end", "shifted", "detached", "doubled", "asymmetric"],
)
def test_what_is_wrong_fails(fn, more):
    """Each fault by itself."""
    given = {"max_ulp": 50, "quantities": ["loss"], "targets": [1], "range": (-8, 100), "points": 50, **more}
    with pytest.raises(AssertionError):
        assert_accurate(fn, loss="bce", **given)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"loss": "bec"}, "unknown loss"),
        ({"loss": "bce", "max_ulp": float("nan")}, "no limit"),
        ({"loss": "bce", "max_ulp": 1e9}, "gates nothing"),
        ({"loss": "bce", "targets": [2]}, "outside"),
        ({"loss": "bce", "dtypes": ["float23"]}, "float23"),
        ({"loss": "bce", "keyword": {}}, "unknown key 'keyword'"),
        ({"loss": "bce", "params": {"gamma": 1}}, "no parameter 'gamma'"),
    ],
)
def test_a_wrong_claim_is_refused(more, said):
    """An assertion that could not fail is refused, not passed."""
    with pytest.raises(UserError, match=said):
        assert_accurate(recommended, **more)


def test_one_name_is_a_list_of_one():
    """A text is not taken apart into letters."""
    assert_accurate(sound, loss="bce", dtypes="float32", quantities="loss", targets=0, range=(-5, 5), points=20)


def test_a_missing_device_does_not_pass():
    """A suite that ran nothing must not be green."""
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(AssertionError, match="CUDA"):
        assert_accurate("stable", loss="bce", device="cuda", points=10)
