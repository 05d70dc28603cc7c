"""How a callable behaves when it is tried out: on whole batches or logit by logit, at random, in place, with a gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from losscheck.backends import LANES
from losscheck.callables.loading import OwnCallError, silence

__all__ = ["Probe", "probe_callable", "vmap_agrees"]

POINTS = LANES  # as many as an elementwise batch has at the least
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

    def result(self, xp: Any, x: Any, z: Any, untouched: list[tuple[str, Any, Any]] | None = None) -> Any: ...
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
    reduction = _reduction(adapted, xp, x, z, first) if reduces and not random else ""
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
    divided, alike = (bool(((abs(halved - factor * here) <= CLOSE * abs(here)) | lost).all()) for factor in (2, 1))
    divided = divided and not bool(lost.all())
    return divided, not alike or not same(here, other)


def _reaches(xp: Any, loss: Any, x: Any) -> bool:
    if not loss.requires_grad:
        return False
    try:
        return xp.autograd.grad(loss.sum(), x, allow_unused=True)[0] is not None
    except Exception:
        return True  # a backward pass of its own that raises: its rows will tell


def _reduction(adapted: Tried, xp: Any, x: Any, z: Any, whole: Any) -> str:
    """Which of our reductions of its single losses its number for a batch is."""
    singles = adapted.looped(xp, x, z)
    total = _number(singles.sum())
    candidates = {"mean": total / POINTS, "sum": total, "normalised": total / _number((z == 1).sum())}
    return next((name for name, value in candidates.items() if abs(_number(whole.sum()) - value) <= CLOSE * abs(value)), "")


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
