"""numpy on the CPU: explicit gradients; bfloat16 through ml_dtypes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from losscheck.backends import LANES, Call, Invocation, Output, came_out
from losscheck.core.dtypes import Format
from losscheck.core.reductions import REDUCTIONS, exact_weights

__all__ = ["BACKEND", "NumpyBackend", "array_dtype", "rounded", "widened"]


class NumpyBackend:
    name = "numpy"
    modes = ("eager",)
    lanes = LANES
    compiled_by_shape = ()

    def devices(self) -> list[str]:
        return ["cpu"]

    def why_unavailable(self, device: str, mode: str = "eager") -> str:
        return "" if device == "cpu" else "numpy runs on the cpu alone"

    def prepare(self, invocation: Invocation) -> Call:
        return _call(invocation, invocation.implementation.function, invocation.implementation.gradient)

    def prepare_whole(self, invocation: Invocation, reduction: str, shape: tuple[int, ...] = ()) -> Call:
        implementation, published = invocation.implementation, invocation.whole(reduction)
        function = published.function if published else _reduced(invocation, reduction)
        return _call(invocation, function, _shared(invocation, reduction) if implementation.gradient else None, shape)


def _call(invocation: Invocation, function: Callable[..., Any], gradient: Callable[..., Any] | None, shape: tuple[int, ...] = ()) -> Call:
    import numpy as np

    implementation, dtype = invocation.implementation, array_dtype(invocation.dtype)
    # Parameters as scalars of the dtype: a Python float would promote bfloat16 arrays to float32.
    params = {name: dtype.type(value) for name, value in invocation.params.items()}

    def call(logits: Any, targets: Any) -> Output:
        with np.errstate(all="ignore"):
            x, z = (array.reshape(shape or -1) for array in rounded(logits, targets, invocation.dtype))
            loss = function(np, x, z, **params)
            loss_dtype = came_out(_name(loss), implementation, invocation.dtype)
            if not invocation.gradient or gradient is None:
                return Output(widened(loss, loss_dtype), None, loss_dtype, invocation.dtype)
            grad = gradient(np, x, z, **params)
            grad_dtype = came_out(_name(grad), implementation, invocation.dtype)
        return Output(widened(loss, loss_dtype), widened(grad, grad_dtype), loss_dtype, grad_dtype)

    return call


def _reduced(invocation: Invocation, reduction: str) -> Callable[..., Any]:
    """The elements, reduced by numpy."""
    reduce = REDUCTIONS[invocation.array_reduction(reduction)].function

    def function(xp: Any, x: Any, z: Any, **params: Any) -> Any:
        return reduce(invocation.implementation.function(xp, x, z, **params), z)

    return function


def _shared(invocation: Invocation, reduction: str) -> Callable[..., Any]:
    """The gradient of each element times its share in the whole."""
    implementation, dtype = invocation.implementation, invocation.dtype
    assert implementation.gradient is not None
    element_gradient = implementation.gradient

    def gradient(xp: Any, x: Any, z: Any, **params: Any) -> Any:
        targets = z.astype(xp.float64).reshape(-1).tolist()
        weights = exact_weights(invocation.loss, implementation, reduction, targets, x.shape, invocation.params)
        shares = xp.array([dtype.round_fraction(weight) for weight in weights], dtype=xp.float64)
        return element_gradient(xp, x, z, **params) * shares.astype(x.dtype).reshape(x.shape)

    return gradient


def array_dtype(dtype: Format) -> Any:
    """The numpy dtype of a format; bfloat16 is ml_dtypes's."""
    import numpy as np

    if dtype.name != "bfloat16":
        return np.dtype(dtype.name)
    import ml_dtypes

    return np.dtype(ml_dtypes.bfloat16)


def rounded(logits: Any, targets: Any, dtype: Format) -> tuple[Any, Any]:
    """Both as flat arrays of a dtype, rounded by numpy: a conversion in a framework would flush subnormals before the
    implementation sees them."""
    import numpy as np

    with np.errstate(all="ignore"):  # a cast of NaN counts as invalid
        x = _floats(logits).astype(array_dtype(dtype)).reshape(-1)
        z = np.full_like(x, targets) if np.ndim(targets) == 0 else _floats(targets).astype(x.dtype).reshape(-1)
    return x, z


def widened(array: Any, dtype: Format) -> Any:
    """A flat array that holds the same numbers in float64 or float32."""
    import numpy as np

    return np.asarray(array).astype(np.float64 if dtype.bits == 64 else np.float32).reshape(-1)


def _floats(values: Any) -> Any:
    import numpy as np

    return values if isinstance(values, np.ndarray) else np.array(values, dtype=np.float64)


def _name(array: Any) -> str:
    import numpy as np

    return str(np.asarray(array).dtype)


BACKEND = NumpyBackend()
