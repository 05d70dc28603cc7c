"""The recorded program as a formula over our arithmetics: a callable's own exact formula, read off what it does.

Casts are the identity, constants are as the kernels hold them, thresholds inside kernels are rounding and no part of it; the branches
that the program takes are those it takes at the target (and the sign of the logit) that it was recorded at.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from losscheck.core.dtypes import FLOAT32, Format
from losscheck.core.errors import UserError
from losscheck.core.loss import Formula
from losscheck.oracle.extended import UndecidedError
from losscheck.tracing.operators import Operators
from losscheck.tracing.recording import Recording, record
from losscheck.tracing.tape import Kind, Operation

__all__ = ["derived_formula", "derived_gradient"]

# A logit at which nothing overflows, saturates or ties.
REPRESENTATIVE = 0.40625
# PyTorch keeps a number beside 16-bit tensors in float32 in these ops, and in the tensor's dtype in all others.
WIDE = frozenset({"mul", "div", "lerp", "softplus", "softplus_backward", "leaky_relu", "leaky_relu_backward", "addcmul", "addcdiv"})


def derived_formula(function: Callable[[Any, Any], Any], dtype: Format) -> Formula:
    """``formula(m, logit, target, **_)`` of one element of the callable's loss.

    The callable is recorded once for each target, when the formula meets it first; its constants are those of that call.

    Raises (when the formula is evaluated):
        UserError: when the callable raises, leaves the trace, or has an op that is not known exactly.
    """
    return _Derived(function, dtype, gradient=False)


def derived_gradient(function: Callable[[Any, Any], Any], dtype: Format) -> Formula:
    """The same of the slope that its backward pass computes, which need not be the derivative of its formula."""
    return _Derived(function, dtype, gradient=True)


class _Derived:
    """A formula recorded on demand, target by target."""

    def __init__(self, function: Callable[[Any, Any], Any], dtype: Format, gradient: bool) -> None:
        self.function = function
        self.dtype = dtype
        self.gradient = gradient
        self._recorded: dict[float, Recording] = {}

    def __call__(self, m: Any, logit: Any, target: Any, **_: Any) -> Any:
        recording = self.at(m.as_float(target))
        wanted = (recording.gradient if self.gradient else recording.loss)[0]
        try:
            return _evaluate(recording, Operators(m), logit, target, wanted)
        except UndecidedError:
            # NaN is enclosed by nothing, in its value and its slope: the precision is raised.
            return logit * m.number(math.nan)

    def at(self, target: float) -> Recording:
        """The recording at a target."""
        if target not in self._recorded:
            self._recorded[target] = _recorded(self.function, target, self.dtype, self.gradient)
        return self._recorded[target]


def _recorded(function: Callable[[Any, Any], Any], target: float, dtype: Format, gradient: bool) -> Recording:
    import torch

    torch_dtype = getattr(torch, dtype.name)
    recording = record(
        function, torch.tensor([REPRESENTATIVE], dtype=torch_dtype), torch.tensor([target], dtype=torch_dtype), backward=gradient
    )
    if recording.error is not None:
        raise UserError(f"the callable raises ({type(recording.error).__name__}: {recording.error})", "it has no formula of its own")
    unknown = sorted({op.name for op in recording.operations if op.kind == Kind.TAKEN and op.format is not None})
    if unknown:
        raise UserError(f"no exact definition of {', '.join(unknown)}", "write the formula by hand, or add the op to losscheck/tracing/ops")
    if len(recording.loss) != 1 or (gradient and not recording.gradient):
        raise UserError("the callable returns no loss of one element", "it has no formula of its own")
    return recording


def _evaluate(recording: Recording, m: Operators, logit: Any, target: Any, wanted: int) -> Any:
    """The wanted element with the logit and the target as given; only what it depends on is computed."""
    elements = recording.tape.elements
    values: list[Any] = list(elements.computed)
    values[recording.logits[0]], values[recording.targets[0]] = logit, target
    given = {recording.logits[0], recording.targets[0]}
    for element, value in enumerate(elements.computed):
        if element not in given and not isinstance(value, bool):
            values[element] = m.number(_held(recording, element, float(value)))
    for op in recording.operations:
        if op.plan is not None and op.index in _needed(recording, wanted):
            for made, taken in op.plan.calls:
                results = op.plan.function(m, [values[element] for element in taken])
                for element, result in zip(made, results, strict=True):
                    values[element] = result
    return values[wanted]


def _needed(recording: Recording, wanted: int) -> set[int]:
    """The ops that an element depends on (remembered on the recording)."""
    memo: dict[int, set[int]] = recording.__dict__.setdefault("_needed", {})
    if wanted not in memo:
        from losscheck.tracing.replay import needed_for

        memo[wanted] = {op.index for op in needed_for(recording, [wanted])}
    return memo[wanted]


def _held(recording: Recording, element: int, value: float) -> float:
    """A constant as the kernel holds it; anything else as it is."""
    op_index = recording.tape.elements.constants.get(element)
    if op_index is None or not math.isfinite(value):
        return value
    op = recording.operations[op_index]
    dtype = op.format or _format_taken(recording, op)
    if dtype is None:
        return value
    return (FLOAT32 if dtype.bits == 16 and op.name in WIDE else dtype).round(value)


def _format_taken(recording: Recording, op: Operation) -> Format | None:
    formats = recording.tape.elements.formats
    return next((formats[element] for element in sorted(op.taken) if formats[element] is not None), None)
