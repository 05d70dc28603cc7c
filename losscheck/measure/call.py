"""How an implementation is called on points, by everything that measures: in whole vectors or in tails, in blocks, and once more
without the points that it refuses.

One point alone and the same point among many meet the same code: arrays are filled up to whole vectors with their last point, and
what compiles for each shape it meets sees two shapes and no more.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from losscheck.backends import Backend, Call, Invocation, Output, backend_named
from losscheck.callables.printed import stdout_to_stderr
from losscheck.callables.refusal import reason_of
from losscheck.core.absence import Absence, Unavailable
from losscheck.core.dtypes import Format
from losscheck.core.loss import Loss
from losscheck.core.request import Subject
from losscheck.measure.absent import no_gradient

__all__ = ["LARGE", "SMALL", "TAIL", "Caller", "Piece"]

TAIL = 3  # shorter than any vector register: every element of such a tensor goes through scalar code
SMALL, LARGE = 2**10, 2**16  # the two shapes for which code is made


@dataclass(frozen=True)
class Piece:
    """Points from ``start`` to before ``stop``: what came out, or why nothing did; why there is no gradient, where there is none."""

    start: int
    stop: int
    output: Output | None
    refusal: Unavailable | None = None
    no_gradient: Unavailable | None = None


class Caller:
    """One subject with everything fixed but its points.

    Args:
        params: every parameter of the loss, as floats of the dtype; dtype: that of the logits.
        gradient: is d loss / d logit wanted too.
        layout: ``body`` for whole vectors, ``tail`` for TAIL elements at a time.
    """

    def __init__(
        self,
        loss: Loss,
        subject: Subject,
        params: Mapping[str, float],
        dtype: Format,
        *,
        gradient: bool = True,
        digits: int = 50,
        layout: str = "body",
    ) -> None:
        self.subject, self.layout = subject, layout
        self.invocation = Invocation(loss, subject.implementation, params, dtype, subject.device, gradient, digits, subject.mode)

    @functools.cached_property
    def backend(self) -> Backend:
        return backend_named(self.subject.backend)

    @functools.cached_property
    def _call(self) -> Call:
        if not self.subject.implementation.own:
            return self.backend.prepare(self.invocation)
        from losscheck.callables.calling import prepare

        return prepare(self.invocation, self.backend)

    def _whole_call(self, reduction: str, shape: tuple[int, ...]) -> Call:
        if not self.subject.implementation.own:
            return self.backend.prepare_whole(self.invocation, reduction, shape)
        from losscheck.callables.calling import prepare_whole

        return prepare_whole(self.invocation, self.backend, reduction, shape)

    @functools.cached_property
    def alone(self) -> bool:
        """Does every point take a call of its own? So it is with a callable of the user's that reduces."""
        subject = self.subject
        if not subject.implementation.own:
            return False
        from losscheck.callables.calling import call_alone

        return call_alone(subject.implementation.function, subject.backend, self.invocation.dtype, subject.device, subject.mode)

    def __call__(self, logits: Any, targets: Any) -> Output:
        """A loss and a gradient for each logit; ``targets`` has one for each, or is one for all.

        Numpy arrays come back for numpy arrays; for a tuple or list of floats, any sequences.

        Raises:
            ValueError: when it returned more or fewer losses than there are logits.
            Exception: whatever the implementation raises.
        """
        count = len(logits)
        size = self._size(count)
        with stdout_to_stderr():
            if size == count:
                return _joined([self._block(logits, targets, size)], as_arrays=not isinstance(logits, list | tuple))
            outputs = [self._block(_part(logits, n, n + size), _part(targets, n, n + size), size) for n in range(0, count, size)]
        return _joined(outputs, as_arrays=not isinstance(logits, list | tuple))

    def whole(self, logits: Any, targets: Any, reduction: str, shape: tuple[int, ...] = ()) -> Output:
        """The loss of the batch under a reduction, and its gradient to each logit.

        Raises:
            Exception: whatever the implementation raises.
        """
        dtype = self.invocation.dtype
        with stdout_to_stderr():
            output = self._whole_call(reduction, shape)(logits, targets)
        if self.subject.implementation.own or _is_autocast(self.subject) or output.loss_dtype is dtype:
            return output
        # The published sums of some promote 16-bit elements; their recorded figures are those of the dtype asked for.
        return output._replace(loss=[dtype.round(float(value)) for value in output.loss], loss_dtype=dtype)

    def pieces(self, logits: Any, targets: Any) -> Iterator[Piece]:
        """All points, in order, those that it refuses alone: halves are tried until what is refused stands by itself.

        A gradient that cannot be taken at a point does not take the loss there with it.
        """
        return self._pieces(logits, targets, 0, len(logits))

    def loss_alone(self) -> Caller:
        """The same without gradients."""
        invocation = self.invocation
        return Caller(
            invocation.loss,
            self.subject,
            invocation.params,
            invocation.dtype,
            gradient=False,
            digits=invocation.digits,
            layout=self.layout,
        )

    def refusal(self, error: Exception) -> Unavailable:
        """What it raised, in a line; what is no answer of an implementation's goes on as the bug it is."""
        return Unavailable(Absence.REFUSED, reason_of(error, self.subject.implementation))

    def dtypes(self) -> dict[str, Format]:
        """The dtypes that come out, by quantity; those of the logits where it refuses even an ordinary point."""
        return _dtypes(self.subject, _Frozen(self.invocation))

    # How --------------------------------------------------------------------------------------------------------------

    def _size(self, count: int) -> int:
        """How many points go into one call."""
        if self.alone:
            return 1
        if self.layout == "tail":
            return TAIL
        if self.subject.mode not in self.backend.compiled_by_shape:
            return count + -count % self.backend.lanes
        return LARGE if count >= LARGE else SMALL

    def _block(self, logits: Any, targets: Any, size: int) -> Output:
        count, filled = len(logits), size - len(logits) if self.layout == "body" and not self.alone else 0
        output = self._call(_filled(logits, filled), _filled(targets, filled))
        if len(output.loss) != count + filled:
            raise ValueError(f"{self.subject.implementation.name} returned {len(output.loss)} losses for {count + filled} logits")
        return output._replace(loss=output.loss[:count], grad=None if output.grad is None else output.grad[:count]) if filled else output

    def _pieces(self, logits: Any, targets: Any, start: int, stop: int) -> Iterator[Piece]:
        points = _part(logits, start, stop), _part(targets, start, stop)
        try:
            output = self(*points)
        except Exception as error:
            refusal = self.refusal(error)
        else:
            lacks = self.invocation.gradient and output.grad is None
            yield Piece(start, stop, output, no_gradient=no_gradient(self.subject) if lacks else None)
            return
        if stop - start > 1:
            middle = (start + stop) // 2
            yield from self._pieces(logits, targets, start, middle)
            yield from self._pieces(logits, targets, middle, stop)
        else:
            yield self._without_gradient(*points, Piece(start, stop, None, refusal, refusal))

    def _without_gradient(self, logits: Any, targets: Any, refused: Piece) -> Piece:
        if not self.invocation.gradient or not self.subject.implementation.own:
            return refused
        try:
            return replace(refused, output=self.loss_alone()(logits, targets), refusal=None)
        except Exception:
            return refused


