"""How a callable behaves when it is tried out: on whole batches or logit by logit, at random, in place, with a gradient."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from losscheck.backends import LANES
from losscheck.callables.loading import OwnCallError, silence
from losscheck.core.call_spec import CallSpec

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


def probe_callable(adapted: Tried, xp: Any, like: Any) -> Probe:
    """Try it at ordinary logits of a dtype, on a device. What it raises is part of the answer."""
    try:
        with silence(), (xp.enable_grad()) if xp.__name__ == "torch" else xp.errstate(all="ignore"):
            return _observed(adapted, xp, *trial(xp, like))
    except OwnCallError as error:
        return Probe(failure=str(error))


def _observed(adapted: Tried, xp: Any, x: Any, z: Any) -> Probe:
    untouched: list[tuple[str, Any, Any]] = []
    first = adapted.result(xp, x, z, untouched)
    if _size(first) not in (1, POINTS):
        raise OwnCallError(adapted.misshapen(first, x))
    changed = tuple(name for name, now, before in untouched if not same(now, before))
    again = adapted.result(xp, x, z)
    random = _size(first) != _size(again) or not same(first, again)
    reduces = _size(first) == 1
    # Random results differ whatever the other logits are.
    divided, coupled = (False, False) if reduces or random else _coupled(adapted, xp, x, z, first)
    detached = xp.__name__ == "torch" and not _reaches(xp, first, x)
    reduction = _reduction(adapted, xp, x, z) if reduces and not random else ""
    return Probe(reduces, divided, coupled, random, changed, detached, reduction)


def trial(xp: Any, like: Any) -> tuple[Any, Any]:
    """POINTS ordinary logits and hard targets in the dtype and on the device of an array."""
    logits = [(n * 37 % POINTS - POINTS / 2) / 8 for n in range(POINTS)]
    targets = [float(n % 3 == 0) for n in range(POINTS)]
    if xp.__name__ == "torch":
        x = xp.tensor(logits, dtype=like.dtype, device=like.device)
        return x.requires_grad_(), xp.tensor(targets, dtype=like.dtype, device=like.device)
    return xp.array(logits).astype(like.dtype), xp.array(targets).astype(like.dtype)


def same(a: Any, b: Any) -> bool:
    """Equal to the last bit, NaN with NaN."""
    return bool(((a == b) | ((a != a) & (b != b))).all())


def _coupled(adapted: Tried, xp: Any, x: Any, z: Any, first: Any) -> tuple[bool, bool]:
    """Do the results for the first half of a batch grow by 2 without the second; do they change at all without it, or with
    other logits and targets in it?"""
    half = POINTS // 2
    both = xp.concatenate if xp.__name__ == "numpy" else xp.cat
    here = first.reshape(-1)[:half]
    other = adapted.result(xp, both([x[:half], x[:half] * 2]), both([z[:half], 1 - z[half:]])).reshape(-1)[:half]
    halved = adapted.result(xp, x[:half], z[:half]).reshape(-1)
    if _size(halved) != half:
        return False, True
    # Another length may take other code, with other last bits.
    lost = (halved != halved) & (here != here)  # NaN with NaN depends on nothing
    equal = halved == here  # infinities, whose difference is none
    divided, alike = (
        bool(((abs(halved - factor * here) <= CLOSE * abs(here)) | lost | (equal & (factor == 1))).all()) for factor in (2, 1)
    )
    divided = divided and not bool(lost.all())
    return divided, not alike or not same(here, other)


def _reaches(xp: Any, loss: Any, x: Any) -> bool:
    if not loss.requires_grad:
        return False
    try:
        return xp.autograd.grad(loss.sum(), x, allow_unused=True)[0] is not None
    except Exception:
        return True  # a backward pass of its own that raises: its rows will tell


def _reduction(adapted: Tried, xp: Any, x: Any, z: Any) -> str:
    """Which of our reductions of its single losses its number for a batch is: at two batches, and in every layout it takes.

    Its losses come from batches of one, or where it has none there (a sum divided by the positives has none without a positive),
    from what an element adds to a batch of one positive.
    """
    singles = _singles(adapted, xp, x, z)
    if singles is None:
        return ""
    for name in ("mean", "sum", "normalised"):
        if all(_is_reduced(adapted, xp, x, z, singles, name, *part) for part in _parts(adapted)):
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
    adapted: Tried, xp: Any, x: Any, z: Any, singles: Sequence[float], name: str, first: int, last: int, shape: tuple[int, ...]
) -> bool:
    """Is its number for a part of the batch, in a shape, that reduction of the single losses? True for a shape that it refuses."""
    try:
        whole = adapted.result(xp, x[first:last], z[first:last], shape=shape)
    except OwnCallError:
        return first == 0 and shape != adapted.call_spec.shape(last)
    total, positives = sum(singles[first:last]), _number((z[first:last] == 1).sum())
    value = total / {"mean": last - first, "sum": 1, "normalised": positives}[name]
    # An infinity is no evidence: inf <= inf.
    return _size(whole) == 1 and math.isfinite(value) and abs(_number(whole.sum()) - value) <= CLOSE * abs(value)


def _singles(adapted: Tried, xp: Any, x: Any, z: Any) -> list[float] | None:
    """Its single losses; None when they cannot be told."""
    alone = [_number(loss) for loss in adapted.looped(xp, x, z)]
    if all(map(math.isfinite, alone)):
        return alone
    positive = next((n for n in range(len(alone)) if math.isfinite(alone[n]) and _number(z[n]) == 1), None)
    if positive is None:
        return None
    both = xp.concatenate if xp.__name__ == "numpy" else xp.cat
    for n, loss in enumerate(alone):
        if not math.isfinite(loss):
            pair = [both([array[positive : positive + 1], array[n : n + 1]]) for array in (x, z)]
            alone[n] = _number(adapted.result(xp, *pair).sum()) - alone[positive]
    return alone if all(map(math.isfinite, alone)) else None


def vmap_agrees(adapted: Tried, xp: Any, like: Any) -> bool:
    """Does torch.func.vmap give the bits of the loop, losses and gradients alike, at trial points and at far ones?"""
    x, z = trial(xp, like)
    both = xp.cat([x.detach(), x.detach() * 8]).requires_grad_()
    targets = xp.cat([z, z])
    results = []
    try:
        with xp.enable_grad():
            for way in (adapted.vmapped, adapted.looped):
                loss = way(xp, both, targets)
                results.append((loss, xp.autograd.grad(loss.sum(), both)[0]))
    except Exception:
        # Whatever vmap cannot do (branches on values, .item()), the loop can.
        return False
    return all(same(a, b) for a, b in zip(*results, strict=True))


def _size(x: Any) -> int:
    return int(x.numel()) if hasattr(x, "numel") else int(x.size)


def _number(x: Any) -> float:
    return float(x.detach() if hasattr(x, "detach") else x)
