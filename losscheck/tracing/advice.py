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
from losscheck.tracing.judging import outcomes_of, trace
from losscheck.tracing.mistaken import BEYOND, takes_probabilities, with_mistakes
from losscheck.tracing.recording import as_tensor, record
from losscheck.tracing.report import DeviationKind, Quantity, Trace

__all__ = ["TraceAdvice", "advise", "worst_point"]

# Sizes of logits where losses break: kernels change, exponentials of each dtype overflow, underflow and saturate.
SIZES = (0.0, 1e-3, 0.5, 2.0, 5.0, 9.0, 12.0, 15.0, 17.0, 20.0, 30.0, 40.0, 60.0, 80.0, 88.0, 90.0, 100.0, 104.0)
TELLING = (17.0, 100.0, 40.0)  # of them, where most break
MOST_OPS = 120_000  # that a sweep runs exactly: some ten seconds


@dataclass(frozen=True)
class TraceAdvice:
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
) -> TraceAdvice:
    """Trace a callable and search for what to write instead.

    Args:
        function: f(logits, targets) on torch tensors.
        logits, targets: numbers, sequences or tensors; without logits the worst point of a small sweep, at the target given or at 0 and 1;
            of a callable that takes probabilities, one that is none.
        dtype: as of :func:`losscheck.tracing.judging.trace`.
        soft: as of :func:`losscheck.tracing.cures.remedy.remedies`.

    Raises:
        UserError: as :func:`losscheck.tracing.judging.trace`.
    """
    swept = 0
    if logits is None and takes_probabilities(function) and targets in (None, *BEYOND):
        targets = 1.0 if targets is None else targets
        logits = BEYOND[targets]
    elif logits is None:
        sweep_targets = CLASSES if targets is None else (float(targets),)
        points = _points(function, dtype or "float32", sweep_targets)
        logits, targets = _worst_of(function, dtype or "float32", points)
        swept = len(points)
    traced = with_mistakes(function, trace(function, logits, 1.0 if targets is None else targets, dtype=dtype))
    twice = any(deviation.kind is DeviationKind.DOUBLE_SIGMOID for deviation in traced.deviations)
    # What rounds better and is another loss helps nobody.
    wanted = bool(traced.failing or traced.deviations) and not twice
    kind = _torch_dtype(traced.dtype)
    call = tuple(as_tensor(values, kind) for values in (logits, 1.0 if targets is None else targets))
    found = remedies(function, traced.dtype, soft=soft, call=(call[0], call[1])) if wanted else Remedies()
    return TraceAdvice(name, traced, found, swept, _here(found.cure, function, traced))


def worst_point(function: Callable[[Any, Any], Any], dtype: str, targets: Sequence[float]) -> tuple[float, float]:
    """The (logit, target) of a small sweep with the largest error; among NaN and infinities the one with the smallest logit."""
    return _worst_of(function, dtype, _points(function, dtype, targets))


def _worst_of(function: Callable[[Any, Any], Any], dtype: str, points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return max(points, key=lambda point: (_worst(function, point, dtype), -abs(point[0])))


def _points(function: Callable[[Any, Any], Any], dtype: str, targets: Sequence[float]) -> list[tuple[float, float]]:
    """Of a program of many ops as many as are affordable, those first at which most losses break."""
    kind = _torch_dtype(dtype)
    ops = len(record(function, *(as_tensor(value, kind) for value in (2.0, targets[0]))).operations)
    logits = sorted({sign * size for size in SIZES for sign in (1.0, -1.0)})
    if ops * len(logits) * len(targets) > MOST_OPS:
        logits = sorted((sign * size for size in TELLING for sign in (1.0, -1.0)), key=abs)[: max(MOST_OPS // (ops * len(targets)), 2)]
    return [(logit, target) for target in targets for logit in logits]


def _worst(function: Callable[[Any, Any], Any], point: tuple[float, float], dtype: str) -> float:
    """The largest |ulp|, infinite for a wrong NaN or infinity; what cannot be judged counts for nothing."""
    kind = _torch_dtype(dtype)
    quantities = outcomes_of(function, *(as_tensor(value, kind) for value in point), raising=False)
    return max((_error(quantity) for quantity in quantities if quantity.outcome.failed), default=0.0)


def _torch_dtype(dtype: str) -> Any:
    import torch

    return getattr(torch, dtype)


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
