"""A dump in the dtype under test: each number rounded once, and what there is to say before any loss is asked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from losscheck.core.batch_rows import Few, TensorBatch
from losscheck.core.dtypes import FORMATS, Format
from losscheck.core.errors import UserError
from losscheck.points.load import Dump

__all__ = ["Elements", "elements_of", "index_of", "round_array"]


@dataclass(frozen=True)
class Elements:
    """Logits and targets as floats of the dtype (float64 or float32 arrays of one axis), and their summary.

    Attributes:
        inside: where the target is in [0, 1]; None when it is everywhere.
    """

    logits: Any
    targets: Any
    inside: Any
    dtype: Format
    shape: tuple[int, ...]
    summary: TensorBatch

    def __len__(self) -> int:
        return len(self.logits)


def elements_of(dump: Dump, dtype: Format, files: Sequence[str]) -> Elements:
    """The dump in a dtype: its own, or another to which every number is rounded once.

    Raises:
        UserError: when no target at all is in [0, 1].
    """
    import numpy as np

    logits = dump.logits if dump.dtype is dtype else round_array(dump.logits, dtype)
    # Whether a target is in [0, 1] is asked of the target as dumped: rounding may move it in.
    outside = None if dump.targets.min() >= 0 and dump.targets.max() <= 1 else ~((dump.targets >= 0) & (dump.targets <= 1))
    targets = dump.targets if dump.target_kind == dtype.name else round_array(dump.targets, dtype)
    if outside is not None and outside.all():
        shown = ", ".join(f"{float(target):g}" for target in dump.targets[:3])
        raise UserError(f"no target is in [0, 1]; the first are {shown}", "targets are labels or heatmap values; are they class numbers?")
    nan, infinite = _not_finite(logits)
    finite = logits if nan is infinite is None else logits[np.isfinite(logits)]
    positives, negatives = (int(np.count_nonzero(targets == label)) for label in (1, 0))
    summary = TensorBatch(
        files=tuple(files),
        dtype=dtype.name,
        dumped=dump.dtype.name,
        target_kind=dump.target_kind,
        shape=dump.shape,
        elements=len(logits),
        low=float(finite.min()) if len(finite) else math.nan,
        high=float(finite.max()) if len(finite) else math.nan,
        nan=_few(nan, dump.shape),
        inf=_few(infinite, dump.shape),
        outside=_few(outside, dump.shape),
        positives=positives,
        negatives=negatives,
        soft=len(targets) - positives - negatives if outside is None else int(((targets > 0) & (targets < 1) & ~outside).sum()),
    )
    summary = _with_changes(summary, dump, logits, targets, outside)
    return Elements(logits, targets, None if outside is None else ~outside, dtype, dump.shape, summary)


def _with_changes(summary: TensorBatch, dump: Dump, logits: Any, targets: Any, outside: Any) -> TensorBatch:
    """And what the dtype changed: nothing where it is that of the dump."""
    import numpy as np

    with np.errstate(invalid="ignore"):
        if logits is not dump.logits:
            became_infinite = _few(np.isinf(logits) & np.isfinite(dump.logits), dump.shape)
            rounded = int(((logits != dump.logits) & ~np.isnan(logits)).sum())
            summary = replace(summary, rounded_logits=rounded, became_infinite=became_infinite)
        if targets is not dump.targets:
            known = np.ones(len(targets), bool) if outside is None else ~outside
            became_one = _few((targets == 1) & (dump.targets != 1) & known, dump.shape)
            summary = replace(summary, rounded_targets=int(((targets != dump.targets) & known).sum()), became_one=became_one)
    return summary


def _not_finite(logits: Any) -> tuple[Any, Any]:
    """Where logits are NaN and where they are infinite; None for nowhere, which two looks at the whole tell."""
    import numpy as np

    if math.isfinite(logits.min()) and math.isfinite(logits.max()):
        return None, None
    return np.isnan(logits), np.isinf(logits)


def index_of(flat: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The index of an element by its place in the flattened tensor: 5 in [2, 4] is (1, 1)."""
    index = []
    for size in reversed(shape):
        flat, place = divmod(flat, size)
        index.append(place)
    return tuple(reversed(index))


def round_array(array: Any, dtype: Format) -> Any:
    """Every number rounded once to the dtype, ties to even; as float32 where that holds the dtype.

    numpy's own casts will not do: that of ml_dtypes from float64 to bfloat16 rounds to float32 on its way.
    """
    import numpy as np

    if dtype is FORMATS["float64"]:
        return array.astype(np.float64)
    wide = array.astype(np.float64)
    with np.errstate(all="ignore"):
        if dtype.name in ("float32", "float16"):
            return wide.astype(dtype.name).astype(np.float32)
        exponent = np.maximum(np.frexp(wide)[1] - 1, dtype.emin) - (dtype.precision - 1)
        rounded = np.ldexp(np.rint(np.ldexp(wide, -exponent)), exponent)
        rounded = np.where(abs(rounded) > dtype.largest, np.copysign(np.inf, wide), rounded)
    return np.where(np.isfinite(wide), rounded, wide).astype(np.float32)


def _few(where: Any, shape: tuple[int, ...]) -> Few:
    count = 0 if where is None else int(where.sum())
    return Few(count, index_of(int(where.argmax()), shape)) if count else Few()
