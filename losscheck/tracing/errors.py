"""The three errors of an op: total, own and local; and what is too much."""

from __future__ import annotations

import math
from typing import Any

from losscheck.core.dtypes import Format
from losscheck.core.error import ulp_error
from losscheck.core.exact import Exact, Kind
from losscheck.oracle.extended_rounding import exact_of
from losscheck.tracing.replay import ExactRun
from losscheck.tracing.tape import Operation

__all__ = ["LIMIT", "element_error", "local_error", "own_error", "total_error"]

# |ulp| above which a quantity has a cause to be found.
LIMIT = 8.0


def element_error(computed: Any, exact: Exact, dtype: Format) -> float:
    """|ulp|; infinite for a wrong NaN or infinity, NaN while the exact value is undecided."""
    if exact.kind is Kind.UNDECIDED:
        return math.nan
    if computed == exact.rounded:
        # An infinity that is right, or a number within half an ulp.
        return 0.0 if math.isinf(exact.rounded) else abs(ulp_error(computed, exact, dtype))
    error = abs(ulp_error(computed, exact, dtype))
    return math.inf if math.isnan(error) else error


def total_error(run: ExactRun, element: int) -> float:
    """Of a computed element against exact arithmetic from the start."""
    elements = run.recording.tape.elements
    dtype = elements.formats[element]
    if dtype is None:
        return 0.0 if elements.computed[element] == run.values[element] else math.nan
    return element_error(elements.computed[element], run.exact(element), dtype)


def own_error(run: ExactRun, op: Operation, computed: list[Any] | None = None) -> dict[int, float]:
    """By element made: the error of the op on its computed inputs."""
    elements = run.recording.tape.elements
    computed = elements.computed if computed is None else computed
    inputs = {element: computed[element] for element in op.taken}
    return {
        element: element_error(computed[element], exact_of(value, dtype, run.bits), dtype)
        for element, value in run.locally(op, inputs).items()
        if (dtype := elements.formats[element]) is not None
    }


def local_error(run: ExactRun, op: Operation) -> dict[int, float]:
    """By element made: the error of the correctly rounded op on correctly rounded exact inputs."""
    elements = run.recording.tape.elements
    inputs = {element: run.rounded(element) for element in op.taken}
    errors = {}
    for element, value in run.locally(op, inputs).items():
        if (dtype := elements.formats[element]) is not None:
            result = exact_of(value, dtype, run.bits)
            undecided = result.kind is Kind.UNDECIDED
            errors[element] = math.nan if undecided else element_error(result.rounded, run.exact(element), dtype)
    return errors
