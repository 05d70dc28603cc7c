"""What a callable insists on instead of flat floats: whole numbers, booleans, -1 and +1, a column, one-hot rows, two logits, a data set."""

from __future__ import annotations

import functools
from typing import Any

from losscheck.backends.arrays import Arrays, array_dtype_name, size
from losscheck.callables.refusal import OwnCallError
from losscheck.core.dtypes import FORMATS

__all__ = ["formed"]


def formed(arrays: Arrays, x: Any, form: str, *, probabilities: bool = False) -> Any:
    """Logits, probabilities or targets in one of the forms of :data:`losscheck.core.call_spec.FORMS`.

    Two classes have the logits 0 and x: their softmax is the sigmoid of x.
    """
    shape = tuple(x.shape)
    if form in ("long", "bool"):
        return arrays.cast(x, "int64" if form == "long" else "bool")
    if form == "signs":
        return 2 * x - 1
    if form == "column":
        return arrays.reshape(x, (*shape, 1))
    if form == "onehot":
        return arrays.stack([1 - x, x], len(shape))
    if form == "dmatrix":
        if arrays.backend != "numpy":
            raise OwnCallError(f"targets as dmatrix are an array of numpy, and it is called with {arrays.many}")
        return x.view(_labels())
    if form == "pair":
        return arrays.stack([1 - x if probabilities else _zeros(arrays, x), x], len(shape))
    return x


@functools.cache
def _labels() -> Any:
    """The type of targets that answer as a DMatrix of XGBoost or a Dataset of LightGBM does."""
    import numpy as np

    class Labels(np.ndarray[Any, Any]):
        def get_label(self) -> Any:
            return self.view(np.ndarray)

        def get_weight(self) -> Any:
            return np.ones(self.shape, self.dtype)

    return Labels


def _zeros(arrays: Arrays, x: Any) -> Any:
    device = str(x.device) if arrays.backend == "torch" else "cpu"
    return arrays.reshape(arrays.make([0.0] * size(x), FORMATS[array_dtype_name(x)], device), tuple(x.shape))
