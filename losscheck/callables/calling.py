"""An implementation made ready to be called: by its backend, or, for what ends the process it runs in, in a process of its own.

A callable of the user's is tried out before: a compiler that traces it must not meet the trial.
"""

from __future__ import annotations

from typing import Any

from losscheck.backends import Backend, Call, Invocation, Output
from losscheck.backends.arrays import arrays_named
from losscheck.callables import apart
from losscheck.callables.adapt import Adapted
from losscheck.callables.refusal import OwnCallError
from losscheck.core.dtypes import Format

__all__ = ["call_alone", "detached", "prepare", "prepare_whole", "without_loss"]


def prepare(invocation: Invocation, backend: Backend) -> Call:
    """A loss and a gradient for each logit; see :meth:`losscheck.backends.Backend.prepare`."""
    adapted = invocation.implementation.function
    if not isinstance(adapted, Adapted):
        return backend.prepare(invocation)
    probe = adapted.tried(backend.name, invocation.dtype, _on(backend.name, invocation.device))
    if invocation.gradient and probe.detached:
        return _refusing(adapted.detached)
    if adapted.is_apart:
        return _of_hard_targets(adapted, apart.prepare(adapted.own.spec, adapted.call_spec, backend.name, invocation, "elements"))
    return _of_hard_targets(adapted, backend.prepare(invocation))


def prepare_whole(invocation: Invocation, backend: Backend, reduction: str, shape: tuple[int, ...] = ()) -> Call:
    """The loss of a batch under a reduction; see :meth:`losscheck.backends.Backend.prepare_whole`."""
    adapted, published = invocation.implementation.function, invocation.whole(reduction)
    if isinstance(adapted, Adapted):
        adapted.tried(backend.name, invocation.dtype, _on(backend.name, invocation.device))
        if adapted.is_apart:
            what = published.function.__name__ if published else invocation.array_reduction(reduction)
            return _of_hard_targets(adapted, apart.prepare(adapted.own.spec, adapted.call_spec, backend.name, invocation, what, shape))
        return _of_hard_targets(adapted, backend.prepare_whole(invocation, reduction, shape))
    return backend.prepare_whole(invocation, reduction, shape)


def call_alone(adapted: Any, backend: str, dtype: Format, device: str, mode: str = "eager") -> bool:
    """Is each logit to be given to a callable in a call of its own? So it is with one that reduces, or whose losses depend on the rest
    of the batch, unless a batch of them can be made that has the same bits."""
    if not isinstance(adapted, Adapted) or not adapted.tried(backend, dtype, _on(backend, device)).alone:
        return False
    if adapted.is_apart or mode != "eager":
        return True
    arrays = arrays_named(backend)
    with arrays.within(dtype, device):
        return adapted.loops(arrays.module(), arrays.make([0.0], dtype, device))


def without_loss(adapted: Any) -> str:
    """Why a callable has no loss; empty where it has one."""
    if isinstance(adapted, Adapted) and adapted.call_spec.objective:
        return f"{adapted.own.spec} returns a gradient and a hessian, and no loss; use --quantity grad"
    return ""


def detached(adapted: Any, backend: str) -> str:
    """Why a callable's losses do not depend on the logits for autograd; "" where they do."""
    return adapted.detached if isinstance(adapted, Adapted) and adapted.tried(backend).detached else ""


def _on(backend: str, device: str) -> str:
    """A device as tensors of torch tell it; elsewhere arrays are made where they are told to, whatever is called with them."""
    if backend != "torch":
        return "cpu"
    return "cuda:0" if device == "cuda" else device


def _of_hard_targets(adapted: Adapted, call: Call) -> Call:
    """A call that refuses soft targets where the callable gets them in a form that holds 0 and 1 alone."""
    if not adapted.call_spec.hard:
        return call

    def checked(logits: Any, targets: Any) -> Output:
        import numpy as np

        numbers = np.asarray(targets, np.float64)
        if ((numbers != 0) & (numbers != 1)).any():
            raise OwnCallError(f"targets are handed over as {adapted.call_spec.form('targets')}, which holds 0 and 1 alone")
        return call(logits, targets)

    return checked


def _refusing(reason: str) -> Call:
    def call(logits: Any, targets: Any) -> Output:
        raise OwnCallError(reason)

    return call
