"""The engine of one task of a sweep: its call, its exact side, and what its size and device ask for."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from losscheck.core.dtypes import FORMATS, Format
from losscheck.core.loss import Loss
from losscheck.core.request import Subject
from losscheck.measure.call import Caller
from losscheck.measure.effect_stream import Effects
from losscheck.measure.engine import ArrayEngine, Engine, Stream
from losscheck.measure.reference import Reference, formula_of
from losscheck.measure.refusals import BlockResult, answering
from losscheck.measure.remembered import remembering
from losscheck.measure.task import Task
from losscheck.points.grid import Grid

__all__ = ["References", "call_of", "caller_of", "count_nans", "dense_engine", "device_call_of", "effects_of", "engine_of", "streams_of"]

NANS = 2**18  # asked at a time: as many as floats of a scan, whose memory serves again


class References:
    """One reference for each set of parameters and dtype: implementations that claim the same formula share its exact values."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], Reference] = {}

    def of(self, task: Task, quantity: str) -> Reference:
        dtype, question = caller_of(task).dtypes()[quantity], task.question
        key = (task.loss.name, tuple(sorted(task.params.items())), dtype.name, question.oracle, question.max_ulp)
        if key not in self._known:
            self._known[key] = Reference(task.params, dtype, question.oracle, question.max_ulp)
        return self._known[key]


def streams_of(task: Task, references: References) -> dict[str, Stream]:
    """The exact side of each quantity of a task."""
    implementation = task.subject.implementation
    return {
        quantity: Stream(references.of(task, quantity), formula_of(task.loss, implementation, quantity, task.grid.dtype), task.target)
        for quantity in task.measured
    }


def effects_of(task: Task, references: References) -> Effects:
    """What finds the effects of a task's implementation."""
    asked = {quantity: references.of(task, quantity) for quantity in task.measured}
    return Effects(task.loss, task.subject.implementation, asked, task.grid.dtype)


def engine_of(task: Task, references: References) -> Engine:
    """What scans a task. Compiled filters are worth keeping from chunk to chunk."""
    from losscheck.measure.edges import SampleEngine

    if task.grid.sample is None:
        return dense_engine(task, references, task.grid)
    return SampleEngine(call_of(task), streams_of(task, references), task.grid, effects_of(task, references))


def dense_engine(task: Task, references: References, grid: Grid) -> Engine:
    """What scans every float of stretches of a task's range, which ``grid`` is all of."""
    from losscheck.filter.running_error import NoFilterError
    from losscheck.measure.compiled import WORTHWHILE, CompiledEngine

    streams: Mapping[str, Stream] = streams_of(task, references)
    subject, effects = task.subject, effects_of(task, references)
    if grid.points >= WORTHWHILE and subject.device != "cpu" and (subject.backend, subject.mode) == ("torch", "eager"):
        return ArrayEngine(device_call_of(task), streams, grid, effects, device=subject.device)
    call = call_of(task)
    if grid.points >= WORTHWHILE and all(stream.reference.dtype is grid.dtype for stream in streams.values()):
        try:
            return CompiledEngine(call, streams, grid, effects)
        except (NoFilterError, ImportError):
            # No compiled filter for this formula, or no numba: the same rules on arrays, only slower.
            pass
    return ArrayEngine(call, streams, grid, effects)


# A caller holds what was compiled for it; those of the tasks at hand are kept.
@functools.lru_cache(maxsize=8)
def _shared_caller(loss: Loss, subject: Subject, params: tuple[tuple[str, float], ...], dtype: str, more: tuple[bool, int, str]) -> Caller:
    gradient, digits, layout = more
    return Caller(loss, subject, dict(params), FORMATS[dtype], gradient=gradient, digits=digits, layout=layout)


def caller_of(task: Task) -> Caller:
    """The caller of a task's subject; tasks that differ in their targets alone share it."""
    return _shared_caller(*_caller_key(task))


def _caller_key(task: Task) -> tuple[Loss, Subject, tuple[tuple[str, float], ...], str, tuple[bool, int, str]]:
    more = "grad" in task.measured, task.question.digits, task.layout
    return task.loss, task.subject, tuple(task.params.items()), task.grid.dtype.name, more


def call_of(task: Task) -> Callable[[Any], BlockResult]:
    """``call(logits)``: losses and gradients (None where none are asked) at the task's target, as arrays."""
    call = answering(caller_of(task), task.target)
    return remembering(call, (_caller_key(task), task.target), own=task.subject.implementation.own)


def device_call_of(task: Task) -> Callable[[Any], tuple[Any, Any]]:
    """The same on torch tensors that live on a device and stay there, filled up to whole vectors as well."""
    import torch

    from losscheck.backends.torch import BACKEND

    call = BACKEND.prepare_tensors(caller_of(task).invocation)

    def on_device(logits: Any) -> tuple[Any, Any]:
        count, filled = len(logits), -len(logits) % BACKEND.lanes
        loss, grad = call(torch.cat([logits, logits[-1:].expand(filled)]) if filled else logits, task.target)
        return loss[:count], None if grad is None else grad[:count]

    return on_device


def count_nans(task: Task) -> tuple[int, int]:
    """All NaN logits of the dtype, and for how many of them the loss or the gradient, where it is asked, is a number."""
    import numpy as np

    dtype, caller = task.grid.dtype, caller_of(task)
    payloads = 2 ** (dtype.precision - 1) - 1
    wrong = 0
    for sign in (0, 1 << (dtype.bits - 1)):
        for start in range(1, payloads + 1, NANS):
            count = min(NANS, payloads + 1 - start)
            bits = np.arange(start, start + count, dtype=np.int64) + (sign | dtype.infinity_ordinal)
            try:
                output = caller(_nan_logits(dtype, bits), task.target)
            except Exception as error:
                caller.refusal(error)  # a bug of ours goes on
                continue  # it refuses NaN, which is no wrong number
            number = np.zeros(count, bool)
            for quantity, values in (("loss", output.loss), ("grad", output.grad)):
                if quantity in task.measured:
                    number |= ~np.isnan(values)
            wrong += int(number.sum())
    return 2 * payloads, wrong


def _nan_logits(dtype: Format, bits: Any) -> Any:
    import numpy as np

    if dtype.name == "float16":
        return bits.astype(np.uint16).view(np.float16).astype(np.float32)
    return (bits << (32 - dtype.bits)).astype(np.uint32).view(np.float32)
