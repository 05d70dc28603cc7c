"""The registry: everything is found by scan, nothing is listed twice, a wrong choice is answered with the cure."""

import importlib
import inspect
import pkgutil
import types
from dataclasses import replace
from importlib import metadata

import mpmath
import pytest
from asked import select
from hypothesis import given
from hypothesis import strategies as st
from strategies import losses as any_loss
from strategies import params

import losscheck.implementations
import losscheck.losses
from losscheck.backends import BACKENDS
from losscheck.core import registry
from losscheck.core.dtypes import FLOAT16, FLOAT32, FLOAT64, FORMATS
from losscheck.core.errors import UserError
from losscheck.core.loss import EVERY_LOSS, Implementation, Parameter, logistic_landmarks
from losscheck.core.reductions import REDUCTIONS

LOSSES = tuple(registry.losses().values())
IMPLEMENTATIONS = registry.implementations()
BCE = registry.loss_named("bce")
EACH_LOSS = pytest.mark.parametrize("loss", LOSSES, ids=lambda value: value.name)
EACH_IMPLEMENTATION = pytest.mark.parametrize(
    "one", IMPLEMENTATIONS, ids=lambda implementation: f"{implementation.loss}-{implementation.name}"
)


def module(name, **contents):
    """A module object as a file of one of the two folders would make it."""
    made = types.ModuleType(name)
    vars(made).update(contents)
    return made


def an_implementation(name, of="bce", where="some.module", function=lambda xp, logit, target, **params: logit):
    return Implementation(of, name, function, source="a test", backends=("numpy",), module=where)


@pytest.fixture
def with_modules(monkeypatch):
    """Add modules to what the scan finds, with the caches emptied before and after."""
    found = registry._modules()

    def forget():
        registry.losses.cache_clear()
        registry.implementations.cache_clear()

    def add(*more):
        monkeypatch.setattr(registry, "_modules", lambda: (*found, *more))
        forget()

    yield add
    monkeypatch.undo()
    forget()


# What the scan finds --------------------------------------------------------------------------------------------------


def test_every_file_of_losses_defines_a_loss_that_is_found():
    """A file in losses/ that the scan passes over."""
    files = {info.name for info in pkgutil.iter_modules(losscheck.losses.__path__)}

    # A package beside ours may add losses of its own.
    homes = [loss.formula.__module__.rpartition(".") for loss in LOSSES]
    assert {name for package, _, name in homes if package == losscheck.losses.__name__} == files
    assert all(name == loss.name for name, loss in registry.losses().items())


@pytest.mark.parametrize("package", [losscheck.losses, losscheck.implementations], ids=lambda value: value.__name__)
def test_every_implementation_of_every_file_is_found(package):
    """A file of one of the two folders, or a second implementation in one file, that the scan passes over."""
    found = {(implementation.name, implementation.module) for implementation in IMPLEMENTATIONS}
    for info in pkgutil.iter_modules(package.__path__):
        file = importlib.import_module(f"{package.__name__}.{info.name}")
        defined = [entry for entry in vars(file).values() if isinstance(entry, Implementation)]
        assert defined, file
        assert {(implementation.name, implementation.module) for implementation in defined} <= found


@EACH_LOSS
@pytest.mark.parametrize("name", ["naive", "stable", "mpmath"])
def test_every_loss_has_a_control_a_stable_form_and_the_definition(loss, name):
    """A loss without the implementation that must fail, or without the one that must not."""
    (one,) = select([loss], [name])

    assert one.loss == loss.name


def test_an_implementation_of_every_loss_appears_once_for_each():
    """The mpmath definition missing for a loss, or still carrying the placeholder."""
    of = [implementation.loss for implementation in IMPLEMENTATIONS if implementation.name == "mpmath"]

    assert sorted(of) == sorted(loss.name for loss in LOSSES)
    assert all(implementation.loss != EVERY_LOSS for implementation in IMPLEMENTATIONS)


def test_ours_come_first_and_the_definition_last():
    """A table whose first rows are not the control and the stable form."""
    names = [implementation.name for implementation in select([BCE], [])]

    assert names[:2] == ["naive", "stable"]
    assert names[-1] == "mpmath"


# What every loss and implementation must have -------------------------------------------------------------------------


