"""What implementations returned, remembered for one run of the gate: its properties and its next cases ask about the same floats again."""

from __future__ import annotations

import contextlib
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextvars import ContextVar
from typing import Any

from losscheck.measure.refusals import BlockResult

__all__ = ["remembered", "remembering"]

LARGEST = 2**16  # floats of a call that is remembered: every float of a 16-bit dtype
MOST = 2**26  # bytes of results that are kept


class _Answers:
    """Answers by what was asked; the oldest go first. ``own``: those of the user's code too."""

    def __init__(self, own: bool) -> None:
        self.own = own
        self._known: OrderedDict[Hashable, BlockResult] = OrderedDict()
        self._bytes = 0

    def of(self, key: Hashable, call: Callable[[], BlockResult]) -> BlockResult:
        if key in self._known:
            self._known.move_to_end(key)
            return self._known[key]
        returned = call()
        for values in _arrays(returned):
            values.flags.writeable = False
        self._known[key] = returned
        self._bytes += _size(returned)
        while self._bytes > MOST and len(self._known) > 1:
            self._bytes -= _size(self._known.popitem(last=False)[1])
        return returned


_answers: ContextVar[_Answers | None] = ContextVar("answers", default=None)


@contextlib.contextmanager
def remembered(*, own: bool = False) -> Iterator[None]:
    """Within it, calls made by :func:`remembering` are asked once for the same logits; ``own``: those of the user's code too, which may
    keep a state, so that whoever says so judges it again afterwards."""
    token = _answers.set(_Answers(own))
    try:
        yield
    finally:
        _answers.reset(token)


def remembering(call: Callable[[Any], BlockResult], key: Hashable, *, own: bool = False) -> Callable[[Any], BlockResult]:
    """``call(logits)``, asked once for the same logits within :func:`remembered`; ``key`` is everything else its answer depends on, ``own``
    whether it is the user's code.

    Elements are computed alone (whole vectors of them, see call.py), so that an answer does not depend on its neighbours.
    """

    def asked_once(logits: Any) -> BlockResult:
        answers = _answers.get()
        if answers is None or (own and not answers.own) or len(logits) > LARGEST:
            return call(logits)
        digest = hashlib.blake2b(logits.tobytes(), digest_size=16).digest()
        return answers.of((key, logits.dtype.str, digest), lambda: call(logits))

    return asked_once


def _arrays(returned: BlockResult) -> list[Any]:
    return [values for values in (returned.loss, returned.grad) if values is not None]


def _size(returned: BlockResult) -> int:
    return sum(values.nbytes for values in _arrays(returned))
