"""A whole batch beside float64: every op of one call runs a second time on float64 copies of what it took, and is compared.

A screen, and no truth: where float64 loses what float32 loses, the two agree. What it costs does not depend on what is found, so
that a million elements can be looked at before a few are run exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from losscheck.core.dtypes import FLOAT64
from losscheck.tracing.comparing import compared
from losscheck.tracing.dispatch import handed_to
from losscheck.tracing.lineage import Lineage
from losscheck.tracing.memory import float_format_of, mapped, tensors_in
from losscheck.tracing.notes import Note
from losscheck.tracing.ops import movement
from losscheck.tracing.places import NOWHERE, Place, innermost_place
from losscheck.tracing.recording import eager, loss_in
from losscheck.tracing.tape import base_name, in_place, is_random, skipped_folders

__all__ = ["BatchOp", "Screen", "screened"]

# Ops between two looks for memory that nobody holds any more.
SWEPT = 64
# What makes no new number has no error of its own.
SILENT = movement.MOVES | movement.FACTORIES | movement.FILLS_WITH_ZERO | {"_to_copy", "copy"}


@dataclass(frozen=True)
class BatchOp:
    """One op over a whole batch.

    Attributes:
        index, name, place, backward: as of :class:`losscheck.tracing.report.Op`.
        dtype: of its results.  elements: how many they are.
        off, bad, worst, at: as of :class:`losscheck.tracing.comparing.Compared`.
        value, wide: what came out at the worst element, and what float64 says.
    """

    index: int
    name: str
    place: Place
    backward: bool
    dtype: str
    elements: int
    off: int
    bad: int
    worst: float
    at: int
    value: float
    wide: float


@dataclass
class Screen:
    """One call over a whole batch: the ops that compute floats, notes, and what it raised; the ops until there are kept."""

    ops: list[BatchOp] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    error: Exception | None = None


def screened(function: Callable[[Any, Any], Any], logits: Any, targets: Any) -> Screen:
    """``function(logits, targets)`` on tensors, forward and backward, with float64 beside every op.

    Raises:
        UserError: when what it returns is no tensor of floats.
    """
    import torch

    leaf = logits.detach().clone().requires_grad_()
    screen = Screen()
    beside = _Beside(screen.ops)

    def called() -> Any:
        return function(leaf.clone(), targets)

    with eager(function, screen.notes), torch.enable_grad():
        try:
            loss = loss_in(_watched(beside, called), screen.notes)
            if loss.requires_grad:
                _watched(beside, lambda: torch.autograd.grad(loss if loss.dim() == 0 else loss.sum(), [leaf], allow_unused=True))
        except (RuntimeError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
            screen.error = error
    return screen


def _watched(beside: _Beside, thunk: Callable[[], Any]) -> Any:
    """The walk for the place of an op ends at this frame."""
    with handed_to(beside):
        return thunk()


class _Beside:
    """The float64 copy of every storage of floats; ``ops`` gets what is compared."""

    def __init__(self, ops: list[BatchOp]) -> None:
        import torch

        self.ops = ops
        self._copies: dict[int, tuple[Any, Any]] = {}
        self._lineage = Lineage()
        self._skipped = skipped_folders()
        self._places: list[Place] = []
        self._float64 = torch.float64

    def record(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run an op, and again in float64, and compare."""
        import torch

        index = len(self._places)
        place = innermost_place(_watched.__code__, self._skipped)
        backward, forward = self._lineage.of(index, place is not None)
        self._places.append(place := place or (NOWHERE if forward is None else self._places[forward]))
        addresses = {tensor.untyped_storage()._cdata for tensor in tensors_in(args)}
        beside = mapped(self._wide, args)  # before the call: an in-place op changes them
        result = func(*args, **kwargs)
        results = [part for part in (result if isinstance(result, list | tuple) else [result]) if isinstance(part, torch.Tensor)]
        views = not in_place(func) and all(part.untyped_storage()._cdata in addresses for part in results)
        if views or not any(float_format_of(part.dtype) for part in results):
            return result
        name = base_name(func)
        self._again(func, name, (args, beside), kwargs, results)
        if name not in SILENT:
            self._compare(index, name, place, backward, results[0])
        if index % SWEPT == 0:
            self._copies = {address: known for address, known in self._copies.items() if not known[0].expired()}
        return result

    def _wide(self, tensor: Any) -> Any:
        """The float64 copy of a tensor of floats, at the same place of its storage's copy; any other tensor itself."""
        import torch
        from torch.multiprocessing.reductions import StorageWeakRef

        if float_format_of(tensor.dtype) is None:
            return tensor
        if tensor._is_zerotensor():
            return torch.zeros(tensor.shape, dtype=torch.float64)
        storage = tensor.untyped_storage()
        known = self._copies.get(storage._cdata)
        if known is None:
            size = storage.nbytes() // tensor.element_size()
            flat = torch.empty(0, dtype=tensor.dtype, device=tensor.device).set_(storage, 0, (size,), (1,))
            # The weak reference keeps the address from being used again, not the memory.
            known = self._copies[storage._cdata] = (
                StorageWeakRef(storage),
                flat.double() if tensor.dtype != torch.float64 else flat.clone(),
            )
        return torch.as_strided(known[1], tensor.shape, tensor.stride(), tensor.storage_offset())

    def _again(self, func: Any, name: str, taken: tuple[Any, Any], kwargs: dict[str, Any], results: list[Any]) -> None:
        """The copies of what an op made: by its own kernel in float64; what cannot be run so, and what is drawn, is taken as computed."""
        import torch

        args, beside = taken
        if name == "_to_copy":
            # A cast is no rounding here; of truth values it makes numbers.
            return self._keep(results[0], beside[0].to(torch.float64, copy=True))
        if name == "copy":
            self._wide(results[0]).copy_(beside[1])
            return None
        if is_random(func) or not any(float_format_of(tensor.dtype) for tensor in tensors_in(args)):
            return self._as_computed(results)
        wide_kwargs = {
            key: torch.float64 if key == "dtype" and float_format_of(value) else mapped(self._wide, value) for key, value in kwargs.items()
        }
        try:
            outcome = func(*mapped(lambda tensor: tensor, beside), **wide_kwargs)
        except (RuntimeError, TypeError, ValueError, NotImplementedError):
            return self._as_computed(results)
        if in_place(func):
            return None
        for result, wide in zip(results, outcome if isinstance(outcome, list | tuple) else [outcome], strict=False):
            if float_format_of(result.dtype):
                self._keep(result, wide)
        return None

    def _keep(self, result: Any, wide: Any) -> None:
        """The copy of a new tensor."""
        from torch.multiprocessing.reductions import StorageWeakRef

        storage = result.untyped_storage()
        whole = storage.nbytes() == result.numel() * result.element_size() and result.is_contiguous()
        if whole and wide.dtype == self._float64 and wide.is_contiguous() and wide.shape == result.shape and wide.storage_offset() == 0:
            self._copies[storage._cdata] = (StorageWeakRef(storage), wide.reshape(-1))
        else:
            self._wide(result).copy_(wide)

    def _as_computed(self, results: list[Any]) -> None:
        for result in results:
            if float_format_of(result.dtype):
                self._wide(result).copy_(result)

    def _compare(self, index: int, name: str, place: Place, backward: bool, result: Any) -> None:
        dtype = float_format_of(result.dtype)
        if dtype is None or dtype is FLOAT64 or not result.numel():
            return
        wide = self._wide(result)
        verdict = compared(result, wide, dtype)
        value, exact = (float(tensor.reshape(-1)[verdict.at]) for tensor in (result, wide))
        self.ops.append(
            BatchOp(
                index, name, place, backward, dtype.name, result.numel(), verdict.off, verdict.bad, verdict.worst, verdict.at, value, exact
            )
        )
