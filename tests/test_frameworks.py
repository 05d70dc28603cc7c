"""TensorFlow, JAX and Optax themselves: to the bit against direct calls, with the failures that were measured on them.

Without them these tests are skipped, unless LOSSCHECK_REQUIRE_FRAMEWORKS=1 says that they must run, as CI does.
"""

import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest

from losscheck.backends import LANES, Invocation, backend_named, extras
from losscheck.backends.numpy import array_dtype
from losscheck.core import registry
from losscheck.core.dtypes import BFLOAT16, FLOAT32, FLOAT64, FORMATS
from losscheck.core.loss import Implementation
from losscheck.core.outcome import Outcome
from losscheck.core.request import Subject, listed
from losscheck.inventory.subnormals import KINDS, flushed_in
from losscheck.measure.call import Caller
from losscheck.measure.compare import compare
from losscheck.oracle.refine import Term, exact_value

REQUIRED = os.environ.get("LOSSCHECK_REQUIRE_FRAMEWORKS") == "1"
ABSENT = [name for name in ("tensorflow", "jax", "optax") if not extras.installed(name)]
here = pytest.mark.skipif(bool(ABSENT) and not REQUIRED, reason=f"not installed: {', '.join(ABSENT)}")

DTYPES = pytest.mark.parametrize("dtype", list(FORMATS))
# Both sides of everything: 64 lanes from -12 to 12, and beyond where exponentials saturate.
LOGITS = [n / 4 - 8 for n in range(LANES - 12)] + [-100.0, -90.0, -60.0, -33.0, -20.0, -15.0, 15.0, 20.0, 33.0, 60.0, 90.0, 100.0]
REWRITE, WEIGHTED = "centernet-tf-logits", "tensorflow-weighted-ce"


def implementation_named(name, backend=None):
    named = [implementation for implementation in registry.implementations() if implementation.name == name]
    return next(implementation for implementation in named if backend is None or backend in implementation.backends)


def params_of(one, dtype, **given):
    return registry.loss_named(one.loss).resolve(given, dtype)


def run(name, logits, target, dtype, backend, *, mode="eager", reduction="none", shape=(), **more):
    """What one implementation returns through its backend."""
    one, kind = implementation_named(name) if isinstance(name, str) else name, FORMATS[dtype]
    logits, targets = [kind.round(x) for x in logits], [kind.round(target)] * len(logits)
    invocation = Invocation(registry.loss_named(one.loss), one, params_of(one, kind), kind, mode=mode, **more)
    if reduction == "none":
        return backend_named(backend).prepare(invocation)(logits, targets)
    return backend_named(backend).prepare_whole(invocation, reduction, shape)(logits, targets)


def ask(name, logits, target, *, quantity="loss", **more):
    """Rows of one implementation, of its only backend unless told otherwise."""
    one = implementation_named(name)
    more = {"backends": [b for b in one.backends if b in ("tensorflow", "jax")][-1:], "quantities": (quantity,), **more}
    return compare(listed((one.loss,), logits, (target,), impl=(name,), **more))


def bits(values):
    return [float(value).hex() for value in values]


# That they are here -----------------------------------------------------------------------------------------------


@pytest.mark.skipif(not REQUIRED, reason="LOSSCHECK_REQUIRE_FRAMEWORKS is not 1")
def test_the_frameworks_are_here_where_they_must_be():
    """CI that silently skipped all of this file would prove nothing."""
    assert ABSENT == []
    assert [backend_named(name).why_unavailable("cpu") for name in ("tensorflow", "jax")] == ["", ""]


@here
def test_all_four_frameworks_are_side_by_side():
    """The command of the README in a real process: rows of each, and not a word of TensorFlow's on standard error."""
    words = [sys.executable, "-m", "losscheck", "compare", "--logit", "-15", "--target", "0", "--dtype", "float32", "--dtype", "float16"]
    done = subprocess.run([*words, "--format", "json"], capture_output=True, text=True, timeout=300, check=False)
    report = json.loads(done.stdout)
    outcome = {
        (r["implementation"], r["backend"]): r["outcome"] for r in report["rows"] if (r["dtype"], r["quantity"]) == ("float32", "loss")
    }

    assert (done.returncode, done.stderr) == (0, "")
    assert {backend for _, backend in outcome} == {"numpy", "torch", "tensorflow", "jax", "mpmath"}
    assert {"tensorflow", "jax", "jaxlib", "optax"} <= set(report["environment"]["frameworks"])
    assert outcome["tensorflow-weighted-ce", "tensorflow"] == outcome["torch-bce-with-logits", "torch"] == "lost"
    assert outcome["tensorflow-sigmoid-ce", "tensorflow"] == outcome["optax-sigmoid-bce", "jax"] == "ok"
    assert outcome[REWRITE, "tensorflow"] == "lost"


