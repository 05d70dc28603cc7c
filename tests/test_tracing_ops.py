"""Every entry of the exact table against PyTorch in float64, at random points, through the recorder; its slope against autograd."""

import functools

import pytest
import torch

from losscheck.oracle.extended import Extended
from losscheck.oracle.reverse import Reverse, ReverseNode
from losscheck.tracing import ops
from losscheck.tracing.memory import float_format_of
from losscheck.tracing.replay import lifted
from losscheck.tracing.tape import OpKind, Tape

TABLE = ops.table()
# Overloads in the order in which one is taken: the first that exists.
OVERLOADS = (
    "Tensor",
    "default",
    "self",
    "dim_IntList",
    "Tensor_Scalar",
    "Tensor_Tensor",
    "Scalar",
    "ScalarOpt_dim",
    "dim",
    "correction",
    "dims",
)
# Where PyTorch's float64 kernels are themselves no closer than this to the exact value, in ulp.
LIMIT = 4096.0
# PyTorch's trigamma is good to nine digits.
LOOSE = {"polygamma": 2.0**24, "digamma": 2.0**24}
BACKWARD = "backward"


def overloads_of(name):
    packet = getattr(torch.ops.aten, name)
    functions = [getattr(packet, overload) for overload in packet.overloads() if overload in OVERLOADS]
    return [func for func in functions if str(func._schema.returns[0].type) == "Tensor" and _takes_a_tensor(func)]


def _takes_a_tensor(func):
    """The overloads of plain numbers are TorchScript's."""
    return any(str(argument.type) == "Tensor" for argument in func._schema.arguments)


CASES = [(name, func) for name in TABLE for func in overloads_of(name)]


def tensor(generator, domain, shape=(3, 2)):
    """A tensor drawn from a domain by its name, or of a given shape."""
    if isinstance(domain, tuple):
        shape, domain = domain, "real"
    uniform = torch.rand(shape, generator=generator, dtype=torch.float64)
    drawn = {
        "real": lambda: 6 * uniform - 3,
        "positive": lambda: 0.1 + 3 * uniform,
        "unit": lambda: 0.05 + 0.9 * uniform,
        "open": lambda: 1.9 * uniform - 0.95,
        "above one": lambda: 1.1 + uniform,
        "bool": lambda: uniform > 0.5,
        "sign": lambda: torch.where(uniform > 0.5, 1.0, -1.0).double(),
        "logarithm": lambda: torch.log_softmax(uniform, 1),
        "classes": lambda: (2 * uniform[:, 0]).long(),
    }
    return drawn[domain]()


def argument(schema, sample, generator):
    """What an op is called with for one argument of its schema."""
    kind = str(schema.type)
    given = sample.get(schema.name, Ellipsis)
    if isinstance(given, list):
        nested = [torch.tensor(part) for part in given] if "List" in kind and "Tensor" in kind else given
        return torch.tensor(given) if kind == "Tensor" else nested
    if kind in ("Tensor", "Optional[Tensor]"):
        if given is None or (given is Ellipsis and kind != "Tensor"):
            return None
        if isinstance(given, float):
            return torch.tensor(given, dtype=torch.float64)
        return tensor(generator, "real" if given is Ellipsis else given)
    if given == "float64":
        return torch.float64
    if given == "bool":
        return True
    if given is Ellipsis and kind == "List[int]":
        return [1]
    if isinstance(given, str) or given is Ellipsis:
        return schema.default_value if schema.has_default_value() else 0.7 if kind in ("number", "float") else 1
    return given


def recorded(func, sample, seed):
    """One call of an op under the recorder: its tape, its tensors, its result."""
    generator = torch.Generator().manual_seed(seed)
    arguments = {schema.name: argument(schema, sample, generator) for schema in func._schema.arguments if schema.name != "buffer"}
    if sample.get("buffer") == "exp(-|self|)":
        arguments["buffer"] = torch.exp(-arguments["self"].abs())
    keywords = {schema.name for schema in func._schema.arguments if schema.kwarg_only}
    tape = Tape()
    with tape.recording():
        result = func(*(value for name, value in arguments.items() if name not in keywords), **{n: arguments[n] for n in keywords})
    return tape, arguments, result[0] if isinstance(result, tuple | list) else result


