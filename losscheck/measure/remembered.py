"""What published implementations returned, remembered: a property of the gate, or its next case, asks about the same floats again."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

from losscheck.measure.refusals import Returned

__all__ = ["remembering"]

LARGEST = 2**16  # floats of a call that is remembered: every float of a 16-bit dtype
MOST = 2**26  # bytes of results that are kept

_known: OrderedDict[Hashable, Returned] = OrderedDict()
_bytes = 0


def remembering(call: Callable[[Any], Returned], key: Hashable) -> Callable[[Any], Returned]:
    """``call(logits)``, asked once for the same logits; ``key`` is everything else that its answer depends on.

    Elements are computed alone (whole vectors of them, see call.py), so that an answer does not depend on its neighbours.
    """

    def asked_once(logits: Any) -> Returned:
        if len(logits) > LARGEST:
            return call(logits)
        whole_key = key, logits.dtype.str, hashlib.blake2b(logits.tobytes(), digest_size=16).digest()
        if whole_key in _known:
            _known.move_to_end(whole_key)
        else:
            _keep(whole_key, call(logits))
        return _known[whole_key]

    return asked_once


def _keep(key: Hashable, returned: Returned) -> None:
    global _bytes
    for values in (returned.loss, returned.grad):
        if values is not None:
            values.flags.writeable = False
    _known[key] = returned
    _bytes += _size(returned)
    while _bytes > MOST and len(_known) > 1:
        _bytes -= _size(_known.popitem(last=False)[1])


def _size(returned: Returned) -> int:
    return sum(values.nbytes for values in (returned.loss, returned.grad) if values is not None)