@here
def test_what_tensorflow_logs_as_an_error_is_not_swallowed(capfd):
    """Greetings are dropped, everything else passes, whatever the import did."""
    from losscheck.backends.tensorflow import _without_greetings

    with pytest.raises(ImportError), _without_greetings():
        os.write(2, b"I0000 00:00 port.cc] oneDNN custom operations are on\nE0000 00:00 real.cc] a real error\nTraceback\n")
        raise ImportError

    assert capfd.readouterr().err == "E0000 00:00 real.cc] a real error\nTraceback\n"


# The bits of a direct call ----------------------------------------------------------------------------------------


def tensorflow_calls():
    import tensorflow as tf

    def rewrite(x, z):
        s = tf.sigmoid(x)
        positive = tf.nn.softplus(-x) * (1 - s) ** 2
        negative = (x + tf.nn.softplus(-x)) * s**2 * (1 - z) ** 4
        return tf.where(z == 1, positive, negative)

    return {
        "tensorflow-sigmoid-ce": lambda x, z: tf.nn.sigmoid_cross_entropy_with_logits(labels=z, logits=x),
        WEIGHTED: lambda x, z: tf.nn.weighted_cross_entropy_with_logits(labels=z, logits=x, pos_weight=1.0),
        "tensorflow-softplus": lambda x, z: z * tf.nn.softplus(-x) + (1 - z) * tf.nn.softplus(x),
        REWRITE: rewrite,
    }


@here
@DTYPES
@pytest.mark.parametrize("name", ["tensorflow-sigmoid-ce", WEIGHTED, "tensorflow-softplus", REWRITE])
@pytest.mark.parametrize("target", [0.0, 0.5, 1.0])
def test_tensorflow_is_run_as_it_is(name, target, dtype):
    """Loss and gradient have the bits of the framework's own call under a GradientTape."""
    import tensorflow as tf

    kind = array_dtype(FORMATS[dtype])
    x = tf.constant(np.array(LOGITS).astype(kind))
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tensorflow_calls()[name](x, tf.constant(np.full(len(LOGITS), target).astype(kind)))
    grad = tape.gradient(loss, x)
    found = run(name, LOGITS, target, dtype, "tensorflow")

    assert bits(found.loss) == bits(loss.numpy())
    assert bits(found.grad) == bits(grad.numpy())


@here
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("name", ["optax-sigmoid-bce", "optax-sigmoid-focal", "optax-sigmoid-focal-default"])
@pytest.mark.parametrize("target", [0.0, 1.0])
def test_optax_is_run_as_it_is(name, target, dtype):
    """Loss and gradient have the bits of Optax's own call under jax.vjp, as in a process that sets nothing."""
    import jax
    import jax.numpy as jnp
    import optax

    calls = {
        "optax-sigmoid-bce": lambda x: optax.sigmoid_binary_cross_entropy(x, z),
        "optax-sigmoid-focal": lambda x: optax.sigmoid_focal_loss(x, z, alpha=0.25, gamma=2.0),
        "optax-sigmoid-focal-default": lambda x: optax.sigmoid_focal_loss(x, z),
    }
    kind = array_dtype(FORMATS[dtype])
    x, z = (jnp.asarray(np.array(values).astype(kind)) for values in (LOGITS, [target] * len(LOGITS)))
    loss, pull = jax.vjp(calls[name], x)
    found = run(name, LOGITS, target, dtype, "jax")

    assert bits(found.loss) == bits(np.asarray(loss))
    assert bits(found.grad) == bits(np.asarray(pull(jnp.ones_like(loss))[0]))


