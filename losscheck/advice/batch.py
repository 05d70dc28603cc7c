"""A dumped batch traced: every op of the whole call beside float64, each element judged, and one of them followed exactly."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from losscheck.advice.elements import Verdicts, verdicts_on
from losscheck.core.dtypes import FLOAT64, Format
from losscheck.core.errors import UserError
from losscheck.filter.classify import CODE
from losscheck.points.batch import elements_of, index_of
from losscheck.points.load import Dump
from losscheck.tracing.advice import TraceAdvice, advise
from losscheck.tracing.batch import Batch
from losscheck.tracing.judging import outcomes_of
from losscheck.tracing.shadow import Screen, screened

__all__ = ["advise_on_batch"]

SHOWN = 8  # failing elements that are named
MOST_TOGETHER = 8192  # that are run exactly in one call: some seconds
MOST_FOLLOWED = 256  # of these that one trace follows together
MOST_SCREENED = 2**24  # elements whose float64 copies of every op fit into a usual memory


def advise_on_batch(
    function: Callable[[Any, Any], Any],
    dump: Dump,
    *,
    dtype: Format,
    files: Sequence[str] = (),
    index: Sequence[int] | None = None,
    soft: bool | None = None,
    name: str = "",
) -> TraceAdvice:
    """Advice on one element, with what is known of the batch around it.

    Args:
        function: f(logits, targets) on torch tensors of any shape.
        index: of the element to trace; without it the whole batch is looked at, and the element that fails worst is traced.
        soft: as of :func:`losscheck.tracing.advice.advise`.

    Raises:
        UserError: for an index that is none of the batch, and as :func:`losscheck.tracing.judging.trace`.
    """
    elements = elements_of(dump, dtype, files)
    if index is not None:
        batch = Batch(tuple(files), dump.shape, len(elements), tuple(index), given=True)
        place = _flat(index, dump.shape)
    else:
        batch, place = _looked_at(function, elements, dtype, dump.shape, tuple(files))
    logits, targets = float(elements.logits[place]), float(elements.targets[place])
    if batch.followed_together:
        # By itself an element of these would be another loss.
        import torch

        logits, targets = (torch.from_numpy(values).reshape(dump.shape) for values in (elements.logits, elements.targets))
    advice = advise(function, logits, targets, dtype=dtype.name, soft=soft, name=name)
    return replace(advice, batch=batch)


def _flat(index: Sequence[int], shape: tuple[int, ...]) -> int:
    """The position of an element; one number is a position already.

    Raises:
        UserError: for an index that is none of the batch.
    """
    bounds = shape or (1,)
    flat = 1
    for size in bounds:
        flat *= size
    if len(index) == 1 and len(bounds) > 1:
        index, bounds = list(index), (flat,)
    if len(index) != len(bounds) or not all(0 <= place < size for place, size in zip(index, bounds, strict=True)):
        most = ",".join(str(size - 1) for size in shape) or "0"
        raise UserError(
            f"--index {','.join(map(str, index))} is no element of a batch of shape {list(shape)}",
            f"from {','.join('0' * len(bounds))} to {most}",
        )
    place = 0
    for number, size in zip(index, bounds, strict=True):
        place = place * size + number
    return place


def _looked_at(
    function: Callable[[Any, Any], Any], elements: Any, dtype: Format, shape: tuple[int, ...], files: tuple[str, ...]
) -> tuple[Batch, int]:
    """What is found in the whole batch, and the element that fails worst."""
    import torch

    x, z = (torch.from_numpy(values).to(getattr(torch, dtype.name)) for values in (elements.logits, elements.targets))
    screen = _screen(function, x, z, shape, dtype)
    verdicts = verdicts_on(function, elements.logits, elements.targets, dtype, shape)
    together = verdicts is None
    if verdicts is None:
        verdicts = _together(function, x, z, shape)
    place = _worst_of(verdicts, screen, len(elements))
    failing = [] if verdicts is None else verdicts.failing
    batch = Batch(
        files,
        shape,
        len(elements),
        index_of(place, shape),
        given=False,
        counts=None if verdicts is None else verdicts.counts(),
        together=together,
        screened=dtype is not FLOAT64 and len(x) <= MOST_SCREENED,
        failing=len(failing),
        first=tuple(index_of(int(flat), shape) for flat in failing[:SHOWN]),
        asked=0 if verdicts is None else verdicts.asked,
        ops=tuple(screen.ops),
        followed_together=together and verdicts is not None and len(elements) <= MOST_FOLLOWED,
        raised="" if screen.error is None else f"{type(screen.error).__name__}: {screen.error}".rstrip(": "),
    )
    return batch, place


def _screen(function: Callable[[Any, Any], Any], x: Any, z: Any, shape: tuple[int, ...], dtype: Format) -> Screen:
    """In the shape it was dumped in, or in one axis where the callable wants that. Float64 stands beside nothing wider."""
    if dtype is FLOAT64 or len(x) > MOST_SCREENED:
        return Screen()
    screen = screened(function, x.reshape(shape), z.reshape(shape))
    return screen if screen.error is None or len(shape) < 2 else screened(function, x, z)


def _together(function: Callable[[Any, Any], Any], x: Any, z: Any, shape: tuple[int, ...]) -> Verdicts | None:
    """Elements that may depend on each other, run exactly in one call; None for too many of them, and for a callable that raises."""
    import numpy as np

    if len(x) > MOST_TOGETHER:
        return None
    shapes = [shape, *([(len(x),)] if len(shape) != 1 else [])]
    quantities = next(filter(None, (outcomes_of(function, x.reshape(size), z.reshape(size), raising=False) for size in shapes)), [])
    slopes = [quantity for quantity in quantities if quantity.name == "grad"]
    losses = [quantity for quantity in quantities if quantity.name == "loss"]
    if len(slopes) != len(x):
        return None
    codes = {
        name: np.array([CODE[known.outcome] for known in several], dtype=np.int8) for name, several in (("loss", losses), ("grad", slopes))
    }
    error = np.array([math.inf if math.isnan(slope.ulp) else abs(slope.ulp) for slope in slopes])
    return Verdicts(codes["loss"], codes["grad"], error, len(x))


def _worst_of(verdicts: Verdicts | None, screen: Screen, count: int) -> int:
    """The element that fails worst, or is least exact where none fails. Where elements are not judged one by one, that at which the
    last op over all of them is furthest from float64: its gradient."""
    if verdicts is not None:
        return int(verdicts.failing[0]) if len(verdicts.failing) else int(verdicts.error.argmax())
    off = [op.at for op in screen.ops if op.elements == count and op.off]
    return off[-1] if off else 0
