"""mpmath at a fixed number of decimal digits, rounded once to the dtype. It is no proof: see oracle/ for that."""

from __future__ import annotations

import functools
import math
from typing import Any

from losscheck.backends import Batch, Call, Prepared, Result
from losscheck.core.loss import Formula
from losscheck.core.reductions import exact_weights
from losscheck.oracle.refine import Term, at_precision


class MpmathBackend:
    name = "mpmath"
    modes = ("eager",)

    def devices(self) -> list[str]:
        return ["cpu"]

    def why_unavailable(self, device: str, mode: str = "eager") -> str:
        return "" if device == "cpu" else "mpmath runs on the cpu alone"

    def run(self, batch: Batch) -> Result:
        points = list(zip(batch.logits, batch.targets, strict=True))
        if batch.reduction == "none":
            return Result(
                [self._sum(batch, batch.loss.formula, [Term(*each)]) for each in points],
                [self._sum(batch, batch.loss.gradient, [Term(*each)]) for each in points] if batch.gradient else [],
            )
        weights = exact_weights(batch.loss, batch.implementation, batch.reduction, batch.targets, batch.shape, batch.params)
        terms = [Term(*each, weight) for each, weight in zip(points, weights, strict=True)]
        grads = [self._sum(batch, batch.loss.gradient, [term]) for term in terms] if batch.gradient else []
        return Result([self._sum(batch, batch.loss.formula, terms)], grads)

    def prepare(self, subject: Prepared) -> Call:
        import numpy as np

        wide = np.float64 if subject.dtype.bits == 64 else np.float32

        def call(logits: Any) -> tuple[Any, Any]:
            xs = [float(each) for each in logits]
            result = self.run(
                Batch(
                    loss=subject.loss,
                    implementation=subject.implementation,
                    logits=xs,
                    targets=[subject.target] * len(xs),
                    params=subject.params,
                    dtype=subject.dtype,
                    device="cpu",
                    digits=subject.digits,
                    gradient=subject.gradient,
                )
            )
            return np.array(result.loss, wide), np.array(result.grad, wide) if subject.gradient else None

        return call

    def _sum(self, batch: Batch, formula: Formula, terms: list[Term]) -> float:
        def bound(m: Any, logit: Any, target: Any, **params: Any) -> Any:
            return batch.implementation.function(functools.partial(formula, m), logit, target, **params)

        bits = math.ceil(batch.digits * math.log2(10)) + 1
        return at_precision(bound, terms, batch.params, batch.dtype, bits=bits, oracle="mpmath")


BACKEND = MpmathBackend()