@EACH_LOSS
def test_targets_lie_in_the_domain(loss):
    """A sweep that starts with an error of its own."""
    assert loss.targets
    for target in loss.targets:
        loss.check_target(target)
    assert {0.0, 1.0} <= set(loss.targets)


@pytest.mark.parametrize("dtype", FORMATS.values(), ids=lambda value: value.name)
def test_the_logistic_landmarks_are_where_their_names_say(dtype):
    """A threshold of another format, or off by a bit of the exponent."""
    least, normal = mpmath.mpf(dtype.smallest_subnormal), mpmath.mpf(dtype.smallest_normal)
    crossed = {
        "1 + exp(-|x|) rounds to 1": (-1, mpmath.mpf(2) ** -dtype.precision),
        "exp overflows": (1, mpmath.mpf(dtype.largest)),
        "exp becomes subnormal": (-1, normal),
        "exp rounds to 0": (-1, least / 2),
        "exp squared becomes subnormal": (-2, normal),
        "exp squared rounds to 0": (-2, least / 2),
    }
    marks = {mark.name: mpmath.mpf(abs(mark.logit)) for mark in logistic_landmarks(dtype)}
    near = 2.0 ** (3 - dtype.precision)
    for name, (power, threshold) in crossed.items():
        if name in marks:
            low, high = sorted(mpmath.exp(power * marks[name] * way) for way in (1 - near, 1 + near))
            assert low < threshold < high, name


@EACH_LOSS
@pytest.mark.parametrize("dtype", FORMATS.values(), ids=lambda value: value.name)
def test_landmarks_are_floats_of_the_dtype_with_a_name(loss, dtype):
    """A landmark that no float of the dtype is, so that nothing is ever evaluated there."""
    marks = loss.landmarks(dtype)

    assert all(dtype.contains(mark.logit) and mark.name for mark in marks)
    assert {0.0, dtype.largest, -dtype.largest, dtype.smallest_subnormal} <= {mark.logit for mark in marks}


@EACH_LOSS
def test_formula_and_gradient_take_exactly_the_parameters(loss):
    """A parameter that a loss declares and its formula does not take, or the reverse."""
    names = {parameter.name for parameter in loss.parameters}
    for function in (loss.formula, loss.gradient):
        keywords = {name for name, parameter in inspect.signature(function).parameters.items() if parameter.kind is parameter.KEYWORD_ONLY}
        assert keywords == names, function


@EACH_LOSS
def test_defaults_are_valid_and_the_reduction_exists(loss):
    """A loss that cannot be asked for without options."""
    assert loss.resolve({}, FLOAT64) == {parameter.name: parameter.default for parameter in loss.parameters}
    assert loss.reduction in REDUCTIONS
    assert loss.source
    assert loss.title
    assert loss.definition


@given(st.data())
def test_resolve_fills_rounds_and_accepts_its_own_answer(data):
    """Parameters that the implementation and the oracle hold as different floats."""
    loss = data.draw(any_loss())
    dtype = data.draw(st.sampled_from(list(FORMATS.values())))
    given_params = data.draw(params(loss, FLOAT64))

    resolved = loss.resolve(given_params, dtype)
    assert resolved == {name: dtype.round(value) for name, value in given_params.items()}
    assert loss.resolve(resolved, dtype) == resolved


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("bce", {"pos_weight": -1.0}, "pos_weight=-1"),
        ("bce", {"pos_weight": float("nan")}, "pos_weight=nan"),
        ("bce", {"pos_weight": float("inf")}, "pos_weight=inf"),
        ("bce", {"pos_weight": 1e6}, "pos_weight=1e\\+06 is not finite in float16"),
        ("weighted-focal", {"alpha": 1.5}, "alpha=1.5"),
        ("weighted-focal", {"gama": 2.0}, "no parameter 'gama'.*gamma"),
        ("centernet-heatmap", {"beta": -0.5}, "beta=-0.5"),
    ],
)
def test_parameters_out_of_range_are_user_errors(name, given, said):
    """A negative weight, NaN, or a misspelt parameter quietly used or ignored."""
    with pytest.raises(UserError, match=said):
        registry.loss_named(name).resolve(given, FLOAT16)


