"""The engine of one task of a sweep: its call, its exact side, and what its size and device ask for."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from losscheck.backends import Call, Prepared, backend_named
from losscheck.core.dtypes import FORMATS, Format
from losscheck.measure.effect_stream import Effects
from losscheck.measure.engine import ArrayEngine, Engine, Stream
from losscheck.measure.reference import Reference, formula_of
from losscheck.measure.task import Task

__all__ = ["References", "call_of", "count_nans", "effects_of", "engine_of", "judged_dtype", "prepared_of", "streams_of"]

TAIL = 3  # shorter than any vector register: every element of such a tensor goes through scalar code


class References:
    """One reference for each set of parameters and dtype: implementations that claim the same formula share its exact values."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], Reference] = {}

    def of(self, task: Task, quantity: str) -> Reference:
        dtype, question = judged_dtype(task, quantity), task.question
        key = (task.loss.name, tuple(sorted(task.params.items())), dtype.name, question.oracle, question.max_ulp)
        if key not in self._known:
            self._known[key] = Reference(task.params, dtype, question.oracle, question.max_ulp)
        return self._known[key]


def streams_of(task: Task, references: References) -> dict[str, Stream]:
    """The exact side of each quantity of a task."""
    implementation = task.subject.implementation
    return {
        quantity: Stream(references.of(task, quantity), formula_of(task.loss, implementation, quantity), task.target)
        for quantity in task.quantities
    }


def effects_of(task: Task, references: References) -> Effects:
    """What finds the effects of a task's implementation."""
    asked = {quantity: references.of(task, quantity) for quantity in task.quantities}
    return Effects(task.loss, task.subject.implementation, asked)


def engine_of(task: Task, references: References) -> Engine:
    """What scans a task. Compiled filters are worth keeping from chunk to chunk."""
    from losscheck.filter.running_error import NoFilterError
    from losscheck.measure.compiled import WORTHWHILE, CompiledEngine
    from losscheck.measure.edges import SampleEngine

    streams: Mapping[str, Stream] = streams_of(task, references)
    subject, grid = task.subject, task.grid
    effects = effects_of(task, references)
    if grid.sample is not None:
        return SampleEngine(call_of(task), streams, grid, effects)
    if grid.points >= WORTHWHILE and subject.device != "cpu" and (subject.backend, subject.mode) == ("torch", "eager"):
        from losscheck.backends.torch import BACKEND

        return ArrayEngine(BACKEND.prepare_tensors(prepared_of(task)), streams, grid, effects, device=subject.device)
    call = call_of(task)
    if grid.points >= WORTHWHILE and all(stream.reference.dtype is grid.dtype for stream in streams.values()):
        try:
            return CompiledEngine(call, streams, grid, effects)
        except (NoFilterError, ImportError):
            # No compiled filter for this formula, or no numba: the same rules on arrays, only slower.
            pass
    return ArrayEngine(call, streams, grid, effects)


def judged_dtype(task: Task, quantity: str) -> Format:
    """The dtype that comes out, in which it is judged: that of the logits but for autocast."""
    if not task.subject.mode.startswith("autocast"):
        return task.grid.dtype
    from losscheck.backends.torch import BACKEND

    return FORMATS[BACKEND.came_out(prepared_of(task))[quantity]]


def prepared_of(task: Task) -> Prepared:
    return Prepared(
        loss=task.loss,
        implementation=task.subject.implementation,
        params=task.params,
        dtype=task.grid.dtype,
        device=task.subject.device,
        target=task.target,
        gradient="grad" in task.quantities,
        digits=task.question.digits,
        mode=task.subject.mode,
    )


def call_of(task: Task) -> Call:
    call = backend_named(task.subject.backend).prepare(prepared_of(task))
    return call if task.layout == "body" else _in_tails(call)


def _in_tails(call: Call) -> Call:
    """The same call, a few elements at a time."""
    import numpy as np

    def pieces(logits: Any) -> tuple[Any, Any]:
        parts = [call(np.ascontiguousarray(logits[n : n + TAIL])) for n in range(0, len(logits), TAIL)]
        grads = [grad for _, grad in parts]
        return np.concatenate([loss for loss, _ in parts]), None if grads[0] is None else np.concatenate(grads)

    return pieces


def count_nans(task: Task) -> tuple[int, int]:
    """All NaN logits of the dtype, and for how many of them some quantity is a number."""
    import numpy as np

    dtype, call = task.grid.dtype, call_of(task)
    payloads = 2 ** (dtype.precision - 1) - 1
    wrong = 0
    for sign in (0, 1 << (dtype.bits - 1)):
        for start in range(1, payloads + 1, 2**20):
            count = min(2**20, payloads + 1 - start)
            bits = np.arange(start, start + count, dtype=np.int64) + (sign | dtype.infinity_ordinal)
            logits = _nan_logits(dtype, bits)
            try:
                results = call(logits)
            except (RuntimeError, ValueError):
                continue  # it refuses NaN, which is no wrong number
            numbers = [~np.isnan(values) for name, values in zip(("loss", "grad"), results, strict=True) if name in task.quantities]
            wrong += int(functools.reduce(np.logical_or, numbers).sum())
    return 2 * payloads, wrong


def _nan_logits(dtype: Format, bits: Any) -> Any:
    import numpy as np

    if dtype.name == "float16":
        return bits.astype(np.uint16).view(np.float16).astype(np.float32)
    return (bits << (32 - dtype.bits)).astype(np.uint32).view(np.float32)