@here
@pytest.mark.parametrize(
    ("name", "backend"),
    [
        (implementation.name, backend)
        for implementation in registry.implementations()
        for backend in implementation.backends
        if backend in extras.EXTRAS and implementation.name != "stable"
    ],
)
def test_an_own_formula_is_what_the_function_computes(name, backend):
    """In float64 at moderate logits a function returns its own exact formula, and the formula's exact gradient."""
    one = implementation_named(name, backend)
    loss, logits = registry.loss_named(one.loss), [n / 8 - 3.9 for n in range(LANES)]
    for target in (0.0, 1.0) if loss.hard_targets else (0.0, 0.3, 1.0):
        found = run(one, logits, target, "float64", backend)
        for index in range(0, LANES, 7):
            term, params = [Term(logits[index], target)], params_of(one, FLOAT64)
            exact = exact_value(one.formula or loss.formula, term, params, FLOAT64)
            slope = exact_value(one.formula or loss.formula, term, params, FLOAT64, differentiate=True)

            assert found.loss[index] == pytest.approx(exact.rounded, rel=1e-9)
            assert found.grad[index] == pytest.approx(slope.rounded, rel=1e-9, abs=1e-14)


@here
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_weights_and_reductions_are_those_asked_for(backend):
    """pos_weight reaches the function; mean, sum and the published whole are the exact ones to a relative 1e-12."""
    name = "tensorflow-weighted-ce" if backend == "tensorflow" else "stable"
    for reduction in ("mean", "sum", "normalised"):
        question = listed(("bce",), (-1.5, 0.5, 2.0), (1.0, 0.0, 1.0), impl=(name,), backends=(backend,), dtypes=("float64",),
                            params={"pos_weight": 2.5}, reduction=reduction)  # fmt: skip
        assert all(abs(row.relative_error) < 1e-12 for row in compare(question)), reduction
    heatmap = listed(("centernet-heatmap",), (-1.5, 0.5, 2.0, -0.5), (1.0, 0.5, 1.0, 0.25), impl=(REWRITE,),
                       backends=(backend,), dtypes=("float64",), reduction="published", shape=(2, 2))  # fmt: skip
    rows = compare(heatmap)

    assert len(rows) == 5
    assert all(abs(row.relative_error) < 1e-12 for row in rows), rows


# One point, many points, sweeps and modes -------------------------------------------------------------------------


@here
@pytest.mark.parametrize(
    ("name", "backend"), [(WEIGHTED, "tensorflow"), (REWRITE, "tensorflow"), ("optax-sigmoid-focal", "jax"), ("naive", "jax")]
)
@DTYPES
def test_a_point_alone_has_the_bits_it_has_among_many(name, backend, dtype):
    """And those that a sweep gets, whose blocks are longer."""
    one, kind = implementation_named(name, backend), FORMATS[dtype]
    loss = registry.loss_named(one.loss)
    together = compare(listed((loss.name,), LOGITS, (0.0,), impl=(name,), backends=(backend,), dtypes=(dtype,)))
    alone = [
        row for x in LOGITS[::9] for row in compare(listed((loss.name,), [x], (0.0,), impl=(name,), backends=(backend,), dtypes=(dtype,)))
    ]
    wide = np.array([kind.round(x) for x in LOGITS], np.float64 if kind.bits == 64 else np.float32)
    swept = Caller(loss, Subject(one, backend, "cpu"), params_of(one, kind), kind)(wide, 0.0)

    assert bits(row.value for row in alone) == bits(row.value for n in range(0, len(LOGITS), 9) for row in together[2 * n : 2 * n + 2])
    assert bits(swept[0]) == bits(row.value for row in together if row.quantity == "loss")
    assert bits(swept[1]) == bits(row.value for row in together if row.quantity == "grad")


@here
@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("tensorflow-softplus", "compile"),
        ("tensorflow-softplus", "compile:xla"),
        ("optax-sigmoid-bce", "compile"),
        ("optax-sigmoid-bce", "vmap"),
    ],
)
def test_other_modes_are_run_and_sound_at_moderate_logits(name, mode):
    """A graph, XLA's code and a mapped function: within the limit of 8 ulp; a sweep's call has the bits of compare's."""
    one = implementation_named(name)
    rows = [row for q in ("loss", "grad") for row in ask(name, LOGITS[:52], 0.0, quantity=q, modes=(mode,))]
    subject = Subject(one, one.backends[0], "cpu", mode)
    loss, grad, *_ = Caller(registry.loss_named("bce"), subject, {"pos_weight": 1.0}, FLOAT32)(np.array(LOGITS, np.float32), 0.0)

    assert {row.mode for row in rows} == {mode}
    assert {row.outcome for row in rows} == {Outcome.OK}
    assert bits(row.value for row in rows) == bits([*loss[:52], *grad[:52]])


