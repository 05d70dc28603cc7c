"""What scans one task of a sweep: its call, its exact side, and the engine that its size and device ask for."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from losscheck.core.dtypes import FORMATS, Format
from losscheck.core.loss import Loss
from losscheck.core.request import Subject
from losscheck.measure.call import Caller
from losscheck.measure.exact_side import formula_of
from losscheck.measure.examine import Examiner
from losscheck.measure.summary import Summary
from losscheck.measure.task import Task

__all__ = ["call_of", "caller_of", "count_nans", "device_call_of", "examiner_of", "judged_dtype", "scanner_of"]

_LAST_SCANNER: list[Any] = [None, None]


def scanner_of(task: Task) -> Callable[[int, int], dict[str, Summary]]:
    """Compiled filters are kept from chunk to chunk of one task."""
    if _LAST_SCANNER[0] is not task:
        _LAST_SCANNER[:] = [task, _make_scanner(task)]
    scan: Callable[[int, int], dict[str, Summary]] = _LAST_SCANNER[1]
    return scan


def _make_scanner(task: Task) -> Callable[[int, int], dict[str, Summary]]:
    from losscheck.filter.running_error import NoFilterError
    from losscheck.measure.compiled import WORTHWHILE, CompiledScanner
    from losscheck.measure.edges import scan_sample
    from losscheck.measure.scan import BlockScanner

    examiners = {quantity: examiner_of(task, quantity) for quantity in task.quantities}
    call = call_of(task)
    if task.grid.sample is not None:
        return lambda first, last: scan_sample(call, examiners, task.grid)
    if task.grid.points >= WORTHWHILE and task.subject.device != "cpu" and (task.subject.backend, task.subject.mode) == ("torch", "eager"):
        from losscheck.measure.device import DeviceScanner

        return DeviceScanner(device_call_of(task), examiners, task.grid, task.subject.device).scan
    if task.grid.points >= WORTHWHILE and all(each.dtype is task.grid.dtype for each in examiners.values()):
        try:
            return CompiledScanner(call, examiners, task.grid).scan
        except (NoFilterError, ImportError):
            # No compiled filter for this formula, or no numba: the same rules on arrays, only slower.
            pass
    return BlockScanner(call, examiners, task.grid).scan


def examiner_of(task: Task, quantity: str) -> Examiner:
    formula, differentiate = formula_of(task.loss, task.subject.implementation, quantity)
    names = tuple(sorted(task.params.items()))
    dtype = judged_dtype(task, quantity).name
    return _shared_examiner(formula, differentiate, task.target, names, dtype, task.question.oracle, task.question.max_ulp)


def judged_dtype(task: Task, quantity: str) -> Format:
    """The dtype that comes out, in which it is judged."""
    return caller_of(task).dtypes()[quantity]


@functools.lru_cache(maxsize=64)
def _shared_examiner(
    formula: Any, differentiate: bool, target: float, params: tuple[tuple[str, float], ...], dtype: str, oracle: str, max_ulp: float
) -> Examiner:
    """Implementations that claim the same formula share its exact values."""
    return Examiner(formula, differentiate, target, dict(params), FORMATS[dtype], oracle, max_ulp)


# A caller holds what was compiled for it; those of the tasks at hand are kept.
@functools.lru_cache(maxsize=8)
def _shared_caller(loss: Loss, subject: Subject, params: tuple[tuple[str, float], ...], dtype: str, more: tuple[bool, int, str]) -> Caller:
    gradient, digits, layout = more
    return Caller(loss, subject, dict(params), FORMATS[dtype], gradient=gradient, digits=digits, layout=layout)


def caller_of(task: Task) -> Caller:
    """The caller of a task's subject; tasks that differ in their targets alone share it."""
    more = "grad" in task.quantities, task.question.digits, task.layout
    return _shared_caller(task.loss, task.subject, tuple(task.params.items()), task.grid.dtype.name, more)


def call_of(task: Task) -> Callable[[Any], tuple[Any, Any]]:
    """``call(logits)``: losses and gradients (None where none are asked) at the task's target, as arrays."""
    caller, target = caller_of(task), task.target

    def call(logits: Any) -> tuple[Any, Any]:
        output = caller(logits, target)
        return output.loss, output.grad

    return call


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
        for start in range(1, payloads + 1, 2**20):
            count = min(2**20, payloads + 1 - start)
            bits = np.arange(start, start + count, dtype=np.int64) + (sign | dtype.infinity_ordinal)
            try:
                output = caller(_nan_logits(dtype, bits), task.target)
            except Exception as error:
                caller.refusal(error)  # a bug of ours goes on
                continue  # it refuses NaN, which is no wrong number
            number = np.zeros(count, bool)
            for quantity, values in (("loss", output.loss), ("grad", output.grad)):
                if quantity in task.quantities:
                    number |= ~np.isnan(values)
            wrong += int(number.sum())
    return 2 * payloads, wrong


def _nan_logits(dtype: Format, bits: Any) -> Any:
    import numpy as np

    if dtype.name == "float16":
        return bits.astype(np.uint16).view(np.float16).astype(np.float32)
    return (bits << (32 - dtype.bits)).astype(np.uint32).view(np.float32)
