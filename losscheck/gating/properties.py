"""Claims about results beside each other: monotone, non-negative, symmetric, equal bits. NaN satisfies none of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from losscheck.core.dtypes import Format, short_hex
from losscheck.gating.measured import Measured
from losscheck.gating.segments import Segment, segments

__all__ = ["Breach", "broken_properties", "unequal_bits"]


@dataclass(frozen=True)
class Breach:
    """A broken claim: the sentence, and at how many points it is broken."""

    reason: str
    points: int = 0


def broken_properties(measured: Measured) -> Iterator[Breach]:
    """What does not hold of monotone, non_negative and symmetric, each with the first place where it does not."""
    expect = measured.case.expect
    if expect.monotone:
        yield from _monotone(measured, expect.monotone == "increasing")
    if measured.quantity == "loss" and expect.non_negative:
        yield from _non_negative(measured)
    if expect.symmetric:
        yield from _symmetric(measured)


def _monotone(measured: Measured, increasing: bool) -> Iterator[Breach]:
    import numpy as np

    broken, example = 0, ""
    logits, values = np.empty(0), np.empty(0)
    for segment in segments(measured):
        # The last float of a block belongs to the next one too: a step down may lie between them.
        logits = np.concatenate([logits[-1:], segment.logits]) if segment.continues else segment.logits
        values = np.concatenate([values[-1:], segment.values]) if segment.continues else segment.values
        right = values[1:] >= values[:-1] if increasing else values[1:] <= values[:-1]
        broken += int((~right).sum())
        if not example and not right.all():
            n = int((~right).argmax())
            example = " and ".join(_at(measured.dtype, logits[k], segment.target, values[k]) for k in (n, n + 1))
    if broken:
        yield Breach(f"not {'increasing' if increasing else 'decreasing'} at {_times(broken)}, first: {example}", broken)


def _non_negative(measured: Measured) -> Iterator[Breach]:
    broken, example = _first(measured, lambda segment: segment.values >= 0)
    if broken:
        yield Breach(f"negative or NaN at {_times(broken)}, first: {example}", broken)


def _symmetric(measured: Measured) -> Iterator[Breach]:
    """f(x, z) = f(-x, 1 - z); the gradient changes its sign. Signed zeros are equal."""
    sign = -1 if measured.quantity == "grad" else 1
    mirrored = segments(measured, mirrored=True)
    broken, example = _first(measured, lambda segment: segment.values == sign * next(mirrored).values)
    if broken:
        yield Breach(f"not symmetric under x -> -x, z -> 1 - z at {_times(broken)}, first: {example}", broken)


def _first(measured: Measured, holds: Callable[[Segment], Any]) -> tuple[int, str]:
    """At how many points something does not hold, and the first of them in words."""
    broken, example = 0, ""
    for segment in segments(measured):
        right = holds(segment)
        broken += int((~right).sum())
        if not example and not right.all():
            n = int((~right).argmax())
            example = _at(measured.dtype, segment.logits[n], segment.target, segment.values[n])
    return broken, example


def unequal_bits(all_measured: Sequence[Measured]) -> dict[int, Breach]:
    """For every entry (by its number) that has other bits than the first one it must equal: where, and what."""
    breaches: dict[int, Breach] = {}
    first: dict[tuple[Any, ...], Measured] = {}
    for number, measured in enumerate(all_measured):
        across = measured.case.expect.equal_bits
        if not across or measured.missing or measured.failure:
            continue
        key = (
            measured.dtype.name,
            measured.quantity,
            "" if "implementations" in across else measured.implementation,
            "" if "backends" in across else measured.backend,
            "" if "devices" in across else measured.device,
            measured.mode,
        )
        reference = first.setdefault(key, measured)
        if reference is not measured and (breach := _unequal(reference, measured)):
            breaches[number] = breach
    return breaches


def _unequal(reference: Measured, other: Measured) -> Breach | None:
    import numpy as np

    broken, example = 0, ""
    for ours, theirs in zip(segments(reference), segments(other), strict=True):
        differ = (ours.values != theirs.values) & ~(np.isnan(ours.values) & np.isnan(theirs.values))
        broken += int(differ.sum())
        if not example and differ.any():
            n = int(differ.argmax())
            who = f"{reference.implementation} {reference.backend} {reference.device}"
            here = _at(other.dtype, theirs.logits[n], theirs.target, theirs.values[n])
            example = f"{here}, where {who} returned {reference.dtype.shortest(float(ours.values[n]))}"
    return Breach(f"other bits at {_times(broken)}, first: {example}", broken) if broken else None


def _at(dtype: Format, logit: Any, target: float, value: Any) -> str:
    x = float(logit)
    shown = f"logit {dtype.shortest(x)} ({short_hex(x)}), target {dtype.shortest(target)}"
    return f"{dtype.shortest(float(value))} at {shown}"


def _times(count: int) -> str:
    return f"{count} point{'s' * (count != 1)}"
