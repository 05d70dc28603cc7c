"""Points of a sweep that an implementation refuses: each stands by itself, and takes none of its neighbours along."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from losscheck.core.effect import Effect
from losscheck.core.outcome import Outcome
from losscheck.filter.classify import CODE, FAILING
from losscheck.measure.call import Caller
from losscheck.measure.reference import Judged

__all__ = ["NO_EFFECT", "REFUSED", "SEGMENTED", "BlockResult", "answering", "scattered"]

REFUSED = CODE[Outcome.UNAVAILABLE]
SEGMENTED = FAILING | {REFUSED}  # the outcomes of which a sweep tells the regions
ORDINARY = (1.0, -1.0, 0.25)  # what refuses these too is no loss with exceptions, but one that does not run


class BlockResult(NamedTuple):
    """Losses and gradients (None where none are asked); by quantity where it refused, NaN stands there, and why at the first."""

    loss: Any
    grad: Any
    refused: Mapping[str, Any] = {}
    reason: str = ""

    def part(self, kept: Any) -> BlockResult:
        """At some points alone."""
        refused = {quantity: mask[kept] for quantity, mask in self.refused.items()}
        return BlockResult(self.loss[kept], None if self.grad is None else self.grad[kept], refused, self.reason)


def answering(caller: Caller, target: float) -> Callable[[Any], BlockResult]:
    """``call(logits)`` at a target.

    Raises:
        Exception: what the implementation raises, when it answers at no ordinary logit either.
    """
    answers: dict[str, bool] = {}

    def call(logits: Any) -> BlockResult:
        try:
            output = caller(logits, target)
            return BlockResult(output.loss, output.grad)
        except Exception as error:
            reason = caller.refusal(error).reason  # a bug of ours goes on
            if not answers.setdefault("some", _answers(caller, target)):
                raise
        return _one_by_one(caller, logits, target, reason)

    return call


def _answers(caller: Caller, target: float) -> bool:
    return any(piece.output is not None for piece in caller.pieces(ORDINARY, (target,) * len(ORDINARY)))


def _one_by_one(caller: Caller, logits: Any, target: float, reason: str) -> BlockResult:
    import numpy as np

    count, wide = len(logits), np.float64 if caller.invocation.dtype.bits == 64 else np.float32
    loss, grad = np.full(count, np.nan, wide), np.full(count, np.nan, wide)
    refused = {"loss": np.ones(count, bool), "grad": np.ones(count, bool)}
    for piece in caller.pieces(logits, target):
        here = slice(piece.start, piece.stop)
        if piece.output is not None:
            loss[here], refused["loss"][here] = piece.output.loss, False
            if piece.output.grad is not None:
                grad[here], refused["grad"][here] = piece.output.grad, False
    return BlockResult(loss, grad if caller.invocation.gradient else None, refused, reason)


def scattered(xp: Any, judged: Judged, kept: Any, code: int) -> Judged:
    """What was judged of some points as that of all, the others of one code."""
    codes, ulps = xp.full(len(kept), code), xp.zeros(len(kept))
    codes[kept], ulps[kept] = judged.codes, judged.ulps
    return Judged(codes, ulps, judged.settled, judged.errors)


NO_EFFECT = Effect.SOUND.severity  # of a point that has no result