def runs(name, func):
    """The call with every reduction the op has, at several points."""
    sample = TABLE[name].sample
    reduces = "reduction" in {schema.name for schema in func._schema.arguments}
    for reduction in (0, 1, 2) if reduces and "reduction" not in sample else (None,):
        more = {} if reduction is None else {"reduction": reduction}
        if reduction and name.endswith(BACKWARD):
            more["grad_output"] = ()
        for seed in range(3):
            yield functools.partial(recorded, func, {**sample, **more}, seed)


@pytest.mark.parametrize(("name", "func"), CASES, ids=[str(func).removeprefix("aten.") for _, func in CASES])
def test_an_exact_definition_is_what_pytorch_computes(name, func):
    """In float64 they agree within rounding, in value and in shape, and PyTorch's value is not what was handed back."""
    limit = LOOSE.get(name, LIMIT)
    for run in runs(name, func):
        tape, _, result = run()
        op = tape.operations[-1]
        assert op.kind == OpKind.EXACT, tape.notes
        m = Extended(200)
        values = [lifted(m, value) for value in tape.elements.computed]
        for element in op.made:
            values[element] = None
        op.plan.evaluate(m, values)

        for element, computed in zip(op.made, result.reshape(-1).tolist(), strict=True):
            if float_format_of(result.dtype) is None:
                assert values[element] == computed
            else:
                assert float(values[element]) == pytest.approx(computed, rel=limit * 2**-53, abs=limit * 2**-56)


FORWARD = [(name, func) for name, func in CASES if BACKWARD not in name]


@pytest.mark.parametrize(("name", "func"), FORWARD, ids=[str(func).removeprefix("aten.") for _, func in FORWARD])
def test_its_slopes_are_those_of_autograd(name, func):
    """Where PyTorch can differentiate the op, one sweep backwards over its definition gives the same slopes."""
    sample = TABLE[name].sample
    for run in runs(name, func):
        tape, arguments, result = run()
        if not result.is_floating_point():
            return
        inputs = {key: value.clone().requires_grad_() for key, value in arguments.items() if _floats(value) and sample.get(key) != "sign"}
        keywords = {schema.name for schema in func._schema.arguments if schema.kwarg_only}
        called = {**arguments, **inputs}
        again = func(*(value for key, value in called.items() if key not in keywords), **{n: called[n] for n in keywords})
        again = again[0] if isinstance(again, tuple | list) else again
        if not again.requires_grad:
            return
        slopes = torch.autograd.grad(again.sum(), list(inputs.values()), allow_unused=True)
        reverse = Reverse(Extended(200))
        values = [lifted(reverse, value) for value in tape.elements.computed]
        for key, value in arguments.items():
            for element in tape.memory.ids(value).reshape(-1).tolist() if key in inputs else ():
                values[element] = reverse.variable(values[element])
        tape.operations[-1].plan.evaluate(reverse, values)
        reverse.sweep([(values[element], reverse.base.number(1)) for element in tape.operations[-1].made])

        for key, slope in zip(inputs, slopes, strict=True):
            nodes = [values[element] for element in tape.memory.ids(arguments[key]).reshape(-1).tolist()]
            found = [0.0 if node.adjoint is None else float(node.adjoint) for node in nodes]
            assert all(isinstance(node, ReverseNode) for node in nodes)
            if slope is not None:
                assert found == pytest.approx(
                    (slope + torch.zeros(slope.shape)).reshape(-1).tolist(), rel=LOOSE.get(name, LIMIT) * 2**-50, abs=1e-12
                ), key


def _floats(value):
    return isinstance(value, torch.Tensor) and value.is_floating_point()


def test_every_entry_has_a_case():
    """No entry escapes by its overloads."""
    assert {name for name, _ in CASES} == set(TABLE)


def test_the_test_would_see_a_wrong_definition(monkeypatch):
    """The control: softplus as the kernel has it above its threshold, not as it is defined."""
    wrong = ops.ExactOp("softplus", ops.Layout.POINTWISE, lambda m, x: x, ("self",))
    monkeypatch.setattr("losscheck.tracing.ops.known", lambda name: wrong)

    with pytest.raises(AssertionError):
        test_an_exact_definition_is_what_pytorch_computes("softplus", torch.ops.aten.softplus.default)