@here
def test_a_compiled_function_is_compiled(monkeypatch):
    """JAX traces it once for each of two lengths, however many calls a bisection makes."""
    traced = []

    def traced_bce(xp, x, z, **params):
        traced.append(x.shape)
        return xp.logaddexp(x, 0) - x * z

    one = Implementation("bce", "traced", traced_bce, "a test", ("jax",))
    call = Caller(registry.loss_named("bce"), Subject(one, "jax", "cpu", "compile"), {"pos_weight": 1.0}, FLOAT32)
    for count in (64, 128, 1000, 1100, 2**16, 2**17, 70):
        assert len(call(np.ones(count, np.float32), 0.0).grad) == count

    assert traced == [(2**10,), (2**16,)]


@here
@pytest.mark.parametrize(("backend", "impl"), [("tensorflow", "tensorflow-softplus"), ("jax", "optax-sigmoid-bce")])
def test_a_sweep_runs_on_them(backend, impl):
    """Every bfloat16, sampled float64 with its bisected edges: no disagreement with the oracle, no NaN made a number."""
    words = [sys.executable, "-m", "losscheck", "sweep", "--impl", impl, "--target", "0", "--dtype", "bfloat16", "--dtype", "float64"]
    done = subprocess.run([*words, "--range", "-inf", "inf", "--format", "json"], capture_output=True, text=True, timeout=300, check=False)
    rows = json.loads(done.stdout)["rows"]

    assert (done.returncode, done.stderr) == (0, "")
    assert [(row["backend"], row["dtype"], row["reason"]) for row in rows] == [
        (backend, d, "") for d in ("bfloat16", "bfloat16", "float64", "float64")
    ]
    assert all(row["checked_sample"]["disagreements"] == 0 for row in rows)
    assert all(row["nan"] == {"points": 254, "numbers": 0} for row in rows[:2])


# What was measured ------------------------------------------------------------------------------------------------

# tf.nn.weighted_cross_entropy_with_logits forms (1 - z) x + log1p(e^-|x|) + max(-x, 0): like PyTorch's, and lost where that is.
CANCELS = {"float32": "-0x1.d1cb8p+3", "float64": "-0x1.0a2b23f3bab74p+5", "float16": "-0x1.8f4p+2", "bfloat16": "-0x1.0ap+2"}


@here
@DTYPES
def test_weighted_cross_entropy_is_lost_where_pytorchs_is(dtype):
    """The loss of a negative is exactly 0 from one float on; its neighbour nearer to 0 is not lost."""
    kind, edge = FORMATS[dtype], float.fromhex(CANCELS[dtype])
    sound = kind.neighbour(edge, 1)
    rows = ask(WEIGHTED, [edge, kind.round(edge * 1.1), sound, kind.round(edge / 1.1)], 0.0, dtypes=(dtype,))

    assert abs(sound) < abs(edge)
    assert [row.outcome is Outcome.LOST for row in rows] == [True, True, False, False]
    assert [row.value for row in rows[:2]] == [0.0, 0.0]


@here
@DTYPES
@pytest.mark.parametrize("mode", ["eager", "compile", "compile:xla"])
def test_weighted_cross_entropy_has_no_gradient_at_zero(dtype, mode):
    """A zero-initialised head: its gradient for a positive is exactly 0 where -1/2 is right, for a negative 1 where 1/2 is."""
    (positive,), (negative,) = (ask(WEIGHTED, [0.0], z, quantity="grad", dtypes=(dtype,), modes=(mode,)) for z in (1.0, 0.0))
    others = [
        ask(name, [0.0], 1.0, quantity="grad", dtypes=(dtype,), modes=(mode,))[0].outcome
        for name in ("tensorflow-sigmoid-ce", "tensorflow-softplus")
    ]

    assert (positive.value, positive.outcome) == (0.0, Outcome.LOST)
    assert (negative.value, negative.outcome) == (1.0, Outcome.INACCURATE)
    assert others == [Outcome.OK] * 2


