"""On a CUDA device: every torch implementation runs there, beside the cpu, and the stable ones keep their bounds."""

import itertools

import pytest

from losscheck.backends import backend_named
from losscheck.core import registry
from losscheck.core.dtypes import FORMATS
from losscheck.core.outcome import Outcome
from losscheck.core.registry import loss_named
from losscheck.core.request import listed
from losscheck.measure.compare import compare, different_bits

pytestmark = pytest.mark.cuda

TORCH = [implementation for implementation in registry.implementations() if "torch" in implementation.backends]
LOGITS = (-104.0, -88.75, -15.0, -4.25, -1.0, -0.0, 0.0, 0.5, 1.5, 9.5, 17.0, 40.0, 104.0)
BOUNDS = {"bce": 4.0, "weighted-focal": 8.0, "centernet-heatmap": 8.0}


def ask(loss, impl, logits=LOGITS, target=1.0, *, devices=("cpu", "cuda"), **more):
    return compare(listed((loss,), logits, (target,), impl=(impl,), backends=("torch",), devices=devices, **more))


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("one", TORCH, ids=lambda value: f"{value.loss}-{value.name}")
def test_every_torch_implementation_runs_on_both_devices(one, dtype):
    """As many rows as on the cpu, each with a value, and the exact values the same."""
    for target in (0.0, 1.0):
        rows = ask(one.loss, one.name, target=target, dtypes=(dtype,))
        here, there = ([row for row in rows if row.device == device] for device in ("cpu", "cuda"))

        assert len(here) == len(there) == 2 * len(LOGITS)
        assert all(row.value is not None for row in rows), [row.reason for row in rows if row.value is None]
        assert [row.exact for row in here] == [row.exact for row in there]


@pytest.mark.parametrize("dtype", FORMATS)
def test_the_differences_are_counted_row_by_row(dtype):
    """The count is what comparing the bits of the rows by hand gives."""
    rows = [row for implementation in TORCH for row in ask(implementation.loss, implementation.name, target=0.0, dtypes=(dtype,))]
    here, there = ([row for row in rows if row.device == device] for device in ("cpu", "cuda"))
    by_hand = sum(cpu.value.hex() != cuda.value.hex() for cpu, cuda in zip(here, there, strict=True))
    (found,) = different_bits(rows)

    assert (found.device, found.other) == ("cpu", "cuda")
    assert (found.rows, found.differ) == (len(here), by_hand)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss", BOUNDS)
def test_the_stable_implementations_keep_their_bounds_on_cuda(loss, dtype):
    """4 ulp (bce) and 8 ulp (focal), loss and gradient, where the exact value is a normal number."""
    form = FORMATS[dtype]
    logits = [form.round(-110 + 220 * n / 1023) for n in range(1024)]
    logits += [form.neighbour(mark.logit, steps) for mark in loss_named(loss).landmarks(form) for steps in (-2, -1, 0, 1, 2)]
    logits = tuple(logit for logit in logits if abs(logit) <= form.largest)
    for target in (0.0, 1.0):
        rows = ask(loss, "stable", logits, target, devices=("cuda",), dtypes=(dtype,), max_ulp=BOUNDS[loss])
        judged = [row for row in rows if form.smallest_normal <= abs(row.exact.rounded) <= form.largest]

        assert len(judged) > 500
        assert [(row.quantity, row.logits, row.ulp) for row in judged if row.outcome is not Outcome.OK] == []


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("loss", BOUNDS)
def test_the_stable_implementations_are_finite_on_cuda_in_16_bits(loss, dtype):
    """No NaN, no infinity and no wrong sign, from -largest to largest."""
    form = FORMATS[dtype]
    top = form.infinity_ordinal
    logits = tuple(form.from_ordinal(n) for n in range(-top, top, 37))
    for target in (0.0, 1.0):
        rows = ask(loss, "stable", logits, target, devices=("cuda",), dtypes=(dtype,), max_ulp=16.0)

        assert {row.outcome for row in rows} <= {Outcome.OK, Outcome.FLUSHED, Outcome.INACCURATE}
        assert all(row.outcome is Outcome.OK for row in rows if abs(row.exact.rounded) >= form.smallest_normal)


@pytest.mark.parametrize(
    ("loss", "impl", "logit", "target", "dtype", "outcome"),
    [
        ("bce", "naive", -104.0, 0.0, "float32", Outcome.NAN),
        ("bce", "torch-bce-with-logits", -15.0, 0.0, "float32", Outcome.LOST),
        ("bce", "torch-bce-with-logits", -4.25, 0.0, "bfloat16", Outcome.LOST),
        ("centernet-heatmap", "centernet-neg-loss", 17.0, 1.0, "float32", Outcome.NAN),
    ],
)
def test_what_fails_on_the_cpu_fails_on_cuda(loss, impl, logit, target, dtype, outcome):
    """The formula is at fault, not the device."""
    rows = ask(loss, impl, (logit,), target, dtypes=(dtype,), quantities=("loss",))

    assert [row.outcome for row in rows] == [outcome, outcome]


def test_the_first_device_has_a_number():
    """cuda is cuda:0, to the bit."""
    rows = ask("bce", "stable", devices=("cuda", "cuda:0"))
    (found,) = different_bits(rows)

    assert found.differ == 0
    assert "cuda:0" in backend_named("torch").devices()


def test_a_device_beyond_the_last_says_how_many_there_are():
    """cuda:99 beside the cpu: unavailable, with the reason."""
    rows = ask("bce", "stable", devices=("cpu", "cuda:99"))
    reasons = {row.reason for row in rows if row.device == "cuda:99"}

    assert {row.outcome for row in rows if row.device == "cuda:99"} == {Outcome.UNAVAILABLE}
    assert all("CUDA device" in reason and "cuda:0" in reason for reason in reasons)


def test_a_point_alone_has_the_bits_it_has_among_many_on_cuda():
    """On the device too."""
    together = {(row.logits, row.quantity): row.value.hex() for row in ask("bce", "stable", devices=("cuda",))}
    alone = [row for logit in LOGITS for row in ask("bce", "stable", (logit,), devices=("cuda",))]

    assert all(together[row.logits, row.quantity] == row.value.hex() for row in alone)


@pytest.mark.parametrize(
    ("one", "reduction"), list(itertools.product(TORCH, ["mean", "published"])), ids=lambda value: getattr(value, "name", value)
)
def test_wholes_run_on_cuda(one, reduction):
    """Published wholes make no tensor on the wrong device."""
    rows = ask(one.loss, one.name, (0.5, -1.0, 2.0), devices=("cuda",), reduction=reduction)

    assert all(row.value is not None for row in rows), [row.reason for row in rows]
