"""How a callable behaves when it is tried out: on whole batches or logit by logit, at random, in place, with a gradient."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from losscheck.backends import LANES
from losscheck.backends.arrays import Arrays, array_dtype_name, arrays_named, arrays_of, size
from losscheck.callables.printed import silence
from losscheck.callables.refusal import OwnCallError
from losscheck.core.call_spec import CallSpec
from losscheck.core.dtypes import FORMATS, Format

__all__ = ["Probe", "probe_callable", "vmap_agrees"]

POINTS = LANES  # as many as an elementwise batch has at the least
# Other layouts of the points, in which a reduction by image or by row is another number.
LAYOUTS = ((8, POINTS // 8), (4, 2, 2, POINTS // 16))
CLOSE = 1e-2  # a mean is told from a sum by a factor of 64 and survives the sums of 16-bit dtypes


@dataclass(frozen=True)
class Probe:
    """What was seen.

    Attributes:
        reduces: it returns one number for a batch.
        divided: a loss is the smaller, the more logits there are: it is divided by their number.
        coupled: a loss changes when another logit, or the number of them, does.
        random: two calls with the same input gave other bits.
        changed: which of its inputs it changes in place.
        detached: no gradient reaches the logits.
        reduction: for one that reduces, how it does: mean, sum, normalised, or "" for none of these.
        failure: what it raised instead.
    """

    reduces: bool = False
    divided: bool = False
    coupled: bool = False
    random: bool = False
    changed: tuple[str, ...] = ()
    detached: bool = False
    reduction: str = ""
    failure: str = ""

    @property
    def alone(self) -> bool:
        """Has each logit to be a batch of its own?"""
        return self.reduces or self.coupled

    def oddities(self) -> list[str]:
        """What is odd about it, as the notes of its rows."""
        odd = []
        if self.random:
            odd.append("two calls with the same input differ")
        if self.changed:
            odd.append(f"it changes its {' and '.join(self.changed)} in place")
        if self.detached:
            odd.append("no gradient reaches the logits")
        return odd


class Tried(Protocol):
    """What is tried out: an adapted callable (adapt.py)."""

    call_spec: CallSpec

    def result(
        self, xp: Any, x: Any, z: Any, untouched: list[tuple[str, Any, Any]] | None = None, shape: tuple[int, ...] | None = None
    ) -> Any: ...
    def misshapen(self, loss: Any, x: Any) -> str: ...
    def looped(self, xp: Any, x: Any, z: Any) -> Any: ...
    def vmapped(self, xp: Any, x: Any, z: Any) -> Any: ...


def probe_callable(adapted: Tried, backend: str, dtype: Format, device: str) -> Probe:
    """Try it at ordinary logits of a dtype, on a device. What it raises is part of the answer."""
    arrays = arrays_named(backend)
    try:
        with silence(), arrays.within(dtype, device):
            return _observed(adapted, arrays, *trial(arrays, dtype, device))
    except OwnCallError as error:
        return Probe(failure=str(error))


def _observed(adapted: Tried, arrays: Arrays, x: Any, z: Any) -> Probe:
    xp = arrays.module()
    untouched: list[tuple[str, Any, Any]] = []
    first = adapted.result(xp, x, z, untouched)
    if size(first) not in (1, POINTS):
        raise OwnCallError(adapted.misshapen(first, x))
    changed = tuple(name for name, now, before in untouched if not same(arrays.numbers(now), arrays.numbers(before)))
    losses, again = (arrays.numbers(loss) for loss in (first, adapted.result(xp, x, z)))
    random = len(losses) != len(again) or not same(losses, again)
    reduces = len(losses) == 1
    # Random results differ whatever the other logits are.
    divided, coupled = (False, False) if reduces or random else _coupled(adapted, arrays, x, z, losses)
    detached = arrays.backend != "numpy" and not _reaches(adapted, arrays, x, z)
    reduction = _reduction(adapted, arrays, x, z) if reduces and not random else ""
    return Probe(reduces, divided, coupled, random, changed, detached, reduction)


def _device(x: Any) -> str:
    """Where a tensor of torch is; the other frameworks make arrays where they are told to."""
    return str(x.device) if type(x).__module__ == "torch" else "cpu"


def trial(arrays: Arrays, dtype: Format, device: str) -> tuple[Any, Any]:
    """POINTS ordinary logits and hard targets."""
    logits = [(n * 37 % POINTS - POINTS / 2) / 8 for n in range(POINTS)]
    targets = [float(n % 3 == 0) for n in range(POINTS)]
    return _requiring(arrays, arrays.make(logits, dtype, device)), arrays.make(targets, dtype, device)


def _requiring(arrays: Arrays, x: Any) -> Any:
    """Logits as a layer returns them, with a gradient to come, where an array tells that."""
    if arrays.backend == "torch":
        return x.requires_grad_()
    if arrays.backend == "paddle":
        x.stop_gradient = False
    return x


def same(a: Any, b: Any) -> bool:
    """Equal to the last bit, NaN with NaN, of arrays of numpy."""
    return bool(((a == b) | ((a != a) & (b != b))).all())


def _coupled(adapted: Tried, arrays: Arrays, x: Any, z: Any, here: Any) -> tuple[bool, bool]:
    """Do the results for the first half of a batch grow by 2 without the second; do they change at all without it, or with
    other logits and targets in it?"""
    import numpy as np

    half, xp, dtype = POINTS // 2, arrays.module(), FORMATS[array_dtype_name(x)]
    logits, targets = arrays.numbers(x), arrays.numbers(z)
    others = (np.concatenate([logits[:half], logits[:half] * 2]), np.concatenate([targets[:half], 1 - targets[half:]]))
    other = arrays.numbers(adapted.result(xp, *(arrays.make(values.tolist(), dtype, _device(x)) for values in others)))[:half]
    halved = arrays.numbers(adapted.result(xp, x[:half], z[:half]))
    if len(halved) != half:
        return False, True
    here = here[:half]
    # Another length may take other code, with other last bits.
    lost = (halved != halved) & (here != here)  # NaN with NaN depends on nothing
    with np.errstate(all="ignore"):
        equal = halved == here  # infinities, whose difference is none
        divided, alike = (
            bool(((abs(halved - factor * here) <= CLOSE * abs(here)) | lost | (equal & (factor == 1))).all()) for factor in (2, 1)
        )
    divided = divided and not bool(lost.all())
    return divided, not alike or not same(here, other)


def _reaches(adapted: Tried, arrays: Arrays, x: Any, z: Any) -> bool:
    try:
        return arrays.gradient(lambda logits: adapted.result(arrays.module(), logits, z), x) is not None
    except Exception:
        return True  # a backward pass of its own that raises: its rows will tell


def _reduction(adapted: Tried, arrays: Arrays, x: Any, z: Any) -> str:
    """Which of our reductions of its single losses its number for a batch is: at two batches, and in every layout it takes.

    Its losses come from batches of one, or where it has none there (a sum divided by the positives has none without a positive),
    from what an element adds to a batch of one positive.
    """
    singles = _singles(adapted, arrays, x, z)
    if singles is None:
        return ""
    for name in ("mean", "sum", "normalised"):
        if all(_is_reduced(adapted, arrays, x, z, singles, name, *part) for part in _parts(adapted)):
            return name
    return ""


def _parts(adapted: Tried) -> Iterator[tuple[int, int, tuple[int, ...]]]:
    """Batches to try: first and last element, and the shape."""
    flat = adapted.call_spec.shape
    yield 0, POINTS, flat(POINTS)
    yield 3, POINTS - 4, flat(POINTS - 7)  # another share of positives
    axes = len(flat(1))
    for shape in LAYOUTS:
        if len(shape) == axes or axes == 1:
            yield 0, POINTS, shape


def _is_reduced(
    adapted: Tried, arrays: Arrays, x: Any, z: Any, singles: Sequence[float], name: str, first: int, last: int, shape: tuple[int, ...]
) -> bool:
    """Is its number for a part of the batch, in a shape, that reduction of the single losses? True for a shape that it refuses."""
    try:
        whole = arrays.numbers(adapted.result(arrays.module(), x[first:last], z[first:last], shape=shape))
    except OwnCallError:
        return first == 0 and shape != adapted.call_spec.shape(last)
    total, positives = sum(singles[first:last]), float((arrays.numbers(z)[first:last] == 1).sum())
    value = total / {"mean": last - first, "sum": 1, "normalised": positives}[name]
    # An infinity is no evidence: inf <= inf.
    return len(whole) == 1 and math.isfinite(value) and abs(float(whole[0]) - value) <= CLOSE * abs(value)


def _singles(adapted: Tried, arrays: Arrays, x: Any, z: Any) -> list[float] | None:
    """Its single losses; None when they cannot be told."""
    alone: list[float] = arrays.numbers(adapted.looped(arrays.module(), x, z)).tolist()
    if all(map(math.isfinite, alone)):
        return alone
    logits, targets = (arrays.numbers(array).tolist() for array in (x, z))
    positive = next((n for n in range(len(alone)) if math.isfinite(alone[n]) and targets[n] == 1), None)
    if positive is None:
        return None
    dtype, device = FORMATS[array_dtype_name(x)], _device(x)
    for n, loss in enumerate(alone):
        if not math.isfinite(loss):
            pair = [arrays.make([values[positive], values[n]], dtype, device) for values in (logits, targets)]
            alone[n] = float(arrays.numbers(adapted.result(arrays.module(), *pair)).sum()) - alone[positive]
    return alone if all(map(math.isfinite, alone)) else None


def vmap_agrees(adapted: Tried, xp: Any, like: Any) -> bool:
    """Does the framework's vmap give the bits of the loop, losses and gradients alike, at trial points and at far ones?"""
    arrays = arrays_of(xp)
    if arrays.vmap(lambda logit, target: logit) is None:
        return False
    dtype, device = FORMATS[array_dtype_name(like)], _device(like)
    with arrays.within(dtype, device):
        x, z = (arrays.numbers(array) for array in trial(arrays, dtype, device))
        logits, targets = (arrays.make(values, dtype, device) for values in ([*x, *(x * 8)], [*z, *z]))
        results = []
        try:
            for way in (adapted.vmapped, adapted.looped):
                losses = way(xp, logits, targets)
                grad = arrays.gradient(lambda logits, way=way: way(xp, logits, targets), logits)  # type: ignore[misc]
                results.append([arrays.numbers(array) for array in (losses, grad)])
        except Exception:
            # Whatever vmap cannot do (branches on values, .item()), the loop can.
            return False
    return all(same(a, b) for a, b in zip(*results, strict=True))