@EACH_IMPLEMENTATION
def test_every_implementation_takes_the_parameters_of_its_loss(one):
    """A TypeError on the first call of some function of an implementation."""
    resolved = registry.loss_named(one.loss).resolve({}, FLOAT32)
    functions = [one.function, one.gradient, one.formula, one.formula_gradient]
    if one.published:
        functions += [one.published.function, one.published.formula]
        if callable(one.published.weights):
            inspect.signature(one.published.weights).bind([1.0], (1,), **resolved)
    for function in functions:
        if function is not None:
            bound = inspect.signature(function).bind("arithmetic or array module", 0.0, 1.0, **resolved)
            assert set(resolved) <= set(bound.arguments) | set(bound.kwargs)


@EACH_IMPLEMENTATION
def test_every_implementation_says_where_it_is_from_and_runs_somewhere(one):
    """An implementation that no backend runs, that ignores what is no parameter, or that hides a deviation."""
    names = {parameter.name for parameter in registry.loss_named(one.loss).parameters}

    assert one.source
    assert one.backends
    assert set(one.backends) <= set(BACKENDS)
    assert set(one.ignores) <= names
    assert inspect.getdoc(one.function)
    assert one.note or one.formula is None
    assert "numpy" not in one.backends or one.gradient is not None
    if one.published and isinstance(one.published.weights, str):
        assert one.published.weights in REDUCTIONS


# No central list ------------------------------------------------------------------------------------------------------


def test_a_new_module_is_enough(with_modules):
    """A new loss or implementation that needs a second edit somewhere."""
    hinge = replace(BCE, name="hinge", parameters=())
    one = an_implementation("hinge-by-hand", of="hinge")
    with_modules(module("plugin", HINGE=hinge, hinge_by_hand=one, fast=an_implementation("fast-bce")))

    assert registry.loss_named("hinge") is hinge
    assert [implementation.name for implementation in select([hinge], [])] == ["hinge-by-hand", "mpmath"]
    assert "fast-bce" in {implementation.name for implementation in select([BCE], [])}


def test_an_object_imported_by_a_second_module_is_no_duplicate(with_modules):
    """`from losscheck.losses.bce import BCE` in a plug-in being an error."""
    stable = select([BCE], ["stable"])[0]
    with_modules(module("plugin", BCE=BCE, stable=stable))

    assert registry.loss_named("bce") is BCE
    assert len(select([BCE], ["stable"])) == 1


def test_two_losses_of_one_name_are_an_error_that_names_both_files(with_modules):
    """One loss silently taking the place of another."""
    with_modules(module("plugin.bce", MINE=replace(BCE, title="another")))

    with pytest.raises(UserError, match="two losses are called 'bce'") as caught:
        registry.losses()
    assert "losscheck.losses.bce" in caught.value.cure
    assert "plugin.bce" in caught.value.cure


def test_two_implementations_of_one_name_are_an_error_that_names_both_files(with_modules):
    """One implementation silently taking the place of another."""
    with_modules(module("plugin.mine", mine=an_implementation("naive", where="plugin.mine")))

    with pytest.raises(UserError, match="two implementations of bce are called 'naive'") as caught:
        registry.implementations()
    assert "losscheck.losses.bce" in caught.value.cure
    assert "plugin.mine" in caught.value.cure


def test_one_name_for_two_losses_is_no_duplicate(with_modules):
    """`naive` being allowed for one loss alone."""
    with_modules(module("plugin", one=an_implementation("mine"), other=an_implementation("mine", of="weighted-focal")))

    assert sorted(implementation.loss for implementation in registry.implementations() if implementation.name == "mine") == [
        "bce",
        "weighted-focal",
    ]


def test_an_implementation_of_no_loss_is_an_error_that_names_its_file(with_modules):
    """An implementation of a misspelt loss disappearing."""
    with_modules(module("plugin.mine", mine=an_implementation("mine", of="bcee", where="plugin.mine")))

    with pytest.raises(UserError, match=r"unknown loss 'bcee'.*did you mean bce") as caught:
        registry.implementations()
    assert "plugin.mine" in caught.value.problem


# Choosing -------------------------------------------------------------------------------------------------------------


def test_select_without_patterns_is_everything_of_the_chosen_losses():
    """An implementation left out, or one of another loss let in."""
    assert select([BCE], []) == [implementation for implementation in IMPLEMENTATIONS if implementation.loss == "bce"]
    assert select(LOSSES, []) == list(IMPLEMENTATIONS)


