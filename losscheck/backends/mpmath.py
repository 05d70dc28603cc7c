"""mpmath at a fixed number of decimal digits, rounded once to the dtype. It is no proof: see oracle/ for that."""

from __future__ import annotations

import functools
import math
from typing import Any

from losscheck.backends import Call, Invocation, Output
from losscheck.core.loss import Formula
from losscheck.core.reductions import exact_weights
from losscheck.oracle.refine import Term, at_precision


class MpmathBackend:
    name = "mpmath"
    modes = ("eager",)
    lanes = 1
    compiled_by_shape = ()

    def devices(self) -> list[str]:
        return ["cpu"]

    def why_unavailable(self, device: str, mode: str = "eager") -> str:
        return "" if device == "cpu" else "mpmath runs on the cpu alone"

    def prepare(self, invocation: Invocation) -> Call:
        loss = invocation.loss

        def call(logits: Any, targets: Any) -> Output:
            terms = [[Term(*point)] for point in _points(logits, targets)]
            grads = [_sum(invocation, loss.gradient, term) for term in terms] if invocation.gradient else None
            return Output([_sum(invocation, loss.formula, term) for term in terms], grads, invocation.dtype, invocation.dtype)

        return call

    def prepare_whole(self, invocation: Invocation, reduction: str, shape: tuple[int, ...] = ()) -> Call:
        loss = invocation.loss

        def call(logits: Any, targets: Any) -> Output:
            points = _points(logits, targets)
            every_target = [target for _, target in points]
            weights = exact_weights(loss, invocation.implementation, reduction, every_target, shape or (len(points),), invocation.params)
            terms = [Term(*point, weight) for point, weight in zip(points, weights, strict=True)]
            grads = [_sum(invocation, loss.gradient, [term]) for term in terms] if invocation.gradient else None
            return Output([_sum(invocation, loss.formula, terms)], grads, invocation.dtype, invocation.dtype)

        return call


def _points(logits: Any, targets: Any) -> list[tuple[float, float]]:
    """(logit, target) pairs; numpy, which is not needed here, is not imported for them."""
    xs = [float(logit) for logit in logits]
    zs = [float(target) for target in targets] if hasattr(targets, "__len__") else [float(targets)] * len(xs)
    return list(zip(xs, zs, strict=True))


def _sum(invocation: Invocation, formula: Formula, terms: list[Term]) -> float:
    def bound(m: Any, logit: Any, target: Any, **params: Any) -> Any:
        return invocation.implementation.function(functools.partial(formula, m), logit, target, **params)

    bits = math.ceil(invocation.digits * math.log2(10)) + 1
    return at_precision(bound, terms, invocation.params, invocation.dtype, bits=bits, oracle="mpmath")


BACKEND = MpmathBackend()
