"""An implementation called on blocks of elements; elements it refuses do not take others with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from losscheck.core.absence import Unavailable
from losscheck.core.dtypes import Format
from losscheck.core.loss import Loss
from losscheck.core.request import Request, Subject
from losscheck.measure.absent import lacks, why_unavailable
from losscheck.measure.call import Caller, Piece
from losscheck.measure.reference import distinct

__all__ = ["BLOCK", "BatchCaller", "Computed", "RefusedError"]

# Elements of a block: what Python does a block is then little, and its float64 arrays are not far from the processor.
BLOCK = 2**16
PROBES = 8


class RefusedError(Exception):
    """The implementation answers for no element; the message says why."""


@dataclass(frozen=True)
class Computed:
    """Losses and gradients of some elements as float64 arrays (the latter None without); by quantity, where it refused (NaN
    stands there), and the dtype that came out."""

    loss: Any
    gradient: Any
    refused: dict[str, Any]
    dtypes: dict[str, Format]

    def answered(self, *quantities: str) -> Any:
        """An index of the elements that have all of these quantities; where every element does, one that copies nothing."""
        import numpy as np

        refused = np.logical_or.reduce([self.refused[quantity] for quantity in quantities])
        return ~refused if refused.any() else slice(None)

    def at(self, places: Any) -> Computed:
        """The elements at some places."""
        gradient = None if self.gradient is None else self.gradient[places]
        return Computed(self.loss[places], gradient, {name: mask[places] for name, mask in self.refused.items()}, self.dtypes)


class BatchCaller:
    """One subject on the blocks of a batch; it remembers whether it has answered, the first reason why not, and why it has no gradients."""

    def __init__(self, question: Request, loss: Loss, subject: Subject, params: dict[str, float], dtype: Format) -> None:
        self.question, self.loss, self.subject, self.params, self.dtype = question, loss, subject, params, dtype
        self.caller = Caller(loss, subject, params, dtype, gradient="grad" in question.quantities, digits=question.digits)
        self.reason = self.no_gradient = ""
        self.answered = False

    def why_unavailable(self) -> Unavailable | None:
        """Why it cannot answer at all; None when it can."""
        return why_unavailable(self.loss, self.subject, self.params) or lacks(self.subject, "loss")

    def loops(self) -> bool:
        """Does every element take a call of its own? So it is with a callable of the user's that reduces."""
        return not self.reason and self.caller.alone

    def elements(self, logits: Any, targets: Any) -> Computed:
        """What came out at some elements.

        Raises:
            RefusedError: when it refuses every element of the first block that is tried.
        """
        import numpy as np

        try:
            output = self.caller(logits, targets)
        except Exception as error:
            reason = self.caller.refusal(error).reason
            if not self.answered and not self._answers_some(self.caller, logits, targets):
                if not self._answers_some(alone := self.caller.loss_alone(), logits, targets):
                    self.reason = self.reason or reason
                    raise RefusedError(self.reason) from None
                # Every gradient is refused and no loss: the losses are judged all the same.
                self.caller, self.no_gradient = alone, reason
                return self.elements(logits, targets)
            self.reason = self.reason or reason
            # Equal elements are refused alike: a thousand NaN logits are one question.
            pairs, where = distinct(np.stack([logits, targets], axis=1))
            computed = _assembled(list(self.caller.pieces(pairs[:, 0], pairs[:, 1])), self.dtype).at(where)
        else:
            none = np.zeros(len(logits), bool)
            grad = None if output.grad is None else output.grad.astype(np.float64)
            dtypes = {"loss": output.loss_dtype, "grad": output.grad_dtype}
            computed = Computed(output.loss.astype(np.float64), grad, {"loss": none, "grad": none}, dtypes)
        self.answered = self.answered or not computed.refused["loss"].all()
        return computed

    def whole(self, logits: Any, targets: Any, shape: tuple[int, ...], reduction: str) -> tuple[float, Format] | str:
        """The reduced loss of the whole batch in its shape and the dtype it came out in, or why there is none."""
        caller = self.caller.loss_alone()
        try:
            output = caller.whole(logits, targets, reduction, shape)
        except Exception as error:
            return caller.refusal(error).reason
        if len(output.loss) != 1:
            return f"it returned {len(output.loss)} numbers for one batch"
        return float(output.loss[0]), output.loss_dtype

    def _answers_some(self, caller: Caller, logits: Any, targets: Any) -> bool:
        """Is there an answer for any of some elements, each asked alone?"""
        import numpy as np

        for n in np.unique(np.linspace(0, len(logits) - 1, PROBES).astype(int)):
            try:
                caller(logits[n : n + 1], targets[n : n + 1])
            except Exception as error:
                caller.refusal(error)
                continue
            return True
        return False


def _assembled(pieces: list[Piece], dtype: Format) -> Computed:
    """The pieces of some elements as arrays."""
    import numpy as np

    count = pieces[-1].stop
    loss, gradient = np.full(count, np.nan), np.full(count, np.nan)
    refused = {"loss": np.ones(count, bool), "grad": np.ones(count, bool)}
    dtypes, differentiable = {"loss": dtype, "grad": dtype}, False
    for piece in pieces:
        if piece.output is None:
            continue
        here = slice(piece.start, piece.stop)
        dtypes = {"loss": piece.output.loss_dtype, "grad": piece.output.grad_dtype}
        loss[here], refused["loss"][here] = piece.output.loss, False
        if piece.output.grad is not None:
            gradient[here], refused["grad"][here], differentiable = piece.output.grad, False, True
    return Computed(loss, gradient if differentiable else None, refused, dtypes)