# The published rewrite on TensorFlow itself: none lost up to the first logit, all lost from the second on. Between them it is
# lost or not as its operations happen to round. 23 ln 2 - 2 and 52 ln 2 - 2 are where softplus becomes the identity; the sigmoid
# is 1 from 24 ln 2 on in float32, and in float64 for some logits from 53 ln 2 on and for all from 54 ln 2.
BRACKETS = [
    ("float32", 0.0, -13.1, float.fromhex("-0x1.be2806p+3")),
    ("float64", 0.0, -32.85, -34.05),
    ("bfloat16", 0.0, -2.84375, -2.859375),
    ("float32", 1.0, float.fromhex("0x1.0a2b22p+4"), float.fromhex("0x1.0a2b24p+4")),
    ("float64", 1.0, 36.73, 37.43),
    ("bfloat16", 1.0, 5.53125, 6.25),
]
STATED = {
    ("float32", 0.0): -13.5,
    ("float64", 0.0): -33.0,
    ("bfloat16", 0.0): -2.9,
    ("float32", 1.0): 16.64,
    ("float64", 1.0): 36.75,
    ("bfloat16", 1.0): 5.6,
}


@here
@pytest.mark.parametrize(("dtype", "target", "sound", "failing"), BRACKETS)
def test_the_rewrite_is_lost_within_its_bracket(dtype, target, sound, failing):
    """What was stated of it lies there: 400 logits before it are not lost, 400 beyond it all are, until the value is subnormal."""
    kind = FORMATS[dtype]
    edge = kind.round(sound)
    before = [sound * n / 400 for n in range(1, 401)] + [kind.neighbour(edge, n if sound < 0 else -n) for n in range(64)]
    beyond = [failing + (math.copysign(29.0, failing) - failing) * n / 400 for n in range(400)] if kind.bits < 64 else [
        failing * (1 + n / 200) for n in range(400)
    ]  # fmt: skip
    stated = STATED[dtype, target]

    assert abs(sound) <= abs(stated) * 1.001 and abs(stated) <= abs(failing) * 1.015
    assert Outcome.LOST not in {row.outcome for row in ask(REWRITE, before, target, dtypes=(dtype,), backends=("tensorflow",))}
    assert {row.outcome for row in ask(REWRITE, beyond, target, dtypes=(dtype,), backends=("tensorflow",))} == {Outcome.LOST}


@here
@pytest.mark.parametrize("target", [0.0, 1.0])
def test_the_rewrite_loses_nothing_in_float16(target):
    """Of every float16 from 1/4 to 10 on the losing side its zeros are subnormal or exactly right."""
    low, high = (FORMATS["float16"].ordinal(logit) for logit in (0.25, 10.0))
    logits = [math.copysign(FORMATS["float16"].from_ordinal(n), target - 0.5) for n in range(low, high)]

    assert Outcome.LOST not in {row.outcome for row in ask(REWRITE, logits, target, dtypes=("float16",), backends=("tensorflow",))}


@here
def test_optax_has_alpha_for_class_1_and_none_by_default():
    """With alpha the definition; without, four times the positives and 4/3 of the negatives, told as a deviation."""
    for target, factor in ((1.0, 4.0), (0.0, 4 / 3)):
        (given,), (default,) = (ask(f"optax-sigmoid-focal{end}", [0.5], target, dtypes=("float64",)) for end in ("", "-default"))

        assert given.deviation == 0 and given.outcome is Outcome.OK
        assert default.deviation == pytest.approx(factor - 1) and default.outcome is Outcome.OK
        assert default.value == pytest.approx(given.value * factor, rel=1e-12)


# Subnormals -------------------------------------------------------------------------------------------------------


@here
@pytest.mark.parametrize(("backend", "modes"), [("tensorflow", ("eager", "compile", "compile:xla")), ("jax", ("eager", "compile", "vmap"))])
def test_they_flush_subnormals_but_those_of_float16(backend, modes):
    """Of every kind, eager and compiled; float16 is computed in float32, where its subnormals are normal."""
    for mode in modes:
        found = {dtype: flushed_in(backend, mode, kind) for dtype, kind in FORMATS.items()}

        assert found == {"float64": KINDS, "float32": KINDS, "bfloat16": KINDS, "float16": ()}, mode


