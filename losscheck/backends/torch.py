"""PyTorch on the CPU and on CUDA devices: gradients by autograd."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from losscheck.backends import Batch, Call, Prepared, Result
from losscheck.backends.blocks import in_blocks
from losscheck.backends.torch_modes import moded, region, why_not_compiled
from losscheck.core.dtypes import Format
from losscheck.core.reductions import REDUCTIONS


class TorchBackend:
    name = "torch"
    modes = ("eager", "compile", "autocast:bfloat16", "autocast:float16", "vmap")

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

    def run(self, batch: Batch) -> Result:
        import torch

        dtype = tensor_dtype(batch.dtype)
        shape = batch.shape or (len(batch.logits),)
        # float64 holds every number of every format exactly, so the conversion does not round.
        x = torch.tensor(batch.logits, dtype=torch.float64).to(dtype).reshape(shape).to(batch.device)
        z = torch.tensor(batch.targets, dtype=torch.float64).to(dtype).reshape(shape).to(batch.device)
        x.requires_grad_(batch.gradient)
        with one_thread(), torch.set_grad_enabled(batch.gradient), region(batch.mode, batch.device):
            loss = self._loss(batch, x, z)
        # Under autocast the dtype that came out is judged; what promoted 16-bit elements without it is rounded back.
        out = loss.dtype if batch.mode.startswith("autocast") else dtype
        dtypes = {} if out == dtype else {"loss": str(out).removeprefix("torch.")}
        if not batch.gradient:
            return Result(_floats(loss, out), dtypes=dtypes)
        with one_thread():
            (grad,) = torch.autograd.grad(loss.sum(), x)
        return Result(_floats(loss.detach(), out), _floats(grad, dtype), dtypes=dtypes)

    def prepare(self, subject: Prepared) -> Call:
        import torch

        call = self.prepare_tensors(subject)
        wide = torch.float64 if subject.dtype.bits == 64 else torch.float32

        def on_arrays(logits: Any) -> tuple[Any, Any]:
            loss, grad = call(torch.from_numpy(logits).to(subject.device))
            return loss.to(wide).cpu().numpy(), None if grad is None else grad.to(wide).cpu().numpy()

        return in_blocks(on_arrays) if subject.mode == "compile" else on_arrays

    def prepare_tensors(self, subject: Prepared) -> Call:
        """The same on tensors that are already on the device and stay there."""
        import torch

        dtype, one = tensor_dtype(subject.dtype), subject.implementation
        function = moded(one.function, subject.mode, subject.params)
        constants: dict[int, tuple[Any, Any]] = {}

        def call(logits: Any) -> tuple[Any, Any]:
            x = logits.detach().to(dtype).requires_grad_(subject.gradient)
            if len(x) not in constants:
                # Blocks of one size share their targets: making them anew costs a tenth of the function itself.
                constants.clear()
                constants[len(x)] = torch.full_like(x, subject.target, requires_grad=False), torch.ones_like(x, requires_grad=False)
            z, ones = constants[len(x)]
            with one_thread(), torch.set_grad_enabled(subject.gradient):
                with region(subject.mode, subject.device):
                    loss = function(x, z)
                if loss.dtype != dtype:
                    if not subject.mode.startswith("autocast"):
                        raise TypeError(f"{one.name} returned {loss.dtype} for {dtype} logits")
                    ones = ones.to(loss.dtype)
                if not subject.gradient:
                    return loss, None
                # The gradient of the sum: each element's own, because the function is elementwise.
                return loss.detach(), torch.autograd.grad(loss, x, ones)[0]

        return call

    def came_out(self, subject: Prepared) -> dict[str, str]:
        """The dtypes of loss and gradient, by quantity: under autocast they are not always that of the logits."""
        import torch

        call = self.prepare_tensors(subject)
        found = zip(("loss", "grad"), call(torch.ones(64, device=subject.device)), strict=True)
        return {quantity: str(each.dtype).removeprefix("torch.") for quantity, each in found if each is not None}

    def _loss(self, batch: Batch, x: Any, z: Any) -> Any:
        one = batch.implementation
        if batch.published and one.published is not None:
            if batch.mode == "vmap":
                raise NotImplementedError("vmap maps elements, and a published whole is none")
            return moded(one.published.function, batch.mode, batch.params)(x, z)
        loss = moded(one.function, batch.mode, batch.params)(x, z)
        if loss.dtype != x.dtype and not batch.mode.startswith("autocast"):
            # Judging a float32 result as bfloat16 would hide what bfloat16 loses.
            raise TypeError(f"{one.name} returned {loss.dtype} for {x.dtype} logits")
        return loss if batch.array_reduction == "none" else REDUCTIONS[batch.array_reduction].function(loss, z)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """One thread for small tensors: threads split a tensor where no vector ends, and the bits there would be the tail's."""
    import torch

    threads = torch.get_num_threads()
    if threads > 1:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if threads > 1:
            torch.set_num_threads(threads)


def tensor_dtype(dtype: Format) -> Any:
    """The torch dtype of a format; the names are the same."""
    import torch

    return getattr(torch, dtype.name)


def _floats(tensor: Any, dtype: Any) -> list[float]:
    import torch

    # A whole that promoted 16-bit elements to float32 is rounded back to the dtype that was asked for.
    values: list[float] = tensor.to(dtype).to(torch.float64).reshape(-1).tolist()
    return values


BACKEND = TorchBackend()
