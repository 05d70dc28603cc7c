"""PyTorch on the CPU and on CUDA devices: gradients by autograd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from losscheck.backends import LANES, Call, Invocation, Output, came_out
from losscheck.backends.torch_modes import moded, why_not_compiled, within
from losscheck.core.dtypes import Format
from losscheck.core.one_thread import one_thread
from losscheck.core.reductions import REDUCTIONS

TensorCall = Callable[[Any, Any], tuple[Any, Any]]

REMEMBERED = 2**20  # no array longer than that is kept alive for its tensor


class TorchBackend:
    name = "torch"
    modes = ("eager", "compile", "autocast:bfloat16", "autocast:float16", "vmap")
    lanes = LANES
    compiled_by_shape = ("compile",)

    def devices(self) -> list[str]:
        import torch

        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        return ["cpu", *(f"cuda:{n}" for n in range(count))]

    def why_unavailable(self, device: str, mode: str = "eager") -> str:
        try:
            import torch
        except ImportError as error:
            return f"PyTorch cannot be imported ({error}); pip install torch"
        if mode == "compile" and (reason := why_not_compiled(device)):
            return reason
        if device == "cpu":
            return ""
        if torch.version.cuda is None:
            return f"this PyTorch ({torch.__version__}) is built without CUDA; install a CUDA build from pytorch.org"
        if not torch.cuda.is_available():
            return "PyTorch finds no CUDA device; check the driver with nvidia-smi"
        index, count = int(device.partition(":")[2] or "0"), torch.cuda.device_count()
        if index >= count:
            return f"there are {count} CUDA devices here, cuda:0 to cuda:{count - 1}"
        return ""

    def prepare(self, invocation: Invocation) -> Call:
        return _on_arrays(invocation, self.prepare_tensors(invocation))

    def prepare_whole(self, invocation: Invocation, reduction: str, shape: tuple[int, ...] = ()) -> Call:
        return _on_arrays(invocation, _on_tensors(invocation, _whole(invocation, reduction)), shape)

    def prepare_tensors(self, invocation: Invocation) -> TensorCall:
        """The same on tensors that are already on the device and stay there: (loss, gradient or None) as they came out."""
        return _on_tensors(invocation, moded(invocation.implementation.function, invocation.mode, invocation.params))


def _whole(invocation: Invocation, reduction: str) -> Callable[[Any, Any], Any]:
    """The published whole, or the elements under a reduction."""
    if published := invocation.whole(reduction):
        if invocation.mode == "vmap":
            raise NotImplementedError("vmap maps elements, and a published whole is none")
        return moded(published.function, invocation.mode, invocation.params)
    elements = moded(invocation.implementation.function, invocation.mode, invocation.params)
    reduce = REDUCTIONS[invocation.array_reduction(reduction)].function
    return lambda x, z: reduce(elements(x, z), z)


def _on_tensors(invocation: Invocation, function: Callable[[Any, Any], Any]) -> TensorCall:
    import torch

    dtype = tensor_dtype(invocation.dtype)
    constants: dict[tuple[Any, ...], Any] = {}

    def constant(like: Any, value: float) -> Any:
        """Blocks of one size share their targets: making them anew costs a tenth of the function itself."""
        key = (like.shape, value)
        if key not in constants:
            constants.clear()
            constants[key] = torch.full_like(like, value, requires_grad=False)
        return constants[key]

    gradient, evaluate = invocation.gradient, within(function, invocation.mode, invocation.device)

    def call(logits: Any, targets: Any) -> tuple[Any, Any]:
        if torch.get_num_threads() > 1:
            # Threads split a tensor where no vector ends, and the bits there would be the tail's.
            with one_thread():
                return call(logits, targets)
        x = logits.detach() if logits.dtype is dtype else logits.detach().to(dtype)
        one_target = isinstance(targets, float | int)
        z = constant(x, targets) if one_target else targets.to(device=x.device, dtype=dtype).reshape(x.shape)
        with torch.set_grad_enabled(gradient):
            if not gradient:
                return evaluate(x, z), None
            loss = evaluate(x.requires_grad_(), z)
            # The gradient of the sum: each element's own where the function is elementwise. Given a tensor of ones instead of the
            # sum, PyTorch imports sympy to compare two shapes: half a second.
            return loss.detach(), torch.autograd.grad(loss.sum(), x)[0]

    return call


def _on_arrays(invocation: Invocation, on_tensors: TensorCall, shape: tuple[int, ...] = ()) -> Call:
    """The same on arrays and sequences of floats.

    What surrounds a call costs a fifth of the function on a block of a sweep: each step of PyTorch that is not needed is left out, and
    an array that comes again and again, filled anew in between, is made a tensor once.
    """
    import torch

    tensors: dict[str, tuple[Any, Any]] = {}
    formats: dict[Any, Format] = {}

    def tensor(values: Any, role: str) -> Any:
        known, made = tensors.get(role, (None, None))
        if values is known:
            return made
        # float64 holds every number of every format exactly, so that the conversion to the dtype does not round twice.
        if isinstance(values, list | tuple):
            return torch.tensor(values, dtype=torch.float64).to(invocation.device).reshape(shape or -1)
        shared = values.flags.writeable
        made = torch.from_numpy(values if shared else values.copy()).reshape(shape or -1)
        if shared and invocation.device == "cpu" and len(values) <= REMEMBERED:
            tensors[role] = values, made
        return made.to(invocation.device)

    def result(values: Any) -> tuple[Any, Format]:
        if (kind := values.dtype) not in formats:
            formats[kind] = came_out(str(kind).removeprefix("torch."), invocation.implementation, invocation.dtype)
        dtype = formats[kind]
        wide = torch.float64 if dtype.bits == 64 else torch.float32
        array = (values if kind is wide and values.is_cpu else values.to(wide).cpu()).numpy()
        return array if array.ndim == 1 else array.reshape(-1), dtype

    def call(logits: Any, targets: Any) -> Output:
        if torch.get_num_threads() > 1:
            with one_thread():  # what came out is widened within it too: shared between threads, that takes twenty times as long
                return call(logits, targets)
        one_target = isinstance(targets, float | int)
        loss, grad = on_tensors(tensor(logits, "logit"), targets if one_target else tensor(targets, "target"))
        (losses, loss_dtype), (grads, grad_dtype) = result(loss), (None, invocation.dtype) if grad is None else result(grad)
        return Output(losses, grads, loss_dtype, grad_dtype)

    return call


def tensor_dtype(dtype: Format) -> Any:
    """The torch dtype of a format; the names are the same."""
    import torch

    return getattr(torch, dtype.name)


BACKEND = TorchBackend()
