"""An implementation called on blocks of elements, as compare calls it on points; elements it refuses do not take others with them."""

from __future__ import annotations

from typing import Any

from losscheck import backends
from losscheck.backends.blocks import LANES
from losscheck.backends.extras import missing
from losscheck.backends.numpy import array_dtype
from losscheck.backends.torch import tensor_dtype
from losscheck.callables.adapt import Adapted
from losscheck.callables.loading import reason_of, stdout_to_stderr
from losscheck.core.dtypes import Format
from losscheck.core.loss import Loss
from losscheck.core.request import Request, Subject
from losscheck.measure.reference import distinct

__all__ = ["BLOCK", "Caller", "RefusedError"]

# Elements of a block. Its float64 temporaries stay in the second-level cache, and PyTorch starts no threads for so few.
BLOCK = 2**15
PROBES = 8


class RefusedError(Exception):
    """The implementation answers for no element; the message says why."""


class Caller:
    """One subject with everything fixed but its elements."""

    def __init__(self, question: Request, loss: Loss, subject: Subject, params: dict[str, float], dtype: Format) -> None:
        self.question, self.loss, self.subject, self.params, self.dtype = question, loss, subject, params, dtype
        self.reason = ""
        self.answered = False

    def why_not(self) -> str:
        """Why it cannot answer at all; empty when it can."""
        one = self.subject.implementation
        for each in self.loss.parameters:
            if each.name in one.ignores and self.params[each.name] != each.default:
                return f"{one.name} takes no {each.name}"
        return missing(one, self.subject.backend) or backends.backend_named(self.subject.backend).why_unavailable(self.subject.device)

    def loops(self) -> bool:
        """Does every element take a call of its own? So it is with a callable of the user's that reduces."""
        function = self.subject.implementation.function
        if self.reason or not isinstance(function, Adapted):
            return False
        if self.subject.backend == "torch":
            import torch

            return function.loops(torch, torch.zeros(1, dtype=tensor_dtype(self.dtype), device=self.subject.device))
        import numpy as np

        return function.loops(np, np.zeros(1, array_dtype(self.dtype)))

    def elements(self, logits: Any, targets: Any) -> tuple[Any, Any, Any]:
        """Losses and gradients as float64 arrays (the latter None without), and where it refused; NaN stands there.

        Raises:
            RefusedError: when it refuses every element of the first block that is tried.
        """
        import numpy as np

        loss: Any
        gradient: Any
        refused: Any
        try:
            loss, gradient = self._run(logits, targets)
            refused = np.zeros(len(logits), bool)
        except Exception as error:
            self.reason = self.reason or self._said(error)
            self._refuse_all(logits, targets)
            # Equal elements are refused alike: a thousand NaN logits are one question.
            pairs, where = distinct(np.stack([logits, targets], axis=1))
            loss, gradient, refused = (None if each is None else each[where] for each in self._parted(pairs[:, 0], pairs[:, 1]))
        self.answered = self.answered or not refused.all()
        return loss, gradient, refused

    def whole(self, logits: Any, targets: Any, shape: tuple[int, ...], reduction: str) -> float | str:
        """The reduced loss of the whole batch in its shape, or why there is none."""
        try:
            with stdout_to_stderr():
                result = backends.backend_named(self.subject.backend).run(self._batch(logits, targets, shape, reduction, gradient=False))
        except Exception as error:
            return self._said(error)
        return result.loss[0] if len(result.loss) == 1 else f"it returned {len(result.loss)} numbers for one batch"

    def _refuse_all(self, logits: Any, targets: Any) -> None:
        """Give up where none of some elements, alone, gets an answer, and none has before."""
        import numpy as np

        if self.answered:
            return
        for n in np.unique(np.linspace(0, len(logits) - 1, PROBES).astype(int)):
            try:
                self._run(logits[n : n + 1], targets[n : n + 1])
            except Exception as error:
                self._said(error)
                continue
            return
        raise RefusedError(self.reason)

    def _parted(self, logits: Any, targets: Any) -> tuple[Any, Any, Any]:
        """Halves are tried until what is refused stands alone."""
        import numpy as np

        try:
            return *self._run(logits, targets), np.zeros(len(logits), bool)
        except Exception as error:
            self._said(error)
            if len(logits) == 1:
                return np.full(1, np.nan), np.full(1, np.nan), np.ones(1, bool)
        half = len(logits) // 2
        a, b = self._parted(logits[:half], targets[:half]), self._parted(logits[half:], targets[half:])
        gradient = None if a[1] is None or b[1] is None else np.concatenate([a[1], b[1]])
        return np.concatenate([a[0], b[0]]), gradient, np.concatenate([a[2], b[2]])

    def _run(self, logits: Any, targets: Any) -> tuple[Any, Any]:
        import numpy as np

        count = len(logits)
        x, z = (np.concatenate([each, np.repeat(each[-1:], -count % LANES)]) for each in (logits, targets))
        batch = self._batch(x, z, (), "none", gradient="grad" in self.question.quantities)
        with stdout_to_stderr():
            result = backends.backend_named(self.subject.backend).run(batch)
        if len(result.loss) != len(x):
            raise ValueError(f"{self.subject.implementation.name} returned {len(result.loss)} losses for {len(x)} logits")
        loss = np.array(result.loss)[:count]
        return loss, np.array(result.grad)[:count] if result.grad else None

    def _said(self, error: Exception) -> str:
        """What it raised, in a line; what is no answer of an implementation's goes on as the bug it is."""
        return reason_of(error, self.subject.implementation)

    def _batch(self, logits: Any, targets: Any, shape: tuple[int, ...], reduction: str, gradient: bool) -> backends.Batch:
        return backends.Batch(
            loss=self.loss,
            implementation=self.subject.implementation,
            logits=logits,
            targets=targets,
            params=self.params,
            dtype=self.dtype,
            device=self.subject.device,
            shape=shape,
            reduction=reduction,
            digits=self.question.digits,
            gradient=gradient,
        )
