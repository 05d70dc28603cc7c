"""numpy on the CPU: explicit gradients; bfloat16 through ml_dtypes."""

from __future__ import annotations

from typing import Any

from losscheck.backends import Batch, Call, Prepared, Result
from losscheck.core.dtypes import Format
from losscheck.core.reductions import REDUCTIONS, exact_weights


class NumpyBackend:
    name = "numpy"
    modes = ("eager",)

    def devices(self) -> list[str]:
        return ["cpu"]

    def why_unavailable(self, device: str, mode: str = "eager") -> str:
        return "" if device == "cpu" else "numpy runs on the cpu alone"

    def run(self, batch: Batch) -> Result:
        import numpy as np

        dtype = array_dtype(batch.dtype)
        shape = batch.shape or (len(batch.logits),)
        x = np.array(batch.logits, dtype=np.float64).astype(dtype).reshape(shape)
        z = np.array(batch.targets, dtype=np.float64).astype(dtype).reshape(shape)
        # Parameters as scalars of the dtype: a Python float would promote bfloat16 arrays to float32.
        params = {name: dtype.type(value) for name, value in batch.params.items()}
        one = batch.implementation
        with np.errstate(all="ignore"):
            if batch.published and one.published is not None:
                loss = one.published.function(np, x, z, **params)
            else:
                loss = one.function(np, x, z, **params)
                _same_dtype(loss, dtype, one.name)
                if batch.array_reduction != "none":
                    loss = REDUCTIONS[batch.array_reduction].function(loss, z)
            grad = self._gradient(batch, x, z, params) if batch.gradient and one.gradient else None
        return Result(_floats(loss, dtype), [] if grad is None else _floats(grad, dtype))

    def prepare(self, subject: Prepared) -> Call:
        import numpy as np

        dtype, one = array_dtype(subject.dtype), subject.implementation
        wide = np.float64 if subject.dtype.bits == 64 else np.float32
        params = {name: dtype.type(value) for name, value in subject.params.items()}

        def call(logits: Any) -> tuple[Any, Any]:
            with np.errstate(all="ignore"):
                x = logits.astype(dtype)  # a cast of NaN counts as invalid
                z = np.full_like(x, subject.target)
                loss = one.function(np, x, z, **params)
                grad = one.gradient(np, x, z, **params) if subject.gradient and one.gradient else None
            _same_dtype(loss, dtype, one.name)
            return loss.astype(wide), None if grad is None else grad.astype(wide)

        return call

    def _gradient(self, batch: Batch, x: Any, z: Any, params: dict[str, Any]) -> Any:
        import numpy as np

        one = batch.implementation
        assert one.gradient is not None
        grad = one.gradient(np, x, z, **params)
        _same_dtype(grad, x.dtype, f"{one.name} (gradient)")
        if batch.reduction == "none":
            return grad
        weights = exact_weights(batch.loss, one, batch.reduction, batch.targets, x.shape, batch.params)
        shares = [batch.dtype.round_fraction(each) for each in weights]
        return grad * np.array(shares, dtype=np.float64).astype(x.dtype).reshape(x.shape)


def array_dtype(dtype: Format) -> Any:
    """The numpy dtype of a format; bfloat16 is ml_dtypes's."""
    import numpy as np

    if dtype.name != "bfloat16":
        return np.dtype(dtype.name)
    import ml_dtypes

    return np.dtype(ml_dtypes.bfloat16)


def _same_dtype(array: Any, dtype: Any, name: str) -> None:
    if array.dtype != dtype:
        raise TypeError(f"{name} returned {array.dtype} for {dtype} logits")


def _floats(array: Any, dtype: Any) -> list[float]:
    import numpy as np

    values: list[float] = np.asarray(array).astype(dtype).astype(np.float64).reshape(-1).tolist()
    return values


BACKEND = NumpyBackend()