@here
@pytest.mark.parametrize("name", ["tensorflow-sigmoid-ce", "tensorflow-softplus", "optax-sigmoid-bce"])
def test_flushing_is_not_excused(name):
    """Loss and gradient at -90, subnormals of float32, come out as 0 and are called flushed; at -87 they are right."""
    for quantity in ("loss", "grad"):
        flushed, right = ask(name, [-90.0, -87.0], 0.0, quantity=quantity)

        assert (flushed.value, flushed.outcome) == (0.0, Outcome.FLUSHED)
        assert right.outcome is Outcome.OK


@here
def test_what_they_flush_is_theirs_alone():
    """numpy and PyTorch keep subnormals after TensorFlow and JAX have run in the same process."""
    run("tensorflow-softplus", LOGITS, 0.0, "float32", "tensorflow", mode="compile:xla")
    run("optax-sigmoid-bce", LOGITS, 0.0, "float32", "jax", mode="compile")

    assert [flushed_in(backend, "eager", FLOAT32) for backend in ("numpy", "torch")] == [(), ()]


# Manners ----------------------------------------------------------------------------------------------------------


@here
def test_a_framework_nobody_asked_for_is_not_imported():
    """TensorFlow takes seconds: naming torch's losses must not load it, nor JAX."""
    code = (
        "import sys; from losscheck.measure.compare import evaluate; evaluate('bce', 'torch-bce-with-logits', logit=1.0, target=0.0); "
        "print({'tensorflow', 'jax', 'optax'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)

    assert done.stdout == "set()\n"


@here
def test_64_bits_in_jax_are_ours_alone():
    """float64 is really computed, and a host that has them off, or on, keeps its setting and its float32 bits."""
    import jax

    narrow = bits(run("optax-sigmoid-bce", LOGITS, 0.0, "float32", "jax").loss)
    assert run("optax-sigmoid-bce", [-40.0] * LANES, 0.0, "float64", "jax").loss[0] == pytest.approx(math.exp(-40.0), rel=1e-15)
    assert jax.config.jax_enable_x64 is False
    jax.config.update("jax_enable_x64", True)
    try:
        assert bits(run("optax-sigmoid-bce", LOGITS, 0.0, "float32", "jax").loss) == narrow
        constant = Implementation("bce", "constant", lambda xp, x, z, **_: x * xp.asarray([2.0]), "a test", ("jax",))
        assert run(constant, [1.5], 0.0, "float32", "jax").loss == [3.0]  # with 64 bits on it would be a float64
        assert jax.config.jax_enable_x64 is True
    finally:
        jax.config.update("jax_enable_x64", False)


@here
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_a_result_of_another_dtype_is_judged_as_what_it_is(backend):
    """A float32 result judged as bfloat16 would hide what bfloat16 loses."""
    cast = {"tensorflow": lambda xp, x, z, **_: xp.cast(x, "float32"), "jax": lambda xp, x, z, **_: x.astype("float32")}[backend]
    one = Implementation("bce", "wide", cast, "a test", (backend,))

    for mode in ("eager", "compile"):
        output = run(one, LOGITS, 0.0, "bfloat16", backend, mode=mode)
        assert (output.loss_dtype, output.grad_dtype) == (FLOAT32, BFLOAT16)


@here
def test_an_error_of_tensorflow_is_a_row():
    """Its errors are no RuntimeError; the user sees the message and not our crash."""

    def broken(xp, x, z, **_):
        return xp.reshape(x, [3])

    with pytest.raises(RuntimeError, match=r"InvalidArgumentError: .*reshape"):
        run(Implementation("bce", "broken", broken, "a test", ("tensorflow",)), LOGITS, 0.0, "float32", "tensorflow")


@here
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_a_missing_device_says_what_to_do(backend):
    """`cuda` on a CPU build; a number beyond the devices there are."""
    devices = backend_named(backend).devices()
    reason = backend_named(backend).why_unavailable(f"cuda:{len(devices)}")

    assert devices[0] == "cpu" and backend_named(backend).why_unavailable("cpu") == ""
    assert ("pip install" in reason or "nvidia-smi" in reason) if len(devices) == 1 else ("CUDA devices here" in reason)
