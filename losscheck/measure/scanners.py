"""What scans one task of a sweep: its call, its exact side, and the engine that its size and device ask for."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from losscheck.backends import Call, Prepared, backend_named
from losscheck.core.dtypes import FORMATS, Format
from losscheck.measure.exact_side import formula_of
from losscheck.measure.examine import Examiner
from losscheck.measure.summary import Summary
from losscheck.measure.task import Task

__all__ = ["call_of", "count_nans", "examiner_of", "judged_dtype", "prepared_of", "scanner_of"]

TAIL = 3  # shorter than any vector register: every element of such a tensor goes through scalar code

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
        from losscheck.backends.torch import BACKEND
        from losscheck.measure.device import DeviceScanner

        return DeviceScanner(BACKEND.prepare_tensors(prepared_of(task)), examiners, task.grid, task.subject.device).scan
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
    """The dtype that comes out, in which it is judged: that of the logits but for autocast."""
    if not task.subject.mode.startswith("autocast"):
        return task.grid.dtype
    from losscheck.backends.torch import BACKEND

    return FORMATS[BACKEND.came_out(prepared_of(task))[quantity]]


@functools.lru_cache(maxsize=64)
def _shared_examiner(
    formula: Any, differentiate: bool, target: float, params: tuple[tuple[str, float], ...], dtype: str, oracle: str, max_ulp: float
) -> Examiner:
    """Implementations that claim the same formula share its exact values."""
    return Examiner(formula, differentiate, target, dict(params), FORMATS[dtype], oracle, max_ulp)


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
            numbers = [~np.isnan(each) for name, each in zip(("loss", "grad"), results, strict=True) if name in task.quantities]
            wrong += int(functools.reduce(np.logical_or, numbers).sum())
    return 2 * payloads, wrong


def _nan_logits(dtype: Format, bits: Any) -> Any:
    import numpy as np

    if dtype.name == "float16":
        return bits.astype(np.uint16).view(np.float16).astype(np.float32)
    return (bits << (32 - dtype.bits)).astype(np.uint32).view(np.float32)
