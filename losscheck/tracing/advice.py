"""What is said about one callable: why it fails at a point, and what to write instead. Nothing in it that was not tried."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from losscheck.tracing.batch import Batch
from losscheck.tracing.cures.remedy import CLASSES, Remedies, Remedy, remedies
from losscheck.tracing.cures.trial import CannotTryError, patched
from losscheck.tracing.facts import facts_of
from losscheck.tracing.graph import graph_of
from losscheck.tracing.judging import trace
from losscheck.tracing.report import Quantity, Trace

__all__ = ["Advice", "advise", "worst_point"]

# Sizes of logits where losses break: kernels change, exponentials of each dtype overflow, underflow and saturate.
SIZES = (0.0, 1e-3, 0.5, 2.0, 5.0, 9.0, 12.0, 15.0, 17.0, 20.0, 30.0, 40.0, 60.0, 80.0, 88.0, 90.0, 100.0, 104.0)


@dataclass(frozen=True)
class Advice:
    """A trace and its remedies.

    Attributes:
        name: what the callable is called.
        trace: of the point, with the causes.
        remedies: empty where nothing fails and no guard is active.
        swept: of how many points this one is the worst; 0 where it was given.
        batch: of which this is one element; None where the point was given or searched for.
        here: the worst |ulp| of losses and of gradients at this point once the patch of the cure is applied; None where there is no patch.
    """

    name: str
    trace: Trace
    remedies: Remedies
    swept: int = 0
    here: tuple[float, float] | None = None
    batch: Batch | None = None

    @property
    def judged(self) -> bool:
        """Did a loss come out that could be compared with the truth?"""
        return bool(self.trace.quantities)

    def facts(self, *, all_ops: bool = False) -> dict[str, Any]:
        """Flat, plain values, as ``losscheck trace --format json`` prints them."""
        facts = facts_of(self.trace, self.remedies, name=self.name, swept=self.swept, here=self.here, all_ops=all_ops)
        return {**facts, "graph": graph_of(self.trace), "batch": self.batch.facts(all_ops=all_ops) if self.batch else None}

    def explain(self, *, width: int = 80, all_ops: bool = False) -> str:
        """The report of ``losscheck trace`` as text."""
        return self._rendered("table", width, all_ops)

    def _repr_html_(self) -> str:
        return self._rendered("html", 80, False)

    def _rendered(self, format_name: str, width: int, all_ops: bool) -> str:
        from losscheck.core.report import Inventory
        from losscheck.renderers import Style, render

        return render(format_name, Inventory("trace", self.facts(all_ops=all_ops)), Style(width=width))


def advise(
    function: Callable[[Any, Any], Any],
    logits: Any = None,
    targets: Any = None,
    *,
    dtype: str | None = None,
    soft: bool | None = None,
    name: str = "",
) -> Advice:
    """Trace a callable and search for what to write instead.

    Args:
        function: f(logits, targets) on torch tensors.
        logits, targets: numbers, sequences or tensors; without logits the worst point of a small sweep, at the target given or at 0 and 1.
        dtype: as of :func:`losscheck.tracing.judging.trace`.
        soft: as of :func:`losscheck.tracing.cures.remedy.remedies`.

    Raises:
        UserError: as :func:`losscheck.tracing.judging.trace`.
    """
    swept = 0
    if logits is None:
        sweep_targets = CLASSES if targets is None else (float(targets),)
        logits, targets = worst_point(function, dtype or "float32", sweep_targets)
        swept = len(sweep_targets) * len(_logits())
    traced = trace(function, logits, 1.0 if targets is None else targets, dtype=dtype)
    wanted = bool(traced.failing or traced.deviations)
    found = remedies(function, traced.dtype, soft=soft) if wanted else Remedies()
    return Advice(name, traced, found, swept, _here(found.cure, function, traced))


def worst_point(function: Callable[[Any, Any], Any], dtype: str, targets: Sequence[float]) -> tuple[float, float]:
    """The (logit, target) of a small sweep with the largest error; among NaN and infinities the one with the smallest logit."""
    points = [(logit, target) for target in targets for logit in _logits()]
    return max(points, key=lambda point: (_worst(trace(function, *point, dtype=dtype)), -abs(point[0])))


def _logits() -> list[float]:
    return sorted({sign * size for size in SIZES for sign in (1.0, -1.0)})


def _worst(traced: Trace) -> float:
    """The largest |ulp|, infinite for a wrong NaN or infinity; what cannot be judged counts for nothing."""
    return max(map(_error, traced.failing), default=0.0)


def _error(quantity: Quantity) -> float:
    return math.inf if quantity.outcome.failed and math.isnan(quantity.ulp) else abs(quantity.ulp)


def _here(cure: Remedy | None, function: Callable[[Any, Any], Any], traced: Trace) -> tuple[float, float] | None:
    if cure is None or not cure.patches:
        return None
    try:
        with patched(cure.patches):
            quantities = trace(function, traced.logits, traced.targets, dtype=traced.dtype).quantities
    except CannotTryError:
        return None
    loss, gradient = (max((_error(known) for known in quantities if known.name == name), default=0.0) for name in ("loss", "grad"))
    return loss, gradient
