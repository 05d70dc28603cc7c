"""What is compiled for a task, when it is first needed: its formulas and rules as loops over arrays."""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping
from typing import Any

from losscheck.filter.classify import UNDECIDED, Limits, decide, decide_arrays
from losscheck.filter.codegen import Expression, ExpressionOperations, LoopBody, compile_loop, trace
from losscheck.measure.effect_stream import Effects
from losscheck.measure.engine import Stream
from losscheck.measure.reference import ENOUGH, Claim, quiet

__all__ = ["Decider", "FormulaLoop", "bits_of"]

# Floats of one scan that numpy judges as fast as a loop is compiled.
FEW = 2**17


def bits_of(ulps: Any) -> Any:
    """|ulp| of an array as the bits of a float32 of the same bucket, as :func:`losscheck.filter.kernels.narrowed` has it."""
    import numpy as np

    size = np.abs(ulps)
    finite = np.where(size < 3.4028234663852886e38, size, np.where(size < 2.0**1000, 3.4028234663852886e38, np.inf))
    with np.errstate(under="ignore"):
        return (finite.view(np.int64) & -536870912).view(np.float64).astype(np.float32).view(np.int32)


class FormulaLoop:
    """The filter, the outcomes and the effects of a task's formulas at every logit: where no polynomial is known.

    Called with logits and results it fills codes and sizes of each stream and of the effects, and errors by quantity.

    Raises:
        NoFilterError: where a formula cannot be traced.
    """

    def __init__(self, streams: Mapping[str, Stream], effects: Effects | None) -> None:
        self.code, self.outputs = _traced(streams, effects)
        self.inputs = ("logit", *streams)

    @functools.cached_property
    def call(self) -> Any:
        return compile_loop(self.code, self.inputs, self.outputs)


class Decider:
    """Outcomes against known values and bounds: by numpy while they are few, then compiled; the same to the bit."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.done = 0

    def __call__(self, value: Any, exact: Any, bound: Any, code: Any, size: Any) -> None:
        """Fill code and size (bits of float32) of the float32 ``value`` returned."""
        import numpy as np

        self.done += len(value)
        if self.done <= FEW:
            with quiet(np):
                codes, ulps = decide_arrays(np, value.astype(np.float64), exact, bound, self.limits)
                code[:], size[:] = codes, bits_of(ulps)
        else:
            self._loop(value, exact, bound, code, size.view(np.float32))

    @functools.cached_property
    def _loop(self) -> Any:
        code = LoopBody()
        names = "value", "exact", "bound"
        value, exact, bound = (Expression(code, name) for name in names)
        codes, ulp = decide(ExpressionOperations(code), value, exact, bound, self.limits)
        return compile_loop(code, names, {"code": codes.name, "size": f"narrowed(abs({ulp.name}))"}, contract=False)


def _traced(streams: Mapping[str, Stream], effects: Effects | None) -> tuple[LoopBody, dict[str, str]]:
    """What the formulas of a task have in common is computed once."""
    code = LoopBody()
    operations, logit = ExpressionOperations(code), Expression(code, "logit")
    values = {quantity: Expression(code, quantity) for quantity in streams}
    outputs: dict[str, str] = {}
    codes = {}

    def filtered(stream: Stream, claim: Claim) -> tuple[Expression, Expression]:
        reference = stream.reference
        return trace(code, claim.formula, logit, stream.target, reference.params, reference.dtype, claim.differentiate)

    for quantity, stream in streams.items():
        codes[quantity], ulp = decide(operations, values[quantity], *filtered(stream, stream.claim), stream.reference.limits)
        outputs |= {f"{quantity}_code": codes[quantity].name, f"{quantity}_size": f"narrowed(abs({ulp.name}))"}
    if effects:
        exact = {quantity: filtered(stream, effects.definition(quantity)) for quantity, stream in streams.items()}
        failed = functools.reduce(operator.or_, (outcome < UNDECIDED for outcome in codes.values()))
        known = functools.reduce(operator.and_, ((bound <= ENOUGH) | (abs(right) < 2.0**-900) for right, bound in exact.values()))
        effect, size, errors = effects.rules(operations, logit, values, {name: right for name, (right, _) in exact.items()}, failed)
        effect = operations.where(known, effect, UNDECIDED)
        outputs |= {"effect_code": effect.name, "effect_size": f"narrowed({size.name})"}
        outputs |= {f"{quantity}_error": operations.where(known, error, 0.0).name for quantity, error in errors.items()}
    return code, outputs
