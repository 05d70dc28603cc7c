"""Shadow memory: which recorded element lies where in which storage.

Elements are numbered as they come into being. Every storage has a shadow of the same layout that holds their numbers, so that views,
in-place ops and whatever moves elements need no code of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from losscheck.core.dtypes import FORMATS, Format
from losscheck.core.errors import UserError

__all__ = ["LEAF", "Memory", "TapeElements", "TensorRef", "float_format_of", "mapped", "mapped_refs", "tensors_in", "values_of"]

LEAF = -1  # the producer of what was there before the call, and of constants


def float_format_of(dtype: Any) -> Format | None:
    """The floating-point format of a torch dtype; None of integers, truth values and formats that we do not know."""
    return FORMATS.get(str(dtype).removeprefix("torch."))


class TapeElements:
    """What is known of each element: its computed value, its format (None: no float), the op that produced it."""

    def __init__(self) -> None:
        self.computed: list[Any] = []
        self.formats: list[Format | None] = []
        self.producer: list[int] = []
        # Python numbers among the arguments of ops: the op that holds them.
        self.constants: dict[int, int] = {}

    def add(self, values: list[Any], dtype: Format | None, producer: int) -> range:
        first = len(self.computed)
        self.computed += values
        self.formats += [dtype] * len(values)
        self.producer += [producer] * len(values)
        return range(first, len(self.computed))

    def constant(self, value: Any, op: int) -> int:
        """A Python number that an op was given."""
        element = self.add([value], None, LEAF)[0]
        self.constants[element] = op
        return element


@dataclass(frozen=True, slots=True)
class TensorRef:
    """Where a tensor lay, so that the same op can be run again on other memory."""

    storage: int
    size: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int


@dataclass(slots=True)
class _Shadow:
    index: int
    ids: Any
    dtype: Any
    initial: Any  # what it held when first seen; None where an op made it


class Memory:
    """The shadows of all storages seen. Every storage is kept alive: a freed address would be used again for another."""

    def __init__(self, elements: TapeElements) -> None:
        self.elements = elements
        self.storages: list[_Shadow] = []
        self._by_address: dict[int, _Shadow] = {}
        self._kept: list[Any] = []

    def knows(self, tensor: Any) -> bool:
        return tensor.untyped_storage()._cdata in self._by_address

    def ids(self, tensor: Any) -> Any:
        """The numbers of a tensor's elements, in its shape; what was never seen is a leaf, as its storage stands now."""
        import torch

        shadow = self._shadow(tensor, made=False)
        if tensor._is_zerotensor():
            return shadow.ids[: tensor.numel()].reshape(tensor.shape)
        return torch.as_strided(shadow.ids, tensor.shape, tensor.stride(), tensor.storage_offset())

    def ref(self, tensor: Any) -> TensorRef:
        return TensorRef(self._shadow(tensor, made=False).index, tuple(tensor.shape), tensor.stride(), tensor.storage_offset())

    def put(self, tensor: Any, ids: Any) -> None:
        """Let a tensor that an op made or changed hold these elements."""
        import torch

        shadow = self._shadow(tensor, made=True)
        torch.as_strided(shadow.ids, tensor.shape, tensor.stride(), tensor.storage_offset()).copy_(ids)

    def new(self, tensor: Any, producer: int) -> Any:
        """Elements for every place of a tensor, in its logical order, with its values as computed."""
        import torch

        numbers = self.elements.add(values_of(tensor), float_format_of(tensor.dtype), producer)
        return torch.arange(numbers.start, numbers.stop).reshape(tensor.shape)

    def _shadow(self, tensor: Any, made: bool) -> _Shadow:
        import torch

        storage = tensor.untyped_storage()
        shadow = self._by_address.get(storage._cdata)
        if shadow is None:
            size = storage.nbytes() // tensor.element_size()
            shadow = _Shadow(len(self.storages), torch.full((size,), -1, dtype=torch.int64), tensor.dtype, None)
            if not made and tensor._is_zerotensor():
                # Autograd's zeros, which have no memory at all.
                size = max(1, tensor.numel())
                shadow.ids, shadow.initial = torch.full((size,), -1, dtype=torch.int64), torch.zeros(size, dtype=tensor.dtype)
                shadow.ids.copy_(self.new(shadow.initial, LEAF))
            elif not made:
                flat = torch.empty(0, dtype=tensor.dtype, device=tensor.device).set_(storage, 0, (size,), (1,))
                shadow.initial = flat.clone()
                shadow.ids.copy_(self.new(flat, LEAF))
            self._by_address[storage._cdata] = shadow
            self.storages.append(shadow)
            self._kept.append(tensor)
        if shadow.dtype.itemsize != tensor.dtype.itemsize:
            raise UserError(f"memory of {shadow.dtype} is viewed as {tensor.dtype}, which is not followed", "cast it instead")
        return shadow


def values_of(tensor: Any) -> list[Any]:
    """The values of a tensor in its logical order, as Python numbers.

    Raises:
        UserError: for complex numbers.
    """
    if tensor.is_complex():
        raise UserError("complex numbers are not followed", "trace a loss of real numbers")
    if tensor._is_zerotensor():
        return [0.0] * tensor.numel()
    values: list[Any] = tensor.detach().reshape(-1).tolist()
    return values


def mapped(function: Callable[[Any], Any], value: Any) -> Any:
    """The arguments of an op with every tensor replaced; sequences become lists."""
    import torch

    if isinstance(value, torch.Tensor):
        return function(value)
    if isinstance(value, list | tuple):
        return [mapped(function, part) for part in value]
    return value


def tensors_in(value: Any) -> list[Any]:
    """The tensors among the arguments of an op."""
    tensors: list[Any] = []
    mapped(tensors.append, value)
    return tensors


def mapped_refs(function: Callable[[TensorRef], Any], value: Any) -> Any:
    """Recorded arguments with every reference replaced."""
    if isinstance(value, TensorRef):
        return function(value)
    if isinstance(value, dict):
        return {name: mapped_refs(function, part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [mapped_refs(function, part) for part in value]
    return value
