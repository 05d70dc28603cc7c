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
    outside = ~((dump.targets >= 0) & (dump.targets <= 1))
    # Whether a target is in [0, 1] is asked of the target as dumped: rounding may move it in.
    targets = dump.targets if dump.target_kind == dtype.name else round_array(dump.targets, dtype)
    inside = None if not outside.any() else ~outside
    if outside.all():
        shown = ", ".join(f"{float(target):g}" for target in dump.targets[:3])
        raise UserError(f"no target is in [0, 1]; the first are {shown}", "targets are labels or heatmap values; are they class numbers?")
    finite = logits[np.isfinite(logits)]
    summary = TensorBatch(
        files=tuple(files),
        dtype=dtype.name,
        dumped=dump.dtype.name,
        target_kind=dump.target_kind,
        shape=dump.shape,
        elements=len(logits),
        low=float(finite.min()) if len(finite) else math.nan,
        high=float(finite.max()) if len(finite) else math.nan,
        nan=_few(np.isnan(logits), dump.shape),
        inf=_few(np.isinf(logits), dump.shape),
        outside=_few(outside, dump.shape),
        positives=int((targets == 1).sum()),
        negatives=int((targets == 0).sum()),
        soft=int(((targets > 0) & (targets < 1) & ~outside).sum()),
    )
    with np.errstate(invalid="ignore"):
        summary = replace(
            summary,
            rounded_logits=int(((logits != dump.logits) & ~np.isnan(logits)).sum()),
            rounded_targets=int(((targets != dump.targets) & ~outside).sum()),
            became_one=_few((targets == 1) & (dump.targets != 1) & ~outside, dump.shape),
            became_infinite=_few(np.isinf(logits) & np.isfinite(dump.logits), dump.shape),
        )
    return Elements(logits, targets, inside, dtype, dump.shape, summary)


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
    count = int(where.sum())
    return Few(count, index_of(int(where.argmax()), shape)) if count else Few()