class _Frozen:
    """An invocation as a key: its parameters are a dictionary."""

    def __init__(self, invocation: Invocation) -> None:
        self.invocation = invocation
        self._key = (invocation.loss.name, invocation.implementation, tuple(invocation.params.items()), invocation.dtype.name)

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        mine = self._key, self.invocation.gradient
        return isinstance(other, _Frozen) and mine == (other._key, other.invocation.gradient)


@functools.lru_cache(maxsize=256)
def _dtypes(subject: Subject, frozen: _Frozen) -> dict[str, Format]:
    invocation = frozen.invocation
    # What is compiled or mapped returns the dtypes of eager, and sooner.
    subject = subject if _is_autocast(subject) else replace(subject, mode="eager")
    caller = Caller(invocation.loss, subject, invocation.params, invocation.dtype, gradient=invocation.gradient, layout="tail")
    try:
        output = caller((1.0,), (1.0,))
    except Exception:
        return {"loss": invocation.dtype, "grad": invocation.dtype}
    return {"loss": output.loss_dtype, "grad": output.grad_dtype}


def _is_autocast(subject: Subject) -> bool:
    return subject.mode.partition(":")[0] == "autocast"


def _part(values: Any, start: int, stop: int) -> Any:
    return values if _is_one(values) else values[start:stop]


def _filled(values: Any, more: int) -> Any:
    """With its last element that many times more."""
    if not more or _is_one(values):
        return values
    if isinstance(values, list | tuple):
        return (*values, *values[-1:] * more)
    import numpy as np

    return np.concatenate([values, np.repeat(values[-1:], more)])


def _is_one(values: Any) -> bool:
    return isinstance(values, float | int)


def _joined(outputs: Sequence[Output], *, as_arrays: bool) -> Output:
    first = outputs[0]
    if not as_arrays:
        if len(outputs) == 1:
            return first
        grad = None if first.grad is None else [value for output in outputs for value in output.grad]
        return first._replace(loss=[value for output in outputs for value in output.loss], grad=grad)
    import numpy as np

    if len(outputs) == 1 and isinstance(first.loss, np.ndarray) and (first.grad is None or isinstance(first.grad, np.ndarray)):
        return first

    def array(parts: list[Any], dtype: Format) -> Any:
        joined = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return joined if isinstance(joined, np.ndarray) else np.array(joined, np.float64 if dtype.bits == 64 else np.float32)

    grad = None if first.grad is None else array([output.grad for output in outputs], first.grad_dtype)
    return first._replace(loss=array([output.loss for output in outputs], first.loss_dtype), grad=grad)