def test_select_understands_globs_and_keeps_one_of_each():
    """A glob that is taken literally, or an implementation run twice because two patterns match it."""
    names = [implementation.name for implementation in select([BCE], ["torch-*", "stable", "*able"])]

    assert sorted(names) == ["stable", "torch-bce-with-logits", "torch-sigmoid-bceloss"]


@pytest.mark.parametrize(
    ("patterns", "near"), [(["stabel"], "stable"), (["stable", "tensorflow-formular"], "tensorflow-formula"), (["nave*"], "naive")]
)
def test_a_pattern_that_matches_nothing_is_an_error_with_near_names(patterns, near):
    """An empty selection counting as success, also beside a pattern that matches."""
    with pytest.raises(UserError, match=f"matches '{patterns[-1]}'".replace("*", r"\*")) as caught:
        select([BCE], patterns)
    assert near in caught.value.cure


def test_a_name_of_another_loss_matches_nothing():
    """An implementation of a loss that was not asked about."""
    with pytest.raises(UserError, match="no implementation of bce"):
        select([BCE], ["weighted-focal-loss"])


def test_select_by_backend():
    """An implementation chosen that the backend cannot run, or nothing chosen without a word."""
    assert all("numpy" in implementation.backends for implementation in select(LOSSES, [], ["numpy"]))
    assert {implementation.name for implementation in select([BCE], [], ["mpmath"])} == {"mpmath"}
    ours = {implementation.name for implementation in select([BCE], []) if {"numpy", "torch"} & set(implementation.backends)}
    assert {implementation.name for implementation in select([BCE], [], ["numpy", "torch"])} == ours
    assert {"mpmath", "optax-sigmoid-bce"} < {implementation.name for implementation in select([BCE], [])} - ours
    with pytest.raises(UserError, match="torch-bce-with-logits runs on the backend numpy"):
        select([BCE], ["torch-bce-with-logits"], ["numpy"])


def test_an_unknown_loss_names_the_nearest():
    """A spelling mistake answered without the cure."""
    with pytest.raises(UserError, match=r"unknown loss 'weighted-fokal'.*weighted-focal"):
        registry.loss_named("weighted-fokal")


# Entry points ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def entry_points(monkeypatch):
    """Pretend that other packages are installed with these entry points: (group, name, value)."""

    def pretend(*points):
        made = [metadata.EntryPoint(name, value, group) for group, name, value in points]
        monkeypatch.setattr(metadata, "entry_points", lambda *, group: [point for point in made if point.group == group])

    return pretend


@pytest.mark.parametrize("group", ["losscheck.losses", "losscheck.implementations"])
def test_a_module_named_by_an_entry_point_is_scanned(entry_points, group):
    """A plug-in that is installed and not found."""
    entry_points((group, "mine", "losscheck.losses.bce"), ("some.other.group", "theirs", "json"))

    assert [module.__name__ for module in registry._plugins()] == ["losscheck.losses.bce"]


@pytest.mark.parametrize("value", ["no_such_package.at_all", "losscheck.losses.bce:no_such_name"])
def test_a_broken_entry_point_is_a_warning_that_names_it(entry_points, value):
    """Someone else's broken package taking the tool down, or its plug-in missing without a word."""
    entry_points(("losscheck.losses", "theirs", value), ("losscheck.losses", "mine", "losscheck.losses.bce"))

    with pytest.warns(UserWarning, match=f"plug-in theirs = .{value}. cannot be loaded"):
        found = list(registry._plugins())
    assert [module.__name__ for module in found] == ["losscheck.losses.bce"]


def test_an_entry_point_that_is_no_module_is_a_warning(entry_points):
    """A plug-in that names its loss instead of its module missing without a word."""
    entry_points(("losscheck.losses", "theirs", "losscheck.losses.bce:BCE"))

    with pytest.warns(UserWarning, match="theirs .* is not a module"):
        assert list(registry._plugins()) == []


def test_a_range_is_closed_and_says_what_is_valid():
    """The end of a parameter's range being refused, or NaN being inside it."""
    weight = Parameter("w", 0.5, 0.0, 1.0, "a weight")
    weight.check(0.0)
    weight.check(1.0)
    for value in (-1e-300, 1.0000001, float("nan")):
        with pytest.raises(UserError, match=r"must be in \[0, 1\]"):
            weight.check(value)
    assert BCE.parameters[0].valid == "finite and at least 0"
